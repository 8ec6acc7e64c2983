"""The bootstrap: sort once, then weigh.

n = examples, B = replicates. What is drawn as one, an example or a group, is a unit.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from recuse import _kernels
from recuse._internal.check import (
    check_confidence,
    check_count,
    check_fraction,
    check_groups,
    check_loss,
    check_seed,
)
from recuse.curves._areas import harmonic
from recuse.errors import InputError
from recuse.intervals._influence import by_confidence, effective_errors, group_sums
from recuse.intervals._interval import (
    AURC,
    LEVEL,
    Interval,
    Measure,
    Term,
    described,
    moves,
    quantile,
)
from recuse.intervals._total import total

if TYPE_CHECKING:
    from jaxtyping import Float, Int, UInt8, UInt32
    from numpy import ndarray as Array
    from numpy.typing import ArrayLike

REPLICATES = 1000
BLOCK = 50  # replicates of one generator
FEWEST_POISSON = 20  # P(all weights are 0) = 2e-9
SECONDS = 4e-8  # a row of a replicate, by NumPy
SPREADS = 16  # standard deviations that the sum of the weights never exceeds


@dataclass(frozen=True, eq=False)
class Bootstrap:
    """Replicates of a measure, and the intervals that they give."""

    measure: Measure
    value: float
    replicates: Float[Array, " B"] = field(repr=False)
    n: int
    errors: float  # effective number, as in `Interval`
    influences: Callable[[], Float[Array, " n"]] = field(repr=False)
    groups: ArrayLike | None = field(repr=False)

    @property
    def standard_error(self) -> float:
        """Standard deviation of the replicates."""
        return float(np.std(self.replicates, ddof=1))

    def percentile(self, level: float = LEVEL) -> Interval:
        """Return the interval between two quantiles of the replicates."""
        tail = (1 - check_fraction(level, "level")) / 2
        return self._between(tail, 1 - tail, level)

    def bca(self, level: float = LEVEL) -> Interval:
        """Return the interval with quantiles corrected for bias and skewness (Efron, JASA 1987)."""
        from scipy.special import ndtr, ndtri

        z, b = quantile(check_fraction(level, "level")), self.replicates
        below = (np.mean(b < self.value) + np.mean(b <= self.value)) / 2
        if not 0 < below < 1:
            return self._between(np.nan, np.nan, level)
        sums = self.influences()
        sums = sums if self.groups is None else group_sums(sums, self.groups)
        squares = total(sums**2)
        acceleration = total(sums**3) / 6 / squares**1.5 if squares > 0 else 0.0
        shifted = ndtri(below) + np.array([-z, z])
        tails = ndtr(ndtri(below) + shifted / (1 - acceleration * shifted))
        return self._between(*tails, level)

    def _between(self, lower: float, upper: float, level: float) -> Interval:
        low = high = float("nan")
        if not np.isnan(lower) and moves(self.value, self.standard_error):
            low, high = (float(q) for q in np.quantile(self.replicates, [lower, upper]))
        bounds, error = (low, self.value, high), self.standard_error
        return described(self.measure, bounds, error, level, self.n, self.errors)


def bootstrap(
    confidence: ArrayLike,
    loss: ArrayLike,
    measure: Measure = AURC,
    *,
    replicates: int = REPLICATES,
    weights: str = "multinomial",
    groups: ArrayLike | None = None,
    seed: int = 0,
) -> Bootstrap:
    """Resample the examples, or whole groups of them, with replacement.

    Copies of an example are not tied: they count one after the other. The same seed gives the
    same replicates in any order of the input.

    Args:
        confidence: Shape (n,).
        loss: Shape (n,).
        measure: As in `interval`.
        replicates: Number of replicates.
        weights: "multinomial" draws as many examples as there are; "poisson" draws a Poisson
            number of them, so that the weights are independent.
        groups: Shape (n,): rows of equal value are drawn together.
        seed: Random seed, >= 0.

    Raises:
        InputError: Malformed input.

    References:
        Efron, Annals of Statistics 1979; Hanley & MacGibbon, CMPB 2006 (Poisson weights).

    >>> found = bootstrap(range(100), [1] * 10 + [0] * 90, replicates=200)
    >>> found.percentile().low < found.value < found.percentile().high
    True
    """
    c = check_confidence(confidence)
    l = check_loss(loss, c.size)
    drawn = resampled(measure.terms(1, c, l), measure, replicates, weights, groups, seed)
    errors, influences = effective_errors(l, groups), partial(measure.influence, c, l)
    return Bootstrap(measure, measure.value(c, l), drawn, c.size, errors, influences, groups)


def resampled(
    terms: Sequence[Term],
    measure: Measure,
    replicates: int,
    weights: str,
    groups: ArrayLike | None,
    seed: int,
) -> Float[Array, " B"]:
    """Return B values of the signed sum of a measure over terms, all with the same weights."""
    if weights not in ("multinomial", "poisson"):
        raise InputError(f"expected `weights` 'multinomial' or 'poisson', got {weights!r}")
    seed, unit = check_seed(seed), units(terms, groups)
    size = np.bincount(unit)
    if weights == "poisson" and size.size < FEWEST_POISSON:
        raise InputError(
            f"expected at least {FEWEST_POISSON} examples or groups for Poisson weights, which "
            f"may all be 0, got {size.size}: use 'multinomial'"
        )
    out = np.empty(check_count(replicates, "replicates", least=2))
    seconds = SECONDS * out.size * unit.size * len(terms)
    draw, value, kind = _way(measure.kind, seconds)
    h = harmonic(int(unit.size + SPREADS * np.sqrt(np.sum(size**2))))
    work = [(sign, by_unit(c, l, unit)) for sign, c, l in terms]
    w, total = np.empty(size.size, np.uint8), np.zeros(unit.size + 1, np.int64)
    for first in range(0, out.size, BLOCK):
        rng = np.random.Generator(np.random.SFC64([seed, first]))
        for b in range(first, min(first + BLOCK, out.size)):
            count = int(rng.poisson(size.size)) if weights == "poisson" else size.size
            bits = rng.integers(0, 2**64, (count + 1) // 2, np.uint64).view(np.uint32)
            draw(bits[:count], w)
            what = h, kind, measure.level, total
            out[b] = sum(sign * value(w, *rows, *what) for sign, rows in work)
    return out


def _way(kind: str, seconds: float) -> tuple[Callable, Callable, str | int]:
    """Return `draw`, `measured` and the kind of a measure, or the loops of numba."""
    if not _kernels.repays(seconds):
        return draw, measured, kind
    from recuse._kernels import curves as kernel

    return kernel.draw, kernel.measure, getattr(kernel, kind.upper())


def draw(bits: UInt32[Array, " b"], w: UInt8[Array, " u"]) -> None:
    """Write how often each unit is drawn, one by each 32-bit number."""
    chosen = (bits.astype(np.uint64) * np.uint64(w.size)) >> np.uint64(32)
    w[:] = np.bincount(chosen.astype(np.int64), minlength=w.size)


def measured(
    w: UInt8[Array, " u"],
    unit: Int[Array, " n"],
    loss: Float[Array, " n"],
    start: Int[Array, " t"],
    end: Int[Array, " t"],
    ends: Int[Array, " k"],
    h: Float[Array, " m"],
    kind: str,
    level: float,
    total: Int[Array, " n+1"],
) -> float:
    """Return what `_kernels.curves.measure` does."""
    copies, tie = w[unit], np.zeros(unit.size, np.int64)
    np.cumsum(copies, dtype=np.int64, out=total[1:])
    tie[start] = 1
    cost = np.bincount(np.cumsum(tie), copies * loss, start.size + 1)  # first: before all ties
    n, a, b = int(total[-1]), total[start], total[end]
    if kind == "aurc":
        spread = b * (h[n] - h[b] + 1) - a * (h[n] - h[a] + 1)
        return _in_order(cost[1:] / np.maximum(b - a, 1) * spread) / n
    if kind == "augrc":
        return _in_order(cost[1:] * (n - 0.5 * (a + b - 1))) / n / n
    if kind == "risk_at_coverage":
        accepted = total[ends]
        k = int(accepted[np.argmax(accepted / n >= level)])
        return _in_order(cost[1:][b <= k]) / k
    summed = np.cumsum(cost)
    if summed[-1] / n <= level:
        return 1.0
    before = a[(b > a) & (a > 0) & (summed[:-1] / np.maximum(a, 1) <= level)]
    return int(before.max(initial=0)) / n


def _in_order(terms: Float[Array, " t"]) -> float:
    """Return the sum, added up as a loop does."""
    return float(np.cumsum(terms)[-1]) if terms.size else 0.0


def units(terms: Sequence[Term], groups: ArrayLike | None) -> Int[Array, " n"]:
    """Return what is drawn as one: groups, or rows, in an order that the input does not fix."""
    if groups is not None:
        return check_groups(groups, terms[0][1].size)
    unit = np.empty(terms[0][1].size, np.int64)
    unit[np.lexsort([x for _, c, l in terms for x in (c, l)])] = np.arange(unit.size)
    return unit


def by_unit(
    confidence: Float[Array, " n"], loss: Float[Array, " n"], unit: Int[Array, " n"]
) -> tuple[Array, ...]:
    """Return what the loop reads: sorted rows, and the ties with a loss."""
    s = by_confidence(confidence, loss)
    lossy, ends = np.add.reduceat(s.loss, s.start) > 0, s.start + s.count
    return unit[s.order].astype(np.int32), s.loss, s.start[lossy], ends[lossy], ends
