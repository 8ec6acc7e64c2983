"""How often does the mean loss of the accepted break what `fit` guarantees of a file of losses?

    python -m tests.validity.mean_losses [--draws 2000]

prints the table of docs/thresholds.md. A population has a latent rank u, uniform on [0, 1], and
losses from a beta distribution whose mean depends on u. Its confidence does not fall in u, so that
the mean loss of every threshold is known. Groups have 1 to 40 rows, which share most of their loss.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from tests.validity.thresholds import Cell, verdict

from recuse.io import from_frame
from recuse.rejector import choose

TARGET, DELTA, DRAWS = 0.2, 0.1, 2000
SIZES = (60, 200, 600)  # rows, or groups
GRID = 2000  # points of u at which means are summed


class Population(NamedTuple):
    """Mean loss at u, the sum of both parameters of its beta distribution, and what is seen."""

    mean: Callable[[np.ndarray], np.ndarray]
    size: float  # small: losses near 0 and 1
    confidence: Callable[[np.ndarray], np.ndarray] = lambda u: u
    groups: bool = False

    def draw(self, n: int, rng: np.random.Generator) -> dict[str, np.ndarray]:
        rows = rng.integers(1, 41, n) if self.groups else np.ones(n, int)
        group = np.repeat(np.arange(n), rows)
        u = rng.uniform(size=n)[group]
        mean = self.mean(u)
        own = rng.beta(self.size * mean, self.size * (1 - mean))
        shared = own[np.searchsorted(group, np.arange(n))][group]
        loss = np.where(rng.uniform(size=group.size) < 0.8, shared, own)
        made = {"confidence": self.confidence(u), "loss": loss}
        return made | ({"group": group} if self.groups else {})

    def risk(self, threshold: float) -> float:
        u = (np.arange(GRID) + 0.5) / GRID
        accepted = self.confidence(u).astype(np.float32) >= np.float32(threshold)
        return float(self.mean(u[accepted]).mean()) if accepted.any() else 0.0

    def coverage(self, threshold: float) -> float:
        u = (np.arange(GRID) + 0.5) / GRID
        return float((self.confidence(u).astype(np.float32) >= np.float32(threshold)).mean())


def flat(u: np.ndarray) -> np.ndarray:
    return np.full(u.shape, TARGET + 1e-4)


def falling(u: np.ndarray) -> np.ndarray:
    return 0.08 + 0.35 * (1 - u) ** 1.5


def bad_top(u: np.ndarray) -> np.ndarray:
    return np.where(u > 0.9, 0.4, falling(u))


def five_levels(u: np.ndarray) -> np.ndarray:
    return np.floor(5 * u)


POPULATIONS = {
    "flat, losses near 0 and 1": Population(flat, 0.5),
    "flat, losses near their mean": Population(flat, 50.0),
    "flat, five levels": Population(flat, 5.0, five_levels),
    "flat, groups of 1 to 40": Population(flat, 5.0, groups=True),
    "falling": Population(falling, 20.0),
    "falling, five levels": Population(falling, 20.0, five_levels),
    "bad top": Population(bad_top, 20.0),
}


def simulate(population: Population, n: int, draws: int) -> tuple[float, float]:
    """Return how often the guarantee is broken, and the mean coverage."""
    rng, found = np.random.default_rng(0), []
    for seed in range(draws):
        rows = from_frame(population.draw(n, rng))
        choice = choose(rows, target_risk=TARGET, delta=DELTA, seed=seed)
        t = choice.selection.threshold
        found.append((population.risk(t) > TARGET, population.coverage(t)))
    violations, coverage = np.mean(found, axis=0)
    return float(violations), float(coverage)


def main() -> None:
    """Print the table, and whether any cell fails too often."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--draws", type=int, default=DRAWS)
    draws, cells = parser.parse_args().draws, []
    print("| losses | " + " | ".join(f"n = {n}" for n in SIZES) + " |")
    print("|---|" + "---|" * len(SIZES))
    for name, population in POPULATIONS.items():
        found = [simulate(population, n, draws) for n in SIZES]
        cells += [Cell(f"{name}, n = {n}", rate) for n, (rate, _) in zip(SIZES, found)]
        said = " | ".join(f"{rate:.3f} / {coverage:.2f}" for rate, coverage in found)
        print(f"| {name} | {said} |", flush=True)
    print("\n" + verdict(cells, draws, DELTA))


if __name__ == "__main__":
    main()
