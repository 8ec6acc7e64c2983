"""Loops that search pixels: `scores.rows` for a plane of each class.

n = examples, K = classes, P = pixels of an example, B = pixels of a block. A, B and C are the
sums that are described there.

LLVM vectorises a loop only if it has few arrays to fear an overlap of: hence many short loops over
the pixels of a block, in the L1 cache.
"""

from __future__ import annotations

import numpy as np

from recuse._kernels.jit import FAST, exp32, larger, log32, njit
from recuse._kernels.scores import (
    GINI,
    LOG_ODDS,
    LOG_SUM,
    LOWEST,
    MARGIN,
    NEGATIVE_ENTROPY,
    ORDERS,
    TOP,
    gap_to,
)

BLOCK = 256  # pixels of a block


@njit(nogil=True, fastmath=FAST, error_model="numpy")
def _total(z, total):
    for j in range(z.size):
        total[j] += z[j]


@njit(nogil=True, fastmath=FAST, error_model="numpy")
def _load(z, buffer, top, second):
    for j in range(z.size):
        x = z[j]
        buffer[j] = x
        lower = top[j] if x > top[j] else x
        second[j] = lower if lower > second[j] else second[j]
        top[j] = larger(top[j], x)


@njit(nogil=True, fastmath=FAST, error_model="numpy")
def _mark(z, top, c, at):
    for j in range(z.size):
        at[j] = c if z[j] == top[j] else at[j]


@njit(nogil=True, fastmath=FAST, error_model="numpy")
def _exp_and_add(z, second, e, a):
    for j in range(z.size):
        e[j] = exp32(gap_to(z[j], second[j]))
        a[j] += e[j]


@njit(nogil=True, fastmath=FAST, error_model="numpy")
def _add_products(z, second, e, b):
    for j in range(z.size):
        b[j] += e[j] * gap_to(z[j], second[j])


@njit(nogil=True, fastmath=FAST, error_model="numpy")
def _add_squares(e, c):
    for j in range(e.size):
        c[j] += e[j] * e[j]


@njit(nogil=True, fastmath=FAST, error_model="numpy")
def _odds_of_error(gap, a, r):
    """a becomes r a, the odds that the maximum is wrong."""
    for j in range(gap.size):
        r[j] = exp32(-gap[j])
        a[j] *= r[j]


@njit(nogil=True, fastmath={"contract", "nsz"}, error_model="numpy")
def _log1p(x, out):
    for j in range(x.size):
        total = np.float32(1) + x[j]
        rounded = total - np.float32(1)
        out[j] = log32(total) * (x[j] / rounded) if rounded > 0 else x[j]


@njit(nogil=True, fastmath=FAST, error_model="numpy")
def _gap_less_log(gap, a, out):
    for j in range(gap.size):
        out[j] = gap[j] - log32(a[j])


@njit(nogil=True, fastmath=FAST, error_model="numpy")
def _negative_entropy(r, b, gap, rest, log1p, out):
    for j in range(r.size):
        out[j] = (r[j] * b[j] - gap[j] * rest[j]) / (np.float32(1) + rest[j]) - log1p[j]


@njit(nogil=True, fastmath=FAST, error_model="numpy")
def _gini(r, c, rest, out):
    for j in range(r.size):
        total = np.float32(1) + rest[j]
        out[j] = (r[j] * r[j] * c[j] - rest[j] * (np.float32(2) + rest[j])) / (total * total)


@njit(nogil=True, fastmath=FAST, error_model="numpy")
def _add(x, y, out):
    for j in range(x.size):
        out[j] = x[j] + y[j]


@njit(nogil=True, fastmath=FAST, error_model="numpy")
def _add_shift(z, top, mean):
    for j in range(z.size):
        mean[j] += z[j] - top[j]


@njit(nogil=True, fastmath=FAST, error_model="numpy")
def _lower(z, low):
    for j in range(z.size):
        low[j] = z[j] if z[j] < low[j] else low[j]


@njit(nogil=True, fastmath=FAST, error_model="numpy")
def _magnitude(z, shift, at, c, v):
    for j in range(z.size):
        v[j] = abs(z[j] - shift[j]) if at[j] != c else np.float32(0)


@njit(nogil=True, fastmath=FAST, error_model="numpy")
def _raise(v, scale):
    for j in range(v.size):
        scale[j] = larger(scale[j], v[j])


@njit(nogil=True, fastmath=FAST, error_model="numpy")
def _normalize(v, factor, power):
    for j in range(v.size):
        v[j] *= factor[j]
        power[j] = v[j]


@njit(nogil=True, fastmath=FAST, error_model="numpy")
def _add_powers(power, v, odd, even):
    """The sums take this power and the next, which becomes the one after."""
    for j in range(v.size):
        x = power[j]
        odd[j] += x
        x *= v[j]
        even[j] += x
        power[j] = x * v[j]


@njit(nogil=True, fastmath=FAST, error_model="numpy")
def _ratio(top, power_sum, root, out):
    """top * sum^(-root)."""
    for j in range(top.size):
        out[j] = top[j] * exp32(-larger(root * log32(power_sum[j]), np.float32(0)))


@njit(nogil=True, error_model="numpy")
def _log_odds_block(z, e, top, second, sums, soft):
    """The log-odds of a block, in soft[0]."""
    a, gap = sums[0], sums[1]
    a[:] = -1
    for k in range(len(z)):
        _exp_and_add(z[k], second, e[k], a)
    gap[:] = top - second
    _gap_less_log(gap, a, soft[0])


@njit(nogil=True, error_model="numpy")
def _softmax_block(z, e, top, second, sums, soft):
    """The six scores of a block: z (K, B), e (K, B) for scratch, sums (6, B), soft (6, B)."""
    a, b, c = sums[0], sums[1], sums[2]
    r, log1p, gap = sums[3], sums[4], soft[MARGIN]
    a[:] = -1
    b[:] = 0
    c[:] = -1
    for k in range(len(z)):
        _exp_and_add(z[k], second, e[k], a)
        _add_products(z[k], second, e[k], b)
        _add_squares(e[k], c)
    soft[TOP] = top
    gap[:] = top - second
    _gap_less_log(gap, a, soft[LOG_ODDS])
    _odds_of_error(gap, a, r)
    _log1p(a, log1p)
    _add(top, log1p, soft[LOG_SUM])
    _negative_entropy(r, b, gap, a, log1p, soft[NEGATIVE_ENTROPY])
    _gini(r, c, a, soft[GINI])


@njit(nogil=True, error_model="numpy")
def _norm_block(z, v, power, top, at, centered, sums, out):
    """The norms of a block: z, v and power (K, B), sums (6, B) for scratch, out (11, B)."""
    k = len(z)
    shift, scale, factor, low, odd, even = sums[0], sums[1], sums[2], sums[3], sums[4], sums[5]
    shift[:] = 0
    low[:] = top
    scale[:] = 0
    for c in range(k):
        _lower(z[c], low)
        if centered:
            _add_shift(z[c], top, shift)
    if centered:
        shift[:] = top + shift / np.float32(k)
    for c in range(k):
        _magnitude(z[c], shift, at, np.int32(c), v[c])
        _raise(v[c], scale)
    for j in range(top.size):
        factor[j] = 1 / scale[j] if scale[j] > 0 else 0
        shift[j] = (top[j] - shift[j]) * factor[j]  # v_1 over the scale
    for c in range(k):
        _normalize(v[c], factor, power[c])
    for order in range(0, ORDERS, 2):
        odd[:] = 0
        even[:] = 0
        for c in range(k):
            _add_powers(power[c], v[c], odd, even)
        _ratio(shift, odd, np.float32(1 / (order + 1)), out[order])
        _ratio(shift, even, np.float32(1 / (order + 2)), out[order + 1])
    for j in range(top.size):
        out[ORDERS, j] = shift[j]
        if scale[j] == 0:
            out[:, j] = np.inf
        if low[j] == top[j]:
            for order in range(ORDERS):
                out[order, j] = -((k - 1.0) ** (-1 / (order + 1.0)))
            out[ORDERS, j] = -1


@njit(nogil=True, error_model="numpy")
def planes(logits, first, last, labels, soft, centered, uncentered):
    """`rows` for logits (n, K, P), a plane per class: blocks first..last - 1 of `BLOCK` pixels.

    labels: (n, P). soft: (6, n, P), (1, n, P) or (6, n, 0); the norms likewise.
    """
    k, p = logits.shape[1], logits.shape[2]
    per_example = (p + BLOCK - 1) // BLOCK
    z, v = np.empty((k, BLOCK), np.float32), np.empty((k, BLOCK), np.float32)
    power = np.empty((k, BLOCK), np.float32)
    sums = np.empty((6, BLOCK), np.float32)
    result = np.empty((ORDERS + 1, BLOCK), np.float32)
    top, second = np.empty(BLOCK, np.float32), np.empty(BLOCK, np.float32)
    at = np.empty(BLOCK, np.int32)
    z[:] = 0  # beyond the last pixels of an example
    for block in range(first, last):
        i, start = block // per_example, block % per_example * BLOCK
        size = min(BLOCK, p - start)
        here = slice(start, start + size)
        top[:] = -np.inf
        second[:] = LOWEST
        for c in range(k):
            _load(logits[i, c, here], z[c], top, second)
        for c in range(k - 1, -1, -1):  # the lowest index is the last to be written
            _mark(z[c], top, np.int32(c), at)
        sums[0] = 0
        for c in range(k):
            _total(z[c], sums[0])
        for j in range(size):
            labels[i, start + j] = at[j] if sums[0, j] < np.inf else k
        if soft.shape[2]:
            if len(soft) == 1:
                _log_odds_block(z, v, top, second, sums, result)
            else:
                _softmax_block(z, v, top, second, sums, result)
            soft[:, i, here] = result[: len(soft), :size]
        if centered.shape[2]:
            _norm_block(z, v, power, top, at, True, sums, result)
            centered[:, i, here] = result[:, :size]
        if uncentered.shape[2]:
            _norm_block(z, v, power, top, at, False, sums, result)
            uncentered[:, i, here] = result[:, :size]
    return None
