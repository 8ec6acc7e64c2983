"""Reliability of probabilities: is a prediction made with 80 % right 80 % of the time?

n = examples, b = bins that are not empty.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from recuse._check import InputError, check_confidence, check_loss, check_zero_one

if TYPE_CHECKING:
    from jaxtyping import Float, Int
    from numpy import ndarray as Array
    from numpy.typing import ArrayLike


class Reliability(NamedTuple):
    """Stated and observed rate of being right, for the bins that hold predictions."""

    probability: Float[Array, " b"]  # mean stated probability
    accuracy: Float[Array, " b"]  # fraction right
    count: Int[Array, " b"]


def reliability(probability: ArrayLike, loss: ArrayLike, *, bins: int = 15) -> Reliability:
    """Stated against observed probability of being right, in bins of equal width.

    The last bin is closed: a probability of exactly 1 falls into it.

    Args:
        probability: Shape (n,), in [0, 1]: the stated probability of being right.
        loss: Shape (n,), 0 or 1.
        bins: Number of equal bins of [0, 1].

    >>> reliability([1.0, 0.97, 0.5], [0, 1, 0], bins=10).accuracy
    array([1. , 0.5])
    """
    q = check_confidence(probability, where="`probability`").astype(np.float64)
    if q.min() < 0 or q.max() > 1:
        raise InputError(f"expected `probability` in [0, 1], got {q.min():g} to {q.max():g}")
    l = check_zero_one(check_loss(loss, q.size))
    order = np.lexsort((l, q))  # sums must not depend on the order of the input
    q, l = q[order], l[order]
    index = np.minimum((q * bins).astype(int), bins - 1)
    count = np.bincount(index, minlength=bins)
    held = count > 0
    stated = np.bincount(index, q, bins)
    right = np.bincount(index, 1 - l, bins)
    return Reliability(stated[held] / count[held], right[held] / count[held], count[held])


def ece(probability: ArrayLike, loss: ArrayLike, *, bins: int = 15) -> float:
    """Expected calibration error: mean gap of stated and observed rate, weighted by count.

    References:
        Naeini et al., AAAI 2015; Guo et al., ICML 2017.

    >>> round(ece([0.9] * 100, [0] * 90 + [1] * 10), 12)
    0.0
    """
    bin = reliability(probability, loss, bins=bins)
    gap = np.abs(bin.probability - bin.accuracy)
    return float(np.sum(gap * bin.count) / bin.count.sum())
