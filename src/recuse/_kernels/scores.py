"""Loops that search: every score of a row from one read of its logits, in float32.

n = rows, K = classes, P = orders of the norm.

For a row with maximum z_1 (at its lowest index) and second largest value s, the sums run over
all other classes:

    A = sum exp(z_j - s),  B = sum exp(z_j - s) (z_j - s),  C = sum exp(z_j - s)^2,

from which come the log-odds of the maximum, the log-sum-exp, entropy and Gini, none of which
saturates. The maximum itself is left out by clamping: it adds exp(0) = 1, which is taken off.
The norms run over |v_j| / max |v_j|, without the maximum.

These loops choose among scores. Decisions are made on the float64 path of `recuse.scores`.
"""

from __future__ import annotations

import numba
import numpy as np

from recuse._kernels.jit import FAST, exp32, larger, njit

FARTHEST = -104.0  # exp is 0 in float32
LOWEST = -1e30  # in place of a second largest logit of -inf
GROUP = 512  # terms that a float32 sum runs over in a row
# Rows of the table that the loops write
TOP, LOG_ODDS, LOG_SUM, NEGATIVE_ENTROPY, GINI, MARGIN = range(6)
ORDERS = 10


@njit(nogil=True, fastmath=FAST, error_model="numpy")
def _maximum(z):
    top = np.float32(-np.inf)
    for j in range(z.size):
        top = larger(top, z[j])
    return top


@njit(nogil=True, fastmath=FAST, error_model="numpy")
def _minimum(z):
    low = np.float32(np.inf)
    for j in range(z.size):
        low = -larger(-low, -z[j])
    return low


@njit(nogil=True, fastmath=FAST, error_model="numpy")
def _lowest_index(z, top):
    """Where the maximum is; the number of classes if there is a NaN, or +inf and it."""
    index = np.int32(z.size)
    total = np.float32(0)
    for j in range(z.size):
        here = np.int32(j) if z[j] == top else np.int32(z.size)
        index = min(index, here)
        total += z[j]
    return index if total < np.inf else np.int32(z.size)


@numba.njit(inline="always")
def gap_to(z, second):
    """z - second, 0 for the maximum; an impossible class has exp 0 and no infinite product."""
    return -larger(np.float32(0), -larger(np.float32(FARTHEST), z - second))


@njit(nogil=True, fastmath=FAST, error_model="numpy")
def _softmax_sums(z, second):
    """A, B and C."""
    a, b, c = -1.0, 0.0, -1.0
    for start in range(0, z.size, GROUP):
        part = z[start : start + GROUP]
        a32, b32, c32 = np.float32(0), np.float32(0), np.float32(0)
        for j in range(part.size):
            x = gap_to(part[j], second)
            e = exp32(x)
            a32 += e
            b32 += e * x
            c32 += e * e
        a += a32
        b += b32
        c += c32
    return a, b, c


@njit(nogil=True, fastmath=FAST, error_model="numpy")
def _exp_sum(z, top):
    """The sum of exp(z - top)."""
    a = 0.0
    for start in range(0, z.size, GROUP):
        part = z[start : start + GROUP]
        a32 = np.float32(0)
        for j in range(part.size):
            a32 += exp32(part[j] - top)
        a += a32
    return a


@njit(nogil=True, error_model="numpy")
def _log_odds(z, at, top):
    """Of the maximum; relative to the second largest where the sum would not be a float32."""
    a = _exp_sum(z[:at], top) + _exp_sum(z[at + 1 :], top)
    if a > 1e-30:
        return -np.log(a)
    second = max(_maximum(z[:at]), _maximum(z[at + 1 :]), np.float32(LOWEST))
    a = _exp_sum(z[:at], second) + _exp_sum(z[at + 1 :], second)
    return np.float64(top) - second - np.log(a)


@njit(nogil=True, error_model="numpy")
def _softmax_scores(top, second, a, b, c, out):
    """What follows from the three sums, for one row."""
    gap = top - second
    r = np.exp(-gap)
    rest = r * a  # odds of being wrong
    total = 1 + rest
    out[TOP] = top
    out[LOG_ODDS] = gap - np.log(a)
    out[LOG_SUM] = top + np.log1p(rest)
    out[NEGATIVE_ENTROPY] = r * (b - gap * a) / total - np.log1p(rest)
    out[GINI] = (r * r * c - rest * (2 + rest)) / (total * total)
    out[MARGIN] = gap


@njit(nogil=True, fastmath=FAST, error_model="numpy")
def _mean_from(z, top):
    """The mean of z - top."""
    total = 0.0
    for start in range(0, z.size, GROUP):
        part = z[start : start + GROUP]
        x_sum = np.float32(0)
        for j in range(part.size):
            x_sum += part[j] - top
        total += x_sum
    return total / z.size


@njit(nogil=True, fastmath=FAST, error_model="numpy")
def _magnitudes(z, shift, out):
    for j in range(z.size):
        out[j] = abs(z[j] - shift)


@njit(nogil=True, fastmath=FAST, error_model="numpy")
def _power_sums(v, factor, sums):
    """The sums of (factor v)^p for p = 1..10."""
    sums[:] = 0
    for start in range(0, v.size, GROUP):
        part = v[start : start + GROUP]
        s1 = s2 = s3 = s4 = s5 = s6 = s7 = s8 = s9 = s10 = np.float32(0)
        for j in range(part.size):
            x = part[j] * factor
            x2 = x * x
            x4 = x2 * x2
            x6 = x4 * x2
            x8 = x4 * x4
            s1 += x
            s2 += x2
            s3 += x2 * x
            s4 += x4
            s5 += x4 * x
            s6 += x6
            s7 += x6 * x
            s8 += x8
            s9 += x8 * x
            s10 += x8 * x2
        for p, s in enumerate((s1, s2, s3, s4, s5, s6, s7, s8, s9, s10)):
            sums[p] += s


@njit(nogil=True, error_model="numpy")
def _ratios(top, scale, sums, equal, k, out):
    """v_1 / ||v without the maximum||_p for p = 1..10 and infinity."""
    for p in range(ORDERS):
        order = p + 1.0
        ratio = top / (scale * sums[p] ** (1 / order)) if scale > 0 else np.inf
        out[p] = -((k - 1.0) ** (-1 / order)) if equal else ratio
    out[ORDERS] = -1.0 if equal else top / scale if scale > 0 else np.inf


@njit(nogil=True, fastmath=FAST, error_model="numpy")
def rows(logits, first, last, labels, soft, centered, uncentered):
    """Scores of rows first..last - 1 of logits (n, K).

    labels: (n,), the predicted class, or K where a logit is NaN or +inf. soft: (6, n), or
    (1, n) for the log-odds alone, or (6, 0). centered, uncentered: (11, n), the norms of order
    1..10 and infinity, or (11, 0).
    """
    k = logits.shape[1]
    v = np.empty(k, np.float32)
    sums = np.empty(ORDERS, np.float64)
    values, norms = np.empty(6, np.float64), np.empty(ORDERS + 1, np.float64)
    for i in range(first, last):
        z = logits[i]
        top = _maximum(z)
        at = _lowest_index(z, top)
        labels[i] = at
        if at == k:
            continue
        if soft.shape[1]:
            if len(soft) == 1:
                soft[0, i] = _log_odds(z, at, top)
            else:
                second = max(_maximum(z[:at]), _maximum(z[at + 1 :]), np.float32(LOWEST))
                a, b, c = _softmax_sums(z, second)
                _softmax_scores(np.float64(top), np.float64(second), a, b, c, values)
                soft[:, i] = values
        flat = _minimum(z) == top
        for pass_ in range(2):
            out = centered if pass_ == 0 else uncentered
            if out.shape[1]:
                shift = np.float32(top + _mean_from(z, top)) if pass_ == 0 else np.float32(0)
                _magnitudes(z, shift, v)
                v[at] = 0
                scale = _maximum(v)
                _power_sums(v, np.float32(1) / scale if scale > 0 else np.float32(0), sums)
                _ratios(np.float64(top - shift), np.float64(scale), sums, flat, k, norms)
                out[:, i] = norms
