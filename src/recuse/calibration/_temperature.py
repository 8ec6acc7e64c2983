r"""Temperature scaling: one number that rescales logits and leaves every prediction as it is.

n = examples, K = classes, m = n times the trailing axes, r = rows of one chunk; B = 1 / T.

As a function of B the NLL is convex: its slope is the mean of $\sum_k \pi_k z_k - z_y$, its
curvature the mean variance of z under $\pi$, both at logits $B z$.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from recuse._internal.check import check_logits, first, to_numpy
from recuse._internal.files import digest
from recuse.calibration._measures import at, chunks, flat, log_total, mean
from recuse.errors import InputError
from recuse.intervals._influence import variance_of_mean
from recuse.present import measures as words

if TYPE_CHECKING:
    from jaxtyping import Float, Int
    from numpy import ndarray as Array
    from numpy.typing import ArrayLike

BOUNDS = (0.01, 100.0)
TOLERANCE = 1e-12  # relative, of T


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
    value = _search(z, y, low, high)
    error = math.nan if value in (low, high) else _standard_error(z, y, value, groups)
    after = mean(_pass(z, y, 1 / value).nll)
    bound = {low: "lower", high: "upper"}.get(value)
    data = digest(to_numpy(logits), to_numpy(labels))
    return Temperature(value, error, after, before, len(z), bound, data)


class _Pass(NamedTuple):
    """NLL of each row at one B, and its derivatives by B."""

    nll: Float[Array, " m"]
    slope: Float[Array, " m"]
    curvature: Float[Array, " m"]


def _pass(z: Float[Array, "m K"], y: Int[Array, " m"], inverse: float) -> _Pass:
    out = _Pass(*np.empty((3, len(z))))
    for part, gap, label in chunks(z, y):
        own, log_sum = at(gap, label), log_total(inverse * gap)
        pi = np.exp(inverse * gap - log_sum[:, None])
        gap[np.isneginf(gap)] = 0  # of probability 0
        expected = (pi * gap).sum(axis=1)
        out.nll[part] = log_sum - inverse * own
        out.slope[part] = expected - own
        out.curvature[part] = (pi * (gap - expected[:, None]) ** 2).sum(axis=1)
    return out


def _search(z: Float[Array, "m K"], y: Int[Array, " m"], low: float, high: float) -> float:
    """Return the temperature at which the slope of the NLL is 0, or a bound."""
    from scipy.optimize import brentq

    def slope(log_inverse: float) -> float:
        return mean(_pass(z, y, math.exp(log_inverse)).slope)

    least, most = -math.log(high), -math.log(low)
    if slope(least) >= 0:
        return high
    if slope(most) <= 0:
        return low
    return math.exp(-brentq(slope, least, most, xtol=TOLERANCE))


def _standard_error(
    z: Float[Array, "m K"], y: Int[Array, " m"], value: float, groups: ArrayLike | None
) -> float:
    """Return the error by influences on T, valid also where the model is misspecified."""
    _, slope, curvature = _pass(z, y, 1 / value)
    influence = value**2 * (slope - mean(slope)) / mean(curvature)
    return float(np.sqrt(variance_of_mean(influence, None if groups is None else np.ravel(groups))))


def _check_bounds(bounds: tuple[float, float]) -> tuple[float, float]:
    low, high = map(float, bounds)
    if not 0 < low < high < math.inf:
        raise InputError(f"expected `bounds` with 0 < lowest < highest, got {bounds}")
    return low, high
