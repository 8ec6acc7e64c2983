"""Loops that count predictions by bin.

n = predictions, b = bins. A block's bins are computed by vector instructions into a buffer that
stays in the nearest cache; then the counts, which fit into the next one, are raised.
`recuse.sketch` has the definitions of the bins.
"""

from __future__ import annotations

import numpy as np

from recuse._kernels.jit import njit

BLOCK = 1024
LOG_ODDS, PROBABILITY, FLOAT = range(3)  # codes of the scales
ONE = np.float32(1)
LOWEST, MIDDLE = np.float32(-12), np.float32(20)
HIGHEST = np.nextafter(np.float32(128 - 2**-8), ONE)
FINE, COARSE = np.float32(2**10), np.float32(2**8)
ZERO, INFINITY = np.float32(0), np.float32(np.inf)


@njit(nogil=True)
def tally(confidence, loss, scale, counts, step):
    """Add `step` to counts (b, 2) for each prediction: column 0 if it is right, 1 if wrong.

    Stops at the first block with a confidence outside the scale or a loss not 0 or 1. Returns
    how many predictions were counted, and of how many the confidence is no float32.
    """
    rounded = 0
    value, key = np.empty(BLOCK, np.float32), np.empty(BLOCK, np.uint32)
    flat = counts.reshape(-1)
    for start in range(0, confidence.size, BLOCK):
        c, l = confidence[start : start + BLOCK], loss[start : start + BLOCK]
        inexact = bins(c, scale, value, key)
        if inexact < 0 or pair(l, key):
            return start, rounded
        rounded += inexact
        for i in range(c.size):
            flat[key[i]] += step
    return confidence.size, rounded


@njit(nogil=True)
def tally_patterns(pattern, loss, bin_of, counts, step):
    """`tally` of 16-bit patterns by a table of their bins, in which those outside are < 0."""
    key = np.empty(BLOCK, np.uint32)
    flat = counts.reshape(-1)
    for start in range(0, pattern.size, BLOCK):
        c, l = pattern[start : start + BLOCK], loss[start : start + BLOCK]
        outside = np.int32(0)
        for i in range(c.size):
            b = bin_of[c[i]]
            outside |= b
            key[i] = b
        if outside < 0 or pair(l, key):
            return start, 0
        for i in range(c.size):
            flat[key[i]] += step
    return pattern.size, 0


@njit(nogil=True)
def bins(c, scale, value, key):
    """Write the bins of a block. Returns how many were rounded; < 0 if one is outside."""
    outside, inexact = np.int32(0), np.int32(0)
    for i in range(c.size):
        x = np.float32(c[i])
        value[i] = x
        outside |= np.int32(c[i] != c[i])
        inexact += np.int32(x != c[i])
    if scale == LOG_ODDS:
        for i in range(c.size):
            x = value[i]
            y = np.floor(min(max(x, LOWEST), MIDDLE) * FINE)
            y += np.floor(min(max(x - MIDDLE, ZERO), HIGHEST) * COARSE)
            key[i] = np.int32(y) + np.int32(12288) + np.int32(x == INFINITY)
    elif scale == PROBABILITY:
        for i in range(c.size):
            x = value[i]
            outside |= np.int32((x < 0) | (x > 1))
            value[i] = ONE - x
        bits = value.view(np.int32)
        for i in range(c.size):
            key[i] = np.int32(49153) - max(
                (bits[i] >> np.int32(12)) - np.int32(210943), np.int32(0)
            )
    else:
        bits = value.view(np.int32)
        for i in range(c.size):
            u = (bits[i] & np.int32(0x7FFFFFFF)) >> np.int32(13)
            k = min(max(u - np.int32(107519), np.int32(1)), np.int32(32766))
            k = k * np.int32(value[i] != 0) + np.int32(u == np.int32(261120))
            key[i] = np.int32(32768) + k if value[i] >= 0 else np.int32(32767) - k
    return -1 if outside else inexact


@njit(nogil=True)
def pair(l, key):
    """Turn bins into places of right and wrong, side by side; true if a loss is not 0 or 1."""
    other = np.int32(0)
    for i in range(l.size):
        wrong = l[i] == 1
        other |= np.int32(wrong == (l[i] == 0))
        key[i] = key[i] * np.uint32(2) + np.uint32(wrong)
    return other != 0
