"""How often more is accepted and wrong than guaranteed, and how much is on average?

    python tests/validity/joint_risk.py [--draws 2000]

prints the table of docs/which-guarantee.md, for the populations of `thresholds`, and tests every
cell. n = calibrate examples, m = examples of a batch.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from scipy.stats import binom, norm
from thresholds import DELTA, POPULATIONS, TARGET, Population, by, draws

from recuse import selectors
from recuse.selectors._joint import JOINT
from recuse.selectors._methods import Splits

SIZES, BATCH, DRAWS = (20, 50, 200, 1000), 200, 2000
SIGNIFICANT = 0.01  # of the whole table: each cell has its share
Chooser = Callable[[Splits], float]
BatchChooser = Callable[[Splits, np.ndarray], np.ndarray]


class Outcome(NamedTuple):
    """Over many draws."""

    risk: np.ndarray  # of each draw: what is guaranteed
    coverage: float

    def above(self, delta: float | None, cells: int) -> bool:
        """Whether it breaks its guarantee: too often, or (None) on average; significantly."""
        level, n = SIGNIFICANT / cells, self.risk.size
        if delta is not None:
            return binom.sf((self.risk > TARGET).sum() - 1, n, delta) < level
        error = self.risk.std() / n**0.5
        return self.risk.mean() - TARGET > norm.isf(level) * error + 1e-12


def monotone(s: Splits) -> float:
    plan = JOINT["monotone"].plan(s, TARGET, DELTA)
    index = plan.choose(TARGET)
    return np.inf if index is None else float(plan.grid[index])


def on_average(s: Splits) -> float:
    return selectors.select_on_average(s.confidence, s.loss, target_risk=TARGET).threshold


def by_share(limit: Callable[[int], float]) -> Chooser:
    """The lowest threshold with at most so many errors among n: what must not be done."""

    def choose(s: Splits) -> float:
        for t in np.unique(s.confidence):
            if s.loss[s.confidence >= t].sum() <= limit(s.loss.size):
                return float(t)
        return np.inf

    return choose


uncorrected = by_share(lambda n: TARGET * n)


def joint(population: Population, thresholds: list[float]) -> Outcome:
    """Of each threshold, how many of all predictions are accepted and wrong."""
    t = np.array(thresholds)
    coverage = population.coverage(t)
    return Outcome(population.risk(t) * coverage, coverage.mean())


def simulate(population: Population, n: int, choose: Chooser, count: int) -> Outcome:
    """The share accepted and wrong of what is deployed."""
    return joint(population, [choose(s) for s in draws(population, n, count)])


def accepted_only(population: Population, n: int, count: int) -> Outcome:
    """The risk among the accepted with the default method, for the coverage beside."""
    t = np.array([by("random_walk")(s) for s in draws(population, n, count)])
    return Outcome(population.risk(t), population.coverage(t).mean())


def conformal(s: Splits, batch: np.ndarray) -> np.ndarray:
    return selectors.select_batch(s.confidence, s.loss, batch, target_risk=TARGET).accept


def benjamini_hochberg(p: np.ndarray) -> np.ndarray:
    passing = np.sort(p)[np.sort(p) <= TARGET * np.arange(1, p.size + 1) / p.size]
    return p <= (passing[-1] if passing.size else -1)


def without_ties(s: Splits, batch: np.ndarray) -> np.ndarray:
    """P-values that leave out wrong rows of equal confidence: what must not be done."""
    wrong = s.confidence[s.loss == 1]
    p = (1 + (wrong > batch[:, None]).sum(axis=1)) / (s.loss.size + 1)
    return benjamini_hochberg(p)


def without_the_row_itself(s: Splits, batch: np.ndarray) -> np.ndarray:
    """P-values that do not count the row: what must not be done."""
    wrong = s.confidence[s.loss == 1]
    return benjamini_hochberg((wrong >= batch[:, None]).sum(axis=1) / s.loss.size)


def simulate_batch(
    population: Population, n: int, m: int, choose: BatchChooser, count: int
) -> Outcome:
    """The share of wrong among the accepted of a batch, 0 where nothing is."""
    rng, found = np.random.default_rng(12), []
    for _ in range(count):
        calibrate, (c, l) = population.draw(n, rng), population.draw(m, rng)
        accept = choose(Splits(*calibrate), c)
        found.append((l[accept].sum() / max(accept.sum(), 1), accept.mean()))
    share, coverage = np.array(found).T
    return Outcome(share, coverage.mean())


def main() -> None:
    """Print the table, and which cells break their guarantee."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--draws", type=int, default=DRAWS)
    count, names = parser.parse_args().draws, ("accepted", "all", "on average", "batch")
    print("| population | n | " + " | ".join(names) + " |\n|---|---|" + "---|" * len(names))
    deltas, broken = (DELTA, DELTA, None, None), []
    cells = len(POPULATIONS) * len(SIZES) * len(names)
    for name, population in POPULATIONS.items():
        for n in SIZES:
            found = (
                accepted_only(population, n, count),
                simulate(population, n, monotone, count),
                simulate(population, n, on_average, count),
                simulate_batch(population, n, BATCH, conformal, count),
            )
            rates = [
                np.mean(o.risk if d is None else o.risk > TARGET) for o, d in zip(found, deltas)
            ]
            row = " | ".join(f"{r:.3f} / {o.coverage:.2f}" for r, o in zip(rates, found))
            print(f"| {name} | {n:,} | {row} |", flush=True)
            each = zip(names, found, deltas)
            broken += [f"{name} {n} {what}" for what, o, d in each if o.above(d, cells)]
    print(f"\n{len(broken)} of {cells} cells break their guarantee. {broken}")


if __name__ == "__main__":
    main()
