"""Predictions of one batch, counted by bin: where they lie, and exactly.

n = predictions of the batch, b = bins. Counts are 64-bit integers. A loss has units of 2^-32;
the right column holds predictions minus whole losses, the wrong column whole losses, and
`part` the rest, below one loss a bin: a form that depends on the sums alone.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from recuse._internal.check import check_loss, first, is_floating, to_numpy
from recuse.errors import InputError
from recuse.sketch._scales import Scale, bin_of_pattern

if TYPE_CHECKING:
    from jaxtyping import Int
    from numpy import ndarray as Array

SMALLEST_COMPILED = 1 << 14  # below, NumPy is fast, and nobody waits for numba
FLOATS = (np.float32, np.float64)
CHUNK = 1 << 20  # predictions; bounds the memory of temporaries
BITS = 32  # of the fraction of a loss


class Counts(NamedTuple):
    """What a batch adds to a sketch."""

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
    """Whether this is a torch tensor on a CUDA device; those of others are copied."""
    return type(x).__module__.split(".")[0] == "torch" and x.device.type == "cuda"


def _compiled(scale: Scale, pairs: Array, c: Array, l: Array) -> int | None:
    """Count by compiled loops; None for few predictions, other losses, and malformed input."""
    if c.ndim != 1 or c.shape != l.shape or c.size < SMALLEST_COMPILED:
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
    """Whether `_check` finds nothing, by one transfer from the device."""
    same = c.ndim == 1 and c.shape == l.shape and c.shape[0] > 0
    import torch

    return same and bool(scale.holds(c, torch).all() & ((l >= 0) & (l <= 1)).all())


def _check(scale: Scale, c: Array, l: Array) -> None:
    """Confidences that the scale holds, and losses in [0, 1]."""
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
