"""What the figures of an evaluation show, in the slowest obvious way."""

from __future__ import annotations

import math
from collections.abc import Sequence

Numbers = Sequence[float]


def histogram(confidence: Numbers, loss: Numbers, edge: Numbers, wrong: bool) -> list[int]:
    """Count in each bin, its lower edge inside, the outermost open."""
    out = [0] * (len(edge) - 1)
    for c, l in zip(confidence, loss):
        if (l > 0) == wrong:
            out[max(sum(c >= e for e in edge[:-1]) - 1, 0)] += 1
    return out


def reliability(probability: Numbers, loss: Numbers, bins: int) -> list[tuple[int, list[float]]]:
    """Of each bin that is not empty its number and its losses; 1 is in the last."""
    held: dict[int, list[float]] = {}
    for q, l in zip(probability, loss):
        held.setdefault(min(math.floor(q * bins), bins - 1), []).append(l)
    return sorted(held.items())


def confusion(
    labels: Sequence[int],
    predicted: Sequence[int],
    accept: Sequence[bool],
    kept: Sequence[int],
    others: bool,
) -> list[list[int]]:
    """Counts of the kept classes, then of all others together, then of abstentions."""
    places = [*kept, *(["others"] if others else [])]

    def place(k: int) -> int:
        return places.index(k if k in kept else "others")

    out = [[0] * (len(places) + 1) for _ in places]
    for y, said, a in zip(labels, predicted, accept):
        out[place(y)][place(said) if a else len(places)] += 1
    return out


def most_wrong(errors: Sequence[int], most: int) -> list[int]:
    """The classes with the most errors, the first of equals, in their order; all if one is left."""
    if len(errors) <= most + 1:
        return list(range(len(errors)))
    return sorted(sorted(range(len(errors)), key=lambda k: -errors[k])[:most])  # sorted is stable


def tail(k: int, n: int, p: float) -> float:
    """P(at most k of n)."""
    return math.fsum(math.comb(n, j) * p**j * (1 - p) ** (n - j) for j in range(k + 1))


def exact_interval(k: int, n: int) -> tuple[float, float]:
    """Clopper-Pearson at 95 %, by bisection of binomial tails."""

    def root(decreasing, at: float) -> float:
        low, high = 0.0, 1.0
        for _ in range(60):
            middle = (low + high) / 2
            low, high = (middle, high) if decreasing(middle) > at else (low, middle)
        return low

    low = root(lambda p: tail(k - 1, n, p), 0.975) if k else 0.0
    return low, root(lambda p: tail(k, n, p), 0.025) if k < n else 1.0
