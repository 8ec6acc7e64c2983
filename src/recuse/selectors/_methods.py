"""The methods of `select`: which thresholds each may deploy, and by which tests.

n = calibration rows, m = thresholds, decreasing. A method turns the splits into a `Plan`,
whose `choose` gives the index of the threshold to deploy, or None. Beside each method in `METHODS`
stands its re-check: the p-value of recorded counts, and the level that it must not exceed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from recuse._internal.check import check_zero_one
from recuse.bounds import (
    betting_p_value,
    binomial_p_value,
    clopper_pearson_upper,
    hoeffding_bentkus_p_value,
    hoeffding_bentkus_upper,
    smallest_error_free_sample,
)
from recuse.bounds._binomial import tail
from recuse.bounds._losses import ordered
from recuse.errors import InputError
from recuse.selectors._bets import NOISE, STEPS, read, rounded_up, written
from recuse.selectors._grid import (
    UNIT,
    Counts,
    counts,
    finite,
    is_binary,
    thresholds_above_ranks,
    thresholds_between,
)
from recuse.selectors._guarantee import ADAPTIVE_SEARCH_UNPROVED, Guarantee
from recuse.selectors._walk import (
    EVERY_RANK,
    ROUNDING,
    cannot_pass,
    crossing_probability,
    has_chain,
    may_chain,
    walk,
    walk_boundary,
)

if TYPE_CHECKING:
    from jaxtyping import Float, Float32, Int
    from numpy import ndarray as Array

THRESHOLDS = 100  # of a fixed sequence
RANKS = 20  # of Bonferroni's correction
POINTS = 50  # of a band
ALIKE = 0.5  # of delta: one test takes as many rows as a fixed sequence, and reaches as far as any
LONGEST_WALK = 10**8  # steps: beyond it, finding the level takes minutes
LONGEST_BY_DEFAULT = 10**7  # likewise, seconds
LONGEST_0_1 = 1_000_000  # steps of version 0.1, which tested every rank of them
LEAST = 1e-290  # level of a boundary: the arithmetic of smaller ones loses digits


class Splits(NamedTuple):
    """The data of a choice, checked."""

    confidence: Float32[Array, " n"]  # calibrate
    loss: Float[Array, " n"]
    tune: tuple[Float32[Array, " t"], Float[Array, " t"]] | None = None
    groups: Int[Array, " n"] | None = None  # codes; None if rows are independent
    seed: int | None = 0  # of the order of bets; None: that of the rows
    floor: float = -np.inf  # no lower threshold may be deployed

    @property
    def binary(self) -> bool:
        """Whether errors are counted, in both splits."""
        return is_binary(self.loss) and (self.tune is None or is_binary(self.tune[1]))


@dataclass(frozen=True, eq=False)
class Plan:
    """The thresholds that a method may deploy, and how it decides between them."""

    grid: Float32[Array, " m"]
    held: Counts  # of the calibration split
    seen: Counts  # of the split that says what to expect
    n_seen: int
    level: float  # of each single test
    scan_from: Callable[[], float]  # no smaller target can pass
    choose: Callable[[float], int | None]  # target -> index
    alike: float | None = None  # level at which one test takes as many rows; None: `level`
    enough: Callable[[float], int | None] | None = None  # target -> rows; None: by the risk curve
    bets: Callable[[int], str] = lambda _: ""  # index -> those behind it, where there are any

    def known(self, n: int) -> tuple[Counts, int]:
        """Return what n calibration rows and those of `seen` show together, and their number."""
        if self.seen is self.held:
            return self.held, n
        both = Counts(*(a + b for a, b in zip(self.seen, self.held)))
        return both, self.n_seen + n

    def free(self, target: float) -> int:
        """Return the number of accepted rows that pass one test without an error."""
        return smallest_error_free_sample(target, self.level)


PValue = Callable[[Counts, float], np.ndarray]


def fixed_sequence(s: Splits, target: float, delta: float) -> Plan:
    """Thresholds of the tuning split, towards more coverage, each at full delta."""
    test = mean_test(s.binary)
    plan = _sequence(s, target, delta, lambda held, grid, risk: test(held, risk).__getitem__)
    least = lambda: float(band_upper(plan.held, delta, s.binary).min())  # noqa: E731
    return replace(plan, scan_from=least)  # where to start depends on the target: see all


def betting(s: Splits, target: float, delta: float) -> Plan:
    """The same sequence, tested by betting on rows, or on means of groups, shuffled."""

    def p_values(held: Counts, grid: Array, risk: float) -> Callable[[int], float]:
        return lambda i: betting_p_value(_bets(s, grid[i], risk), risk, delta=delta)

    plan = _sequence(s, target, delta, p_values)
    return replace(plan, bets=lambda i: written(_bets(s, plan.grid[i], target)))


def recheck_betting(g: Guarantee) -> tuple[float, float]:
    """Return what the recorded bets win, which must be those of the counted losses."""
    bets = read(g.bets)
    noise = ROUNDING * max(g.errors, 1)
    below = bets.size * (1 / UNIT + NOISE / STEPS) + noise  # the sum is rounded up, too
    above = bets.size / STEPS + noise
    if bets.size != g.accepted or not -below < bets.sum() - g.errors < above:
        raise InputError(
            f"expected `bets` on the {g.accepted} accepted losses, whose sum is {g.errors:g}, got "
            f"{bets.size} of sum {bets.sum():g}"
        )
    return betting_p_value(bets, g.target_risk, delta=g.spent), g.spent


def random_walk(s: Splits, target: float, delta: float) -> Plan:
    """The largest coverage under a boundary that a walk of errors meets with probability delta.

    Or in a chain of ranks from a fixed one on (`walk`), which spends a part of delta.
    """
    check_zero_one(s.loss)
    if (n := s.confidence.size) > LONGEST_WALK:
        raise InputError(f"expected at most {LONGEST_WALK:,} rows for random_walk, got {n:,}")
    grid = thresholds_between(s.confidence)
    held = counts(s.confidence, s.loss, grid)
    allowed = Counts(*(column[grid >= s.floor] for column in held))
    in_order = cache(lambda: np.cumsum(_in_order(s)))

    def choose(risk: float) -> int | None:
        if not allowed.accepted.size:
            return None
        least = binomial_p_value(allowed.errors, allowed.accepted, risk).min()
        chain = has_chain(n, risk) and may_chain(in_order(), risk, delta)
        if least > delta or (not chain and cannot_pass(n, risk, delta, least)):
            return None
        found = walk(n, risk, delta)
        passed = found.passes(held.accepted, held.errors)
        if found.chain is not None:
            last = found.chained(in_order())
            passed |= (held.accepted >= found.first) & (held.accepted <= last)
        return _last(passed & (grid >= s.floor))

    level = walk(n, target, delta).level
    least = lambda: float(band_upper(allowed, delta, binary=True).min(initial=1.0))  # noqa: E731
    return Plan(grid, held, held, n, level, least, choose, alike=delta)


def _in_order(s: Splits) -> Int[Array, " n"]:
    """Return the errors of rows in descending confidence, those of one confidence shuffled."""
    order = np.lexsort((s.loss, -s.confidence))
    tie = np.random.default_rng(0).random(order.size)  # the order of rows in the file is nothing
    order = order[np.lexsort((tie, -s.confidence[order]))]
    return s.loss[order].astype(np.int64)


def recheck_random_walk(g: Guarantee) -> tuple[float, float]:
    """What version 0.1 deployed passes, too.

    It had no chain and spent all of delta on the boundary. That boundary lies under the limits of
    the chain at every rank, so they are taken before `first`, too. Its long walks rose at every
    rank: they are asked how often they pass at their own p-value.
    """
    if g.n > LONGEST_WALK:
        raise InputError(f"expected at most {LONGEST_WALK:,} rows for random_walk, got {g.n:,}")
    p, found = _p_value(g), walk(g.n, g.target_risk, g.spent)
    within = bool(found.passes(g.accepted, g.errors))
    if found.chain is not None:
        within |= g.accepted > 0 and bool(g.errors <= found.chain[g.accepted - 1])
    if within or not EVERY_RANK < g.n <= LONGEST_0_1:
        return p, p if within else found.level
    rank = np.arange(1, g.n + 1)
    boundary = walk_boundary(rank, g.target_risk, max(p * (1 + ROUNDING), LEAST))
    return crossing_probability(rank, boundary, g.target_risk), g.spent


def bonferroni(s: Splits, target: float, delta: float) -> Plan:
    """The largest coverage among ranks fixed beforehand that passes at delta / their number."""
    test, n = mean_test(s.binary), s.confidence.size
    grid = thresholds_above_ranks(s.confidence, RANKS)
    held = counts(s.confidence, s.loss, grid)

    def choose(risk: float) -> int | None:
        return _last((test(held, risk) <= delta / RANKS) & (grid >= s.floor))

    return Plan(grid, held, held, n, delta / RANKS, lambda: target, choose)


def band(s: Splits, target: float, delta: float) -> Plan:
    """The largest coverage whose limit, valid for a band of thresholds at once, is low enough."""
    grid = band_grid(s.confidence, None if s.tune is None else s.tune[0], POINTS)
    held, n = counts(s.confidence, s.loss, grid), s.confidence.size
    seen, n_seen = (held, n) if s.tune is None else (counts(*s.tune, grid), s.tune[0].size)
    upper = band_upper(held, delta / POINTS, is_binary(s.loss))

    def choose(risk: float) -> int | None:
        return _last((upper <= risk) & (grid >= s.floor))

    least = lambda: float(upper[grid >= s.floor].min(initial=1.0))  # noqa: E731
    return Plan(grid, held, seen, n_seen, delta / POINTS, least, choose)


def band_grid(
    confidence: Float32[Array, " n"], tune: Float32[Array, " t"] | None, points: int
) -> Float32[Array, " m"]:
    """Thresholds of a band: from the tuning split, or ranks without their boundary point."""
    if tune is None:
        return thresholds_above_ranks(confidence, points)
    return thresholds_between(tune, points)


def band_upper(held: Counts, level: float, binary: bool) -> Float[Array, " m"]:
    """The limit of each threshold, at the level of one."""
    limit = clopper_pearson_upper if binary else hoeffding_bentkus_upper
    return limit(held.errors, held.accepted, level)


def sgr(s: Splits, target: float, delta: float) -> Plan:
    """Geifman and El-Yaniv's binary search over ranks, as published, with exact counts.

    Each of its ceil(log2 n) tests is at delta / ceil(log2 n). Which ranks it tests depends
    on the outcomes before, and the union bound over the ranks that it happens to test is not
    a proof. Simulations (`docs/thresholds.md`) show no violation above delta.

    References:
        Geifman & El-Yaniv, NeurIPS 2017, algorithm 2.
    """
    check_zero_one(s.loss)
    ranked = np.sort(finite(s.confidence))
    grid, n = np.unique(ranked)[::-1], ranked.size
    held = counts(s.confidence, s.loss, grid)
    level = delta / _steps(n)
    group = np.searchsorted(-grid, -ranked)  # of each rank, from below

    def choose(risk: float) -> int | None:
        def passes(i: int) -> bool:
            return bool(binomial_p_value(held.errors[i], held.accepted[i], risk) <= level)

        return _bisect(passes, group)

    return Plan(grid, held, held, n, level, lambda: target, choose)


class Method(NamedTuple):
    """How a method chooses, what it assumes besides i.i.d. rows, and how counts are re-checked."""

    plan: Callable[[Splits, float, float], Plan]
    recheck: Callable[[Guarantee], tuple[float, float]]  # (p-value, level) of what is recorded
    assumptions: tuple[str, ...] = ()


def at(level: Callable[[Guarantee], float]) -> Callable[[Guarantee], tuple[float, float]]:
    """Return the re-check of a method whose single tests are at this level."""
    return lambda g: (_p_value(g), level(g))


METHODS: dict[str, Method] = {
    "fixed_sequence": Method(fixed_sequence, at(lambda g: g.spent)),
    "random_walk": Method(random_walk, recheck_random_walk),
    "bonferroni": Method(bonferroni, at(lambda g: g.spent / RANKS)),
    "band": Method(band, at(lambda g: g.spent / (g.points or POINTS))),
    "betting": Method(betting, recheck_betting),
    "sgr": Method(sgr, at(lambda g: g.spent / _steps(g.n)), (ADAPTIVE_SEARCH_UNPROVED,)),
}


def default_method(s: Splits) -> str:
    """The method of "auto"."""
    if s.tune is not None:
        return "fixed_sequence" if s.binary and s.groups is None else "betting"
    walks = s.binary and s.confidence.size <= LONGEST_BY_DEFAULT
    return "random_walk" if walks else "bonferroni"


def mean_test(binary: bool) -> PValue:
    """Exact for counted errors, Hoeffding-Bentkus for summed losses."""
    bound = binomial_p_value if binary else hoeffding_bentkus_p_value
    return lambda held, risk: bound(held.errors, held.accepted, risk)


def _p_value(g: Guarantee) -> float:
    return float(binomial_p_value(g.errors, g.accepted, g.target_risk))


def _sequence(
    s: Splits,
    target: float,
    delta: float,
    p_values: Callable[[Counts, Array, float], Callable[[int], float]],
) -> Plan:
    if s.tune is None:
        raise InputError("expected `tune` data for methods fixed_sequence and betting, got none")
    grid = thresholds_between(s.tune[0], THRESHOLDS)
    seen, held = counts(*s.tune, grid), counts(s.confidence, s.loss, grid)
    n, n_tune = s.confidence.size, s.tune[0].size
    independent = n if s.groups is None else int(s.groups.max()) + 1

    def choose(risk: float) -> int | None:
        p_value, index = p_values(held, grid, risk), None
        for i in range(_start(seen, n_tune, independent, risk), grid.size):
            if p_value(i) > delta:
                break
            index = i
        return index

    return Plan(grid, held, seen, n_tune, delta, lambda: target, choose, alike=ALIKE * delta)


def _start(seen: Counts, n_tune: int, n: int, target: float) -> int:
    """Where n examples can be expected to pass most clearly.

    Expected counts are scaled to the calibration split: the p-values of a tuning split many times
    larger would start at a coverage that holds too few calibration rows to pass.
    """
    accepted = seen.accepted * (n / n_tune)
    return int(np.argmin(tail(accepted * seen.risk(), accepted, target)))


def _bets(s: Splits, threshold: float, risk: float) -> Float[Array, " b"]:
    """Return bets in their order: accepted losses, or group means of a (l - risk) + risk."""
    accepted = s.confidence >= threshold
    if s.groups is None:
        return rounded_up(ordered(s.loss[accepted], s.seed))
    gain = np.bincount(s.groups, accepted * (s.loss - risk)) / np.bincount(s.groups)
    return rounded_up(ordered(np.clip(gain + risk, 0, 1), s.seed))  # of rounding


def _last(passes: Array) -> int | None:
    passing = np.flatnonzero(passes)
    return int(passing[-1]) if passing.size else None


def _bisect(passes: Callable[[int], bool], group: Int[Array, " n"]) -> int | None:
    """SGR's search over ranks: the last group of ties that passed."""
    low, high, index = 0, group.size - 1, None
    for _ in range(_steps(group.size) + 1):
        middle = -(-(low + high) // 2)
        if passes(int(group[middle])):
            high, index = middle, int(group[middle])
        else:
            low = middle
    return index


def _steps(n: int) -> int:
    return max(1, int(np.ceil(np.log2(n))))
