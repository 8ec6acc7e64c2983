"""Polynomials of exponential and logarithm, which `arithmetic` and its loops evaluate alike."""

from __future__ import annotations

from typing import Any

import numpy as np

ROUNDER = 1.5 * 2.0**52  # plus x: the nearest integer in the low bits
ROUNDER_BITS = int(np.float64(ROUNDER).view(np.int64))
LOG2_E = 1.4426950408889634
LN2_HIGH, LN2_LOW = 0.6931471803691238, 1.9082149292705877e-10
EXP = (  # exp(r) - 1 - r over r^2, by powers of r: near 1 / 2!, 1 / 3!, ...
    0.5,
    0.16666666666666669,
    0.04166666666662399,
    0.008333333333330051,
    0.0013888888917281794,
    0.00019841269863105968,
    2.480152119021773e-05,
    2.7557268378684192e-06,
    2.7620138719733994e-07,
    2.5100424157005067e-08,
)
C1, C2, C3, C4, C5, C6, C7, C8, C9, C10 = EXP
LOG = (  # of fdlibm
    6.666666666666735130e-01,
    3.999999999940941908e-01,
    2.857142874366239149e-01,
    2.222219843214978396e-01,
    1.818357216161805012e-01,
    1.531383769920937332e-01,
    1.479819860511658591e-01,
)
ROOT_HALF = 0x3FE6A09E667F3BCD  # bits of sqrt(1/2)
LOWEST_MANTISSA = 0.7071067811865476  # the same
MANTISSA = 0x000FFFFFFFFFFFFF


def exp_of(r: Any) -> Any:
    """Return exp(r) for |r| <= log(2) / 2."""
    s = r * r
    even = (((C9 * s + C7) * s + C5) * s + C3) * s + C1
    odd = (((C10 * s + C8) * s + C6) * s + C4) * s + C2
    return ((odd * r + even) * s + r) + 1.0


def log_of(k: Any, f: Any) -> Any:
    """Return log(2^k (1 + f)) for sqrt(1/2) <= 1 + f < sqrt(2)."""
    s = f / (2.0 + f)
    z = s * s
    w = z * z
    odd = w * (LOG[1] + w * (LOG[3] + w * LOG[5]))
    even = z * (LOG[0] + w * (LOG[2] + w * (LOG[4] + w * LOG[6])))
    half = 0.5 * f * f
    return k * LN2_HIGH - ((half - (s * (half + (odd + even)) + k * LN2_LOW)) - f)
