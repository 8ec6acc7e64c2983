"""The evidence of `recuse.diagnose` in plain loops over Python floats; nothing imports recuse."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence

from reference import softmax

Row = Sequence[float]


def smoothed_loss(logits: Sequence[Row], labels: Sequence[int], a: float, scale: float) -> float:
    """Mean cross entropy of scaled logits against (1 - a) onehot + a / K."""
    total = 0.0
    for z, y in zip(logits, labels):
        p = softmax([scale * v for v in z])
        k = len(z)
        total -= math.fsum(((1 - a) * (c == y) + a / k) * math.log(p[c]) for c in range(k))
    return total / len(labels)


def mean_probability(logits: Sequence[Row], k: int) -> float:
    return math.fsum(softmax(z)[k] for z in logits) / len(logits)


def ratio_error(over: Row, under: Row, groups: Sequence[int]) -> float:
    """Of mean(over) / mean(under), by summing the influences in each group."""
    n, mean = len(over), math.fsum(under) / len(under)
    value = math.fsum(over) / n / mean
    sums = [
        math.fsum((o - value * u) / mean for o, u, g in zip(over, under, groups) if g == own)
        for own in sorted(set(groups))
    ]
    return math.sqrt(math.fsum(s * s for s in sums) / n**2 * len(sums) / (len(sums) - 1))


def low_spread(z: Row) -> float:
    low = sorted(z)[: max(2, int(0.7 * (len(z) - 1)))]
    return statistics.pstdev(low) / (max(z) - statistics.fmean(low))


def quantile(values: Row, q: float) -> float:
    """Linear between the order statistics."""
    ordered = sorted(values)
    at = q * (len(values) - 1)
    below = math.floor(at)
    above = min(below + 1, len(values) - 1)
    return ordered[below] + (at - below) * (ordered[above] - ordered[below])


def adjusted(values: Row, x: Row, strata: int) -> list[float]:
    """Residuals of a straight line in x within strata between quantiles of x."""
    edges = [quantile(x, i / strata) for i in range(1, strata)]
    stratum = [sum(v >= e for e in edges) for v in x]
    out = []
    for i, own in enumerate(stratum):
        rows = [j for j, s in enumerate(stratum) if s == own]
        mx = math.fsum(x[j] for j in rows) / len(rows)
        mv = math.fsum(values[j] for j in rows) / len(rows)
        squares = math.fsum((x[j] - mx) ** 2 for j in rows)
        cross = math.fsum((x[j] - mx) * (values[j] - mv) for j in rows)
        out.append(values[i] - mv - (cross / squares if squares > 0 else 0.0) * (x[i] - mx))
    return out


def squared_distance(x: Row, w: Row) -> float:
    return math.fsum((a - b) ** 2 for a, b in zip(x, w))


def inner(x: Row, w: Row) -> float:
    return math.fsum(a * b for a, b in zip(x, w))
