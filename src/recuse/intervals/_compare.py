"""Comparisons of scores or models on the same examples, with Holm's correction for several.

n = examples, m = comparisons.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from recuse._internal.check import check_confidence, check_loss, to_numpy
from recuse.errors import InputError
from recuse.intervals._bootstrap import REPLICATES, Bootstrap, resampled
from recuse.intervals._influence import effective_errors, ranking_with_positions, variance_of_mean
from recuse.intervals._interval import AURC, Measure, normal
from recuse.intervals._spread import Ranking, Spread, variance_of
from recuse.intervals._total import Total
from recuse.present import measures as words

if TYPE_CHECKING:
    from jaxtyping import Float
    from numpy import ndarray as Array
    from numpy.typing import ArrayLike


@dataclass(frozen=True)
class Comparison:
    """Difference of a measure, a minus b, on the same examples; a negative area favours a."""

    difference: float
    standard_error: float
    low: float  # 95 % interval
    high: float
    p_value: float  # two-sided; NaN if a difference has no standard error


@dataclass(frozen=True)
class NamedComparison:
    """Row of `Comparisons`."""

    name: str
    value: float
    comparison: Comparison  # with the baseline
    p_adjusted: float  # by Holm, over all rows


@dataclass(frozen=True)
class Comparisons:
    """Comparisons of several candidates with one baseline."""

    measure: str
    baseline: str
    value: float  # of the baseline
    rows: tuple[NamedComparison, ...]

    def __str__(self) -> str:
        return words.comparisons(self.measure, self.baseline, self.value, self.rows)


def compare(
    confidence_a: ArrayLike,
    loss_a: ArrayLike,
    confidence_b: ArrayLike,
    loss_b: ArrayLike,
    measure: Measure = AURC,
    *,
    groups: ArrayLike | None = None,
) -> Comparison:
    """Compare two scores on the same examples, or two models, whose losses may differ.

    Args:
        confidence_a: Shape (n,).
        loss_a: Shape (n,).
        confidence_b: Shape (n,), of the same examples in the same order.
        loss_b: Shape (n,).
        measure: As in `interval`.
        groups: Shape (n,): rows of equal value depend on each other.

    Raises:
        InputError: Malformed input, or fewer than two groups.

    >>> better = compare([0.9, 0.8, 0.1, 0.2], [0, 0, 1, 0], [0.1, 0.8, 0.9, 0.2], [0, 0, 1, 0])
    >>> better.difference < 0
    True
    """
    return _Baseline(confidence_b, loss_b, measure, groups).compare(confidence_a, loss_a)[1]


class _Baseline:
    """What others are compared with: the run of each example, and the influence of each run."""

    def __init__(
        self, confidence: ArrayLike, loss: ArrayLike, measure: Measure, groups: ArrayLike | None
    ):
        r = ranking_with_positions(confidence, loss)
        self.spread = measure.spread(r)  # finds the area in passing
        self.value, self.run = measure.of(r), r.runs(self.spread)
        self.measure, self.groups = measure, groups

    def compare(self, confidence: ArrayLike, loss: ArrayLike) -> tuple[float, Comparison]:
        """Return the measure of others, and how it differs."""
        _check_paired(to_numpy(confidence).size, self.run.size)
        carried = self.run if self.groups is None else None
        r = ranking_with_positions(confidence, loss, carried)
        spread = self.measure.spread(r)
        value = self.measure.of(r)
        if self.groups is None:
            variance = self._variance_of_difference(r, spread)
        else:
            apart = r.unsort(spread) - self.spread.value[self.run]
            variance = variance_of_mean(apart, self.groups)
        difference, se = value - self.value, math.sqrt(variance)
        return value, Comparison(difference, se, *normal(difference, se))

    def _variance_of_difference(self, r: Ranking, spread: Spread) -> float:
        """Return the variance of the mean of differences, a part at a time."""
        squares = Total((self.spread.largest + spread.largest) ** 2)
        for part in r.parts():
            apart = self.spread.value.take(r.carried(part))
            apart -= spread.of_ranks(part)
            squares.add(np.square(apart, out=apart))
        return variance_of(squares.value, r.n)


def bootstrap_difference(
    confidence_a: ArrayLike,
    loss_a: ArrayLike,
    confidence_b: ArrayLike,
    loss_b: ArrayLike,
    measure: Measure = AURC,
    *,
    replicates: int = REPLICATES,
    weights: str = "multinomial",
    groups: ArrayLike | None = None,
    seed: int = 0,
) -> Bootstrap:
    """Bootstrap the difference that `compare` estimates: a and b see the same draws.

    Arguments as in `compare` and `bootstrap`.

    >>> a, b = [0.9, 0.8, 0.1, 0.2], [0.1, 0.8, 0.9, 0.2]
    >>> bootstrap_difference(a, [0, 0, 1, 0], b, [0, 0, 1, 0], replicates=99).value < 0
    True
    """
    both, of_b = measure.influence(confidence_a, loss_a), measure.influence(confidence_b, loss_b)
    _check_paired(both.size, of_b.size)
    both -= of_b
    terms = [
        *measure.terms(1, check_confidence(confidence_a), check_loss(loss_a, both.size)),
        *measure.terms(-1, check_confidence(confidence_b), check_loss(loss_b, both.size)),
    ]
    drawn = resampled(terms, measure, replicates, weights, groups, seed)
    value = measure.value(confidence_a, loss_a) - measure.value(confidence_b, loss_b)
    errors = min(effective_errors(terms[i][2], groups) for i in (0, -1))
    return Bootstrap(measure, value, drawn, both.size, errors, lambda: both, groups)


def compare_all(
    candidates: Mapping[str, tuple[ArrayLike, ArrayLike]],
    *,
    baseline: str,
    measure: Measure = AURC,
    groups: ArrayLike | None = None,
) -> Comparisons:
    """Compare each candidate with the baseline, with p-values corrected by `holm`.

    Args:
        candidates: Name -> (confidence, loss), all on the same examples in the same order.
        baseline: One of the names.
        measure: As in `interval`.
        groups: Shape (n,): rows of equal value depend on each other.

    Raises:
        InputError: No such baseline, no other candidate, or malformed input.

    >>> loss = [0, 0, 1, 0]
    >>> found = compare_all(
    ...     {"msp": ([0.9, 0.8, 0.7, 0.2], loss), "norm": ([0.9, 0.8, 0.1, 0.2], loss)},
    ...     baseline="msp",
    ... )
    >>> [(row.name, round(row.comparison.difference, 3)) for row in found.rows]
    [('norm', -0.083)]
    """
    if baseline not in candidates or len(candidates) < 2:
        names = ", ".join(map(repr, candidates))
        raise InputError(f"expected baseline {baseline!r} and others to compare, got {names}")
    against = _Baseline(*candidates[baseline], measure, groups)
    found = {k: against.compare(*pair) for k, pair in candidates.items() if k != baseline}
    adjusted = holm([d.p_value for _, d in found.values()])
    rows = (NamedComparison(k, *pair, float(p)) for (k, pair), p in zip(found.items(), adjusted))
    return Comparisons(measure.name, baseline, against.value, tuple(rows))


def holm(p_values: ArrayLike) -> Float[Array, " m"]:
    r"""Return p-values corrected for m tests: they control the probability of any false rejection.

    $\max_{j \le i} \min(1, (m - j + 1)\,p_{(j)})$ for the i-th smallest, under any dependence.
    NaN stays NaN and counts among the m.

    References:
        Holm, Scandinavian Journal of Statistics 1979.

    >>> holm([0.01, 0.04, 0.03])
    array([0.03, 0.06, 0.06])
    """
    p = np.asarray(p_values, np.float64)
    bad = (p < 0) | (p > 1)
    if p.ndim != 1 or bad.any():
        raise InputError(f"expected `p_values` of shape (m,) in [0, 1], got {p_values}")
    order = np.argsort(p)  # NaN last
    steps = np.minimum(1, (p.size - np.arange(p.size)) * p[order])
    out = np.empty(p.size)
    out[order] = np.maximum.accumulate(steps)
    return out


def _check_paired(a: int, b: int) -> None:
    if a != b:
        raise InputError(f"expected the same examples in a and b, got {a} and {b}")
