r"""Temperature scaling: one number that rescales logits and leaves every prediction as it is.

n = examples, K = classes, m = n times the trailing axes, r = predictions of a chunk; B = 1 / T.

As a function of B the NLL is convex: its slope is the mean of $\sum_k \pi_k z_k - z_y$, its
curvature the mean variance of z under $\pi$, both at logits $B z$. Newton's method finds where the
slope is 0.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from recuse._internal.check import check_labels, check_logits, first, to_numpy
from recuse._internal.files import digest
from recuse._kernels.arithmetic import log1p
from recuse.calibration._measures import mean
from recuse.errors import InputError
from recuse.intervals._influence import variance_of_mean
from recuse.present import measures as words
from recuse.scores._rows import score_rows_many

if TYPE_CHECKING:
    from jaxtyping import Float, Int
    from numpy import ndarray as Array
    from numpy.typing import ArrayLike

    from recuse.scores._sums import Sums

BOUNDS = (0.01, 100.0)
TOLERANCE = 1e-7  # a relative step; the next one is of the size of its square


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
    z = check_logits(logits)
    own = _at(z, check_labels(labels, z))
    low, high = _check_bounds(bounds)
    at = lru_cache(1)(lambda inverse: _pass(z, own, inverse))  # the last is asked for again
    before = mean(at(1.0).nll)
    if not np.isfinite(before):
        raise InputError(f"expected finite logits at the labels, got -inf, {first(np.isinf(own))}")
    value, after, near = _root(at, low, high)
    bound = {low: "lower", high: "upper"}.get(value)
    error = math.nan if bound else _standard_error(near, value, groups)
    data = digest(to_numpy(logits), to_numpy(labels))
    return Temperature(value, error, after, before, own.size, bound, data)


def _at(z: Float[Array, "n K ..."], y: Int[Array, "n ..."]) -> Float[Array, " m"]:
    """Return the logit of each label, in float64."""
    own = np.take_along_axis(z, np.expand_dims(y, 1).astype(np.intp), axis=1)
    return own.astype(np.float64).reshape(-1)


class _Pass(NamedTuple):
    """NLL of each row at one B, and its derivatives by B."""

    nll: Float[Array, " m"]
    slope: Float[Array, " m"]
    curvature: Float[Array, " m"]


def _pass(z: Float[Array, "n K ..."], own: Float[Array, " m"], inverse: float) -> _Pass:
    def rows(s: Sums) -> tuple[Array, ...]:
        rest, gap, square = _moments(s, inverse)
        expected = gap / (1 + rest)
        return s.top, log1p(rest), expected, square / (1 + rest) - expected**2

    found = score_rows_many(z, rows, 4, np.float64)
    top, rest, expected, curvature = (column.reshape(-1) for column in found)
    short = top - own
    return _Pass(rest + inverse * short, expected + short, curvature)


def _moments(s: Sums, inverse: float) -> Float[Array, "3 r"]:
    """Return the sums of 1, z - top and (z - top)^2 under exp(B (z - top)), of all but the top."""
    others, weighted, _, squares = s.exps(inverse, moments=4)
    margin = np.where(s.certain, 0.0, s.margin)
    gap = weighted / inverse - margin * others
    square = squares / inverse**2 - margin * (weighted / inverse) - margin * gap
    return np.exp(-inverse * s.margin) * np.stack([others, gap, square])


class _Root(NamedTuple):
    """The temperature at which the slope of the NLL is 0, or a bound."""

    value: float
    nll: float
    near: _Pass  # one step before


def _root(at: Callable[[float], _Pass], lowest: float, highest: float) -> _Root:
    """Return the root of the slope by Newton's method in log B, from T = 1.

    Where a step leaves what is known to hold the root, or does not halve the last, a bound is
    tried, or what lies between is bisected.
    """
    least, most = -math.log(highest), -math.log(lowest)
    at_log, low, high, move = min(max(0.0, least), most), -math.inf, math.inf, math.inf
    while True:
        inverse = math.exp(at_log)
        near = at(inverse)
        nll, slope, curvature = map(mean, near)
        if (at_log == least and slope >= 0) or (at_log == most and slope <= 0):
            return _Root(highest if at_log == least else lowest, nll, near)
        if slope == curvature == 0:  # all rows say nothing, or their probabilities are 0 and 1
            at_log = least if low == -math.inf else most
            continue
        low, high = (low, at_log) if slope > 0 else (at_log, high)
        step = -slope / curvature / inverse if curvature > 0 else math.copysign(math.inf, -slope)
        if slope == 0 or high - low < TOLERANCE:  # where rounding decides on the sign
            step = 0.0
        new = min(max(at_log + step, least), most)
        if abs(step) < TOLERANCE and new == at_log + step:
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
