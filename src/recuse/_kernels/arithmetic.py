"""Exponential and logarithm of IEEE operations alone: the same bits in NumPy and in loops.

A sum over classes is a sum of integers: each term is rounded to a multiple of 2^-52 of a power of
two that none exceeds. So it does not depend on the order of the classes or the width of vectors.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from recuse import _kernels
from recuse._kernels.polynomials import (
    EXP,
    LN2_HIGH,
    LN2_LOW,
    LOG2_E,
    LOWEST_MANTISSA,
    MANTISSA,
    ROOT_HALF,
    ROUNDER,
    ROUNDER_BITS,
    exp_of,
    log_of,
)

if TYPE_CHECKING:
    from jaxtyping import Float, Int
    from numpy import ndarray as Array

FLOOR = -708.0  # exp is a normal number above it
FEW = 16  # numbers that are computed one by one
ULP = 2.0**-52
LOWEST = -float(np.finfo(np.float64).max)  # in place of -inf, from which nothing can be taken
TINY = 1e-300  # in place of 0 before a logarithm


def unit_of(classes: int) -> float:
    """Return a power of two u, such that sums of `classes` terms in units of u 2^-52 fit int64."""
    return 1.0 if classes <= 2047 else 2.0 ** math.ceil(math.log2(classes / 2047))


class Scratch:
    """Arrays that every chunk uses again: new memory would cost more than the arithmetic."""

    def __init__(self) -> None:
        self._arrays: dict[str, Array] = {}

    def __call__(self, name: str, shape: tuple[int, ...], dtype: type = np.float64) -> Array:
        """Return the array of a name; its values are those of its last use."""
        size = math.prod(shape)
        if name not in self._arrays or self._arrays[name].size < size:
            self._arrays[name] = np.empty(size, dtype)
        return self._arrays[name][:size].reshape(shape)


def exp(x: Float[Array, ...], scratch: Scratch | None = None) -> Float[Array, ...]:
    """Return exp of x in [`FLOOR`, 0], within 1 ulp; exactly 1 at 0.

    With scratch, the result is valid until the next call.
    """
    array = Scratch() if scratch is None else scratch
    if _kernels.repays(0):
        return _by_loop("exp", x, array("exp 0", x.shape))
    if x.size <= FEW:
        return np.array([exp_one(value) for value in x.ravel().tolist()]).reshape(x.shape)
    t, n, p, r, even = (array(f"exp {i}", x.shape) for i in range(5))
    np.multiply(x, LOG2_E, out=t)
    t += ROUNDER
    np.subtract(t, ROUNDER, out=n)
    power = t.view(np.int64)
    power -= ROUNDER_BITS - 1023
    power <<= 52
    np.multiply(n, LN2_HIGH, out=r)
    np.subtract(x, r, out=r)
    n *= LN2_LOW
    r -= n
    s = np.multiply(r, r, out=n)
    np.multiply(s, EXP[9], out=p)  # odd powers of r
    np.multiply(s, EXP[8], out=even)
    for odd_c, even_c in zip(EXP[7:1:-2], EXP[6:0:-2]):
        p += odd_c
        p *= s
        even += even_c
        even *= s
    p += EXP[1]
    even += EXP[0]
    p *= r
    p += even
    p *= s
    p += r
    p += 1.0
    p *= power.view(np.float64)
    return p


def log(x: Float[Array, ...]) -> Float[Array, ...]:
    """Return log of a normal x > 0, within 1 ulp."""
    if _kernels.repays(0):
        return _by_loop("log", x, np.empty(x.shape))
    if x.size <= FEW:
        return np.array([_log(value) for value in x.ravel().tolist()]).reshape(x.shape)
    i = np.asarray(x, np.float64).view(np.int64) - ROOT_HALF
    k = (i >> 52).astype(np.float64)
    i &= MANTISSA
    i += ROOT_HALF
    return log_of(k, i.view(np.float64) - 1.0)


def exp_one(x: float) -> float:
    """`exp` of one number: the calls of NumPy would cost more than the arithmetic."""
    t = x * LOG2_E + ROUNDER
    n = t - ROUNDER
    if n != n:
        return n
    r = (x - n * LN2_HIGH) - n * LN2_LOW
    return math.ldexp(exp_of(r), int(n))


def _log(x: float) -> float:
    """`log` of one number."""
    m, k = math.frexp(x)
    if m < LOWEST_MANTISSA:
        m, k = 2.0 * m, k - 1
    return log_of(k, m - 1.0)


def _by_loop(name: str, x: Array, out: Array) -> Array:
    from recuse._kernels import elementary

    getattr(elementary, name)(np.ascontiguousarray(x, np.float64).reshape(-1), out.reshape(-1))
    return out


def log1p(x: Float[Array, ...]) -> Float[Array, ...]:
    """Return log(1 + x) for x >= 0."""
    if _kernels.repays(0):
        return _by_loop("log1p", x, np.empty(x.shape))
    u = 1.0 + x
    d = u - 1.0
    exact = d == 0.0
    return np.where(exact, x, log(u) * (x / np.where(exact, 1.0, d)))


def power(x: Float[Array, ...], p: float, scratch: Scratch | None = None) -> Float[Array, ...]:
    """Return x^p for x in [0, 1] and p > 0; with scratch as `exp`."""
    return exp(np.maximum(p * log(np.maximum(x, TINY)), FLOOR), scratch)


def fixed_sum(terms: Array, unit: float | Array, axis: int) -> Int[Array, " r"]:
    """Sum terms in [0, unit] along an axis, in units of unit 2^-52; overwrites the terms."""
    terms += unit
    bits = terms.view(np.int64)
    bits -= np.asarray(unit, np.float64).view(np.int64)
    return bits.sum(axis=axis)
