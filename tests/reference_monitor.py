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


def closed_groups(rows, window):
    """Groups that no row can join any more, in the order of their first rows.

    A row is (group, subgroup, accept, loss), in the order of prediction; one that comes `window`
    or more predictions after the first of its group is left out.
    """
    first, members = {}, {}
    for t, (group, *row) in enumerate(rows):
        first.setdefault(group, t)
        if t - first[group] < window:
            members.setdefault(group, []).append(row)
    return [members[group] for group, t in first.items() if len(rows) - t >= window]


def excess_of_risk(groups, rate, subgroup=None):
    """Mean over the rows of each group of loss - rate, 0 where it abstains or is of another
    subgroup; without groups in which every row is 0 so. An unknown loss is 0."""
    found = []
    for rows in groups:
        of = [l or 0 for s, a, l in rows if a and subgroup in (None, s)]
        if of:
            found.append(sum(l - rate for l in of) / len(rows))
    return found


def excess_of_acceptance(groups, rate, accept=True):
    """Mean over the rows of each group of whether it is accepted (or abstained) - rate."""
    return [sum((a == accept) - rate for _, a, _ in rows) / len(rows) for rows in groups]


def e_value_of_means(excess, rate):
    """The largest e-value over all prefixes of groups; starts every 20, one more bet."""
    bets, best = [4.0, *BETS], 1.0
    stakes = [(math.exp(b) - 1) / (1 - rate + rate * math.exp(b)) for b in bets]
    for n in range(1, len(excess) + 1):
        value = 1.0
        for j, start in enumerate(range(0, n, 20), 1):
            value -= 1 / (j * (j + 1))
            for stake in stakes:
                wealth = math.prod(1 + stake * x for x in excess[start:n])
                value += wealth / len(bets) / (j * (j + 1))
        best = max(best, value)
    return best
