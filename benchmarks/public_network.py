"""Does the repair help a public ImageNet network? `python -m benchmarks.public_network`.

Measures the outputs that ship (`rc.datasets.imagenet_lite2`), and files of other networks if given.
Prints the tables of `docs/public-network.md`. The plan was fixed before it ran:

- Scores that were fixed beforehand are compared with MSP on all rows.
- Scores that are chosen or fitted use a random half of the rows, and are compared with MSP on the
  other half; 200 times.

n = rows, s = random halves, m = measures.
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

import recuse as rc
from benchmarks.recipes import markdown
from recuse.intervals import AURC, Measure, bootstrap_difference, compare, coverage_at
from recuse.scores import Score

SPLITS = 200
MSP = Score("msp")
NORM4, NORM8 = (Score("logit_norm", {"p": p, "center": True}) for p in (4, 8))
FIXED = (MSP, NORM4, NORM8)
MEASURES = (AURC, coverage_at(0.01), coverage_at(0.05))
SCALES = (1000, 100, 100)
HEADER = ("score", "AURC x 1000", "coverage at 1 % risk", "coverage at 5 % risk")
MINUS = tuple(f"{name} minus MSP" if i else name for i, name in enumerate(HEADER))
TARGETS = (0.2, 0.1, 0.05, 0.02)
CHOSEN, FITTED, PLAIN = (
    "chosen by tune(learned=False)",
    "learned",
    "learned, without class intercepts",
)


def main() -> None:
    """Print the tables of all networks."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("others", nargs="*", type=Path, help="files of `recuse logits`")
    files = [rc.datasets.imagenet_lite2(), *map(rc.read, parser.parse_args().others)]
    for file in files:
        print(f"\n{file.name}: {file.model}\n\n{rc.diagnose(file)}")
        print(f"\n{outside(file)}")
        print(
            f"\nAll rows\n\n{markdown(HEADER, values(file))}\n{markdown(MINUS, differences(file))}"
        )
        found, norms = halves(file, SPLITS)
        print(f"\n{SPLITS} random halves\n\n{markdown((*MINUS, 'better'), of_halves(found))}")
        print(f"Chosen: {', '.join(f'{name} {times}' for name, times in norms.most_common())}")
        header = ("target risk", "MSP", "two fixed scores", "score taken")
        print(f"\nAccepted with a guarantee\n\n{markdown(header, guaranteed(file))}")


def outside(file: rc.io.HeldOut) -> str:
    """Return how many errors are of classes that no label names."""
    alien = ~np.isin(file.predicted, file.labels)
    errors, both = int(file.loss.sum()), int((alien & (file.loss > 0)).sum())
    named = np.unique(file.labels).size
    return f"{both} of {errors} errors are predictions of a class beyond the {named} of the labels."


def values(file: rc.io.HeldOut) -> Iterator[tuple[str, ...]]:
    """Yield the measures of each fixed score on all rows; the AURC with its standard error."""
    for score in FIXED:
        c = score(file.logits)
        area, *points = (k * m.value(c, file.loss) for k, m in zip(SCALES, MEASURES))
        error = 1000 * rc.intervals.standard_error(c, file.loss)
        yield str(score), f"{area:.1f} ± {error:.1f}", *(f"{x:.1f} %" for x in points)


def differences(file: rc.io.HeldOut) -> Iterator[tuple[str, ...]]:
    """Yield how each fixed score differs from MSP on all rows, with 95 % intervals."""
    msp, loss = MSP(file.logits), file.loss
    for score in FIXED[1:]:
        c = score(file.logits)
        found = compare(c, loss, msp, loss)
        yield (
            str(score),
            interval(1000 * found.difference, 1000 * found.low, 1000 * found.high),
            *(point(c, msp, loss, measure) for measure in MEASURES[1:]),
        )


def point(a: np.ndarray, b: np.ndarray, loss: np.ndarray, measure: Measure) -> str:
    """Return the difference of a coverage with its bootstrap interval, in points."""
    drawn = bootstrap_difference(a, loss, b, loss, measure, seed=0)
    return interval(*100 * np.array([drawn.value, *np.quantile(drawn.replicates, (0.025, 0.975))]))


def halves(file: rc.io.HeldOut, splits: int) -> tuple[dict[str, np.ndarray], Counter[str]]:
    """Return differences from MSP on test halves, name -> (s, m), and the chosen norms."""
    found: dict[str, list[np.ndarray]] = {}
    norms: Counter[str] = Counter()
    for seed in range(splits):
        parts = rc.io.split_rows(file, {"tune": 0.5, "test": 0.5}, seed=seed)
        test, scores = parts["test"], choices(parts["tune"], seed)
        norms[str(scores[CHOSEN])] += 1
        base = measured(MSP, test)
        for name, score in scores.items():
            found.setdefault(name, []).append(measured(score, test) - base)
    return {name: np.stack(rows) for name, rows in found.items()}, norms


def choices(tune: rc.io.HeldOut, seed: int) -> dict[str, Score]:
    """Return the scores to try: fixed, chosen on these rows, and learned from them."""
    chosen = rc.tune(tune, learned=False, seed=seed).score
    table = rc.tune(tune, seed=seed).table
    learned = next(score for score, _ in table if score.name == "learned")
    plain = {k: v for k, v in learned.params.items() if k != "class_intercepts"}
    fixed = {str(score): score for score in FIXED[1:]}
    return fixed | {CHOSEN: chosen, FITTED: learned, PLAIN: replace(learned, params=plain)}


def measured(score: Score, test: rc.io.HeldOut) -> np.ndarray:
    """Return the measures (m,) of a score."""
    c = score(test.logits)
    return np.array([measure.value(c, test.loss) for measure in MEASURES])


def of_halves(found: dict[str, np.ndarray]) -> Iterator[tuple[str, ...]]:
    """Yield mean differences with 95 % intervals, and how often AURC is smaller."""
    for name, rows in found.items():
        cells = (interval(*mean_and_interval(k * x)) for k, x in zip(SCALES, rows.T))
        yield name, *cells, f"{100 * (rows[:, 0] < 0).mean():.0f} %"


def mean_and_interval(x: np.ndarray) -> tuple[float, float, float]:
    """Return the mean over random halves and its 95 % interval.

    The test halves overlap, so that their spread is no standard error of the mean. The variance
    is (1 / s + n_test / n_tune) times theirs (Nadeau & Bengio, Machine Learning 2003); for a score
    that does not depend on the tuning half this is the variance on all rows.
    """
    error = 1.96 * np.sqrt((1 / x.size + 1) * x.var(ddof=1))
    return x.mean(), x.mean() - error, x.mean() + error


def guaranteed(file: rc.io.HeldOut) -> Iterator[tuple[str, ...]]:
    """Yield what all rows guarantee at each target: MSP alone, and the two scores of `fit`."""
    for target in TARGETS:
        alone = rc.select(MSP(file.logits), file.loss, target_risk=target, method="random_walk")
        try:
            both = rc.fit(file, target_risk=target)
        except rc.InfeasibleError:
            taken = ("0.0 %", "none")
        else:
            taken = (f"{100 * both.predict(file.logits).accept.mean():.1f} %", str(both.score))
        accepted = (MSP(file.logits) >= alone.threshold).mean() if alone.feasible else 0.0
        yield f"{100 * target:g} %", f"{100 * accepted:.1f} %", *taken


def interval(value: float, low: float, high: float) -> str:
    """Return a difference and its interval."""
    return f"{value:+.1f} ({low:+.1f} to {high:+.1f})"


if __name__ == "__main__":
    main()
