"""What the loops share: a cached `njit`, and functions that LLVM turns into vector instructions.

numba refuses to compile with a cache where it can write neither beside the code nor in a home,
as in a read-only container. There each process compiles the loops anew.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numba
import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

# No "nnan" and "ninf": masked classes are -inf, and a NaN must come out as one.
ROOT = 0x3F3504F3  # the bits of sqrt(1/2)
FAST = {"reassoc", "contract", "arcp", "nsz"}


def njit(**options: Any) -> Callable[[Callable], Any]:
    """Return `numba.njit(cache=True, **options)`, without the cache where none can be kept."""

    def decorate(function: Callable) -> Any:
        try:
            return numba.njit(cache=True, **options)(function)
        except RuntimeError:  # "cannot cache function: no locator available"
            return numba.njit(**options)(function)

    return decorate


@intrinsic
def _power_of_two(typing_context, exponent):
    """2^i as float32 for an int32 i in -126..127, by writing the exponent bits."""

    def build(context, builder, signature, arguments):
        i32 = ir.IntType(32)
        biased = builder.add(arguments[0], ir.Constant(i32, 127))
        return builder.bitcast(builder.shl(biased, ir.Constant(i32, 23)), ir.FloatType())

    return types.float32(types.int32), build


@intrinsic
def larger(typing_context, a, b):
    """The larger of two float32, in the form that LLVM turns into a vector reduction."""

    def build(context, builder, signature, arguments):
        f32 = ir.FloatType()
        maximum = builder.module.declare_intrinsic(
            "llvm.maxnum", [f32], ir.FunctionType(f32, [f32, f32])
        )
        return builder.call(maximum, arguments, fastmath=("nnan", "nsz"))

    return types.float32(types.float32, types.float32), build


@intrinsic
def _exponent(typing_context, x):
    """e of x = m 2^e with m in [sqrt(1/2), sqrt(2)), as float32."""

    def build(context, builder, signature, arguments):
        i32 = ir.IntType(32)
        bits = builder.bitcast(arguments[0], i32)
        shifted = builder.ashr(builder.sub(bits, ir.Constant(i32, ROOT)), ir.Constant(i32, 23))
        return builder.sitofp(shifted, ir.FloatType())

    return types.float32(types.float32), build


@intrinsic
def _mantissa(typing_context, x):
    """m of x = m 2^e with m in [sqrt(1/2), sqrt(2))."""

    def build(context, builder, signature, arguments):
        i32 = ir.IntType(32)
        bits = builder.sub(builder.bitcast(arguments[0], i32), ir.Constant(i32, ROOT))
        kept = builder.and_(bits, ir.Constant(i32, 0x007FFFFF))
        return builder.bitcast(builder.add(kept, ir.Constant(i32, ROOT)), ir.FloatType())

    return types.float32(types.float32), build


@numba.njit(inline="always")
def log32(x):
    """log of a normal float32 x > 0, within 1e-7 absolute of values below 100."""
    f = _mantissa(x) - np.float32(1)
    p = np.float32(7.0376836292e-2)
    p = p * f + np.float32(-1.1514610310e-1)
    p = p * f + np.float32(1.1676998740e-1)
    p = p * f + np.float32(-1.2420140846e-1)
    p = p * f + np.float32(1.4249322787e-1)
    p = p * f + np.float32(-1.6668057665e-1)
    p = p * f + np.float32(2.0000714765e-1)
    p = p * f + np.float32(-2.4999993993e-1)
    p = p * f + np.float32(3.3333331174e-1)
    square = f * f
    low = p * f * square - np.float32(0.5) * square + f
    return low + _exponent(x) * np.float32(0.69314718056)


@numba.njit(inline="always")
def exp32(x):
    """exp of a float32 x <= 0, within 1.2e-7 relative; 0 below the normal numbers."""
    exponent = np.floor(x * np.float32(1.44269504) + np.float32(0.5))
    r = x - exponent * np.float32(0.693359375) + exponent * np.float32(2.12194440e-4)
    p = np.float32(1.9875691500e-4)
    p = p * r + np.float32(1.3981999507e-3)
    p = p * r + np.float32(8.3334519073e-3)
    p = p * r + np.float32(4.1665795894e-2)
    p = p * r + np.float32(1.6666665459e-1)
    p = p * r + np.float32(5.0000001201e-1)
    p = p * r * r + r + np.float32(1)
    y = p * _power_of_two(np.int32(exponent))
    return np.float32(0) if x < np.float32(-87) else y
