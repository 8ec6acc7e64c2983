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
    """The larger of two floats of one type, in the form that LLVM turns into a vector reduction."""

    def build(context, builder, signature, arguments):
        of = ir.FloatType() if a == types.float32 else ir.DoubleType()
        form = ir.FunctionType(of, [of, of])
        maximum = builder.module.declare_intrinsic("llvm.maxnum", [of], form)
        return builder.call(maximum, arguments, fastmath=("nnan", "nsz"))

    return a(a, b), build


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
