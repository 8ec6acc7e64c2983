"""Loops of the smoothed cross entropy: loss and gradient in one pass.

n = examples, K = classes, P = pixels of an example.

Per row: the maximum m; e = exp(z - m), with S = sum e and T = sum b (z - m); then the
gradient total e / S - spread b, minus pull at the label, and the loss
total log S - pull (z_y - m) - spread T, where total = pull + spread sum b. All of it
happens in a piece of memory that stays in the cache.

`coefficients` (3, K) holds pull, spread and total for each label, `background` b as (K,), or
(1,) if it is the same for all classes. Sums over many classes go from float32 to float64 every
`GROUP` or `DEEP` terms: a float32 sum of 32,000 costs the gradient 1e-6 relative, one of 19
4e-7.
"""

from __future__ import annotations

import numpy as np

from recuse._kernels.jit import FAST, exp32, larger, njit

GROUP = 512  # classes a float32 sum runs over in a row
DEEP = 8  # the same in a block of pixels, where the sums of a group cost little
BLOCK_BYTES = 96_000  # a block of pixels with all its classes: in the L2 cache


@njit(nogil=True)
def survey(labels, ignore_index, weight):
    """The summed weight and the number of the labels kept, and their smallest and largest."""
    k = weight.size
    total, kept = 0.0, 0
    low, high = np.int64(k), np.int64(-1)
    for y in labels:
        if y != ignore_index:
            kept += 1
            low, high = min(low, y), max(high, y)
            if 0 <= y < k:
                total += weight[y]
    return total, kept, low, high


@njit(nogil=True, fastmath=FAST)
def _maximum(z):
    top = np.float32(-np.inf)
    for j in range(z.size):
        top = larger(top, z[j])
    return top


@njit(nogil=True, fastmath=FAST)
def _exp_and_sums(z, top):
    """z becomes exp(z - top); the sums of it and of z - top."""
    exps, shifts = 0.0, 0.0
    for start in range(0, z.size, GROUP):
        part = z[start : start + GROUP]
        e_sum, x_sum = np.float32(0), np.float32(0)
        for j in range(part.size):
            x = part[j] - top
            e = exp32(x)
            part[j] = e
            e_sum += e
            x_sum += x
        exps += e_sum
        shifts += x_sum
    return exps, shifts


@njit(nogil=True, fastmath=FAST)
def _exp_from(z, top, out):
    """The same into out, elsewhere in memory; a loop that allows for both is 5 times slower."""
    exps, shifts = 0.0, 0.0
    for start in range(0, z.size, GROUP):
        part, written = z[start : start + GROUP], out[start : start + GROUP]
        e_sum, x_sum = np.float32(0), np.float32(0)
        for j in range(part.size):
            x = part[j] - top
            e = exp32(x)
            written[j] = e
            e_sum += e
            x_sum += x
        exps += e_sum
        shifts += x_sum
    return exps, shifts


@njit(nogil=True, fastmath=FAST)
def _dot_shifted(b, z, top):
    """The sum of b (z - top)."""
    total = 0.0
    for start in range(0, z.size, GROUP):
        part, weights = z[start : start + GROUP], b[start : start + GROUP]
        x_sum = np.float32(0)
        for j in range(part.size):
            x_sum += weights[j] * (part[j] - top)
        total += x_sum
    return total


@njit(nogil=True)
def _dot_possible(b, z, top):
    """The sum of b (z - top) over the classes with b != 0, where others have logits of -inf."""
    total = 0.0
    for j in range(z.size):
        if b[j] != 0:
            total += b[j] * (z[j] - top)
    return total


@njit(nogil=True, fastmath=FAST)
def _scale(z, factor, shift):
    for j in range(z.size):
        z[j] = z[j] * factor - shift


@njit(nogil=True, fastmath=FAST)
def _scale_from(z, factor, spread, b):
    for j in range(z.size):
        z[j] = z[j] * factor - spread * b[j]


@njit(nogil=True, fastmath=FAST)
def rows(logits, labels, ignore_index, coefficients, background, gradient, losses, first, last):
    """Loss of rows first..last - 1 of logits (n, K), summed; their gradient and losses written.

    gradient: (n, K), which may be `logits`, or (1, K) for scratch where none is wanted.
    losses: (n,), or (0,) where only the sum is wanted.
    """
    total_loss = 0.0
    scratch = gradient.shape[0] < logits.shape[0]
    in_place = gradient.ctypes.data == logits.ctypes.data
    uniform = background.size == 1
    for i in range(first, last):
        row = gradient[0 if scratch else i]
        y = labels[i]
        if y == ignore_index:
            row[:] = 0
            if losses.size:
                losses[i] = 0
            continue
        pull, spread, total = coefficients[0, y], coefficients[1, y], coefficients[2, y]
        z = logits[i]
        top = _maximum(z)
        at_label = np.float64(z[y] - top)
        shifts = 0.0 if uniform else _dot_shifted(background, z, top)
        if np.isnan(shifts):  # 0 x -inf
            shifts = _dot_possible(background, z, top)
        exps, x_sum = _exp_and_sums(row, top) if in_place else _exp_from(z, top, row)
        if uniform and background[0] != 0:
            shifts = background[0] * x_sum
        loss = total * np.log(exps)
        if spread != 0:
            loss -= spread * shifts
        if pull != 0:
            loss -= pull * at_label
        total_loss += loss
        if losses.size:
            losses[i] = loss
        if not scratch:
            factor = np.float32(total / exps)
            if uniform:
                _scale(row, factor, spread * background[0])
            else:
                _scale_from(row, factor, spread, background)
            row[y] -= pull
    return total_loss


@njit(nogil=True, fastmath=FAST)
def _load(z, buffer, top):
    for j in range(z.size):
        buffer[j] = z[j]
        top[j] = larger(top[j], z[j])


@njit(nogil=True, fastmath=FAST)
def _exp_and_add(z, top, e_sum, x_sum, b):
    for j in range(z.size):
        x = z[j] - top[j]
        e = exp32(x)
        z[j] = e
        e_sum[j] += e
        x_sum[j] += b * x


@njit(nogil=True, fastmath=FAST)
def _exp_and_add_only(z, top, e_sum):
    for j in range(z.size):
        e = exp32(z[j] - top[j])
        z[j] = e
        e_sum[j] += e


@njit(nogil=True, fastmath=FAST)
def _write_plane(z, factor, spread, b, label, c, pull, out):
    for j in range(z.size):
        at_label = pull[j] if label[j] == c else np.float32(0)
        out[j] = z[j] * factor[j] - spread[j] * b - at_label


@njit(nogil=True)
def pixels_per_block(k):
    """A multiple of 16, for whole vectors; long runs of a plane are read faster than short."""
    return min(1024, max(32, BLOCK_BYTES // (4 * k) // 16 * 16))


@njit(nogil=True, fastmath=FAST)
def planes(logits, labels, ignore_index, coefficients, background, gradient, losses, first, last):
    """`rows` for logits (n, K, P), a plane per class, and labels (n, P): blocks first..last - 1.

    The blocks of `pixels_per_block` pixels are counted through the examples. A block is worked
    on in a buffer, since planes a power of two apart share the same few lines of the cache.
    """
    total_loss = 0.0
    k, p = logits.shape[1], logits.shape[2]
    width = pixels_per_block(k)
    per_example = (p + width - 1) // width
    write = gradient.shape[0] == logits.shape[0]
    buffers = np.empty((k, width), np.float32)
    # One by one: numba takes the rows of an array that is unpacked for strided, four times slower.
    tops, at_label = np.empty(width, np.float32), np.empty(width, np.float32)
    e_part, x_part = np.empty(width, np.float32), np.empty(width, np.float32)
    factor, pulls = np.empty(width, np.float32), np.empty(width, np.float32)
    spreads = np.empty(width, np.float32)
    e_sum, x_sum = np.empty(width, np.float64), np.empty(width, np.float64)
    label = np.empty(width, np.int32)
    for block in range(first, last):
        i, start = block // per_example, block % per_example * width
        size = min(width, p - start)
        y_block = labels[i, start : start + size]
        top = tops[:size]
        top[:] = -np.inf
        for c in range(k):
            _load(logits[i, c, start : start + size], buffers[c, :size], top)
        for j in range(size):
            y = y_block[j]
            kept = y != ignore_index
            label[j] = y if kept else -1
            at_label[j] = buffers[y, j] - top[j] if kept else 0
        e_sum[:size] = 0
        x_sum[:size] = 0
        for deep in range(0, k, DEEP):
            e_part[:size] = 0
            x_part[:size] = 0
            for c in range(deep, min(deep + DEEP, k)):
                b = background[c if background.size > 1 else 0]
                if b != 0:
                    _exp_and_add(buffers[c, :size], top, e_part, x_part, b)
                else:
                    _exp_and_add_only(buffers[c, :size], top, e_part)
            for j in range(size):
                e_sum[j] += e_part[j]
                x_sum[j] += x_part[j]
        for j in range(size):
            y = y_block[j]
            loss = 0.0
            factor[j], pulls[j], spreads[j] = 0, 0, 0
            if y != ignore_index:
                pull, spread, total = coefficients[0, y], coefficients[1, y], coefficients[2, y]
                loss = total * np.log(e_sum[j])
                if spread != 0:
                    loss -= spread * x_sum[j]
                if pull != 0:
                    loss -= pull * at_label[j]
                factor[j], pulls[j], spreads[j] = total / e_sum[j], pull, spread
            total_loss += loss
            if losses.size:
                losses[i, start + j] = loss
        if write:
            for c in range(k):
                b = background[c if background.size > 1 else 0]
                out = gradient[i, c, start : start + size]
                _write_plane(buffers[c, :size], factor, spreads, b, label, np.int32(c), pulls, out)
    return total_loss
