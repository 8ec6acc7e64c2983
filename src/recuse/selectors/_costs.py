"""The mean cost of decisions that are fixed before the calibration split is seen.

n = calibration rows, K = classes.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from recuse.bounds import hoeffding_bentkus_upper
from recuse.selectors._guarantee import MeanCostGuarantee, Selection
from recuse.selectors._walk import ROUNDING

if TYPE_CHECKING:
    from jaxtyping import Bool, Float, Int
    from numpy import ndarray as Array
    from numpy.typing import ArrayLike

THRESHOLD = 0.0  # of the score `expected_cost`: there is nothing to choose


def mean_cost_upper(spent: ArrayLike, n: int, largest: float, delta: float) -> Float[Array, ...]:
    """The smallest mean that Hoeffding-Bentkus rules out, of n costs in [0, largest].

    A sum of costs that is an integer in units of the largest, but for rounding, is that integer:
    the bound takes the next one above.

    >>> round(float(mean_cost_upper(1.0, 100, largest=0.1, delta=0.05)), 4)
    0.0181
    """
    total = np.minimum(np.asarray(spent) / largest, n)
    whole = np.rint(total)
    near = np.abs(total - whole) <= ROUNDING * np.maximum(whole, 1)
    return largest * hoeffding_bentkus_upper(np.where(near, whole, total), n, delta)


def mean_cost_interval(spent: float, n: int, largest: float) -> tuple[float, float]:
    """Return 95 % limits of a mean cost.

    >>> low, high = mean_cost_interval(10.0, 100, largest=1.0)
    >>> round(low, 3), round(high, 3)
    (0.042, 0.193)
    """
    above = mean_cost_upper(max(n * largest - spent, 0.0), n, largest, 0.025)
    return float(largest - above), float(mean_cost_upper(spent, n, largest, 0.025))


def paid(
    costs: Float[Array, "K actions"],
    labels: Int[Array, " n"],
    prediction: Int[Array, " n"],
    accept: Bool[Array, " n"],
) -> Float[Array, " n"]:
    """Return the cost of every decision; `costs` has a row for each label, abstaining last."""
    return costs[labels, np.where(accept, prediction, len(costs))]


def certify_costs(
    costs: Float[Array, "K actions"],
    labels: Int[Array, " n"],
    prediction: Int[Array, " n"],
    accept: Bool[Array, " n"],
    delta: float,
) -> Selection:
    """Limit the mean cost of decisions, whose rule was fixed without these rows.

    The costs of n i.i.d. rows are i.i.d. and bounded, so that one test at delta limits their mean.

    References:
        Bates et al., J. ACM 2021, theorem 4.
    """
    every = np.ones_like(accept)
    spent, answering, abstaining = (
        math.fsum(paid(costs, labels, prediction, taken)) for taken in (accept, every, ~every)
    )
    n, largest = len(labels), float(costs.max())
    upper = float(mean_cost_upper(spent, n, largest, delta))
    counts = (n, int(accept.sum()), spent, answering, abstaining, largest)
    return Selection(THRESHOLD, MeanCostGuarantee(upper, delta, *counts))
