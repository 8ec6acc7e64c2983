"""Misses: examples of a true class that are answered with another class.

n = calibration rows. The share of a class that is accepted and missed can only grow as the
threshold falls, so that no price is paid for trying all of them; `docs/which-guarantee.md` has the
proof.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from recuse.bounds import smallest_error_free_sample
from recuse.bounds._binomial import upper
from recuse.selectors._grid import EVERYTHING, counts, thresholds_between
from recuse.selectors._guarantee import InfeasibleMisses, MissesOnly, Selection
from recuse.selectors._joint import down_to_everything
from recuse.selectors._walk import walk_boundary

if TYPE_CHECKING:
    from jaxtyping import Bool, Float32
    from numpy import ndarray as Array


def miss_floor(
    confidence: Float32[Array, " n"],
    missed: Bool[Array, " n"],
    target: float,
    delta: float,
) -> float:
    """Return the lowest threshold that misses few enough of a class; +inf if there is none.

    It lies just above the first missed row too many. All thresholds above it limit the misses, too.

    Args:
        confidence: Of the calibration rows of one true class.
        missed: Whether another class is predicted.
        target: In (0, 1).
        delta: In (0, 1).

    >>> c, missed = np.float32([3, 2, 1]), np.array([False, True, False])
    >>> bool(miss_floor(c, missed, 0.7, 0.05) == np.nextafter(np.float32(2), np.float32(3)))
    True
    >>> miss_floor(c, missed, 0.6, 0.05)
    inf
    """
    most = _most(missed.size, target, delta)
    if most < 0:
        return math.inf
    of = np.sort(confidence[missed])[::-1]
    return EVERYTHING if of.size <= most else float(np.nextafter(of[most], np.float32(np.inf)))


def _most(n: int, target: float, delta: float) -> int:
    """Return the most misses that pass; -1: none."""
    return int(walk_boundary(np.array([n]), target, delta)[0]) if n else -1


def infeasible_misses(
    confidence: Float32[Array, " n"],
    missed: Bool[Array, " n"],
    highest: float,
    name: str,
    target: float,
    delta: float,
) -> InfeasibleMisses:
    """Return why no threshold misses few enough of a class.

    Args:
        confidence: As in `miss_floor`.
        missed: As in `miss_floor`.
        highest: The highest threshold that accepts anything.
        name: Of the class.
        target: As in `miss_floor`.
        delta: As in `miss_floor`.
    """
    fewest = int((missed & (confidence >= highest)).sum())
    smallest = float(upper(fewest, missed.size, delta)) if missed.size else 1.0
    return InfeasibleMisses(
        name,
        target,
        delta,
        missed.size,
        smallest_error_free_sample(target, delta),
        _rounded_up(smallest),
    )


def _rounded_up(target: float) -> float | None:
    """Return a target of three decimals, of two digits below 1 %; None from 1 on."""
    places = 3 if target >= 0.01 else 1 - math.floor(math.log10(target))
    found = (math.floor(target * 10**places) + 1) / 10**places
    return found if found < 1 else None


def select_above(
    confidence: Float32[Array, " n"], wrong: Bool[Array, " n"], floor: float, delta: float
) -> Selection:
    """Return the lowest threshold between calibration rows that is not below the floor."""
    grid = down_to_everything(confidence)
    last = int((grid >= floor).sum()) - 1
    held = counts(confidence, wrong.astype(float), grid[[last]])
    found = MissesOnly(delta, confidence.size, int(held.accepted[0]), int(held.errors[0]))
    return Selection(float(grid[last]), found)


def highest_threshold(confidence: Float32[Array, " n"]) -> float:
    """Return the highest threshold that accepts anything."""
    return float(thresholds_between(confidence)[0])


def floors_by_class(floors: Mapping[int, float], classes: int) -> dict[int, float]:
    """Return the floor of each predicted class: a prediction misses all classes but its own.

    >>> floors_by_class({1: 2.5}, 2) == {0: 2.5, 1: EVERYTHING}
    True
    """
    return {
        j: max((floor for k, floor in floors.items() if k != j), default=EVERYTHING)
        for j in range(classes)
    }
