"""Thresholds with a finite-sample guarantee, chosen on the calibrate split.

n = calibrate examples, independent of each other and of the tune split; m = thresholds tried.

The promise: P(risk of the accepted > target_risk) <= delta over the draw of the calibrate
split. Among the examples that a threshold fixed beforehand accepts, the number of errors is
exactly binomial, so each test is exact for any n and any confidence score.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from recuse._check import (
    InputError,
    check_confidence,
    check_delta,
    check_fraction,
    check_groups,
    check_loss,
    check_zero_one,
)
from recuse.bounds import (
    binomial_p_value,
    clopper_pearson_lower,
    clopper_pearson_upper,
    smallest_error_free_sample,
)

if TYPE_CHECKING:
    from jaxtyping import Bool, Float32
    from numpy import ndarray as Array
    from numpy.typing import ArrayLike

THRESHOLDS = 100
LARGEST_SAMPLE = 10**8  # beyond it, no number of rows is named
Z_FIFTH = 0.84  # a normal variable exceeds it in one draw of five
ASSUMPTIONS = {
    "fixed_sequence": "calibrate rows are independent draws from the deployment population",
    "random_walk": "calibrate rows are independent draws from the deployment population, and "
    "the error rate does not fall as the confidence falls",
}


@dataclass(frozen=True)
class Guarantee:
    """What a threshold promises, and the counts it rests on."""

    target_risk: float
    delta: float
    method: str
    n: int  # calibrate examples, or groups with one example each
    accepted: int  # of them
    errors: int  # of the accepted
    assumption: str
    unit: str = "examples"
    void: bool = False  # fitted on data that it must not see

    @property
    def coverage(self) -> float:
        """Fraction of the calibrate split that is accepted."""
        return self.accepted / self.n

    def __str__(self) -> str:
        seen = (
            f"{self.accepted} of {self.n} calibrate {self.unit} accepted, "
            f"{self.errors} of them wrong"
        )
        if self.void:
            return f"No guarantee: tune and calibrate share examples ({seen})."
        return (
            f"With {_percent(1 - self.delta)} confidence, at most {_percent(self.target_risk)} of "
            f"accepted predictions are wrong ({seen}; {self.assumption})."
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return asdict(self)


@dataclass(frozen=True)
class Selection:
    """A threshold with its guarantee; or, where `feasible` is False, why there is none."""

    threshold: float  # a float32 value; accept when confidence >= threshold; +inf if infeasible
    feasible: bool
    guarantee: Guarantee
    reason: str  # one sentence, for people; if feasible, the guarantee
    smallest_target: float | None = None  # if infeasible: what this data could have promised
    rows_needed: int | None = None  # if infeasible: calibrate rows that would probably do

    def __str__(self) -> str:
        return self.reason

    def accept(self, confidence: ArrayLike) -> Bool[Array, " n"]:
        """Which examples to accept; confidences are compared as float32, as in the fit."""
        return check_confidence(confidence).astype(np.float32) >= np.float32(self.threshold)


def select(
    confidence: ArrayLike,
    loss: ArrayLike,
    *,
    target_risk: float,
    delta: float = 0.05,
    method: str = "auto",
    tune: tuple[ArrayLike, ArrayLike] | None = None,
    clusters: ArrayLike | None = None,
) -> Selection:
    """Choose a threshold on the calibrate split so that the risk stays under a target.

    Method "fixed_sequence" takes about 100 thresholds from the tune split, starts where that
    split lets one expect the clearest pass and goes towards more coverage, each test at full
    `delta`, until the first failure: exact, no assumption on the shape of the risk. Method
    "random_walk" needs no tune split: it takes the largest coverage whose binomial p-value
    stays under a level calibrated, exactly, on a walk of Bernoulli(target_risk) errors; it
    assumes that the risk does not fall as the coverage grows. "auto" is the first with
    `tune` and the second without.

    Args:
        confidence: Shape (n,), of the calibrate split; compared as float32.
        loss: Shape (n,), 0 or 1.
        target_risk: In (0, 1).
        delta: In (0, 0.5): the probability that the promise fails.
        method: "auto", "fixed_sequence" or "random_walk".
        tune: Confidence and loss of the tune split.
        clusters: Shape (n,): rows of one cluster are not independent. A cluster of several
            rows is refused, since the binomial would count it several times.

    Raises:
        InputError: Malformed input, a loss that is not 0 or 1, or a cluster of several rows.

    References:
        Angelopoulos et al., Learn then Test, 2021 (fixed-sequence testing); Bauer, Math.
        Meth. Oper. Forsch. 1991 (its principle).

    >>> rng = np.random.default_rng(0)
    >>> confidence = rng.uniform(size=1000)
    >>> wrong = rng.uniform(size=1000) > confidence
    >>> selection = select(confidence, wrong, target_risk=0.2)
    >>> selection.feasible, 0 < selection.threshold < 1
    (True, True)
    >>> select(confidence[:20], wrong[:20], target_risk=0.01).threshold
    inf
    """
    c = check_confidence(confidence).astype(np.float32)
    l = check_zero_one(check_loss(loss, c.size))
    target_risk, delta = check_fraction(target_risk, "target_risk"), check_delta(delta)
    _check_independent(clusters, c.size)
    if method == "auto":
        method = "random_walk" if tune is None else "fixed_sequence"
    if method not in ASSUMPTIONS:
        raise InputError(f"expected `method` auto, {', '.join(ASSUMPTIONS)}, got {method!r}")
    if method == "fixed_sequence":
        if tune is None:
            raise InputError("expected `tune` data for method fixed_sequence, got none")
        tc = check_confidence(tune[0], where="tune confidence").astype(np.float32)
        tl = check_zero_one(check_loss(tune[1], tc.size, where="tune loss"))
        grid = thresholds_between(tc, THRESHOLDS)
        seen, n_seen, level = _counts(tc, tl, grid), tc.size, delta
        held = _counts(c, l, grid)

        def choose(target: float) -> int | None:
            return _fixed_sequence(_expected(seen, tc.size, c.size), held, target, delta)

        scan_from = target_risk
    else:
        grid = thresholds_between(c)
        seen = held = _counts(c, l, grid)
        n_seen = c.size
        level = walk_level(c.size, target_risk, delta)

        def choose(target: float) -> int | None:
            return _random_walk(held, walk_level(c.size, target, delta), target)

        # the level hardly depends on the target
        scan_from = float(clopper_pearson_upper(held[1], held[0], level).min())
    index = choose(target_risk)
    accepted, errors = (0, 0) if index is None else (int(held[0][index]), int(held[1][index]))
    guarantee = Guarantee(target_risk, delta, method, c.size, accepted, errors, ASSUMPTIONS[method])
    if index is not None:
        return Selection(float(grid[index]), True, guarantee, str(guarantee))
    best = _smallest_target(choose, max(scan_from, target_risk))
    rows = _rows_needed(seen, n_seen, c.size, target_risk, level)
    hopeless = bool(np.all(clopper_pearson_lower(seen[1], seen[0], delta) > target_risk))
    reason = _infeasible(target_risk, delta, c.size, best, rows, hopeless)
    return Selection(float("inf"), False, guarantee, reason, best, rows)


Counts = tuple[np.ndarray, np.ndarray]  # accepted, errors at each of m thresholds
Chooser = Callable[[float], int | None]


def thresholds_between(
    confidence: Float32[Array, " n"], most: int | None = None
) -> Float32[Array, " m"]:
    """Thresholds in the middle of the gaps between confidences, decreasing; the last accepts all.

    Args:
        confidence: Shape (n,).
        most: About how many to keep, at evenly spaced ranks; all of them if None.

    >>> thresholds_between(np.float32([3, 1, 1, 2]))
    array([2.5, 1.5, 1. ], dtype=float32)
    """
    ordered = np.sort(confidence)[::-1]
    last = np.r_[np.flatnonzero(ordered[1:] != ordered[:-1]), ordered.size - 1]
    if most is not None and last.size > most:
        ranks = np.linspace(1, ordered.size, most).round().astype(int) - 1
        last = np.unique(last[np.searchsorted(last, ranks)])
    high = ordered[last].astype(np.float64)
    low = np.r_[ordered[last[:-1] + 1], ordered[-1]].astype(np.float64)
    largest = float(np.finfo(np.float32).max)
    middle = ((np.clip(high, -largest, largest) + np.clip(low, -largest, largest)) / 2).astype(
        np.float32
    )
    reaches = (middle > low) & (middle <= high)
    return np.minimum(np.where(reaches, middle, high), largest).astype(np.float32)


def _counts(c: Array, l: Array, grid: Array) -> Counts:
    """Accepted, and errors among them, at every threshold."""
    order = np.argsort(c)
    below = np.searchsorted(c[order], grid, side="left")
    errors = np.r_[0, np.cumsum(l[order])]
    return c.size - below, (errors[-1] - errors[below]).round().astype(np.int64)


def _expected(seen: Counts, n_tune: int, n: int) -> Counts:
    """The counts that the risks and coverages of the tune split lead one to expect among n."""
    accepted = seen[0] * n / n_tune
    return accepted, accepted * (seen[1] + 0.5) / (seen[0] + 1)


def _fixed_sequence(expected: Counts, held: Counts, target: float, delta: float) -> int | None:
    """Index of the last threshold that passes, from where passing is expected most clearly.

    What is expected is scaled to the calibrate split: the p-values of a tune split many times
    larger would start at a coverage that holds too few calibrate examples to pass.
    """
    start = int(np.argmin(binomial_p_value(expected[1], expected[0], target)))
    passes = binomial_p_value(held[1], held[0], target)[start:] <= delta
    run = int(np.argmin(passes)) if not passes.all() else len(passes)
    return start + run - 1 if run else None


def _random_walk(held: Counts, level: float, target: float) -> int | None:
    """Index of the largest coverage whose p-value is under the level of the walk."""
    passing = np.flatnonzero(binomial_p_value(held[1], held[0], target) <= level)
    return int(passing[-1]) if passing.size else None


@lru_cache(maxsize=256)
def walk_level(n: int, risk: float, delta: float) -> float:
    """The level at which a Bernoulli(risk) walk of n steps passes with probability <= delta.

    The walk passes at step k if P(Bin(k, risk) <= E_k) <= level, for any k.

    >>> 0.001 < walk_level(1000, 0.05, 0.1) < 0.1
    True
    """
    from recuse._kernels import crossing_probability, walk_boundary

    low, high = np.log(delta) - 12, np.log(delta)  # of the level's logarithm
    while high - low > 1e-2:
        middle = (low + high) / 2
        boundary = walk_boundary(n, risk, np.exp(middle))
        inside = crossing_probability(boundary, risk) <= delta
        low, high = (middle, high) if inside else (low, middle)
    return float(np.exp(low))


def _smallest_target(choose: Chooser, scan_from: float) -> float | None:
    """The smallest target above `scan_from`, in steps of 0.1 %, for which a threshold passes."""
    targets = (t / 1000 for t in range(int(1000 * scan_from) + 1, 1000))
    return next((target for target in targets if choose(target) is not None), None)


def _rows_needed(seen: Counts, n_tune: int, n: int, target: float, level: float) -> int | None:
    """About how many calibrate examples would pass in four draws of five; None if that is unclear.

    Were the risk at a threshold what it was seen to be: the number of accepted at which the
    test passes for all but the largest fifth of error counts (normal approximation).
    """
    risk = (seen[1] + 0.5) / (seen[0] + 1)
    possible = (seen[0] > 0) & (risk < target)
    accepted, risk = seen[0][possible], risk[possible]
    low, high = np.zeros(risk.size), np.full(risk.size, float(LARGEST_SAMPLE))
    while np.any(high - low > 1 + low / 100):
        middle = np.ceil((low + high) / 2)
        errors = np.ceil(middle * risk + Z_FIFTH * np.sqrt(middle * risk * (1 - risk)))
        enough = binomial_p_value(errors, middle, target) <= level
        low, high = np.where(enough, low, middle), np.where(enough, middle, high)
    rows = high * n_tune / accepted
    return int(np.ceil(rows.min())) if rows.size and n < rows.min() < LARGEST_SAMPLE else None


def _infeasible(
    target: float, delta: float, n: int, best: float | None, rows: int | None, hopeless: bool
) -> str:
    free = smallest_error_free_sample(target, delta)
    parts = [
        f"Infeasible: no threshold passed the test for a risk of {_percent(target)} with "
        f"{_percent(1 - delta)} confidence on {n} calibrate examples "
        f"(to pass, {free} must be accepted if none of them is wrong, more if some are)."
    ]
    if best is not None:
        parts.append(
            f"The smallest target that would have passed is {_percent(best)}; to rely on it, "
            "choose it before looking at new calibrate data."
        )
    if hopeless:
        parts.append("The risk is above the target at every threshold: more data will not help.")
    elif rows is not None:
        parts.append(
            f"At the risks seen, perhaps {_two_digits(rows):,} calibrate examples would do."
        )
    return " ".join(parts)


def _check_independent(clusters: ArrayLike | None, n: int) -> None:
    if clusters is None:
        return
    distinct = int(check_groups(clusters, n, where="`clusters`").max()) + 1
    if distinct < n:
        raise InputError(
            f"expected one row for each cluster, got {n} rows of {distinct} clusters: "
            "rows of one cluster are not independent, so keep one of each"
        )


def _two_digits(n: int) -> int:
    """Rounded up to two significant digits: no more is known."""
    unit = 10 ** max(len(str(n)) - 2, 0)
    return -(-n // unit) * unit


def _percent(x: float) -> str:
    """Percent with all its digits: what is promised is never rounded to 100 %."""
    return f"{np.format_float_positional(round(100 * x, 9), trim='-')} %"
