"""The loop over rows (n, K) behind `io._row_hashes`."""

from __future__ import annotations

import numpy as np

from recuse._internal.files import HASH_FACTOR
from recuse._kernels.jit import njit
from recuse._kernels.scores import bits

HALF, SHIFT = np.uint64(32), np.uint64(29)


@njit(nogil=True)
def row_hashes(z, out):
    """The hash of each row of z (n, K), mixed into out (n,)."""
    n, k = z.shape
    for i in range(n):
        row, h = z[i], out[i]
        for j in range(k):
            x = np.uint64(bits(np.float64(row[j]) + 0.0))
            h = (h ^ x ^ (x >> HALF)) * HASH_FACTOR
            h ^= h >> SHIFT
        out[i] = h
