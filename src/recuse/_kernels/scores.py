"""Loops over logits (r, K), a row for each prediction: what `scores._sums` computes by NumPy.

r = predictions, K = classes. The operations are those of `arithmetic`, and sums over classes are
sums of integers, so that LLVM may order them as it likes: the results are the same bits.
"""

from __future__ import annotations

import numba
import numpy as np

from recuse._kernels.arithmetic import FLOOR, TINY, ULP
from recuse._kernels.elementary import bits, expanded, of_bits, reduced
from recuse._kernels.jit import larger, njit

BLOCK = 512  # classes whose exponentials are computed at once


@numba.njit(inline="always")
def term(z, pivot, factor):
    """The exponent of a logit."""
    x = np.float64(z) - pivot
    x = (x if x < 0.0 else 0.0) * factor
    return x if x > FLOOR else FLOOR


@numba.njit(inline="always")
def above(gap):
    """The next power of two."""
    return of_bits(((bits(gap if gap > TINY else TINY) >> 52) + 1) << 52)


@numba.njit(inline="always")
def magnitude(z, top, mean):
    """|z - top - mean|, 0 of an impossible class."""
    x = abs((np.float64(z) - top) - mean)
    return x if x < np.inf else 0.0


@njit(nogil=True, error_model="numpy")
def _maximum(z):
    top = z.dtype.type(-np.inf)
    for j in range(z.size):
        top = larger(top, z[j])
    return top


@njit(nogil=True, error_model="numpy")
def _minimum(z):
    low = z.dtype.type(np.inf)
    for j in range(z.size):
        low = -larger(-low, -z[j])
    return low


@njit(nogil=True, error_model="numpy")
def _lowest_index(z, top):
    index = np.int32(z.size)
    for j in range(z.size):
        index = min(index, np.int32(j) if z[j] == top else np.int32(z.size))
    return index


@njit(nogil=True, error_model="numpy")
def _malformed(z):
    """How many are NaN or +inf."""
    count = np.int32(0)
    for j in range(z.size):
        count += np.int32(0) if z[j] < np.inf else np.int32(1)
    return count


@njit(nogil=True, error_model="numpy")
def survey(z, top, second, low, label):
    """The two largest logits, the lowest, and where the largest is, (r,).

    Returns whether there is a NaN or +inf, or no finite logit in a row.
    """
    for i in range(len(z)):
        if _malformed(z[i]):
            return True
        top[i], low[i] = _maximum(z[i]), _minimum(z[i])
        at = min(_lowest_index(z[i], top[i]), np.int32(z.shape[1] - 1))
        second[i] = max(_maximum(z[i, :at]), _maximum(z[i, at + 1 :]))
        label[i] = at
        if not top[i] > -np.inf:
            return True
    return False


@njit(nogil=True, error_model="numpy")
def exp_sums(z, second, factor, unit, sums):
    """Sums of exp(x), x exp(x), exp(x)^2 and x^2 exp(x), as many of them as `sums` (1 to 4, r) has.

    x = factor * (z - second), of all classes but the predicted one.
    """
    r, k = z.shape
    zero, one, moments = bits(unit), bits(1.0 + unit) - bits(unit), len(sums)
    scale = unit * ULP
    x, e, n = np.empty(BLOCK), np.empty(BLOCK), np.empty(BLOCK, np.int64)
    for i in range(r):
        p = second[i]
        a = d = -one  # of the predicted class
        b = c = np.int64(0)
        for start in range(0, k, BLOCK):
            row = z[i, start : start + BLOCK]
            for j in range(row.size):
                x[j] = term(row[j], p, factor)
                e[j], n[j] = reduced(x[j])
            for j in range(row.size):
                e[j] = expanded(e[j], n[j])
                a += bits(e[j] + unit) - zero
            if moments > 1:
                for j in range(row.size):
                    b += bits(e[j] * -x[j] + unit) - zero
            if moments > 2:
                for j in range(row.size):
                    d += bits(e[j] * e[j] + unit) - zero
            if moments > 3:
                for j in range(row.size):
                    c += bits(x[j] * x[j] * e[j] + unit) - zero
        sums[0, i] = a * scale
        if moments > 1:
            sums[1, i] = b * -scale
        if moments > 2:
            sums[2, i] = d * scale
        if moments > 3:
            sums[3, i] = c * scale


@njit(nogil=True, error_model="numpy")
def gaps(z, top, lowest, unit, sums):
    """Sums of top - z over the possible classes."""
    r, k = z.shape
    for i in range(r):
        row, t, u, s = z[i], top[i], above(top[i] - lowest[i]) * unit, np.int64(0)
        for j in range(k):
            gap = t - np.float64(row[j])
            s += bits((gap if gap < np.inf else 0.0) + u) - bits(u)
        sums[i] = s * (u * ULP)


@njit(nogil=True, error_model="numpy")
def squares(z, mean, largest, unit, sums):
    """Sums of (z - mean)^2 over the possible classes; largest (r,) is the largest |z - mean|."""
    r, k = z.shape
    for i in range(r):
        row, m, u, s = z[i], mean[i], above(largest[i] * largest[i]) * unit, np.int64(0)
        for j in range(k):
            x = np.float64(row[j]) - m
            x *= x
            s += bits((x if x < np.inf else 0.0) + u) - bits(u)
        sums[i] = s * (u * ULP)


@njit(nogil=True, error_model="numpy")
def magnitudes(z, top, mean, label, v, scale):
    """|z - top - mean| into v, as z, 0 for the predicted and for impossible classes.

    scale (r,) becomes their maximum, by which v is divided where it is not 0.
    """
    r, k = z.shape
    for i in range(r):
        row, t, m, out, s = z[i], top[i], mean[i], v[i], 0.0
        for j in range(k):
            out[j] = magnitude(row[j], t, m)
        out[label[i]] = 0.0
        for j in range(k):
            s = larger(s, out[j])
        scale[i] = s
        s = s if s > 0 else 1.0
        for j in range(k):
            out[j] /= s


@njit(nogil=True, error_model="numpy")
def multiply_and_sum(power, v, unit, sums):
    """power *= v in place, five times; the sums (5, r) of each in units of unit 2^-52."""
    r, k = power.shape
    zero = bits(unit)
    for i in range(r):
        x, y = power[i], v[i]
        a = b = c = d = e = np.int64(0)
        for j in range(k):
            w = x[j] * y[j]
            a += bits(w + unit) - zero
            w *= y[j]
            b += bits(w + unit) - zero
            w *= y[j]
            c += bits(w + unit) - zero
            w *= y[j]
            d += bits(w + unit) - zero
            w *= y[j]
            e += bits(w + unit) - zero
            x[j] = w
        sums[0, i], sums[1, i], sums[2, i], sums[3, i], sums[4, i] = a, b, c, d, e


@njit(nogil=True, error_model="numpy")
def sum_of_powers(v, p, unit, sums):
    """The sums of v^p, p = 1 to 4, in units of unit 2^-52."""
    r, k = v.shape
    zero = bits(unit)
    for i in range(r):
        row, s = v[i], np.int64(0)
        for j in range(k):
            x = row[j]
            y = x * x if p > 1 else x
            y = y * x if p > 2 else y
            y = y * x if p > 3 else y
            s += bits(y + unit) - zero
        sums[i] = s
