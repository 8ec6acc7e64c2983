"""The map from confidence to an estimated probability of being right.

n = tuning rows, b = vertices of the map.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from recuse.curves._curve import TieGroups, tie_groups

if TYPE_CHECKING:
    from jaxtyping import Bool, Float, Float32
    from numpy import ndarray as Array

BIN_ROWS = 25  # about so many tuning rows in a bin, fewer before a large tie


class IsotonicMap(NamedTuple):
    """A monotone piecewise linear map from confidence to the probability of being right."""

    confidence: tuple[float, ...]  # not decreasing
    probability: tuple[float, ...]  # not decreasing

    def __call__(self, confidence: Array) -> Float[Array, ...]:
        """Interpolate; constant beyond the ends."""
        return np.interp(confidence.astype(np.float64), self.confidence, self.probability)

    def valid(self) -> bool:
        """Return whether both columns are finite, of one length, and do not fall."""
        if not all(
            type(x) is float and np.isfinite(x) for x in (*self.confidence, *self.probability)
        ):
            return False
        c, p = np.array(self.confidence), np.array(self.probability)
        if not c.size == p.size > 0:
            return False
        rises = bool(np.all(np.diff(c) >= 0) and np.all(np.diff(p) >= 0))
        return rises and p[0] > 0 and p[-1] < 1


def fit_isotonic_map(confidence: Float32[Array, " n"], correct: Bool[Array, " n"]) -> IsotonicMap:
    """Isotonic regression of being right on confidence, over bins of neighbours.

    Each bin counts half a success and half a failure more, so that no probability is 0 or 1. The
    map is an estimate without a guarantee. A learned score was fitted to the same rows, which
    makes it a little optimistic; a map from cross-fitted confidences was tried on real models and
    predicted the error of test rows no better, so there is one way.

    Args:
        confidence: Shape (n,), of the tuning split.
        correct: Shape (n,), whether the prediction is right.

    >>> c = np.arange(100, dtype=np.float32)
    >>> fit_isotonic_map(c, c > 40)(np.float32([0, 99])).round(3)
    array([0.019, 0.981])
    """
    from scipy.optimize import isotonic_regression

    group = TieGroups(*(column[::-1] for column in tie_groups(confidence, correct)))
    last = max(group.count.sum() // BIN_ROWS - 1, 0)  # a short last bin joins its neighbour
    bin = np.minimum((np.cumsum(group.count) - 1) // BIN_ROWS, last)
    start = np.flatnonzero(np.diff(bin, prepend=-1))
    count = np.add.reduceat(group.count, start).astype(np.float64)
    rate = (np.add.reduceat(group.loss, start) + 0.5) / (count + 1)
    finite = np.nan_to_num(group.confidence).astype(np.float64)
    where = np.add.reduceat(finite * group.count, start) / count
    fitted = isotonic_regression(rate, weights=count).x
    return IsotonicMap(tuple(map(float, where)), tuple(map(float, fitted)))
