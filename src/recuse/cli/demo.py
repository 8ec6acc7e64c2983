"""`recuse demo`: train, measure, repair and deploy on the digits inside scikit-learn."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from recuse import datasets
from recuse._internal.check import check_delta, check_fraction
from recuse._internal.files import to_json
from recuse.cli.files import check_folder
from recuse.cli.options import Delta, Json, Quiet, Seed, Seeds, TargetRisk
from recuse.curves import coverage_at_risk
from recuse.diagnosis import diagnose
from recuse.evaluation import Run, evaluate, over_seeds
from recuse.evaluation._measures import RISKS
from recuse.io import HeldOut, write_logits
from recuse.present import over_seeds as words
from recuse.present import terminal
from recuse.present.numbers import percent
from recuse.recipes import digits
from recuse.rejector import choose
from recuse.reports import details, need_report, report
from recuse.scores import Score

SMOOTHING = 0.2
NAMES = {0.0: "cross-entropy", SMOOTHING: "label-smoothing"}
SMOOTHED = NAMES[SMOOTHING]
HELD_OUT = digits.TUNE + digits.CALIBRATE  # images
STRICT = 0.01  # a target that they cannot meet
COLUMNS = ("logits", "labels", "groups", "ids")

Files = Mapping[str, Mapping[str, HeldOut]]  # model -> split -> file


def demo(
    out: Annotated[Path, typer.Option("--out", help="Folder to write to.")] = Path("demo"),
    seeds: Seeds = 3,
    target_risk: TargetRisk = 0.1,
    delta: Delta = 0.05,
    seed: Seed = 0,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Train with and without label smoothing, measure the damage, repair it, deploy a threshold.

    Writes logits, rejector and report of the first seed, over the files of an earlier demo.
    """
    check_folder(out), check_fraction(target_risk, "target_risk"), check_delta(delta)
    need_report()
    network = _network()
    if not (quiet or as_json):
        for sentence in network:
            terminal.say(sentence)
    runs = _trained(range(seed, seed + seeds), show_progress=not quiet)
    goal: dict[str, Any] = {
        "target_risk": target_risk,
        "delta": delta,
        "risks": (*RISKS, target_risk),
    }
    found = over_seeds(runs, **goal, progress=False)
    files = runs[seed]
    one_file = {model: _one_file(model, splits) for model, splits in files.items()}
    deployed = evaluate(one_file, **goal, seed=seed, progress=False)
    for model, splits in files.items():
        for split, file in splits.items():
            path = out / "logits" / f"{model}-{split}.safetensors"
            write_logits(path, file.logits, file.labels, groups=file.groups, ids=file.ids)
    rejector = deployed[SMOOTHED].rejector
    if rejector is None:
        (out / "rejector.json").unlink(missing_ok=True)
    else:
        rejector.save(out / "rejector.json")
    note = f"{digits.REPLICATES} noisy copies of each image; scores chosen on {digits.TUNE} others"
    table, page = words.by_measure(found, note), out / "report.html"
    parts, alone = one_file[SMOOTHED], replace(deployed, models=(deployed[SMOOTHED],))
    smoothed = Run(parts, alone, diagnose(parts["calibrate"], seed=seed))
    story, strict = words.story(found), []
    verdict = (
        f"The verdict on {SMOOTHED} with seed {seed}. The scores of the table were chosen on "
        f"{digits.TUNE} of the {HELD_OUT} held-out images; here all {HELD_OUT} choose the "
        "threshold, so the score is MSP or a norm of the logits, fixed beforehand:"
    )
    if target_risk > STRICT:
        choice = choose(parts["calibrate"], target_risk=STRICT, delta=delta, seed=seed)
        strict = [f"A guarantee of {percent(STRICT, 0)} instead? {choice.selection}"]
    report(
        deployed,
        page,
        title="Handwritten digits under noise: what label smoothing does to a reject option",
        lead=[
            *story,
            verdict,
            *smoothed.lines(),
            *strict,
            f"All that follows is of seed {seed}, unless it says otherwise.",
        ],
        tables=[table],
        details=details(deployed, one_file, seed=seed),
        named=SMOOTHED,
    )
    if as_json:
        told = [*network, *story, verdict, *smoothed.lines(), *strict]
        print(to_json({**found.to_dict(), "story": told}))
    elif not quiet:
        terminal.table(table.header, table.rows, title=table.caption)
        for sentence in story:
            terminal.say(f"- {sentence}")
        terminal.say(verdict)
        new = out / "logits" / f"{SMOOTHED}-test.safetensors"
        deploy = f"recuse predict {out / 'rejector.json'} {new} --out decisions.csv"
        for line in smoothed.lines(deploy, str(page), f"logits of both models in {out / 'logits'}"):
            terminal.say(line)
        for sentence in strict:
            terminal.say(sentence)


def _network() -> list[str]:
    """Return what a repair gains on outputs of a public network, which ship with recuse."""
    file, level = datasets.imagenet_lite2(), RISKS[-1]
    scores = Score("msp"), Score("logit_norm", {"p": 4, "center": True})
    answered = [coverage_at_risk(score(file.logits), file.loss, level) for score in scores]
    return words.network(len(file), level, *answered)


def _one_file(model: str, splits: Mapping[str, HeldOut]) -> dict[str, HeldOut]:
    """Return the tuning and the calibration images as one file, which calibrates, and the test."""
    two = [splits[split] for split in ("tune", "calibrate")]
    columns = (np.concatenate([getattr(file, column) for file in two]) for column in COLUMNS)
    return {"calibrate": HeldOut(*columns, name=f"{model}-held-out"), "test": splits["test"]}


def _trained(seeds: Sequence[int], show_progress: bool) -> dict[int, Files]:
    """Train both models with each seed, with a bar of all steps."""
    from rich.progress import Progress

    screen = terminal.console(stderr=True)
    with Progress(
        console=screen, transient=True, disable=not (show_progress and screen.is_terminal)
    ) as bar:
        task = bar.add_task("training", total=len(seeds) * digits.STEPS)
        runs = {}
        for s in seeds:
            bar.update(task, description=f"training seed {s}")
            runs[s] = _files(
                digits.train(s, tuple(NAMES), steps=digits.STEPS, on_step=lambda: bar.advance(task))
            )
        return runs


def _files(trained: Mapping[float, Mapping[str, digits.Split]]) -> Files:
    return {
        NAMES[smoothing]: {
            split: HeldOut(*arrays, name=f"{NAMES[smoothing]}-{split}")
            for split, arrays in splits.items()
        }
        for smoothing, splits in trained.items()
    }
