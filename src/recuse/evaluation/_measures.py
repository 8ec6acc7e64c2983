r"""Every measure of one score on one data set, and how well it detects outliers.

n = predictions, m = outliers.

Outliers are inputs without a right answer: accepting one is wrong whatever is predicted. Coverage
is the fraction of all inputs, outliers included, and the risk of a threshold t is

$r(t) = (c_e \cdot \#\{\text{wrong}\} + c_o \cdot \#\{\text{outliers}\}) / \#\{\text{accepted}\}$

with the costs of accepting an error and an outlier.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from recuse import curves
from recuse._internal.check import check_confidence, check_fraction, check_loss, to_numpy
from recuse.curves._ranked import places
from recuse.errors import InputError
from recuse.intervals import AUGRC, AURC, E_AURC, standard_error

if TYPE_CHECKING:
    from jaxtyping import Bool, Float, Float32
    from numpy import ndarray as Array
    from numpy.typing import ArrayLike

RISKS = (0.01, 0.05)
COVERAGES = (0.2, 0.8)
AREAS = ("aurc", "aurc_se", "e_aurc", "n_aurc", "augrc", "e_aurc_se", "augrc_se")
MANY = 1 << 20  # predictions; beyond, influences would take more memory than all else
TPR = 0.95  # of `fpr_at_tpr`
ERRORS = {"aurc_se": AURC, "e_aurc_se": E_AURC, "augrc_se": AUGRC}


@dataclass(frozen=True)
class Measures:
    """One score on one data set; rates are fractions."""

    aurc: float
    aurc_se: float
    e_aurc: float
    n_aurc: float  # NaN if all losses are equal
    augrc: float
    coverage_at_risk: Mapping[float, float]
    risk_at_coverage: Mapping[float, float]
    e_aurc_se: float = float("nan")
    augrc_se: float = float("nan")

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON; an undefined value is None with a reason."""
        out: dict[str, Any] = {
            **{k: getattr(self, k) for k in AREAS},
            "coverage_at_risk": {f"{k:.12g}": v for k, v in self.coverage_at_risk.items()},
            "risk_at_coverage": {f"{k:.12g}": v for k, v in self.risk_at_coverage.items()},
        }
        few = "fewer than two independent rows, or all losses equal"
        many = few if np.isnan(self.aurc_se) else f"more than {MANY:,} predictions"
        undefined = {
            "n_aurc": "all losses are equal: there is no order to normalise by",
            **{"aurc_se": few, "e_aurc_se": many, "augrc_se": many},
        }
        reasons = {k: reason for k, reason in undefined.items() if np.isnan(getattr(self, k))}
        out |= dict.fromkeys(reasons)
        return {**out, "reason": reasons} if reasons else out


def measure(
    confidence: Float32[Array, " n"],
    loss: Float[Array, " n"],
    *,
    groups: Array | None = None,
    risks: Sequence[float] = RISKS,
    coverages: Sequence[float] = COVERAGES,
) -> Measures:
    """Every measure of one score on one data set.

    Args:
        confidence: Shape (n,), larger is more certain.
        loss: Shape (n,).
        groups: Shape (n,), rows that depend on each other, for the standard errors; beyond a
            million rows only AURC has one.
        risks: Levels of coverage_at_risk.
        coverages: Levels of risk_at_coverage.

    >>> round(measure(np.float32([3, 2, 1]), np.array([0, 0, 1])).aurc, 4)
    0.1111
    """
    summary = curves.summarize(confidence, loss, risks=risks, coverages=coverages)
    independent = len(loss) if groups is None else len(np.unique(groups))
    varies = not np.isnan(summary.n_aurc)
    errors = dict.fromkeys(ERRORS, float("nan"))
    for name, area in ERRORS.items():
        if varies and independent > 1 and (len(loss) <= MANY or area == AURC):
            errors[name] = standard_error(confidence, loss, area, groups=groups)
    return Measures(**summary._asdict(), **errors)


def explained(out: Mapping[str, Any], why: str) -> dict[str, Any]:
    """Return plain data in which NaN is None, with the reason."""
    undefined = [k for k, x in out.items() if x != x]
    reason = {"reason": dict.fromkeys(undefined, why)} if undefined else {}
    return {**out, **dict.fromkeys(undefined), **reason}


def scod_loss(
    loss: ArrayLike, outlier: ArrayLike, *, cost_error: float = 1.0, cost_ood: float = 1.0
) -> Float[Array, " n"]:
    """Return the loss of selective classification with out-of-distribution inputs (SCOD).

    `recuse.risk_coverage(confidence, scod_loss(...))` is the SCOD curve, with coverage over all
    inputs; `aurc`, `risk_at_coverage` and everything else that takes a loss follow.

    | who | here |
    |---|---|
    | Xia & Bouganis, weights b and 1 - b of errors and outliers | cost_error=b, cost_ood=1 - b |
    | their AURC, trapezoids from (0, 0) | `curves.conventions.trapezoid_aurc` |
    | Jaeger et al. (fd-shifts): new classes are failures | the default, both costs 1 |
    | Narasimhan et al. charge for abstaining from in-distribution inputs too | no such cost |

    Args:
        loss: Shape (n,), >= 0, 1 for an error; ignored for outliers.
        outlier: Shape (n,), boolean.
        cost_error: Cost of accepting a wrong prediction, >= 0.
        cost_ood: Cost of accepting an outlier, >= 0.

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
    """Refuse costs that are not finite and >= 0, or are both 0."""
    for name, x in (("cost_error", cost_error), ("cost_ood", cost_ood)):
        if not (math.isfinite(x) and x >= 0):
            raise InputError(f"expected `{name}` finite and >= 0, got {x:g}")
    if cost_error == cost_ood == 0:
        raise InputError("expected `cost_error` or `cost_ood` above 0, got 0 and 0")


def auroc(confidence: ArrayLike, outliers: ArrayLike) -> float:
    """Return the probability that an in-distribution input is more confident than an outlier.

    Ties count half. It is 1 if every outlier is below every other input. Which of the two is called
    positive does not matter, but larger confidence must mean in-distribution.

    Args:
        confidence: Shape (n,), of all in-distribution inputs or of those predicted right.
        outliers: Shape (m,), the same score for outliers.

    Raises:
        InputError: Malformed input.

    >>> auroc([0.9, 0.8, 0.5], [0.8, 0.1])
    0.75
    """
    inside = np.sort(check_confidence(confidence))
    outside = np.sort(check_confidence(outliers, where="`outliers`"))  # found faster in order
    below, to = (int(x.sum()) for x in places(inside, outside))
    pairs = inside.size * outside.size
    return (2 * pairs - below - to) / (2 * pairs)


def fpr_at_tpr(confidence: ArrayLike, outliers: ArrayLike, *, tpr: float = TPR) -> float:
    """Return the fraction of outliers accepted when `tpr` of in-distribution inputs are accepted.

    In-distribution is positive, and the threshold is that of the smallest reachable rate >= `tpr`;
    ties are accepted together. Others differ: Xia & Bouganis take the reachable rate nearest to
    `tpr`, which may be below it. OpenOOD calls outliers positive since version 1.5, and so measures
    another number: the fraction of in-distribution inputs flagged when 95 % of outliers are.

    Args:
        confidence: As in `auroc`.
        outliers: As in `auroc`.
        tpr: The rate, in (0, 1].

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
    """Detection of one source of outliers among the inputs of all other sources."""

    auroc: float
    fpr: float  # at a TPR of 95 %
    auroc_right: float  # against those that are predicted right; NaN if none is
    fpr_right: float

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON; an undefined value is None with a reason."""
        return explained(vars(self), "no prediction is right")


def detect(inside: Array, right: Bool[Array, " n"], outliers: Array) -> Detection:
    """Measure outliers against all other inputs, and against those predicted right."""
    if not right.any():
        nan = float("nan")
        return Detection(auroc(inside, outliers), fpr_at_tpr(inside, outliers), nan, nan)
    return Detection(
        *(f(c, outliers) for c in (inside, inside[right]) for f in (auroc, fpr_at_tpr))
    )
