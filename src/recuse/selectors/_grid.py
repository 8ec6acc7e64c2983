"""Thresholds that may be tried, and what a split shows at each.

n = examples, m = thresholds, decreasing; accept when confidence >= threshold.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from jaxtyping import Float, Float32, Int, Shaped
    from numpy import ndarray as Array

EVERYTHING = -float(np.finfo(np.float32).max)  # the threshold that accepts all above -inf
UNIT = 2**32  # sums of losses are taken in whole units, rounded up: the order of rows is nothing


class Counts(NamedTuple):
    """Counts of a split at m thresholds."""

    accepted: Int[Array, " m"]
    errors: Shaped[Array, " m"]  # integers of 0-1 losses, summed losses otherwise

    def risk(self) -> Float[Array, " m"]:
        """Half an error more and one accepted more, so that none is 0 or undefined."""
        return (self.errors + 0.5) / (self.accepted + 1)


def is_binary(loss: Float[Array, " n"]) -> bool:
    """Whether every loss is 0 or 1."""
    return bool(((loss == 0) | (loss == 1)).all())


def counts(c: Float32[Array, " n"], l: Float[Array, " n"], grid: Float32[Array, " m"]) -> Counts:
    """Accepted, and errors (or summed losses) among them, at every threshold.

    >>> counts(np.float32([3, 1, 2]), np.array([0.0, 1.0, 1.0]), np.float32([2.5, 1]))
    Counts(accepted=array([1, 3]), errors=array([0, 2]))
    """
    if is_binary(l):
        return Counts(_reaching(np.sort(c), grid), _reaching(np.sort(c[l == 1]), grid))
    order = np.argsort(c)
    below = np.searchsorted(c[order], grid, side="left")
    units = np.r_[0, np.cumsum(np.ceil(l[order] * UNIT).astype(np.int64))]
    return Counts(c.size - below, (units[-1] - units[below]) / UNIT)


def _reaching(ordered: Array, grid: Array) -> Array:
    return ordered.size - np.searchsorted(ordered, grid, side="left")


def thresholds_between(
    confidence: Float32[Array, " n"], most: int | None = None
) -> Float32[Array, " m"]:
    """Thresholds in the middle of the gaps between confidences, decreasing; the last accepts all.

    All but those of -inf: thresholds are finite.

    Args:
        confidence: Shape (n,).
        most: About how many to keep, at evenly spaced ranks; all of them if None.

    >>> thresholds_between(np.float32([3, 1, 1, 2]))
    array([2.5, 1.5, 1. ], dtype=float32)
    """
    ordered = np.sort(finite(confidence))[::-1]
    last = np.r_[np.flatnonzero(ordered[1:] != ordered[:-1]), ordered.size - 1]
    if most is not None and last.size > most:
        ranks = np.linspace(1, ordered.size, most).round().astype(int) - 1
        last = np.unique(last[np.searchsorted(last, ranks)])
    high = ordered[last].astype(np.float64)
    low = np.r_[ordered[last[:-1] + 1], ordered[-1]].astype(np.float64)
    middle = ((high + low) / 2).astype(np.float32)
    reaches = (middle > low) & (middle <= high)
    return np.where(reaches, middle, high).astype(np.float32)


def thresholds_above_ranks(confidence: Float32[Array, " n"], most: int) -> Float32[Array, " m"]:
    """Thresholds that accept what lies strictly above `most` ranks fixed beforehand; the last, all.

    Given the value v of a rank, the rows above it are i.i.d. from the distribution of c > v; the
    row at the rank is not. So v itself is left out: the threshold is the next float32. Nothing
    lies strictly above +inf.

    >>> thresholds_above_ranks(np.float32([5, 4, 3, 2, 1, 0]), 3)
    array([ 3.0000002e+00,  1.0000001e+00, -3.4028235e+38], dtype=float32)
    """
    ordered = np.sort(confidence)[::-1]
    ranks = np.unique(np.arange(1, most) * ordered.size // most)  # from 0: so many lie above
    above = np.nextafter(ordered[ranks], np.float32(np.inf))
    return np.unique(np.r_[above[above < np.inf], np.float32(EVERYTHING)])[::-1]


def finite(confidence: Float32[Array, " n"]) -> Float32[Array, " n"]:
    """The confidences, or the finite thresholds that are next to them."""
    return np.clip(confidence, np.float32(EVERYTHING), np.float32(-EVERYTHING))
