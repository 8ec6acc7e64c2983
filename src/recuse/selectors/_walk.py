"""Walks of errors: E_k of k Bernoulli(risk) predictions, and a boundary below which it is lucky.

n = steps.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from recuse._internal.bisect import bisect

if TYPE_CHECKING:
    from jaxtyping import Float, Int
    from numpy import ndarray as Array

NEVER = 1e-18  # probabilities that are left out
LEAST = 1e-290  # level of a boundary: the arithmetic of smaller ones loses digits
PRUNED = 16  # rises until they are
WIDTH, HALVINGS = 12, 11  # of the search for a logarithm of a level: to 0.6 %
START = 2.5  # below the logarithm of delta, where it begins
SECANTS, CLOSE = 6, 0.02  # steps before that, and how close two of them are at the end
TINY = 1e-300  # least probability


@lru_cache(maxsize=256)
def walk_level(n: int, risk: float, delta: float) -> float:
    """The level at which a Bernoulli(risk) walk of n steps passes with probability <= delta.

    The walk passes at step k if P(Bin(k, risk) <= E_k) <= level, for any k.

    >>> 0.001 < walk_level(1000, 0.05, 0.1) < 0.1
    True
    """

    found: dict[float, float] = {}  # log level: log of the probability over delta

    def excess(log_level: float) -> float:
        if log_level not in found:
            boundary = walk_boundary(n, risk, math.exp(log_level))
            found[log_level] = math.log(max(crossing_probability(boundary, risk), TINY) / delta)
        return found[log_level]

    def crosses_too_often(log_level: float) -> bool:
        """Answer from what is known where it can: the probability rises with the level."""
        if any(excess <= 0 and at >= log_level for at, excess in found.items()):
            return False
        if any(excess > 0 and at <= log_level for at, excess in found.items()):
            return True
        return excess(log_level) > 0

    least, largest = math.log(delta) - WIDTH, math.log(delta)
    near = _near_zero(excess, least, largest)
    for end in bisect(lambda x: x > near, least, largest, halvings=HALVINGS):
        excess(float(end))
    low, _ = bisect(crosses_too_often, least, largest, halvings=HALVINGS)
    return float(np.exp(low))


def _near_zero(f: Callable[[float], float], least: float, largest: float) -> float:
    """Return roughly where f, which rises with a slope near 1, is 0: by secants."""
    before = largest - START
    at = min(max(before - f(before), least), largest)
    for _ in range(SECANTS):
        if abs(at - before) < CLOSE:
            break
        slope = (f(at) - f(before)) / (at - before)
        step = f(at) / (slope if slope > 0 else 1.0)
        before, at = at, min(max(at - step, least), largest)
    return at


def walk_boundary(n: int, risk: float, level: float) -> Int[Array, " n"]:
    """The largest e with P(Bin(k, risk) <= e) <= level, for k = 1..n; -1 if there is none.

    The level is at least `LEAST`. e grows by at most one a step, so the distribution function is
    updated, not recomputed.
    """
    right, odds = 1 - risk, risk / (1 - risk)
    boundary = []
    e, mass, below = -1, 0.0, 0.0  # P(Bin(k) = e), P(Bin(k) <= e)
    for k in range(1, n + 1):
        if e < 0:
            following = right**k
        else:
            below -= risk * mass
            mass *= k * right / (k - e)
            following = mass * (k - e) / (e + 1) * odds
        if below + following <= level:
            e, mass, below = e + 1, following, below + following
        boundary.append(e)
    return np.array(boundary, np.int64)


def crossing_probability(boundary: Int[Array, " n"], risk: float) -> float:
    """P(some E_k <= boundary[k - 1]).

    Args:
        boundary: Integers, not decreasing; -1 where E_k cannot cross.
        risk: In (0, 1).

    Errors do not become fewer: the walk can only cross where the boundary rises. Between two
    rises the distribution of E_k over walks that have not crossed is convolved with a binomial.
    """
    rises = np.flatnonzero(np.diff(boundary, prepend=-1))
    steps, lowest = np.diff(rises, prepend=-1).tolist(), (boundary[rises] + 1).tolist()
    moves = {step: _binomial(step, risk) for step in set(steps)}
    alive, first, crossed = np.ones(1), 0, 0.0  # P(E_k = first + i, not crossed)
    for i, (step, low) in enumerate(zip(steps, lowest)):
        alive = np.convolve(alive, moves[step])
        if low > first:
            crossed += float(alive[: low - first].sum())
            alive, first = alive[low - first :], low
        if i % PRUNED == 0 or not alive.size:
            kept = np.flatnonzero(alive >= NEVER)
            if not kept.size:
                break
            alive, first = alive[kept[0] : kept[-1] + 1], first + int(kept[0])
    return crossed


def _binomial(n: int, risk: float) -> Float[Array, " m"]:
    """P(Bin(n, risk) = e) for e = 0.. until it is negligible, from the mode both ways."""
    mode, odds = int((n + 1) * risk), risk / (1 - risk)
    down, up = np.arange(mode, 0, -1), np.arange(mode + 1, n + 1)
    down, up = np.cumprod(down / (n - down + 1) / odds), np.cumprod((n - up + 1) / up * odds)
    mass = np.concatenate((down[::-1], [1.0], up))
    mass /= mass.sum()
    return mass[: np.flatnonzero(mass >= NEVER)[-1] + 1]
