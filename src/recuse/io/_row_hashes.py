"""A hash of each row, by which rows are found again in another split or file.

Samples of them are saved in rejectors: their values must never change.

n = rows of a file, K = columns of its outputs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

import numpy as np

from recuse import _kernels
from recuse._internal.files import HASH_FACTOR
from recuse.io._rows import HeldOut

if TYPE_CHECKING:
    from jaxtyping import Float, UInt64
    from numpy import ndarray as Array
    from numpy.typing import DTypeLike

ROWS = 1 << 11  # that are hashed at once
LINE = 32  # columns that are copied at once: two cache lines of float32
NUMPY = 9e-9  # seconds a logit
EXACT = "exact"

_known: WeakKeyDictionary[HeldOut, dict[tuple[bool, str], Array]] = WeakKeyDictionary()


def fingerprints(file: HeldOut, dtype: DTypeLike = np.float64) -> UInt64[Array, " n"]:
    """Return a hash of each row: logits rounded to `dtype`, and label."""
    out = _hashes(file, np.dtype(dtype), probs=False)
    if file.labels is None:
        return out
    return _mixed(out.copy(), file.labels.astype(np.float64)[:, None])


def output_hashes(file: HeldOut, dtype: DTypeLike) -> UInt64[Array, " n"]:
    """Return a hash of the outputs of each row, rounded to `dtype`."""
    # the logarithm of probabilities has another rounding
    return _hashes(file, np.dtype(dtype), probs=file.kind == "probs")


def _hashes(file: HeldOut, dtype: np.dtype, *, probs: bool) -> UInt64[Array, " n"]:
    """Return the hashes, which are computed once for each file."""
    exact = not probs and np.can_cast(file.logits.dtype, dtype)
    key, known = (probs, EXACT if exact else dtype.name), _known.setdefault(file, {})
    if key not in known:
        z, out = file.logits, np.zeros(len(file), np.uint64)
        for start in range(0, len(file), ROWS):
            part = z[start : start + ROWS]
            part = np.exp(part.astype(np.float64)) if probs else part
            _mixed(out[start : start + ROWS], part if exact else rounded(part, dtype))
        known[key] = out
    return known[key]


def rounded(x: Array, dtype: DTypeLike) -> Float[Array, ...]:
    """Return numbers rounded to `dtype`, in float64."""
    with np.errstate(over="ignore"):
        return x.astype(dtype, copy=False).astype(np.float64)


def _mixed(out: UInt64[Array, " n"], z: Array) -> UInt64[Array, " n"]:
    """Mix rows (n, K) into their hashes, in place."""
    if _kernels.repays(NUMPY * z.size):
        from recuse._kernels.row_hashes import row_hashes

        row_hashes(np.ascontiguousarray(z, np.promote_types(z.dtype, np.float32)), out)
        return out
    shifted = np.empty_like(out)
    for start in range(0, z.shape[1], LINE):
        block = np.ascontiguousarray(z[:, start : start + LINE].T)
        bits = (block.astype(np.float64) + 0.0).view(np.uint64)
        bits ^= bits >> 32
        for column in bits:
            out ^= column
            out *= HASH_FACTOR
            np.right_shift(out, 29, out=shifted)
            out ^= shifted
    return out
