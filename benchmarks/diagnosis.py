"""Is the verdict of `recuse diagnose` right? `python -m benchmarks.diagnosis DIR`.

DIR is a folder of `python -m benchmarks.zoo`, whose files TASK-SMOOTHING-SEED-tune say with which
smoothing each model was trained. The rule of the verdict was chosen on the seeds of `DEVELOPMENT`
and on small models of synthetic data; it is evaluated on all others, whose initialization and split
of the data are new. The last table repeats the verdicts on fewer rows and on rescaled logits.
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

import recuse as rc
from recuse.diagnosis import CANNOT_TELL, NO_SMOOTHING, SMOOTHING, Diagnosis, verdict
from recuse.diagnosis._rows import rows
from recuse.diagnosis._smoothing import fit_smoothing, shape

DEVELOPMENT = range(3)  # seeds
UNSEEN_TASKS = {"cifar10-cnn"}  # their models were not looked at, whatever the seed
FEWER = (2000, 1000, 500)
SCALES = (0.5, 2.0)


class Model(NamedTuple):
    """A file of the zoo."""

    task: str
    smoothing: float
    seed: int
    path: Path

    @property
    def development(self) -> bool:
        """Whether the rule was developed on it."""
        return self.seed in DEVELOPMENT and self.task not in UNSEEN_TASKS


def models(folders: list[Path], part: str) -> list[Model]:
    """The files of the folders, a model that stands in several once."""
    found = {}
    for path in sorted(p for f in folders for p in f.glob(f"*-{part}.safetensors")):
        task, smoothing, seed, _ = path.stem.rsplit("-", 3)
        found.setdefault(path.name, Model(task, float(smoothing), int(seed), path))
    return sorted(found.values(), key=lambda m: (m.development, m.task, m.seed, m.smoothing))


def diagnosis(model: Model) -> Diagnosis:
    """Of the whole file."""
    file = rc.read(model.path)
    return rc.diagnose(file.logits, file.labels, groups=file.groups)


def verdict_alone(model: Model, *, size: int | None = None, scale: float = 1.0) -> str:
    """The verdict without the rest, for rows drawn at random, groups as they fall."""
    file = rc.read(model.path)
    take = np.random.default_rng(0).permutation(len(file))[:size]
    groups = None if file.groups is None else file.groups[take]
    r, k = rows(file.logits[take] * np.float32(scale), file.labels[take]), file.logits.shape[1]
    units = len(take) if groups is None else len(np.unique(groups))
    return verdict(fit_smoothing(r, k, groups), shape(r, k), k, units)[0]


def outcome(model: Model, found: str) -> str:
    """Right, open, or one of the two ways to be wrong."""
    if found == CANNOT_TELL:
        return CANNOT_TELL
    if model.smoothing > 0:
        return "right" if found == SMOOTHING else "missed"
    return "right" if found == NO_SMOOTHING else "false alarm"


def table(found: dict[Model, Diagnosis]) -> Iterator[str]:
    """One line a model."""
    yield (
        f"{'task':18}{'K':>4}{'seed':>5}{'a':>5}{'wrong':>7}{'by scale':>9}{'by class':>9}"
        f"{'above':>7}{'shape':>12}{'max logit':>13}{'gain %':>12}  verdict"
    )
    for m, d in found.items():
        s, v = d.smoothing, d.max_logit
        by_class = "" if s.by_class is None else f"{s.by_class:.3f}"
        shift = "" if v is None else f"{v.relative:.2f} +- {v.relative_error:.2f}"
        gain = "" if np.isnan(d.gain) else f"{100 * d.gain:.1f} +- {100 * d.gain_se:.1f}"
        yield (
            f"{m.task:18}{d.classes:4}{m.seed:5}{m.smoothing:5}"
            f"{d.errors / d.n:7.3f}{s.by_scale:9.3f}{by_class:>9}{s.above:7.2f}"
            f"{d.shape.value:6.2f}/{d.shape.limit:.2f} {shift:>13}{gain:>12}  {d.verdict}"
            f"{'' if outcome(m, d.verdict) == 'right' else f' ({outcome(m, d.verdict)})'}"
        )


def summary(name: str, found: dict[Model, str]) -> str:
    """Counts of the outcomes, with and without smoothing apart."""
    cells = []
    for smoothed in (False, True):
        outcomes = Counter(outcome(m, v) for m, v in found.items() if (m.smoothing > 0) == smoothed)
        n, wrong = sum(outcomes.values()), "missed" if smoothed else "false alarm"
        cells.append(f"{outcomes['right']:>6}/{n:<4}{outcomes[wrong]:>8}{outcomes[CANNOT_TELL]:>8}")
    right = sum(outcome(m, v) == "right" for m, v in found.items())
    return f"{name:24}" + "".join(cells) + f"{100 * right / max(len(found), 1):9.0f} %"


def by_median(model: Model) -> float:
    """The smoothing whose ceiling is the median confidence of right predictions, to compare."""
    file = rc.read(model.path)
    right = rc.scores.predict(file.logits) == file.labels
    median = float(np.median(rc.scores.as_probability(rc.scores.msp(file.logits)[right])))
    return (1 - median) / (1 - 1 / file.logits.shape[1])


def errors_of_fit(found: dict[Model, Diagnosis]) -> Iterator[str]:
    """How far estimates are from the true smoothing: median over models, and mean |error|."""
    names = ("reported", "by scale", "by class, K = 2", "by class, K > 2", "by median")
    yield f"{'true a':8}{'models':>7}" + "".join(f"{name:>22}" for name in names)
    for a in sorted({m.smoothing for m in found}):
        models_of = [(m, d) for m, d in found.items() if m.smoothing == a]
        two = [
            d.smoothing.by_class for _, d in models_of if d.classes == 2 and d.smoothing.by_class
        ]
        more = [
            d.smoothing.by_class for _, d in models_of if d.classes > 2 and d.smoothing.by_class
        ]
        columns = (
            [d.smoothing.value for _, d in models_of],
            [d.smoothing.by_scale for _, d in models_of],
            two,
            more,
            [by_median(m) for m, _ in models_of],
        )
        yield f"{a:<8}{len(models_of):7}" + "".join(_median_and_error(c, a) for c in columns)


def _median_and_error(fitted: list[float], a: float) -> str:
    if not fitted:
        return f"{'-':>22}"
    error = np.mean(np.abs(np.maximum(fitted, 0) - a))
    return f"{np.median(fitted):14.3f} ({error:.3f})"


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("folder", type=Path, nargs="+")
    parser.add_argument("--part", default="tune", choices=["tune", "test"])
    args = parser.parse_args()
    known = models(args.folder, args.part)
    others = [m for m in known if not m.development]
    found = {m: diagnosis(m) for m in others}
    print(*table(found), sep="\n")
    print("\nFitted smoothing: median over models, in brackets mean |error|; development left out")
    print(*errors_of_fit(found), sep="\n")
    print(f"\n{'':24}{'a = 0':^27}{'a > 0':^27}")
    print(f"{'':24}" + f"{'right':>7}{'false':>12}{'open':>8}{'right':>7}{'missed':>12}{'open':>8}")
    print(summary("all rows", {m: found[m].verdict for m in others}))
    developed = {m: verdict_alone(m) for m in known if m.development}
    print(summary("(development models)", developed))
    for size in FEWER:
        print(summary(f"{size:,} rows", {m: verdict_alone(m, size=size) for m in others}))
    for scale in SCALES:
        again = {m: verdict_alone(m, scale=scale) for m in others}
        print(summary(f"logits times {scale:g}", again), flush=True)


if __name__ == "__main__":
    main()
