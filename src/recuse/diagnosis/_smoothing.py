"""The smoothing that explains the level of the probabilities, and the ceiling that it sets.

n = predictions, K = classes, a = smoothing, pi = softmax of z, q = (1 - a) onehot(y) + a / K.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from recuse.diagnosis._rows import Rows
from recuse.intervals import normal, variance_of_mean

if TYPE_CHECKING:
    from jaxtyping import Float
    from numpy import ndarray as Array

# Beyond this standard error the frequencies of the classes say nothing of two classes' smoothing.
LARGEST_CLASS_ERROR = 0.02
OVERFITTED = -0.05  # by scale: below, what is fitted by class is not of smoothing either
ROUNDING = 1e-12


@dataclass(frozen=True)
class Smoothing:
    """A fitted smoothing; its interval is of sampling alone, not of what overfitting moves."""

    value: float  # the one to report: `by_scale`, or `by_class` (two unequally frequent classes)
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
    """The label's probability where the smoothed loss is smallest: (1 - a) + a / K.

    >>> ceiling(0.1, 10)
    0.91
    """
    return 1 - smoothing * (1 - 1 / num_classes)


def ceiling_log_odds(smoothing: float, num_classes: int) -> float:
    r"""The same in log-odds: $\log(1 + K (1 - a) / a) - \log(K - 1)$; infinite for a <= 0.

    The label's logit lies $\log(1 + K (1 - a) / a)$ above each of the K - 1 others.

    >>> round(ceiling_log_odds(0.1, 10), 4), ceiling_log_odds(0.0, 10)
    (2.3136, inf)
    """
    if smoothing <= 0:
        return math.inf
    return math.log1p(num_classes * (1 - smoothing) / smoothing) - math.log(num_classes - 1)


def fit_smoothing(r: Rows, num_classes: int, groups: Array | None) -> Smoothing:
    r"""The a at which the smoothed loss is stationary in a direction of the logits.

    Training with smoothing a stops where the gradient $\pi - q$ vanishes on average along every
    direction that the last layer can move in. Solved for a on held-out data:

    - by scale, along z itself: $a = E[z_y - \sum_k \pi_k z_k] / E[z_y - \bar z]$. The last layer
      can always scale its logits. Held-out labels fit z worse than training labels did, which
      makes a too small; a cross entropy model that overfits has a < 0.
    - by class, along the constant vector f of label frequencies less 1/K: the mean probability of
      class k is $(1 - a) f_k + a / K$, which a bias makes exact in training. It moves little with
      overfitting, but says nothing where classes are equally frequent. It is used for two classes;
      with more it was found to err on either side, and was left out of the rule.
    """
    scale, scale_error = ratio(r.residual, r.distance, groups)
    by_class = ratio(r.class_residual, r.class_distance, groups)
    known = by_class[1] <= LARGEST_CLASS_ERROR
    best = (scale, scale_error)
    if num_classes == 2 and known and scale > OVERFITTED:
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
    """Ratio of two means with its standard error, by the influences; NaN unless under is > 0.

    >>> ratio(np.array([1.0, 2.0, 3.0]), np.array([2.0, 4.0, 6.0]), None)
    (0.5, 0.0)
    """
    mean = float(under.mean())
    if mean <= ROUNDING * float(np.abs(under).max()):
        return math.nan, math.inf
    value = float(over.mean()) / mean
    error = math.sqrt(variance_of_mean((over - value * under) / mean, groups))
    return value, error
