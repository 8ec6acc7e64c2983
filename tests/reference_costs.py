"""Decisions by costs, in the slowest obvious way: every expected cost of every row, as fractions.

`costs[k]` is of label k: the cost of each answer, and last that of abstaining.
"""

from __future__ import annotations

import math
from fractions import Fraction

import reference_bounds

GRID = 2**40


def probabilities(z, temperature):
    """Softmax at a temperature; an impossible class has none."""
    odds = [math.exp((v - max(z)) / temperature) for v in z]
    return [o / sum(odds) for o in odds]


def expected(z, temperature, costs):
    """Of each answer, and last of abstaining."""
    p = probabilities(z, temperature)
    return [sum(p[k] * costs[k][j] for k in range(len(z))) for j in range(len(z) + 1)]


def cheapest(z, temperature, costs):
    """The cheapest possible answer, what it saves against abstaining, and its probability."""
    *answers, abstaining = expected(z, temperature, costs)
    possible = [j for j in range(len(z)) if z[j] > -math.inf]
    best = min(possible, key=lambda j: (answers[j], j))
    return best, abstaining - answers[best], probabilities(z, temperature)[best]


def spent(costs, labels, predictions, accepted):
    """The cost of every row, abstentions included."""
    return [costs[y][j if a else len(costs)] for y, j, a in zip(labels, predictions, accepted)]


def upper(paid, largest, delta):
    """The limit of the mean cost, by bisection of the p-value of costs in units of the largest."""
    total = Fraction(sum(Fraction(c) for c in paid)) / Fraction(largest)
    low, high = 0.0, 1.0
    for _ in range(50):
        middle = (low + high) / 2
        p = reference_bounds.hoeffding_bentkus(float(total), len(paid), middle)
        low, high = (low, middle) if p <= delta else (middle, high)
    return largest * high
