"""Bisection of a monotone condition, for a number or for each element of an array."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

HALVINGS = 60  # enough for a float in [0, 1]


def bisect(
    holds: Callable[[Any], Any], low: Any, high: Any, *, halvings: int = HALVINGS
) -> tuple[Any, Any]:
    """Return the ends of an interval inside which `holds` turns true.

    Args:
        holds: False below some number and true above it.
        low: Where it is false, or the lowest number of interest.
        high: Where it is true, or the highest number of interest.
        halvings: How often to halve the interval.

    >>> low, high = bisect(lambda x: x * x >= 2, 0.0, 2.0)
    >>> round(float(low), 9), round(float(high), 9)
    (1.414213562, 1.414213562)
    """
    for _ in range(halvings):
        middle = (low + high) / 2
        above = holds(middle)
        low, high = np.where(above, low, middle), np.where(above, middle, high)
    return low, high
