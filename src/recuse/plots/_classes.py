"""Which of many classes a figure names.

n = predictions, K = classes, k = classes shown.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from recuse.errors import InputError

if TYPE_CHECKING:
    from jaxtyping import Int, Real
    from numpy import ndarray as Array

OTHERS = "{} others together"


def shown(
    names: Sequence[str], errors: Real[Array, " K"], most: int
) -> tuple[Int[Array, " K"], tuple[str, ...]]:
    """The place of each class among those shown, and their names.

    Kept, in their order, are the `most` classes with the most errors, the first of equals; the
    others are the last place together, unless it would hold a single one.

    >>> shown(["a", "b", "c", "d"], np.array([0, 5, 1, 7]), 2)
    (array([2, 0, 2, 1]), ('b', 'd', '2 others together'))
    """
    if not most >= 1:
        raise InputError(f"expected `most` >= 1, got {most}")
    if len(names) <= most + 1:
        return np.arange(len(names)), tuple(names)
    kept = np.sort(np.argsort(-np.asarray(errors), kind="stable")[:most])
    place = np.full(len(names), most)
    place[kept] = np.arange(most)
    return place, (*(names[i] for i in kept), OTHERS.format(len(names) - most))


def names_of(classes: Sequence[str] | None, number: int) -> tuple[str, ...]:
    """The names of at least so many classes; their numbers if None."""
    if classes is None:
        return tuple(map(str, range(number)))
    if len(classes) < number:
        raise InputError(f"expected names of {number} classes or more, got {len(classes)}")
    return tuple(map(str, classes))


def check_classes(x: Array, name: str) -> int:
    """Numbers of classes, integers from 0; how many there must be."""
    if x.dtype.kind not in "iu" or x.min() < 0:
        raise InputError(f"expected `{name}` as integers >= 0, got {x.dtype} from {x.min()}")
    return 1 + int(x.max())
