"""Sums that are the same in any order of their terms, to the last bit, without a sort."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from jaxtyping import Float
    from numpy import ndarray as Array

ROWS = 1 << 14  # a part, which stays in cache
UNIT = 2.0**30  # a part of such terms has a sum below 2^53
DIGITS = 3  # in units of 2^-30, 2^-60 and 2^-90 of the bound


class Total:
    """A sum of terms in [-bound, bound], each to 2^-91 of the bound: of integers.

    0 if the bound is, and NaN if it is NaN.
    """

    def __init__(self, bound: float):
        self._bound = bound + 0.0  # not -0
        if bound > 0:  # the largest power of 2 below it: divisions by it are exact
            self._bound = math.ldexp(1.0, math.frexp(bound)[1] - 1)
        self._digits = [0] * DIGITS

    def add(self, terms: Float[Array, " n"]) -> None:
        """Add terms."""
        if not self._bound > 0:
            return
        for start in range(0, terms.size, ROWS):
            rest = terms[start : start + ROWS] / self._bound
            whole = np.empty_like(rest)
            for i in range(DIGITS):
                rest *= UNIT
                np.rint(rest, out=whole)
                rest -= whole
                self._digits[i] += int(whole.sum())

    @property
    def value(self) -> float:
        """The sum."""
        units = 0
        for digit in self._digits:
            units = units * int(UNIT) + digit
        return units / int(UNIT) ** DIGITS * self._bound


def total(terms: Float[Array, " n"]) -> float:
    """Return the sum of terms; as NumPy sums them where one is not finite.

    >>> total(np.array([0.1, 0.2, 0.3])) == total(np.array([0.3, 0.2, 0.1]))
    True
    """
    bound = max(-float(terms.min()), float(terms.max()))
    if not math.isfinite(bound):
        return float(terms.sum())
    found = Total(bound)
    found.add(terms)
    return found.value
