"""Private numba loops that search: every score of a row from one read of its logits, in float32.

n = rows, K = classes, P = orders of the norm, B = pixels of a block.

For a row with maximum z_1 (at its lowest index) and second largest value s, the sums run over
all other classes:

    A = sum exp(z_j - s),  B = sum exp(z_j - s) (z_j - s),  C = sum exp(z_j - s)^2,

from which come the log-odds of the maximum, the log-sum-exp, entropy and Gini, none of which
saturates. The maximum itself is left out by clamping: it adds exp(0) = 1, which is taken off.
The norms run over |v_j| / max |v_j|, without the maximum.

These loops choose among scores. Decisions are made on the float64 path of `recuse.scores`.
Imported lazily: numba costs 0.4 s.
"""

from __future__ import annotations

import numba
import numpy as np

from recuse._jit import njit
from recuse._vector import FAST, exp32, larger, log32

FARTHEST = -104.0  # exp is 0 in float32
LOWEST = -1e30  # in place of a second largest logit of -inf
GROUP = 512  # terms that a float32 sum runs over in a row
BLOCK = 256  # pixels of a block
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


@njit(nogil=True, fastmath=FAST, error_model="numpy")
def _total(z, total):
    for j in range(z.size):
        total[j] += z[j]


@numba.njit(inline="always")
def _gap(z, second):
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
            x = _gap(part[j], second)
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


# Loops over the pixels of a block. LLVM vectorises a loop only if it has few arrays to fear an
# overlap of: hence many short loops, in the L1 cache.


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
        e[j] = exp32(_gap(z[j], second[j]))
        a[j] += e[j]


@njit(nogil=True, fastmath=FAST, error_model="numpy")
def _add_products(z, second, e, b):
    for j in range(z.size):
        b[j] += e[j] * _gap(z[j], second[j])


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
