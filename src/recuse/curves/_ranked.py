"""Ranked predictions.

n = predictions, k = distinct confidences (k <= n), w = those of errors. A curve depends only on
which losses are tied and in what order. Many predictions with 0-1 losses become `Halves`, which
cost four bytes each (float32). Everything else becomes `TieGroups`.
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from recuse import _kernels
from recuse._internal.check import check_confidence, check_loss, to_numpy
from recuse.curves._harmonic import rise_and_ramp

if TYPE_CHECKING:
    from jaxtyping import Float, Int
    from numpy import ndarray as Array
    from numpy.typing import ArrayLike

HALF = ("float16", "bfloat16")
FLOATS = (np.float32, np.float64)
SMALLEST_HALVES = 1 << 14  # below, grouping takes a millisecond
SECONDS = 6e-8  # a prediction, by NumPy


class TieGroups(NamedTuple):
    """One entry for each distinct confidence."""

    confidence: Float[Array, " k"]  # decreasing
    count: Int[Array, " k"]  # predictions at this confidence
    loss: Float[Array, " k"]  # their summed loss


class ErrorTies(NamedTuple):
    """One entry for each distinct confidence of an error, most confident first."""

    above: Int[Array, " w"]  # predictions that are more confident
    count: Int[Array, " w"]  # predictions at this confidence
    errors: Int[Array, " w"]  # of them
    errors_above: Int[Array, " w"]


class Halves:
    """The confidences of the right and of the wrong, each ascending.

    Read by NumPy, or by the loops of `_kernels.curves` where numba repays its start.
    """

    def __init__(self, right: Float[Array, " r"], wrong: Float[Array, " w"], looped: bool):
        self.right = right
        self.wrong = wrong
        self.looped = looped
        self.n = right.size + wrong.size

    @cached_property
    def areas(self) -> tuple[float, float]:
        """Return the sums over k of E_k / k and of E_k."""
        if self.looped:
            from recuse._kernels import curves as kernels

            return kernels.areas(self.right, self.wrong)
        t = self.error_ties
        end = t.above + t.count
        carried, own = self._rise_to_all(end), t.errors / t.count * self._growth[1]
        summed = t.errors * (self.n - t.above - 0.5 * (t.count - 1))
        return float(np.sum(t.errors * carried + own)), float(np.sum(summed))

    @cached_property
    def best(self) -> float:
        """Return the sum over k of E_k / k in the best order, all errors last."""
        wrong = self.wrong.size
        return float(rise_and_ramp(np.array([self.n - wrong]), np.array([wrong]))[1][0])

    def groups(self) -> TieGroups:
        """Return the same predictions as `TieGroups`."""
        if self.looped:
            from recuse._kernels import curves as kernels

            confidence, count, errors = kernels.ties(self.right, self.wrong)
            return TieGroups(confidence, count, errors.astype(np.float64))
        # a stable sort merges what is sorted
        values = np.sort(np.concatenate((self.right, self.wrong)), kind="stable")
        confidence = values[_new(values)]
        right, wrong = (
            np.diff(np.searchsorted(half, confidence), append=half.size)[::-1]
            for half in (self.right, self.wrong)
        )
        return TieGroups(confidence[::-1], right + wrong, wrong.astype(np.float64))

    def most_accepted(self, risk: float) -> int:
        """Return the largest k that a threshold accepts with E_k / k <= risk; 0 if there is none.

        While only right predictions are added, the risk falls: the last k before each error is
        the only one to look at.
        """
        if self.looped:
            from recuse._kernels import curves as kernels

            return kernels.most_accepted(self.right, self.wrong, risk)
        if self.wrong.size / self.n <= risk:
            return self.n
        t = self.error_ties
        above = t.above[(t.above > 0) & (t.errors_above / np.maximum(t.above, 1) <= risk)]
        return int(above.max(initial=0))

    def accepted_at(self, coverage: float) -> tuple[int, int]:
        """Return k and E_k at the smallest k that a threshold accepts with k / n >= coverage."""
        if self.looped:
            from recuse._kernels import curves as kernels

            return kernels.accepted_at(self.right, self.wrong, coverage)
        last = self.n - smallest_accepted(self.n, coverage)
        value = np.partition(np.concatenate((self.right, self.wrong)), last)[last]
        right, wrong = (h.size - int(np.searchsorted(h, value)) for h in (self.right, self.wrong))
        return right + wrong, wrong

    def aurc_variance(self) -> float:
        """Return the variance of the influences on AURC over n.

        Between two ties with errors all influences are equal, up to a constant: the sum of 1/j
        over the errors before.
        """
        if self.looped:
            from recuse._kernels import curves as kernels

            return kernels.aurc_variance(self.right, self.wrong)
        t, (growth, ramp) = self.error_ties, self._growth
        end, rate, share = t.above + t.count, t.errors / t.count, ramp / t.count
        between = np.r_[0.0, np.cumsum(rate * growth)]
        right = between[:-1] + rate * (growth - share)
        wrong = right + self._rise_to_all(end) + share
        value = np.concatenate((between, right, wrong))
        gaps = np.r_[t.above, self.n] - np.r_[0, end]
        count = np.concatenate((gaps, t.count - t.errors, t.errors))
        apart = value - count @ value / self.n
        return float(count @ apart**2 / self.n / (self.n - 1))

    @cached_property
    def error_ties(self) -> ErrorTies:
        """Return the ties that hold an error."""
        first = np.flatnonzero(_new(self.wrong))
        value, errors = self.wrong[first], np.diff(first, append=self.wrong.size)
        low, high = (np.searchsorted(self.right, value, side) for side in ("left", "right"))
        errors_above = self.wrong.size - first - errors
        above = errors_above + self.right.size - high
        return ErrorTies(*(x[::-1] for x in (above, high - low + errors, errors, errors_above)))

    @cached_property
    def _growth(self) -> tuple[Float[Array, " w"], Float[Array, " w"]]:
        """Return the sums of 1 / (a + j) and of j / (a + j) over the ranks of each error tie."""
        return rise_and_ramp(self.error_ties.above, self.error_ties.count)

    def _rise_to_all(self, rank: Int[Array, " w"]) -> Float[Array, " w"]:
        """Return H_n - H_rank."""
        return rise_and_ramp(rank, self.n - rank)[0]


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
    if c.ndim != 1 or c.shape != l.shape or c.size < SMALLEST_HALVES:
        return None
    if l.dtype == bool:
        l = l.view(np.uint8)
    c, l = (x.astype(np.float32) if x.dtype.name in HALF else x for x in (c, l))
    if c.dtype not in FLOATS or not (l.dtype.kind in "iu" or l.dtype in FLOATS):
        return None
    looped = _kernels.repays(SECONDS * c.size)
    if (split := _partition(c, l, looped)) is None:
        return None
    for half in split:
        half.sort()
    return Halves(*split, looped)


def _partition(c: Float[Array, " n"], l: Array, looped: bool) -> tuple[Array, Array] | None:
    """Return the right and the wrong; None if a confidence is NaN or a loss not 0 or 1."""
    if not looped:
        wrong = l != 0
        if np.isnan(c).any() or (l[wrong] != 1).any():
            return None
        return c[~wrong], c[wrong]
    from recuse._kernels import curves as kernels

    out = np.empty_like(c)
    right, bad = kernels.partition(np.ascontiguousarray(c), np.ascontiguousarray(l), out)
    return None if bad else (out[:right], out[right:])


def _new(ascending: Float[Array, " n"]) -> Array:
    """Return where a value differs from the one before."""
    new = np.ones(ascending.size, bool)
    np.not_equal(ascending[1:], ascending[:-1], out=new[1:])
    return new


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


def smallest_accepted(n: int, coverage: float, at_least: int = 0) -> int:
    """Return the smallest k > at_least with k / n >= coverage."""
    k = max(int(coverage * n), at_least + 1)
    while k / n < coverage:
        k += 1
    while k > at_least + 1 and (k - 1) / n >= coverage:
        k -= 1
    return k
