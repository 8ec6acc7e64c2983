"""Exponential and logarithms of `arithmetic` as loops, to the same bits, and what they are made of.

The exponential is in two steps. A loop of its own for each keeps chains of operations short enough
for a processor to work on several vectors at once.
"""

from __future__ import annotations

import numba
import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from recuse._kernels.jit import njit
from recuse._kernels.polynomials import (
    LN2_HIGH,
    LN2_LOW,
    LOG2_E,
    MANTISSA,
    ROOT_HALF,
    ROUNDER,
    exp_of,
    log_of,
)


@intrinsic
def bits(typing_context, x):
    """The bits of a float64 as int64."""

    def build(context, builder, signature, arguments):
        return builder.bitcast(arguments[0], ir.IntType(64))

    return types.int64(types.float64), build


@intrinsic
def of_bits(typing_context, x):
    """The float64 of bits as int64."""

    def build(context, builder, signature, arguments):
        return builder.bitcast(arguments[0], ir.DoubleType())

    return types.float64(types.int64), build


_exp_of = numba.njit(inline="always")(exp_of)
_log_of = numba.njit(inline="always")(log_of)


@numba.njit(inline="always")
def reduced(x):
    """r and the bits of n such that x = r + n log 2."""
    t = x * LOG2_E + ROUNDER
    n = t - ROUNDER
    return (x - n * LN2_HIGH) - n * LN2_LOW, bits(t) << 52


@numba.njit(inline="always")
def expanded(r, n):
    """`arithmetic.exp` of what is `reduced`."""
    return of_bits(bits(_exp_of(r)) + n)


@numba.njit(inline="always")
def _log64(x):
    i = bits(x) - ROOT_HALF
    return _log_of(np.float64(i >> 52), of_bits((i & MANTISSA) + ROOT_HALF) - 1.0)


@njit(nogil=True, error_model="numpy")
def exp(x, out):
    """`arithmetic.exp` of x (r,)."""
    for i in range(x.size):
        r, n = reduced(x[i])
        out[i] = expanded(r, n)


@njit(nogil=True, error_model="numpy")
def log(x, out):
    """`arithmetic.log` of x (r,)."""
    for i in range(x.size):
        out[i] = _log64(x[i])


@njit(nogil=True, error_model="numpy")
def log1p(x, out):
    """`arithmetic.log1p` of x (r,)."""
    for i in range(x.size):
        u = 1.0 + x[i]
        d = u - 1.0
        out[i] = x[i] if d == 0.0 else _log64(u) * (x[i] / d)
