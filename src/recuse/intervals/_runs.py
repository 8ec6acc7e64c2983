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
from recuse.curves._order import POSITION, VALUE, changes, falling
from recuse.curves._ranked import Errors, Halves, Whole, smallest_accepted
from recuse.curves._ties import ErrorTies
from recuse.intervals._spread import PART, Accepted, Ranking, Spread

if TYPE_CHECKING:
    from jaxtyping import Int, Int32, UInt64
    from numpy import ndarray as Array
    from numpy.typing import ArrayLike

Influences = tuple[ErrorTies, "Array", "Array", "Array"]  # of ties: before them, of right, of wrong

FEWEST = 1 << 14  # rows; below, a sort of floats takes a millisecond
LOSS = np.uint64(31)  # bits below the loss


def packed(
    confidence: ArrayLike, loss: ArrayLike, carried: Int32[Array, " n"] | None = None
) -> UInt64[Array, " n"] | None:
    """Return integers that ascend as the confidence descends, then the loss ascends.

    Below both, the position of the row, or what it carries.

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
        if carried is None:
            key[part] |= np.arange(part.start, part.stop, dtype=np.uint64)
        else:
            key[part] |= carried[part].astype(np.uint64)
    key.sort()
    return key


class Keyed(Errors):
    """Rows of 0-1 losses by sorted integers; see `packed`."""

    def __init__(self, key: UInt64[Array, " n"]):
        self.key, self.n = key, key.size
        begin, wrong = (np.concatenate(found) for found in zip(*_errors(key)))
        self.wrong = wrong.size
        first = np.flatnonzero(changes(begin)).astype(np.int32)
        errors = np.diff(first, append=np.int32(self.wrong))
        start = begin[first]
        self.ties = ErrorTies(self.n, start, wrong[first + (errors - 1)] + 1 - start, errors)

    def tie_of(self, rank: int) -> tuple[int, int]:
        """Return the ranks, from 0, at which the tie of a rank begins and ends."""
        value = self.key[rank] >> VALUE
        limits = np.array([value, value + np.uint64(1)]) << VALUE
        start, end = np.searchsorted(self.key, limits)
        return int(start), int(end)


def _errors(key: UInt64[Array, " n"]) -> Iterator[tuple[Int[Array, " e"], Int[Array, " e"]]]:
    """Yield the ranks, from 0, at which the ties of errors begin, and those of the errors."""
    last, begin = key[0] >> VALUE, np.int32(0)
    for start in range(0, key.size, PART):
        part = key[start : start + PART]
        value = part >> VALUE
        new = changes(value)
        new[0] = value[0] != last
        ranks = np.arange(start, start + part.size, dtype=np.int32)
        begins = np.maximum.accumulate(np.where(new, ranks, begin))
        wrong = np.flatnonzero(part.astype(np.uint32).view(np.int32) < 0)  # the bit of the loss
        yield begins[wrong], ranks[wrong]
        last, begin = value[-1], begins[-1]


class Runs(Ranking):
    """A ranking of many 0-1 losses; see the module."""

    loss = np.empty(0)

    def __init__(self, form: Errors):
        self._form, self.n = form, form.n

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

    def aurc(self) -> Spread:
        """Return the influences on AURC."""
        return _spread(self.form.ties, _of_aurc(self.form.ties))

    def e_aurc(self) -> Spread:
        """Return the influences on E-AURC: in the best order all wrong rows are one tie."""
        e = self.form.wrong
        tie = ErrorTies(self.n, *(np.array([x]) for x in (self.n - e, e, e)))
        right, wrong = next((gap, wrong) for _, gap, _, wrong in _of_aurc(tie)) if e else (0, 0)
        ties = self.form.ties
        parts = ((t, g - right, r - right, w - wrong) for t, g, r, w in _of_aurc(ties))
        return _spread(ties, parts)

    def augrc(self) -> Spread:
        """Return the influences on AUGRC."""
        return _spread(self.form.ties, _of_augrc(self.form.ties))

    def at_threshold(self, k: int, m: float) -> Spread:
        """Return 1{accepted} (l - m) - k/n (R - m), R the risk of the k that are accepted."""
        t = self.form.ties
        loss = np.append(np.tile([0.0, 0.0, 1.0], t.errors.size), 0.0)
        ends = np.append(_ends(t), self.n)
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

    def carried(self, part: slice) -> Int[Array, " r"]:
        """Return where the examples of these ranks stand in the input, or what is carried."""
        assert isinstance(self.form, Keyed)
        return (self.form.key[part] & POSITION).view(np.int64)


def _of_aurc(ties: ErrorTies) -> Iterator[Influences]:
    """Yield the influences on AURC, up to a constant."""
    carried, area = 0.0, 0.0
    for t in ties.parts():
        rise, ramp, to_all = t.growth()
        area += t.area_of(ramp, to_all)
        share = ramp / t.count  # the mean over the ranks i of the tie of the sum of 1/j over j >= i
        growth = t.rate * rise
        after = carried + np.cumsum(growth)
        right = after - t.rate * share
        yield t, np.append(carried, after[:-1]), right, right + to_all + share
        carried = float(after[-1])
    ties.risk_area = area
    yield _last(ties.n, carried)


def _of_augrc(ties: ErrorTies) -> Iterator[Influences]:
    """Yield the influences on AUGRC, up to a constant."""
    carried = 0
    for t in ties.parts():
        after = carried + np.cumsum(t.errors)
        right = (after - t.errors / 2) / t.n
        below = 1 - (t.start + t.end) / 2 / t.n
        yield t, np.append(carried, after[:-1]) / t.n, right, right + below
        carried = int(after[-1])
    yield _last(ties.n, carried / ties.n)


def _last(n: int, gap: float) -> Influences:
    """Return the influence of the rows after the last tie, as that of the rows before one of 0."""
    zero = np.zeros(1, int)
    return ErrorTies(n, zero + n, zero, zero), np.array([gap]), np.zeros(1), np.zeros(1)


def _spread(ties: ErrorTies, parts: Iterator[Influences]) -> Spread:
    """Return the influences of the runs that have rows, less their mean over the rows."""
    most = 3 * ties.errors.size + 3
    value, end = np.empty(most), np.empty(most, ties.start.dtype)
    runs, before, summed = 0, 0, 0.0
    for t, *influences in parts:
        ends = _ends(t)
        length = np.diff(ends, prepend=before)
        kept = np.flatnonzero(length)
        part = slice(runs, runs + kept.size)
        value[part], end[part] = np.stack(influences, axis=1).ravel()[kept], ends[kept]
        summed += float(np.sum(value[part] * length[kept]))
        runs, before = part.stop, ends[-1]
    value = value[:runs]
    value -= summed / ties.n
    return Spread(value, end[:runs])


def _ends(t: ErrorTies) -> Int[Array, " g"]:
    """Return where the runs of each tie end."""
    return np.stack([t.start, t.end - t.errors, t.end], axis=1).ravel()
