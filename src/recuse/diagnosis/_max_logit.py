"""The maximum logit given MSP, of wrong and of right predictions.

n = predictions, w = 1 if wrong else 0, x = log-odds of MSP, v = maximum logit, m = places of a
window.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from recuse.diagnosis._rows import Rows
from recuse.diagnosis._windows import LEAST, Windows, windows
from recuse.intervals import normal, variance_of_mean
from recuse.scores import as_probability
from recuse.tuning._tune import FEWEST_OF_EACH

if TYPE_CHECKING:
    from jaxtyping import Float, Int
    from numpy import ndarray as Array

STRATA = 20  # of equally many predictions, within each of which MSP is adjusted for linearly
WIDTH, STEP = 0.05, 0.01  # of a window of MSP, as in the paper
WIDTH_LOG_ODDS, STEP_LOG_ODDS = 0.5, 0.1
FIFTHS = 5
MOST_PLACES = 500  # of a window
TAIL = 0.005  # of the predictions at either end that no window is centred on
NOTHING_LEFT = 0.02  # of the spread of v: at less, MSP fixes v, up to rounding and noise


@dataclass(frozen=True)
class MaxLogit:
    """How much larger the maximum logit of wrong predictions is than of right ones of equal MSP."""

    difference: float  # adjusted for MSP, in logits
    standard_error: float
    low: float  # 95 % interval
    high: float
    p_value: float  # two-sided
    relative: float  # in standard deviations of v at equal MSP
    relative_error: float
    centered: bool  # from the row's mean; not for two classes, where MSP alone would fix it
    msp: Windows  # over the MSP
    log_odds: Windows  # over its log-odds, which do not saturate


@dataclass(frozen=True)
class Gradient:
    """What the regularisation gradient predicts, beside what is seen."""

    p_error: tuple[float, ...]  # error rate in fifths of the predictions by MSP, ascending
    pressed: tuple[float, ...]  # a (1 - p_error) - a / K: how the maximum logit is pressed down
    slope: float  # rise of P_error for each logit by which v is larger, at equal MSP
    standard_error: float
    low: float  # 95 % interval
    high: float

    @property
    def agrees(self) -> bool:
        """The predicted sign, positive, is shown."""
        return self.low > 0


def max_logit_given_msp(r: Rows, num_classes: int, groups: Array | None) -> MaxLogit | None:
    r"""Test of E[v | MSP, wrong] = E[v | MSP, right]; None if there is nothing to compare.

    Within each of 20 strata of equally many predictions by x, v and w lose their straight line in
    x. The difference is then $\sum \tilde w \tilde v / \sum \tilde w^2$: a mean of the
    differences at each MSP, weighted by how many pairs of wrong and right there are. Its standard
    error is that of its influences $\tilde w (\tilde v - d \tilde w) / E[\tilde w^2]$, summed
    within groups.

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
    r"""The prediction of the regularisation gradient, and the observed slope of P_error.

    Smoothing adds $a \pi_k - a / K$ to the gradient at logit k, with the true $\pi$: on average
    over labels, $a (1 - P_{error}) - a / K$ at the maximum. Where a prediction is likely wrong,
    its maximum is pressed down less, and at equal MSP stays larger. So P_error is predicted to
    rise with v at equal MSP. That a prediction is wrong has P_error as its mean, so that the
    slope of w on v, both adjusted for MSP as in `max_logit_given_msp`, is the slope of P_error.

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
    """w and v adjusted for MSP; None with too few wrong or right, or if MSP fixes v or w."""
    if not FEWEST_OF_EACH <= r.errors <= r.wrong.size - FEWEST_OF_EACH:
        return None
    v = adjusted(r.top, r.log_odds)
    if not v.std() > NOTHING_LEFT * r.top.std():
        return None
    w = adjusted(r.wrong.astype(np.float64), r.log_odds)
    return (w, v) if w.std() > NOTHING_LEFT else None


def adjusted(values: Float[Array, " n"], x: Float[Array, " n"]) -> Float[Array, " n"]:
    """Less their straight line in x, within strata of equally many x.

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
    """Rows between equally spaced quantiles of x, ascending; equal x stay together.

    >>> strata(np.array([5.0, 1.0, 1.0, 9.0]), 2)
    [array([1, 2]), array([0, 3])]
    """
    inner = np.quantile(x, np.arange(1, count) / count)
    code = np.searchsorted(inner, x, side="right")
    return [np.flatnonzero(code == c) for c in np.unique(code)]


def slope(
    x: Float[Array, " n"], y: Float[Array, " n"], groups: Array | None
) -> tuple[float, float]:
    """Slope of y on x, both of mean 0, with its standard error by the influences."""
    squares = float((x**2).mean())
    value = float((x * y).mean()) / squares
    return value, math.sqrt(variance_of_mean(x * (y - value * x) / squares, groups))


def places(x: Float[Array, " n"], step: float) -> Float[Array, " m"]:
    """Multiples of `step` among the x, or of more if they were too many.

    >>> places(np.array([0.04, 0.11, 0.32]), 0.1).round(1)
    array([0.1, 0.2, 0.3])
    """
    low, high = np.quantile(x, [TAIL, 1 - TAIL])
    step = max(step, float(high - low) / MOST_PLACES)
    return np.arange(math.ceil(low / step), math.floor(high / step) + 1) * step
