"""One row of each group against all rows by means of groups: `python -m benchmarks.groups`.

Groups have sizes from a log-normal distribution (10 rows on average), and rows of a group share
their confidences and errors with a latent correlation. One row of each group chooses the threshold
by the random walk over all groups, as `fit` does. Against it, 40 % of the groups (20 % from 500 on)
fix thresholds, and the means of accepted * (loss - target) of the other groups are tested in a
fixed sequence: by betting, or by Hoeffding-Bentkus. Takes about ten minutes.

G = groups, N = rows, T = thresholds.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from itertools import product

import numpy as np
from scipy.stats import norm

from recuse.bounds import betting_p_value, hoeffding_bentkus_p_value
from recuse.bounds._binomial import tail
from recuse.selectors import select

DELTA, SIZE, THRESHOLDS = 0.05, 10, 100
TARGETS, GROUPS, CORRELATIONS = (0.2, 0.1, 0.05), (24, 60, 200, 500, 2000), (0.0, 0.2, 0.5, 0.8)
TOP, DECAY = 0.6, 3.0  # the error rate at rank s is TOP exp(-DECAY s)


def draw(groups: int, rho: float, rng: np.random.Generator) -> tuple[np.ndarray, ...]:
    """Ranks in [0, 1] (N,), errors (N,), the group of each row, and the sizes of groups (G,)."""
    sizes = np.maximum(1, rng.lognormal(np.log(SIZE) - 0.5, 1.0, groups).astype(int))
    of = np.repeat(np.arange(groups), sizes)
    u, v = rng.normal(size=(2, groups))
    rank = norm.cdf(np.sqrt(rho) * u[of] + np.sqrt(1 - rho) * rng.normal(size=of.size))
    own = np.sqrt(rho) * v[of] + np.sqrt(1 - rho) * rng.normal(size=of.size)
    return rank, own < norm.ppf(TOP * np.exp(-DECAY * rank)), of, sizes


def means(
    rank: np.ndarray, wrong: np.ndarray, of: np.ndarray, sizes: np.ndarray, grid: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Of each threshold and group (T, G): the share accepted, and accepted and wrong."""
    found = np.empty((2, len(grid), len(sizes)))
    for i, threshold in enumerate(grid):
        a = rank >= threshold
        found[0, i] = np.bincount(of[a], minlength=len(sizes)) / sizes
        found[1, i] = np.bincount(of[a], wrong[a], minlength=len(sizes)) / sizes
    return found[0], found[1]


def sequence(p_value: Callable[[int], float], start: int, grid: np.ndarray) -> float:
    """The last threshold before the first failure."""
    threshold = np.inf
    for i in range(start, len(grid)):
        if p_value(i) > DELTA:
            break
        threshold = grid[i]
    return float(threshold)


def thresholds(
    groups: int, rho: float, target: float, rng: np.random.Generator
) -> tuple[float, ...]:
    """By one row of each group, and by all rows with both tests."""
    rank, wrong, of, sizes = draw(groups, rho, rng)
    one = np.r_[0, np.cumsum(sizes)[:-1]] + (rng.uniform(size=groups) * sizes).astype(int)
    walk = select(rank[one], wrong[one], target_risk=target, delta=DELTA, method="random_walk")
    first = round((0.4 if groups < 500 else 0.2) * groups)
    tune, n = of < first, groups - first
    grid = np.quantile(rank[tune], np.linspace(1, 0, THRESHOLDS + 1)[1:])
    accepted, failed = means(rank[tune], wrong[tune], of[tune], sizes[:first], grid)
    start = int(np.argmin(tail(n * failed.mean(axis=1), n * accepted.mean(axis=1), target)))
    a, f = means(rank[~tune], wrong[~tune], of[~tune] - first, sizes[first:], grid)
    bets = np.clip(f - target * a + target, 0, 1)[:, rng.permutation(n)]
    bet = sequence(lambda i: betting_p_value(bets[i], target, delta=DELTA), start, grid)
    bound = sequence(
        lambda i: float(hoeffding_bentkus_p_value(bets[i].sum(), n, target)), start, grid
    )
    return walk.threshold, bet, bound


def main() -> None:
    """Print the mean accepted share, and how often the risk is above the target."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--draws", type=int, default=100, help="of each cell, half of 2,000 groups")
    draws = parser.parse_args().draws
    s = np.linspace(0, 1, 20001)[:-1]
    risk = TOP * (np.exp(-DECAY * s) - np.exp(-DECAY)) / DECAY / (1 - s)
    print("target, groups, correlation: one row, betting, Hoeffding-Bentkus (violations)")
    for target, groups, rho in product(TARGETS, GROUPS, CORRELATIONS):
        rng = np.random.default_rng(0)
        times = draws if groups < 2000 else max(50, draws // 2)
        t = np.array([thresholds(groups, rho, target, rng) for _ in range(times)])
        shares = np.maximum(1 - np.minimum(t, 1), 0)
        broken = (t < 1) & (np.interp(np.minimum(t, s[-1]), s, risk) > target)
        cells = zip(shares.mean(axis=0), broken.mean(axis=0))
        said = "  ".join(f"{share:.3f} ({rate:.3f})" for share, rate in cells)
        print(f"{target:.2f} {groups:5} {rho:.1f}  {said}", flush=True)


if __name__ == "__main__":
    main()
