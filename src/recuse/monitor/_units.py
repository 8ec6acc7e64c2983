"""Tests of rows that come in groups or belong to subgroups: one bet a group, one test a subgroup.

u = units: groups, or single rows, in the order of their first rows; e = entries: one for each unit
and subgroup with an accepted row; G = subgroups; b = rows that come together.

A unit consists of the rows that come within `window` predictions, from its first one on. Whether a
row belongs to it depends on no loss. Units close in the order of their first rows, and then
count, with accepted rows whose label is pending as right: the e-value is at most that of all
labels, and never falls. A later row of the group counts in no test, as it depends on rows that do.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from recuse._internal.files import strict
from recuse.errors import InputError
from recuse.monitor._e_process import (
    LIFTS_OF_MEANS,
    NOTHING_OF_MEANS,
    UNKNOWN,
    Wealth,
    advance_by_means,
)
from recuse.monitor._state import FEWER, MORE, NEW, RISK, SHARES, Ledger, pack, unpack

if TYPE_CHECKING:
    from jaxtyping import Float, Int, UInt64
    from numpy import ndarray as Array

BITS = 20  # of a place, for the subgroup
LATE = 1 << 42  # the unit of rows that come after their window
ACCEPTED, WRONG, WAITING = range(3)  # columns of an entry
N, TOOK, LABELLED, ERRORS = range(4)  # columns of the counts


FIELDS: dict[str, type] = {"n": int, "base": int, "late": int, "wealth": list, "sizes": list}
COLUMNS = {
    "first": 1,
    "rows": 2,
    "place": 1,
    "entry": 3,
    "counts": 4,
    "keys": 1,
    "unit": 1,
}  # widths


class Facts(NamedTuple):
    """New predictions, each in its order."""

    groups: UInt64[Array, " b"] | None  # keys; None: each row is a unit
    code: Int[Array, " b"]  # of the subgroup; 0 where there are none
    accepted: Int[Array, " b"]  # 0 or 1
    loss: Int[Array, " b"]  # 0, 1 or UNKNOWN


class Units:
    """Evidence of units, and counts of subgroups.

    Units before `base`, which are closed and whose labels are known, are reduced to a `Wealth` for
    each test.

    Args:
        window: Predictions, from the first row of a group on, within which its rows count.
    """

    def __init__(self, window: int):
        self.window = window
        self.n = self.base = self.late = 0
        self.first = np.empty(0, np.int64)  # (u,) prediction that began the unit, from base on
        self.rows = np.empty((0, 2), np.int64)  # (u, 2) rows, and accepted ones
        self.place = np.empty(0, np.int64)  # (e,) unit and subgroup, increasing
        self.entry = np.empty((0, 3), np.int64)  # (e, 3) accepted, wrong, waiting for labels
        self.counts = np.zeros((0, 4), np.int64)  # (G, 4)
        self.groups = Ledger()  # key -> unit
        self.wealth: dict[Any, Wealth] = {}

    @property
    def units(self) -> int:
        """Units so far."""
        return self.base + self.first.size

    @property
    def open(self) -> int:
        """Units that rows may still join."""
        return self.units - self._closed()

    def append(self, new: Facts) -> tuple[Int[Array, " b"], Int[Array, " b"]]:
        """Add predictions; return the place and the unit of each."""
        position = self.n + np.arange(new.code.size)
        unit, begun = self._units_of(new.groups, position)
        self.n += position.size
        inside = position - begun < self.window
        self.late += int((~inside).sum())
        at, accepted = unit - self.base, new.accepted == 1
        np.add.at(self.rows, at[inside], np.c_[np.ones_like(at), new.accepted][inside])
        place = np.where(inside, unit, LATE) << BITS | new.code
        told = np.c_[new.accepted, new.loss == 1, new.loss == UNKNOWN]
        self._touch(place[inside & accepted], told[inside & accepted])
        self._count(new.code, np.c_[np.ones_like(at), new.accepted], (N, TOOK))
        self._count_labels(place[accepted], new.loss[accepted])
        return place, unit

    def settle(self, place: Int[Array, " b"], loss: Int[Array, " b"]) -> None:
        """Record losses of accepted rows that were unknown."""
        self._count_labels(place, loss)
        inside = place >> BITS != LATE
        told = np.c_[np.zeros_like(loss), loss, np.full(loss.size, -1)]
        self._touch(place[inside], told[inside])

    def log_e(self, rates: Mapping[Any, float]) -> dict[Any, float]:
        """Log of the largest e-value so far of each test: `RISK`, `MORE`, `FEWER`, subgroups.

        Args:
            rates: The limit of each test; subgroups are named by their numbers.
        """
        self._fold(rates)
        seen = {name: self.wealth.get(name, NOTHING_OF_MEANS).best for name in rates}
        wrong = self.place[self.entry[:, WRONG] > 0] >> BITS  # after the last, no bet grows
        if wrong.size and (end := min(self._closed(), int(wrong[-1]) + 1)) > self.base:
            for name, excess in self._since(end, rates):
                held = self.wealth.get(name, NOTHING_OF_MEANS)
                seen[name] = advance_by_means(held, excess, rates[name]).best
        return seen

    def to_dict(self) -> dict[str, Any]:
        """Plain data, as in the file; after `log_e`, the smallest."""
        keys, unit = self.groups.whole()
        columns = (self.first, self.rows, self.place, self.entry, self.counts, keys, unit)
        return {
            "n": self.n,
            "base": self.base,
            "late": self.late,
            "wealth": [[name, *self.wealth[name]] for name in self.wealth],
            "sizes": [len(column) for column in columns],
            **{name: pack(column) for name, column in zip(COLUMNS, columns)},
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any], window: int) -> Units:
        """Invert `to_dict`; strict."""
        strict(data, {**FIELDS, **dict.fromkeys(COLUMNS, str)}, "`units`")
        units = cls(window)
        first, rows, place, entry, counts, keys, unit = (
            unpack(data[name], np.uint64 if name == "keys" else np.int64, size * width)
            for (name, width), size in zip(COLUMNS.items(), data["sizes"], strict=True)
        )
        units.n, units.base, units.late = data["n"], data["base"], data["late"]
        units.first, units.place = first, place
        units.rows, units.entry = rows.reshape(-1, 2), entry.reshape(-1, 3)
        units.counts = counts.reshape(-1, 4)
        for name, at, log, best in data["wealth"]:
            known = tuple(-np.inf if x is None else float(x) for x in log)
            units.wealth[name] = Wealth(at, known, float(best))
        units.groups.add(keys, unit)
        units._check()
        return units

    def _check(self) -> None:
        """Require columns that fit each other."""
        ordered = all((np.diff(x) > 0).all() for x in (self.first, self.place))
        bets = all(len(wealth.log) == len(LIFTS_OF_MEANS) for wealth in self.wealth.values())
        fits = len(self.first) == len(self.rows) and len(self.place) == len(self.entry)
        inside = (
            self.place.size == 0
            or self.base <= self.place[0] >> BITS <= self.place[-1] >> BITS < self.units
        )
        if not (ordered and bets and fits and inside and int(self.counts[:, N].sum()) == self.n):
            raise InputError("expected `units` whose columns fit each other")

    def _units_of(
        self, groups: Array | None, position: Array
    ) -> tuple[Int[Array, " b"], Int[Array, " b"]]:
        """Return the unit of each row, and the prediction that began it; begin new ones."""
        if groups is None:
            unit = self.units + np.arange(position.size)
            self._begin(position)
            return unit, position
        keys, start, row = np.unique(groups, return_index=True, return_inverse=True)
        unit = self.groups.get(keys)
        new = np.flatnonzero(unit == NEW)
        new = new[np.argsort(start[new])]
        unit[new] = self.units + np.arange(new.size)
        self._begin(position[start[new]])
        self.groups.add(keys[new], unit[new])
        begun = np.full(keys.size, -self.window)  # of a unit that has long been closed
        kept = unit >= self.base
        begun[kept] = self.first[unit[kept] - self.base]
        return unit[row], begun[row]

    def _begin(self, position: Array) -> None:
        self.first = np.r_[self.first, position]
        self.rows = np.vstack([self.rows, np.zeros((position.size, 2), np.int64)])

    def _touch(self, place: Array, told: Array) -> None:
        """Add to entries; new ones are put in their order."""
        places, row = np.unique(place, return_inverse=True)
        sums = np.zeros((places.size, 3), np.int64)
        np.add.at(sums, row, told)
        at = np.searchsorted(self.place, places)
        old = np.zeros(places.size, bool)
        old[at < self.place.size] = (
            self.place[at[at < self.place.size]] == places[at < self.place.size]
        )
        self.entry[at[old]] += sums[old]
        self.place = np.insert(self.place, at[~old], places[~old])
        self.entry = np.insert(self.entry, at[~old], sums[~old], axis=0)

    def _count(self, code: Array, told: Array, columns: Sequence[int]) -> None:
        if code.size and code.max() >= len(self.counts):
            more = np.zeros((int(code.max()) + 1 - len(self.counts), 4), np.int64)
            self.counts = np.vstack([self.counts, more])
        for values, column in zip(told.T, columns):
            np.add.at(self.counts[:, column], code, values)

    def _count_labels(self, place: Array, loss: Array) -> None:
        known = loss != UNKNOWN
        told = np.c_[np.ones_like(loss), loss][known]
        self._count(place[known] & ((1 << BITS) - 1), told, (LABELLED, ERRORS))

    def _closed(self) -> int:
        """Return the number of units that no row can join any more: the first ones."""
        return self.base + int(np.searchsorted(self.first, self.n - self.window, side="right"))

    def _fold(self, rates: Mapping[Any, float]) -> None:
        """Reduce closed units to the wealth of acceptance, and those also known to all wealth."""
        end = self._closed()
        self._fold_acceptance(end, rates)
        waiting = self.place[self.entry[:, WAITING] > 0]
        if waiting.size:
            end = min(end, int(waiting[0] >> BITS))
        for name, excess in self._since(end, rates):
            held = self.wealth.get(name, NOTHING_OF_MEANS)
            self.wealth[name] = advance_by_means(held, excess, rates[name])
        gone = int(np.searchsorted(self.place, end << BITS))
        self.first, self.rows = self.first[end - self.base :], self.rows[end - self.base :]
        self.place, self.entry = self.place[gone:], self.entry[gone:]
        self.base = end

    def _fold_acceptance(self, end: int, rates: Mapping[Any, float]) -> None:
        """Reduce units whose rows are all there; labels do not matter."""
        done = self.wealth.get(MORE, NOTHING_OF_MEANS).at
        rows, took = self.rows[done - self.base : end - self.base].T
        for name, share in ((MORE, took / rows), (FEWER, 1 - took / rows)):
            held = self.wealth.get(name, NOTHING_OF_MEANS)
            self.wealth[name] = advance_by_means(held, share - rates[name], rates[name])

    def _since(
        self, end: int, rates: Mapping[Any, float]
    ) -> Iterator[tuple[Any, Float[Array, " n"]]]:
        """Yield the excess of the units from base on, for each test of a risk that has any."""
        rows = self.rows[: end - self.base, 0]
        stop = int(np.searchsorted(self.place, end << BITS))
        unit, code = self.place[:stop] >> BITS, self.place[:stop] & ((1 << BITS) - 1)
        accepted, wrong, _ = self.entry[:stop].T
        if unit.size:
            at = np.flatnonzero(np.diff(unit, prepend=-1))
            excess = np.add.reduceat(wrong - rates[RISK] * accepted, at)
            yield RISK, excess / rows[unit[at] - self.base]
        if len(rates) == len(SHARES):
            return
        order = np.argsort(code, kind="stable")
        cuts = np.flatnonzero(np.diff(code[order], prepend=-1, append=-1))
        for low, high in pairwise(cuts):
            name, of = int(code[order[low]]), order[low:high]
            if name in rates:
                excess = wrong[of] - rates[name] * accepted[of]
                yield name, excess / rows[unit[of] - self.base]
