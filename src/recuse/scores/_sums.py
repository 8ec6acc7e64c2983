"""What scores need of the logits of a chunk, each computed when it is first asked for.

K = classes, r = predictions of the chunk; logits are rows (r, K) or columns (K, r). A logit of -inf
is a class that is impossible there: no sum counts it. Loops of numba and NumPy give the same bits.
"""

from __future__ import annotations

import math
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from recuse._kernels.arithmetic import (
    FLOOR,
    Scratch,
    exp,
    fixed_sum,
    log,
    power,
    unit_of,
)

if TYPE_CHECKING:
    from jaxtyping import Bool, Float, Int
    from numpy import ndarray as Array

MULTIPLIED = range(1, 33)  # orders whose powers are products; beyond them, by the logarithm
AT_ONCE = 4  # the largest order whose powers are summed in one pass
ULP = 2.0**-52
SMALL = 1e-300


class Sums:
    """Sums over the classes of each prediction, in an order of no consequence."""

    def __init__(
        self,
        logits: Float[Array, "r K"] | Float[Array, "K r"],
        axis: int,
        loops: bool,
        scratch: Scratch,
    ):
        self.logits = logits  # float32 or float64, contiguous
        self.scratch = scratch
        self.axis = axis  # of the classes
        self.loops = _loops(axis) if loops else None
        self.classes = logits.shape[axis]
        self.unit = unit_of(self.classes)
        self._exps: dict[float, Array] = {}
        self._norms: dict[bool, _Norms] = {}
        found, self.label, self.malformed = self._survey()
        self.top, self.second, self.low = (x.astype(np.float64, copy=False) for x in found)

    def _survey(self) -> tuple[tuple[Array, ...], Array, bool]:
        """Return the largest, the second and the lowest logit; the predicted class; whether bad."""
        z, axis = self.logits, self.axis
        if self.loops is not None:
            top, second, low = np.empty((3, z.shape[1 - axis]), z.dtype)
            label = np.empty(top.size, np.int32)
            malformed = self.loops.survey(z, top, second, low, label)
            return (top, second, low), label, malformed
        top, label = z.max(axis=axis), z.argmax(axis=axis)
        others = self.scratch("others", z.shape, z.dtype.type)
        others[:] = z
        np.put_along_axis(others, np.expand_dims(label, axis), -np.inf, axis=axis)
        malformed = not bool((top < np.inf).all())
        return (top, others.max(axis=axis), z.min(axis=axis)), label, malformed

    def spread(self, x: Array) -> Array:
        """Return what is of predictions (r,) in the shape of their logits."""
        return x[:, None] if self.axis else x

    @cached_property
    def certain(self) -> Bool[Array, " r"]:
        """Which predictions have one possible class."""
        return np.isneginf(self.second)

    @cached_property
    def margin(self) -> Float[Array, " r"]:
        """Largest less second largest logit; +inf of a certain prediction."""
        return self.top - self.second

    @cached_property
    def masked(self) -> bool:
        """Whether some class is impossible in some row."""
        return bool(np.isneginf(self.low).any())

    @cached_property
    def possible(self) -> Int[Array, " r"]:
        """Number of possible classes."""
        if self.masked:
            return (self.logits > -np.inf).sum(axis=self.axis)
        return np.full(self.top.size, self.classes)

    @cached_property
    def lowest(self) -> Float[Array, " r"]:
        """Lowest possible logit."""
        z = self.logits
        return np.where(z > -np.inf, z, np.inf).min(axis=self.axis) if self.masked else self.low

    @cached_property
    def mean_gap(self) -> Float[Array, " r"]:
        """Mean of the possible logits, less the largest."""
        _, exponent = np.frexp(np.maximum(self.top - self.lowest, SMALL))
        unit = np.ldexp(self.unit, exponent)  # a power of two above every gap
        if self.loops is not None:
            sums = np.empty(unit.size, np.int64)
            self.loops.gaps(self.logits, self.top, unit, sums)
        else:
            gap = self.scratch("x", self.logits.shape)
            np.subtract(self.spread(self.top), self.logits, out=gap)
            if self.masked:
                gap[np.isposinf(gap)] = 0.0
            sums = fixed_sum(gap, self.spread(unit), self.axis)
        return -(sums * (unit * ULP)) / self.possible

    def exps(self, factor: float = 1.0, moments: int = 1) -> list[Float[Array, " r"]]:
        """Return sums over all classes but the predicted one, with x = factor * (z - second).

        The first of `moments` is the sum of exp(x), the second of x exp(x), the third of exp(x)^2.
        """
        if len(self._exps.get(factor, ())) < moments:
            self._exps[factor] = self._exp_sums(factor, moments)
        scale = self.unit * ULP
        one = round(1 / scale)  # exp(0), of the predicted class
        terms = zip(self._exps[factor][:moments], (one, 0, one), (scale, -scale, scale))
        return [(total - predicted) * unit for total, predicted, unit in terms]

    def _exp_sums(self, factor: float, moments: int) -> Int[Array, "moments r"]:
        pivot = np.where(self.certain, self.top, self.second)
        sums = np.empty((moments, pivot.size), np.int64)
        if self.loops is not None:
            self.loops.exp_sums(self.logits, pivot, factor, self.unit, sums)
            return sums
        x = self.scratch("x", self.logits.shape)
        np.subtract(self.logits, self.spread(pivot), out=x)
        np.minimum(x, 0.0, out=x)
        x *= factor
        np.maximum(x, FLOOR, out=x)
        e = exp(x, self.scratch)
        if moments > 2:
            square = np.multiply(e, e, out=self.scratch("square", e.shape))
            sums[2] = fixed_sum(square, self.unit, self.axis)
        if moments > 1:
            np.negative(x, out=x)
            x *= e
            sums[1] = fixed_sum(x, self.unit, self.axis)
        sums[0] = fixed_sum(e, self.unit, self.axis)
        return sums

    def shrunk(self, factor: float = 1.0) -> Float[Array, " r"]:
        """Return exp(-factor * margin)."""
        return exp(np.maximum(-factor * self.margin, FLOOR))

    def odds(self, factor: float = 1.0) -> Float[Array, " r"]:
        """Return the sum of exp(factor * (z - top)) over all classes but the predicted one."""
        return self.shrunk(factor) * self.exps(factor)[0]

    def logit_norm(self, p: float, center: bool) -> Float[Array, " r"]:
        """Return the largest logit over the p-norm of the others."""
        if center not in self._norms:
            self._norms[center] = _Norms(self, center)
        norms, fewest = self._norms[center], np.maximum(self.possible - 1.0, 1.0)
        flat, t = self.lowest == self.top, norms.largest * norms.inverse(p)
        t = np.where(norms.scale > 0, t, np.inf)
        t = np.where(flat, -inverse_root(fewest, p), t)
        return np.where(self.certain, np.inf, t)


class _Norms:
    """Magnitudes of the classes but the predicted one, and the norms of their powers."""

    def __init__(self, sums: Sums, center: bool):
        top, mean = (sums.top, sums.mean_gap) if center else (np.zeros_like(sums.top),) * 2
        self.unit, self.axis, self.loops = sums.unit, sums.axis, sums.loops
        self.scratch, self.name = sums.scratch, "centred" if center else "uncentred"
        self.v, self.scale = _magnitudes(
            sums, top, mean, self.scratch(self.name, sums.logits.shape)
        )
        self.largest = ((sums.top - top) - mean) / np.where(self.scale > 0, self.scale, 1.0)
        self._power: Array | None = None
        self._order = 0  # of `_power`
        self._sums: dict[float, Array] = {}

    def inverse(self, p: float) -> Float[Array, " r"]:
        """Return one over the norm of order p of the magnitudes over their maximum."""
        if p == math.inf:
            return np.ones(self.scale.size)
        if p not in self._sums:
            self._sums[p] = self._sum(p)
        return inverse_root(np.maximum(self._sums[p] * (self.unit * ULP), 1.0), p)

    def _sum(self, p: float) -> Int[Array, " r"]:
        """Return the sums of the powers, which are products from left to right."""
        if p not in MULTIPLIED:
            return fixed_sum(power(self.v, p, self.scratch), self.unit, self.axis)
        if p <= AT_ONCE and p != self._order + 1:
            return self._at_once(int(p))
        while self._order < p:
            found = self._next()
            self._sums[self._order] = found
        return self._sums[p]

    def _at_once(self, p: int) -> Int[Array, " r"]:
        if self.loops is None:
            product = self.scratch("product", self.v.shape)
            product[:] = self.v
            for _ in range(p - 1):
                product *= self.v
            return fixed_sum(product, self.unit, self.axis)
        sums = np.empty(self.scale.size, np.int64)
        self.loops.sum_of_powers(self.v, p, self.unit, sums)
        return sums

    def _next(self) -> Int[Array, " r"]:
        """Return the sums of the next order."""
        if self._power is None:
            self._power = self.scratch(f"power of {self.name}", self.v.shape)
            self._power[:] = 1.0
        self._order += 1
        if self.loops is None:
            self._power *= self.v
            terms = self.scratch("product", self.v.shape)
            terms[:] = self._power
            return fixed_sum(terms, self.unit, self.axis)
        sums = np.empty(self.scale.size, np.int64)
        self.loops.multiply_and_sum(self._power, self.v, self.unit, sums)
        return sums


def _magnitudes(s: Sums, top: Array, mean: Array, v: Array) -> tuple[Array, Array]:
    """Return |z - top - mean| over the maximum, in v of the shape of the logits, and the maximum.

    It is 0 for the predicted and for impossible classes.
    """
    z = s.logits
    if s.loops is not None:
        scale = np.empty(top.size)
        s.loops.magnitudes(z, top, mean, s.label, v, scale)
        return v, scale
    np.subtract(z, s.spread(top), out=v)
    v -= s.spread(mean)
    np.abs(v, out=v)
    np.put_along_axis(v, np.expand_dims(s.label, s.axis), 0.0, axis=s.axis)
    if s.masked:
        v[np.isposinf(v)] = 0.0
    scale = v.max(axis=s.axis)
    v /= s.spread(np.where(scale > 0, scale, 1.0))
    return v, scale


def _loops(axis: int) -> Any:
    from recuse._kernels import score_columns, scores

    return scores if axis else score_columns


def inverse_root(x: Float[Array, " r"], p: float) -> Float[Array, " r"]:
    """Return x^(-1/p) for x >= 1."""
    if p == math.inf:
        return np.ones_like(x)
    if p in (1, 2, 4):
        for _ in range({1: 0, 2: 1, 4: 2}[int(p)]):
            x = np.sqrt(x)
        return 1.0 / x
    return exp(np.maximum(-log(x) / p, FLOOR))
