"""The bootstrap: sort once, then draw weights.

n = examples, G = groups of rows drawn together, B = replicates.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from recuse._internal.check import check_confidence, check_fraction, check_groups, check_loss
from recuse.curves import harmonic
from recuse.errors import InputError
from recuse.intervals._influence import Sorted, by_confidence
from recuse.intervals._interval import LEVEL, Interval, described, moves, quantile
from recuse.intervals._measures import AURC, Measure, Term
from recuse.intervals._variance import effective_errors, unit_sums

if TYPE_CHECKING:
    from jaxtyping import Float, Int
    from numpy import ndarray as Array
    from numpy.typing import ArrayLike

REPLICATES = 1000
SPREADS = 16  # standard deviations that the sum of the weights never exceeds
FEWEST_POISSON = 20  # P(all weights are 0) = 2e-9


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
        """The standard deviation of the replicates."""
        return float(np.std(self.replicates, ddof=1))

    def percentile(self, level: float = LEVEL) -> Interval:
        """Between two quantiles of the replicates."""
        tail = (1 - check_fraction(level, "level")) / 2
        return self._between(tail, 1 - tail, level)

    def bca(self, level: float = LEVEL) -> Interval:
        """The same, with quantiles corrected for bias and for a variance that follows the value.

        References:
            Efron, JASA 1987.
        """
        from scipy.special import ndtr, ndtri

        z, b = quantile(check_fraction(level, "level")), self.replicates
        below = (np.mean(b < self.value) + np.mean(b <= self.value)) / 2
        if not 0 < below < 1:
            return self._between(np.nan, np.nan, level)
        bias = ndtri(below)
        shifted = bias + np.array([-z, z])
        skew = acceleration(unit_sums(self.influences(), self.groups))
        tails = ndtr(bias + shifted / (1 - skew * shifted))
        return self._between(*tails, level)

    def _between(self, lower: float, upper: float, level: float) -> Interval:
        if np.isnan(lower) or not moves(self.value, self.standard_error):
            low = high = float("nan")
        else:
            low, high = (float(q) for q in np.quantile(self.replicates, [lower, upper]))
        bounds, error = (low, self.value, high), self.standard_error
        return described(self.measure, bounds, error, level, self.n, self.errors)


class Cells(NamedTuple):
    """Predictions as `_bootstrap_kernels` reads them."""

    loss: Float[Array, " n"]
    start: Int[Array, " j"]
    lossy: Int[Array, " j"]
    end: Int[Array, " j"]
    rate: Float[Array, " j"]
    ends: Int[Array, " k"]


def cells_of(s: Sorted) -> Cells:
    """One cell for each row."""
    ends = s.start + s.count
    lossless = np.add.reduceat(s.loss == 0, s.start, dtype=np.int64)
    has = lossless < s.count
    start, lossy, end = s.start[has], (s.start + lossless)[has], ends[has]
    low, high = s.loss[start], s.loss[end - 1]
    rate = np.where(low == high, high, -1.0)
    return Cells(s.loss, *map(_uint32, (start, lossy, end)), rate, _uint32(ends))


def merge(cells: Cells, largest: int, *, keep_ends: bool) -> tuple[Cells, Int[Array, " m"]]:
    """Fewer cells, and how many rows each holds; alike are rows of one tie and loss.

    Rows without loss are alike beyond their ties, unless a measure depends on these.
    """
    n = cells.loss.size
    edge = np.r_[True, cells.loss[1:] != cells.loss[:-1], True]
    for bounds in (cells.start, cells.end, *([cells.ends] if keep_ends else [])):
        edge[bounds] = True
    run = np.flatnonzero(edge)
    pieces = -(-np.diff(run) // largest)
    nth = np.arange(pieces.sum()) - np.repeat(np.cumsum(pieces) - pieces, pieces)
    row = np.r_[np.repeat(run[:-1], pieces) + nth * largest, n]
    at = np.zeros(n + 1, np.uint32)  # the cell that begins at a row
    at[row] = np.arange(row.size)
    bounds = (at[x] for x in (cells.start, cells.lossy, cells.end))
    ends = at[cells.ends] if keep_ends else at[n:]
    return Cells(cells.loss[row[:-1]], *bounds, cells.rate, ends), np.diff(row)


def bootstrap(
    confidence: ArrayLike,
    loss: ArrayLike,
    measure: Measure = AURC,
    *,
    replicates: int = REPLICATES,
    weights: str = "multinomial",
    groups: ArrayLike | None = None,
    seed: int = 0,
    threads: int = 1,
) -> Bootstrap:
    """Resample the examples, or whole groups of them, with replacement.

    A repeated example is no tie of the population, and the areas treat it as none: copies of one
    example have one loss, whatever their order. The same seed gives the same replicates on every
    machine and for any number of threads.

    Args:
        confidence: Shape (n,).
        loss: Shape (n,).
        measure: As in `interval`.
        replicates: How many.
        weights: "multinomial" draws n examples; "poisson" weighs each by Poisson(1), which is
            faster, and sums to n only on average.
        groups: Shape (n,): rows of equal value are drawn together.
        seed: Of the weights, >= 0.
        threads: To share the work.

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
    terms = measure.terms(1, c, l)
    unit = None if len(terms) == 1 and groups is None else units(terms, groups)
    drawn = resampled(
        terms,
        measure,
        unit,
        replicates=replicates,
        weights=weights,
        seed=seed,
        threads=threads,
    )
    errors, influences = effective_errors(l, groups), partial(measure.influence, c, l)
    return Bootstrap(measure, measure.value(c, l), drawn, c.size, errors, influences, groups)


def units(terms: Sequence[Term], groups: ArrayLike | None) -> Int[Array, " n"]:
    """What is drawn as one: the groups, or the rows in an order that the input does not fix."""
    n = terms[0][1].size
    if groups is not None:
        return check_groups(groups, n)
    unit = np.empty(n, np.int64)
    unit[np.lexsort([x for _, c, l in terms for x in (c, l)])] = np.arange(n)
    return unit


def resampled(
    terms: Sequence[Term],
    measure: Measure,
    unit: Int[Array, " n"] | None,
    *,
    replicates: int,
    weights: str,
    seed: int,
    threads: int,
) -> Float[Array, " B"]:
    """The signed sum of a measure over terms, all with the same weights, B times."""
    from recuse._kernels import bootstrap as kernels

    n = terms[0][1].size
    size = np.ones(n) if unit is None else np.bincount(unit)
    h = harmonic(int(n + SPREADS * np.sqrt(np.sum(size**2))))
    tables = h, np.r_[0.0, np.cumsum(h)[:-1]]
    out = np.zeros(check_count(replicates, "replicates", least=2))
    threads = check_count(threads, "threads", least=1)
    seed = check_count(seed, "seed", least=0)
    code = getattr(kernels, measure.kernel.upper())
    work = [
        (sign, code, measure.level, *drawing(by_confidence(c, l), measure, unit, weights, seed))
        for sign, c, l in terms
    ]

    def every(first: int) -> None:
        for term in work:
            kernels.resample(out, first, threads, *term, *tables)

    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(every, range(threads)))
    return out


def drawing(
    s: Sorted, measure: Measure, unit: Int[Array, " n"] | None, weights: str, seed: int
) -> tuple[Cells, tuple]:
    """The cells, and how `_bootstrap_kernels` draws their weights."""
    from recuse._kernels import bootstrap as kernels

    if weights not in ("multinomial", "poisson"):
        raise InputError(f"expected `weights` 'multinomial' or 'poisson', got {weights!r}")
    cells, poisson = cells_of(s), weights == "poisson"
    size = s.loss.size if unit is None else int(unit.max()) + 1
    if poisson and size < FEWEST_POISSON:
        raise InputError(
            f"expected at least {FEWEST_POISSON} examples or groups for Poisson weights, which "
            f"may all be 0, got {size}: use 'multinomial'"
        )
    held = np.ones(size, np.int64)
    if poisson and unit is None:
        keep_ends = measure.kernel == "risk_at_coverage"
        cells, held = merge(cells, kernels.LARGEST, keep_ends=keep_ends)
    offset = ((held - 1) * kernels.COLUMNS).astype(np.uint16)
    of_row = np.empty(0, np.uint32) if unit is None else _uint32(unit[s.order])
    return cells, (seed, poisson, offset, kernels.alias_tables(), of_row, size)


def check_count(x: int, name: str, *, least: int) -> int:
    """A whole number, not too small."""
    if not isinstance(x, int | np.integer) or x < least:
        raise InputError(f"expected `{name}` as an integer >= {least}, got {x!r}")
    return int(x)


def acceleration(sums: Float[Array, " G"]) -> float:
    """A sixth of the skewness of the mean influence; 0 where influences say nothing."""
    squares = np.sum(sums**2)
    return float(np.sum(sums**3) / 6 / squares**1.5) if squares > 0 else 0.0


def _uint32(x: Array) -> Array:
    return x.astype(np.uint32)
