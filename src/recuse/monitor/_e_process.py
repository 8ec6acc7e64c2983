"""E-processes: bets that a rate is above a limit, on losses that may become known late.

n = 0-1 losses in a fixed order, e = those of 1, m = bets, s = starts, one every `SPACING` losses,
b = losses that come together, u = errors after the first unknown loss; or, where rows come in
groups, n = groups, each with the mean of its rows.

A bet is a log odds ratio, fixed before any data: the loss x multiplies its wealth by
exp(lift x) / (1 - rate + rate exp(lift)), on average by at most 1 while the mean of each loss,
given those before it, is at most `rate`. An average of wealths is a test supermartingale: it
ever reaches 1 / level with probability <= level (Ville).

An unknown loss counts as 0, which can only lower the e-value of each prefix. So however labels
are delayed, the e-value is at most that of all labels. It never falls again.
"""

from __future__ import annotations

import math
from array import array
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from recuse._internal.bisect import bisect

if TYPE_CHECKING:
    from jaxtyping import Float, Int
    from numpy import ndarray as Array

LIFTS = 2.0 ** np.arange(1, -8, -1)  # log odds ratios: 2, 1, 1/2, ..., 1/128
LIFTS_OF_MEANS = np.r_[4.0, LIFTS]  # a mean over rows, some of them abstained, is rarely large
SPACING = 100
SPACING_OF_MEANS = 20  # a subgroup has few groups
STEP = 1024 * SPACING  # losses in one pass over arrays
UNKNOWN = -1


class Wealth(NamedTuple):
    """Wealth of the bets after some losses; start j = 1, 2, ... has weight 1 / (j (j + 1))."""

    at: int  # losses seen
    log: tuple[float, ...]  # (m,) log of each bet's weighted wealth, summed over the starts
    best: float  # the largest log e-value so far


NOTHING = Wealth(0, (-math.inf,) * len(LIFTS), 0.0)
NOTHING_OF_MEANS = Wealth(0, (-math.inf,) * len(LIFTS_OF_MEANS), 0.0)


def advance(wealth: Wealth, errors: Int[Array, " e"], end: int, rate: float) -> Wealth:
    """Return the wealth after the losses up to `end`, and the largest e-value on the way.

    All starts of one bet grow alike, so one number holds their sum, and n losses take time O(n).
    The e-value falls at each loss of 0, so its maxima are just after errors.

    Args:
        wealth: Wealth to continue from.
        errors: Positions of the losses of 1 in [wealth.at, end), increasing; the others are 0.
        end: Number of losses seen afterwards.
        rate: Limit to bet against, in (0, 1].

    References:
        Shafer, JRSS A 2021 (testing by betting); Waudby-Smith & Ramdas, JRSS B 2024.

    >>> start = advance(NOTHING, np.array([0, 1, 2]), 3, 0.05)
    >>> round(math.exp(start.best), 1)  # three errors in a row, at a limit of 5 %
    11.8
    """
    while wealth.at < end:
        stop = min(wealth.at + STEP, end)
        here, errors = np.split(errors, [int(np.searchsorted(errors, stop))])
        wealth = _advance(wealth, here, stop, rate)
    return wealth


def _advance(wealth: Wealth, errors: Array, end: int, rate: float) -> Wealth:
    price = np.log1p(rate * np.expm1(LIFTS))  # paid for each loss

    def grown(count: Array, position: Array) -> Float[Array, "n m"]:
        return count[:, None] * LIFTS - (position - wealth.at)[:, None] * price

    starts = np.arange(-(-wealth.at // SPACING) * SPACING, end, SPACING)
    j = starts / SPACING + 1
    stakes = -np.log(j * (j + 1))[:, None] - grown(np.searchsorted(errors, starts), starts)
    held = np.logaddexp.accumulate(np.vstack([wealth.log, stakes]))  # worth at wealth.at
    after = grown(np.arange(1, errors.size + 1), errors + 1)
    after += held[np.searchsorted(starts, errors, side="right")]
    to_come = -np.log(errors // SPACING + 2.0)  # the weight of the starts that lie ahead
    value = np.logaddexp(np.logaddexp.reduce(after, axis=1) - math.log(LIFTS.size), to_come)
    last = grown(np.array([errors.size]), np.array([end]))[0] + held[-1]
    return Wealth(end, tuple(last.tolist()), float(value.max(initial=wealth.best)))


def advance_by_means(wealth: Wealth, excess: Float[Array, " n"], rate: float) -> Wealth:
    """Return the wealth after groups of rows, and the largest e-value on the way.

    A row with the loss l multiplies a bet by 1 + s (l - rate) if it counts, and by 1 if not, where
    s = expm1(lift) / (1 - rate + rate exp(lift)). A group multiplies it by the mean of that over
    its rows: at most 1 on average, if a row drawn from the next group has a mean of at most
    `rate` where it counts. With one counted row in each group, this is `advance`, with one more
    bet.

    Args:
        wealth: Wealth to continue from; `at` counts groups.
        excess: Of each group, the sum of l - rate over the rows that count / all its rows.
        rate: Limit to bet against, in (0, 1].

    >>> by_means = advance_by_means(NOTHING_OF_MEANS, np.full(3, 1 - 0.05), 0.05)
    >>> round(math.exp(by_means.best), 1)  # three groups in a row whose rows are all wrong
    174.0
    """
    for part in np.split(excess, range(STEP, excess.size, STEP)):
        wealth = _advance_by_means(wealth, part, rate)
    return wealth


def _advance_by_means(wealth: Wealth, excess: Array, rate: float) -> Wealth:
    stake = np.expm1(LIFTS_OF_MEANS) / (1 + rate * np.expm1(LIFTS_OF_MEANS))
    grown = np.cumsum(np.log1p(excess[:, None] * stake), axis=0)
    total = np.vstack([np.zeros(stake.size), grown])
    end, position = wealth.at + excess.size, wealth.at + np.arange(excess.size)
    starts = np.arange(-(-wealth.at // SPACING_OF_MEANS) * SPACING_OF_MEANS, end, SPACING_OF_MEANS)
    j = starts / SPACING_OF_MEANS + 1
    stakes = -np.log(j * (j + 1))[:, None] - total[starts - wealth.at]
    held = np.logaddexp.accumulate(np.vstack([wealth.log, stakes]))  # worth at wealth.at
    after = grown + held[np.searchsorted(starts, position, side="right")]
    to_come = -np.log(position // SPACING_OF_MEANS + 2.0)  # the weight of the starts that lie ahead
    value = np.logaddexp(np.logaddexp.reduce(after, axis=1) - math.log(stake.size), to_come)
    last = total[-1] + held[-1]
    return Wealth(end, tuple(last.tolist()), float(value.max(initial=wealth.best)))


def lower_limit(errors: int, n: int, level: float) -> float:
    r"""Lower confidence limit of the mean risk, valid at all n = 1, 2, ... together.

    It is the smallest rate that the bets of one start do not reject. With probability
    >= 1 - level it bounds $\frac1n\sum_i E[x_i | x_1..x_{i-1}]$ from below, which may change
    arbitrarily over time.

    Args:
        errors: Among the first n losses, 0 <= errors <= n.
        n: Losses; 0 gives the limit 0.
        level: In (0, 1).

    References:
        Robbins, Ann. Math. Stat. 1970; Howard et al., Ann. Stat. 2021 (sub-Bernoulli case).

    >>> lower_limit(0, 50, 0.05), 0.05 < lower_limit(60, 600, 0.05) < 0.1
    (0.0, True)
    """
    low, high = 0.0, errors / n if n else 0.0
    if _log_e(errors, n, 0.0) < -math.log(level):
        return 0.0

    def holds(rate: float) -> bool:
        return _log_e(errors, n, float(rate)) < -math.log(level)

    return float(bisect(holds, low, high)[0])


def risk_interval(errors: int, pending: int, n: int, delta: float) -> tuple[float, float]:
    """Confidence sequence: contains the mean risk at all n together with probability >= 1 - delta.

    Pending labels may turn out either way: they count as right for the lower limit and as wrong
    for the upper one.

    Args:
        errors: Known ones.
        pending: Number of the n losses that are not known.
        n: Accepted predictions, in an order fixed before their losses were known.
        delta: In (0, 1), split evenly between the two sides.

    >>> low, high = risk_interval(50, 0, 1000, 0.05)
    >>> round(low, 3), round(high, 3)
    (0.03, 0.076)
    >>> risk_interval(0, 0, 0, 0.05)
    (0.0, 1.0)
    """
    right = n - errors - pending
    return lower_limit(errors, n, delta / 2), 1 - lower_limit(right, n, delta / 2)


def _log_e(errors: int, n: int, rate: float) -> float:
    """Log of the average wealth of the bets of one start after n losses."""
    log = errors * LIFTS - n * np.log1p(rate * np.expm1(LIFTS))
    return float(np.logaddexp.reduce(log)) - math.log(LIFTS.size)


class EProcess:
    """Largest e-value against "the mean loss is at most `rate`" over all prefixes.

    The leading blocks of `SPACING` known losses are reduced to a `Wealth`. For the rest, the
    positions of errors are kept.
    """

    def __init__(
        self,
        rate: float,
        wealth: Wealth = NOTHING,
        n: int = 0,
        errors: Int[Array, " u"] | None = None,
        unknown: Int[Array, " b"] | None = None,
    ):
        self.rate, self.n, self._wealth = rate, n, wealth
        self._errors = array("q", [] if errors is None else errors.tolist())
        self._waiting: dict[int, int] = {}  # block -> unknown losses in it
        self._frontier = wealth.at // SPACING  # first block with an unknown loss
        if unknown is not None:
            self._wait(unknown, 1)
        self._log_e: float | None = None

    def append(self, loss: Int[Array, " b"]) -> Int[Array, " b"]:
        """Add losses 0, 1 or `UNKNOWN` at the end and return their positions."""
        position = np.arange(self.n, self.n + loss.size)
        self.n += loss.size
        self._wait(position[loss == UNKNOWN], 1)
        self._know(position[loss == 1])
        return position

    def settle(self, position: Int[Array, " b"], loss: Int[Array, " b"]) -> None:
        """Record losses that were unknown."""
        self._wait(position, -1)
        self._know(position[loss == 1])

    @property
    def log_e(self) -> float:
        """Log of the largest e-value of a prefix; 0 at the start."""
        if self._log_e is None:
            wealth, errors = self.folded()
            self._log_e = advance(wealth, errors, self.n, self.rate).best
        return self._log_e

    def folded(self) -> tuple[Wealth, Int[Array, " u"]]:
        """Return the wealth of the known blocks, and the positions of later errors in order."""
        known = self._known()
        errors = np.sort(np.array(self._errors, np.int64))
        done, rest = np.split(errors, [int(np.searchsorted(errors, known))])
        if known > self._wealth.at:
            self._wealth = advance(self._wealth, done, known, self.rate)
            self._errors = array("q", rest.tolist())
        return self._wealth, rest

    def _know(self, errors: Array) -> None:
        self._log_e = None
        self._errors.frombytes(errors.astype(np.int64).tobytes())
        if self._known() - self._wealth.at >= STEP:
            self.folded()

    def _known(self) -> int:
        while (self._frontier + 1) * SPACING <= self.n and self._frontier not in self._waiting:
            self._frontier += 1
        return self._frontier * SPACING

    def _wait(self, position: Array, sign: int) -> None:
        for block, count in zip(*np.unique(position // SPACING, return_counts=True)):
            left = self._waiting.pop(int(block), 0) + sign * int(count)
            if left:
                self._waiting[int(block)] = left
