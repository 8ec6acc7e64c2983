"""Influences of many 0-1 losses, by runs of rows that share one.

n = rows, t = ties that hold an error, g = 3 t + 1 runs. By descending confidence, the rows of equal
influence are, for each tie: the right ones before it, its right ones, its wrong ones; and, at the
end, the right ones after the last. One sort of integers finds the ties and the way back to the
order of the input: of each row its confidence, its loss and its position, in 64 bits.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from recuse._internal.check import is_floating, to_numpy
from recuse.curves._harmonic import rise_and_ramp

if TYPE_CHECKING:
    from jaxtyping import Float, Int, UInt64
    from numpy import ndarray as Array
    from numpy.typing import ArrayLike

FEWEST = 1 << 14  # rows; below, a sort of floats takes a millisecond
ROWS = 1 << 16  # a part, which stays in cache
WINDOW = 0.8  # the risk near a threshold is that of n^0.8 neighbours
VALUE, LOSS = np.uint64(32), np.uint64(31)  # bits below the confidence, and below the loss
POSITION = np.uint64((1 << 31) - 1)


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
    for part in slices(c.size):
        wrong = l[part] == 1
        with np.errstate(over="ignore"):
            x = c[part].astype(np.float32)
        if not ((x == c[part]).all() and (wrong | (l[part] == 0)).all()):
            return None
        bits = (x + np.float32(0)).view(np.int32)  # -0 becomes 0
        falling = bits ^ (~(bits >> 31) & np.int32(0x7FFFFFFF))
        key[part] = falling.view(np.uint32)
        key[part] <<= VALUE
        key[part] |= wrong.astype(np.uint64) << LOSS
        key[part] |= np.arange(part.start, part.stop, dtype=np.uint64)
    key.sort()
    return key


def slices(n: int) -> Iterator[slice]:
    """Yield slices of n rows that stay in cache."""
    return (slice(start, min(start + ROWS, n)) for start in range(0, n, ROWS))


def _wrong(key: UInt64[Array, " r"]) -> Int[Array, " e"]:
    """Return where the loss is 1: the sign of the lower half."""
    return np.flatnonzero(key.astype(np.uint32).view(np.int32) < 0)


class Runs:
    """Rows by descending confidence; see the module."""

    def __init__(self, key: UInt64[Array, " n"]):
        self.key, self.n = key, key.size
        at = np.concatenate([_wrong(key[part]) + part.start for part in slices(self.n)])
        value = key[at] >> VALUE
        new = np.ones(at.size, bool)
        np.not_equal(value[1:], value[:-1], out=new[1:])
        first = np.flatnonzero(new)
        self.errors = np.diff(first, append=at.size)  # of each tie
        self.start, value = at[first], value[first]
        self.end = self.start + self.errors
        mixed = np.flatnonzero((key[self.start - 1] >> VALUE == value) & (self.start > 0))
        self.start[mixed] = np.searchsorted(key, value[mixed] << VALUE)

    @cached_property
    def count(self) -> Int[Array, " t"]:
        """Rows of each tie."""
        return self.end - self.start

    @cached_property
    def rate(self) -> Float[Array, " t"]:
        """Mean loss of each tie."""
        return self.errors / self.count

    def of_aurc(self) -> Float[Array, " n"]:
        """Return `influence`."""
        from scipy.special import digamma

        rise, share = self._growth()
        after = np.cumsum(self.rate * rise)
        right = after - self.rate * share
        to_all = digamma(self.n + 1) - digamma(self.end + 1.0)  # H_n - H_end
        return self.spread(np.r_[0.0, after], right, right + to_all + share)

    def _growth(self) -> tuple[Float[Array, " t"], Float[Array, " t"]]:
        """Return the sum and the mean weight of 1/j over the ranks of each tie.

        The mean over the rows i of the tie of the sum over its j >= i.
        """
        rise = 1 / self.end
        share = rise.copy()
        several = np.flatnonzero(self.count > 1)
        rise[several], ramp = rise_and_ramp(self.start[several], self.count[several])
        share[several] = ramp / self.count[several]
        return rise, share

    def of_augrc(self) -> Float[Array, " n"]:
        """Return `influence_augrc`."""
        after = np.cumsum(self.errors)
        right = (after - self.errors / 2) / self.n
        below = 1 - (self.start + self.end) / 2 / self.n
        return self.spread(np.r_[0, after] / self.n, right, right + below)

    def of_accepted(self, k: int, m: float) -> Float[Array, " n"]:
        """Return 1{accepted} (l - m) - k/n (R - m), R the risk of the k that are accepted."""
        loss, ends = np.r_[np.tile([0.0, 0.0, 1.0], self.errors.size), 0.0], self.ends()
        run = int(np.searchsorted(ends, k))  # the threshold may lie inside
        loss, ends = np.insert(loss, run, loss[run]), np.insert(ends, run, k)
        rest = k / self.n * (self.risk(k) - m)
        return self.unsort(np.where(ends <= k, loss - m, 0.0) - rest, ends)

    def risk(self, k: int) -> float:
        """Return the risk of the k most confident, the last a whole tie."""
        return self.errors[self.end <= k].sum() / k

    def local_risk(self, k: int) -> float:
        """Return the mean loss of the n^0.8 examples around rank k, with whole ties."""
        half = math.ceil(self.n**WINDOW / 2)
        low, high = max(0, k - half), min(k + half, self.n)
        inside = np.minimum(self.end, high) - np.maximum(self.start, low)
        return float(np.sum(self.rate * np.maximum(inside, 0)) / (high - low))

    def tie_of(self, rank: int) -> tuple[int, int]:
        """Return the ranks, from 0, at which the tie of a rank begins and ends."""
        value = self.key[rank] >> VALUE
        limits = np.array([value, value + np.uint64(1)]) << VALUE
        start, end = np.searchsorted(self.key, limits)
        return int(start), int(end)

    def accepted_at_risk(self, risk: float) -> int:
        """Return the largest k that a threshold accepts with a risk of at most `risk`, or 0.

        While only right rows are added the risk falls: the last k before each tie decides.
        """
        ends = np.r_[self.start, self.n]
        errors = np.cumsum(np.r_[0, self.errors])
        reached = ends[(ends > 0) & (errors / np.maximum(ends, 1) <= risk)]
        return int(reached.max(initial=0))

    def spread(
        self, gap: Float[Array, " t+1"], right: Float[Array, " t"], wrong: Float[Array, " t"]
    ) -> Float[Array, " n"]:
        """Return values of the runs, less their mean, in the order of the input."""
        value = np.r_[np.stack([gap[:-1], right, wrong], axis=1).ravel(), gap[-1]]
        ends = self.ends()
        value -= np.sum(value * np.diff(ends, prepend=0)) / self.n
        return self.unsort(value, ends)

    def ends(self) -> Int[Array, " g"]:
        """Return where each run ends."""
        return np.r_[
            np.stack([self.start, self.end - self.errors, self.end], axis=1).ravel(), self.n
        ]

    def unsort(self, value: Float[Array, " g"], ends: Int[Array, " g"]) -> Float[Array, " n"]:
        """Return the value of the run of each row, in the order of the input."""
        out = np.empty(self.n)
        for part in slices(self.n):
            first, last = np.searchsorted(ends, [part.start + 1, part.stop])
            runs = slice(first, last + 1)
            length = np.diff(np.minimum(ends[runs], part.stop), prepend=part.start)
            out[(self.key[part] & POSITION).view(np.int64)] = np.repeat(value[runs], length)
        return out
