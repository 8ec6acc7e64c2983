"""The shape that smoothing gives to the logits, whatever their scale.

n = predictions, K = classes, m = low logits.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from recuse.diagnosis._rows import Rows, low_classes

if TYPE_CHECKING:
    from numpy import ndarray as Array

# Below these limits the shape counts as that of smoothing; chosen on the development models of
# `python -m benchmarks.diagnosis`.
GAP_LIMIT, GAP_DOUBT = 1.65, 1.5  # two classes
SPREAD_LIMIT, SPREAD_SLOPE = 0.31, 1.2  # 0.31 (1 - 1.2 / K)
SPREAD_DOUBT = 0.8  # of the limit


@dataclass(frozen=True)
class Shape:
    """Small where the logits have the shape that smoothing gives them."""

    measure: str  # "spread of the low logits", or for two classes "reach of the gap"
    value: float
    limit: float  # below it: the shape of smoothing
    doubt: float  # below it: too much that shape to deny smoothing

    @property
    def tight(self) -> bool:
        """Whether the shape is that of smoothing."""
        return self.value < self.limit


def shape(r: Rows, num_classes: int) -> Shape:
    """How closely the wrong logits of confident predictions lie together.

    Smoothing asks for the same small probability a/K of every class that is not the label, and
    its gradient pulls a logit back from either side. Cross entropy has no gradient left for
    classes that are ruled out already, and their logits keep the spread that chance gave them.

    With three classes or more: the standard deviation of the low logits (the smallest 70 % of
    the wrong ones) as a multiple of their distance from the maximum, over what normal order
    statistics have; the median over the half of the predictions with the larger gaps. With two
    classes there is one wrong logit, and what is left is that the gaps pile up at the ceiling:
    their 90 % quantile over their median. Neither changes with the scale of the logits.

    Convolutional networks trained with cross entropy and weight decay can have this shape too
    (neural collapse: Papyan, Han & Donoho, PNAS 2020), so that it alone decides nothing.
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


def normal_spread(num_classes: int) -> float:
    """Standard deviation of the low ones among the expected order statistics of K - 1 normals.

    References:
        Blom, Statistical Estimates and Transformed Beta-Variables, 1958.

    >>> round(normal_spread(10), 3)
    0.589
    """
    from scipy.special import ndtri

    wrong = num_classes - 1
    scores: Array = ndtri((np.arange(1, wrong + 1) - 0.375) / (wrong + 0.25))
    return float(scores[: low_classes(num_classes)].std())
