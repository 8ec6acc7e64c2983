"""How often do intervals hold the truth, and how often does a comparison see what is not there?

    python -m tests.validity.interval_coverage [--sets 2000] [--replicates 1000]

prints the tables of docs/intervals.md. In every population the confidence is uniform and the
error probability at rank u (0 = most confident) is a u^b, so that the risk at coverage C is
a C^b / (b + 1), and all areas and points are known exactly.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from recuse import intervals
from recuse.intervals import AUGRC, AURC, E_AURC, Measure, coverage_at, risk_at

Z = 1.959963984540054
SIZES = (200, 2000, 20000)


class Population(NamedTuple):
    """Rows with error probability a u^b at rank u; b = 0 is a score that does not rank."""

    a: float
    b: float

    def rate(self, u):
        return self.a * u**self.b

    def draw(self, n, rng):
        u = rng.uniform(size=n)
        return 1 - u, (rng.uniform(size=n) < self.rate(u)).astype(float)

    def draw_groups(self, groups, size, rng, within=0.8):
        """Rows of a group share most of their confidence and luck; each alone is as above."""
        from scipy.special import ndtr

        def shared():
            own, common = rng.normal(size=(groups, size)), rng.normal(size=(groups, 1))
            return ndtr(math.sqrt(within) * common + math.sqrt(1 - within) * own).ravel()

        u = shared()
        return 1 - u, (shared() < self.rate(u)).astype(float), np.repeat(np.arange(groups), size)

    @property
    def risk(self):
        return self.a / (self.b + 1)

    def truth(self, measure: Measure) -> float:
        """Integrals of a C^b / (b + 1), its values and its inverse."""
        risk, b, level = self.risk, self.b, measure.level
        best = risk + (1 - risk) * math.log1p(-risk)
        return {
            "aurc": lambda: risk / (b + 1),
            "e_aurc": lambda: risk / (b + 1) - best,
            "augrc": lambda: risk / (b + 2),
            "risk_at_coverage": lambda: risk * level**b,
            "coverage_at_risk": lambda: min(1.0, (level / risk) ** (1 / b)),
        }[measure.name.split("(")[0]]()


POPULATIONS = {
    "15 % errors": Population(0.3, 1),
    "2.5 % errors": Population(0.075, 2),
    "2.5 % errors, steep": Population(0.125, 4),
}
MEASURES = (AURC, E_AURC, AUGRC, risk_at(0.8), risk_at(0.2))
Bounds = tuple[float, float]


def normal(c, l, measure=AURC, groups=None) -> Bounds:
    value = measure.value(c, l)
    half = Z * intervals.standard_error(c, l, measure, groups=groups)
    return value - half, value + half


def influence(c, l, measure=AURC, groups=None) -> Bounds:
    found = intervals.interval(c, l, measure, groups=groups)
    return found.low, found.high


def by_resampling(replicates: int, weights: str = "multinomial") -> Callable:
    """Percentile and BCa intervals of the same replicates."""

    def both(c, l, measure=AURC, groups=None) -> list[Bounds]:
        found = intervals.bootstrap(
            c, l, measure, replicates=replicates, weights=weights, groups=groups
        )
        return [(i.low, i.high) for i in (found.percentile(), found.bca())]

    return both


def coverage(
    population: Population, n: int, measure: Measure, sets: int, methods: Callable, seed: int = 0
) -> np.ndarray:
    """How often each method's interval holds the truth; no interval does not."""
    truth, rng = population.truth(measure), np.random.default_rng(seed)
    held = [
        [low <= truth <= high for low, high in methods(*population.draw(n, rng), measure)]
        for _ in range(sets)
    ]
    return np.mean(held, axis=0)


def without_resampling(c, l, measure=AURC) -> list[Bounds]:
    return [normal(c, l, measure), influence(c, l, measure)]


def every_method(replicates: int) -> Callable:
    both = by_resampling(replicates)
    return lambda c, l, m=AURC: [*without_resampling(c, l, m), *both(c, l, m)]


def grouped_coverage(population: Population, groups: int, size: int, sets: int) -> np.ndarray:
    """By row, and by group."""
    truth, rng = population.truth(AURC), np.random.default_rng(1)
    held = []
    for _ in range(sets):
        c, l, g = population.draw_groups(groups, size, rng)
        bounds = [influence(c, l), influence(c, l, groups=g)]
        held.append([low <= truth <= high for low, high in bounds])
    return np.mean(held, axis=0)


def two_scores(n, rng):
    """Two scores of one model that are equally good: each sees the rank through its own noise."""
    u = rng.uniform(size=n)
    l = (rng.uniform(size=n) < 0.3 * u).astype(float)
    a, b = rng.normal(size=(2, n)) * 0.1 - u
    return a, l, b, l


def two_models(n, rng):
    """Two equally good models that share half of what makes an example hard."""
    hard, own = rng.uniform(size=n), rng.uniform(size=(2, n))
    u = (hard + own) / 2
    l = (rng.uniform(size=(2, n)) < 0.3 * u).astype(float)
    return -u[0], l[0], -u[1], l[1]


def false_positives(draw: Callable, n: int, sets: int, level: float = 0.05) -> float:
    """How often `compare` finds a difference that is not there."""
    rng = np.random.default_rng(2)
    return float(np.mean([intervals.compare(*draw(n, rng)).p_value < level for _ in range(sets)]))


def print_areas(sets: int, replicates: int) -> None:
    print("| population | n | errors | normal | log scale | percentile | BCa |")
    print("|---|---|---|---|---|---|---|")
    for name, population in POPULATIONS.items():
        for n in SIZES:
            found = coverage(population, n, AURC, sets, every_method(replicates))
            cells = " | ".join(f"{x:.3f}" for x in found)
            print(f"| {name} | {n} | {population.risk * n:.0f} | {cells} |", flush=True)


def print_measures(sets: int) -> None:
    print("\n| measure | population | n | normal | `interval` |\n|---|---|---|---|---|")
    for kind in range(len(MEASURES)):
        for name, population in POPULATIONS.items():
            measure = (*MEASURES, coverage_at(population.risk / 2))[kind + 1]
            for n in SIZES:
                found = coverage(population, n, measure, sets, without_resampling)
                cells = " | ".join(f"{x:.3f}" for x in found)
                print(f"| {measure} | {name} | {n} | {cells} |", flush=True)


def print_groups(sets: int) -> None:
    print("\n| groups of 5 | rows as if independent | by group |\n|---|---|---|")
    for groups in (100, 400, 2000):
        row, group = grouped_coverage(POPULATIONS["15 % errors"], groups, 5, sets)
        print(f"| {groups} | {row:.3f} | {group:.3f} |", flush=True)


def print_comparisons(sets: int) -> None:
    print("\n| n | two scores | two models |\n|---|---|---|")
    for n in SIZES:
        rates = [false_positives(draw, n, sets) for draw in (two_scores, two_models)]
        print(f"| {n} | {rates[0]:.3f} | {rates[1]:.3f} |", flush=True)


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sets", type=int, default=2000)
    parser.add_argument("--replicates", type=int, default=1000)
    options = parser.parse_args()
    print_areas(options.sets, options.replicates)
    print_measures(options.sets)
    print_groups(options.sets)
    print_comparisons(options.sets)


if __name__ == "__main__":
    main()
