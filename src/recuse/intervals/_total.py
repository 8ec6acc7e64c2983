"""Sums that are the same in any order of their terms, to the last bit, without a sort.

n = terms, G = groups.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from jaxtyping import Float, Int
    from numpy import ndarray as Array

ROWS = 1 << 14  # a part, which stays in cache
SHORT = 2.0**25  # a unit with which 2^27 rows of a group have a sum below 2^53
UNIT = 2.0**30  # a part of such terms has a sum below 2^53
DIGITS = 3  # in units of 2^-30, 2^-60 and 2^-90 of the bound


class Total:
    """A sum of terms in [-bound, bound], each to 2^-91 of the bound: of integers.

    0 if the bound is, and NaN if it is NaN.
    """

    def __init__(self, bound: float):
        self._bound = _power_of_two(bound)
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
    bound = _bound(terms)
    if not math.isfinite(bound):
        return float(terms.sum())
    found = Total(bound)
    found.add(terms)
    return found.value


def group_totals(terms: Float[Array, " n"], code: Int[Array, " n"]) -> Float[Array, " G"]:
    """Return the sums of terms by the codes 0..G-1 of their groups, each to 2^-76 of the bound."""
    bound = _power_of_two(_bound(terms))
    if not (math.isfinite(bound) and bound):
        return np.bincount(code, terms)
    rest, sums = terms / bound, np.zeros(1)
    for i in range(1, DIGITS + 1):
        rest *= SHORT
        whole = np.rint(rest)
        rest -= whole
        sums = sums + np.bincount(code, whole) / SHORT**i
    return sums * bound


def _bound(terms: Float[Array, " n"]) -> float:
    return max(-float(terms.min()), float(terms.max()))


def _power_of_two(bound: float) -> float:
    """Return the largest power of 2 up to a bound > 0: divisions by it are exact."""
    return math.ldexp(1.0, math.frexp(bound)[1] - 1) if bound > 0 else bound + 0.0  # not -0
