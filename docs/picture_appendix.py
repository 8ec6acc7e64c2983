"""Draw the figures of docs/appendix.md and docs/how-to/choose-alpha.md, and print their numbers.

python docs/picture_appendix.py ZOO

ZOO holds what `python -m benchmarks.zoo --data DATA --out ZOO` writes.
"""

import argparse
from collections.abc import Iterator
from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure

import recuse as rc
from recuse import plots, scores
from recuse.io import HeldOut

IMAGES = Path(__file__).parent / "images"
PAIR = {"0.0": "cross entropy", "0.2": "smoothing 0.2"}
SMOOTHINGS = ("0.0", "0.1", "0.2", "0.3")
PANEL = 3.1  # inches
P = 4  # of the norm


def main() -> None:
    """Draw the appendix for one seed of three tasks, and the smoothings for all seeds of two."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("zoo", type=Path)
    zoo = parser.parse_args().zoo
    for task in ("digits", "pairs100", "cifar10-patches"):
        pair = {a: read(zoo, task, a, "0", "test") for a in PAIR}
        numbers(task, pair)
        if task == "digits":
            pictures(pair, repaired(zoo, task, pair))
        print_errors(task, repaired(zoo, task, pair))
    for task in ("digits", "pairs25"):
        alphas(zoo, task)


def read(zoo: Path, task: str, smoothing: str, seed: str, part: str) -> HeldOut:
    """Read one file of the zoo."""
    return rc.read(zoo / f"{task}-{smoothing}-{seed}-{part}.safetensors")


def repaired(zoo: Path, task: str, pair: dict[str, HeldOut]) -> dict[str, tuple]:
    """Confidence and loss of both models, and of the repaired smoothed one."""
    held = read(zoo, task, "0.2", "0", "tune")
    score = rc.tune(held.logits, held.labels, groups=held.groups).score
    loss = {a: (scores.predict(f.logits) != f.labels) * 1.0 for a, f in pair.items()}
    out = {PAIR[a]: (scores.msp(f.logits), loss[a]) for a, f in pair.items()}
    return out | {"0.2, repaired": (score(pair["0.2"].logits), loss["0.2"])}


def pictures(pair: dict[str, HeldOut], models: dict[str, tuple]) -> None:
    """Write one file for each figure of the paper."""
    figure, axes = canvas(2, 3)
    for row, (a, file) in zip(axes, pair.items()):
        for data, ax in zip(plots.sorted_logits.prepare(file.logits), row):
            plots.sorted_logits.draw(data, ax)
            ax.set_title(PAIR[a], fontsize="medium")
    write(figure, "appendix-sorted-logits")
    figure, axes = canvas(2, 2, wide=1.6)
    for row, (a, file) in zip(axes, pair.items()):
        for center, ax in zip((False, True), row):
            data = plots.normalized_max.prepare(file.logits, p=P, center=center)
            plots.normalized_max.draw(data, ax)
            ax.set_title(PAIR[a], fontsize="medium")
    write(figure, "appendix-normalized-max")
    figure, axes = canvas(1, 2, wide=1.6)
    for ax, (a, file) in zip(axes[0], pair.items()):
        plots.max_logit.draw(plots.max_logit.prepare(file.logits, file.labels), ax)
        ax.set_title(PAIR[a], fontsize="medium")
    write(figure, "appendix-max-logit")
    figure, axes = canvas(1, 2, wide=1.6)
    for ax, of in zip(axes[0], ("smoothing 0.2", "cross entropy")):
        plots.errors.draw(plots.errors.prepare(models, of=of), ax)
    write(figure, "appendix-errors")
    figure, axes = canvas(1, 2, wide=1.6)
    for ax, log in zip(axes[0], (False, True)):
        plots.risk_coverage.draw(plots.risk_coverage.prepare(models), ax, log=log)
    write(figure, "appendix-risk-coverage")


def numbers(task: str, pair: dict[str, HeldOut]) -> None:
    """Print one row of the table of the page for each model."""
    for a, file in pair.items():
        cells = []
        for center in (False, True):
            share, outweighs = top_logits(file.logits, center)
            bins = plots.normalized_max.prepare(file.logits, p=P, center=center).bins
            falls = sum(b.slope < 0 for b in bins)
            cells += [f"{share:.2f}", f"{100 * outweighs:.1f} %", f"{falls} of {len(bins)}"]
        excess, places = excess_of_errors(file)
        cells += [f"{excess:+.2f}", f"{100 * places:.0f} %"]
        print(f"| {task}, {PAIR[a]} | {' | '.join(cells)} |")


def top_logits(logits: np.ndarray, center: bool) -> tuple[float, float]:
    """Mean share of the maximum in the norm; rows where adding to some top k lowers the score.

    The latter is the condition of tests/test_top_logits.py, for any k >= 2.
    """
    v = np.sort(logits.astype(np.float64), axis=1)[:, ::-1]
    v = v - v.mean(axis=1, keepdims=True) * center
    power, positive = np.abs(v) ** P, v > 0
    pull = np.cumsum(np.where(positive, v ** (P - 1) * (v[:, :1] - v), 0), axis=1)
    tail = power.sum(axis=1, keepdims=True) - np.cumsum(power, axis=1)
    return (power[:, 0] / power.sum(axis=1)).mean(), ((pull > tail) & positive).any(axis=1).mean()


def excess_of_errors(file: HeldOut) -> tuple[float, float]:
    """Maximum logit of wrong minus right predictions at equal MSP, in standard deviations."""
    right, wrong, _ = plots.max_logit.prepare(file.logits, file.labels)
    above = wrong.mean - np.interp(wrong.at, right.at, right.mean)
    return (above / np.interp(wrong.at, right.at, right.sd)).mean(), (above > 0).mean()


def print_errors(task: str, models: dict[str, tuple]) -> None:
    """Print AURC x 1000 of the models, and figure 5 in both directions."""
    areas = " | ".join(f"{1000 * rc.aurc(*pair):.1f}" for pair in models.values())
    print(f"| {task}, AURC x 1000 | {areas} |")
    for of in ("smoothing 0.2", "cross entropy"):
        found = plots.errors.prepare(models, of=of)
        medians = zip(found.models, np.median(found.uncertainty, axis=0))
        shown = " | ".join(f"{100 * x:.0f} %" for _, x in medians)
        print(f"| {task}, surest errors of {of} | {shown} |")


def alphas(zoo: Path, task: str) -> None:
    """Draw the figure and print the table of all seeds of a task."""
    picks = [
        rc.evaluation.pick({f"{float(a):g}": read(zoo, task, a, seed, "test") for a in SMOOTHINGS})
        for seed in seeds(zoo, task)
    ]
    data = plots.over_alpha.prepare(picks)
    figure, axes = canvas(2, 3)
    for panel, ax in zip(data.panels, axes.ravel()):
        plots.over_alpha.draw(data, panel, ax)
    for ax in axes.ravel()[len(data.panels) :]:
        ax.remove()
    write(figure, f"choose-alpha-{task}")
    print(f"{task}, {len(picks)} seeds: mean (smallest to largest), AURC x 1000, others in percent")
    for panel in data.panels:
        scale = 1000 if panel.title == "AURC" else 100
        for name, values, _ in panel.series:
            cells = " | ".join(
                f"{v.mean():.1f} ({v.min():.1f} to {v.max():.1f})" for v in scale * values.T
            )
            print(f"| {panel.title}{', ' if name else ''}{name} | {cells} |")
    for seed, found in zip(seeds(zoo, task), picks):
        told = ", ".join(found.not_significantly_worse) or "none"
        print(f"seed {seed}: pick {found.best.name}, not significantly worse {told}")


def seeds(zoo: Path, task: str) -> Iterator[str]:
    """Seeds that have every smoothing."""
    for path in sorted(zoo.glob(f"{task}-{SMOOTHINGS[-1]}-*-test.safetensors")):
        yield path.stem.removeprefix(f"{task}-{SMOOTHINGS[-1]}-").removesuffix("-test")


def canvas(rows: int, columns: int, wide: float = 1.3) -> tuple[Figure, np.ndarray]:
    """Return a figure without global state."""
    figure = Figure(figsize=(wide * PANEL * columns, PANEL * rows), layout="constrained")
    return figure, figure.subplots(rows, columns, squeeze=False)


def write(figure: Figure, name: str) -> None:
    """Save reproducibly: the same numbers give the same bytes."""
    target = IMAGES / f"{name}.svg"
    with mpl.rc_context({"svg.hashsalt": "recuse"}):
        figure.savefig(target, metadata={"Date": None})
    print(f"wrote {target.relative_to(IMAGES.parent.parent)}")


if __name__ == "__main__":
    main()
