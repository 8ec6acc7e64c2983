"""How many rows to label, from two numbers: the error rate and the AURC.

c = coverages. Between them the risk is assumed to follow a power law, and to pass, one test at
delta must: the boundary of a walk over all ranks costs about what the choice of the rank gives.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from recuse._internal.bisect import bisect
from recuse.bounds._binomial import tail

if TYPE_CHECKING:
    from jaxtyping import Float
    from numpy import ndarray as Array

LARGEST_SAMPLE = 10**8  # beyond it, no number of rows is named
Z_FIFTH = 0.84  # a normal variable exceeds it in one draw of five


def needed(
    error: float, aurc: float, coverage: Float[Array, " c"], target: float, level: float
) -> int | None:
    """Return the fewest rows at any of the coverages; None if none has a risk below the target.

    With so many, some threshold passes in four draws of five.
    """
    risk = power_law(error, aurc, coverage)
    below = risk < target
    rows = accepted_needed(risk[below], target, level) / coverage[below]
    return int(np.ceil(rows.min())) if rows.size and rows.min() < LARGEST_SAMPLE else None


def power_law(error: float, aurc: float, coverage: Float[Array, " c"]) -> Float[Array, " c"]:
    """The risk at each coverage, error * coverage ** (error / aurc - 1), whose area is the AURC.

    >>> power_law(0.1, 0.05, np.array([0.5, 1.0])).tolist()
    [0.05, 0.1]
    """
    return error * coverage ** (error / aurc - 1)


def accepted_needed(risk: Float[Array, " c"], target: float, level: float) -> Float[Array, " c"]:
    """Accepted rows with which one test passes for all but the largest fifth of error counts.

    By a normal approximation of the count.

    >>> accepted_needed(np.array([0.0, 0.01]), 0.05, 0.05).tolist()
    [59.0, 153.0]
    """

    def enough(rows: Array) -> Array:
        rows = np.ceil(rows)
        errors = np.ceil(rows * risk + Z_FIFTH * np.sqrt(rows * risk * (1 - risk)))
        return tail(errors, rows, target) <= level

    _, high = bisect(enough, np.zeros(risk.size), np.full(risk.size, float(LARGEST_SAMPLE)))
    return np.ceil(high)
