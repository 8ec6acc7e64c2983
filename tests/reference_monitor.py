"""Monitoring in plain loops over Python numbers; nothing imports recuse.

A row is (id, accept, loss); accept and loss are None where they are not told.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

BETS = [2.0, 1.0, 0.5, 0.25, 0.125, 2**-4, 2**-5, 2**-6, 2**-7]
SPACING = 100


def e_value(losses: Sequence[int | None], rate: float) -> float:
    """The largest e-value over all prefixes; a loss that is not known counts as 0."""
    best = 1.0
    for n in range(1, len(losses) + 1):
        starts = range(0, n, SPACING)
        value = 1.0
        for j, start in enumerate(starts, 1):
            value -= 1 / (j * (j + 1))  # as wealth that does not grow, or
            for bet in BETS:
                wealth = 1.0
                for x in losses[start:n]:
                    wealth *= math.exp(bet * (x or 0)) / (1 - rate + rate * math.exp(bet))
                value += wealth / len(BETS) / (j * (j + 1))
        best = max(best, value)
    return best


def refused(errors: int, n: int, rate: float, level: float) -> bool:
    """Whether the bets of one start reach 1 / level after `errors` in n losses."""
    wealth = [
        math.exp(bet) ** errors / (1 - rate + rate * math.exp(bet)) ** n / len(BETS) for bet in BETS
    ]
    return math.fsum(wealth) >= 1 / level


class Contradiction(Exception):
    """A row that cannot be true beside those before it."""


class Log:
    """What rows tell, one by one."""

    def __init__(self):
        self.accept = {}  # id -> bool, in the order of prediction
        self.loss = {}  # accepted id -> 0 or 1, in the order of arrival

    def rows(self, rows):
        """All of them, or none."""
        accept, loss = dict(self.accept), dict(self.loss)
        try:
            for row in rows:
                self.row(*row)
        except Contradiction:
            self.accept, self.loss = accept, loss
            raise

    def row(self, id, accept, loss):
        if id not in self.accept:
            if accept is None:
                raise Contradiction
            self.accept[id] = accept
        if accept is not None and accept != self.accept[id]:
            raise Contradiction
        if loss is not None and self.accept[id]:
            if self.loss.get(id, loss) != loss:
                raise Contradiction
            self.loss[id] = loss

    def losses(self, order):
        if order == "arrival":
            return list(self.loss.values())
        return [self.loss.get(id) for id, accept in self.accept.items() if accept]

    def counts(self):
        """Predictions, accepted, labelled, errors."""
        accepted = sum(self.accept.values())
        return len(self.accept), accepted, len(self.loss), sum(self.loss.values())
