"""Ranked predictions, the risk-coverage curve, and single points on it.

n = predictions, k = distinct confidences (k <= n). A curve depends only on which losses are tied
and in what order. Many predictions with 0-1 losses become `Halves`, which cost four bytes each
(float32) and are read by compiled loops. Everything else becomes `TieGroups`.
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from recuse._internal import public
from recuse._internal.check import check_confidence, check_fraction, check_loss, to_numpy

if TYPE_CHECKING:
    from jaxtyping import Float, Int
    from numpy import ndarray as Array
    from numpy.typing import ArrayLike

HALF = ("float16", "bfloat16")
FLOATS = (np.float32, np.float64)
SMALLEST_COMPILED = 1 << 14  # below, NumPy is fast, and nobody waits for numba


class TieGroups(NamedTuple):
    """One entry for each distinct confidence."""

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
        """Return the sums over k of E_k / k and of E_k."""
        from recuse._kernels import curves as kernels

        return kernels.areas(self.right, self.wrong)

    def groups(self) -> TieGroups:
        """Return the same predictions as `TieGroups`."""
        from recuse._kernels import curves as kernels

        confidence, count, errors = kernels.ties(self.right, self.wrong)
        return TieGroups(confidence, count, errors.astype(np.float64))


def ranked(confidence: ArrayLike, loss: ArrayLike) -> Halves | TieGroups:
    """Return the form that is fastest for these predictions.

    Raises:
        InputError: Shapes differ, n is 0, a confidence is NaN, or a loss is negative.
    """
    return halves(confidence, loss) or grouped(confidence, loss)


def tie_groups(confidence: ArrayLike, loss: ArrayLike) -> TieGroups:
    """Group predictions by confidence, most confident first. Errors as in `ranked`."""
    found = ranked(confidence, loss)
    return found.groups() if isinstance(found, Halves) else found


def halves(confidence: ArrayLike, loss: ArrayLike) -> Halves | None:
    """Return `Halves`, or None: few predictions, losses other than 0 and 1, malformed input."""
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
    """Group predictions by confidence, for any losses.

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


class RiskCoverage(NamedTuple):
    """Operating points that a threshold can reach, from strict to lenient."""

    coverage: Float[Array, " k"]  # fraction accepted, in (0, 1], increasing
    risk: Float[Array, " k"]  # mean loss of the accepted
    threshold: Float[Array, " k"]  # decreasing; accept when confidence >= threshold
    accepted: Int[Array, " k"]  # number accepted, increasing


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


def coverage_at_risk_of(form: Halves | TieGroups, risk: float) -> float:
    """Return `coverage_at_risk` of ranked predictions."""
    risk = check_fraction(risk, "risk", zero=True, one=True)
    if isinstance(form, Halves):
        from recuse._kernels.curves import most_accepted

        return most_accepted(form.right, form.wrong, risk) / form.n
    curve = curve_of(form)
    reached = np.flatnonzero(curve.risk <= risk)
    return float(curve.coverage[reached[-1]]) if reached.size else 0.0


def risk_at_coverage_of(form: Halves | TieGroups, coverage: float) -> float:
    """Return `risk_at_coverage` of ranked predictions."""
    coverage = check_fraction(coverage, "coverage", one=True)
    if isinstance(form, Halves):
        from recuse._kernels.curves import accepted_at

        accepted, errors = accepted_at(form.right, form.wrong, coverage)
        return errors / accepted
    curve = curve_of(form)
    return float(curve.risk[np.argmax(curve.coverage >= coverage)])
