"""Calibration, in the slowest obvious way: plain loops over Python floats."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence

from reference import logsumexp, softmax

Numbers = Sequence[float]


def nll(logits: Sequence[Numbers], labels: Sequence[int], temperature: float = 1.0) -> float:
    scaled = [[x / temperature for x in z] for z in logits]
    return math.fsum(logsumexp(z) - z[y] for z, y in zip(scaled, labels)) / len(labels)


def brier(logits: Sequence[Numbers], labels: Sequence[int]) -> float:
    total = 0.0
    for z, y in zip(logits, labels):
        total += math.fsum((p - (k == y)) ** 2 for k, p in enumerate(softmax(z)))
    return total / len(labels)


def top_label_brier(probability: Numbers, loss: Numbers) -> float:
    return math.fsum((q - (1 - l)) ** 2 for q, l in zip(probability, loss)) / len(loss)


def gap(bin_of: Sequence[int], stated: Numbers, observed: Numbers) -> float:
    """The mean over bins of |mean stated - mean observed|, weighted by count."""
    members = defaultdict(list)
    for b, q, o in zip(bin_of, stated, observed):
        members[b].append((q, o))
    total = 0.0
    for rows in members.values():
        mean_stated = math.fsum(q for q, _ in rows) / len(rows)
        mean_observed = math.fsum(o for _, o in rows) / len(rows)
        total += len(rows) * abs(mean_stated - mean_observed)
    return total / len(stated)


def equal_width(q: float, bins: int) -> int:
    """What float32 may have moved below an edge, by 2^-23 of it, is taken to be on the edge."""
    return min(int(q * (1 + 2**-23) * bins), bins - 1)


def ece(probability: Numbers, loss: Numbers, bins: int) -> float:
    return gap([equal_width(q, bins) for q in probability], probability, [1 - l for l in loss])


def equal_mass_ece(probability: Numbers, loss: Numbers, bins: int) -> float:
    """The bin of q is that of the mean rank of its equals, among ranks 0..n-1."""
    index = []
    for q in probability:
        ranks = [i for i, other in enumerate(sorted(probability)) if other == q]
        index.append(bins * (ranks[0] + ranks[-1]) // (2 * len(probability)))
    return gap(index, probability, [1 - l for l in loss])


def classwise_ece(logits: Sequence[Numbers], labels: Sequence[int], bins: int) -> float:
    classes, rows = len(logits[0]), [softmax(z) for z in logits]
    gaps = []
    for k in range(classes):
        stated = [pi[k] for pi in rows]
        observed = [float(y == k) for y in labels]
        gaps.append(gap([equal_width(q, bins) for q in stated], stated, observed))
    return math.fsum(gaps) / classes


def smooth_ece_at(probability: Numbers, loss: Numbers, width: float, points: int = 4000) -> float:
    """The integral over t of the residuals under a Gaussian with its mirror images."""
    total = 0.0
    for j in range(points):
        t, at_t = (j + 0.5) / points, 0.0
        for q, l in zip(probability, loss):
            for image in range(-2, 3):
                for center in (q + 2 * image, -q + 2 * image):
                    at_t += (q - (1 - l)) * math.exp(-(((t - center) / width) ** 2) / 2)
        total += abs(at_t) / (width * math.sqrt(2 * math.pi) * len(loss))
    return total / points
