"""Sums of harmonic terms over many runs of ranks at once, accurate to the last bits.

r = runs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from jaxtyping import Float, Int
    from numpy import ndarray as Array

FEW = 64  # ranks that are added up; beyond, the series of the harmonic numbers
SHORT = 8  # ranks of a run that are added up, wherever it starts
TERMS = 16  # of the series of x - log1p(x)


def rise(a: Int[Array, " r"], m: Int[Array, " r"]) -> Float[Array, " r"]:
    """Return the sum of 1 / (a + j) over j = 1..m, as `rise_and_ramp`."""
    x = 1 / np.maximum(a, FEW)
    out = _far_rise(x, m * x)
    near = np.flatnonzero(a < FEW)
    out[near] = _closed(a[near], m[near])[0]
    return out


def rise_and_ramp(a: Int[Array, " r"], m: Int[Array, " r"]) -> tuple[Array, Array]:
    """Return the sums of 1 / (a + j) and of j / (a + j) over j = 1..m.

    Every term of their closed form is positive: nothing cancels, and they are accurate to a few
    units in the last place. For m predictions after a accepted, a mean loss of rho per prediction
    and a loss of E before give E rise + rho ramp to the summed risk.

    >>> rise_and_ramp(np.array([2]), np.array([2]))  # 1/3 + 1/4 and 1/3 + 2/4
    (array([0.58333333]), array([0.83333333]))
    """
    rise = np.minimum(m, 1) / (a + 1)
    ramp = rise.copy()
    left = np.flatnonzero((m > 1) & (m <= SHORT))
    for j in range(2, SHORT + 1):
        left = left[m[left] >= j]
        term = 1 / (a[left] + j)
        rise[left] += term
        ramp[left] += j * term
    long = np.flatnonzero(m > SHORT)
    rise[long], ramp[long] = _closed(a[long], m[long])
    return rise, ramp


def _closed(a: Int[Array, " r"], m: Int[Array, " r"]) -> tuple[Array, Array]:
    """Return both sums, of long runs: up to FEW from a table, then by a series."""
    few = np.minimum(m, np.maximum(FEW - a, 0))
    at = np.minimum(a, FEW)
    rise, ramp = _RISE[at, few], _RAMP[at, few]
    start, rest = np.maximum(a + few, FEW).astype(float), (m - few).astype(float)
    far_rise, far_ramp = _far(start, rest)
    return rise + far_rise, ramp + few * far_rise + far_ramp


def _far(a: Float[Array, " r"], m: Float[Array, " r"]) -> tuple[Array, Array]:
    """Return both sums for a >= FEW."""
    x, y = 1 / a, m / a
    ramp = a * _gap(y) + y / (1 + y) * (0.5 - _tail(x, x / (1 + y)))
    return _far_rise(x, y), ramp


def _far_rise(x: Float[Array, " r"], y: Float[Array, " r"]) -> Float[Array, " r"]:
    """Return the sum of 1 / (a + j) over j = 1..m for x = 1/a <= 1/FEW and y = m/a."""
    z = x / (1 + y)
    return np.log1p(y) - y * z * (0.5 - _tail(x, z))


def _tail(x: Float[Array, " r"], z: Float[Array, " r"]) -> Float[Array, " r"]:
    """Return what H_k = log k + c + 1/2k - 1/12k^2 + 1/120k^4 - 1/252k^6 has beyond 1/2k.

    At k = 1/x and at k = 1/z: the difference, over x - z.
    """
    u, v = x * x, z * z
    return (x + z) * (1 / 12 - (u + v) / 120 + (u * u + u * v + v * v) / 252)


def _gap(x: Float[Array, " r"]) -> Float[Array, " r"]:
    """x - log1p(x) for x >= 0, also where it is small."""
    small = np.minimum(x, 0.06)
    series = np.zeros_like(x)
    for k in range(TERMS, 1, -1):
        series = 1 / k - small * series
    return np.where(x <= 0.06, x * x * series, x - np.log1p(x))


def _tables() -> tuple[Array, Array]:
    """Rows a = 0..FEW, columns m = 0..FEW."""
    a, j = np.arange(FEW + 1)[:, None], np.arange(1, FEW + 1)
    start = np.zeros((FEW + 1, 1))
    rise, ramp = (np.hstack([start, np.cumsum(top / (a + j), axis=1)]) for top in (1, j))
    return rise, ramp


_RISE, _RAMP = _tables()
