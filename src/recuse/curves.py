"""Risk-coverage curves, their areas and their points: exact, whatever the order of ties.

n = examples, k = distinct confidences (k <= n). Predictions are accepted from the most
confident down; equal confidences are accepted together.

Areas are the mean over coverages 1/n..n/n, where tied predictions count as the mean over
all their orders. Sums are in float64; for 0-1 losses the counts are exact integers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from recuse._check import check_confidence, check_fraction, check_loss

if TYPE_CHECKING:
    from jaxtyping import Float, Int
    from numpy import ndarray as Array
    from numpy.typing import ArrayLike


class RiskCoverage(NamedTuple):
    """The operating points that a threshold can reach, from strict to lenient."""

    coverage: Float[Array, " k"]  # fraction accepted, in (0, 1], increasing
    risk: Float[Array, " k"]  # mean loss of the accepted
    threshold: Float[Array, " k"]  # decreasing; accept when confidence >= threshold
    accepted: Int[Array, " k"]  # number accepted, increasing


class TieGroups(NamedTuple):
    """The data in the only form the curve depends on: one entry for each confidence."""

    confidence: Float[Array, " k"]  # decreasing
    count: Int[Array, " k"]  # predictions at this confidence
    loss: Float[Array, " k"]  # their summed loss


def tie_groups(confidence: ArrayLike, loss: ArrayLike) -> TieGroups:
    """Group predictions by confidence, most confident first.

    Losses of a group are summed in sorted order, so that the result does not depend on
    the order of the input, to the last bit.

    Raises:
        InputError: Shapes differ, n is 0, a confidence is NaN, or a loss is negative.
    """
    c = check_confidence(confidence)
    l = check_loss(loss, c.size)
    order = np.lexsort((l, c))[::-1]
    c, l = c[order], l[order]
    start = np.flatnonzero(np.r_[True, c[1:] != c[:-1]])
    count = np.diff(np.r_[start, c.size])
    return TieGroups(c[start], count, np.add.reduceat(l, start))


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
    group = tie_groups(confidence, loss)
    accepted = np.cumsum(group.count)
    risk = np.cumsum(group.loss) / accepted
    return RiskCoverage(accepted / accepted[-1], risk, group.confidence, accepted)


def aurc(confidence: ArrayLike, loss: ArrayLike) -> float:
    r"""Area under the risk-coverage curve: the mean of $r_k$ over k = 1..n.

    A tie of m predictions with summed loss e after A accepted with summed loss E adds
    $e + (E - eA/m)(H_{A+m} - H_A)$, H the harmonic numbers: the mean over all orders of
    the tie. Args and errors as in `risk_coverage`.

    References:
        Geifman & El-Yaniv, NeurIPS 2017; Galil et al., ICLR 2023 (this form).

    >>> round(aurc([0.9, 0.7, 0.8], [0, 1, 0]), 4)
    0.1111
    >>> aurc([0.5, 0.5], [1, 0]) == aurc([0.5, 0.5], [0, 1]) == 0.5
    True
    """
    return _aurc(tie_groups(confidence, loss))


def e_aurc(confidence: ArrayLike, loss: ArrayLike) -> float:
    """Excess AURC: `aurc` minus that of the best order of the same losses.

    References:
        Geifman, Uziel & El-Yaniv, ICLR 2019 (with an approximate oracle; this one is exact).

    >>> round(e_aurc([0.9, 0.7, 0.8], [0, 0, 1]), 4)
    0.1667
    """
    group = tie_groups(confidence, loss)
    return max(0.0, _aurc(group) - _oracle(loss)) if _varies(loss) else 0.0


def n_aurc(confidence: ArrayLike, loss: ArrayLike) -> float:
    """Normalised excess AURC: 0 for the best order, 1 for a random one; NaN if losses are equal.

    References:
        Cattelan & Silva, UAI 2024.

    >>> n_aurc([0.9, 0.7, 0.8], [0, 1, 0])
    0.0
    """
    if not _varies(loss):
        return float("nan")
    gap = float(np.mean(np.sort(_float(loss)))) - _oracle(loss)
    return e_aurc(confidence, loss) / gap if gap > 0 else float("nan")


def augrc(confidence: ArrayLike, loss: ArrayLike) -> float:
    """Area under the generalized risk: the mean over k of (loss of the first k) / n.

    References:
        Traub et al., NeurIPS 2024.

    >>> augrc([0.9, 0.7, 0.8], [0, 1, 0]) == 1 / 9
    True
    """
    group = tie_groups(confidence, loss)
    n = group.count.sum()
    before = np.cumsum(group.loss) - group.loss
    return float(np.sum(before * group.count + group.loss * (group.count + 1) / 2) / n / n)


def coverage_at_risk(confidence: ArrayLike, loss: ArrayLike, risk: float) -> float:
    """The largest reachable coverage whose risk is <= `risk`; 0.0 if no threshold reaches it.

    A description of this data, not a promise for new data: that is `select`.

    >>> coverage_at_risk([0.9, 0.8, 0.7, 0.6], [1, 0, 0, 0], 0.25)
    1.0
    >>> coverage_at_risk([0.9, 0.8], [1, 1], 0.5)
    0.0
    """
    risk = check_fraction(risk, "risk", zero=True, one=True)
    curve = risk_coverage(confidence, loss)
    reached = np.flatnonzero(curve.risk <= risk)
    return float(curve.coverage[reached[-1]]) if reached.size else 0.0


def risk_at_coverage(confidence: ArrayLike, loss: ArrayLike, coverage: float) -> float:
    """The risk at the smallest reachable coverage >= `coverage`.

    >>> risk_at_coverage([0.9, 0.8, 0.8, 0.6], [0, 1, 0, 0], 0.5)
    0.3333333333333333
    """
    coverage = check_fraction(coverage, "coverage", one=True)
    curve = risk_coverage(confidence, loss)
    return float(curve.risk[np.argmax(curve.coverage >= coverage)])


def thin(curve: RiskCoverage, points: int = 400) -> RiskCoverage:
    """A sub-sample of the curve for drawing: both ends, the steps dense at low coverage.

    Only for pictures: no area or point is ever computed from it.
    """
    k = len(curve.coverage)
    if k <= points:
        return curve
    even = np.linspace(0, k - 1, points // 2)
    dense = np.geomspace(1, k, points // 2) - 1
    keep = np.unique(np.r_[even, dense].round().astype(int))
    return RiskCoverage(*(column[keep] for column in curve))


def harmonic(n: int) -> Float[Array, " m"]:
    """H_0..H_n, the sums 1 + 1/2 + ... + 1/k."""
    return np.r_[0.0, np.cumsum(1 / np.arange(1, n + 1))]


def _aurc(group: TieGroups) -> float:
    end = np.cumsum(group.count)
    start = end - group.count
    before = np.cumsum(group.loss) - group.loss
    h = harmonic(int(end[-1]))
    excess = (before - group.loss * start / group.count) * (h[end] - h[start])
    return float(np.sum(group.loss + excess) / end[-1])


def _oracle(loss: ArrayLike) -> float:
    """AURC when the smallest losses come first."""
    l = np.sort(_float(loss))
    return _aurc(TieGroups(l, np.ones(l.size, int), l))


def _float(loss: ArrayLike) -> Float[Array, " n"]:
    return check_loss(loss, len(loss))  # ty: ignore[invalid-argument-type]


def _varies(loss: ArrayLike) -> bool:
    l = _float(loss)
    return bool(l.min() != l.max())
