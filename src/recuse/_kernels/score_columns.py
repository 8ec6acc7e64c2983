"""Loops of `scores` over columns (K, r): a column for each prediction, a block of them in a vector.

K = classes, r = predictions, of which there is a block at least: the last block begins early enough
to be whole, and computes some of the one before again.
"""

from __future__ import annotations

import numpy as np

from recuse._kernels.arithmetic import LOWEST, ULP
from recuse._kernels.elementary import bits, expanded, reduced
from recuse._kernels.jit import larger, njit
from recuse._kernels.scores import above, magnitude, term

BLOCK = 64  # predictions


@njit(nogil=True, error_model="numpy")
def survey(z, top, second, low, label, others):
    """`scores.survey`; the logits but the two largest go to others (K - 2, r), in no set order."""
    k, r = z.shape
    t, s, lo = np.empty(BLOCK, z.dtype), np.empty(BLOCK, z.dtype), np.empty(BLOCK, z.dtype)
    x, total, at = np.empty(BLOCK, z.dtype), np.empty(BLOCK, z.dtype), np.empty(BLOCK, np.int32)
    malformed = False
    for block in range(0, r, BLOCK):
        start = min(block, r - BLOCK)
        t[:], s[:], lo[:], total[:], at[:] = -np.inf, -np.inf, np.inf, 0, 0
        for c in range(k):
            row, here = z[c, start : start + BLOCK], np.int32(c)
            out = others[c - 2, start : start + BLOCK] if c >= 2 else x
            for j in range(BLOCK):
                y = row[j]
                at[j] = here if y > t[j] else at[j]
                lo[j] = -larger(-lo[j], -y)
                total[j] += y  # NaN and +inf stay
                loser = -larger(-y, -t[j])
                t[j] = larger(t[j], y)
                out[j] = -larger(-loser, -s[j])
                s[j] = larger(s[j], loser)
        for j in range(BLOCK):
            top[start + j], second[start + j], low[start + j] = t[j], s[j], lo[j]
            label[start + j] = at[j]
            malformed |= not (-np.inf < t[j] and total[j] < np.inf)
    return malformed


@njit(nogil=True, error_model="numpy")
def exp_sums(others, second, factor, unit, sums):
    """`scores.exp_sums` of what `survey` leaves, and the second largest."""
    k, r = others.shape
    zero, one, moments = bits(unit), bits(1.0 + unit) - bits(unit), len(sums)
    x, e, n = np.empty(BLOCK), np.empty(BLOCK), np.empty(BLOCK, np.int64)
    s = np.empty((4, BLOCK), np.int64)
    a, b, d, f = s
    for block in range(0, r, BLOCK):
        start = min(block, r - BLOCK)
        p = second[start : start + BLOCK]
        for j in range(BLOCK):
            a[j] = d[j] = one if p[j] > LOWEST else 0
            b[j] = f[j] = 0
        for c in range(k):
            row = others[c, start : start + BLOCK]
            for j in range(BLOCK):
                x[j] = term(row[j], p[j], factor)
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
            if moments > 3:
                for j in range(BLOCK):
                    f[j] += bits(x[j] * x[j] * e[j] + unit) - zero
        for moment in range(moments):
            scale = unit * (-ULP if moment == 1 else ULP)
            for j in range(BLOCK):
                sums[moment, start + j] = s[moment, j] * scale


@njit(nogil=True, error_model="numpy")
def gaps(z, top, lowest, unit, sums):
    """`scores.gaps`."""
    k, r = z.shape
    u, s = np.empty(BLOCK), np.empty(BLOCK, np.int64)
    for block in range(0, r, BLOCK):
        start = min(block, r - BLOCK)
        t, low = top[start : start + BLOCK], lowest[start : start + BLOCK]
        out = sums[start : start + BLOCK]
        for j in range(BLOCK):
            u[j], s[j] = above(t[j] - low[j]) * unit, 0
        for c in range(k):
            row = z[c, start : start + BLOCK]
            for j in range(BLOCK):
                gap = t[j] - np.float64(row[j])
                s[j] += bits((gap if gap < np.inf else 0.0) + u[j]) - bits(u[j])
        for j in range(BLOCK):
            out[j] = s[j] * (u[j] * ULP)


@njit(nogil=True, error_model="numpy")
def squares(z, mean, largest, unit, sums):
    """`scores.squares`."""
    k, r = z.shape
    u, s = np.empty(BLOCK), np.empty(BLOCK, np.int64)
    for block in range(0, r, BLOCK):
        start = min(block, r - BLOCK)
        m, most = mean[start : start + BLOCK], largest[start : start + BLOCK]
        out = sums[start : start + BLOCK]
        for j in range(BLOCK):
            u[j], s[j] = above(most[j] * most[j]) * unit, 0
        for c in range(k):
            row = z[c, start : start + BLOCK]
            for j in range(BLOCK):
                x = np.float64(row[j]) - m[j]
                x *= x
                s[j] += bits((x if x < np.inf else 0.0) + u[j]) - bits(u[j])
        for j in range(BLOCK):
            out[j] = s[j] * (u[j] * ULP)


@njit(nogil=True, error_model="numpy")
def magnitudes(z, top, mean, label, v, scale):
    """`scores.magnitudes`."""
    k, r = z.shape
    for block in range(0, r, BLOCK):
        start = min(block, r - BLOCK)
        t, m = top[start : start + BLOCK], mean[start : start + BLOCK]
        s, at = scale[start : start + BLOCK], label[start : start + BLOCK]
        s[:] = 0
        for c in range(k):
            row, out, here = z[c, start : start + BLOCK], v[c, start : start + BLOCK], np.int32(c)
            for j in range(BLOCK):
                w = magnitude(row[j], t[j], m[j])
                out[j] = 0.0 if at[j] == here else w
                s[j] = larger(s[j], out[j])
        for c in range(k):
            out = v[c, start : start + BLOCK]
            for j in range(BLOCK):
                out[j] /= s[j] if s[j] > 0 else 1.0


@njit(nogil=True, error_model="numpy")
def multiply_and_sum(power, v, unit, sums):
    """`scores.multiply_and_sum`."""
    k, r = power.shape
    zero, s = bits(unit), np.empty((len(sums), BLOCK), np.int64)
    for start in range(0, r, BLOCK):
        size = min(BLOCK, r - start)
        s[:] = 0
        for c in range(k):
            x, y = power[c, start : start + size], v[c, start : start + size]
            for order in range(len(sums)):
                t = s[order]
                for j in range(x.size):
                    x[j] *= y[j]
                    t[j] += bits(x[j] + unit) - zero
        sums[:, start : start + size] = s[:, :size]


@njit(nogil=True, error_model="numpy")
def sum_of_powers(v, p, unit, sums):
    """`scores.sum_of_powers`."""
    k, r = v.shape
    zero = bits(unit)
    for block in range(0, r, BLOCK):
        start = min(block, r - BLOCK)
        s = sums[start : start + BLOCK]
        s[:] = 0
        for c in range(k):
            row = v[c, start : start + BLOCK]
            for j in range(BLOCK):
                x = row[j]
                y = x * x if p > 1 else x
                y = y * x if p > 2 else y
                y = y * x if p > 3 else y
                s[j] += bits(y + unit) - zero
