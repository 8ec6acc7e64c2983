"""The loop over rows (n, K) behind `io._row_hashes`."""

from __future__ import annotations

import numba
import numpy as np

from recuse._internal.files import HASH_FACTOR
from recuse._kernels.jit import njit
from recuse._kernels.scores import bits

HALF, SHIFT = np.uint64(32), np.uint64(29)


@numba.njit(inline="always")
def _mixed(h, z):
    x = np.uint64(bits(np.float64(z) + 0.0))
    h = (h ^ x ^ (x >> HALF)) * HASH_FACTOR
    return h ^ (h >> SHIFT)


@njit(nogil=True)
def row_hashes(z, out):
    """The hash of each row of z (n, K), mixed into out (n,); four at once, each is a long chain."""
    n, k = z.shape
    whole = n - n % 4
    for i in range(0, whole, 4):
        a, b, c, d = out[i], out[i + 1], out[i + 2], out[i + 3]
        for j in range(k):
            a, b = _mixed(a, z[i, j]), _mixed(b, z[i + 1, j])
            c, d = _mixed(c, z[i + 2, j]), _mixed(d, z[i + 3, j])
        out[i], out[i + 1], out[i + 2], out[i + 3] = a, b, c, d
    for i in range(whole, n):
        for j in range(k):
            out[i] = _mixed(out[i], z[i, j])
