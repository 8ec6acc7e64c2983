"""Upper limits of the risk at many thresholds at once: look first, choose after.

n = calibration rows, m = thresholds, decreasing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from recuse._internal.check import check_confidence, check_count, check_delta, check_fraction
from recuse.errors import InputError
from recuse.selectors._grid import counts, is_binary
from recuse.selectors._guarantee import Guarantee, Infeasible, Selection
from recuse.selectors._methods import POINTS, band_grid, band_upper
from recuse.selectors._select import check_split, dependent, refuse_groups

if TYPE_CHECKING:
    from jaxtyping import Float, Float32, Int, Shaped
    from numpy import ndarray as Array
    from numpy.typing import ArrayLike


class Point(NamedTuple):
    """One threshold of a band."""

    threshold: float
    accepted: int
    errors: float
    upper: float  # of the risk, at once with all other thresholds of the band


@dataclass(frozen=True, eq=False)
class Band:
    """Every threshold with an upper limit of its risk, all valid at once.

    With probability >= 1 - delta over the calibration split no risk exceeds its limit, so that
    any threshold of the band may be chosen after looking at it, for any reason.
    """

    threshold: Float32[Array, " m"]
    accepted: Int[Array, " m"]  # calibration rows
    errors: Shaped[Array, " m"]  # of the accepted, or their summed loss
    upper: Float[Array, " m"]
    n: int
    delta: float
    points: int  # thresholds that delta was divided by, >= m
    source: str  # "tune": fixed thresholds; "ranks": of the calibration split

    @property
    def coverage(self) -> Float[Array, " m"]:
        """Fraction of the calibration split that each threshold accepts."""
        return self.accepted / self.n

    @property
    def risk(self) -> Float[Array, " m"]:
        """Mean loss of the accepted calibration rows; NaN where none is."""
        empty = self.accepted == 0
        return np.where(empty, np.nan, self.errors / np.maximum(self.accepted, 1))

    def at(self, threshold: float) -> Point:
        """The point of the band to deploy for a wish: the next threshold at least as strict.

        A threshold between two points has no limit of its own. Above all of them: +inf, which
        accepts nothing, with the limit 1.
        """
        if np.isnan(threshold):
            raise InputError("expected `threshold` to be a number, got NaN")
        reached = np.flatnonzero(self.threshold >= np.float32(threshold))
        return self._point(int(reached[-1]) if reached.size else None)

    def threshold_for(self, target_risk: float) -> float:
        """The smallest threshold whose limit is at most `target_risk`; +inf if there is none."""
        return self._point(self._index(target_risk)).threshold

    def selection(self, target_risk: float) -> Selection:
        """`threshold_for` with its guarantee, in the form of `select`."""
        at = self._point(self._index(target_risk))
        counts = (self.n, at.accepted, at.errors)
        guarantee = Guarantee(target_risk, self.delta, "band", *counts, points=self.points)
        if at.threshold < np.inf:
            return Selection(at.threshold, guarantee)
        best = Infeasible(smallest_target=float(self.upper.min()), reliable=True)
        return Selection(at.threshold, guarantee, best)

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        columns = ("threshold", "accepted", "errors", "upper")
        plain = {"n": self.n, "delta": self.delta, "points": self.points, "source": self.source}
        return plain | {name: getattr(self, name).tolist() for name in columns}

    def _index(self, target_risk: float) -> int | None:
        passing = np.flatnonzero(self.upper <= check_fraction(target_risk, "target_risk"))
        return int(passing[-1]) if passing.size else None

    def _point(self, index: int | None) -> Point:
        if index is None:
            return Point(float("inf"), 0, 0, 1.0)
        columns = (self.threshold, self.accepted, self.errors, self.upper)
        return Point(*(column[index].item() for column in columns))


def band(
    confidence: ArrayLike,
    loss: ArrayLike,
    *,
    delta: float = 0.05,
    tune: tuple[ArrayLike, ArrayLike] | ArrayLike | None = None,
    points: int = POINTS,
    groups: ArrayLike | None = None,
) -> Band:
    """Upper limits of the risk at about `points` thresholds, all valid at once.

    Each is exact at `delta` / `points` (Clopper-Pearson; Hoeffding-Bentkus where losses are
    not 0 or 1), at thresholds fixed by the tuning split, or at ranks of the calibration split
    without their boundary point. It assumes nothing of the shape of the risk.

    Args:
        confidence: Shape (n,), of the calibration split; compared as float32.
        loss: Shape (n,), in [0, 1].
        delta: In (0, 0.5): the probability that any limit is too low.
        tune: Confidence of the tuning split, alone or with its loss, which is not used.
        points: Thresholds; more of them are closer together and have higher limits.
        groups: Shape (n,): a group of several rows is refused.

    Raises:
        InputError: Malformed input, or a group of several rows.

    >>> rng = np.random.default_rng(0)
    >>> confidence = rng.uniform(size=1000)
    >>> wrong = rng.uniform(size=1000) > confidence
    >>> drawn = band(confidence, wrong)
    >>> drawn.at(0.9).upper < drawn.at(0.5).upper
    True
    >>> drawn.threshold_for(0.25) == drawn.selection(0.25).threshold
    True
    """
    delta, (c, l) = check_delta(delta), check_split(confidence, loss)
    refuse_groups(dependent(groups, c.size))
    points = check_count(points, "points")
    grid = band_grid(c, None if tune is None else _confidence(tune), points)
    held = counts(c, l, grid)
    upper = band_upper(held, delta / points, is_binary(l))
    source = "ranks" if tune is None else "tune"
    return Band(grid, *held, upper, c.size, delta, points, source)


def _confidence(tune: tuple[ArrayLike, ArrayLike] | ArrayLike) -> Float32[Array, " t"]:
    alone = tune[0] if isinstance(tune, tuple) else tune
    return check_confidence(alone, where="tune confidence").astype(np.float32)
