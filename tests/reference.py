"""The definitions, in the slowest obvious way: plain loops over Python floats.

Benchmarks and tests share them; nothing here imports recuse.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from fractions import Fraction

Numbers = Sequence[float]


def by_confidence(confidence: Numbers, loss: Numbers) -> list[tuple[float, list[float]]]:
    """Distinct confidences, decreasing, each with the losses that it carries."""
    return [
        (c, [l for d, l in zip(confidence, loss) if d == c])
        for c in sorted(set(confidence), reverse=True)
    ]


def operating_points(confidence: Numbers, loss: Numbers) -> list[tuple[int, float]]:
    """(accepted, summed loss) for every threshold."""
    points, accepted, total = [], 0, Fraction(0)
    for _, losses in by_confidence(confidence, loss):
        accepted += len(losses)
        total += sum(map(Fraction, losses))
        points.append((accepted, total))
    return points


def aurc(confidence: Numbers, loss: Numbers) -> float:
    """Mean of the risk of the first k, k = 1..n; a tie counts as the mean over its orders.

    In the mean over orders, the j-th of a tie of m carries the tie's mean loss.
    """
    done, total, area = 0, Fraction(0), Fraction(0)
    for _, losses in by_confidence(confidence, loss):
        mean = sum(map(Fraction, losses)) / len(losses)
        for _ in losses:
            done += 1
            total += mean
            area += total / done
    return float(area / done)


def aurc_over_all_orders(confidence: Numbers, loss: Numbers) -> float:
    """The same by brute force: every order that sorts the confidences, averaged."""
    areas = []
    for order in itertools.permutations(range(len(loss))):
        if all(confidence[a] >= confidence[b] for a, b in itertools.pairwise(order)):
            total, area = 0.0, 0.0
            for k, i in enumerate(order, 1):
                total += loss[i]
                area += total / k
            areas.append(area / len(loss))
    return math.fsum(areas) / len(areas)


def aurc_of_weights(confidence: Numbers, loss: Numbers, weights: Numbers) -> float:
    """The risk at 20,000 equal steps of coverage, averaged; a tie has its mean loss throughout."""
    order = sorted(range(len(loss)), key=lambda i: -confidence[i])
    tie = {
        c: [
            math.fsum(w * l for d, l, w in zip(confidence, loss, weights) if d == c),
            math.fsum(w for d, w in zip(confidence, weights) if d == c),
        ]
        for c in confidence
    }
    steps, total = 20_000, math.fsum(weights)
    area, mass, cost, i = 0.0, 0.0, 0.0, 0
    for step in range(steps):
        at = (step + 0.5) / steps * total
        while mass + weights[order[i]] < at and i < len(order) - 1:
            mean = tie[confidence[order[i]]][0] / (tie[confidence[order[i]]][1] or 1)
            mass, cost, i = mass + weights[order[i]], cost + weights[order[i]] * mean, i + 1
        e, w = tie[confidence[order[i]]]
        area += (cost + (at - mass) * (e / w if w else 0.0)) / at / steps
    return area


def augrc(confidence: Numbers, loss: Numbers) -> float:
    done, total, area = 0, Fraction(0), Fraction(0)
    for _, losses in by_confidence(confidence, loss):
        mean = sum(map(Fraction, losses)) / len(losses)
        for _ in losses:
            done += 1
            total += mean
            area += total
    return float(area / done / done)


def oracle(loss: Numbers) -> float:
    """AURC of the best order."""
    return aurc([-l for l in loss], loss)


def e_aurc(confidence: Numbers, loss: Numbers) -> float:
    return aurc(confidence, loss) - oracle(loss)


def n_aurc(confidence: Numbers, loss: Numbers) -> float:
    return e_aurc(confidence, loss) / (math.fsum(loss) / len(loss) - oracle(loss))


def coverage_at_risk(confidence: Numbers, loss: Numbers, risk: float) -> float:
    n = len(loss)
    reached = [k / n for k, e in operating_points(confidence, loss) if float(e) / k <= risk]
    return max(reached, default=0.0)


def risk_at_coverage(confidence: Numbers, loss: Numbers, coverage: float) -> float:
    n = len(loss)
    return next(float(e) / k for k, e in operating_points(confidence, loss) if k / n >= coverage)


# Scores of one row of logits, straight from the formula


def softmax(z: Numbers) -> list[float]:
    top = max(z)
    odds = [math.exp(x - top) for x in z]
    return [o / math.fsum(odds) for o in odds]


def msp(z: Numbers) -> float:
    """Log-odds of the largest probability."""
    top = max(range(len(z)), key=lambda i: (z[i], -i))
    return z[top] - logsumexp([x for i, x in enumerate(z) if i != top])


def logsumexp(z: Numbers) -> float:
    top = max(z)
    return top + math.log(math.fsum(math.exp(x - top) for x in z))


def max_logit(z: Numbers) -> float:
    return max(z)


def margin(z: Numbers) -> float:
    first, second = sorted(z, reverse=True)[:2]
    return first - second


def entropy(z: Numbers) -> float:
    """Negative, so that larger is more certain."""
    return math.fsum(p * math.log(p) for p in softmax(z) if p > 0)


def gini(z: Numbers) -> float:
    return math.fsum(p * p for p in softmax(z)) - 1


def gen(z: Numbers, gamma: float, top: int) -> float:
    """Generalised entropy of the largest probabilities, negative."""
    largest = sorted(softmax(z), reverse=True)[:top]
    return -math.fsum((p * (1 - p)) ** gamma for p in largest)


def prob_margin(z: Numbers) -> float:
    """-log(1 - difference of the two largest probabilities)."""
    _, second, *rest = sorted(softmax(z), reverse=True)
    return -math.log(math.fsum([*rest, 2 * second]))


def renyi(z: Numbers, alpha: float) -> float:
    """Renyi entropy, negative."""
    return math.log(math.fsum(p**alpha for p in softmax(z))) / (alpha - 1)


def features(z: Numbers) -> list[float]:
    """What a learned score sees of a row whose maximum is unique."""
    mean = math.fsum(z) / len(z)
    *others, top = sorted(x - mean for x in z)
    norms = [math.fsum(abs(v) ** p for v in others) ** (1 / p) for p in (1, 2, 4)]
    logs = [math.log(x) for x in (top, margin(z), -entropy(z), *(top / n for n in norms))]
    return [msp(z), msp(z) ** 2, msp([x / 4 for x in z]), *logs, mean, mean**2]


def learned(z: Numbers, p: dict) -> float:
    """The learned score with parameters p."""
    total = p["slope"] * msp(z) + p["intercept"]
    if "class_intercepts" in p:
        total += p["class_intercepts"][z.index(max(z))]
    for j, feature in enumerate(features(z)):
        clipped = min(max(feature, p["low"][j]), p["high"][j])
        total += p["weights"][j] * (clipped - p["center"][j]) / p["scale"][j]
    return total


def energy(z: Numbers, temperature: float) -> float:
    return temperature * logsumexp([x / temperature for x in z])


def norm_ratio(z: Numbers, p: float, center: bool) -> float:
    """max(v) / ||v||_p, the textbook form."""
    mean = math.fsum(z) / len(z) if center else 0.0
    v = [x - mean for x in z]
    size = max(map(abs, v)) if p == math.inf else math.fsum(abs(x) ** p for x in v) ** (1 / p)
    return max(v) / size


# Binomial tails in exact arithmetic


def binomial_cdf(k: int, n: int, risk: Fraction) -> Fraction:
    """P(Bin(n, risk) <= k)."""
    return sum(
        (math.comb(n, i) * risk**i * (1 - risk) ** (n - i) for i in range(k + 1)), Fraction(0)
    )


def crossing_probability(boundary: Sequence[int], risk: float) -> float:
    """P(the walk of Bernoulli(risk) errors is at or below the boundary at some step)."""
    alive, crossed = {0: 1.0}, 0.0
    for limit in boundary:
        following: dict[int, float] = {}
        for e, p in alive.items():
            following[e] = following.get(e, 0.0) + p * (1 - risk)
            following[e + 1] = following.get(e + 1, 0.0) + p * risk
        crossed += math.fsum(p for e, p in following.items() if e <= limit)
        alive = {e: p for e, p in following.items() if e > limit}
    return crossed


# Uncertainty


def crossing_or_at(boundary: Sequence[int], rank: int, c: int, risk: float) -> float:
    """P(the walk is at or under the boundary somewhere, or W_rank <= c), over all its paths."""
    total = 0.0
    for path in itertools.product((0, 1), repeat=len(boundary)):
        walk = list(itertools.accumulate(path))
        if any(w <= b for w, b in zip(walk, boundary)) or walk[rank - 1] <= c:
            total += risk ** sum(path) * (1 - risk) ** (len(path) - sum(path))
    return total


def influence(confidence: Numbers, loss: Numbers) -> list[float]:
    """Of AURC: l w - tail + mean(l) - mean(l w), w and tail averaged over ties."""
    n = len(loss)
    order = sorted(range(n), key=lambda i: -confidence[i])
    mean = {c: math.fsum(ls) / len(ls) for c, ls in by_confidence(confidence, loss)}
    weight, tail = [0.0] * n, [0.0] * n
    for place, i in enumerate(order):
        weight[i] = math.fsum(1 / j for j in range(place + 1, n + 1))
        tail[i] = math.fsum(mean[confidence[order[j - 1]]] / j for j in range(place + 1, n + 1))
    weight, tail = (over_ties(confidence, x) for x in (weight, tail))
    shift = math.fsum(loss) / n - math.fsum(l * w for l, w in zip(loss, weight)) / n
    return [l * w - t + shift for l, w, t in zip(loss, weight, tail)]


def over_ties(confidence: Numbers, x: Numbers) -> list[float]:
    """The mean of x over the rows of equal confidence."""
    tie = {c: [v for d, v in zip(confidence, x) if d == c] for c in confidence}
    return [math.fsum(tie[c]) / len(tie[c]) for c in confidence]


def augrc_of_weights(confidence: Numbers, loss: Numbers, weights: Numbers) -> float:
    """The mean over pairs of the loss of one where the other is not more certain; ties half."""
    total = math.fsum(weights)
    return (
        math.fsum(
            v * w * l * (1.0 if d < c else 0.5 if d == c else 0.0)
            for c, l, v in zip(confidence, loss, weights)
            for d, w in zip(confidence, weights)
        )
        / total**2
    )


def holm(p_values: Numbers) -> list[float]:
    """Reject from the smallest while p <= level / (those left): the level at which each falls."""
    adjusted, so_far = [0.0] * len(p_values), 0.0
    left = list(range(len(p_values)))
    while left:
        i = min(left, key=lambda j: p_values[j])
        so_far = max(so_far, min(1.0, len(left) * p_values[i]))
        adjusted[i] = so_far
        left.remove(i)
    return adjusted
