r"""Calibration error without bins: residuals smoothed by a kernel of the one right width.

n = examples, g = grid points on [0, 1].

The residual (stated minus observed) of each example is a mass at its probability. A heat
kernel reflected at 0 and 1 spreads the masses; the error is what does not cancel.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from recuse.calibration._binned import sums
from recuse.calibration._rows import measure, stated

if TYPE_CHECKING:
    from jaxtyping import Float, Int
    from numpy import ndarray as Array
    from numpy.typing import ArrayLike

STEPS = 1 << 15  # of the grid: widths down to 1e-4 are resolved to about 1 %, 1e-3 to 0.01 %


def smooth_ece(probability: ArrayLike, loss: ArrayLike) -> float:
    r"""Smooth calibration error: the width $\sigma$ of a kernel that equals the error it leaves.

    $\mathrm{smECE}_\sigma = \int_0^1 |\frac1n \sum_i K_\sigma(t, q_i)(q_i - y_i)|\,dt$, with
    $K_\sigma$ the Gaussian reflected at 0 and 1, falls as $\sigma$ grows; the result is
    the only $\sigma$ with $\mathrm{smECE}_\sigma = \sigma$. There are no bins to choose,
    and it is continuous in the probabilities.

    relplot's bisection stops at a $\sigma$ known to 1/1024. It also counts probabilities in
    the last step of its grid, near 0 and 1, by half: where many are, it says something else.

    Args:
        probability: Shape (n,), in [0, 1]: the stated probability of being right.
        loss: Shape (n,), 0 or 1.

    Raises:
        InputError: Malformed input.

    References:
        Błasiok & Nakkiran, ICLR 2024.

    >>> round(smooth_ece([0.9] * 100, [0] * 90 + [1] * 10), 9)
    0.0
    >>> round(smooth_ece([0.9] * 100, [0] * 80 + [1] * 20), 4)
    0.1
    """
    return measure(smooth_ece_terms(probability, loss))


class _Masses(NamedTuple):
    """Residuals, shared between the two grid points around each probability."""

    index: Int[Array, " n"]  # of the lower point
    upper: Float[Array, " n"]  # share of the upper point
    residual: Float[Array, " n"]


def smooth_ece_terms(probability: ArrayLike, loss: ArrayLike) -> Float[Array, " n"]:
    r"""Terms by the delta method: at the width found, smECE moves by its slope too.

    With $S$ the smoothed sign of the smoothed residuals, $r_i S(q_i)$ has the mean
    $\mathrm{smECE}_\sigma$; its influence is divided by 1 minus the slope in $\sigma$.
    """
    from scipy.optimize import brentq

    masses = _masses(probability, loss)
    spectrum = np.fft.rfft(_periodic(masses))
    width = brentq(lambda sigma: np.abs(_smoothed(spectrum, sigma)).sum() / 2 - sigma, 0, 2)
    smoothed = _smoothed(spectrum, width)
    sign = np.where(smoothed < 0, -1.0, 1.0)
    slope = (sign * _smoothed(-width * _rates() * spectrum, width)).sum() / 2
    weight = _smoothed(np.fft.rfft(sign), width)
    share = weight[masses.index] * (1 - masses.upper) + weight[masses.index + 1] * masses.upper
    return width + (masses.residual * share - width) / (1 - slope)


def _masses(probability: ArrayLike, loss: ArrayLike) -> _Masses:
    q, right = stated(probability, loss)
    index = np.minimum((q * STEPS).astype(np.intp), STEPS - 1)
    return _Masses(index, q * STEPS - index, q - right)


def _periodic(masses: _Masses) -> Float[Array, " 2g"]:
    """Masses / n on the circle of circumference 2 that reflection at 0 and 1 unfolds."""
    index, upper, residual = masses
    low, high = sums(index, residual * (1 - upper)), sums(index + 1, residual * upper)
    mass = np.zeros(STEPS + 1)
    mass[: low.size] += low
    mass[: high.size] += high
    mass[[0, -1]] *= 2  # a mass on a mirror meets its own image
    return np.r_[mass, mass[-2:0:-1]] / residual.size


@cache
def _rates() -> Float[Array, " g"]:
    """Decay of each frequency of the heat equation on the grid, for the variance 2."""
    frequency = np.arange(STEPS + 1) * (np.pi / STEPS)
    return 2 * STEPS**2 * (1 - np.cos(frequency))


def _smoothed(spectrum: Array, sigma: float) -> Float[Array, " 2g"]:
    """Masses after a random walk of this standard deviation; no step can add to their sum."""
    return np.fft.irfft(spectrum * np.exp(-(sigma**2) / 2 * _rates()))
