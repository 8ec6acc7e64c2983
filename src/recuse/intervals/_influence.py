"""Influences: how much each example moves a measure, times n, when it gains weight.

n = examples, k = distinct confidences, G = groups. Influences have mean zero; their variance over
n is the variance of the measure. Tied examples share the means of what depends on the rank.
Influences are returned in the order of the input.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from recuse._internal.check import (
    check_confidence,
    check_fraction,
    check_groups,
    check_loss,
    to_numpy,
)
from recuse.curves._ranked import smallest_accepted
from recuse.errors import InputError
from recuse.intervals._runs import LOSS, POSITION, VALUE, WINDOW, Runs, packed

if TYPE_CHECKING:
    from jaxtyping import Float, Int, UInt64
    from numpy import ndarray as Array
    from numpy.typing import ArrayLike


class Sorted(NamedTuple):
    """Examples by descending confidence, then ascending loss."""

    order: Int[Array, " n"]
    loss: Float[Array, " n"]
    start: Int[Array, " k"]  # of each tie
    count: Int[Array, " k"]

    def tied(
        self, x: Float[Array, " n"], weights: Float[Array, " n"] | None = None
    ) -> Float[Array, " n"]:
        """Return the mean of each tie, at each of its rows."""
        if weights is None:
            return np.repeat(np.add.reduceat(x, self.start) / self.count, self.count)
        sums = (np.add.reduceat(v, self.start) for v in (weights * x, weights))
        return np.repeat(np.divide(*sums), self.count)

    def unsort(self, x: Float[Array, " n"]) -> Float[Array, " n"]:
        """Return x in the order of the input."""
        out = np.empty(x.size)
        out[self.order] = x
        return out


def by_confidence(
    confidence: ArrayLike, loss: ArrayLike, weights: Float[Array, " n"] | None = None
) -> Sorted:
    """Sort and find the ties; results do not depend on the order of the input, to the last bit."""
    if weights is None and (key := packed(confidence, loss)) is not None:
        return _unpacked(key)
    c = check_confidence(confidence)
    l = check_loss(loss, c.size)
    order = np.argsort(c)[::-1]
    new = np.r_[True, c[order][1:] != c[order][:-1]]
    if not new.all():
        least = () if weights is None else (weights[order],)
        order = order[np.lexsort((*least, l[order], np.cumsum(new)))]
    start = np.flatnonzero(new)
    return Sorted(order, l[order], start, np.diff(np.r_[start, c.size]))


def _unpacked(key: UInt64[Array, " n"]) -> Sorted:
    value = key >> VALUE
    start = np.flatnonzero(np.r_[True, value[1:] != value[:-1]])
    loss = (key >> LOSS & np.uint64(1)).astype(np.float64)
    order = (key & POSITION).view(np.int64)
    return Sorted(order, loss, start, np.diff(start, append=key.size))


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
    if weights is None and (key := packed(confidence, loss)) is not None:
        return Runs(key).of_aurc()
    m = None if weights is None else _check_weights(weights, to_numpy(confidence).size)
    s = by_confidence(confidence, loss, m)
    m = None if m is None else m[s.order]
    step = 1 / np.arange(1, s.loss.size + 1) if m is None else m / np.cumsum(m)
    weight = s.tied(np.cumsum(step[::-1])[::-1], m)
    tail = s.tied(np.cumsum((s.tied(s.loss, m) * step)[::-1])[::-1], m)
    own = s.loss * weight - tail
    return s.unsort(own - np.average(own, weights=m))


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
    l = check_loss(loss, check_confidence(confidence).size)
    return influence(confidence, l) - influence(-l, l)


def influence_augrc(confidence: ArrayLike, loss: ArrayLike) -> Float[Array, " n"]:
    r"""Return the influence of every example on AUGRC.

    $\ell_i\,P(c \le c_i) + E[\ell\,1\{c \ge c_i\}] - 2\,\mathrm{AUGRC}$: AUGRC is the mean over
    pairs of the loss of one, where the other is not more certain; ties count half.

    >>> influence_augrc([0.9, 0.8, 0.7], [0, 1, 0]).round(3)
    array([-0.333,  0.333,  0.   ])
    """
    if (key := packed(confidence, loss)) is not None:
        return Runs(key).of_augrc()
    s = by_confidence(confidence, loss)
    n = s.loss.size
    below = s.tied(np.arange(n, 0, -1) - 0.5) / n
    mean = s.tied(s.loss)
    above = s.tied(np.cumsum(mean) - mean / 2) / n
    own = s.loss * below
    return s.unsort(own + above - own.mean() - above.mean())


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
    if (key := packed(confidence, loss)) is not None:
        return _of_coverage(Runs(key), c)
    s = by_confidence(confidence, loss)
    n = s.loss.size
    end = s.start + s.count
    at = int(np.argmax(end / n >= c))
    k = int(end[at])
    risk = s.loss[:k].sum() / k
    m = local_risk(s, k) if _moves(s.count[at], n, c) else risk
    return s.unsort(_at_threshold(s, k, risk, m) * n / k)


def _of_coverage(runs: Runs, coverage: float) -> Float[Array, " n"]:
    start, k = runs.tie_of(smallest_accepted(runs.n, coverage) - 1)
    m = runs.local_risk(k) if _moves(k - start, runs.n, coverage) else runs.risk(k)
    out = runs.of_accepted(k, m)
    out *= runs.n / k
    return out


def _moves(tied: int, n: int, coverage: float) -> bool:
    """Return whether the tie at the threshold is so small that resampling moves the threshold."""
    return tied <= 2 * math.sqrt(n * coverage * (1 - coverage))


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
    r = check_fraction(risk, "risk", zero=True, one=True)
    if (key := packed(confidence, loss)) is not None:
        return _of_risk(Runs(key), r)
    s = by_confidence(confidence, loss)
    k = accepted_at_risk(s, r)
    m = local_risk(s, k)
    if not 0 < k < s.loss.size or m <= r:
        return np.full(s.loss.size, math.nan)
    return s.unsort(-_at_threshold(s, k, s.loss[:k].sum() / k, m) / (m - r))


def _of_risk(runs: Runs, risk: float) -> Float[Array, " n"]:
    k = runs.accepted_at_risk(risk)
    m = runs.local_risk(k)
    if not 0 < k < runs.n or m <= risk:
        return np.full(runs.n, math.nan)
    out = runs.of_accepted(k, m)
    out /= risk - m
    return out


def _at_threshold(s: Sorted, k: int, risk: float, m: float) -> Float[Array, " n"]:
    n = s.loss.size
    return np.where(np.arange(n) < k, s.loss - m, 0.0) - k / n * (risk - m)


def accepted_at_risk(s: Sorted, risk: float) -> int:
    """Return the largest k that a threshold accepts with a risk of at most `risk`, or 0."""
    end = s.start + s.count
    reached = np.flatnonzero(np.add.reduceat(s.loss, s.start).cumsum() / end <= risk)
    return int(end[reached[-1]]) if reached.size else 0


def local_risk(s: Sorted, k: int) -> float:
    """Return the mean loss of the n^0.8 examples around rank k, with whole ties."""
    n = s.loss.size
    half = math.ceil(n**WINDOW / 2)
    return float(s.tied(s.loss)[max(0, k - half) : k + half].mean())


def variance_of_mean(influence: Float[Array, " n"], groups: ArrayLike | None = None) -> float:
    """Return the variance of the mean of zero-mean influences, summed within groups first.

    Sums run in sorted order, so that the order of the input does not matter.
    """
    n = len(influence)
    sums = unit_sums(influence, groups)
    if len(sums) < 2:
        raise InputError(f"expected at least 2 independent examples or groups, got {len(sums)}")
    return float(np.sum(sums**2) / n**2 * len(sums) / (len(sums) - 1))


def unit_sums(x: Float[Array, " n"], groups: ArrayLike | None = None) -> Float[Array, " G"]:
    """Return the sums of x within groups, or x itself, in ascending order."""
    if groups is None:
        return np.sort(x)
    code = check_groups(groups, len(x))
    order = np.lexsort((x, code))
    start = np.flatnonzero(np.diff(code[order], prepend=-1))
    return np.sort(np.add.reduceat(x[order], start))


def effective_errors(loss: Float[Array, " n"], groups: ArrayLike | None = None) -> float:
    """Return the effective number of errors: (sum)^2 / sum of squares of losses summed by group.

    For independent 0-1 losses it is the number of errors.

    >>> effective_errors(np.array([0.0, 1.0, 1.0]))
    2.0
    """
    sums = unit_sums(loss, groups)
    return float(sums.sum() ** 2 / np.sum(sums**2)) if sums[-1] > 0 else 0.0
