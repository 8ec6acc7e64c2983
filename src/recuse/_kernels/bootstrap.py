"""Loops of the bootstrap: weights, and a measure of weighted rows."""

import numpy as np

from recuse._kernels.jit import njit

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
