"""Level and shape of the logits under label smoothing, and the verdict from both.

n = predictions, K = classes, a = smoothing, pi = softmax of z, q = (1 - a) onehot(y) + a / K.

Two questions decide. Level: do the probabilities stop short of the labels, as smoothing makes
them? Shape: do the wrong logits lie close together? The rule and its limits were chosen on the
development models of `python -m benchmarks.diagnosis` and evaluated there on others.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from recuse.diagnosis._rows import Rows, normal_spread
from recuse.intervals._influence import variance_of_mean
from recuse.intervals._interval import normal
from recuse.tuning._tune import FEWEST_UNITS

if TYPE_CHECKING:
    from jaxtyping import Float
    from numpy import ndarray as Array

SMOOTHING, NO_SMOOTHING, CANNOT_TELL = "label smoothing", "no label smoothing", "cannot tell"
VERDICTS = (SMOOTHING, NO_SMOOTHING, CANNOT_TELL)

# level
LARGEST_CLASS_ERROR = 0.02  # standard error beyond which class frequencies tell nothing
OVERFITTED_BY_SCALE = -0.05  # below it, the smoothing by class is not due to smoothing either
ROUNDING = 1e-12
# shape: below these limits it counts as that of smoothing
GAP_LIMIT, GAP_DOUBT = 1.65, 1.5  # two classes
SPREAD_LIMIT, SPREAD_SLOPE = 0.31, 1.2  # 0.31 (1 - 1.2 / K)
SPREAD_DOUBT = 0.8  # of the limit
# verdict
ONE_SIDED = 1.645  # 95 % of a normal
LEAST = 0.015  # the level is soft if the lower bound of the smoothing exceeds this,
LEAST_BY_CLASS = 0.03  # or this if it was fitted by class
MOST = 0.4  # more is hardly ever used, and is typical of underfitting or rescaled logits
EXCLUDED = 0.05  # without smoothing the upper bound must lie below this
OVERFITTED = -0.25  # below it, probabilities are too extreme to reveal a smoothing


@dataclass(frozen=True)
class Smoothing:
    """A fitted smoothing; its interval covers sampling error, not the effect of overfitting."""

    value: float  # `by_scale`, or `by_class` for two classes of unequal frequency
    standard_error: float
    low: float  # 95 % interval
    high: float
    by_scale: float
    by_scale_error: float
    by_class: float | None  # None where the classes are about equally frequent
    by_class_error: float | None
    ceiling: float  # largest probability that a training target has; 1 without smoothing
    ceiling_log_odds: float  # infinite without smoothing
    above: float  # share of predictions whose probability exceeds it


def ceiling(smoothing: float, num_classes: int) -> float:
    """Probability of the label at the minimum of the smoothed loss: (1 - a) + a / K.

    >>> ceiling(0.1, 10)
    0.91
    """
    return 1 - smoothing * (1 - 1 / num_classes)


def ceiling_log_odds(smoothing: float, num_classes: int) -> float:
    r"""The `ceiling` in log-odds: $\log(1 + K (1 - a) / a) - \log(K - 1)$; infinite for a <= 0.

    At the minimum, the logit of the label exceeds the K - 1 others by $\log(1 + K (1 - a) / a)$.

    >>> round(ceiling_log_odds(0.1, 10), 4), ceiling_log_odds(0.0, 10)
    (2.3136, inf)
    """
    if smoothing <= 0:
        return math.inf
    return math.log1p(num_classes * (1 - smoothing) / smoothing) - math.log(num_classes - 1)


def fit_smoothing(r: Rows, num_classes: int, groups: Array | None) -> Smoothing:
    r"""Estimate the a at which the smoothed loss is stationary in a direction of the logits.

    Training with smoothing a stops where the gradient $\pi - q$ vanishes on average along every
    direction in which the last layer can move. Solved for a on held-out data:

    - by scale, along z itself: $a = E[z_y - \sum_k \pi_k z_k] / E[z_y - \bar z]$. The last layer
      can always scale its logits. Held-out labels fit z worse than training labels did, which
      makes a too small; a cross-entropy model that overfits has a < 0.
    - by class, along the constant vector f of label frequencies minus 1/K: the mean probability
      of class k is $(1 - a) f_k + a / K$, which a bias makes exact in training. It hardly depends
      on overfitting, but tells nothing where classes are equally frequent. It is used for two
      classes; with more it erred in both directions, and the rule does without it.
    """
    scale, scale_error = ratio(r.residual, r.distance, groups)
    by_class = ratio(r.class_residual, r.class_distance, groups)
    known = by_class[1] <= LARGEST_CLASS_ERROR
    best = (scale, scale_error)
    if num_classes == 2 and known and scale > OVERFITTED_BY_SCALE:
        best = max(best, by_class)
    value, error = best
    top = ceiling_log_odds(min(value, 1.0), num_classes)
    return Smoothing(
        *(value, error, *normal(value, error)[:2], scale, scale_error),
        *(by_class if known else (None, None)),
        ceiling=ceiling(min(max(value, 0.0), 1.0), num_classes),
        ceiling_log_odds=top,
        above=float((r.log_odds > top).mean()),
    )


def ratio(
    over: Float[Array, " n"], under: Float[Array, " n"], groups: Array | None
) -> tuple[float, float]:
    """Ratio of two means and its standard error; NaN unless the denominator is > 0.

    >>> ratio(np.array([1.0, 2.0, 3.0]), np.array([2.0, 4.0, 6.0]), None)
    (0.5, 0.0)
    """
    mean = float(under.mean())
    if mean <= ROUNDING * float(np.abs(under).max()):
        return math.nan, math.inf
    value = float(over.mean()) / mean
    error = math.sqrt(variance_of_mean((over - value * under) / mean, groups))
    return value, error


@dataclass(frozen=True)
class Shape:
    """Shape of the logits: small values are typical of smoothing."""

    measure: str  # "spread of the low logits", or for two classes "reach of the gap"
    value: float
    limit: float  # below it, the shape is that of smoothing
    doubt: float  # below it, smoothing cannot be ruled out

    @property
    def tight(self) -> bool:
        """Whether the shape is that of smoothing."""
        return self.value < self.limit


def shape(r: Rows, num_classes: int) -> Shape:
    """Measure how close together the wrong logits of confident predictions lie.

    Smoothing asks for the same small probability a/K of every class other than the label, and
    its gradient pulls a logit back from either side. Cross entropy has no gradient left for
    classes that are already ruled out, so their logits keep a random spread.

    With three classes or more: the standard deviation of the low logits (the smallest 70 % of
    the wrong ones) as a multiple of their distance from the maximum, divided by that of normal
    order statistics; the median over the half of the predictions with the larger gaps. With two
    classes there is one wrong logit, but the gaps pile up at the ceiling: their 90 % quantile
    divided by their median. Neither changes with the scale of the logits.

    Convolutional networks trained with cross entropy and weight decay can have this shape too
    (neural collapse: Papyan, Han & Donoho, PNAS 2020), so it decides nothing alone.
    """
    if num_classes == 2:
        median, high = np.quantile(r.gap, [0.5, 0.9])
        value = float(high / median) if median > 0 else np.inf
        return Shape("reach of the gap", value, GAP_LIMIT, GAP_DOUBT)
    confident = r.spread[r.gap >= np.median(r.gap)]
    spread = (
        np.median(confident[np.isfinite(confident)]) if np.isfinite(confident).any() else np.inf
    )
    value = float(spread) / normal_spread(num_classes)
    limit = SPREAD_LIMIT * (1 - SPREAD_SLOPE / num_classes)
    return Shape("spread of the low logits", value, limit, SPREAD_DOUBT * limit)


def verdict(s: Smoothing, form: Shape, num_classes: int, units: int) -> tuple[str, str]:
    """Apply the rule: one of `VERDICTS`, and a code for the finding behind it.

    The codes are "few_rows", "no_signal", "level_and_shape", "too_much", "level_only",
    "shape_only", "overfitted", "imprecise" and "neither".

    Args:
        s: Level, the fitted smoothing.
        form: Shape of the logits.
        num_classes: K.
        units: Independent rows or groups.
    """
    if units < FEWEST_UNITS:
        return CANNOT_TELL, "few_rows"
    if math.isnan(s.value):
        return CANNOT_TELL, "no_signal"
    if form.tight and (soft_by_scale(s) or soft_by_class(s)):
        return (CANNOT_TELL, "too_much") if s.value > MOST else (SMOOTHING, "level_and_shape")
    if soft_by_scale(s):
        return CANNOT_TELL, "level_only"
    if form.value < form.doubt:
        return CANNOT_TELL, "shape_only"
    if s.by_scale < OVERFITTED:
        return CANNOT_TELL, "overfitted"
    if s.by_scale + ONE_SIDED * s.by_scale_error > EXCLUDED:
        return CANNOT_TELL, "imprecise"
    return NO_SMOOTHING, "neither"


def soft_by_scale(s: Smoothing) -> bool:
    """Whether the probabilities stop significantly short of the labels."""
    return s.by_scale - ONE_SIDED * s.by_scale_error > LEAST


def soft_by_class(s: Smoothing) -> bool:
    """Whether those of two classes do, by the frequencies of the classes."""
    if s.by_class is None or s.by_class_error is None or s.value != s.by_class:
        return False
    return s.by_class - ONE_SIDED * s.by_class_error > LEAST_BY_CLASS
