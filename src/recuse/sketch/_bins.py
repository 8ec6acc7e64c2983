"""From confidences to counts by bin.

n = predictions of a batch, b = bins, from the least to the most certain. A scale is monotone, so
that bins separate what they order. It is written once, in operations that NumPy and torch share
(`xp` is either), and exact: no operation rounds, or it rounds monotonically as IEEE 754
prescribes, so that every machine and device finds the same bin. `_kernels.sketch` restates the
three scales of float32.

Counts are 64-bit integers. A loss has units of 2^-32; the right column holds predictions minus
whole losses, the wrong column whole losses, and `part` the rest, below one loss a bin: a form that
depends on the sums alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from recuse import _kernels
from recuse._internal.check import check_loss, first, is_floating, to_numpy
from recuse.errors import InputError

if TYPE_CHECKING:
    from jaxtyping import Bool, Float32, Int
    from numpy import ndarray as Array

SMALLEST_COMPILED = 1 << 14  # below, NumPy takes less than a millisecond
SECONDS = 2.5e-8  # a prediction, by NumPy
FLOATS = (np.float32, np.float64)
CHUNK = 1 << 17  # predictions: what is computed of them stays in cache
BITS = 32  # of the fraction of a loss
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
    code: int | None = None  # in `_kernels.sketch`
    half: bool = False  # each bin is one value


class Edges:
    """Range of float32 values of each bin."""

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
    """Return a scale by name, or refuse the name."""
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
    """Return the values of all 16-bit patterns of a half-precision scale."""
    bits = np.arange(PATTERNS, dtype=np.uint32)
    if scale.name == "float16":
        return bits.astype(np.uint16).view(np.float16).astype(np.float32)
    return (bits << 16).view(np.float32)


@cache
def bin_of_pattern(scale: Scale) -> Array:
    """Return the bin of each 16-bit pattern; -1 for NaN."""
    values = patterns(scale)
    with np.errstate(invalid="ignore"):
        found = scale.bins(values, np)
    return np.where(np.isnan(values), -1, found).astype(np.int32)


def _rank(x: np.float32) -> int:
    """Return the rank of a float32 among all of them, 0 for 0.0 and -1 for -0.0."""
    bits = int(x.view(np.uint32))
    return bits if bits < 1 << 31 else (1 << 31) - 1 - bits


def _of_rank(rank: Any) -> Float32[Array, " b"]:
    """Invert `_rank`."""
    return np.where(rank >= 0, rank, (1 << 31) - 1 - rank).astype(np.uint32).view(np.float32)


class Counts(NamedTuple):
    """Counts that a batch adds to a sketch."""

    pairs: Int[Array, "b 2"]  # right and wrong
    part: Int[Array, " b"] | None  # of losses other than 0 and 1
    rounded: tuple[int, int]  # confidences that are no float32, losses that are no units


def add(scale: Scale, pairs: Int[Array, "b 2"], confidence: Any, loss: Any) -> Iterator[Counts]:
    """Count a batch into `pairs` if compiled loops can; yield what else is to be added.

    Raises:
        InputError: As in `CurveSketch.update`; nothing is counted then.
    """
    if _on_device(confidence):
        import torch

        yield _counted(scale, confidence, loss, torch)
        return
    c, l = to_numpy(confidence), to_numpy(loss)
    if (rounded := _compiled(scale, pairs, c, l)) is not None:
        yield Counts(pairs[:0], None, (rounded, 0))
        return
    _check(scale, c, l)
    for start in range(0, max(len(c), 1), CHUNK):
        chunk = slice(start, start + CHUNK)
        yield _counted(scale, c[chunk], l[chunk], np)


def _on_device(x: Any) -> bool:
    """Return whether this is a torch tensor on a CUDA device; other devices are copied."""
    return type(x).__module__.split(".")[0] == "torch" and x.device.type == "cuda"


def _compiled(scale: Scale, pairs: Array, c: Array, l: Array) -> int | None:
    """Count by compiled loops; None for few predictions, other losses, and malformed input."""
    if c.ndim != 1 or c.shape != l.shape or c.size < SMALLEST_COMPILED:
        return None
    if not _kernels.repays(SECONDS * c.size):
        return None
    l = l.view(np.uint8) if l.dtype == bool else l
    if not (l.dtype.isnative and (l.dtype.kind in "iu" or l.dtype in FLOATS)):
        return None
    from recuse._kernels import sketch as kernels

    if scale.code is not None and c.dtype in FLOATS:
        loop, arguments = kernels.tally, (scale.code,)
    elif scale.name == c.dtype.name:
        loop, arguments, c = kernels.tally_patterns, (bin_of_pattern(scale),), c.view(np.uint16)
    else:
        return None
    c, l = np.ascontiguousarray(c), np.ascontiguousarray(l)
    done, rounded = loop(c, l, *arguments, pairs, 1)
    if done == c.size:
        return int(rounded)
    loop(c[:done], l[:done], *arguments, pairs, -1)
    return None


def _counted(scale: Scale, confidence: Any, loss: Any, xp: Any) -> Counts:
    """Count by operations that NumPy and torch share; only counts leave the device."""
    with np.errstate(over="ignore", invalid="ignore"):
        given = xp.asarray(confidence)
        c = xp.asarray(given, dtype=xp.float32)
        l = xp.asarray(loss, dtype=xp.float64)
        l = l if xp is np else l.to(c.device)
        inexact = int((xp.asarray(c, dtype=given.dtype) != given).sum())
        if xp is not np and ((scale.half and inexact) or not _sound(scale, c, l)):
            _check(scale, to_numpy(given), to_numpy(l))
        b = scale.bins(c, xp)
    wrong = l == 1
    if bool((wrong | (l == 0)).all()):
        pairs = xp.bincount(2 * b + wrong, minlength=2 * scale.size)
        return Counts(to_numpy(pairs).reshape(-1, 2), None, (inexact, 0))
    scaled = l * 2.0**BITS
    units = xp.round(scaled)
    high = xp.floor(units / 65536)
    # Sums of integers below 2^53: exact in any order.
    sums = (xp.bincount(b, weights=w, minlength=scale.size) for w in (high, units - high * 65536))
    high, low = (to_numpy(s).astype(np.int64) for s in sums)
    units_of_bin = (high << 16) + low
    whole = units_of_bin >> BITS
    count = to_numpy(xp.bincount(b, minlength=scale.size))
    pairs = np.stack([count - whole, whole], axis=1)
    return Counts(pairs, units_of_bin & ((1 << BITS) - 1), (inexact, int((units != scaled).sum())))


def _sound(scale: Scale, c: Any, l: Any) -> bool:
    """Return whether `_check` finds nothing, with one transfer from the device."""
    same = c.ndim == 1 and c.shape == l.shape and c.shape[0] > 0
    import torch

    return same and bool(scale.holds(c, torch).all() & ((l >= 0) & (l <= 1)).all())


def _check(scale: Scale, c: Array, l: Array) -> None:
    """Check confidences that the scale holds, and losses in [0, 1]."""
    if c.dtype.kind not in "iub" and not is_floating(c.dtype):
        raise InputError(f"expected `confidence` of a floating dtype, got {c.dtype}")
    if c.ndim != 1 or c.size == 0:
        raise InputError(f"expected `confidence` of shape (n,), n >= 1, got {c.shape}")
    with np.errstate(over="ignore", invalid="ignore"):
        value = c.astype(np.float32)
        bad = ~scale.holds(value, np)
        if scale.half:
            bad |= value != c
    if bad.any():
        raise InputError(
            f"expected `confidence` {scale.expected} for the scale {scale.name!r}, "
            f"got {c[bad][0]} at {first(bad)}"
        )
    l = check_loss(l, c.size)
    if (large := l > 1).any():
        raise InputError(
            f"expected `loss` in [0, 1] (divide by the largest possible loss), "
            f"got {l[large][0]} at {first(large)}"
        )
