"""Ranked predictions.

n = predictions, k = distinct confidences (k <= n), w = those of errors. A curve depends only on
which losses are tied and in what order. Many predictions with 0-1 losses become `Errors`, which
cost four or five bytes each (float32): `Halves` where numba repays its start, else `Whole`.
Everything else becomes `TieGroups`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from recuse import _kernels
from recuse._internal.check import check_confidence, check_loss, to_numpy
from recuse.curves._harmonic import rise_and_ramp
from recuse.curves._order import changes, descending
from recuse.curves._ties import ErrorTies

if TYPE_CHECKING:
    from jaxtyping import Float, Int
    from numpy import ndarray as Array
    from numpy.typing import ArrayLike

HALF = ("float16", "bfloat16")
FLOATS = (np.float32, np.float64)
SMALLEST = 1 << 13  # below, grouping takes a millisecond
SECONDS = 4e-8  # a prediction, by NumPy


class TieGroups(NamedTuple):
    """One entry for each distinct confidence."""

    confidence: Float[Array, " k"]  # decreasing
    count: Int[Array, " k"]  # predictions at this confidence
    loss: Float[Array, " k"]  # their summed loss


class Errors(ABC):
    """Many predictions with 0-1 losses, in order."""

    n: int
    wrong: int
    ties: ErrorTies

    @abstractmethod
    def tie_of(self, rank: int) -> tuple[int, int]:
        """Return the ranks, from 0, at which the tie of a rank begins and ends."""

    @property
    def risk_area(self) -> float:
        """The sum over k of E_k / k."""
        return self.ties.risk_area

    @property
    def loss_area(self) -> float:
        """The sum over k of E_k."""
        return self.ties.loss_area

    @cached_property
    def best(self) -> float:
        """The sum over k of E_k / k in the best order, all errors last."""
        return float(rise_and_ramp(np.array([self.n - self.wrong]), np.array([self.wrong]))[1][0])

    def most_accepted(self, risk: float) -> int:
        """Return the largest k that a threshold accepts with E_k / k <= risk; 0 if none."""
        return self.ties.most_accepted(risk)

    def accepted_at(self, coverage: float) -> tuple[int, int]:
        """Return k and E_k at the smallest k that a threshold accepts with k / n >= coverage."""
        k = self.tie_of(smallest_accepted(self.n, coverage) - 1)[1]
        return k, self.ties.errors_until(k)


class Whole(Errors):
    """The confidences of all and of the wrong, each ascending, read by NumPy."""

    def __init__(self, every: Float[Array, " n"], wrong: Float[Array, " w"]):
        self._every, self._wrong = every, wrong
        self.n, self.wrong = every.size, wrong.size

    @cached_property
    def ties(self) -> ErrorTies:
        """The ties that hold an error."""
        first = np.flatnonzero(changes(self._wrong))
        value, errors = self._wrong[first], np.diff(first, append=self.wrong)
        low, high = places(self._every, value)
        return ErrorTies(self.n, self.n - high[::-1], (high - low)[::-1], errors[::-1])

    def tie_of(self, rank: int) -> tuple[int, int]:
        """Return the ranks, from 0, at which the tie of a rank begins and ends."""
        value = self._every[self.n - 1 - rank]
        low, high = (int(np.searchsorted(self._every, value, side)) for side in ("left", "right"))
        return self.n - high, self.n - low

    def groups(self) -> TieGroups:
        """Return the same predictions as `TieGroups`."""
        first = np.flatnonzero(changes(self._every))
        confidence, count = self._every[first], np.diff(first, append=self.n)
        wrong = np.diff(np.searchsorted(self._wrong, confidence), append=self.wrong)
        return TieGroups(confidence[::-1], count[::-1], wrong[::-1].astype(np.float64))


class Halves(Errors):
    """The confidences of the right and of the wrong, each ascending, read by loops of numba."""

    def __init__(self, right: Float[Array, " r"], wrong: Float[Array, " w"]):
        self._right, self._wrong = right, wrong
        self.n, self.wrong = right.size + wrong.size, wrong.size

    @cached_property
    def ties(self) -> ErrorTies:
        """The ties that hold an error."""
        first = np.flatnonzero(changes(self._wrong))
        value, errors = self._wrong[first], np.diff(first, append=self.wrong)
        low, high = places(self._right, value)
        start = self.wrong - first - errors + self._right.size - high
        return ErrorTies(self.n, start[::-1], (high - low + errors)[::-1], errors[::-1])

    @property
    def risk_area(self) -> float:
        """The sum over k of E_k / k."""
        return self._areas[0]

    @property
    def loss_area(self) -> float:
        """The sum over k of E_k."""
        return self._areas[1]

    @cached_property
    def _areas(self) -> tuple[float, float]:
        from recuse._kernels import curves as kernels

        return kernels.areas(self._right, self._wrong)

    def tie_of(self, rank: int) -> tuple[int, int]:
        """Return the ranks, from 0, at which the tie of a rank begins and ends."""
        end, errors = self.accepted_at((rank + 1) / self.n)
        below = (self._right, end - errors), (self._wrong, errors)
        value = min(half[-accepted] for half, accepted in below if accepted)
        more = (half.size - np.searchsorted(half, value, "right") for half, _ in below)
        return int(sum(more)), end

    def groups(self) -> TieGroups:
        """Return the same predictions as `TieGroups`."""
        from recuse._kernels import curves as kernels

        confidence, count, errors = kernels.ties(self._right, self._wrong)
        return TieGroups(confidence, count, errors.astype(np.float64))

    def most_accepted(self, risk: float) -> int:
        """Return the largest k that a threshold accepts with E_k / k <= risk; 0 if none."""
        from recuse._kernels import curves as kernels

        return kernels.most_accepted(self._right, self._wrong, risk)

    def accepted_at(self, coverage: float) -> tuple[int, int]:
        """Return k and E_k at the smallest k that a threshold accepts with k / n >= coverage."""
        from recuse._kernels import curves as kernels

        return kernels.accepted_at(self._right, self._wrong, coverage)

    def aurc_variance(self) -> float:
        """Return the variance of the influences on AURC over n."""
        from recuse._kernels import curves as kernels

        return kernels.aurc_variance(self._right, self._wrong)


def ranked(confidence: ArrayLike, loss: ArrayLike) -> Halves | Whole | TieGroups:
    """Return the form that is fastest for these predictions.

    Raises:
        InputError: Shapes differ, n is 0, a confidence is NaN, or a loss is negative.
    """
    return errors(confidence, loss) or grouped(confidence, loss)


def tie_groups(confidence: ArrayLike, loss: ArrayLike) -> TieGroups:
    """Group predictions by confidence, most confident first. Errors as in `ranked`."""
    found = ranked(confidence, loss)
    return found if isinstance(found, TieGroups) else found.groups()


def errors(confidence: ArrayLike, loss: ArrayLike) -> Halves | Whole | None:
    """Return `Errors`, or None: few predictions, losses other than 0 and 1, malformed input."""
    c, l = to_numpy(confidence), to_numpy(loss)
    if c.ndim != 1 or c.shape != l.shape or c.size < SMALLEST:
        return None
    if l.dtype == bool:
        l = l.view(np.uint8)
    c, l = (x.astype(np.float32) if x.dtype.name in HALF else x for x in (c, l))
    if c.dtype not in FLOATS or not (l.dtype.kind in "iu" or l.dtype in FLOATS):
        return None
    return (_by_loops if _kernels.repays(SECONDS * c.size) else _by_arrays)(c, l)


def _by_arrays(c: Float[Array, " n"], l: Array) -> Whole | None:
    """Return `Whole`; None if a confidence is NaN or a loss not 0 or 1."""
    wrong = l == 1
    if not (wrong | (l == 0)).all():
        return None
    every = np.sort(c)
    return None if np.isnan(every[-1]) else Whole(every, np.sort(c[wrong]))


def _by_loops(c: Float[Array, " n"], l: Array) -> Halves | None:
    """Return `Halves`; None if a confidence is NaN or a loss not 0 or 1."""
    from recuse._kernels import curves as kernels

    out = np.empty_like(c)
    right, bad = kernels.partition(np.ascontiguousarray(c), np.ascontiguousarray(l), out)
    if bad:
        return None
    for half in (found := (out[:right], out[right:])):
        half.sort()
    return Halves(*found)


def places(ascending: Float[Array, " n"], value: Float[Array, " t"]) -> tuple[Array, Array]:
    """Return where sorted values begin and end; most stand there once or not at all."""
    low = np.searchsorted(ascending, value)

    def stands(at: Int[Array, " t"]) -> Array:
        return ascending[np.minimum(at, ascending.size - 1)] == value

    if not ascending.size:
        return low, low
    high = low + stands(low)
    several = np.flatnonzero(stands(high))
    high[several] = np.searchsorted(ascending, value[several], "right")
    return low, high


def grouped(confidence: ArrayLike, loss: ArrayLike) -> TieGroups:
    """Group predictions by confidence, for any losses.

    Losses of a tie are summed in sorted order, so that the result does not depend on the
    order of the input, to the last bit.
    """
    c = check_confidence(confidence)
    l = check_loss(loss, c.size)
    order, new = descending(c, l)
    start = np.flatnonzero(new)
    count = np.diff(start, append=c.size)
    return TieGroups(c[order[start]], count, np.add.reduceat(l[order], start))


def smallest_accepted(n: int, coverage: float, at_least: int = 0) -> int:
    """Return the smallest k > at_least with k / n >= coverage."""
    k = max(int(coverage * n), at_least + 1)
    while k / n < coverage:
        k += 1
    while k > at_least + 1 and (k - 1) / n >= coverage:
        k -= 1
    return k
