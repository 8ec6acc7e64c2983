"""Ties that hold an error: all that areas and points of many 0-1 losses depend on.

n = predictions, t = ties that hold an error, most confident first. Everything is computed by NumPy
from where each tie begins, how many predictions it holds and how many of them are wrong.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from recuse.curves._harmonic import rise, rise_and_ramp

if TYPE_CHECKING:
    from jaxtyping import Float, Int
    from numpy import ndarray as Array

WINDOW = 0.8  # the risk near a threshold is that of n^0.8 neighbours
PART = 1 << 13  # ties, which stay in cache


class ErrorTies:
    """Ties that hold an error; see the module."""

    def __init__(
        self, n: int, start: Int[Array, " t"], count: Int[Array, " t"], errors: Int[Array, " t"]
    ):
        self.n = n
        self.start = start  # predictions that are more confident
        self.count = count
        self.errors = errors

    @property
    def end(self) -> Int[Array, " t"]:
        """Predictions that are at least as confident."""
        return self.start + self.count

    @property
    def rate(self) -> Float[Array, " t"]:
        """Mean loss of each tie."""
        return self.errors / self.count

    def parts(self) -> Iterator[ErrorTies]:
        """Yield some ties at a time."""
        columns = self.start, self.count, self.errors
        for first in range(0, self.errors.size, PART):
            yield ErrorTies(self.n, *(x[first : first + PART] for x in columns))

    def growth(self) -> tuple[Float[Array, " t"], Float[Array, " t"], Float[Array, " t"]]:
        """Return the sums of 1 / (start + j) and of j / (start + j) over each tie; H_n - H_end."""
        end = self.end
        return *rise_and_ramp(self.start, self.count), rise(end, self.n - end)

    @cached_property
    def risk_area(self) -> float:
        """The sum over k of E_k / k."""
        return sum(t.area_of(*t.growth()[1:]) for t in self.parts())

    def area_of(self, ramp: Float[Array, " t"], to_all: Float[Array, " t"]) -> float:
        """Return what these ties add to the sum over k of E_k / k."""
        return float(np.sum(self.errors * to_all + self.rate * ramp))

    @property
    def loss_area(self) -> float:
        """The sum over k of E_k."""
        return float(np.sum(self.errors * (self.n - self.start - 0.5 * (self.count - 1))))

    def errors_until(self, k: int) -> int:
        """Return the errors among the k most confident, the last a whole tie."""
        return int(self.errors[self.end <= k].sum())

    def most_accepted(self, risk: float) -> int:
        """Return the largest k that a threshold accepts with E_k / k <= risk; 0 if there is none.

        While only right predictions are added the risk falls: the last k before each tie decides.
        """
        ends = np.append(self.start, self.n)
        errors = np.append(0, np.cumsum(self.errors))
        reached = ends[(ends > 0) & (errors / np.maximum(ends, 1) <= risk)]
        return int(reached.max(initial=0))

    def local_risk(self, k: int) -> float:
        """Return the mean loss of the n^0.8 examples around rank k, with whole ties."""
        half = math.ceil(self.n**WINDOW / 2)
        low, high = max(0, k - half), min(k + half, self.n)
        inside = np.minimum(self.end, high) - np.maximum(self.start, low)
        return float(np.sum(self.rate * np.maximum(inside, 0)) / (high - low))
