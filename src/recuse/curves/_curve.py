"""The risk-coverage curve, and single points on it.

n = predictions, k = distinct confidences (k <= n).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from recuse._internal import public
from recuse._internal.check import check_fraction
from recuse.curves._ranked import Errors, TieGroups, ranked, tie_groups
from recuse.present import glance
from recuse.present.picture import draw_curves

if TYPE_CHECKING:
    from jaxtyping import Float, Int
    from matplotlib.axes import Axes
    from numpy import ndarray as Array
    from numpy.typing import ArrayLike


class RiskCoverage(NamedTuple):
    """Operating points that a threshold can reach, from strict to lenient."""

    coverage: Float[Array, " k"]  # fraction accepted, in (0, 1], increasing
    risk: Float[Array, " k"]  # mean loss of the accepted
    threshold: Float[Array, " k"]  # decreasing; accept when confidence >= threshold
    accepted: Int[Array, " k"]  # number accepted, increasing

    def plot(self, ax: Axes | None = None) -> Axes:
        """Draw risk against coverage, on new axes of `pyplot` if none are given, and return them.

        Needs the extra `plots`.
        """
        return draw_curves({"": self}, ax)

    def __repr__(self) -> str:
        return glance.risk_coverage(self).text()

    def _repr_html_(self) -> str:
        return glance.risk_coverage(self).html()


@public
def risk_coverage(confidence: ArrayLike, loss: ArrayLike) -> RiskCoverage:
    r"""Selective risk at every coverage that a threshold can reach.

    $r(t) = \sum_{c_i \ge t} \ell_i / |\{i : c_i \ge t\}|$.

    Args:
        confidence: Shape (n,). Larger is more certain; any monotone scale.
        loss: Shape (n,), >= 0. Loss of each example; the risk has its unit.

    Raises:
        InputError: Shapes differ, n is 0, a confidence is NaN, or a loss is negative.

    References:
        El-Yaniv & Wiener, JMLR 2010.

    >>> curve = risk_coverage([0.9, 0.8, 0.8], [0, 1, 0])
    >>> curve.coverage.round(3), curve.risk.round(3)
    (array([0.333, 1.   ]), array([0.   , 0.333]))
    """
    return curve_of(tie_groups(confidence, loss))


@public
def coverage_at_risk(confidence: ArrayLike, loss: ArrayLike, risk: float) -> float:
    """Largest reachable coverage whose risk is at most `risk`; 0.0 if no threshold reaches it.

    It describes this data and guarantees nothing for new data: `select` does.

    >>> coverage_at_risk([0.9, 0.8, 0.7, 0.6], [1, 0, 0, 0], 0.25)
    1.0
    >>> coverage_at_risk([0.9, 0.8], [1, 1], 0.5)
    0.0
    """
    return coverage_at_risk_of(ranked(confidence, loss), risk)


@public
def risk_at_coverage(confidence: ArrayLike, loss: ArrayLike, coverage: float) -> float:
    """Risk at the smallest reachable coverage that is at least `coverage`.

    >>> risk_at_coverage([0.9, 0.8, 0.8, 0.6], [0, 1, 0, 0], 0.5)
    0.3333333333333333
    """
    return risk_at_coverage_of(ranked(confidence, loss), coverage)


def thin(curve: RiskCoverage, points: int = 400) -> RiskCoverage:
    """Return a sub-sample of the curve for drawing: both ends, with dense steps at low coverage.

    For pictures only: no area or point is computed from it.
    """
    k = len(curve.coverage)
    if k <= points:
        return curve
    even = np.linspace(0, k - 1, points // 2)
    dense = np.geomspace(1, k, points // 2) - 1
    keep = np.unique(np.r_[even, dense].round().astype(int))
    return RiskCoverage(*(column[keep] for column in curve))


def curve_of(group: TieGroups) -> RiskCoverage:
    """Return the curve of grouped predictions."""
    accepted = np.cumsum(group.count)
    risk = np.cumsum(group.loss) / accepted
    return RiskCoverage(accepted / accepted[-1], risk, group.confidence, accepted)


def coverage_at_risk_of(form: Errors | TieGroups, risk: float) -> float:
    """Return `coverage_at_risk` of ranked predictions."""
    risk = check_fraction(risk, "risk", zero=True, one=True)
    if isinstance(form, Errors):
        return form.most_accepted(risk) / form.n
    curve = curve_of(form)
    reached = np.flatnonzero(curve.risk <= risk)
    return float(curve.coverage[reached[-1]]) if reached.size else 0.0


def risk_at_coverage_of(form: Errors | TieGroups, coverage: float) -> float:
    """Return `risk_at_coverage` of ranked predictions."""
    coverage = check_fraction(coverage, "coverage", one=True)
    if isinstance(form, Errors):
        accepted, errors = form.accepted_at(coverage)
        return errors / accepted
    curve = curve_of(form)
    return float(curve.risk[np.argmax(curve.coverage >= coverage)])
