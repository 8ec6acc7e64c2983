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


def errors_from(confidence: Numbers, loss: Numbers, threshold: float) -> float:
    """The summed loss of what a threshold accepts."""
    return sum(l for c, l in zip(confidence, loss) if c >= threshold)


def widest(confidence: Numbers, passing: list[float]) -> int | None:
    """How many the lowest of these thresholds accepts; None of none."""
    return sum(c >= min(passing) for c in confidence) if passing else None


def monotone(confidence: Numbers, loss: Numbers, risk: float, delta: float) -> int | None:
    """How many the lowest threshold accepts whose errors, among all rows, pass one test."""

    def p_value(total: float) -> float:
        if set(loss) <= {0, 1}:
            return float(reference.binomial_cdf(int(total), len(loss), Fraction(risk)))
        return hoeffding_bentkus(total, len(loss), risk)

    totals = {t: errors_from(confidence, loss, t) for t in confidence}
    return widest(confidence, [t for t, total in totals.items() if p_value(total) <= delta])


def on_average(confidence: Numbers, loss: Numbers, risk: str) -> int | None:
    """How many are accepted by conformal risk control; the risk in decimals."""
    most = Fraction(risk) * (len(loss) + 1) - 1
    errors = {t: errors_from(confidence, loss, t) for t in confidence}
    return widest(confidence, [t for t, total in errors.items() if total <= most])


def accepted_of_batch(
    confidence: Numbers, loss: Numbers, batch: Numbers, risk: str
) -> tuple[list[bool], list[Fraction]]:
    """Conformal p-values, and Benjamini and Hochberg's choice among them."""
    n, m = len(loss), len(batch)
    p = [Fraction(1 + int(errors_from(confidence, loss, c)), n + 1) for c in batch]
    largest = max(
        (p_k for k, p_k in enumerate(sorted(p), 1) if p_k <= Fraction(risk) * k / m), default=-1
    )
    return [p_j <= largest for p_j in p], p
