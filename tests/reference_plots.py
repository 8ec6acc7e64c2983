"""What the figures show, and what the top k logits do, in the slowest obvious way."""

from __future__ import annotations

import math
from collections.abc import Sequence

from reference import msp, norm_ratio

Numbers = Sequence[float]


def moments(values: Numbers) -> tuple[float, float]:
    """Mean and root mean squared deviation; NaN of nothing."""
    if not len(values):
        return math.nan, math.nan
    mean = math.fsum(values) / len(values)
    return mean, math.sqrt(math.fsum((v - mean) ** 2 for v in values) / len(values))


def sliding(x: Numbers, y: Numbers, width: float, at: Numbers) -> list[tuple[float, float, int]]:
    """Mean, deviation and count of y in each window, both ends inside."""
    out = []
    for middle in at:
        low, high = middle - width / 2, middle + width / 2
        inside = [b for a, b in zip(x, y) if low <= a <= high]
        out.append((*moments(inside), len(inside)))
    return out


def by_rank(rows: Sequence[Numbers], function, center: bool) -> list[tuple[float, float]]:
    """Moments of a function of the logit at each rank, the largest first."""
    ordered = []
    for z in rows:
        mean = math.fsum(z) / len(z) if center else 0.0
        ordered.append(sorted((x - mean for x in z), reverse=True))
    return [moments([function(z[rank]) for z in ordered]) for rank in range(len(rows[0]))]


def of_similar_msp(
    rows: Sequence[Numbers], p: float, center: bool, low: float, high: float
) -> list[tuple[float, float]]:
    """Maximum logit and max(v) / ||v||_p in a bin of MSP, trimmed at two deviations."""
    found = []
    for z in rows:
        if low <= 1 / (1 + math.exp(-msp(z))) < high:
            mean = math.fsum(z) / len(z) if center else 0.0
            found.append((max(z) - mean, norm_ratio(z, p, center)))
    mean, deviation = moments([top for top, _ in found])
    return [pair for pair in found if abs(pair[0] - mean) <= 2 * deviation]


def percentile_of_uncertainty(confidence: Numbers, i: int) -> float:
    """Examples more certain than the i-th, and half of those as certain, as a fraction."""
    above = sum(c > confidence[i] for c in confidence)
    same = sum(c == confidence[i] for c in confidence)
    return (above + same / 2) / len(confidence)


def surest_errors(models: dict, of: str, count: int, shared: bool) -> list[int]:
    """Wrong in `of`, or in all models, the most confident of `of` first."""
    judges = models if shared else {of: models[of]}
    wrong = [
        i for i in range(len(models[of][1])) if all(loss[i] > 0 for _, loss in judges.values())
    ]
    return sorted(wrong, key=lambda i: -models[of][0][i])[:count]  # sorted is stable


def front(points: dict[str, tuple[float, float]]) -> set[str]:
    """Names of (accuracy, area) pairs that none is at least as good as in both, and not equal."""
    return {
        name
        for name, (acc, area) in points.items()
        if not any(a >= acc and b <= area and (a, b) != (acc, area) for a, b in points.values())
    }


# The top k logits: v sorted, the largest first


def raised(v: Numbers, k: int, eta: float) -> list[float]:
    """eta added to the first k."""
    return [x + eta if i < k else x for i, x in enumerate(v)]


def tail_mass(v: Numbers, k: int) -> float:
    """What the softmax gives to all but the first k."""
    odds = [math.exp(x - v[0]) for x in v]
    return math.fsum(odds[k:]) / math.fsum(odds)


def top_norm(v: Numbers, k: int, p: float) -> float:
    return math.fsum(abs(x) ** p for x in v[:k]) ** (1 / p)


def pull(v: Numbers, k: int, p: float) -> float:
    """Sum over the first k of v^(p-1) (v_1 - v): what lowers the ratio as all of them rise."""
    return math.fsum(x ** (p - 1) * (v[0] - x) for x in v[:k])


def tail_power(v: Numbers, k: int, p: float) -> float:
    """Sum over the others of |v|^p: what raises it."""
    return math.fsum(abs(x) ** p for x in v[k:])
