"""`recuse demo`: train, measure, repair and deploy on the digits inside scikit-learn."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from recuse._internal.check import check_delta, check_fraction
from recuse._internal.files import to_json
from recuse.cli.files import check_folder
from recuse.cli.options import Delta, Json, Quiet, Seed, Seeds, TargetRisk
from recuse.diagnosis import diagnose
from recuse.evaluation import Run, over_seeds
from recuse.evaluation._measures import RISKS
from recuse.io import HeldOut, write_logits
from recuse.present import over_seeds as words
from recuse.present import terminal
from recuse.present.numbers import percent
from recuse.recipes import digits
from recuse.rejector import choose
from recuse.reports import details, need_report, report

SMOOTHING = 0.2
NAMES = {0.0: "cross-entropy", SMOOTHING: "label-smoothing"}
SMOOTHED = NAMES[SMOOTHING]
STRICT = 0.01  # a target that 200 calibration images cannot meet

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
    runs = _trained(range(seed, seed + seeds), show_progress=not quiet)
    found = over_seeds(
        runs, target_risk=target_risk, delta=delta, risks=(*RISKS, target_risk), progress=False
    )
    first, files = found.evaluations[0], runs[seed]
    for model, splits in files.items():
        for split, file in splits.items():
            path = out / "logits" / f"{model}-{split}.safetensors"
            write_logits(path, file.logits, file.labels, groups=file.groups, ids=file.ids)
    rejector = first[SMOOTHED].rejector
    if rejector is None:
        (out / "rejector.json").unlink(missing_ok=True)
    else:
        rejector.save(out / "rejector.json")
    table = words.by_measure(found, f"{digits.REPLICATES} noisy copies of each image")
    splits, page = files[SMOOTHED], out / "report.html"
    alone = replace(first, models=(first[SMOOTHED],))
    smoothed = Run(splits, alone, diagnose(splits["tune"], seed=seed))
    story, strict = words.story(found), []
    verdict = f"The verdict on {SMOOTHED} with seed {seed}:"
    if target_risk > STRICT:
        choice = choose(splits["tune"], splits["calibrate"], target_risk=STRICT, delta=delta)
        strict = [f"A guarantee of {percent(STRICT, 0)} instead? {choice.selection}"]
    report(
        first,
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
        details=details(first, files, seed=seed),
    )
    if as_json:
        told = [*story, verdict, *smoothed.lines(), *strict]
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
