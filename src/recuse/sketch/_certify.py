"""Certified intervals: what counts by bin imply for the curve of the counted predictions.

b = bins that are not empty, from the most certain down. Bins separate: the order of two
predictions is unknown only within a bin of several confidences. The loss of the first j of its
m predictions, of T in all and each in [0, 1], lies between max(0, T - (m - j)) and min(j, T):
as if the losses 0, one fraction and the losses 1 came in this order, or in the opposite one.
A bin of one confidence is a tie, and exact.

A loss has units of 2^-32. Where losses were rounded to them, and for what the arithmetic of
floats rounds, intervals are wider.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from recuse.curves._harmonic import rise_and_ramp
from recuse.curves._ranked import smallest_accepted

if TYPE_CHECKING:
    from jaxtyping import Bool, Float, Int
    from numpy import ndarray as Array

UNIT = 2.0**-32  # of losses
SLACK = 2.0**-40  # relative; the sums are accurate to some 1e-14


class Certified(NamedTuple):
    """An interval that holds the exact value of all predictions seen, and an estimate in it."""

    low: float
    value: float
    high: float


class Tally(NamedTuple):
    """Counts by bin."""

    mass: Int[Array, " b"]  # predictions
    whole: Int[Array, " b"]  # their loss: the whole part
    part: Int[Array, " b"]  # and the rest, in units
    single: Bool[Array, " b"]  # of one confidence

    @property
    def n(self) -> int:
        """Predictions."""
        return int(self.mass.sum())

    @property
    def loss(self) -> Float[Array, " b"]:
        """Summed loss."""
        return self.whole + self.part * UNIT

    def accepted(self) -> Int[Array, " b"]:
        """Predictions in this bin and those above."""
        return np.cumsum(self.mass)

    def lost(self) -> Float[Array, " b"]:
        """Loss in this bin and those above: exact sums, rounded once."""
        return np.cumsum(self.whole) + np.cumsum(self.part) * UNIT


def aurc(t: Tally, rounding: float) -> Certified:
    """Return the mean over k of the risk of the first k."""
    return _areas(t, rounding, _risk_area)


def augrc(t: Tally, rounding: float) -> Certified:
    """Return the mean over k of the loss of the first k, over n."""
    return _areas(t, rounding, _loss_area)


def mean_loss(t: Tally, rounding: float) -> Certified:
    """Return the risk of accepting all."""
    mean = float(t.lost()[-1] / t.n)
    return Certified(max(0.0, mean - rounding), mean, min(1.0, mean + rounding))


def excess(t: Tally, rounding: float) -> Certified:
    """Return AURC minus that of the best order, for 0-1 losses."""
    ramp = _best(t)[1]
    low, value, high = aurc(t, rounding)
    best, slack = ramp / t.n, SLACK * ramp / t.n
    return Certified(max(0.0, low - best - slack), max(0.0, value - best), high - best + slack)


def normalized(t: Tally, rounding: float) -> Certified:
    """Return `excess` over that of a random order; NaN if all losses are equal."""
    wrong = int(t.whole.sum())
    if wrong in (0, t.n):
        return Certified(*3 * [float("nan")])
    gap = (t.n - wrong) * _best(t)[0] / t.n  # the mean loss minus `best`, without cancellation
    low, value, high = (x / gap for x in excess(t, rounding))
    return Certified(low * (1 - SLACK), value, high * (1 + SLACK))


def coverage_at_risk(t: Tally, rounding: float, risk: float) -> Certified:
    """Return the largest reachable coverage with at most this risk; the estimate is at an edge."""
    n, accepted = t.n, t.accepted()
    at_edge = t.lost() / accepted
    tolerance = rounding + (SLACK if t.part.any() else 0.0)
    low, value, high = (
        _largest(accepted, at_edge <= risk + d) for d in (-tolerance, 0.0, tolerance)
    )
    inside = _best_inside(t, risk * (1 + SLACK) + tolerance)
    return Certified(low / n, value / n, max(high, inside) / n)


def risk_at_coverage(t: Tally, rounding: float, coverage: float) -> Certified:
    """Return the risk at the smallest reachable coverage of at least this one, likewise."""
    accepted = t.accepted()
    i = int(np.argmax(accepted / t.n >= coverage))
    before, loss, start = (x[i].item() for x in _sums(t.mass, t.whole, t.part))
    m = int(t.mass[i])
    value = float(t.lost()[i] / accepted[i])
    if t.single[i]:
        return _widened(value, value, value, rounding)
    first = smallest_accepted(t.n, coverage, start) - start
    few, many = (min(max(j, first), m) for j in (m - loss, loss))
    low = (before + max(0.0, loss - (m - few))) / (start + few)
    high = (before + min(many, loss)) / (start + many)
    return _widened(min(low, value), value, max(high, value), rounding)


def _areas(t: Tally, rounding: float, area) -> Certified:
    """Return an area with the best, a random and the worst order inside each bin."""
    zero = t.mass * 0
    between = (t.part > 0).astype(np.int64)  # one prediction has the fraction
    # Columns: losses 0, the fraction, losses 1; a tie is one run, in the middle.
    mass = np.stack([t.mass - t.whole - between, between, t.whole], axis=1)
    whole, part = np.stack([zero, zero, t.whole], axis=1), np.stack([zero, t.part, zero], axis=1)
    tie = [np.stack([zero, x, zero], axis=1) for x in (t.mass, t.whole, t.part)]
    runs = [np.where(t.single[:, None], a, b) for a, b in zip(tie, (mass, whole, part))]
    best = area(*(run.ravel() for run in runs)) / t.n
    worst = area(*(run[:, ::-1].ravel() for run in runs)) / t.n
    mean = area(t.mass, t.whole, t.part) / t.n
    return _widened(best, float(np.clip(mean, best, worst)), worst, rounding)


def _risk_area(mass: Array, whole: Array, part: Array) -> float:
    """Return the sum over k of the risk of the first k, for runs of equal losses."""
    before, loss, start = _sums(mass, whole, part)
    rise, ramp = rise_and_ramp(start, mass)
    return float(np.sum(before * rise + loss / np.maximum(mass, 1) * ramp))


def _loss_area(mass: Array, whole: Array, part: Array) -> float:
    """Return the sum over k of the loss of the first k, over n."""
    before, loss, _ = _sums(mass, whole, part)
    return float(np.sum(before * mass + loss * (mass + 1) / 2) / mass.sum())


def _sums(mass: Array, whole: Array, part: Array) -> tuple[Array, Array, Array]:
    """Return for each run the loss before it, its own loss, and the predictions before it."""
    before = np.cumsum(whole) - whole + (np.cumsum(part) - part) * UNIT
    return before, whole + part * UNIT, np.cumsum(mass) - mass


def _largest(accepted: Array, reached: Array) -> int:
    """Return the number accepted at the last bin that is reached; 0 if none is."""
    found = np.flatnonzero(reached)
    return int(accepted[found[-1]]) if found.size else 0


def _best(t: Tally) -> tuple[float, float]:
    """Return `rise_and_ramp` of the wrong after the right."""
    wrong = int(t.whole.sum())
    return tuple(x.item() for x in rise_and_ramp(np.array([t.n - wrong]), np.array([wrong])))


def _best_inside(t: Tally, risk: float) -> int:
    """Return an upper bound on the number accepted at this risk by a threshold inside a bin."""
    before, loss, start = _sums(t.mass, t.whole, t.part)
    zeros = t.mass - loss
    with np.errstate(divide="ignore", invalid="ignore"):
        j = np.where(risk < 1, (risk * start - before + zeros) / (1 - risk), np.inf)
    fits = ~t.single & (t.mass > 1) & (before <= risk * (start + np.maximum(zeros, 1)))
    inside = np.clip(np.floor(j) + 1, 1, np.maximum(t.mass - 1, 1)).astype(np.int64)
    return int((start + inside)[fits].max(initial=0))


def _widened(low: float, value: float, high: float, rounding: float) -> Certified:
    return Certified(
        max(0.0, low * (1 - SLACK) - rounding), value, min(1.0, high * (1 + SLACK) + rounding)
    )
