r"""Temperature scaling: one number that rescales logits and leaves every prediction as it is.

n = examples, K = classes, m = n times the trailing axes, r = rows of one chunk; B = 1 / T.

As a function of B the NLL is convex: its slope is the mean of $\sum_k \pi_k z_k - z_y$, its
curvature the mean variance of z under $\pi$, both at logits $B z$. Newton's method finds where the
slope is 0: in float32, whose exponentials cost a quarter, then once or twice in float64.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from recuse._internal.check import check_logits, first, to_numpy
from recuse._internal.files import digest
from recuse.calibration._measures import at, chunks, flat, mean
from recuse.errors import InputError
from recuse.intervals._influence import variance_of_mean
from recuse.present import measures as words

if TYPE_CHECKING:
    from jaxtyping import Float, Int
    from numpy import ndarray as Array
    from numpy.typing import ArrayLike

BOUNDS = (0.01, 100.0)
ROUGH = 1e-4  # a relative step in float32; the next one is of the size of the rounding
FINE = 1e-7  # a relative step in float64; the next one is of the size of its square


@dataclass(frozen=True)
class Temperature:
    """A divisor of logits, with the data that it was fitted on."""

    value: float
    standard_error: float  # NaN at a bound
    nll: float  # with this temperature, on the data of the fit
    nll_before: float  # at temperature 1
    n: int  # labels
    bound: str | None  # "lower" or "upper" where the NLL is smallest at a bound
    digest: str  # of the data

    def __call__(self, logits: ArrayLike) -> Float[Array, "n K ..."]:
        """Return the logits in float64, divided by the temperature."""
        return check_logits(logits).astype(np.float64) / self.value

    def __str__(self) -> str:
        fit = self.value, self.standard_error, self.bound, self.n, self.nll_before, self.nll
        return words.temperature(*fit)


def fit_temperature(
    logits: ArrayLike,
    labels: ArrayLike,
    *,
    bounds: tuple[float, float] = BOUNDS,
    groups: ArrayLike | None = None,
) -> Temperature:
    """Return the temperature in `bounds` with the smallest NLL.

    It is unique, unless every row has equal logits. If every label has the largest logit of
    its row, the NLL falls as T goes to 0, and the lower bound is the answer; if the logits
    say nothing about the labels, or the opposite, it is the upper one: see `Temperature.bound`.

    Fit on the tuning split: probabilities that are judged on the data of the fit look better
    than they are.

    Args:
        logits: Shape (n, K, ...).
        labels: Shape (n, ...), integers.
        bounds: Smallest and largest temperature.
        groups: In the shape of `labels`: rows of equal value are dependent. For the
            standard error alone.

    Raises:
        InputError: Malformed input or bounds, or a label whose logit is -inf.

    References:
        Guo, Pleiss, Sun & Weinberger, ICML 2017.

    >>> z = np.array([[2.0, 0.0]] * 4)
    >>> print(fit_temperature(z, [0, 0, 0, 1]))  # 2 / T is the log-odds of 3 to 1
    T = 1.820 +- 2.209 from 4 labels: NLL 0.6269 becomes 0.5623
    """
    z, y = flat(logits, labels)
    low, high = _check_bounds(bounds)
    before = mean(_pass(z, y, 1.0).nll)
    if not np.isfinite(before):
        bad = np.isinf(at(z, y))
        raise InputError(f"expected finite logits at the labels, got -inf, {first(bad)}")
    rough = _at_bound(z, y, low, high)
    if rough is None:
        rough = _root(z, y, 1.0, (low, high), ROUGH, np.float32).value
    value, after, at_value = _root(z, y, rough, (low, high), FINE, np.float64)
    bound = {low: "lower", high: "upper"}.get(value)
    error = math.nan if bound else _standard_error(at_value, value, groups)
    data = digest(to_numpy(logits), to_numpy(labels))
    return Temperature(value, error, after, before, len(z), bound, data)


class _Pass(NamedTuple):
    """NLL of each row at one B, and its derivatives by B."""

    nll: Float[Array, " m"]
    slope: Float[Array, " m"]
    curvature: Float[Array, " m"]


def _pass(
    z: Float[Array, "m K"], y: Int[Array, " m"], inverse: float, dtype: type = np.float64
) -> _Pass:
    out = _Pass(*np.empty((3, len(z))))
    for part, gap, label in chunks(z, y):
        own, top = at(gap, label), gap.argmax(axis=1)[:, None]
        gap = gap.astype(dtype, copy=False)
        odds = gap * dtype(inverse)
        np.exp(odds, out=odds)
        np.put_along_axis(odds, top, 0, axis=1)  # log1p is precise also where the others are tiny
        rest = odds.sum(axis=1)
        if np.isneginf(gap.min()):
            gap[np.isneginf(gap)] = 0  # of probability 0
        odds *= gap
        expected = odds.sum(axis=1) / (1 + rest)
        odds *= gap
        out.nll[part] = np.log1p(rest) - inverse * own
        out.slope[part] = expected - own
        out.curvature[part] = odds.sum(axis=1) / (1 + rest) - expected**2
    return out


def _at_bound(z: Float[Array, "m K"], y: Int[Array, " m"], low: float, high: float) -> float | None:
    """Return the bound at which the NLL is smallest, in float32; None if it is between them."""
    if mean(_pass(z, y, 1 / high, np.float32).slope) >= 0:
        return high
    return low if mean(_pass(z, y, 1 / low, np.float32).slope) <= 0 else None


class _Root(NamedTuple):
    """The temperature at which the slope of the NLL is 0, or a bound."""

    value: float
    nll: float
    near: _Pass  # one step before


def _root(
    z: Float[Array, "m K"],
    y: Int[Array, " m"],
    start: float,
    bounds: tuple[float, float],
    tolerance: float,
    dtype: type,
) -> _Root:
    """Return the root of the slope by Newton's method in log B, from `start`.

    Where a step leaves what is known to hold the root, or does not halve the last, a bound is
    tried, or what lies between is bisected.
    """
    least, most = -math.log(bounds[1]), -math.log(bounds[0])
    at_log, low, high, move = min(max(-math.log(start), least), most), -math.inf, math.inf, math.inf
    while True:
        inverse = math.exp(at_log)
        near = _pass(z, y, inverse, dtype)
        nll, slope, curvature = map(mean, near)
        if (at_log == least and slope >= 0) or (at_log == most and slope <= 0):
            return _Root(bounds[1] if at_log == least else bounds[0], nll, near)
        low, high = (low, at_log) if slope > 0 else (at_log, high)
        step = -slope / curvature / inverse if curvature > 0 else math.copysign(math.inf, -slope)
        if slope == 0 or high - low < tolerance:  # where rounding decides on the sign
            step = 0.0
        new = min(max(at_log + step, least), most)
        if abs(step) < tolerance and new == at_log + step:
            change = inverse * step
            return _Root(math.exp(-new), nll + change * (slope + change * curvature / 2), near)
        if not low < new < high or 2 * abs(step) > abs(move):
            new = most if high == math.inf else least if low == -math.inf else (low + high) / 2
        at_log, move = new, new - at_log


def _standard_error(near: _Pass, value: float, groups: ArrayLike | None) -> float:
    """Return the error by influences on T, valid also where the model is misspecified."""
    influence = value**2 * (near.slope - mean(near.slope)) / mean(near.curvature)
    return float(np.sqrt(variance_of_mean(influence, None if groups is None else np.ravel(groups))))


def _check_bounds(bounds: tuple[float, float]) -> tuple[float, float]:
    low, high = map(float, bounds)
    if not 0 < low < high < math.inf:
        raise InputError(f"expected `bounds` with 0 < lowest < highest, got {bounds}")
    return low, high
