"""Measures, their standard errors, and their intervals without resampling.

n = examples.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from statistics import NormalDist
from typing import TYPE_CHECKING

import numpy as np

from recuse import curves
from recuse._internal.check import check_fraction, check_groups, check_loss
from recuse.bounds._binomial import limits
from recuse.curves._areas import augrc_of, aurc_of, excess, oracle
from recuse.curves._curve import coverage_at_risk_of, risk_at_coverage_of
from recuse.curves._order import ascending
from recuse.curves._ranked import Halves
from recuse.errors import InputError
from recuse.intervals import _influence
from recuse.intervals._influence import (
    Sorted,
    by_confidence,
    effective_errors,
    ranking,
    ranking_with_positions,
    variance_of_mean,
)
from recuse.intervals._spread import Accepted, Ranking, Spread
from recuse.present import measures as words

if TYPE_CHECKING:
    from jaxtyping import Float, Int
    from numpy import ndarray as Array
    from numpy.typing import ArrayLike

ROUNDING = 1e-12  # of sums in float64, relative
LEVEL = 0.95  # of every interval that is shown
FEW_ERRORS = 20  # below, 95 % intervals were measured to hold less often: docs/intervals.md

Statistic = Callable[["ArrayLike", "ArrayLike"], float]
Influence = Callable[["ArrayLike", "ArrayLike"], "Float[Array, ' n']"]
Term = tuple[int, "Float[Array, ' n']", "Float[Array, ' n']"]  # sign, confidence, loss


@dataclass(frozen=True)
class Measure:
    """A number that confidence and loss determine: `AURC`, `AUGRC`, `risk_at(0.8)`, ..."""

    name: str
    value: Statistic
    influence: Influence
    kind: str  # "aurc", "augrc", "risk_at_coverage" or "coverage_at_risk"
    level: float = 0.0  # the coverage or risk of a point

    def __str__(self) -> str:
        return self.name

    @property
    def larger_is_better(self) -> bool:
        """True for coverages, False for risks and areas."""
        return self.kind == "coverage_at_risk"

    def terms(self, sign: int, confidence: Array, loss: Array) -> list[Term]:
        """Return the signed terms that sum to it: E-AURC is AURC minus that of the best order."""
        own = (sign, confidence, loss)
        return [own, (-sign, -loss, loss)] if self.name == "e_aurc" else [own]

    def of(self, r: Ranking) -> float:
        """Return its value for a ranking."""
        if self.kind == "augrc":
            return augrc_of(r.form)
        if self.kind == "risk_at_coverage":
            return risk_at_coverage_of(r.form, self.level)
        if self.kind == "coverage_at_risk":
            return coverage_at_risk_of(r.form, self.level)
        area = aurc_of(r.form)
        return excess(area, *oracle(r.form, r.loss)) if self.name == "e_aurc" else area

    def spread(self, r: Ranking) -> Spread:
        """Return its influences for a ranking."""
        if "_at_" in self.kind:
            return getattr(r, self.kind)(self.level)
        return getattr(r, self.name)()

    def variance(self, r: Ranking, groups: ArrayLike | None) -> float:
        """Return its variance for a ranking, which has positions if there are groups."""
        if groups is not None:
            return variance_of_mean(r.unsort(self.spread(r)), groups)
        if self == AURC and isinstance(r.form, Halves):
            return r.form.aurc_variance()
        return self.spread(r).variance


AURC = Measure("aurc", curves.aurc, _influence.influence, "aurc")
AUGRC = Measure("augrc", curves.augrc, _influence.influence_augrc, "augrc")
E_AURC = Measure("e_aurc", curves.e_aurc, _influence.influence_e_aurc, "aurc")


def risk_at(coverage: float) -> Measure:
    """Return the measure `curves.risk_at_coverage` at this coverage.

    >>> risk_at(0.8).name
    'risk_at_coverage(0.8)'
    """
    coverage = check_fraction(coverage, "coverage", one=True)
    return Measure(
        f"risk_at_coverage({coverage:.12g})",
        partial(curves.risk_at_coverage, coverage=coverage),
        partial(_influence.influence_risk_at_coverage, coverage=coverage),
        "risk_at_coverage",
        coverage,
    )


def coverage_at(risk: float) -> Measure:
    """Return the measure `curves.coverage_at_risk` at this risk.

    >>> coverage_at(0.05).value([0.9, 0.8], [0, 1])
    0.5
    """
    risk = check_fraction(risk, "risk", zero=True, one=True)
    return Measure(
        f"coverage_at_risk({risk:.12g})",
        partial(curves.coverage_at_risk, risk=risk),
        partial(_influence.influence_coverage_at_risk, risk=risk),
        "coverage_at_risk",
        risk,
    )


def standard_error(
    confidence: ArrayLike,
    loss: ArrayLike,
    measure: Measure = AURC,
    *,
    groups: ArrayLike | None = None,
) -> float:
    """Return the standard error of a measure, from its influences.

    Args:
        confidence: Shape (n,).
        loss: Shape (n,).
        measure: `AURC`, `AUGRC`, `E_AURC`, `risk_at(coverage)` or `coverage_at(risk)`; for the
            last, NaN where the risk does not cross the level.
        groups: Shape (n,): rows of equal value are resampled together, never apart.

    Raises:
        InputError: Malformed input, or fewer than two groups.

    >>> standard_error([0.9, 0.8, 0.7, 0.6], [0, 1, 0, 1]) > 0
    True
    """
    if not isinstance(measure, Measure):
        raise InputError(
            f"expected a measure such as AURC in the third place, got {measure!r:.40}: give groups "
            "by name, groups="
        )
    return math.sqrt(measure.variance(_ranking(confidence, loss, groups), groups))


def _ranking(confidence: ArrayLike, loss: ArrayLike, groups: ArrayLike | None) -> Ranking:
    return (ranking if groups is None else ranking_with_positions)(confidence, loss)


@dataclass(frozen=True)
class Interval:
    """A measure with its uncertainty; a bound that the data do not give is NaN."""

    measure: str
    low: float
    value: float
    high: float
    standard_error: float
    level: float  # nominal coverage of the interval
    n: int
    errors: float  # effective number of errors: their number, if they are independent
    caution: str | None  # why not to rely on it, a code of `present.measures`

    @property
    def warning(self) -> str | None:
        """Why not to rely on the level, in words."""
        return words.caution(self.caution, self.errors, FEW_ERRORS)

    def __str__(self) -> str:
        return words.interval(self.measure, self.low, self.value, self.high, self.warning)


def interval(
    confidence: ArrayLike,
    loss: ArrayLike,
    measure: Measure = AURC,
    *,
    level: float = LEVEL,
    groups: ArrayLike | None = None,
) -> Interval:
    """Return the interval of a measure, from its influences.

    Areas get an interval that is symmetric on the log scale, where they are closest to normal.
    `risk_at(coverage)` gets the interval of a proportion, for as many examples as the standard
    error implies, if no loss exceeds 1. `coverage_at(risk)` gets the coverages at which the risk
    is not significantly different from the level. docs/intervals.md has their measured coverage.

    Args:
        confidence: Shape (n,).
        loss: Shape (n,).
        measure: `AURC`, `AUGRC`, `E_AURC`, `risk_at(coverage)` or `coverage_at(risk)`.
        level: Nominal coverage of the interval.
        groups: Shape (n,): rows of equal value depend on each other.

    Raises:
        InputError: Malformed input, or fewer than two groups.

    >>> print(interval(range(100), [1] * 10 + [0] * 90))
    aurc 0.005674 [0.001905, 0.0169] (only 10 errors: intervals from fewer than 20 are too narrow)
    """
    level = check_fraction(level, "level")
    r = _ranking(confidence, loss, groups)
    error = math.sqrt(measure.variance(r, groups))  # finds the area in passing
    value = measure.of(r)
    if measure.kind == "coverage_at_risk":
        s = r if groups is None else by_confidence(confidence, loss)
        low, high = coverages_of_risk(s, measure.level, quantile(level), groups)
    elif measure.kind == "risk_at_coverage" and r.largest <= 1:
        accepted = _independent_accepted(r, measure.level, groups)
        low, high = clopper_pearson(value, error, accepted, level)
    else:
        low, high = on_log_scale(value, error, quantile(level))
        high = min(high, r.largest)  # no mean of losses is larger than the largest
    few = 0 if "_at_" in measure.kind else FEW_ERRORS  # the points hold theirs anyway
    errors = r.errors if groups is None else effective_errors(check_loss(loss, r.n), groups)
    return described(measure, (low, value, high), error, level, r.n, errors, few=few)


def quantile(level: float) -> float:
    """Return the two-sided quantile of a normal distribution."""
    return -NormalDist().inv_cdf((1 - level) / 2)


def normal(value: float, error: float) -> tuple[float, float, float]:
    """Return the 95 % interval of a normal estimate and the two-sided p-value of 0.

    With a standard error of 0 the interval is the value; the p-value is 1 for 0 and NaN otherwise.

    >>> low, high, p_value = normal(1.0, 0.5)
    >>> round(low, 2), round(high, 2), round(p_value, 4)
    (0.02, 1.98, 0.0455)
    """
    half = quantile(LEVEL) * error
    if error > 0:
        p_value = math.erfc(abs(value) / error / math.sqrt(2))
    else:
        p_value = 1.0 if value == error == 0 else math.nan
    return value - half, value + half, p_value


def on_log_scale(value: float, error: float, z: float) -> tuple[float, float]:
    """Return an interval symmetric on the log scale; NaN without a standard error.

    >>> low, high = on_log_scale(0.1, 0.05, 2.0)
    >>> round(low * high, 9)
    0.01
    """
    if not (value > 0 and moves(value, error)):
        return math.nan, math.nan
    factor = math.exp(z * error / value)
    return value / factor, value * factor


def moves(value: float, error: float) -> bool:
    """Return whether a standard error is more than rounding.

    >>> moves(1.0, 1e-17), moves(1e-12, 1e-12)
    (False, True)
    """
    return error > max(ROUNDING * value, ROUNDING**1.25)


def clopper_pearson(risk: float, error: float, accepted: int, level: float) -> tuple[float, float]:
    """Return the exact interval of a proportion, with as many examples as the error implies.

    With no errors this is the number accepted, and the upper bound is about 4 divided by it.

    References:
        Clopper & Pearson, Biometrika 1934; Korn & Graubard, Survey Methodology 1998 (with an
        effective number of examples).

    >>> low, high = clopper_pearson(0.0, 0.0, accepted=100, level=0.95)
    >>> round(low, 3), round(high, 3)
    (0.0, 0.036)
    """
    n = risk * (1 - risk) / error**2 if error > 0 and 0 < risk < 1 else accepted
    return limits(n * risk, n, 1 - level)


def _independent_accepted(r: Ranking, coverage: float, groups: ArrayLike | None) -> int:
    k = r.tie_at(coverage)[1]
    if groups is None:
        return k
    return np.unique(check_groups(groups, r.n)[r.carried(slice(0, k))]).size


def coverages_of_risk(
    r: Ranking, risk: float, z: float, groups: ArrayLike | None = None
) -> tuple[float, float]:
    r"""Return the coverages around `coverage_at_risk` at which the risk may be `risk`.

    Down to the last coverage where $\sum_{accepted} (\ell_i - r)$ is below -z of its standard
    errors, and up to the first where it is above z; otherwise 0 and 1. The standard error is the
    larger of two: from the influences on the risk at this coverage, and under a risk of r. No
    slope of the curve is divided by.

    References:
        Brookmeyer & Crowley, Biometrics 1982 (an interval for the median, by tests).
    """
    a, k = r.accepted(), r.accepted_at_risk(risk)
    excess = a.loss - risk * a.count
    variance = _variance_of_excess(r, a, risk, r.local_risk(k), groups)
    bound = z * np.sqrt(np.maximum(variance, _variance_at_risk(a, risk)))
    below = a.count[(excess < -bound) & (a.count <= k)]
    above = a.count[(excess > bound) & (a.count > k)]
    return (below[-1] / r.n if below.size else 0.0), (above[0] / r.n if above.size else 1.0)


def _variance_at_risk(a: Accepted, risk: float) -> Float[Array, " k"]:
    """Return the variance of sums of losses of mean `risk`, with the squares seen here."""
    ratio = a.squares[-1] / a.loss[-1] if a.loss[-1] > 0 else 1.0
    return a.count * max(0.0, risk * (ratio - risk))


def _variance_of_excess(
    r: Ranking, a: Accepted, risk: float, m: float, groups: ArrayLike | None
) -> Float[Array, " k"]:
    """Return, for what is accepted, the sum over groups of (sum of (l - m) + n_g k/n (m - r))^2."""
    slope = a.count / r.n * (m - risk)
    if groups is None:
        own, summed, squares, g = _of_rows(a, m)
    else:
        assert isinstance(r, Sorted)
        own, summed, squares, g = _of_groups(r, m, check_groups(groups, r.n))
    found = own + 2 * slope * summed + slope**2 * squares
    return np.maximum(found, 0) * g / max(g - 1, 1)


def _of_rows(a: Accepted, m: float) -> tuple[Array, Array, int, int]:
    """Return the sums of (l - m)^2 and of l - m over what is accepted, n, and n."""
    n = int(a.count[-1])
    return a.squares - m * (2 * a.loss - m * a.count), a.loss - m * a.count, n, n


def _of_groups(
    s: Sorted, m: float, group: Int[Array, " n"]
) -> tuple[Float[Array, " k"], Float[Array, " k"], float, int]:
    """Return the same of sums by group, each times n_g in the second; the sum of n_g^2; groups."""
    n, x, code = s.n, s.loss - m, group[s.order]
    size = np.bincount(code)[code].astype(np.float64)
    by_group = ascending(code.astype(np.uint32))[1]
    first = np.flatnonzero(np.diff(code[by_group], prepend=-1))
    before = np.cumsum(x[by_group]) - x[by_group]
    before -= np.repeat(before[first], np.diff(first, append=n))
    step = np.empty(n)
    step[by_group] = x[by_group] ** 2 + 2 * x[by_group] * before
    at = s.end - 1
    return np.cumsum(step)[at], np.cumsum(size * x)[at], size.sum(), first.size


def described(
    measure: Measure,
    bounds: tuple[float, float, float],
    error: float,
    level: float,
    n: int,
    errors: float,
    *,
    few: int = FEW_ERRORS,
) -> Interval:
    """Return an `Interval`, with a caution where it has no bound or there are too few errors."""
    low, value, _ = bounds
    caution = None
    if math.isnan(low):
        caution = "no_errors" if errors == 0 else "not_moved"
    elif measure.kind == "coverage_at_risk" and value in (0, 1):
        caution = "all_accepted" if value else "none_accepted"
    elif math.isnan(error):
        caution = "flat_risk"
    elif errors < few:
        caution = "few_errors"
    return Interval(measure.name, *bounds, error, level, n, errors, caution)
