"""Influences: how much each example moves a measure, times n, when it gains weight.

n = examples, k = distinct confidences, r = examples of a part, G = groups. Influences have mean
zero; their variance over n is the variance of the measure. Tied examples share the means of what
depends on the rank. Public functions return influences in the order of the input.
"""

from __future__ import annotations

import math
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from recuse._internal.check import (
    check_confidence,
    check_fraction,
    check_groups,
    check_loss,
    to_numpy,
)
from recuse.curves._order import POSITION, VALUE, changes, descending
from recuse.curves._ranked import TieGroups, errors
from recuse.curves._ties import WINDOW
from recuse.errors import InputError
from recuse.intervals._runs import LOSS, Keyed, Runs, packed
from recuse.intervals._spread import Accepted, Ranking, Spread, variance_of
from recuse.intervals._total import group_totals, total

if TYPE_CHECKING:
    from jaxtyping import Float, Int, Int32, UInt64
    from numpy import ndarray as Array
    from numpy.typing import ArrayLike


class Sorted(Ranking):
    """Examples by descending confidence, then ascending loss, each a run of its own."""

    def __init__(self, order: Int[Array, " n"], loss: Float[Array, " n"], start: Int[Array, " k"]):
        self.order = order
        self.loss = loss
        self.start = start  # of each tie
        self.n = loss.size
        self.count = np.diff(start, append=self.n)
        self.end = start + self.count

    @property
    def errors(self) -> float:
        """The effective number of errors."""
        return effective_errors(self.loss)

    @property
    def largest(self) -> float:
        """The largest loss."""
        return float(self.loss.max())

    @cached_property
    def form(self) -> TieGroups:
        """The ties, for the values of measures; without their confidences."""
        return TieGroups(np.empty(0), self.count, np.add.reduceat(self.loss, self.start))

    def tied(
        self, x: Float[Array, " n"], weights: Float[Array, " n"] | None = None
    ) -> Float[Array, " n"]:
        """Return the mean of each tie, at each of its rows."""
        if self.start.size == self.n:
            return x
        if weights is None:
            return np.repeat(np.add.reduceat(x, self.start) / self.count, self.count)
        sums = (np.add.reduceat(v, self.start) for v in (weights * x, weights))
        return np.repeat(np.divide(*sums), self.count)

    def aurc(self, weights: Float[Array, " n"] | None = None) -> Spread:
        """Return the influences on AURC, or on `curves.aurc_of_weights`."""
        m = weights
        step = 1 / np.arange(1, self.n + 1) if m is None else m / np.cumsum(m)
        weight = self.tied(np.cumsum(step[::-1])[::-1], m)
        tail = self.tied(np.cumsum((self.tied(self.loss, m) * step)[::-1])[::-1], m)
        own = self.loss * weight - tail
        return Spread(own - np.average(own, weights=m), None)

    def e_aurc(self) -> Spread:
        """Return the influences on E-AURC: on AURC, minus that on the AURC of the best order."""
        order, new = descending(-self.loss)
        best = Sorted(order, self.loss[order], np.flatnonzero(new))
        return Spread(self.aurc().value - best.unsort(best.aurc()), None)

    def augrc(self) -> Spread:
        """Return the influences on AUGRC."""
        below = self.tied(np.arange(self.n, 0, -1) - 0.5) / self.n
        mean = self.tied(self.loss)
        above = self.tied(np.cumsum(mean) - mean / 2) / self.n
        own = self.loss * below
        return Spread(own + above - own.mean() - above.mean(), None)

    def at_threshold(self, k: int, m: float) -> Spread:
        """Return 1{accepted} (l - m) - k/n (R - m), R the risk of the k that are accepted."""
        accepted = np.where(np.arange(self.n) < k, self.loss - m, 0.0)
        return Spread(accepted - k / self.n * (self.risk(k) - m), None)

    def risk(self, k: int) -> float:
        """Return the risk of the k most confident, the last a whole tie."""
        return float(self.loss[:k].sum() / k)

    def tie_at(self, coverage: float) -> tuple[int, int]:
        """Return the ranks at which the tie at a coverage begins and ends."""
        at = int(np.argmax(self.end / self.n >= coverage))
        return int(self.start[at]), int(self.end[at])

    def accepted_at_risk(self, risk: float) -> int:
        """Return the largest k that a threshold accepts with a risk of at most `risk`, or 0."""
        reached = np.flatnonzero(self.form.loss.cumsum() / self.end <= risk)
        return int(self.end[reached[-1]]) if reached.size else 0

    def local_risk(self, k: int) -> float:
        """Return the mean loss of the n^0.8 examples around rank k, with whole ties."""
        half = math.ceil(self.n**WINDOW / 2)
        return float(self.tied(self.loss)[max(0, k - half) : k + half].mean())

    def accepted(self) -> Accepted:
        """Return what each threshold accepts."""
        squares = np.add.reduceat(self.loss**2, self.start)
        return Accepted(self.end, np.cumsum(self.form.loss), np.cumsum(squares))

    def carried(self, part: slice) -> Int[Array, " r"]:
        """Return where the examples of these ranks stand in the input, or what is carried."""
        return self.order[part]


def by_confidence(
    confidence: ArrayLike, loss: ArrayLike, weights: Float[Array, " n"] | None = None
) -> Sorted:
    """Sort and find the ties; results do not depend on the order of the input, to the last bit."""
    if weights is None and (key := packed(confidence, loss)) is not None:
        return _unpacked(key)
    c = check_confidence(confidence)
    l = check_loss(loss, c.size)
    order, new = descending(c, *(() if weights is None else (weights,)), l)
    return Sorted(order, l[order], np.flatnonzero(new))


def _unpacked(key: UInt64[Array, " n"]) -> Sorted:
    loss = (key >> LOSS & np.uint64(1)).astype(np.float64)
    return Sorted((key & POSITION).view(np.int64), loss, np.flatnonzero(changes(key >> VALUE)))


def ranking(confidence: ArrayLike, loss: ArrayLike) -> Ranking:
    """Return the ranking of independent examples, whose positions are not asked for."""
    form = errors(confidence, loss)
    return by_confidence(confidence, loss) if form is None else Runs(form)


def ranking_with_positions(
    confidence: ArrayLike, loss: ArrayLike, carried: Int32[Array, " n"] | None = None
) -> Ranking:
    """Return the ranking of examples that are paired or grouped.

    With integers from 0 that they carry, these are known in the place of positions.
    """
    key = packed(confidence, loss, carried)
    if key is not None:
        return Runs(Keyed(key))
    found = by_confidence(confidence, loss)
    if carried is not None:
        found.order = carried[found.order]
    return found


def influence(
    confidence: ArrayLike, loss: ArrayLike, weights: ArrayLike | None = None
) -> Float[Array, " n"]:
    r"""Return the influence of every example on AURC.

    With examples sorted by descending confidence and $w_i = \sum_{j \ge i} 1/j$:
    $\ell_i w_i - \sum_{j \ge i} \ell_j / j + \bar\ell - \overline{\ell w}$, where tied
    examples share the mean of $w$ and of the sum over their group.

    With importance weights it is the derivative of `curves.aurc_of_weights` as the example gains a
    share of all weight: 1/j becomes the weight of example j over that of the first j, and means
    are weighted. The unit of the weights does not matter.

    Args:
        confidence: Shape (n,).
        loss: Shape (n,).
        weights: Shape (n,), finite, > 0; all equal if None.

    Raises:
        InputError: Malformed input.

    >>> influence([0.9, 0.8, 0.7], [0, 1, 0]).round(3)
    array([-0.444,  0.389,  0.056])
    """
    if weights is None:
        r = ranking_with_positions(confidence, loss)
        return r.unsort(r.aurc())
    m = _check_weights(weights, to_numpy(confidence).size)
    s = by_confidence(confidence, loss, m)
    return s.unsort(s.aurc(m[s.order]))


def _check_weights(weights: ArrayLike, n: int) -> Float[Array, " n"]:
    m = to_numpy(weights)
    if m.shape != (n,):
        raise InputError(f"expected `weights` of shape ({n},), got {m.shape}")
    m = m.astype(np.float64)
    if not (np.isfinite(m) & (m > 0)).all():
        raise InputError(f"expected `weights` finite and > 0, got {m.min():g} to {m.max():g}")
    return m


def influence_e_aurc(confidence: ArrayLike, loss: ArrayLike) -> Float[Array, " n"]:
    r"""Return the influence on E-AURC: on AURC, minus that on the AURC of the best order.

    For 0-1 losses with mean e the latter is $-\ln(1 - e)(\ell_i - e)$, up to terms of order 1/n.

    >>> influence_e_aurc([0.9, 0.8, 0.7], [0, 0, 1])  # in the best order already
    array([0., 0., 0.])
    """
    r = ranking_with_positions(confidence, loss)
    return r.unsort(r.e_aurc())


def influence_augrc(confidence: ArrayLike, loss: ArrayLike) -> Float[Array, " n"]:
    r"""Return the influence of every example on AUGRC.

    $\ell_i\,P(c \le c_i) + E[\ell\,1\{c \ge c_i\}] - 2\,\mathrm{AUGRC}$: AUGRC is the mean over
    pairs of the loss of one, where the other is not more certain; ties count half.

    >>> influence_augrc([0.9, 0.8, 0.7], [0, 1, 0]).round(3)
    array([-0.333,  0.333,  0.   ])
    """
    r = ranking_with_positions(confidence, loss)
    return r.unsort(r.augrc())


def influence_risk_at_coverage(
    confidence: ArrayLike, loss: ArrayLike, coverage: float
) -> Float[Array, " n"]:
    r"""Return the influence of every example on the risk R of the most confident fraction c.

    $[1\{c_i \ge t\}(\ell_i - m) - c\,(R - m)] / c$: with more weight on an accepted example the
    threshold t rises, and what falls out has the risk m near t. If a tie at t is so large that t
    does not move, $1\{c_i \ge t\}(\ell_i - R) / c$.

    >>> influence_risk_at_coverage([0.9, 0.8, 0.8, 0.6], [0, 1, 0, 0], 0.5).round(3)
    array([-0.444,  0.889, -0.444,  0.   ])
    """
    c = check_fraction(coverage, "coverage", one=True)
    r = ranking_with_positions(confidence, loss)
    return r.unsort(r.risk_at_coverage(c))


def influence_coverage_at_risk(
    confidence: ArrayLike, loss: ArrayLike, risk: float
) -> Float[Array, " n"]:
    r"""Return the influence of every example on the largest coverage C whose risk is at most r.

    $-[1\{c_i \ge t\}(\ell_i - m) - C\,(r - m)] / (m - r)$: the steeper the risk m near the
    threshold, the less the coverage moves. NaN where m <= r, since the risk does not cross r
    there, and where the coverage is 0 or 1.

    >>> influence_coverage_at_risk([0.9, 0.8, 0.7, 0.6], [0, 0, 1, 1], 0.25)
    array([ 1.,  1., -1., -1.])
    """
    level = check_fraction(risk, "risk", zero=True, one=True)
    r = ranking_with_positions(confidence, loss)
    return r.unsort(r.coverage_at_risk(level))


def variance_of_mean(influence: Float[Array, " n"], groups: ArrayLike | None = None) -> float:
    """Return the variance of the mean of zero-mean influences, summed within groups first.

    The order of the input does not matter, to the last bit.
    """
    n = len(influence)
    sums = influence if groups is None else group_sums(influence, groups)
    return variance_of(total(sums**2), len(sums)) * (len(sums) / n) ** 2


def group_sums(x: Float[Array, " n"], groups: ArrayLike) -> Float[Array, " G"]:
    """Return the sums of x within groups."""
    return group_totals(x, check_groups(groups, len(x)))


def effective_errors(loss: Float[Array, " n"], groups: ArrayLike | None = None) -> float:
    """Return the effective number of errors: (sum)^2 / sum of squares of losses summed by group.

    For independent 0-1 losses it is the number of errors.

    >>> effective_errors(np.array([0.0, 1.0, 1.0]))
    2.0
    """
    sums = loss if groups is None else group_sums(loss, groups)
    return total(sums) ** 2 / total(sums**2) if sums.any() else 0.0
