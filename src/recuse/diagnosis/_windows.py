"""Mean and spread of one number in a window that slides over another.

n = predictions, m = places of the window.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from recuse._internal.check import check_confidence
from recuse.errors import InputError

if TYPE_CHECKING:
    from jaxtyping import Bool, Float, Int
    from numpy import ndarray as Array
    from numpy.typing import ArrayLike

LEAST = 10  # rows without which a place says too little to be drawn


class Window(NamedTuple):
    """What the window holds at each of its places."""

    at: Float[Array, " m"]  # its middle
    mean: Float[Array, " m"]  # of y; NaN where it is empty
    sd: Float[Array, " m"]  # root of the mean squared deviation; NaN where it is empty
    count: Int[Array, " m"]

    @property
    def filled(self) -> Window:
        """The places that hold 10 rows or more."""
        return Window(*(column[self.count >= LEAST] for column in self))


NOWHERE = Window(*np.empty((3, 0)), np.empty(0, np.int64))


class Windows(NamedTuple):
    """The same window over right and over wrong predictions, where it holds 10 or more of them."""

    right: Window
    wrong: Window


def sliding(x: ArrayLike, y: ArrayLike, *, width: float, at: ArrayLike) -> Window:
    """Mean and standard deviation of y over the rows with |x - at| <= width / 2.

    From cumulative sums over the sorted x, O(n log n) for any number of places. y is taken from
    its mean first; what is left of rounding is about 1e-16 n / count of the variance of all y.

    Args:
        x: Shape (n,).
        y: Shape (n,), finite.
        width: Of the window, > 0; both of its ends belong to it.
        at: Shape (m,): its middles, in any order.

    Raises:
        InputError: Shapes differ, a NaN, an infinite y, or a width that is not positive.

    >>> sliding([0, 1, 2, 9], [1, 3, 5, 7], width=2, at=[1, 5, 9]).mean
    array([ 3., nan,  7.])
    """
    x, y = (_numbers(v, name) for v, name in ((x, "x"), (y, "y")))
    if x.shape != y.shape or not np.isfinite(y).all():
        raise InputError(f"expected `x` and finite `y` of one shape, got {x.shape} and {y.shape}")
    if not 0 < width < np.inf:
        raise InputError(f"expected `width` > 0, got {width}")
    at = np.asarray(at, np.float64)
    order = np.lexsort((y, x))
    x, pivot = x[order], np.sort(y).mean()
    deviation = y[order] - pivot
    first = np.searchsorted(x, at - width / 2, side="left")
    last = np.searchsorted(x, at + width / 2, side="right")
    count = last - first
    of = np.where(count == 0, np.nan, count)
    sums = (np.r_[0.0, np.cumsum(v)] for v in (deviation, deviation**2))
    mean, square = ((total[last] - total[first]) / of for total in sums)
    return Window(at, pivot + mean, np.sqrt(np.maximum(square - mean**2, 0)), count)


def windows(
    x: Float[Array, " n"],
    y: Float[Array, " n"],
    wrong: Bool[Array, " n"],
    *,
    width: float,
    at: Float[Array, " m"],
) -> Windows:
    """`sliding` of right and of wrong predictions apart; Args and errors as there.

    References:
        Xia et al., 2024, figure 9 right: y the maximum logit, x the MSP, width 0.05.

    >>> x, wrong = np.arange(40) / 40, np.arange(40) % 2 == 0
    >>> windows(x, 2 * x + wrong, wrong, width=1, at=np.array([0.5, 9])).wrong.mean.round(3)
    array([1.95])
    """
    of = (
        sliding(x[r], y[r], width=width, at=at).filled if r.any() else NOWHERE
        for r in (~wrong, wrong)
    )
    return Windows(*of)


def _numbers(x: ArrayLike, name: str) -> Float[Array, " n"]:
    return check_confidence(x, where=f"`{name}`").astype(np.float64)
