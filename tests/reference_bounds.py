"""Bounds and thresholds in the slowest obvious way: plain loops; nothing here imports recuse."""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction

import reference

Numbers = Sequence[float]


def hoeffding(total: float, n: int, risk: float) -> float:
    """exp(-n kl(mean, risk)), term by term; 1 from mean = risk on."""
    mean = total / n
    if mean >= risk:
        return 1.0
    kl = (1 - mean) * math.log((1 - mean) / (1 - risk))
    if mean > 0:
        kl += mean * math.log(mean / risk)
    return math.exp(-n * kl)


def hoeffding_bentkus(total: float, n: int, risk: float) -> float:
    tail = math.e * float(reference.binomial_cdf(math.ceil(total), n, Fraction(risk)))
    return min(1.0, tail, hoeffding(total, n, risk))


def capital(losses: Numbers, risk: float, delta: float) -> list[float]:
    """The bettor's capital after 0, 1, .. n losses."""
    path, n = [1.0], len(losses)
    for i in range(n):
        means = [(0.5 + sum(losses[: j + 1])) / (j + 2) for j in range(i)]
        squares = sum((losses[j] - means[j]) ** 2 for j in range(i))
        variance = (0.25 + squares) / (i + 1)
        stake = min(1.0, math.sqrt(2 * math.log(1 / delta) / (n * variance)))
        path.append(path[-1] * (1 - stake * (losses[i] - risk)))
    return path


def first_failure(
    order: Numbers, confidence: Numbers, loss: Numbers, risk: float, delta: float
) -> float | None:
    """The last threshold of a fixed sequence before one fails its exact binomial test."""
    deployed = None
    for t in order:
        accepted = [l for c, l in zip(confidence, loss) if c >= t]
        if float(reference.binomial_cdf(int(sum(accepted)), len(accepted), Fraction(risk))) > delta:
            return deployed
        deployed = t
    return deployed


def above_rank(
    confidence: Numbers, loss: Numbers, points: int, risk: float, delta: float
) -> int | None:
    """Bonferroni over ranks: how many examples the widest passing choice accepts, or None.

    Rank j n / points, for j = 1..points - 1, leaves that many above it (fewer if tied); the
    last choice is everything.
    """
    ordered, n, widest = sorted(confidence, reverse=True), len(loss), None
    regions = [
        [l for c, l in zip(confidence, loss) if c > ordered[j * n // points]]
        for j in range(1, points)
    ]
    for losses in [*regions, list(loss)]:
        tail = reference.binomial_cdf(int(sum(losses)), len(losses), Fraction(risk))
        if losses and float(tail) <= delta / points:
            widest = len(losses)
    return widest


def sgr(confidence: Numbers, loss: Numbers, risk: float, delta: float) -> float | None:
    """Algorithm 2 of Geifman & El-Yaniv: the smallest passing confidence that its search meets."""
    ordered, n = sorted(confidence), len(loss)
    low, high, found = 0, n - 1, None
    steps = math.ceil(math.log2(n)) if n > 1 else 1
    for _ in range(steps + 1):
        middle = math.ceil((low + high) / 2)
        accepted = [l for c, l in zip(confidence, loss) if c >= ordered[middle]]
        tail = reference.binomial_cdf(int(sum(accepted)), len(accepted), Fraction(risk))
        if float(tail) <= delta / steps:
            high, found = middle, ordered[middle]
        else:
            low = middle
    return found


def coverage_rank(n: int, coverage: float, delta: float) -> int | None:
    """The smallest k with P(Bin(n, coverage) >= k) <= delta."""
    for k in range(1, n + 1):
        if float(1 - reference.binomial_cdf(k - 1, n, Fraction(coverage))) <= delta:
            return k
    return None


def mean_cost(
    confidence: Numbers, loss: Numbers, threshold: float, error: float, abstain: float
) -> float:
    costs = [error * l if c >= threshold else abstain for c, l in zip(confidence, loss)]
    return sum(costs) / len(costs)
