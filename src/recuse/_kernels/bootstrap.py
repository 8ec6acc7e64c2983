"""Private numba loops of the bootstrap: weights of a replicate, and a measure of weighted rows.

n = cells by descending confidence, of a tie those without loss first: a cell is one row, or
several alike whose summed weight is drawn at once. w = how often a cell was drawn; total = w
summed before each cell (n + 1); ends = where each tie ends; j = ties with a loss, as
`start <= lossy < end`: cells lossy..end-1 are those that have one; rate = the loss of each if
all rows of the tie have the same, else -1; cost = its weighted loss. h, hh = the harmonic
numbers H_k, and H_0 + ... + H_{k-1}.

Random numbers are SplitMix64 of a counter, one stream for each replicate: the same on every
machine and for any number of threads.

Imported lazily: numba costs 0.4 s.
"""

from __future__ import annotations

import math
from functools import cache

import numpy as np

from recuse._kernels.curves import harmonic, next_tie, rise
from recuse._kernels.jit import njit

GOLDEN = np.uint64(0x9E3779B97F4A7C15)
MIX_A, MIX_B = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)
S27, S30, S31, S32 = (np.uint64(s) for s in (27, 30, 31, 32))
S7, LOW7, LOW32 = np.uint64(7), np.uint64(0x7F), np.uint64(0xFFFFFFFF)
COLUMNS = 128
LARGEST = 32  # rows of a cell; P(Poisson(32) >= 128) = 4e-35
AURC, AUGRC, RISK_AT_COVERAGE, COVERAGE_AT_RISK = range(4)


@njit(nogil=True, inline="always")
def mixed(x):
    """SplitMix64's finaliser: 64 bits that look random, of a counter."""
    x = (x ^ (x >> S30)) * MIX_A
    x = (x ^ (x >> S27)) * MIX_B
    return x ^ (x >> S31)


@njit(nogil=True, inline="always")
def stream(seed, replicate):
    """Where the counter of a replicate starts."""
    return mixed(mixed(np.uint64(seed) + GOLDEN) + np.uint64(replicate) * GOLDEN)


@njit(nogil=True)
def draw_multinomial(w, seed, replicate):
    """Draw w.size rows of w.size with replacement; two indices from each 64 bits.

    Probabilities are off by less than w.size / 2^32, relatively.
    """
    n, x = np.uint64(w.size), stream(seed, replicate)
    w[:] = 0
    for _ in range(w.size // 2):
        x += GOLDEN
        r = mixed(x)
        w[((r & LOW32) * n) >> S32] += 1
        w[((r >> S32) * n) >> S32] += 1
    if w.size % 2:
        w[((mixed(x + GOLDEN) & LOW32) * n) >> S32] += 1


@njit(nogil=True)
def draw_poisson(w, offset, table, seed, replicate):
    """Draw the weight of each cell by the table at its offset; two from each 64 bits."""
    x, i = stream(seed, replicate), 0
    while i + 1 < w.size:
        x += GOLDEN
        r = mixed(x)
        w[i] = aliased(r & LOW32, offset[i], table)
        w[i + 1] = aliased(r >> S32, offset[i + 1], table)
        i += 2
    if i < w.size:
        w[i] = aliased(mixed(x + GOLDEN) & LOW32, offset[i], table)


@njit(nogil=True, inline="always")
def aliased(r, offset, table):
    """Of 32 bits, 7 choose a column, and 25 between its own value and its other one."""
    column = np.uint32(r & LOW7)
    entry = table[offset + column]
    differ = (column ^ entry) & np.uint32(0x7F)
    below = np.uint32(np.uint32(r >> S7) < entry >> np.uint32(7))
    return np.uint8((entry & np.uint32(0x7F)) ^ (differ * below))


@cache
def alias_tables():
    """Poisson(1), Poisson(2), ..., Poisson(32), a column for each value < 128.

    An entry is the column's cut (25 bits) and its other value (7): probabilities are off by
    at most 2^-32 for each column that a value fills.

    References:
        Walker, ACM TOMS 1977; Vose, IEEE TSE 1991.
    """
    return np.concatenate([_alias_table(rate) for rate in range(1, LARGEST + 1)])


def _alias_table(rate):
    k = np.arange(COLUMNS)
    chance = np.exp(k * math.log(rate) - [math.lgamma(i + 1) for i in k])
    height = (chance / chance.sum() * COLUMNS).tolist()
    other = k.copy()
    low = [i for i in k if height[i] < 1]
    high = [i for i in k if height[i] >= 1]
    while low and high:
        i, j = low.pop(), high[-1]
        other[i] = j
        height[j] -= 1 - height[i]
        if height[j] < 1:
            low.append(high.pop())
    cut = np.minimum(np.round(np.array(height) * 2**25), 2**25 - 1).astype(np.uint32)
    return cut << np.uint32(7) | other.astype(np.uint32)


@njit(nogil=True)
def accumulate(w, total):
    """Write the sums of w before each row; returns the sum of all."""
    s = 0
    for i in range(w.size):
        total[i] = s
        s += w[i]
    total[w.size] = s
    return s


@njit(nogil=True)
def spread(unit_weight, unit, w):
    """Each row takes the weight of its unit."""
    for i in range(w.size):
        w[i] = unit_weight[unit[i]]


@njit(nogil=True)
def write_even_costs(total, start, end, rate, cost):
    """Write the weighted loss of each tie whose rows have the same."""
    for j in range(start.size):
        cost[j] = rate[j] * (total[end[j]] - total[start[j]])


@njit(nogil=True)
def write_uneven_costs(w, loss, lossy, end, uneven, cost):
    """Write those of the other ties."""
    for j in uneven:
        cost[j] = 0.0
        for i in range(lossy[j], end[j]):
            cost[j] += w[i] * loss[i]


@njit(nogil=True)
def aurc(total, start, end, rate, cost, h, hh):
    """`curves.aurc_of_counts`: a loss at rank q adds 1/q + ... + 1/W to the sum over k.

    A tie at ranks a+1..b carries the mean of that over its ranks.
    """
    everything = total[total.size - 1]
    top, area = h[everything], 0.0
    for j in range(start.size):
        a, b = total[start[j]], total[end[j]]
        weight = top * (b - a) - (hh[b] - hh[a])
        if rate[j] >= 0:
            area += rate[j] * weight
        elif b > a:
            area += cost[j] / (b - a) * weight
    return area / everything


@njit(nogil=True)
def augrc(total, start, end, cost):
    """A loss at rank q adds W - q + 1 to the sum over k of the loss of the first k."""
    everything = total[total.size - 1]
    area = 0.0
    for j in range(start.size):
        middle = 0.5 * total[start[j]] + 0.5 * total[end[j]] - 0.5
        area += cost[j] * (everything - middle)
    return area / everything / everything


@njit(nogil=True)
def risk_at_coverage(total, end, ends, cost, level):
    """The risk at the first end of a tie where coverage is >= level."""
    everything = total[total.size - 1]
    low, high = 0, ends.size - 1
    while low < high:
        middle = (low + high) // 2
        if total[ends[middle]] / everything >= level:
            high = middle
        else:
            low = middle + 1
    area, j = 0.0, 0
    while j < end.size and end[j] <= ends[low]:
        area += cost[j]
        j += 1
    return area / total[ends[low]]


@njit(nogil=True)
def coverage_at_risk(total, start, cost, level):
    """The last k before each tie with a loss is the only one to look at, and W."""
    everything = total[total.size - 1]
    area, best = 0.0, total[0]
    for j in range(start.size):
        k = total[start[j]]
        if k > 0 and area / k <= level:
            best = k
        area += cost[j]
    return 1.0 if area / everything <= level else best / everything


@njit(nogil=True)
def resample(out, first, step, sign, measure, level, cells, draw, h, hh):
    """Add sign times the measure of replicates first, first + step, ... to out."""
    seed, poisson, offset, table, unit, units = draw
    loss, start, lossy, end, rate, ends = cells
    w, total = np.empty(loss.size, np.uint8), np.empty(loss.size + 1, np.uint32)
    drawn = np.empty(units, np.uint8) if unit.size else w
    cost, uneven = np.empty(start.size), np.flatnonzero(rate < 0)
    for b in range(first, out.size, step):
        if poisson:
            draw_poisson(drawn, offset, table, seed, b)
        else:
            draw_multinomial(drawn, seed, b)
        if unit.size:
            spread(drawn, unit, w)
        accumulate(w, total)
        if measure != AURC:  # which needs no others
            write_even_costs(total, start, end, rate, cost)
        write_uneven_costs(w, loss, lossy, end, uneven, cost)
        if measure == AURC:
            value = aurc(total, start, end, rate, cost, h, hh)
        elif measure == AUGRC:
            value = augrc(total, start, end, cost)
        elif measure == RISK_AT_COVERAGE:
            value = risk_at_coverage(total, end, ends, cost, level)
        else:
            value = coverage_at_risk(total, start, cost, level)
        out[b] += sign * value


@njit(nogil=True, inline="always")
def add(seen, mean, squares, value, k):
    """Count, mean and squared deviations of k more equal values, as Welford updates them."""
    if k == 0:
        return seen, mean, squares
    apart = value - mean
    mean += apart * k / (seen + k)
    return seen + k, mean, squares + k * apart * (value - mean)


@njit(nogil=True)
def aurc_variance(right, wrong):
    """Variance of the influences on AURC over n, of 0-1 losses.

    Between two ties with errors all influences are equal, up to a constant: the sum of 1/j
    over the errors before.
    """
    n = right.size + wrong.size
    top = harmonic(n)
    i, j, before = right.size, wrong.size, 0.0
    seen, mean, squares = 0, 0.0, 0.0
    while j > 0:
        i_before, j_before = i, j
        above, i, j = next_tie(right, wrong, i, j)
        e = j_before - j
        a = n - above - j_before
        m = e + above - i
        growth = rise(a, m)
        share = 1 - a / m * growth if m > 1 else growth
        x = before + e / m * (growth - share)
        y = x + top - harmonic(a + m) + share
        seen, mean, squares = add(seen, mean, squares, before, i_before - above)
        seen, mean, squares = add(seen, mean, squares, x, above - i)
        seen, mean, squares = add(seen, mean, squares, y, e)
        before += e / m * growth
    seen, mean, squares = add(seen, mean, squares, before, i)
    return squares / n / (n - 1)
