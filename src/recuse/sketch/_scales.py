"""Which bin a confidence falls into: monotone, so that bins separate what they order.

b = bins, from the least to the most certain.

A scale is written once, in operations that NumPy and torch share (`xp` is either), and exact:
no operation rounds, or it rounds monotonically as IEEE 754 prescribes, so that every machine
and device finds the same bin. `_sketch_kernels` restates the three scales of float32.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np

from recuse.errors import InputError

if TYPE_CHECKING:
    from jaxtyping import Bool, Float32
    from numpy import ndarray as Array

HIGHEST = float(np.nextafter(np.float32(128 - 2**-8), np.float32(0)))
PATTERNS = 1 << 16  # of a 16-bit float


@dataclass(frozen=True)
class Scale:
    """A monotone map of float32 confidences onto bins 0..size-1."""

    name: str
    size: int
    bins: Callable[[Any, Any], Any]  # float32 values that it holds, xp -> bins
    holds: Callable[[Any, Any], Any]  # float32 values, xp -> mask
    expected: str  # what it holds, for a message
    domain: tuple[float, float] = (-np.inf, np.inf)
    code: int | None = None  # in `_sketch_kernels`
    half: bool = False  # each bin is one value


class Edges:
    """The float32 values of each bin."""

    def __init__(self, lowest: Float32[Array, " b"], highest: Float32[Array, " b"]):
        self.lowest = lowest  # the smallest; a threshold there accepts this bin and those above
        self.single: Bool[Array, " b"] = lowest == highest  # no two values share the bin


def _log_odds(c: Any, xp: Any) -> Any:
    """Steps of 2^-10 from -12 to 20 and of 2^-8 to 148; beyond are the ends; +inf is apart."""
    fine = xp.floor(xp.clip(c, -12.0, 20.0) * 1024.0)
    coarse = xp.floor(xp.clip(c - 20.0, 0.0, HIGHEST) * 256.0)
    return xp.asarray(fine + coarse, dtype=xp.int32) + 12288 + (c == np.inf)


def _probability(c: Any, xp: Any) -> Any:
    """The exponent and 11 bits of 1 - c, which is 0 or in [2^-24, 1]; 0 is apart."""
    bits = (1.0 - c).view(xp.int32) >> 12
    return 49153 - xp.clip(bits - 210943, 0, None)


def _float(c: Any, xp: Any) -> Any:
    """The sign, the exponent from -22 to 9 and 10 bits; 0 and the infinities are apart."""
    bits = (c.view(xp.int32) & 0x7FFFFFFF) >> 13
    magnitude = xp.clip(bits - 107519, 1, 32766) * (c != 0) + (bits == 261120)
    return xp.where(c >= 0, 32768 + magnitude, 32767 - magnitude)


def _float16(c: Any, xp: Any) -> Any:
    """The pattern of a float16, in the order of the values."""
    half = xp.asarray(c + 0.0, dtype=xp.float16).view(xp.int16)  # -0.0 + 0.0 is 0.0
    return _ordered(xp.asarray(half, dtype=xp.int32) & 0xFFFF, xp)


def _bfloat16(c: Any, xp: Any) -> Any:
    """The pattern of a bfloat16, in the order of the values."""
    return _ordered(((c + 0.0).view(xp.int32) >> 16) & 0xFFFF, xp)


def _ordered(pattern: Any, xp: Any) -> Any:
    return xp.where(pattern >= 0x8000, 0xFFFF - pattern, pattern + 0x8000)


def _number(c: Any, xp: Any) -> Any:
    return c == c


def _fraction(c: Any, xp: Any) -> Any:
    return (c >= 0) & (c <= 1)


def _fits_float16(c: Any, xp: Any) -> Any:
    return xp.asarray(xp.asarray(c, dtype=xp.float16), dtype=xp.float32) == c


def _fits_bfloat16(c: Any, xp: Any) -> Any:
    return (c == c) & ((c.view(xp.int32) & 0xFFFF) == 0)


_NUMBERS = "without NaN"
SCALES = {
    scale.name: scale
    for scale in (
        Scale("log_odds", 1 << 16, _log_odds, _number, _NUMBERS, code=0),
        Scale(
            "probability", 49154, _probability, _fraction, "in [0, 1]", domain=(0.0, 1.0), code=1
        ),
        Scale("float", 1 << 16, _float, _number, _NUMBERS, code=2),
        Scale("float16", PATTERNS, _float16, _fits_float16, "that are float16", half=True),
        Scale("bfloat16", PATTERNS, _bfloat16, _fits_bfloat16, "that are bfloat16", half=True),
    )
}


def scale_named(name: str) -> Scale:
    """A scale, or what there are."""
    if name not in SCALES:
        raise InputError(f"expected `scale` among {', '.join(SCALES)}, got {name!r}")
    return SCALES[name]


@cache
def edges(scale: Scale) -> Edges:
    """Found by bisection over all values, so that they follow from the definition of the bins."""
    if scale.half:
        values = patterns(scale)
        lowest = np.full(scale.size, np.nan, np.float32)
        held = scale.holds(values, np)
        lowest[scale.bins(values[held], np)] = values[held]
        return Edges(lowest + np.float32(0), lowest)
    first, last = (_rank(np.float32(end)) for end in scale.domain)
    low, high = (np.full(scale.size + 1, end) for end in (first, last + 1))
    while (low < high).any():
        middle = (low + high) // 2
        inside = middle <= last
        found = scale.bins(_of_rank(np.where(inside, middle, last)), np)
        enough = ~inside | (found >= np.arange(scale.size + 1))
        high = np.where(enough, middle, high)
        low = np.where(enough, low, np.minimum(middle + 1, high))
    highest = _of_rank(low[1:] - 1)
    return Edges(_of_rank(low[:-1]) + np.float32(0), highest)


def patterns(scale: Scale) -> Float32[Array, " p"]:
    """The values of all 16-bit patterns of a half-precision scale."""
    bits = np.arange(PATTERNS, dtype=np.uint32)
    if scale.name == "float16":
        return bits.astype(np.uint16).view(np.float16).astype(np.float32)
    return (bits << 16).view(np.float32)


@cache
def bin_of_pattern(scale: Scale) -> Array:
    """The bin of each 16-bit pattern; -1 for NaN."""
    values = patterns(scale)
    with np.errstate(invalid="ignore"):
        found = scale.bins(values, np)
    return np.where(np.isnan(values), -1, found).astype(np.int32)


def _rank(x: np.float32) -> int:
    """The place of a float32 among all of them, 0 for 0.0 and -1 for -0.0."""
    bits = int(x.view(np.uint32))
    return bits if bits < 1 << 31 else (1 << 31) - 1 - bits


def _of_rank(rank: Any) -> Float32[Array, " b"]:
    """The inverse of `_rank`."""
    return np.where(rank >= 0, rank, (1 << 31) - 1 - rank).astype(np.uint32).view(np.float32)
