r"""Outliers: inputs without a right answer, which it is wrong to accept whatever is predicted.

n = predictions, m = outliers.

Coverage is over all inputs, outliers included, and the risk of a threshold t is

$r(t) = (c_e \cdot \#\{\text{wrong}\} + c_o \cdot \#\{\text{outliers}\}) / \#\{\text{accepted}\}$

with the costs of accepting an error and an outlier.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from recuse import curves
from recuse._internal.check import check_confidence, check_fraction, check_loss, to_numpy
from recuse.errors import InputError
from recuse.evaluation._sources import explained

if TYPE_CHECKING:
    from jaxtyping import Bool, Float
    from numpy import ndarray as Array
    from numpy.typing import ArrayLike

TPR = 0.95  # of `fpr_at_tpr`


def scod_loss(
    loss: ArrayLike, outlier: ArrayLike, *, cost_error: float = 1.0, cost_ood: float = 1.0
) -> Float[Array, " n"]:
    """The loss of selective classification where some inputs are out of distribution (SCOD).

    `recuse.risk_coverage(confidence, scod_loss(...))` is the SCOD curve, with coverage over all
    inputs; `aurc`, `risk_at_coverage` and everything else that takes a loss follow.

    | who | here |
    |---|---|
    | Xia & Bouganis, weights b and 1 - b of errors and outliers | cost_error=b, cost_ood=1 - b |
    | their AURC, trapezoids from (0, 0) | `curves.conventions.trapezoid_aurc` |
    | Jaeger et al. (fd-shifts): new classes are failures | the default, both costs 1 |
    | Narasimhan et al. charge for abstaining from in-distribution inputs too | no such cost |

    Args:
        loss: Shape (n,), >= 0, 1 for an error; of outliers it is ignored.
        outlier: Shape (n,), boolean.
        cost_error: Of accepting a wrong prediction, >= 0.
        cost_ood: Of accepting an outlier, >= 0.

    Raises:
        InputError: Malformed input, or both costs are 0.

    References:
        Xia & Bouganis, ACCV 2022; Jaeger et al., ICLR 2023; Narasimhan et al., ICLR 2024.

    >>> scod_loss([0, 1, 0], [False, False, True], cost_ood=0.5)
    array([0. , 1. , 0.5])
    """
    check_costs(cost_error, cost_ood)
    out = to_numpy(outlier)
    if out.dtype != bool or out.ndim != 1:
        raise InputError(f"expected `outlier` as booleans (n,), got {out.dtype} {out.shape}")
    known = check_loss(np.where(out, 0, to_numpy(loss)), out.size)
    return np.where(out, cost_ood, cost_error * known)


def check_costs(cost_error: float, cost_ood: float) -> None:
    """Finite costs >= 0, not both 0."""
    for name, x in (("cost_error", cost_error), ("cost_ood", cost_ood)):
        if not (math.isfinite(x) and x >= 0):
            raise InputError(f"expected `{name}` finite and >= 0, got {x:g}")
    if cost_error == cost_ood == 0:
        raise InputError("expected `cost_error` or `cost_ood` above 0, got 0 and 0")


def auroc(confidence: ArrayLike, outliers: ArrayLike) -> float:
    """The probability that an in-distribution input is more certain than an outlier; ties half.

    1 where every outlier is below every other input. Which of the two is called positive does not
    matter; that larger confidence is in-distribution does.

    Args:
        confidence: Shape (n,), of in-distribution inputs: of all, or of those predicted right.
        outliers: Shape (m,), the same score of outliers.

    Raises:
        InputError: Malformed input.

    >>> auroc([0.9, 0.8, 0.5], [0.8, 0.1])
    0.75
    """
    inside = np.sort(check_confidence(confidence))
    outside = check_confidence(outliers, where="`outliers`")
    below = np.searchsorted(inside, outside, "left").sum()
    to = np.searchsorted(inside, outside, "right").sum()
    pairs = inside.size * outside.size
    return (2 * pairs - int(below) - int(to)) / (2 * pairs)


def fpr_at_tpr(confidence: ArrayLike, outliers: ArrayLike, *, tpr: float = TPR) -> float:
    """The fraction of outliers that is accepted where `tpr` of the in-distribution inputs are.

    In-distribution is positive, and the threshold is that of the smallest reachable rate >= `tpr`;
    ties are accepted together. Others differ: Xia & Bouganis take the reachable rate nearest to
    `tpr`, which may be below it; OpenOOD calls outliers positive since version 1.5: the fraction
    of in-distribution inputs that is flagged where 95 % of the outliers are, another number.

    Args:
        confidence: As in `auroc`.
        outliers: As in `auroc`.
        tpr: In (0, 1].

    Raises:
        InputError: Malformed input.

    >>> fpr_at_tpr([0.9, 0.8, 0.7, 0.5], [0.8, 0.1], tpr=0.75)
    0.5
    """
    level = check_fraction(tpr, "tpr", one=True)
    inside, outside = check_confidence(confidence), check_confidence(outliers, where="`outliers`")
    curve = curves.risk_coverage(inside, np.zeros(inside.size))
    return float(np.mean(outside >= curve.threshold[np.argmax(curve.coverage >= level)]))


@dataclass(frozen=True)
class Detection:
    """One source of outliers against the inputs of all sources that are none."""

    auroc: float
    fpr: float  # at a TPR of 95 %
    auroc_right: float  # against those that are predicted right; NaN if none is
    fpr_right: float

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON; an undefined value is None with a reason."""
        return explained(vars(self), "no prediction is right")


def detect(inside: Array, right: Bool[Array, " n"], outliers: Array) -> Detection:
    """Outliers against all others, and against those predicted right."""
    if not right.any():
        nan = float("nan")
        return Detection(auroc(inside, outliers), fpr_at_tpr(inside, outliers), nan, nan)
    return Detection(
        *(f(c, outliers) for c in (inside, inside[right]) for f in (auroc, fpr_at_tpr))
    )
