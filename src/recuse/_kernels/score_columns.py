"""Loops of `scores` over columns (K, r): a column for each prediction, a block of them in a vector.

K = classes, r = predictions. What a loop adds to is allocated in it, so that LLVM has no overlap of
arrays to fear.
"""

from __future__ import annotations

import numpy as np

from recuse._kernels.arithmetic import LOWEST, ULP
from recuse._kernels.elementary import bits, expanded, reduced
from recuse._kernels.jit import larger, njit
from recuse._kernels.scores import above, magnitude, term

BLOCK = 256  # predictions


@njit(nogil=True, error_model="numpy")
def survey(z, top, second, low, label, others):
    """`scores.survey`; the logits but the two largest go to others (K - 2, r), in no set order."""
    k, r = z.shape
    t, s, lo = np.empty(BLOCK, z.dtype), np.empty(BLOCK, z.dtype), np.empty(BLOCK, z.dtype)
    x, total, at = np.zeros(BLOCK, z.dtype), np.empty(BLOCK, z.dtype), np.empty(BLOCK, np.int32)
    malformed = False
    for start in range(0, r, BLOCK):
        size = min(BLOCK, r - start)
        t[:], s[:], lo[:], total[:], at[:] = -np.inf, -np.inf, np.inf, 0, 0
        for c in range(k):
            row, here = z[c, start : start + size], np.int32(c)
            for j in range(row.size):
                x[j] = row[j]
            for j in range(BLOCK):
                at[j] = here if x[j] > t[j] else at[j]
                lo[j] = -larger(-lo[j], -x[j])
                total[j] += x[j]  # NaN and +inf stay
                loser = -larger(-x[j], -t[j])
                t[j] = larger(t[j], x[j])
                x[j] = -larger(-loser, -s[j])
                s[j] = larger(s[j], loser)
            if c >= 2:
                out = others[c - 2, start : start + size]
                for j in range(out.size):
                    out[j] = x[j]
        for j in range(size):
            top[start + j], second[start + j], low[start + j] = t[j], s[j], lo[j]
            label[start + j] = at[j]
            malformed |= not (-np.inf < t[j] and total[j] < np.inf)
    return malformed


@njit(nogil=True, error_model="numpy")
def exp_sums(others, second, factor, unit, sums):
    """`scores.exp_sums` of what `survey` leaves, and the second largest."""
    k, r = others.shape
    zero, one, moments = bits(unit), bits(1.0 + unit) - bits(unit), len(sums)
    x, p, e = np.zeros(BLOCK), np.zeros(BLOCK), np.empty(BLOCK)
    n, s = np.empty(BLOCK, np.int64), np.empty((3, BLOCK), np.int64)
    a, b, d = s
    for start in range(0, r, BLOCK):
        size = min(BLOCK, r - start)
        p[:size] = second[start : start + size]
        for j in range(BLOCK):
            a[j] = d[j] = one if p[j] > LOWEST else 0
            b[j] = 0
        for c in range(k):
            row = others[c, start : start + size]
            for j in range(row.size):
                x[j] = term(row[j], p[j], factor)
            for j in range(BLOCK):
                e[j], n[j] = reduced(x[j])
            for j in range(BLOCK):
                e[j] = expanded(e[j], n[j])
                a[j] += bits(e[j] + unit) - zero
            if moments > 1:
                for j in range(BLOCK):
                    b[j] += bits(e[j] * -x[j] + unit) - zero
            if moments > 2:
                for j in range(BLOCK):
                    d[j] += bits(e[j] * e[j] + unit) - zero
        for moment in range(moments):
            scale = unit * (-ULP if moment == 1 else ULP)
            for j in range(size):
                sums[moment, start + j] = s[moment, j] * scale


@njit(nogil=True, error_model="numpy")
def gaps(z, top, lowest, unit, sums):
    """`scores.gaps`."""
    k, r = z.shape
    t, u, s = np.empty(BLOCK), np.empty(BLOCK), np.empty(BLOCK, np.int64)
    for start in range(0, r, BLOCK):
        size = min(BLOCK, r - start)
        t[:size], s[:] = top[start : start + size], 0
        for j in range(size):
            u[j] = above(t[j] - lowest[start + j]) * unit
        for c in range(k):
            row = z[c, start : start + size]
            for j in range(row.size):
                gap = t[j] - np.float64(row[j])
                s[j] += bits((gap if gap < np.inf else 0.0) + u[j]) - bits(u[j])
        for j in range(size):
            sums[start + j] = s[j] * (u[j] * ULP)


@njit(nogil=True, error_model="numpy")
def magnitudes(z, top, mean, label, v, scale):
    """`scores.magnitudes`."""
    k, r = z.shape
    x, y = np.zeros(BLOCK, z.dtype), np.empty(BLOCK)
    t, m, s, at = np.zeros(BLOCK), np.zeros(BLOCK), np.empty(BLOCK), np.zeros(BLOCK, np.int32)
    for start in range(0, r, BLOCK):
        size = min(BLOCK, r - start)
        t[:size], m[:size] = top[start : start + size], mean[start : start + size]
        s[:], at[:size] = 0, label[start : start + size]
        for c in range(k):
            row, out, here = z[c, start : start + size], v[c, start : start + size], np.int32(c)
            for j in range(row.size):
                x[j] = row[j]
            for j in range(BLOCK):
                w = magnitude(x[j], t[j], m[j])
                y[j] = 0.0 if at[j] == here else w
                s[j] = larger(s[j], y[j])
            for j in range(out.size):
                out[j] = y[j]
        scale[start : start + size] = s[:size]
        for j in range(BLOCK):
            s[j] = s[j] if s[j] > 0 else 1.0
        for c in range(k):
            out = v[c, start : start + size]
            for j in range(out.size):
                out[j] /= s[j]


@njit(nogil=True, error_model="numpy")
def multiply_and_sum(power, v, unit, sums):
    """`scores.multiply_and_sum`."""
    k, r = power.shape
    zero, s = bits(unit), np.empty(BLOCK, np.int64)
    for start in range(0, r, BLOCK):
        size = min(BLOCK, r - start)
        s[:] = 0
        for c in range(k):
            x, y = power[c, start : start + size], v[c, start : start + size]
            for j in range(x.size):
                x[j] *= y[j]
            for j in range(x.size):
                s[j] += bits(x[j] + unit) - zero
        sums[start : start + size] = s[:size]


@njit(nogil=True, error_model="numpy")
def sum_of_powers(v, p, unit, sums):
    """`scores.sum_of_powers`."""
    k, r = v.shape
    zero, s = bits(unit), np.empty(BLOCK, np.int64)
    for start in range(0, r, BLOCK):
        size = min(BLOCK, r - start)
        s[:] = 0
        for c in range(k):
            row = v[c, start : start + size]
            for j in range(row.size):
                x = row[j]
                y = x * x if p > 1 else x
                y = y * x if p > 2 else y
                y = y * x if p > 3 else y
                s[j] += bits(y + unit) - zero
        sums[start : start + size] = s[:size]
