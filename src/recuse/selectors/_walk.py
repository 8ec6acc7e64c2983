"""Walks of errors: W_k among k Bernoulli(risk) predictions, and where so few of them are lucky.

n = steps, m = ranks at which the boundary may rise. `docs/every-rank.md` proves why such a walk
decides for the errors of calibration rows, at every rank at once.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from recuse._internal.bisect import bisect
from recuse.bounds import smallest_error_free_sample
from recuse.bounds._binomial import tail

if TYPE_CHECKING:
    from jaxtyping import Float, Int
    from numpy import ndarray as Array
    from numpy.typing import ArrayLike

EVERY_RANK = 10_000  # steps up to which the boundary rises at any of them
RANKS = 500  # at which it rises in longer walks, at equal distances
FEW, FEWEST = 10, 16  # more of them, before the first of those, and the least
CHAINED = 50  # expected errors from which a chain pays
SHARE = 0.8  # of delta, for the boundary beside a chain
BEFORE_CHAIN = 3  # times the smallest sample without an error that could pass
NEVER = 1e-18  # probabilities that are left out
PRUNED = 16  # ranks until they are
DIRECT = 1 << 22  # multiplications of a convolution, beyond which Fourier transforms are faster
WIDTH, HALVINGS = 12, 11  # of the search for a logarithm of a level: to 0.6 %
START = 2.5  # below the logarithm of delta, where it begins
SECANTS, CLOSE = 6, 0.02  # steps before that, and how close two of them are at the end
KEPT = 1 << 14  # targets and numbers of rows of which a level is remembered
TINY = 1e-300  # least probability
ROUNDING = 1e-9  # relative: another machine's last bits


class Walk(NamedTuple):
    """What passes: so few errors, among so many accepted rows."""

    rank: Int[Array, " m"]  # increasing
    most: Int[Array, " m"]  # errors under the boundary, from this rank to the next; -1: none
    level: float  # of a single rank: P(Bin(rank, risk) <= most) <= level
    # errors in an unbroken chain, from the rank `first` on; None: no chain
    chain: Int[Array, " n"] | None = None
    first: int = 0

    def passes(self, accepted: ArrayLike, errors: ArrayLike) -> Array:
        """Return whether so many errors among the accepted are under the boundary."""
        at = np.searchsorted(self.rank, accepted, side="right")
        return np.asarray(errors) <= np.r_[-1, self.most][at]

    def chained(self, errors: Int[Array, " n"]) -> int:
        """Return the last rank of the chain, from the errors among the first 1, ..., n rows."""
        if self.chain is None or self.first > errors.size:
            return 0
        broken = np.flatnonzero(errors[self.first - 1 :] > self.chain[self.first - 1 :])
        return self.first + int(broken[0]) - 1 if broken.size else errors.size


@lru_cache(maxsize=64)
def walk(n: int, risk: float, delta: float) -> Walk:
    """The walk that n calibration rows are held against: it passes with probability <= delta.

    Up to 10,000 rows the boundary may rise at every rank. From 50 expected errors on it spends
    .8 delta, and a chain the rest: for each rank its limit c is the largest with
    P(the walk is under the boundary somewhere, or W_rank <= c) <= delta. Ranks are tested in
    their order until the first failure, so that only one of them, the first with a risk above
    the target, can pass wrongly.

    Longer walks may rise at some 500 ranks alone. Between two of them the boundary stands still,
    which costs nothing: W_k does not fall.

    >>> few = walk(300, 0.05, 0.05)
    >>> few.passes([58, 150, 300], [0, 0, 0]).tolist(), few.chain is None
    ([False, True, True], True)
    >>> walk(1000, 0.05, 0.05).first
    177
    """
    rank, chained = ranks_of(n), has_chain(n, risk)
    level = _level(n, risk, SHARE * delta if chained else delta)
    most = walk_boundary(rank, risk, level)
    if not chained:
        return Walk(rank, most, level)
    return Walk(rank, most, level, chain_limits(most, risk, delta), first_of_chain(risk, delta))


def has_chain(n: int, risk: float) -> bool:
    """Whether a chain pays."""
    return CHAINED / risk <= n <= EVERY_RANK


def cannot_pass(n: int, risk: float, delta: float, p_value: float) -> bool:
    """Whether a boundary low enough for this p-value is crossed too often.

    It takes one probability where `walk` takes some ten, and targets are tried by the dozen.

    >>> cannot_pass(300, 0.05, 0.05, 0.04), cannot_pass(300, 0.05, 0.05, 0.001)
    (True, False)
    """
    known = _known_levels(n, risk, delta)
    if known[0] < p_value < known[1]:
        rank, spent = ranks_of(n), SHARE * delta if has_chain(n, risk) else delta
        crossed = crossing_probability(rank, walk_boundary(rank, risk, p_value), risk)
        known[crossed > spent] = p_value
    return p_value >= known[1]


def may_chain(errors: Int[Array, " n"], risk: float, delta: float) -> bool:
    """Whether the errors among the first rows are few enough for a chain to begin.

    The limit of its first rank is no larger than that of a binomial test at delta.
    """
    first = first_of_chain(risk, delta)
    if first > errors.size:
        return False
    return bool(tail(errors[first - 1], first, risk) <= delta * (1 + ROUNDING))


def first_of_chain(risk: float, delta: float) -> int:
    """Where a chain begins."""
    return BEFORE_CHAIN * smallest_error_free_sample(risk, delta)


@lru_cache(maxsize=KEPT)
def _known_levels(n: int, risk: float, delta: float) -> list[float]:
    """A level that is crossed rarely enough and one that is not, which `cannot_pass` narrows.

    Many scores and subgroups of one size ask for the same targets.
    """
    return [0.0, math.inf]


def ranks_of(n: int) -> Int[Array, " m"]:
    """Where the boundary may rise: everywhere; in long walks at equal distances and a few more."""
    if n <= EVERY_RANK:
        return np.arange(1, n + 1)
    even = np.arange(1, RANKS + 1) * n / RANKS
    few = np.geomspace(FEWEST, n / RANKS, FEW)
    return np.unique(np.ceil(np.r_[few, even]).astype(int))


@lru_cache(maxsize=KEPT)
def _level(n: int, risk: float, delta: float) -> float:
    """Return `walk_level` of so many rows: a number, where `walk` keeps whole boundaries."""
    return walk_level(ranks_of(n), risk, delta)


def walk_level(rank: Int[Array, " m"], risk: float, delta: float) -> float:
    """The level at which a Bernoulli(risk) walk passes with probability <= delta.

    The walk passes if P(Bin(k, risk) <= W_k) <= level for any of the ranks k.

    >>> 0.001 < walk_level(np.arange(1, 1001), 0.05, 0.1) < 0.1
    True
    """
    found: dict[float, float] = {}  # log level: log of the probability over delta

    def excess(log_level: float) -> float:
        if log_level not in found:
            boundary = walk_boundary(rank, risk, math.exp(log_level))
            crossed = crossing_probability(rank, boundary, risk)
            found[log_level] = math.log(max(crossed, TINY) / delta)
        return found[log_level]

    def crosses_too_often(log_level: float) -> bool:
        """Answer from what is known where it can: the probability rises with the level."""
        if any(excess <= 0 and at >= log_level for at, excess in found.items()):
            return False
        if any(excess > 0 and at <= log_level for at, excess in found.items()):
            return True
        return excess(log_level) > 0

    least, largest = math.log(delta) - WIDTH, math.log(delta)
    near = _near_zero(excess, least, largest)
    for end in bisect(lambda x: x > near, least, largest, halvings=HALVINGS):
        excess(float(end))
    low, _ = bisect(crosses_too_often, least, largest, halvings=HALVINGS)
    return float(np.exp(low))


def _near_zero(f: Callable[[float], float], least: float, largest: float) -> float:
    """Return roughly where f, which rises with a slope near 1, is 0: by secants."""
    before = largest - START
    at = min(max(before - f(before), least), largest)
    for _ in range(SECANTS):
        if abs(at - before) < CLOSE:
            break
        slope = (f(at) - f(before)) / (at - before)
        step = f(at) / (slope if slope > 0 else 1.0)
        before, at = at, min(max(at - step, least), largest)
    return at


def walk_boundary(rank: Int[Array, " m"], risk: float, level: float) -> Int[Array, " m"]:
    """The largest e with P(Bin(rank, risk) <= e) <= level; -1 if there is none."""
    if rank[-1] == rank.size:
        return _at_every_rank(rank.size, risk, level)
    below, above = np.full(rank.shape, -1.0), np.ceil(rank * risk) + 1
    halvings = int(np.ceil(np.log2(above.max() + 1))) + 1

    def too_many(e: Array) -> Array:
        return tail(np.floor(e), rank, risk) > level

    low, _ = bisect(too_many, below, above, halvings=halvings)
    return np.floor(low).astype(np.int64)


def _at_every_rank(n: int, risk: float, level: float) -> Int[Array, " n"]:
    """It rises by at most one a step, so the distribution function is updated, not recomputed."""
    right, odds = 1 - risk, risk / (1 - risk)
    boundary = []
    e, mass, below = -1, 0.0, 0.0  # P(Bin(k) = e), P(Bin(k) <= e)
    for k in range(1, n + 1):
        if e < 0:
            following = right**k
        else:
            below -= risk * mass
            mass *= k * right / (k - e)
            following = mass * (k - e) / (e + 1) * odds
        if below + following <= level:
            e, mass, below = e + 1, following, below + following
        boundary.append(e)
    return np.array(boundary, np.int64)


def crossing_probability(rank: Int[Array, " m"], boundary: Int[Array, " m"], risk: float) -> float:
    """P(some W_k <= boundary at k).

    Args:
        rank: Increasing.
        boundary: Integers, not decreasing; -1 where W_k cannot cross.
        risk: In (0, 1).

    The walk can only cross where the boundary rises. Between two rises the distribution of W_k
    over walks that have not crossed is convolved with a binomial.
    """
    rises = np.flatnonzero(np.diff(boundary, prepend=-1))
    steps, lowest = np.diff(rank[rises], prepend=0).tolist(), (boundary[rises] + 1).tolist()
    moves = {step: _binomial(step, risk) for step in set(steps)}
    alive, first, crossed = np.ones(1), 0, 0.0  # P(W_k = first + i, not crossed)
    for i, (step, low) in enumerate(zip(steps, lowest)):
        alive = _convolved(alive, moves[step])
        if low > first:
            crossed += float(alive[: low - first].sum())
            alive, first = alive[low - first :], low
        if i % PRUNED == 0 or not alive.size:
            kept = np.flatnonzero(alive >= NEVER)
            if not kept.size:
                break
            alive, first = alive[kept[0] : kept[-1] + 1], first + int(kept[0])
    return crossed


def _convolved(a: Float[Array, " a"], b: Float[Array, " b"]) -> Float[Array, " c"]:
    if a.size * b.size <= DIRECT:
        return np.convolve(a, b)
    size = a.size + b.size - 1
    padded = 1 << (size - 1).bit_length()
    return np.fft.irfft(np.fft.rfft(a, padded) * np.fft.rfft(b, padded), padded)[:size]


def _binomial(n: int, risk: float) -> Float[Array, " m"]:
    """P(Bin(n, risk) = e) for e = 0.. until it is negligible, from the mode both ways."""
    mode, odds = int((n + 1) * risk), risk / (1 - risk)
    down, up = np.arange(mode, 0, -1), np.arange(mode + 1, n + 1)
    down, up = np.cumprod(down / (n - down + 1) / odds), np.cumprod((n - up + 1) / up * odds)
    mass = np.concatenate((down[::-1], [1.0], up))
    mass /= mass.sum()
    return mass[: np.flatnonzero(mass >= NEVER)[-1] + 1]


def chain_limits(boundary: Int[Array, " n"], risk: float, delta: float) -> Int[Array, " n"]:
    """For each rank k alone the largest c with P(the walk crosses, or W_k <= c) <= delta.

    Args:
        boundary: At the ranks 1, ..., n.
        risk: In (0, 1).
        delta: More than the probability that the walk crosses the boundary.

    Forwards, the distribution of W_k over walks that have not crossed; backwards, the probability
    of crossing later from each W_k.
    """
    states, crossed = [], []  # (first, P(W_k = first + i, not crossed)), P(crossed until k)
    alive, first, gone = np.ones(1), 0, 0.0
    for k, low in enumerate((boundary + 1).tolist()):
        alive = np.r_[alive * (1 - risk), 0.0] + np.r_[0.0, alive * risk]
        if low > first:
            gone += float(alive[: low - first].sum())
            alive, first = alive[low - first :], low
        if k % PRUNED == 0:
            kept = np.flatnonzero(alive >= NEVER)
            alive, first = alive[kept[0] : kept[-1] + 1], first + int(kept[0])
        states.append((first, alive))
        crossed.append(gone)
    limits, later = np.empty(boundary.size, np.int64), np.zeros(alive.size)
    for k in range(boundary.size - 1, -1, -1):
        first, alive = states[k]
        total = crossed[k] + alive @ later + np.cumsum(alive * (1 - later))
        within = np.searchsorted(total, delta * (1 - ROUNDING), side="right")
        limits[k] = first - 1 + within
        if k:
            later = _one_step_earlier(states[k - 1], first, later, int(boundary[k]), risk)
    return limits


def _one_step_earlier(
    state: tuple[int, Array], first: int, later: Array, most: int, risk: float
) -> Float[Array, " s"]:
    """Return P(crossing later) from each W of a state, from that of the rank after it."""
    start, alive = state
    value = np.zeros(alive.size + 1)  # after the step, of W = start, start + 1, ...
    value[: max(most - start + 1, 0)] = 1.0
    at = first - start
    stop = min(value.size, at + later.size)
    value[max(at, 0) : stop] = later[max(-at, 0) : stop - at]
    return (1 - risk) * value[:-1] + risk * value[1:]
