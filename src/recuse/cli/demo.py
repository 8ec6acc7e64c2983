"""`recuse demo`: the whole road on the digits inside scikit-learn."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from recuse._internal.check import check_delta, check_fraction
from recuse._internal.files import to_json
from recuse.cli.files import check_folder
from recuse.cli.options import Delta, Json, Quiet, Seed, TargetRisk
from recuse.cli.over_seeds import plain_model
from recuse.evaluation import RISKS, Evaluation, ModelEvaluation, evaluate
from recuse.intervals import Comparison, compare
from recuse.io import LogitsFile, write_logits
from recuse.present import terminal
from recuse.present.numbers import area, percent
from recuse.recipes import digits
from recuse.rejector import choose
from recuse.reports import Table, details, report

SMOOTHING = 0.2
NAMES = {0.0: "cross-entropy", SMOOTHING: "label-smoothing"}
PLAIN, SMOOTHED = NAMES.values()
LOW_COVERAGE = 0.2
STRICT = 0.01  # a target that 200 calibrate images cannot meet


@dataclass(frozen=True, eq=False)
class Run:
    """One seed: both models on the same data, evaluated."""

    seed: int
    files: dict[str, dict[str, LogitsFile]]  # model -> split -> file
    evaluation: Evaluation
    damage: Comparison  # AURC with MSP: smoothed minus plain, paired
    repair: Comparison  # smoothed: AURC of the chosen score minus MSP, paired

    def __getitem__(self, name: str) -> ModelEvaluation:
        return self.evaluation[name]


def demo(
    out: Annotated[Path, typer.Option("--out", help="Folder to write.")] = Path("demo"),
    seeds: Annotated[int, typer.Option("--seeds", help="Paired runs.", min=1)] = 3,
    target_risk: TargetRisk = 0.1,
    delta: Delta = 0.05,
    seed: Seed = 0,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Train with and without label smoothing, measure the damage, repair it, deploy a threshold.

    Writes the logits, the rejector and the report of the first seed; files of an earlier
    demo in the folder are overwritten.
    """
    check_folder(out), check_fraction(target_risk, "target_risk"), check_delta(delta)
    runs = _runs(range(seed, seed + seeds), target_risk, delta, show_progress=not quiet)
    first = runs[0]
    for model, splits in first.files.items():
        for split, file in splits.items():
            path = out / "logits" / f"{model}-{split}.safetensors"
            write_logits(path, file.logits, file.labels, groups=file.groups, ids=file.ids)
    header, rows = _table(runs)
    story = [*_story(runs), *_deployment(first, target_risk, delta)]
    rejector = first[SMOOTHED].rejector
    if rejector is None:
        (out / "rejector.json").unlink(missing_ok=True)
    else:
        rejector.save(out / "rejector.json")
    caption = _caption(runs)
    page = out / "report.html"
    report(
        first.evaluation,
        page,
        title="Handwritten digits under noise: what label smoothing does to a reject option",
        lead=[*story, f"All that follows is of seed {first.seed}, unless it says otherwise."],
        tables=[Table(caption, header, rows)],
        details=details(first.evaluation, first.files, seed=first.seed),
    )
    if as_json:
        print(to_json({"seeds": [_plain(run) for run in runs], "story": story}))
    elif not quiet:
        terminal.table(header, rows, title=caption)
        for sentence in story:
            terminal.say(f"- {sentence}")
        written = f"{page}, {out / 'logits'}"
        terminal.say(f"Written: {written}{f', {out}/rejector.json' if rejector else ''}")


def _runs(seeds: Sequence[int], target_risk: float, delta: float, show_progress: bool) -> list[Run]:
    from rich.progress import Progress

    screen = terminal.console(stderr=True)
    steps = digits.STEPS
    with Progress(
        console=screen, transient=True, disable=not (show_progress and screen.is_terminal)
    ) as bar:
        task = bar.add_task("training", total=len(seeds) * steps)
        runs = []
        for s in seeds:
            bar.update(task, description=f"training seed {s}")
            trained = digits.train(
                s, tuple(NAMES), steps=digits.STEPS, on_step=lambda: bar.advance(task)
            )
            runs.append(_run(s, trained, target_risk, delta))
        return runs


def _run(
    seed: int, trained: dict[float, dict[str, digits.Split]], target_risk: float, delta: float
) -> Run:
    files = {
        NAMES[smoothing]: {
            name: LogitsFile(*split, name=f"{NAMES[smoothing]}-{name}")
            for name, split in splits.items()
        }
        for smoothing, splits in trained.items()
    }
    evaluation = evaluate(
        files,
        target_risk=target_risk,
        delta=delta,
        risks=(*RISKS, target_risk),
        coverages=(LOW_COVERAGE, 0.8),
        seed=seed,
        progress=False,
    )
    plain, smoothed = evaluation[PLAIN], evaluation[SMOOTHED]
    groups = files[PLAIN]["test"].groups
    damage = compare(smoothed.msp, smoothed.loss, plain.msp, plain.loss, groups=groups)
    return Run(seed, files, evaluation, damage, smoothed.repair)


def _table(runs: Sequence[Run]) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """Mean over seeds of each model, and their paired difference: one row a measure."""
    target = runs[0].evaluation.target_risk
    low, risk = percent(LOW_COVERAGE, 0), percent(target, 0)
    measures: list[tuple[str, Callable[[float], str], Callable[[ModelEvaluation], float]]] = [
        ("accuracy", one_digit, lambda m: m.accuracy),
        ("AURC x 1000, MSP", area, lambda m: m.before.aurc),
        ("AURC x 1000, chosen score", area, lambda m: m.after.aurc),
        (
            f"risk at {low} coverage, MSP",
            two_digits,
            lambda m: m.before.risk_at_coverage[LOW_COVERAGE],
        ),
        (
            f"risk at {low} coverage, chosen",
            two_digits,
            lambda m: m.after.risk_at_coverage[LOW_COVERAGE],
        ),
        (
            f"coverage at {risk} risk, chosen",
            one_digit,
            lambda m: m.after.coverage_at_risk[target],
        ),
    ]
    rows = []
    for name, shown, value in measures:
        plain, smoothed = (np.mean([value(run[m]) for run in runs]) for m in (PLAIN, SMOOTHED))
        difference = smoothed - plain
        rows.append(
            (
                name,
                shown(plain),
                shown(smoothed),
                ("+" if difference > 0 else "") + shown(difference),
            )
        )
    rows.insert(
        3, ("chosen score", *(_chosen([r[m] for r in runs]) for m in (PLAIN, SMOOTHED)), "")
    )
    return ("", PLAIN, SMOOTHED, "difference"), rows


def one_digit(x: float) -> str:
    """Percent with one digit."""
    return percent(x, 1)


def two_digits(x: float) -> str:
    """Percent where small risks are compared."""
    return percent(x, 2)


def _chosen(models: Sequence[ModelEvaluation]) -> str:
    """The scores chosen over the seeds, most frequent first."""
    names = [str(m.tuned.score) for m in models]
    counts = sorted({n: names.count(n) for n in names}.items(), key=lambda item: -item[1])
    if len(counts) == 1:
        return counts[0][0]
    return ", ".join(f"{count} x {name}" for name, count in counts)


def _caption(runs: Sequence[Run]) -> str:
    seeds = f"mean of {len(runs)} seeds" if len(runs) > 1 else f"seed {runs[0].seed}"
    images = runs[0][SMOOTHED].n // digits.REPLICATES
    return (
        f"Test split, {seeds}: {images} images x {digits.REPLICATES} noisy copies "
        "(differences are of unrounded values)"
    )


def _story(runs: Sequence[Run]) -> list[str]:
    """What happened, in words that follow the numbers."""
    n = len(runs)
    accuracy = [(run[SMOOTHED].accuracy - run[PLAIN].accuracy) for run in runs]
    worse = sum(run.damage.difference > 0 for run in runs)
    clearly = sum(run.damage.low > 0 for run in runs)
    change = np.mean([run.damage.difference / run[PLAIN].before.aurc for run in runs])
    verb = "raised" if change > 0 else "lowered"
    sentences = [
        f"Label smoothing ({SMOOTHING:g}) changed accuracy by {100 * np.mean(accuracy):+.1f} "
        f"points and {verb} AURC with MSP by {percent(abs(change), 1)}: the ranking of right "
        f"against wrong is worse in {worse} of {n} paired runs, and beyond its 95 % interval in "
        f"{clearly}."
    ]
    for name in (SMOOTHED, PLAIN):
        adopted = [run for run in runs if run[name].repaired]
        if not adopted:
            sentences.append(
                f"{name}: MSP was kept in {n} of {n} runs, since no gain from another score "
                "was shown on the tune split."
            )
            continue
        gain = np.mean([-r[name].repair.difference / r[name].before.aurc for r in adopted])
        better = sum(run[name].repair.difference < 0 for run in adopted)
        before, after = (
            np.mean([getattr(r[name], k).risk_at_coverage[LOW_COVERAGE] for r in adopted])
            for k in ("before", "after")
        )
        sentences.append(
            f"{name}: a repair was adopted in {len(adopted)} of {n} runs; on the test "
            f"split it {'lowered' if gain > 0 else 'raised'} AURC by {percent(abs(gain), 1)} "
            f"(better in {better} of {len(adopted)}) and took the risk at "
            f"{percent(LOW_COVERAGE, 0)} coverage from {percent(before, 2)} to "
            f"{percent(after, 2)}."
        )
    return sentences


def _deployment(run: Run, target_risk: float, delta: float) -> list[str]:
    """The threshold of the first seed's smoothed model, and what it cannot promise."""
    m = run[SMOOTHED]
    sentences = [f"To deploy {SMOOTHED} of seed {run.seed}: {m.selection.reason}"]
    if m.rejector:
        sentences.append(
            f"On the test split it accepts {percent(m.accepted / m.n, 1)} with "
            f"{percent(m.errors / max(m.accepted, 1), 1)} wrong."
        )
    if target_risk > STRICT:
        splits = run.files[SMOOTHED]
        strict = choose(splits["tune"], splits["calibrate"], target_risk=STRICT, delta=delta)
        sentences.append(f"A promise of {percent(STRICT, 0)} instead? {strict.selection}")
    return sentences


def _plain(run: Run) -> dict[str, object]:
    """One seed for --json."""
    return {
        "seed": run.seed,
        "models": {
            m.name: plain_model(m)
            | {
                "coverage": m.accepted / m.n,
                "risk": m.errors / m.accepted if m.accepted else None,
            }
            for m in run.evaluation.models
        },
    }
