"""Loops over sorted confidences: areas and points without an array of the curve.

Also a measure of the rows that the bootstrap has weighted.

n = predictions, split into the confidences of the right and of the wrong, each ascending.
A tie of m predictions with e errors, after A accepted with E errors. H = harmonic numbers.
"""

from __future__ import annotations

import math

import numpy as np

from recuse._kernels.jit import njit

EULER = 0.57721566490153286061
FEW = 32  # terms that are added up; beyond, the series of H is exact to the last bits


@njit(nogil=True)
def partition(confidence, loss, out):
    """Write the right from the left end of out (n,), the wrong from its right end.

    Returns the number of the right, and whether a confidence is NaN or a loss not 0 or 1.
    Both ends are written each time: a branch on the loss could not be predicted.
    """
    low, high, bad = 0, confidence.size, False
    for i in range(confidence.size):
        c, l = confidence[i], loss[i]
        right, wrong = l == 0, l == 1
        out[high - 1] = c
        out[low] = c
        low += right
        high -= wrong
        bad |= (c != c) | (right == wrong)
    return low, bad


@njit(nogil=True)
def harmonic(k):
    """H_k."""
    if k < FEW:
        total = 0.0
        for q in range(k, 0, -1):
            total += 1.0 / q
        return total
    x = 1.0 / k
    y = x * x
    return math.log(k) + EULER + 0.5 * x - y * (1 / 12 - y * (1 / 120 - y / 252))


@njit(nogil=True)
def rise(a, m):
    """H_{a+m} - H_a, without cancellation."""
    if m <= FEW or a < FEW:
        if m > FEW:
            return harmonic(a + m) - harmonic(a)
        total = 0.0
        for q in range(m, 0, -1):
            total += 1.0 / (a + q)
        return total
    x, z = 1.0 / a, 1.0 / (a + m)
    u, w = x * x, z * z
    series = 1 / 12 - (w + u) / 120 + (w * w + w * u + u * u) / 252
    return math.log1p(m * x) + 0.5 * (z - x) - (w - u) * series


@njit(nogil=True)
def next_tie(right, wrong, i, j):
    """The most confident errors below right[:i] and wrong[:j]: how many right are above them,
    and i and j after their tie."""
    v = wrong[j - 1]
    above = i
    while above > 0 and right[above - 1] > v:
        above -= 1
    i = above
    while i > 0 and right[i - 1] == v:
        i -= 1
    j -= 1
    while j > 0 and wrong[j - 1] == v:
        j -= 1
    return above, i, j


@njit(nogil=True)
def top_tie(right, wrong, i, j):
    """The largest confidence in right[:i] and wrong[:j], and i and j after its tie."""
    from_right = j == 0 or (i > 0 and right[i - 1] > wrong[j - 1])
    v = right[i - 1] if from_right else wrong[j - 1]
    while i > 0 and right[i - 1] == v:
        i -= 1
    while j > 0 and wrong[j - 1] == v:
        j -= 1
    return v, i, j


@njit(nogil=True)
def areas(right, wrong):
    """The sums over k = 1..n of E_k / k and of E_k, a tie as the mean over its orders.

    An error at rank k adds 1/k + ... + 1/n to the first, and n - k + 1 to the second.
    """
    n = right.size + wrong.size
    top = harmonic(n)
    i, j = right.size, wrong.size
    risk, generalized = 0.0, 0.0
    while j > 0:
        before = j
        above, i, j = next_tie(right, wrong, i, j)
        e = before - j
        a = n - above - before
        m = e + above - i
        if m == 1:
            risk += top - harmonic(a)
        else:
            risk += e * (top - harmonic(a + m) + 1 - a / m * rise(a, m))
        generalized += e * (n - a - 0.5 * (m - 1))
    return risk, generalized


@njit(nogil=True)
def most_accepted(right, wrong, risk):
    """The largest k that a threshold accepts with E / k <= risk; 0 if there is none.

    While only right predictions are added, the risk falls: the last k before each error is
    the only one to look at.
    """
    n = right.size + wrong.size
    i, j, best = right.size, wrong.size, 0
    while j > 0:
        before = j
        above, i, j = next_tie(right, wrong, i, j)
        k = n - above - before
        if k > 0 and (wrong.size - before) / k <= risk:
            best = k
    return n if wrong.size / n <= risk else best


@njit(nogil=True)
def accepted_at(right, wrong, coverage):
    """k and E at the smallest k that a threshold accepts with k / n >= coverage."""
    n = right.size + wrong.size
    i, j = right.size, wrong.size
    while (n - i - j) / n < coverage:
        _, i, j = top_tie(right, wrong, i, j)
    return n - i - j, wrong.size - j


@njit(nogil=True)
def ties(right, wrong):
    """Distinct confidences, decreasing, with how many predictions and errors each holds."""
    n = right.size + wrong.size
    value = np.empty(n, right.dtype)
    count, errors = np.empty(n, np.int64), np.empty(n, np.int64)
    i, j, k = right.size, wrong.size, 0
    while i + j > 0:
        left, errors_left = i + j, j
        v, i, j = top_tie(right, wrong, i, j)
        value[k], count[k], errors[k] = v, left - i - j, errors_left - j
        k += 1
    return value[:k].copy(), count[:k].copy(), errors[:k].copy()


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


AURC, AUGRC, RISK_AT_COVERAGE, COVERAGE_AT_RISK = range(4)


@njit(nogil=True)
def draw(bits, w):
    """Write how often each of w.size units is drawn, one by each 32-bit number."""
    units, shift = np.uint64(w.size), np.uint64(32)
    w[:] = 0
    for b in bits:
        w[(np.uint64(b) * units) >> shift] += 1


@njit(nogil=True)
def measure(w, unit, loss, start, end, ends, h, kind, level, total):
    """Return a measure of rows by descending confidence, each as often as its unit is drawn.

    start, end = the ties with a loss; ends = of all ties; h = harmonic numbers; total receives the
    copies before each row, n of them in all. A loss at rank q adds H_n - H_{q-1} to the sum of the
    risks over k, and n - q + 1 to that of the summed losses; a tie has the mean over its ranks.
    """
    for i in range(unit.size):
        total[i + 1] = total[i] + w[unit[i]]
    n, k, area = total[-1], 0, 0.0
    if kind == RISK_AT_COVERAGE:
        k = n
        for e in ends:
            if total[e] / n >= level:
                k = total[e]
                break
    for j in range(start.size):
        a, b, cost = total[start[j]], total[end[j]], 0.0
        for i in range(start[j], end[j]):
            cost += (total[i + 1] - total[i]) * loss[i]
        if b == a:
            continue
        if kind == AURC:
            area += cost / (b - a) * (b * (h[n] - h[b] + 1) - a * (h[n] - h[a] + 1))
        elif kind == AUGRC:
            area += cost * (n - 0.5 * (a + b - 1))
        elif kind == RISK_AT_COVERAGE:
            area += cost if b <= k else 0.0
        else:  # what is accepted at a risk ends before a tie with a loss, or is all
            k = a if a > 0 and area / a <= level else k
            area += cost
    if kind == RISK_AT_COVERAGE:
        return area / k
    if kind == COVERAGE_AT_RISK:
        return 1.0 if area / n <= level else k / n
    return area / n if kind == AURC else area / n / n
