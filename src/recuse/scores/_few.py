"""The sums of few logits, one by one: for ten of them, NumPy's calls cost more than the sums.

K = classes, r = predictions. The operations are those of `_sums`, in their order; `math.fsum` of
terms that are rounded to the unit is the sum of integers, rounded once.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np

from recuse._kernels.arithmetic import FLOOR, LOWEST, TINY, ULP, Scratch, exp_one
from recuse.scores._sums import MULTIPLIED, Chunk, Magnitudes, Sums

if TYPE_CHECKING:
    from jaxtyping import Float, Int
    from numpy import ndarray as Array

FEW = 32  # logits


class Few(Chunk):
    """A chunk of few rows (r, K)."""

    def __init__(self, logits: Array, scratch: Scratch):
        super().__init__(logits, 1, False, scratch)
        self.rows = logits.tolist()

    def survey(self) -> tuple[tuple[Array, ...], Array, bool]:
        """Return what `Chunk.survey` does."""
        top, label, second, low, malformed = [], [], [], [], False
        for row in self.rows:
            top.append(max(row))
            label.append(at := row.index(top[-1]))
            second.append(max(row[:at] + row[at + 1 :]))
            low.append(min(row))
            malformed |= not (top[-1] > -math.inf and sum(row) < math.inf)
        return tuple(map(np.array, (top, second, low))), np.array(label), malformed

    def mean_gap(self, s: Sums) -> Float[Array, " r"]:
        """Return the mean of the possible logits, less the largest."""
        sums = []
        for row, top, low in zip(self.rows, s.top.tolist(), s.lowest.tolist()):
            _, exponent = math.frexp(max(top - low, TINY))
            gaps = [top - z for z in row if z > -math.inf]
            sums.append(rounded_sum(gaps, math.ldexp(self.unit, exponent)))
        return -np.array(sums) / s.possible

    def exps(self, s: Sums, factor: float, moments: int) -> Float[Array, "moments r"]:
        """Return what `Chunk.exps` does."""
        sums = []
        for row, second in zip(self.rows, np.maximum(s.second, LOWEST).tolist()):
            x = [max(FLOOR, min(z - second, 0.0) * factor) for z in row]
            e = [exp_one(y) for y in x]
            found = [rounded_sum(e, self.unit, -1.0)]
            if moments > 1:
                found.append(-rounded_sum((-y * z for y, z in zip(x, e)), self.unit))
            if moments > 2:
                found.append(rounded_sum((y * y for y in e), self.unit, -1.0))
            if moments > 3:
                found.append(rounded_sum((y * y * z for y, z in zip(x, e)), self.unit))
            sums.append(found)
        return np.array(sums).T

    def magnitudes(self, s: Sums, center: bool) -> Magnitudes:
        """Return the magnitudes of these rows."""
        return FewMagnitudes(self, s, center)


class FewMagnitudes(Magnitudes):
    """Magnitudes of few rows."""

    def _fill(self, s: Sums, top: Array, mean: Array) -> Float[Array, " r"]:
        scale = []
        rows = zip(
            self.chunk.logits.tolist(), top.tolist(), mean.tolist(), s.label.tolist(), self.v
        )
        for row, t, m, label, out in rows:
            v = [abs((z - t) - m) if z > -math.inf else 0.0 for z in row]
            v[label] = 0.0
            scale.append(max(v))
            out[:] = [x / scale[-1] for x in v] if scale[-1] > 0 else v
        return np.array(scale)

    def sum_of(self, p: float) -> Int[Array, " r"] | Float[Array, " r"]:
        """Return the sums of the powers, which are products from left to right."""
        if p not in MULTIPLIED:
            return super().sum_of(p)
        sums = []
        for v in self.v.tolist():
            product = v
            for _ in range(int(p) - 1):
                product = [x * y for x, y in zip(product, v)]
            sums.append(rounded_sum(product, self.chunk.unit))
        return np.array(sums) / (self.chunk.unit * ULP)


def rounded_sum(terms: Iterable[float], unit: float, *more: float) -> float:
    """Return the sum of terms in [0, unit], each a multiple of unit 2^-52, rounded once."""
    return math.fsum([(x + unit) - unit for x in terms] + list(more))
