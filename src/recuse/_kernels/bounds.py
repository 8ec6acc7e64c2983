"""Loops of `bounds`: walks of errors, and bets."""

from __future__ import annotations

import numpy as np

from recuse._kernels.jit import njit


@njit()
def walk_boundary(n, risk, level):
    """The largest e with P(Bin(k, risk) <= e) <= level, for k = 1..n; -1 if there is none.

    e grows by at most one a step, so the distribution function is updated, not recomputed.
    """
    boundary = np.empty(n, np.int64)
    e, mass, below = -1, 0.0, 0.0  # P(Bin(k) = e), P(Bin(k) <= e)
    for k in range(1, n + 1):
        if e < 0:
            following = (1 - risk) ** k
        else:
            below -= risk * mass
            mass *= k * (1 - risk) / (k - e)
            following = mass * (k - e) / (e + 1) * risk / (1 - risk)
        if below + following <= level:
            e, mass, below = e + 1, following, below + following
        boundary[k - 1] = e
    return boundary


@njit()
def crossing_probability(boundary, risk):
    """P(some E_k <= boundary[k - 1]) for the walk E_k of k Bernoulli(risk) errors.

    boundary: (n,) integers, not decreasing; -1 where E_k cannot cross.
    Exact up to rounding: the distribution of E_k over walks that have not crossed, kept
    where it exceeds 1e-18.
    """
    n = boundary.size
    alive, following = np.zeros(n + 2), np.zeros(n + 2)
    alive[0] = 1.0
    low, high = 0, 0  # alive[low..high] may be positive
    crossed = 0.0
    for k in range(n):
        high += 1
        following[low] = alive[low] * (1 - risk)
        for e in range(low + 1, high + 1):
            following[e] = alive[e] * (1 - risk) + alive[e - 1] * risk
        alive, following = following, alive
        while low <= high and low <= boundary[k]:
            crossed += alive[low]
            alive[low] = 0.0
            low += 1
        while high > low and alive[high] < 1e-18:
            alive[high] = 0.0
            high -= 1
        following[high + 1] = 0.0
        alive[high + 1] = 0.0
        if low > high:
            break
    return crossed


@njit()
def largest_capital(loss, risk, aim):
    """The largest capital of a bettor who starts with 1 and stakes on losses below `risk`.

    loss: (n,) in [0, 1], in the order of betting; aim: ln(1/delta), what the stakes go for.
    Each stake is at most 1 and comes from the running variance of the losses before it.
    """
    capital = best = 1.0
    total, squares = 0.5, 0.25  # of the losses so far, with half a loss of variance 1/4 before
    for i in range(loss.size):
        variance = squares / (i + 1)
        stake = min(1.0, np.sqrt(2 * aim / (loss.size * variance)))
        capital *= 1 - stake * (loss[i] - risk)
        best = max(best, capital)
        total += loss[i]
        squares += (loss[i] - total / (i + 2)) ** 2
    return best
