"""From influences to a standard error.

n = examples, G = groups of rows that belong together.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from recuse._internal.check import check_groups
from recuse.errors import InputError

if TYPE_CHECKING:
    from jaxtyping import Float
    from numpy import ndarray as Array
    from numpy.typing import ArrayLike


def variance_of_mean(influence: Float[Array, " n"], groups: ArrayLike | None = None) -> float:
    """Variance of the mean of zero-mean influences, summed within groups first.

    Sums run in sorted order, so that the order of the input does not matter.
    """
    n = len(influence)
    sums = unit_sums(influence, groups)
    if len(sums) < 2:
        raise InputError(f"expected at least 2 independent examples or groups, got {len(sums)}")
    return float(np.sum(sums**2) / n**2 * len(sums) / (len(sums) - 1))


def unit_sums(x: Float[Array, " n"], groups: ArrayLike | None = None) -> Float[Array, " G"]:
    """The sums of x within groups, or x, in ascending order."""
    if groups is None:
        return np.sort(x)
    code = check_groups(groups, len(x))
    order = np.lexsort((x, code))
    start = np.flatnonzero(np.diff(code[order], prepend=-1))
    return np.sort(np.add.reduceat(x[order], start))


def effective_errors(loss: Float[Array, " n"], groups: ArrayLike | None = None) -> float:
    """How many errors the losses are worth: (sum)^2 / sum of squares, losses summed by group.

    For independent 0-1 losses it is the number of errors.

    >>> effective_errors(np.array([0.0, 1.0, 1.0]))
    2.0
    """
    sums = unit_sums(loss, groups)
    return float(sums.sum() ** 2 / np.sum(sums**2)) if sums[-1] > 0 else 0.0
