"""Losses in a fixed order of which some are not known yet, and the e-value of their mean.

n = losses, b = those that come together, u = errors behind the first unknown loss.

An unknown loss counts as 0, which can only lower the e-value of each prefix: whatever decides
when labels arrive, the e-value here is at most that of all labels. It never falls again.
"""

from __future__ import annotations

from array import array
from typing import TYPE_CHECKING

import numpy as np

from recuse.monitor._wealth import NOTHING, SPACING, STEP, Wealth, advance

if TYPE_CHECKING:
    from jaxtyping import Int
    from numpy import ndarray as Array

UNKNOWN = -1


class Track:
    """The largest e-value against "the mean loss is at most `rate`" over all prefixes.

    Blocks of `SPACING` losses that are known, from the first on, become a `Wealth`. Of the rest
    the positions of errors are kept.
    """

    def __init__(
        self,
        rate: float,
        wealth: Wealth = NOTHING,
        n: int = 0,
        errors: Int[Array, " u"] | None = None,
        unknown: Int[Array, " b"] | None = None,
    ):
        self.rate, self.n, self._wealth = rate, n, wealth
        self._errors = array("q", [] if errors is None else errors.tolist())
        self._waiting: dict[int, int] = {}  # block -> unknown losses in it
        self._frontier = wealth.at // SPACING  # the first block that is not known
        if unknown is not None:
            self._wait(unknown, 1)
        self._log_e: float | None = None

    def append(self, loss: Int[Array, " b"]) -> Int[Array, " b"]:
        """Add losses 0, 1 or `UNKNOWN` at the end; returns their positions."""
        position = np.arange(self.n, self.n + loss.size)
        self.n += loss.size
        self._wait(position[loss == UNKNOWN], 1)
        self._know(position[loss == 1])
        return position

    def settle(self, position: Int[Array, " b"], loss: Int[Array, " b"]) -> None:
        """Learn losses that were unknown."""
        self._wait(position, -1)
        self._know(position[loss == 1])

    @property
    def log_e(self) -> float:
        """Log of the largest e-value of a prefix; 0 at the beginning."""
        if self._log_e is None:
            wealth, errors = self.folded()
            self._log_e = advance(wealth, errors, self.n, self.rate).best
        return self._log_e

    def folded(self) -> tuple[Wealth, Int[Array, " u"]]:
        """The wealth of the known blocks, and the errors behind them in order."""
        known = self._known()
        errors = np.sort(np.array(self._errors, np.int64))
        done, rest = np.split(errors, [int(np.searchsorted(errors, known))])
        if known > self._wealth.at:
            self._wealth = advance(self._wealth, done, known, self.rate)
            self._errors = array("q", rest.tolist())
        return self._wealth, rest

    def _know(self, errors: Array) -> None:
        self._log_e = None
        self._errors.frombytes(errors.astype(np.int64).tobytes())
        if self._known() - self._wealth.at >= STEP:
            self.folded()

    def _known(self) -> int:
        while (self._frontier + 1) * SPACING <= self.n and self._frontier not in self._waiting:
            self._frontier += 1
        return self._frontier * SPACING

    def _wait(self, position: Array, sign: int) -> None:
        for block, count in zip(*np.unique(position // SPACING, return_counts=True)):
            left = self._waiting.pop(int(block), 0) + sign * int(count)
            if left:
                self._waiting[int(block)] = left
