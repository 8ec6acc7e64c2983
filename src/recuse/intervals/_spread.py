"""Rankings of examples, and the influences that they give, by runs that share one.

n = examples, k = distinct confidences, g = runs, r = examples of a part. A ranking is found by one
sort; value, influences and interval of a measure are read from it.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from recuse.curves._ranked import Errors, TieGroups
from recuse.errors import InputError

if TYPE_CHECKING:
    from jaxtyping import Float, Int, Int32
    from numpy import ndarray as Array

PART = 1 << 14  # rows, which stay in cache


def variance_of(squares: float, n: int) -> float:
    """Return the variance of the mean of n independent influences, of their summed squares."""
    if n < 2:
        raise InputError(f"expected at least 2 independent examples or groups, got {n}")
    return squares / n / (n - 1)


class Spread(NamedTuple):
    """Influences by descending confidence, of mean zero over the examples."""

    value: Float[Array, " g"]
    end: Int[Array, " g"] | None  # where each run ends; None for runs of one example

    @property
    def variance(self) -> float:
        """Variance of the mean of independent examples."""
        squares = self.value**2
        if self.end is not None:
            squares *= np.diff(self.end, prepend=0)
        n = self.value.size if self.end is None else int(self.end[-1])
        return variance_of(float(np.sum(squares)), n)

    @property
    def largest(self) -> float:
        """The largest size of an influence."""
        return max(float(self.value.max()), -float(self.value.min()))

    def of_ranks(self, part: slice) -> Float[Array, " r"]:
        """Return the influences of the examples at these ranks."""
        return self.value[part] if self.end is None else self.value.take(self.runs(part))

    def runs(self, part: slice) -> Int[Array, " r"]:
        """Return the runs of the examples at these ranks."""
        if self.end is None:
            return np.arange(part.start, part.stop, dtype=np.int32)
        ends = np.array([part.start + 1, part.stop], self.end.dtype)
        first, last = np.searchsorted(self.end, ends)
        length = np.diff(np.minimum(self.end[first : last + 1], part.stop), prepend=part.start)
        return np.repeat(np.arange(first, last + 1, dtype=np.int32), length)


class Accepted(NamedTuple):
    """What a threshold accepts, at every distinct confidence."""

    count: Int[Array, " k"]
    loss: Float[Array, " k"]  # summed
    squares: Float[Array, " k"]  # of losses, summed


class Ranking(ABC):
    """Examples by descending confidence."""

    n: int
    loss: Float[Array, " n"]  # none if all are 0 or 1

    @property
    @abstractmethod
    def form(self) -> Errors | TieGroups:
        """What the values of measures are read from."""

    @property
    @abstractmethod
    def errors(self) -> float:
        """The effective number of errors."""

    @property
    @abstractmethod
    def largest(self) -> float:
        """The largest loss."""

    @abstractmethod
    def aurc(self) -> Spread:
        """Return the influences on AURC."""

    @abstractmethod
    def e_aurc(self) -> Spread:
        """Return the influences on E-AURC."""

    @abstractmethod
    def augrc(self) -> Spread:
        """Return the influences on AUGRC."""

    @abstractmethod
    def at_threshold(self, k: int, m: float) -> Spread:
        """Return 1{accepted} (l - m) - k/n (R - m), R the risk of the k that are accepted."""

    @abstractmethod
    def risk(self, k: int) -> float:
        """Return the risk of the k most confident, the last a whole tie."""

    @abstractmethod
    def tie_at(self, coverage: float) -> tuple[int, int]:
        """Return the ranks at which the tie at a coverage begins and ends."""

    @abstractmethod
    def accepted_at_risk(self, risk: float) -> int:
        """Return the largest k that a threshold accepts with a risk of at most `risk`, or 0."""

    @abstractmethod
    def local_risk(self, k: int) -> float:
        """Return the mean loss of the n^0.8 examples around rank k, with whole ties."""

    @abstractmethod
    def accepted(self) -> Accepted:
        """Return what each threshold accepts."""

    @abstractmethod
    def carried(self, part: slice) -> Int[Array, " r"]:
        """Return where the examples of these ranks stand in the input, or what is carried."""

    def risk_at_coverage(self, coverage: float) -> Spread:
        """Return the influences on the risk at a coverage."""
        start, k = self.tie_at(coverage)
        moves = k - start <= 2 * math.sqrt(self.n * coverage * (1 - coverage))  # if resampled
        found = self.at_threshold(k, self.local_risk(k) if moves else self.risk(k))
        return found._replace(value=found.value * (self.n / k))

    def coverage_at_risk(self, risk: float) -> Spread:
        """Return the influences on the coverage at a risk; NaN where it is not crossed."""
        k = self.accepted_at_risk(risk)
        m = self.local_risk(k)
        if k in (0, self.n) or m <= risk:
            return Spread(np.array([math.nan]), np.array([self.n]))
        found = self.at_threshold(k, m)
        return found._replace(value=found.value / (risk - m))

    def parts(self) -> Iterator[slice]:
        """Yield ranks, in parts that stay in cache."""
        for start in range(0, self.n, PART):
            yield slice(start, min(start + PART, self.n))

    def runs(self, spread: Spread) -> Int32[Array, " n"]:
        """Return the runs of the examples in the order of the input."""
        out = np.empty(self.n, np.int32)
        for part in self.parts():
            out[self.carried(part)] = spread.runs(part)
        return out

    def unsort(self, spread: Spread) -> Float[Array, " n"]:
        """Return influences in the order of the input."""
        return spread.value[self.runs(spread)]
