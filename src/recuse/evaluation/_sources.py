r"""Several sources measured as one: who is accepted, and who of them is wrong.

n = predictions of all sources, S = sources, k = distinct confidences (k <= n).

Sources count by their numbers of rows, or by `shares`: then each row of source s weighs
share_s / n_s. Shares change the threshold of a level, and coverage, risk and AURC of the whole;
they change neither what one threshold accepts nor what is measured of one source alone.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from recuse import curves
from recuse._internal.check import (
    check_confidence,
    check_fraction,
    check_groups,
    check_loss,
    check_named,
    to_numpy,
)
from recuse.curves._ranked import tie_groups
from recuse.errors import InputError
from recuse.evaluation._measures import MANY, explained
from recuse.intervals import influence
from recuse.intervals._influence import variance_of_mean

if TYPE_CHECKING:
    from jaxtyping import Bool, Float, Int
    from numpy import ndarray as Array
    from numpy.typing import ArrayLike

NEAR = 1e-9  # sums of floats this close to a level are decided in exact fractions
ALL = "all"  # the row of the whole


@dataclass(frozen=True)
class SourceRow:
    """Predictions accepted from one source, or from all of them."""

    source: str
    n: int
    accepted: int
    errors: float  # summed loss of the accepted: their number wrong, or all accepted outliers
    coverage: float  # fraction of this source that is accepted
    risk: float  # mean loss of the accepted, in the unit of the costs; NaN if none is accepted
    share: float  # of the inputs that come from here
    accepted_share: float  # of the accepted that come from here; NaN if none is accepted

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON; an undefined value is None with a reason."""
        return explained(vars(self), "nothing is accepted")


@dataclass(frozen=True)
class BySource:
    """One operating point, of the whole and of each source."""

    by: str  # "coverage", "risk" or "threshold"
    level: float  # what was asked for
    threshold: float  # accept = confidence >= threshold; +inf where no threshold has the risk
    overall: SourceRow
    sources: tuple[SourceRow, ...]

    def __getitem__(self, source: str) -> SourceRow:
        return next(row for row in self.sources if row.source == source)

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON; a threshold of +inf is None with a reason."""
        rows = {row.source: row.to_dict() for row in self.sources}
        out = {
            "by": self.by,
            "level": self.level,
            "threshold": self.threshold,
            ALL: self.overall.to_dict(),
            "sources": rows,
        }
        if math.isfinite(self.threshold):
            return out
        return {**out, "threshold": None, "reason": {"threshold": _no_threshold(self)}}


def by_source(
    confidence: ArrayLike,
    loss: ArrayLike,
    source: ArrayLike,
    *,
    coverage: float | None = None,
    risk: float | None = None,
    threshold: float | None = None,
    shares: Mapping[Any, float] | None = None,
) -> BySource:
    """Count what one threshold accepts from each source, and how much of it is wrong.

    The threshold is that of the smallest reachable coverage >= `coverage`, or of the largest
    coverage with a risk <= `risk`, of all sources together; ties are accepted together. Levels and
    shares are read as the decimals that they print as, and compared in exact fractions.

    Args:
        confidence: Shape (n,). Larger is more certain.
        loss: Shape (n,), >= 0; for outliers see `scod_loss`.
        source: Shape (n,), integers or strings; rows of the result are in sorted order.
        coverage: A fraction in (0, 1]; give exactly one of the three levels.
        risk: >= 0.
        threshold: Rounded to the dtype of `confidence`.
        shares: Source -> its fraction of inputs in deployment, if it differs from that of the rows;
            sources without one divide the rest in the ratio of their rows.

    Raises:
        InputError: Malformed input, no level or several, or shares that do not sum to 1.

    References:
        Xia et al., 2024, table of figure 8 (it rounds the number of accepted down).

    >>> found = by_source(
    ...     [0.9, 0.8, 0.7, 0.6], [0, 1, 0, 1], ["photo", "sketch", "photo", "sketch"], coverage=0.5
    ... )
    >>> [(row.source, row.accepted, row.errors, row.risk) for row in found.sources]
    [('photo', 1, 0.0, 0.0), ('sketch', 1, 1.0, 1.0)]
    """
    levels = {"coverage": coverage, "risk": risk, "threshold": threshold}
    given = {k: x for k, x in levels.items() if x is not None}
    if len(given) != 1:
        found = " and ".join(given) or "none"
        raise InputError(f"expected one of `coverage`, `risk` and `threshold`, got {found}")
    c = check_confidence(confidence)
    l = check_loss(loss, c.size)
    s = to_numpy(source)
    code = check_groups(s, c.size, where="`source`")
    names = tuple(map(str, np.unique(s)))
    sizes = np.bincount(code).tolist()
    given_shares = {} if shares is None else check_named(shares, "shares", '{"photo": 0.9, ...}')
    named = {str(k): x for k, x in given_shares.items()}
    pool = Pool(names, c, l, code, fractions_of(named, names, sizes), (Fraction(1),) * len(names))
    return pool.point(*next(iter(given.items())))


@dataclass(frozen=True, eq=False)
class Pool:
    """The predictions of all sources, and what they count for."""

    names: tuple[str, ...]  # (S,)
    confidence: Float[Array, " n"]
    loss: Float[Array, " n"]  # before the price
    code: Int[Array, " n"]  # the source of each
    shares: tuple[Fraction, ...] | None  # (S,), sum 1; None: those of the rows
    prices: tuple[Fraction, ...]  # (S,), of one unit of loss

    @cached_property
    def sizes(self) -> list[int]:
        """Rows of each source."""
        return np.bincount(self.code, minlength=len(self.names)).tolist()

    @cached_property
    def fractions(self) -> list[Fraction]:
        """The shares that hold."""
        n = self.loss.size
        return [*self.shares] if self.shares else [Fraction(size, n) for size in self.sizes]

    @cached_property
    def priced(self) -> Array:
        """The loss of each prediction."""
        if set(self.prices) == {Fraction(1)}:
            return self.loss
        return self.loss * np.array([float(x) for x in self.prices])[self.code]

    @cached_property
    def weights(self) -> Float[Array, " n"] | None:
        """Weight of each prediction, with mean 1; None if all weigh 1."""
        if self.shares is None:
            return None
        ratio = [float(x * self.loss.size / size) for x, size in zip(self.shares, self.sizes)]
        return np.array(ratio)[self.code]

    def point(self, by: str, level: float) -> BySource:
        """The operating point of a level."""
        find = {"coverage": self._at_coverage, "risk": self._at_risk, "threshold": self._at}
        return replace(find[by](level), by=by, level=float(level))

    def aurc(self) -> float:
        """AURC of the whole."""
        if self.weights is None:
            return curves.aurc(self.confidence, self.priced)
        return curves.aurc_of_weights(self.confidence, self.priced, self.weights)

    def aurc_se(self, groups: Int[Array, " n"] | None) -> float:
        """Standard error from influences, centred within each source: numbers of rows are fixed."""
        n, loss = self.loss.size, self.priced
        if n > MANY or loss.min() == loss.max() or self._fewest(groups) < 2:
            return float("nan")
        x = influence(self.confidence, loss, self.weights)
        x = x if self.weights is None else self.weights * x
        mean = np.bincount(self.code, x) / np.bincount(self.code)
        return math.sqrt(variance_of_mean(x - mean[self.code], groups))

    def _fewest(self, groups: Int[Array, " n"] | None) -> int:
        """Independent rows of the source that has the fewest."""
        if groups is None:
            return min(self.sizes)
        return min(np.unique(groups[self.code == i]).size for i in range(len(self.names)))

    def _at_coverage(self, level: float) -> BySource:
        level = check_fraction(level, "coverage", one=True)
        threshold, coverage, _ = self._curve
        points = map(self._at, threshold[np.searchsorted(coverage, level - NEAR) :])
        return next(p for p in points if p.overall.coverage >= level)

    def _at_risk(self, level: float) -> BySource:
        level = check_risk(level, max(float(self.priced.max()), *map(float, self.prices)))
        threshold, _, risk = self._curve
        near = np.flatnonzero(risk <= level + NEAR * max(1.0, level))
        points = map(self._at, threshold[near[::-1]])
        nobody = self._counted(np.zeros(self.loss.size, bool), math.inf)
        return next((p for p in points if p.overall.risk <= level), nobody)

    @cached_property
    def _curve(self) -> tuple[Array, Float[Array, " k"], Float[Array, " k"]]:
        """Thresholds, coverage and risk, up to rounding."""
        if self.weights is None:
            curve = curves.risk_coverage(self.confidence, self.priced)
            return curve.threshold, curve.coverage, curve.risk
        group = tie_groups(self.confidence, self.weights)
        mass = np.cumsum(group.loss)
        cost = np.cumsum(tie_groups(self.confidence, self.weights * self.priced).loss)
        return group.confidence, mass / mass[-1], cost / mass

    def _at(self, threshold: float) -> BySource:
        with np.errstate(over="ignore"):
            t = self.confidence.dtype.type(check_threshold(threshold))
        return self._counted(self.confidence >= t, float(threshold) + 0.0)  # -0.0 is 0.0

    def _counted(self, accept: Bool[Array, " n"], threshold: float) -> BySource:
        """Counts of each source, and rates that are rounded once."""
        code, loss, places = self.code[accept], self.loss[accept], range(len(self.names))
        accepted = np.bincount(code, minlength=len(places)).tolist()
        errors = [float(np.sort(loss[code == i]).sum(dtype=np.float64)) for i in places]
        share, price, size = self.fractions, self.prices, self.sizes
        mass = [share[i] * accepted[i] / size[i] for i in places]
        cost = [share[i] * price[i] * Fraction(errors[i]) / size[i] for i in places]
        rows = tuple(
            SourceRow(
                self.names[i],
                *(size[i], accepted[i], errors[i], accepted[i] / size[i]),
                _ratio(price[i] * Fraction(errors[i]), accepted[i]),
                *(float(share[i]), _ratio(mass[i], sum(mass))),
            )
            for i in places
        )
        counts = sum(size), sum(accepted), math.fsum(errors), float(sum(mass))
        every = _ratio(sum(mass), sum(mass))
        overall = SourceRow(ALL, *counts, _ratio(sum(cost), sum(mass)), 1.0, every)
        return BySource("threshold", threshold, threshold, overall, rows)


def check_shares(shares: Mapping[str, Any], names: Sequence[str]) -> dict[str, Fraction]:
    """Return the shares as the decimals that they print as; other sources must be left some."""
    if unknown := sorted(set(shares) - set(names)):
        raise InputError(f"expected shares of {', '.join(names)}, got one of {unknown[0]}")
    given = {s: decimal(check_fraction(x, f"share of {s}", one=True)) for s, x in shares.items()}
    whole = sum(given.values(), Fraction(0))
    if len(given) == len(names) and abs(1 - whole) > NEAR:
        raise InputError(f"expected shares that sum to 1, got {float(whole):g}")
    if len(given) < len(names) and whole >= 1:
        raise InputError(f"expected shares that sum to less than 1, got {float(whole):g}")
    return given


def fractions_of(
    shares: Mapping[str, float] | None, names: Sequence[str], sizes: Sequence[int]
) -> tuple[Fraction, ...] | None:
    """One share for each source; those not given divide the rest by their rows."""
    if not shares:
        return None
    given = check_shares(shares, names)
    whole = sum(given.values(), Fraction(0))
    total = sum(n for s, n in zip(names, sizes) if s not in given)
    if not total:
        return tuple(given[s] / whole for s in names)
    return tuple(given.get(s, (1 - whole) * n / total) for s, n in zip(names, sizes))


def decimal(x: float) -> Fraction:
    """The number that a float prints as: 1/10 for 0.1."""
    return Fraction(repr(float(x)))


def _ratio(a: Fraction | int, b: Fraction | int) -> float:
    return float(Fraction(a) / Fraction(b)) if b else float("nan")


def check_risk(x: float, largest: float) -> float:
    """A level of risk, in the unit of the losses."""
    if largest <= 1:
        return check_fraction(x, "risk", zero=True, one=True)
    if not 0 <= x <= largest:
        raise InputError(f"expected `risk` in [0, {largest:g}], the largest loss, got {x}")
    return float(x)


def check_threshold(x: float) -> float:
    """Any number, infinities too."""
    try:
        value = float(x)
    except (TypeError, ValueError):
        value = math.nan
    if math.isnan(value):
        raise InputError(f"expected `threshold` as a number, got {'NaN' if x != x else x}")
    return value


def _no_threshold(point: BySource) -> str:
    if point.by == "risk":
        return f"no threshold has a risk of {point.level:g} or less: nothing is accepted"
    return "infinite"
