"""`GroupedSketch`: one sketch for each class, scene or site."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING

import numpy as np

from recuse._internal.check import to_numpy
from recuse.errors import InputError
from recuse.sketch import _file
from recuse.sketch._curve import CurveSketch, check_kind

if TYPE_CHECKING:
    from numpy.typing import ArrayLike


class GroupedSketch(Mapping[str | int, CurveSketch]):
    """A `CurveSketch` for each group; a mapping from the names of groups, in order.

    Args and state as of `CurveSketch`; a group takes up to 1 MB, less where its confidences
    are close to each other.

    >>> sites = GroupedSketch().update(["a", "b", "a"], [2.5, 1.0, -1.0], [0, 0, 1])
    >>> {name: sketch.n for name, sketch in sites.items()}, sites.total().n
    ({'a': 2, 'b': 1}, 3)
    """

    def __init__(self, scale: str = "log_odds", *, about: Mapping[str, str] | None = None):
        self._empty = CurveSketch(scale, about=about)
        self._sketches: dict[str | int, CurveSketch] = {}

    def __getitem__(self, group: str | int) -> CurveSketch:
        return self._sketches[group]

    def __iter__(self) -> Iterator[str | int]:
        return iter(sorted(self._sketches, key=lambda g: (isinstance(g, str), g)))

    def __len__(self) -> int:
        return len(self._sketches)

    @property
    def about(self) -> dict[str, str]:
        """As of each sketch."""
        return self._empty.about

    @property
    def scale(self) -> str:
        """As of each sketch."""
        return self._empty.scale

    def update(self, groups: ArrayLike, confidence: ArrayLike, loss: ArrayLike) -> GroupedSketch:
        """Count a batch, and return self.

        Args:
            groups: Shape (n,), integers or strings.
            confidence: As in `CurveSketch.update`.
            loss: Likewise.

        Raises:
            InputError: Malformed input; nothing is counted then.
        """
        g, c, l = to_numpy(groups), to_numpy(confidence), to_numpy(loss)
        if g.dtype.kind not in "iuU" or g.shape != c.shape:
            raise InputError(
                f"expected `groups` of integers or strings, shape {c.shape}, "
                f"got {g.dtype} {g.shape}"
            )
        CurveSketch(self.scale).update(c, l)  # refuses the batch as a whole
        names, code = np.unique(g, return_inverse=True)
        order = np.argsort(code, kind="stable")
        ends = np.cumsum(np.bincount(code))
        for name, rows in zip(names.tolist(), np.split(order, ends[:-1])):
            self._sketch(name).update(c[rows], l[rows])
        return self

    def merge(self, other: GroupedSketch) -> GroupedSketch:
        """Add what `other` has seen, and return self. Errors as in `CurveSketch.merge`."""
        check_kind(other, GroupedSketch)
        CurveSketch.merged([self._empty, other._empty])
        for name, sketch in other._sketches.items():
            self._sketch(name).merge(sketch)
        return self

    @classmethod
    def merged(cls, sketches: Iterable[GroupedSketch]) -> GroupedSketch:
        """A new sketch of what all of these have seen. Errors as in `CurveSketch.merged`."""
        sketches = list(sketches)
        if not sketches:
            raise InputError("expected at least one sketch to merge, got none")
        check_kind(sketches[0], GroupedSketch)
        total = cls(sketches[0].scale, about=sketches[0].about)
        for sketch in sketches:
            total.merge(sketch)
        return total

    def total(self) -> CurveSketch:
        """One sketch of all groups."""
        return CurveSketch.merged([self._empty, *self._sketches.values()])

    def save(self, path: str | os.PathLike) -> None:
        """Write one compressed .npz, whole or not at all."""
        if not self:
            raise InputError("expected a sketch of at least one group, got none")
        _file.write(path, self)

    @classmethod
    def load(cls, path: str | os.PathLike) -> GroupedSketch:
        """Read what `save` wrote; strict. Errors as in `CurveSketch.load`."""
        found = load(path)
        if isinstance(found, CurveSketch):
            raise InputError(f"{path}: expected a sketch for each group, got one sketch")
        return found

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, GroupedSketch):
            return NotImplemented
        return self._empty == other._empty and self._sketches == other._sketches

    def __repr__(self) -> str:
        return f"GroupedSketch({self.scale!r}, groups={len(self):,})"

    def _sketch(self, name: str | int) -> CurveSketch:
        return self._sketches.setdefault(name, CurveSketch(self.scale, about=self.about))


def load(path: str | os.PathLike) -> CurveSketch | GroupedSketch:
    """Read a sketch of either kind.

    Raises:
        InputError: One line that names the file and what is wrong with it.
    """
    found = _file.read(path)
    if list(found) == [None]:
        return found[None]
    some = next(iter(found.values()))
    out = GroupedSketch(some.scale, about=some.about)
    out._sketches.update(found)
    return out
