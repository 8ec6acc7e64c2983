"""`CurveSketch`, the curve in bounded memory, and one for each subgroup.

n = predictions seen, b = bins.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from recuse._internal import public
from recuse._internal.check import check_fraction, to_numpy
from recuse._internal.files import hashes
from recuse.curves import RiskCoverage
from recuse.errors import InputError
from recuse.sketch import _bins, _certify, _file
from recuse.sketch._bins import edges, scale_named
from recuse.sketch._certify import UNIT, Certified, Tally

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

KEPT_IDS = 1 << 12  # hashes of ids that a sketch keeps
STANDARD_ERRORS = ("aurc_se", "e_aurc_se", "augrc_se")  # that `recuse evaluate` has


@public
class CurveSketch:
    r"""Counts of right and wrong predictions by bin of confidence: a curve of any number of rows.

    Call `update` for each batch and `merge` what was counted elsewhere: the state is the same,
    to the last bit, as if all predictions were counted at once. Its size is fixed: 1 MB in memory,
    a few hundred KB in a file, up to $2^{53}$ predictions.

    Every measure is a `Certified(low, value, high)`: the exact value of all predictions seen
    lies between low and high. The curve is exact at the edges of bins.

    Args:
        scale: How confidences are binned. `"log_odds"`, steps of $2^{-10}$ from -12 to 20 and
            of $2^{-8}$ to 148, for what `scores.msp` returns; `"probability"`, $2^{-11}$
            relative to 1 - p, for values in [0, 1]; `"float"`, $2^{-10}$ relative, for any
            other score; `"float16"` and `"bfloat16"`, one bin a value, for confidences of that
            dtype: exact.
        about: What the confidences are, such as `{"score": "msp"}`. Sketches of different
            confidences do not merge.

    Raises:
        InputError: An unknown scale.

    >>> left = CurveSketch().update([2.5, -1.0], [0, 1])
    >>> right = CurveSketch().update([0.5], [0])
    >>> left.merge(right).n
    3
    >>> left.curve().risk.round(3)
    array([0.   , 0.   , 0.333])
    """

    def __init__(self, scale: str = "log_odds", *, about: Mapping[str, str] | None = None):
        self._scale = scale_named(scale)
        self.about = dict(about or {})
        self._pairs = np.zeros((self._scale.size, 2), np.int64)  # predictions - losses, losses
        self._part: np.ndarray | None = None  # the rest of general losses, in units
        self._rounded = (0, 0)  # confidences that are no float32, losses that are no units
        self._ids = np.empty(0, np.uint64)  # the smallest hashes of ids, in order

    @property
    def scale(self) -> str:
        """Name of the scale."""
        return self._scale.name

    @property
    def n(self) -> int:
        """Predictions seen."""
        return int(self._pairs.sum())

    def update(self, confidence: ArrayLike, loss: ArrayLike) -> CurveSketch:
        """Count a batch, and return self.

        CUDA tensors are counted on their device. A float64 confidence is rounded to
        float32, as every decision is; what ties by it is not taken for a tie of the data.

        Args:
            confidence: Shape (n,). Larger is more certain.
            loss: Shape (n,), in [0, 1], 0-1 or not; divide other losses by their largest
                possible value. They are rounded to multiples of 2^-32.

        Raises:
            InputError: Malformed input; the sketch is then as before.
        """
        for counts in _bins.add(self._scale, self._pairs, confidence, loss):
            self._add(counts.pairs, counts.part, counts.rounded)
        return self

    def keep_ids(self, ids: np.ndarray) -> None:
        """Remember the ids of predictions counted here, up to 4,096 of them by their hashes.

        `merge` refuses a sketch with one of them. Of larger sketches a sample is compared: those
        that share all their ids are always found, those that share a thousandth in 98 of 100 cases.
        """
        self._ids = np.union1d(self._ids, hashes(ids))[:KEPT_IDS]

    def merge(self, other: CurveSketch) -> CurveSketch:
        """Add what `other` has seen, and return self; `other` stays as it is.

        Raises:
            InputError: No `CurveSketch`, another scale, other confidences, or shared ids.
        """
        check_kind(other, CurveSketch)
        if self.about != other.about:
            raise InputError(
                f"expected sketches of the same confidences, got {_difference(self, other)}"
            )
        if self.scale != other.scale:
            raise InputError(
                f"expected sketches of one scale, got {self.scale!r} and {other.scale!r}"
            )
        if shared := np.intersect1d(self._ids, other._ids).size:
            raise InputError(
                f"expected sketches of different examples, got {shared:,} ids in both, of "
                f"{other._ids.size:,} compared: they would count twice"
            )
        self._add(other._pairs, other._part, other._rounded)
        self._ids = np.union1d(self._ids, other._ids)[:KEPT_IDS]
        return self

    @classmethod
    def merged(cls, sketches: Iterable[CurveSketch]) -> CurveSketch:
        """Return a new sketch of everything that these have counted.

        Raises:
            InputError: No sketch, or sketches that do not merge.
        """
        return _merged(cls, sketches)

    def curve(self) -> RiskCoverage:
        """Return the exact curve at the edges of bins, the points that the sketch can separate.

        A threshold is the smallest float32 of its bin.

        Raises:
            InputError: Nothing was counted yet.
        """
        t = self._tally()
        accepted = t.accepted()
        threshold = edges(self._scale).lowest[self._filled()].astype(np.float64)
        return RiskCoverage(accepted / accepted[-1], t.lost() / accepted, threshold, accepted)

    def mean_loss(self) -> Certified:
        """Return the risk of accepting all; for 0-1 losses one minus the accuracy."""
        return _certify.mean_loss(self._tally(), self._rounding())

    def accuracy(self) -> float:
        """Return 1 minus the mean 0-1 loss; NaN for other losses."""
        return 1 - self.mean_loss().value if self._part is None else float("nan")

    def aurc(self) -> Certified:
        """`recuse.aurc` of all predictions seen; the value takes each bin as a tie."""
        return _certify.aurc(self._tally(), self._rounding())

    def augrc(self) -> Certified:
        """`recuse.augrc`, likewise."""
        return _certify.augrc(self._tally(), self._rounding())

    def e_aurc(self) -> Certified:
        """`recuse.e_aurc`, of 0-1 losses only.

        Raises:
            InputError: Other losses: their best order is not known from sums.
        """
        return _certify.excess(self._zero_one("e_aurc"), 0.0)

    def n_aurc(self) -> Certified:
        """`recuse.n_aurc`, of 0-1 losses only; NaN if they are all equal. Errors as above."""
        return _certify.normalized(self._zero_one("n_aurc"), 0.0)

    def coverage_at_risk(self, risk: float) -> Certified:
        """`recuse.coverage_at_risk`; the value is at an edge of a bin, as in `curve`."""
        risk = check_fraction(risk, "risk", zero=True, one=True)
        return _certify.coverage_at_risk(self._tally(), self._rounding(), risk)

    def risk_at_coverage(self, coverage: float) -> Certified:
        """`recuse.risk_at_coverage`; the value is at an edge of a bin, as in `curve`."""
        coverage = check_fraction(coverage, "coverage", one=True)
        return _certify.risk_at_coverage(self._tally(), self._rounding(), coverage)

    def to_dict(self, *, risks: Sequence[float] = (), coverages: Sequence[float] = ()) -> dict:
        """Return every measure as plain data, named as in `recuse evaluate --json`.

        Each `name` has its interval beside it, `name_low` and `name_high`. A standard error
        needs rows, and is None with the reason.
        """
        areas = {"aurc": self.aurc(), "e_aurc": None, "n_aurc": None, "augrc": self.augrc()}
        no_rows = "a sketch keeps no rows, nor which of them are independent"
        reason = dict.fromkeys(STANDARD_ERRORS, no_rows)
        if self._part is None:
            areas |= {"e_aurc": self.e_aurc(), "n_aurc": self.n_aurc()}
            if areas["n_aurc"] and np.isnan(areas["n_aurc"].value):
                reason["n_aurc"] = "all losses are equal: there is no order to normalise by"
                areas["n_aurc"] = None
        else:
            reason |= dict.fromkeys(("e_aurc", "n_aurc"), "losses other than 0 and 1")
        points = {
            "coverage_at_risk": {f"{r:.12g}": self.coverage_at_risk(r) for r in risks},
            "risk_at_coverage": {f"{c:.12g}": self.risk_at_coverage(c) for c in coverages},
        }
        out: dict[str, Any] = dict.fromkeys(STANDARD_ERRORS)
        for name, found in {**areas, **points}.items():
            for field, key in zip(Certified._fields, (f"{name}_low", name, f"{name}_high")):
                out[key] = _pick(found, field)
        return {**out, "reason": reason}

    def save(self, path: str | os.PathLike) -> None:
        """Write a compressed .npz, whole or not at all."""
        _file.write(path, {None: self._state()}, self._ids)

    @classmethod
    def load(cls, path: str | os.PathLike) -> CurveSketch:
        """Read what `save` wrote; strict.

        Raises:
            InputError: One line that names the file and what is wrong with it.
        """
        found = load(path)
        if not isinstance(found, CurveSketch):
            raise InputError(f"{path}: expected one sketch, got one for each subgroup")
        return found

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, CurveSketch):
            return NotImplemented
        same = (self.scale, self.about, self._rounded) == (other.scale, other.about, other._rounded)
        return (
            same
            and np.array_equal(self._ids, other._ids)
            and np.array_equal(self._pairs, other._pairs)
            and (self._part is None) == (other._part is None)
            and np.array_equal(self._fractions(), other._fractions())
        )

    def __repr__(self) -> str:
        return f"CurveSketch({self.scale!r}, n={self.n:,})"

    def _state(self) -> _file.State:
        bins = np.flatnonzero(self._pairs.any(axis=1))
        part = None if self._part is None else self._part[bins]
        return _file.State(self.scale, self.about, bins, self._pairs[bins], part, self._rounded)

    @classmethod
    def _of_state(cls, s: _file.State) -> CurveSketch:
        sketch = cls(s.scale, about=s.about)
        sketch._pairs[s.bins] = s.pairs
        if s.part is not None:
            sketch._part = sketch._fractions()
            sketch._part[s.bins] = s.part
        sketch._rounded = s.rounded
        return sketch

    def _add(self, pairs: Any, part: Any, rounded: tuple[int, int]) -> None:
        if pairs.size:
            self._pairs += pairs
        if part is not None:
            total = part if self._part is None else self._part + part
            carry = total >> _bins.BITS
            self._part = total & ((1 << _bins.BITS) - 1)
            self._pairs += np.stack([-carry, carry], axis=1)
        self._rounded = (self._rounded[0] + rounded[0], self._rounded[1] + rounded[1])

    def _filled(self) -> np.ndarray:
        """Return the bins that are not empty, from the most certain down."""
        filled = np.flatnonzero(self._pairs.any(axis=1))[::-1]
        if not filled.size:
            raise InputError("expected a sketch of at least one prediction, got an empty one")
        return filled

    def _fractions(self) -> np.ndarray:
        """Return the fractional part of the losses of each bin, in units."""
        return np.zeros(self._scale.size, np.int64) if self._part is None else self._part

    def _tally(self) -> Tally:
        filled = self._filled()
        right, wrong = self._pairs[filled].T
        single = edges(self._scale).single[filled] & (self._rounded[0] == 0)
        return Tally(right + wrong, wrong, self._fractions()[filled], single)

    def _rounding(self) -> float:
        """Return how far a mean of rounded losses may lie from the mean of the losses."""
        return UNIT / 2 if self._rounded[1] else 0.0

    def _zero_one(self, name: str) -> Tally:
        if self._part is not None:
            raise InputError(f"expected 0-1 losses for {name}, got others")
        return self._tally()


class SubgroupSketches(Mapping[str | int, CurveSketch]):
    """A `CurveSketch` for each subgroup: a mapping from their names, in order.

    Arguments and state as in `CurveSketch`. A subgroup takes up to 1 MB, less where its
    confidences are close to each other.

    >>> sites = SubgroupSketches().update(["a", "b", "a"], [2.5, 1.0, -1.0], [0, 0, 1])
    >>> {name: sketch.n for name, sketch in sites.items()}, sites.total().n
    ({'a': 2, 'b': 1}, 3)
    """

    def __init__(self, scale: str = "log_odds", *, about: Mapping[str, str] | None = None):
        self._empty = CurveSketch(scale, about=about)
        self._sketches: dict[str | int, CurveSketch] = {}

    def __getitem__(self, subgroup: str | int) -> CurveSketch:
        return self._sketches[subgroup]

    def __iter__(self) -> Iterator[str | int]:
        return iter(sorted(self._sketches, key=lambda g: (isinstance(g, str), g)))

    def __len__(self) -> int:
        return len(self._sketches)

    @property
    def about(self) -> dict[str, str]:
        """The same for every sketch."""
        return self._empty.about

    @property
    def scale(self) -> str:
        """The same for every sketch."""
        return self._empty.scale

    def update(
        self, subgroups: ArrayLike, confidence: ArrayLike, loss: ArrayLike
    ) -> SubgroupSketches:
        """Count a batch, and return self.

        Args:
            subgroups: Shape (n,), integers or strings.
            confidence: As in `CurveSketch.update`.
            loss: Likewise.

        Raises:
            InputError: Malformed input; nothing is counted then.
        """
        g, c, l = to_numpy(subgroups), to_numpy(confidence), to_numpy(loss)
        if g.dtype.kind not in "iuU" or g.shape != c.shape:
            raise InputError(
                f"expected `subgroups` of integers or strings, shape {c.shape}, "
                f"got {g.dtype} {g.shape}"
            )
        CurveSketch(self.scale).update(c, l)  # refuses the batch as a whole
        names, code = np.unique(g, return_inverse=True)
        order = np.argsort(code, kind="stable")
        ends = np.cumsum(np.bincount(code))
        for name, rows in zip(names.tolist(), np.split(order, ends[:-1])):
            self._sketch(name).update(c[rows], l[rows])
        return self

    def keep_ids(self, ids: np.ndarray) -> None:
        """Remember ids, as `CurveSketch.keep_ids`."""
        self._empty.keep_ids(ids)

    def merge(self, other: SubgroupSketches) -> SubgroupSketches:
        """Add what `other` has seen, and return self. Errors as in `CurveSketch.merge`."""
        check_kind(other, SubgroupSketches)
        self._empty.merge(other._empty)
        for name, sketch in other._sketches.items():
            self._sketch(name).merge(sketch)
        return self

    @classmethod
    def merged(cls, sketches: Iterable[SubgroupSketches]) -> SubgroupSketches:
        """Return a new sketch of all that these have counted. Errors as in `CurveSketch`."""
        return _merged(cls, sketches)

    def total(self) -> CurveSketch:
        """Return one sketch of all subgroups."""
        return CurveSketch.merged([self._empty, *self._sketches.values()])

    def save(self, path: str | os.PathLike) -> None:
        """Write one compressed .npz, whole or not at all."""
        if not self:
            raise InputError("expected a sketch of at least one subgroup, got none")
        states = {name: sketch._state() for name, sketch in self.items()}
        _file.write(path, states, self._empty._ids)

    @classmethod
    def load(cls, path: str | os.PathLike) -> SubgroupSketches:
        """Read what `save` wrote; strict. Errors as in `CurveSketch.load`."""
        found = load(path)
        if isinstance(found, CurveSketch):
            raise InputError(f"{path}: expected a sketch for each subgroup, got one sketch")
        return found

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, SubgroupSketches):
            return NotImplemented
        return self._empty == other._empty and self._sketches == other._sketches

    def __repr__(self) -> str:
        return f"SubgroupSketches({self.scale!r}, subgroups={len(self):,})"

    def _sketch(self, name: str | int) -> CurveSketch:
        return self._sketches.setdefault(name, CurveSketch(self.scale, about=self.about))


def load(path: str | os.PathLike) -> CurveSketch | SubgroupSketches:
    """Read a sketch of either kind.

    Raises:
        InputError: One line that names the file and what is wrong with it.
    """
    states, ids = _file.read(path)
    found = {name: CurveSketch._of_state(s) for name, s in states.items()}
    if list(found) == [None]:
        found[None]._ids = ids
        return found[None]
    some = next(iter(found.values()))
    out = SubgroupSketches(some.scale, about=some.about)
    out._empty._ids = ids
    out._sketches.update(found)
    return out


def _merged(kind: type, sketches: Iterable[Any]) -> Any:
    """Return a new sketch of this kind with all that these have counted."""
    sketches = list(sketches)
    if not sketches:
        raise InputError("expected at least one sketch to merge, got none")
    check_kind(sketches[0], kind)
    total = kind(sketches[0].scale, about=sketches[0].about)
    for sketch in sketches:
        total.merge(sketch)
    return total


def check_kind(sketch: Any, kind: type) -> None:
    """Refuse what is no sketch of this kind."""
    if not isinstance(sketch, kind):
        raise InputError(f"expected a {kind.__name__}, got {type(sketch).__name__}")


def _difference(a: CurveSketch, b: CurveSketch) -> str:
    """Return the first entry of `about` in which two sketches differ."""
    key = next(k for k in sorted({*a.about, *b.about}) if a.about.get(k) != b.about.get(k))
    return f"{key} {a.about.get(key, 'unknown')} and {b.about.get(key, 'unknown')}"


def _pick(found: Any, field: str) -> Any:
    """Return one field of an interval, or of each interval; None of none."""
    if isinstance(found, dict):
        return {level: getattr(at, field) for level, at in found.items()}
    return None if found is None else getattr(found, field)
