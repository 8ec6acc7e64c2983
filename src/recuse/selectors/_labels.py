"""How many rows to label, from two numbers: the error rate and the AURC.

c = coverages. Between them the risk is assumed to follow a power law, and to pass, one test at
delta must: the boundary of a walk over all ranks costs about what the choice of the rank gives.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from recuse._internal.bisect import bisect
from recuse.bounds._binomial import tail, upper
from recuse.selectors._grid import Counts

if TYPE_CHECKING:
    from jaxtyping import Float
    from numpy import ndarray as Array

LARGEST_SAMPLE = 10**8  # beyond it, no number of rows is named
Z_FIFTH = 0.84  # a normal variable exceeds it in one draw of five
MEDIAN = 0.5  # level of the error rate that is assumed
SLOPES = 0.001, 300.0  # of a logistic curve: from hardly any ranking to nearly a perfect one
AREAS = 400  # coverages over which its AURC is taken
COVERAGES = 200  # at which rows are counted, about


class Law(NamedTuple):
    """The risk at each coverage, error * coverage ** (error / aurc - 1), whose area is the AURC.

    >>> Law(0.1, 0.05, np.array([0.5, 1.0])).risk.tolist()
    [0.05, 0.1]
    """

    error: float
    aurc: float
    coverage: Float[Array, " c"]  # of the thresholds, increasing

    @property
    def risk(self) -> Float[Array, " c"]:
        """The risk at each of the coverages."""
        return self.error * self.coverage ** (self.error / self.aurc - 1)

    def within(self, target: float) -> float:
        """Return the largest coverage whose risk is at most the target.

        >>> [round(Law(0.1, aurc, np.ones(1)).within(0.02), 4) for aurc in (0.02, 0.1)]
        [0.6687, 0.0]
        """
        if target >= self.error:
            return 1.0
        rise = self.error / self.aurc - 1
        return (target / self.error) ** (1 / rise) if rise > 0 else 0.0


class Logistic(NamedTuple):
    """Another risk with the same error rate and AURC: it levels off at the most confident."""

    coverage: Float[Array, " c"]
    risk: Float[Array, " c"]


def logistic(law: Law) -> Logistic:
    """Return the risk where the log-odds of an error rise in a straight line with the rank.

    With the error rate expit(start + slope u) at the rank u, the risk at the coverage c is the mean
    over the ranks up to c. The error rate at full coverage gives the start, and the AURC the slope.

    >>> levels = logistic(Law(0.1, 0.02, np.array([0.01, 0.5, 1.0])))
    >>> levels.risk.round(4).tolist()
    [0.0007, 0.0073, 0.1]
    """

    def risk(slope: float, coverage: Float[Array, " c"]) -> Float[Array, " c"]:
        odds = np.log(np.expm1(law.error * slope)) - np.log(np.expm1((1 - law.error) * slope))
        start = odds - law.error * slope
        rise = np.logaddexp(0, start + slope * coverage) - np.logaddexp(0, start)
        return rise / (slope * coverage)

    middle = (np.arange(AREAS) + 0.5) / AREAS
    slope, _ = bisect(lambda x: risk(x, middle).mean() <= law.aurc, *SLOPES)
    return Logistic(law.coverage, risk(float(slope), law.coverage))


def law_of(seen: Counts, n: int) -> Law:
    """The law with the error rate and the AURC of n rows.

    Args:
        seen: Accepted rows and errors at each threshold, increasing; the last accepts some.
        n: Rows, accepted or not.
    """
    accepted, errors = (x[seen.accepted > 0] for x in seen)
    coverage, risk = accepted / n, errors / accepted
    error = float(upper(errors[-1], accepted[-1], MEDIAN))
    area = (risk + np.r_[risk[0], risk[:-1]]) / 2 @ np.diff(coverage, prepend=0)
    aurc = error * min(area / risk[-1], 1) if area else error
    return Law(error, aurc, coverage[:: max(1, coverage.size // COVERAGES)])


def needed(law: Law | Logistic, target: float, level: float) -> int | None:
    """Return the fewest rows at any of the coverages; None if none has a risk below the target.

    With so many, some threshold passes in four draws of five.
    """
    below = law.risk < target
    rows = accepted_needed(law.risk[below], target, level) / law.coverage[below]
    return int(np.ceil(rows.min())) if rows.size and rows.min() < LARGEST_SAMPLE else None


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


def reached(law: Law | Logistic, rows: int, target: float, level: float) -> float:
    """Return the largest coverage at which one test passes with the expected errors; 0 if none.

    >>> reached(Law(0.1, 0.02, np.linspace(0.01, 1, 100)), 10_000, 0.02, 0.05)
    0.64
    """
    accepted = rows * law.coverage
    passes = tail(accepted * law.risk, accepted, target) <= level
    return float(law.coverage[passes].max(initial=0))
