"""Private numba loops of `bounds`, one idea each. Imported lazily: numba costs 0.4 s."""

from __future__ import annotations

import numpy as np

from recuse._jit import njit


@njit()
def largest_capital(loss, risk, aim):
    """The largest capital of a bettor who starts with 1 and stakes on losses below `risk`.

    loss: (n,) in [0, 1], in the order of betting; aim: ln(1/delta), what the stakes go for.
    Each stake is at most 1 and comes from the running variance of the losses before it.
    """
    capital = best = 1.0
    total, squares = 0.5, 0.25  # of the losses so far, with half a loss of variance 1/4 before
    for i in range(loss.size):
        variance = squares / (i + 1)
        stake = min(1.0, np.sqrt(2 * aim / (loss.size * variance)))
        capital *= 1 - stake * (loss[i] - risk)
        best = max(best, capital)
        total += loss[i]
        squares += (loss[i] - total / (i + 2)) ** 2
    return best
