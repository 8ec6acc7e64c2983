"""Predictions in the only form that a curve depends on: which losses are tied, in what order.

n = predictions, k = distinct confidences (k <= n).

Many predictions with 0-1 losses become `Halves`, which cost four bytes each (float32) and are
read by compiled loops. Everything else becomes `TieGroups`.
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from recuse._internal.check import check_confidence, check_loss, to_numpy

if TYPE_CHECKING:
    from jaxtyping import Float, Int
    from numpy import ndarray as Array
    from numpy.typing import ArrayLike

HALF = ("float16", "bfloat16")
FLOATS = (np.float32, np.float64)
SMALLEST_COMPILED = 1 << 14  # below, NumPy is fast, and nobody waits for numba


class TieGroups(NamedTuple):
    """One entry for each confidence."""

    confidence: Float[Array, " k"]  # decreasing
    count: Int[Array, " k"]  # predictions at this confidence
    loss: Float[Array, " k"]  # their summed loss


class Halves:
    """The confidences of the right and of the wrong, each ascending."""

    def __init__(self, right: Float[Array, " r"], wrong: Float[Array, " w"]):
        self.right = right
        self.wrong = wrong
        self.n = right.size + wrong.size

    @cached_property
    def areas(self) -> tuple[float, float]:
        """The sums over k of E_k / k and of E_k."""
        from recuse._kernels import curves as kernels

        return kernels.areas(self.right, self.wrong)

    def groups(self) -> TieGroups:
        """The same, grouped."""
        from recuse._kernels import curves as kernels

        confidence, count, errors = kernels.ties(self.right, self.wrong)
        return TieGroups(confidence, count, errors.astype(np.float64))


def ranked(confidence: ArrayLike, loss: ArrayLike) -> Halves | TieGroups:
    """The form that is fastest for these predictions.

    Raises:
        InputError: Shapes differ, n is 0, a confidence is NaN, or a loss is negative.
    """
    return halves(confidence, loss) or grouped(confidence, loss)


def tie_groups(confidence: ArrayLike, loss: ArrayLike) -> TieGroups:
    """Group predictions by confidence, most confident first. Errors as in `ranked`."""
    found = ranked(confidence, loss)
    return found.groups() if isinstance(found, Halves) else found


def halves(confidence: ArrayLike, loss: ArrayLike) -> Halves | None:
    """None for few predictions, for other losses than 0 and 1, and for malformed input."""
    c, l = to_numpy(confidence), to_numpy(loss)
    if c.ndim != 1 or c.shape != l.shape or c.size < SMALLEST_COMPILED:
        return None
    if l.dtype == bool:
        l = l.view(np.uint8)
    c, l = (x.astype(np.float32) if x.dtype.name in HALF else x for x in (c, l))
    if c.dtype not in FLOATS or not (l.dtype.kind in "iu" or l.dtype in FLOATS):
        return None
    from recuse._kernels import curves as kernels

    out = np.empty_like(c)
    right, bad = kernels.partition(np.ascontiguousarray(c), np.ascontiguousarray(l), out)
    if bad:
        return None
    out[:right].sort()
    out[right:].sort()
    return Halves(out[:right], out[right:])


def grouped(confidence: ArrayLike, loss: ArrayLike) -> TieGroups:
    """`tie_groups` for any losses.

    Losses of a tie are summed in sorted order, so that the result does not depend on the
    order of the input, to the last bit.
    """
    c = check_confidence(confidence)
    l = check_loss(loss, c.size)
    order = np.argsort(c)[::-1]
    c, l = c[order], l[order]
    new = np.r_[True, c[1:] != c[:-1]]
    start = np.flatnonzero(new)
    if start.size < c.size:
        l = l[np.lexsort((l, np.cumsum(new)))]
    return TieGroups(c[start], np.diff(np.r_[start, c.size]), np.add.reduceat(l, start))
