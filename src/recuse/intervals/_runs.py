"""Influences of many 0-1 losses, by runs of rows that share one.

n = rows, t = ties that hold an error, g = 3 t + 1 runs. By descending confidence, the rows of equal
influence are, for each tie: the right ones before it, its right ones, its wrong ones; and, at the
end, the right ones after the last. The variance of the influences needs no more. Where rows are
paired or grouped, one sort of integers finds the ties and the way back to the order of the input:
of each row its confidence, its loss and its position, in 64 bits.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from recuse._internal.check import is_floating, to_numpy
from recuse.curves._areas import oracle
from recuse.curves._order import POSITION, VALUE, changes, falling
from recuse.curves._ranked import Errors, Halves, Whole, smallest_accepted
from recuse.curves._ties import ErrorTies
from recuse.intervals._spread import PART, Accepted, Ranking, Spread

if TYPE_CHECKING:
    from jaxtyping import Int, UInt64
    from numpy import ndarray as Array
    from numpy.typing import ArrayLike

Influences = tuple[slice, "Array", "Array", "Array"]  # of ties: before them, of right, of wrong

FEWEST = 1 << 14  # rows; below, a sort of floats takes a millisecond
LOSS = np.uint64(31)  # bits below the loss


def packed(confidence: ArrayLike, loss: ArrayLike) -> UInt64[Array, " n"] | None:
    """Return integers that ascend as the confidence descends, then the loss ascends.

    None for few rows, confidences that float32 does not hold, losses other than 0 and 1, and
    malformed input.
    """
    c, l = to_numpy(confidence), to_numpy(loss)
    if not (c.ndim == 1 and c.shape == l.shape and FEWEST <= c.size <= POSITION):
        return None
    if not is_floating(c.dtype) or l.dtype.kind not in "biuf":
        return None
    key = np.empty(c.size, np.uint64)
    for start in range(0, c.size, PART):
        part = slice(start, min(start + PART, c.size))
        wrong = l[part] == 1
        with np.errstate(over="ignore"):
            x = c[part].astype(np.float32)
        if not ((x == c[part]).all() and (wrong | (l[part] == 0)).all()):
            return None
        key[part] = falling(x)
        key[part] <<= VALUE
        key[part] |= wrong.astype(np.uint64) << LOSS
        key[part] |= np.arange(part.start, part.stop, dtype=np.uint64)
    key.sort()
    return key


class Keyed(Errors):
    """Rows of 0-1 losses by sorted integers; see `packed`."""

    def __init__(self, key: UInt64[Array, " n"]):
        self.key, self.n = key, key.size
        wrong = np.concatenate([_wrong(key, start) for start in range(0, self.n, PART)])
        self.wrong = wrong.size
        self._ties = self._ties_of(wrong)

    @property
    def ties(self) -> ErrorTies:
        """The ties that hold an error."""
        return self._ties

    def _ties_of(self, wrong: Int[Array, " e"]) -> ErrorTies:
        value = self.key[wrong] >> VALUE
        first = np.flatnonzero(changes(value))
        errors = np.diff(first, append=self.wrong).astype(np.int32)
        start, value = wrong[first], value[first]
        count = errors.copy()
        mixed = np.flatnonzero((self.key[start - 1] >> VALUE == value) & (start > 0))
        count[mixed] += start[mixed]
        start[mixed] = np.searchsorted(self.key, value[mixed] << VALUE)
        count[mixed] -= start[mixed]
        return ErrorTies(self.n, start, count, errors)

    def tie_of(self, rank: int) -> tuple[int, int]:
        """Return the ranks, from 0, at which the tie of a rank begins and ends."""
        value = self.key[rank] >> VALUE
        limits = np.array([value, value + np.uint64(1)]) << VALUE
        start, end = np.searchsorted(self.key, limits)
        return int(start), int(end)


def _wrong(key: UInt64[Array, " n"], start: int) -> Int[Array, " e"]:
    """Return where the loss is 1, of a part: the sign of the lower half."""
    lower = key[start : start + PART].astype(np.uint32).view(np.int32)
    return (np.flatnonzero(lower < 0) + start).astype(np.int32)


class Runs(Ranking):
    """A ranking of many 0-1 losses; see the module."""

    def __init__(self, form: Errors):
        self._form = form
        self.n = form.n

    @property
    def form(self) -> Errors:
        """What the values of measures are read from."""
        return self._form

    @property
    def errors(self) -> float:
        """The effective number of errors."""
        return float(self.form.wrong)

    @property
    def largest(self) -> float:
        """The largest loss."""
        return float(self.form.wrong > 0)

    def oracle(self) -> tuple[float, float, bool]:
        """Return what `curves._areas.oracle` does."""
        return oracle(self.form, ())

    def aurc(self) -> Spread:
        """Return the influences on AURC."""
        return _aurc(self.form.ties)

    def e_aurc(self) -> Spread:
        """Return the influences on E-AURC: in the best order all wrong rows are one tie."""
        found, e = self.aurc(), self.form.wrong
        if e:
            tie = np.array([self.n - e]), np.array([e]), np.array([e])
            right, _, wrong, _ = _aurc(ErrorTies(self.n, *tie)).value
            found.value[:] -= right
            found.value[2::3] -= wrong - right
        return found

    def augrc(self) -> Spread:
        """Return the influences on AUGRC."""
        return _spread(self.form.ties, _of_augrc(self.form.ties))

    def at_threshold(self, k: int, m: float) -> Spread:
        """Return 1{accepted} (l - m) - k/n (R - m), R the risk of the k that are accepted."""
        t = self.form.ties
        loss, ends = np.r_[np.tile([0.0, 0.0, 1.0], t.errors.size), 0.0], _ends(t)
        run = int(np.searchsorted(ends, k))  # the threshold may lie inside
        loss, ends = np.insert(loss, run, loss[run]), np.insert(ends, run, k)
        return Spread(np.where(ends <= k, loss - m, 0.0) - k / self.n * (self.risk(k) - m), ends)

    def risk(self, k: int) -> float:
        """Return the risk of the k most confident, the last a whole tie."""
        return self.form.ties.errors_until(k) / k

    def tie_at(self, coverage: float) -> tuple[int, int]:
        """Return the ranks at which the tie at a coverage begins and ends."""
        return self.form.tie_of(smallest_accepted(self.n, coverage) - 1)

    def accepted_at_risk(self, risk: float) -> int:
        """Return the largest k that a threshold accepts with a risk of at most `risk`, or 0."""
        return self.form.most_accepted(risk)

    def local_risk(self, k: int) -> float:
        """Return the mean loss of the n^0.8 examples around rank k, with whole ties."""
        return self.form.ties.local_risk(k)

    def accepted(self) -> Accepted:
        """Return what each threshold accepts."""
        assert isinstance(self.form, (Halves, Whole))
        groups = self.form.groups()
        errors = np.cumsum(groups.loss)
        return Accepted(np.cumsum(groups.count), errors, errors)

    def positions(self, part: slice) -> Int[Array, " r"]:
        """Return where the examples of these ranks stand in the input."""
        assert isinstance(self.form, Keyed)
        return (self.form.key[part] & POSITION).view(np.int64)


def _aurc(t: ErrorTies) -> Spread:
    """Return the influences on AURC of each run; the area is found in passing."""
    return _spread(t, _of_aurc(t))


def _of_aurc(ties: ErrorTies) -> Iterator[Influences]:
    """Yield the influences on AURC, up to a constant."""
    carried, area = 0.0, 0.0
    for part, t in ties.parts():
        rise, ramp, to_all = t.growth()
        area += t.area_of(ramp, to_all)
        share = ramp / t.count  # the mean over the ranks i of the tie of the sum of 1/j over j >= i
        growth = t.rate * rise
        after = carried + np.cumsum(growth)
        right = after - t.rate * share
        yield part, np.append(carried, after[:-1]), right, right + to_all + share
        carried = float(after[-1])
    ties.risk_area = area
    yield _last(ties, carried)


def _of_augrc(ties: ErrorTies) -> Iterator[Influences]:
    """Yield the influences on AUGRC, up to a constant."""
    carried = 0
    for part, t in ties.parts():
        after = carried + np.cumsum(t.errors)
        right = (after - t.errors / 2) / t.n
        below = 1 - (t.start + t.end) / 2 / t.n
        yield part, np.append(carried, after[:-1]) / t.n, right, right + below
        carried = int(after[-1])
    yield _last(ties, carried / ties.n)


def _last(t: ErrorTies, gap: float) -> Influences:
    """Return the influence of the rows after the last tie, as that of a part without ties."""
    return slice(t.errors.size, t.errors.size), np.array([gap]), np.empty(0), np.empty(0)


def _spread(t: ErrorTies, parts: Iterator[Influences]) -> Spread:
    """Return the influences of the runs, less their mean over the rows."""
    end = _ends(t)
    value, summed = np.empty(end.size), 0.0
    for part, gap, right, wrong in parts:
        first = 3 * part.start
        found = value[first : first + gap.size + 2 * right.size]
        found[::3], found[1::3], found[2::3] = gap, right, wrong
        before = end[first - 1] if first else 0
        length = np.diff(end[first : first + found.size], prepend=before)
        summed += float(np.sum(found * length))
    value -= summed / t.n
    return Spread(value, end)


def _ends(t: ErrorTies) -> Int[Array, " g"]:
    """Return where each run ends."""
    end = np.empty(3 * t.errors.size + 1, t.start.dtype)
    end[:-1:3] = t.start
    np.add(t.start, t.count, out=end[2::3])
    np.subtract(end[2::3], t.errors, out=end[1::3])
    end[-1] = t.n
    return end
