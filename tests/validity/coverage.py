"""How much of the attainable coverage a held-out file gives: `python -m tests.validity.coverage`.

The share of the oracle's coverage, which knows the risk of every threshold. Formerly 40 % of the
rows chose the thresholds of a fixed sequence, 40 % tested them, and 20 % measured the result. Now
`fit` does this by its rule: for one score, and for MSP where the norm of logits has its share of
delta. Mean over the populations of `tests.validity` in which the oracle accepts anything.

n = rows of the file.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable

import numpy as np
from tests.validity.thresholds import POPULATIONS, Cell, Chooser, Population, by, verdict

from recuse.rejector._cut import ENOUGH, TUNING
from recuse.selectors._methods import Splits
from recuse.tuning._fixed import SHARES

DELTA, DRAWS = 0.05, 300
TARGETS, SIZES = (0.01, 0.02, 0.05, 0.1), (100, 300, 1000, 3000, 10_000)
SHOWN = (0.05, 1000)  # target and rows of the table by population
FORMER = (0.4, 0.4)  # of the rows, to tune and to calibrate; the rest tested


def in_parts(s: Splits, tune: float, calibrate: float) -> Splits:
    """The first rows tune, the next calibrate; rows are in no order."""
    first = round(tune * s.loss.size)
    last = first + round(calibrate * s.loss.size)
    c, l = s.confidence, s.loss
    return Splits(c[first:last], l[first:last], (c[:first], l[:first]))


def former(target: float) -> Chooser:
    """A fixed sequence."""
    choose = by("fixed_sequence", target, DELTA)
    return lambda s: choose(in_parts(s, *FORMER))


def one_score(target: float) -> Chooser:
    """All rows calibrate, at any number of them."""
    return by("random_walk", target, DELTA)


def of_logits(target: float) -> Chooser:
    """MSP at its share of delta; from 10,000 rows on a fifth of them tunes the score."""
    few, many = by("random_walk", target, SHARES[0] * DELTA), by("fixed_sequence", target, DELTA)
    return lambda s: few(s) if s.loss.size < ENOUGH else many(in_parts(s, TUNING, 1 - TUNING))


WAYS: dict[str, Callable[[float], Chooser]] = {
    "former": former,
    "one score": one_score,
    "logits": of_logits,
}


def oracle(population: Population, target: float) -> float:
    """The largest coverage of a threshold whose risk is at most the target."""
    t = np.linspace(0, 1, 10_001)
    return float(population.coverage(t)[population.risk(t) <= target + 1e-12].max(initial=0.0))


def thresholds(population: Population, n: int, target: float, count: int) -> np.ndarray:
    """Of each way, on the same draws."""
    rng, ways = np.random.default_rng(13), [way(target) for way in WAYS.values()]
    files = (Splits(*population.draw(n, rng)) for _ in range(count))
    return np.array([[choose(s) for choose in ways] for s in files]).T


def main() -> None:
    """Print the tables, and whether any target is exceeded too often."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--draws", type=int, default=DRAWS)
    count = parser.parse_args().draws
    best = {t: {k: oracle(p, t) for k, p in POPULATIONS.items()} for t in TARGETS}
    cells, shown = [], []
    print("| n | " + " | ".join(f"{100 * t:g} %" for t in TARGETS) + " |")
    print("|---|" + "---|" * len(TARGETS))
    for n in SIZES:
        row = []
        for target in TARGETS:
            shares = []
            for name, population in POPULATIONS.items():
                found = thresholds(population, n, target, count)
                case = f"{name}, {100 * target:g} %, n = {n:,}"
                for way, t in zip(WAYS, found):
                    cells.append(Cell(f"{way}, {case}", np.mean(population.risk(t) > target)))
                if best[target][name] > 0:
                    shares.append(population.coverage(found).mean(axis=1) / best[target][name])
                    if (target, n) == SHOWN:
                        shown.append(f"| {name} | {best[target][name]:.2f} | {line(shares[-1])} |")
            row.append(line(np.mean(shares, axis=0)))
        print(f"| {n:,} | {' | '.join(row)} |", flush=True)
    able = [sum(coverage > 0 for coverage in of.values()) for of in best.values()]
    print(f"| populations | {' | '.join(map(str, able))} |")
    print(f"\n| {100 * SHOWN[0]:g} %, n = {SHOWN[1]:,} | oracle | share |\n|---|---|---|")
    print("\n".join(shown) + "\n\n" + verdict(cells, count, DELTA))


def line(shares: np.ndarray) -> str:
    """Former -> one score / logits."""
    before, one, logits = shares
    return f"{before:.2f} → {one:.2f} / {logits:.2f}"


if __name__ == "__main__":
    main()
