"""How often are more missed, or more accepted and wrong, than guaranteed?

    python -m tests.validity.misses [--draws 2000]

prints the table of docs/which-guarantee.md and tests every cell. Class 1 is sick, class 0 healthy.
In each class there is a latent rank u, uniform on [0, 1], an error rate given u and a confidence
that does not fall in u, alike in both: so the misses, the risk and the coverage of every threshold
are known exactly.

n = rows (or groups) of a calibration file.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from scipy.stats import binom

sys.path.insert(0, str(Path(__file__).parent))

from thresholds import (
    DELTA,
    FLAT,
    TARGET,
    Population,
    flat,
    levels,
    linear,
    step,
    thresholds_alone,
    tied,
)

from recuse.io import HeldOut
from recuse.rejector import choose as choose_of_file
from recuse.selectors import select
from recuse.selectors._misses import miss_floor

DRAWS, SIGNIFICANT = 2000, 0.01  # of the whole table: each cell has its share
UP = 1.0  # is added to confidences, so that none is 0 and the prediction never a tie
LARGEST = 8  # rows of a group


class Cases(NamedTuple):
    """Two classes, and how many rows are drawn."""

    n: int
    sick: float  # share
    missed: Population  # of the sick: those that are called healthy
    alarmed: Population  # of the healthy: those that are called sick
    grouped: bool = False  # each row is repeated, a right one more often

    def draw(self, rng: np.random.Generator) -> HeldOut:
        labels = (rng.random(self.n) < self.sick).astype(int)
        c, wrong = (
            np.where(labels, *pair)
            for pair in zip(self.missed.draw(self.n, rng), self.alarmed.draw(self.n, rng))
        )
        sign = np.where(wrong == 1, -1.0, 1.0) * np.where(labels, 1.0, -1.0)
        file = HeldOut(np.c_[np.zeros(self.n), sign * (c + UP)], labels)
        if not self.grouped:
            return file
        size = 1 + rng.integers(0, np.where(wrong == 1, 2, LARGEST))
        rows = np.repeat(np.arange(self.n), size)
        return HeldOut(file.logits[rows], labels[rows], rows)

    def rates(self, threshold: Any) -> dict[str, float]:
        """Misses, false alarms, and error rates, of thresholds of the predicted classes."""
        healthy, sick = (np.asarray(t, float) - UP for t in threshold)
        missed = self.missed.risk(healthy) * self.missed.coverage(healthy) * self.sick
        alarmed = self.alarmed.risk(sick) * self.alarmed.coverage(sick) * (1 - self.sick)
        right = self.sick * self.missed.coverage(sick) - self._of_class(self.missed, sick)
        calm = (1 - self.sick) * self.alarmed.coverage(healthy)
        calm -= self._of_class(self.alarmed, healthy)
        accepted = missed + alarmed + right + calm
        return {
            "misses": float(missed / self.sick),
            "alarms": float(alarmed / (1 - self.sick)),
            "risk": float((missed + alarmed) / accepted) if accepted else 0.0,
            "healthy": float(missed / (missed + calm)) if missed else 0.0,
            "sick": float(alarmed / (alarmed + right)) if alarmed else 0.0,
            "coverage": float(accepted),
        }

    def _of_class(self, population: Population, threshold: Any) -> Any:
        """Share of all predictions that are of a class, accepted at this threshold, and wrong."""
        share = self.sick if population is self.missed else 1 - self.sick
        return population.risk(threshold) * population.coverage(threshold) * share


POPULATIONS = {
    "flat": Cases(300, 0.5, flat(FLAT), flat(FLAT)),
    "smooth": Cases(500, 0.3, linear(0.4), linear(0.1)),
    "ties": Cases(500, 0.3, tied(0.4 * (1 - np.arange(5) / 5)), tied(0.1 * (1 - np.arange(5) / 5))),
    "one level": Cases(300, 0.5, flat(FLAT, levels(1)), flat(FLAT, levels(1))),
    "1 % sick": Cases(5000, 0.01, flat(FLAT), linear(0.1)),
    "misses below a bad top": Cases(2000, 0.1, step(0.9, 0.12, 0.0), step(0.9, 0.001, 0.3)),
    "groups": Cases(300, 0.5, flat(FLAT), flat(FLAT), grouped=True),
}
BOTH = {"target_risk": TARGET}
EACH = {"target_risk": {0: TARGET, 1: TARGET}}
FORMS: dict[str, tuple[Mapping[str, Any], tuple[str, ...]]] = {  # options, what they limit
    "misses": ({"misses": {1: TARGET}}, ("misses",)),
    "of both classes": ({"misses": {1: TARGET, 0: TARGET}}, ("misses", "alarms")),
    "and a risk": ({"misses": {1: TARGET}, **BOTH}, ("misses", "risk")),
    "and risks by class": ({"misses": {1: TARGET}, **EACH}, ("misses", "healthy", "sick")),
    "risks by class": (EACH, ("healthy", "sick")),
}
Chooser = Callable[[HeldOut, Mapping[str, Any]], tuple[float, float]]


class Outcome(NamedTuple):
    """Over many draws."""

    draws: int
    violations: int
    coverage: float

    def above(self, cells: int) -> bool:
        """Whether the guarantee is broken too often, significantly among so many cells."""
        return binom.sf(self.violations - 1, self.draws, DELTA) < SIGNIFICANT / cells


def fitted(file: HeldOut, options: Mapping[str, Any]) -> tuple[float, float]:
    """The thresholds of the predicted classes that `fit` deploys."""
    rejector = choose_of_file(file, delta=DELTA, **options).rejector
    if rejector is None:
        return np.inf, np.inf
    each = [rule.threshold for rule in rejector.rules]
    return (each[0], each[0]) if len(each) == 1 else (each[0], each[1])


@thresholds_alone
def simulate(cases: Cases, form: str, choose: Chooser, count: int, seed: int = 3) -> Outcome:
    """How often anything that is guaranteed is not so."""
    (options, limited), rng = FORMS[form], np.random.default_rng(seed)
    found = [cases.rates(choose(cases.draw(rng), options)) for _ in range(count)]
    broken = sum(any(rates[name] > TARGET for name in limited) for rates in found)
    return Outcome(count, broken, float(np.mean([rates["coverage"] for rates in found])))


# What must not be done


def stricter(file: HeldOut, options: Mapping[str, Any]) -> tuple[float, float]:
    """The larger of the threshold of the risk and the floor, each at half of delta."""
    confidence, wrong = np.abs(file.logits[:, 1]).astype(np.float32), file.loss
    sick = file.labels == 1
    floor = miss_floor(confidence[sick], wrong[sick] == 1, TARGET, DELTA / 2)
    found = select(confidence, wrong, target_risk=TARGET, delta=DELTA / 2)
    threshold = max(found.threshold, floor)
    return threshold, threshold


def among_all_rows(file: HeldOut, options: Mapping[str, Any]) -> tuple[float, float]:
    """Misses as a share of all rows."""
    confidence, missed = np.abs(file.logits[:, 1]).astype(np.float32), file.loss == 1
    threshold = miss_floor(confidence, missed & (file.labels == 1), TARGET, DELTA)
    return threshold, threshold


def every_row_of_a_group(file: HeldOut, options: Mapping[str, Any]) -> tuple[float, float]:
    """All rows, as if they were independent."""
    return fitted(HeldOut(file.logits, file.labels), options)


def main() -> None:
    """Print the table, and which cells break their guarantee."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--draws", type=int, default=DRAWS)
    count, cells, broken = parser.parse_args().draws, len(POPULATIONS) * len(FORMS), []
    print("| population | n | " + " | ".join(FORMS) + " |\n|---|---|" + "---|" * len(FORMS))
    for name, cases in POPULATIONS.items():
        found = {form: simulate(cases, form, fitted, count) for form in FORMS}
        row = " | ".join(f"{o.violations / count:.3f} / {o.coverage:.2f}" for o in found.values())
        print(f"| {name} | {cases.n:,} | {row} |", flush=True)
        broken += [f"{name}: {form}" for form, o in found.items() if o.above(cells)]
    print(f"\n{len(broken)} of {cells} cells break their guarantee. {broken}")


if __name__ == "__main__":
    main()
