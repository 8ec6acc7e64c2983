"""Sources and outliers by their definitions: plain loops over exact fractions.

Nothing here imports recuse.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from fractions import Fraction

Numbers = Sequence[float]


def weights(source: Sequence[str], shares: Mapping[str, Fraction] | None) -> list[Fraction]:
    """Weight of each row: the share of its source divided by its number of rows. The sum is 1."""
    n = len(source)
    if shares is None:
        return [Fraction(1, n)] * n
    return [shares[s] / source.count(s) for s in source]


def point(
    confidence: Numbers, loss: Numbers, weight: Sequence[Fraction], threshold: float
) -> tuple[float, float]:
    """Coverage and risk of one threshold; the risk is 0 if nothing is accepted."""
    inside = [i for i, c in enumerate(confidence) if c >= threshold]
    mass = sum((weight[i] for i in inside), Fraction(0))
    cost = sum((weight[i] * Fraction(loss[i]) for i in inside), Fraction(0))
    return float(mass), float(cost / mass) if mass else 0.0


def threshold_at_coverage(
    confidence: Numbers, loss: Numbers, weight: Sequence[Fraction], coverage: float
) -> float:
    """Strictest threshold with at least this coverage."""
    reached = [c for c in confidence if point(confidence, loss, weight, c)[0] >= coverage]
    return max(reached)


def threshold_at_risk(
    confidence: Numbers, loss: Numbers, weight: Sequence[Fraction], risk: float
) -> float:
    """Most lenient threshold with at most this risk; +inf if there is none."""
    reached = [c for c in confidence if point(confidence, loss, weight, c)[1] <= risk]
    return min(reached, default=math.inf)


def counts(
    confidence: Numbers, loss: Numbers, source: Sequence[str], threshold: float
) -> dict[str, tuple[int, int, float]]:
    """Number of rows, number of accepted rows and their summed loss, for each source."""
    out = {}
    for name in sorted(set(source)):
        n = k = 0
        total = Fraction(0)
        for c, l, s in zip(confidence, loss, source):
            if s == name:
                n += 1
                if c >= threshold and threshold != math.inf:
                    k += 1
                    total += Fraction(l)
        out[name] = (n, k, float(total))
    return out


def aurc_of_weights(confidence: Numbers, loss: Numbers, weight: Sequence[Fraction]) -> float:
    """Integral of risk over coverage, tie by tie; the loss of a tie is spread evenly."""
    area, mass, cost = 0.0, 0.0, 0.0
    for c in sorted(set(confidence), reverse=True):
        w = float(sum(weight[i] for i, d in enumerate(confidence) if d == c))
        e = float(sum(weight[i] * Fraction(loss[i]) for i, d in enumerate(confidence) if d == c))
        slope = e / w  # risk at x: (cost + slope (x - mass)) / x
        if mass:
            area += (cost - slope * mass) * math.log((mass + w) / mass)
        area += slope * w
        mass, cost = mass + w, cost + e
    return area / mass


def influence(confidence: Numbers, loss: Numbers, weight: Numbers) -> list[float]:
    """Influence of the weight of each row on the area: l v - tail - mean.

    v and tail sum, over the row and all later ones, each row's share of the weight up to it; tail
    multiplies the share by the loss. Tied rows have the weighted means of the tie.
    """
    order = sorted(range(len(loss)), key=lambda i: (-confidence[i], loss[i], weight[i]))

    def over_tie(x: dict[int, float], i: int) -> float:
        tie = [j for j in order if confidence[j] == confidence[i]]
        return math.fsum(weight[j] * x[j] for j in tie) / math.fsum(weight[j] for j in tie)

    loss_of = dict(enumerate(loss))
    share = {
        i: weight[i] / math.fsum(weight[j] for j in order[: k + 1]) for k, i in enumerate(order)
    }
    later = {i: order[k:] for k, i in enumerate(order)}
    v = {i: math.fsum(share[j] for j in later[i]) for i in order}
    tail = {i: math.fsum(share[j] * over_tie(loss_of, j) for j in later[i]) for i in order}
    own = [loss[i] * over_tie(v, i) - over_tie(tail, i) for i in range(len(loss))]
    mean = math.fsum(w * x for w, x in zip(weight, own)) / math.fsum(weight)
    return [x - mean for x in own]


def auroc(inside: Numbers, outside: Numbers) -> float:
    """Fraction of pairs in the right order; ties count one half."""
    won = Fraction(0)
    for a in inside:
        for b in outside:
            won += 1 if a > b else Fraction(1, 2) if a == b else 0
    return float(won / (len(inside) * len(outside)))


def fpr_at_tpr(inside: Numbers, outside: Numbers, tpr: float) -> float:
    """Fraction of outliers accepted at the strictest threshold that accepts `tpr` of the others."""
    for t in sorted(inside, reverse=True):
        if sum(a >= t for a in inside) / len(inside) >= tpr:
            return sum(b >= t for b in outside) / len(outside)
    raise ValueError("tpr above 1")
