"""The maximum logit of wrong and of right predictions at equal MSP.

n = predictions, w = 1 if wrong else 0, x = log-odds of MSP, v = maximum logit, m = positions of a
sliding window.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from recuse._internal.check import check_confidence
from recuse.diagnosis._rows import Rows
from recuse.errors import InputError
from recuse.intervals._influence import variance_of_mean
from recuse.intervals._interval import normal
from recuse.scores import as_probability
from recuse.tuning._tune import FEWEST_OF_EACH

if TYPE_CHECKING:
    from jaxtyping import Bool, Float, Int
    from numpy import ndarray as Array
    from numpy.typing import ArrayLike

STRATA = 20  # of equally many predictions; MSP is adjusted for linearly within each
WIDTH, STEP = 0.05, 0.01  # of a window over MSP, as in the paper
WIDTH_LOG_ODDS, STEP_LOG_ODDS = 0.5, 0.1
FIFTHS = 5
MOST_PLACES = 500  # positions of a window
TAIL = 0.005  # share of the predictions at either end where no window is centered
NOTHING_LEFT = 0.02  # share of the spread of v; with less, MSP determines v up to rounding
LEAST = 10  # rows that a window must hold to be drawn


class Window(NamedTuple):
    """Mean and spread of y in a window, at each of its positions."""

    at: Float[Array, " m"]  # middle of the window
    mean: Float[Array, " m"]  # NaN where the window is empty
    sd: Float[Array, " m"]  # root of the mean squared deviation; NaN likewise
    count: Int[Array, " m"]

    @property
    def filled(self) -> Window:
        """The positions with at least 10 rows."""
        return Window(*(column[self.count >= LEAST] for column in self))


NOWHERE = Window(*np.empty((3, 0)), np.empty(0, np.int64))


class Windows(NamedTuple):
    """The same window over right and over wrong predictions, where it holds at least 10 rows."""

    right: Window
    wrong: Window


@dataclass(frozen=True)
class MaxLogit:
    """Difference of the maximum logit, wrong minus right predictions, at equal MSP."""

    difference: float  # adjusted for MSP, in logits
    standard_error: float
    low: float  # 95 % interval
    high: float
    p_value: float  # two-sided
    relative: float  # in standard deviations of v at equal MSP
    relative_error: float
    centered: bool  # at the row's mean; not for two classes, where MSP alone would determine it
    msp: Windows  # over the MSP
    log_odds: Windows  # over its log-odds, which do not saturate


@dataclass(frozen=True)
class Gradient:
    """Prediction of the regularisation gradient, and the observed slope."""

    p_error: tuple[float, ...]  # error rate in fifths of the predictions, ordered by MSP
    pressed: tuple[float, ...]  # a (1 - p_error) - a / K: downward pressure on the maximum logit
    slope: float  # increase of P_error per unit of v, at equal MSP
    standard_error: float
    low: float  # 95 % interval
    high: float

    @property
    def agrees(self) -> bool:
        """Whether the slope is significantly positive, as predicted."""
        return self.low > 0


def max_logit_given_msp(r: Rows, num_classes: int, groups: Array | None) -> MaxLogit | None:
    r"""Test E[v | MSP, wrong] = E[v | MSP, right]; None if there is nothing to compare.

    The linear trend in x is removed from v and w within each of 20 strata of equally many
    predictions. The difference is then $\sum \tilde w \tilde v / \sum \tilde w^2$, a mean of the
    differences at each MSP, weighted by the number of pairs of wrong and right predictions. Its
    standard error is that of the influences
    $\tilde w (\tilde v - d \tilde w) / E[\tilde w^2]$, summed within groups.

    References:
        Robinson, Econometrica 1988 (partialling out); Xia et al., figure 9.
    """
    if (pair := compared(r)) is None:
        return None
    (w, v), x, p = pair, r.log_odds, as_probability(r.log_odds)
    difference, error = slope(w, v, groups)
    return MaxLogit(
        *(difference, error, *normal(difference, error)),
        relative=difference / float(v.std()),
        relative_error=error / float(v.std()),
        centered=num_classes > 2,
        msp=windows(p, r.top, r.wrong, width=WIDTH, at=places(p, STEP)),
        log_odds=windows(x, r.top, r.wrong, width=WIDTH_LOG_ODDS, at=places(x, STEP_LOG_ODDS)),
    )


def gradient(r: Rows, smoothing: float, num_classes: int, groups: Array | None) -> Gradient | None:
    r"""Compare the prediction of the regularisation gradient with the slope of P_error.

    Smoothing adds $a \pi_k - a / K$ to the gradient at logit k, with the true $\pi$. On average
    over labels, this is $a (1 - P_{error}) - a / K$ at the maximum. The maximum logit is pressed
    down less where the prediction is likely wrong, so at equal MSP it stays larger there: P_error
    should increase with v at equal MSP. Since w has mean P_error, the slope of w on v, both
    adjusted for MSP as in `max_logit_given_msp`, is the slope of P_error.

    References:
        Xia et al., equations 14 to 16.
    """
    if (pair := compared(r)) is None:
        return None
    w, v = pair
    rise, error = slope(v, w, groups)
    p_error = [float(r.wrong[i].mean()) for i in strata(r.log_odds, FIFTHS)]
    a = max(smoothing, 0.0)
    pressed = tuple(a * (1 - p) - a / num_classes for p in p_error)
    return Gradient(tuple(p_error), pressed, rise, error, *normal(rise, error)[:2])


def compared(r: Rows) -> tuple[Float[Array, " n"], Float[Array, " n"]] | None:
    """w and v adjusted for MSP; None with few errors, or if MSP determines v or w."""
    if not FEWEST_OF_EACH <= r.errors <= r.wrong.size - FEWEST_OF_EACH:
        return None
    v = adjusted(r.top, r.log_odds)
    if not v.std() > NOTHING_LEFT * r.top.std():
        return None
    w = adjusted(r.wrong.astype(np.float64), r.log_odds)
    return (w, v) if w.std() > NOTHING_LEFT else None


def adjusted(values: Float[Array, " n"], x: Float[Array, " n"]) -> Float[Array, " n"]:
    """Remove the linear trend in x from the values, within strata of equally many x.

    >>> adjusted(np.array([1.0, 3.0, 5.0]), np.array([0.0, 1.0, 2.0])).round(9) + 0
    array([0., 0., 0.])
    """
    out = np.empty(values.size)
    for i in strata(x, max(1, min(STRATA, values.size // LEAST))):
        t, u = x[i] - x[i].mean(), values[i] - values[i].mean()
        squares = float(t @ t)
        out[i] = u - (float(t @ u) / squares if squares > 0 else 0.0) * t
    return out


def strata(x: Float[Array, " n"], count: int) -> list[Int[Array, " s"]]:
    """Split the rows at equally spaced quantiles of x; equal x stay together.

    >>> strata(np.array([5.0, 1.0, 1.0, 9.0]), 2)
    [array([1, 2]), array([0, 3])]
    """
    inner = np.quantile(x, np.arange(1, count) / count)
    code = np.searchsorted(inner, x, side="right")
    return [np.flatnonzero(code == c) for c in np.unique(code)]


def slope(
    x: Float[Array, " n"], y: Float[Array, " n"], groups: Array | None
) -> tuple[float, float]:
    """Slope of y on x, both of mean 0, and its standard error by influence functions."""
    squares = float((x**2).mean())
    value = float((x * y).mean()) / squares
    return value, math.sqrt(variance_of_mean(x * (y - value * x) / squares, groups))


def places(x: Float[Array, " n"], step: float) -> Float[Array, " m"]:
    """Multiples of `step` in the range of x, or of a larger step if there were too many.

    >>> places(np.array([0.04, 0.11, 0.32]), 0.1).round(1)
    array([0.1, 0.2, 0.3])
    """
    low, high = np.quantile(x, [TAIL, 1 - TAIL])
    step = max(step, float(high - low) / MOST_PLACES)
    return np.arange(math.ceil(low / step), math.floor(high / step) + 1) * step


def sliding(x: ArrayLike, y: ArrayLike, *, width: float, at: ArrayLike) -> Window:
    """Mean and standard deviation of y over the rows with |x - at| <= width / 2.

    Computed from cumulative sums over the sorted x in O(n log n), whatever the number of
    positions. y is centered first, which leaves a rounding error of about 1e-16 n / count of the
    variance of y.

    Args:
        x: Shape (n,).
        y: Shape (n,), finite.
        width: Width of the window, > 0; both ends belong to it.
        at: Shape (m,), the middles of the window, in any order.

    Raises:
        InputError: Shapes differ, a NaN, an infinite y, or a width that is not positive.

    >>> sliding([0, 1, 2, 9], [1, 3, 5, 7], width=2, at=[1, 5, 9]).mean
    array([ 3., nan,  7.])
    """
    given = (check_confidence(v, where=name) for v, name in ((x, "`x`"), (y, "`y`")))
    x, y = (v.astype(np.float64) for v in given)
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
    """Apply `sliding` to right and to wrong predictions, with the same arguments.

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
