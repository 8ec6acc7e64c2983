"""What scores need of the logits, each computed when it is first asked for.

K = classes, r = predictions of the chunk; logits are rows (r, K) or columns (K, r). A logit of -inf
is a class that is impossible there: no sum counts it. Loops of numba and NumPy give the same bits.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from recuse._kernels.arithmetic import (
    FLOOR,
    LOWEST,
    TINY,
    ULP,
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
AT_ONCE = 4  # the largest order whose powers are summed in one pass, if no other is asked for
TOGETHER = 5  # orders that a loop sums in one pass


class Chunk:
    """Logits of some predictions, and the loops over their classes."""

    def __init__(self, logits: Array, axis: int, loops: bool, scratch: Scratch):
        self.logits = logits  # float32 or float64, contiguous: (r, K) or (K, r)
        self.axis = axis  # of the classes
        self.loops = _loops(axis, logits.shape[1 - axis]) if loops else None
        self.scratch = scratch
        self.classes = logits.shape[axis]
        self.size = logits.shape[1 - axis]
        self.unit = unit_of(self.classes)
        self._magnitudes: dict[bool, Magnitudes] = {}
        self.several: dict[bool, bool] = {}  # whether several orders will be asked for

    def spread(self, x: Array) -> Array:
        """Return what is of predictions (r,) in the shape of their logits."""
        return x[:, None] if self.axis else x

    def survey(self) -> tuple[tuple[Array, ...], Array, bool]:
        """Return the largest, the second and the lowest logit; the predicted class; whether bad."""
        z, axis = self.logits, self.axis
        if self.loops is not None:
            found, label = np.empty((3, self.size)), np.empty(self.size, np.int32)
            malformed = self.loops.survey(z, *found, label, *self._others())
            return tuple(found), label, malformed
        top, label = z.max(axis=axis), z.argmax(axis=axis)
        others = self.scratch("others", z.shape, z.dtype.type)
        others[:] = z
        np.put_along_axis(others, np.expand_dims(label, axis), -np.inf, axis=axis)
        malformed = not bool(np.isfinite(top).all())
        return (top, others.max(axis=axis), z.min(axis=axis)), label, malformed

    def _others(self) -> tuple[Array, ...]:
        """Return where `survey` leaves the logits but the two largest, of columns."""
        shape = self.classes - 2, self.size
        return () if self.axis else (self.scratch("others", shape, self.logits.dtype.type),)

    def possible(self, s: Sums) -> Int[Array, " r"]:
        """Count the possible classes."""
        if s.masked:
            return (self.logits > -np.inf).sum(axis=self.axis)
        return np.full(self.size, self.classes)

    def lowest(self, s: Sums) -> Float[Array, " r"]:
        """Return the lowest possible logit."""
        if not s.masked:
            return s.low
        z = self.logits
        return np.where(z > -np.inf, z, np.inf).min(axis=self.axis).astype(np.float64)

    def mean_gap(self, s: Sums) -> Float[Array, " r"]:
        """Return the mean of the possible logits, less the largest."""
        if self.loops is not None:
            sums = np.empty(self.size)
            self.loops.gaps(self.logits, s.top, s.lowest, self.unit, sums)
            return -sums / s.possible
        gap = self.scratch("x", self.logits.shape)
        np.subtract(self.spread(s.top), self.logits, out=gap)
        return -self._sum(gap, s.top - s.lowest, s.masked) / s.possible

    def variance(self, s: Sums) -> Float[Array, " r"]:
        """Return the mean square of the possible logits, less their mean."""
        mean = s.top + s.mean_gap
        largest = np.maximum(s.top - mean, mean - s.lowest)
        if self.loops is not None:
            sums = np.empty(self.size)
            self.loops.squares(self.logits, mean, largest, self.unit, sums)
            return sums / s.possible
        square = self.scratch("x", self.logits.shape)
        np.subtract(self.logits, self.spread(mean), out=square)
        square *= square
        return self._sum(square, largest * largest, s.masked) / s.possible

    def _sum(self, terms: Array, largest: Array, masked: bool) -> Float[Array, " r"]:
        """Return the sums of terms >= 0 of this size, but for those that are infinite."""
        _, exponent = np.frexp(np.maximum(largest, TINY))
        unit = np.ldexp(self.unit, exponent)  # a power of two above every term
        if masked:
            terms[np.isposinf(terms)] = 0.0
        return fixed_sum(terms, self.spread(unit), self.axis) * (unit * ULP)

    def exps(self, s: Sums, factor: float, moments: int) -> Float[Array, "moments r"]:
        """Return sums of exp(x), x exp(x), exp(x)^2 and x^2 exp(x), x = factor * (z - second).

        They are of all classes but the predicted one.
        """
        second, sums = np.maximum(s.second, LOWEST), np.empty((moments, self.size))
        if self.loops is not None:
            (logits,) = self._others() or (self.logits,)
            self.loops.exp_sums(logits, second, factor, self.unit, sums)
            return sums
        x = self.scratch("x", self.logits.shape)
        np.subtract(self.logits, self.spread(second), out=x)
        np.minimum(x, 0.0, out=x)
        x *= factor
        np.maximum(x, FLOOR, out=x)
        e, scale = exp(x, self.scratch), self.unit * ULP
        one = round(1 / scale)  # exp(0), of the predicted class
        if moments > 2:
            square = np.multiply(e, e, out=self.scratch("square", e.shape))
            sums[2] = (fixed_sum(square, self.unit, self.axis) - one) * scale
        if moments > 3:
            square = np.multiply(x, x, out=self.scratch("square", e.shape))
            square *= e
            sums[3] = fixed_sum(square, self.unit, self.axis) * scale
        if moments > 1:
            np.negative(x, out=x)
            x *= e
            sums[1] = fixed_sum(x, self.unit, self.axis) * -scale
        sums[0] = (fixed_sum(e, self.unit, self.axis) - one) * scale
        return sums

    def scale(self, s: Sums, center: bool) -> Float[Array, " r"]:
        """Return the largest magnitude of the classes but the predicted one."""
        if center not in self._magnitudes:
            self._magnitudes[center] = self.magnitudes(s, center)
        return self._magnitudes[center].scale

    def magnitudes(self, s: Sums, center: bool) -> Magnitudes:
        """Return the magnitudes, over the largest."""
        return Magnitudes(self, s, center)

    def powers(self, s: Sums, center: bool, p: float) -> Int[Array, " r"]:
        """Return the sums of these magnitudes over the largest, to the power of p."""
        self.scale(s, center)
        return self._magnitudes[center].sum_of(p)

    def generalized(self, s: Sums, gamma: float, top: int) -> Float[Array, " r"]:
        """Return the sum of p (1 - p) over that of the second largest, to the power of gamma.

        It runs over the `top` largest probabilities without the maximum.
        """
        margin, total = np.where(s.certain, 0.0, s.margin), 1 + s.odds()
        others = self.logits.copy() if self.axis else self.logits.T.copy()
        others[np.arange(self.size), s.label] = -np.inf
        rest = max(self.classes - (top - 1), 0)
        others = (
            np.partition(others, rest)[:, rest:] if 0 < rest < self.classes else others[:, rest:]
        )
        gap = np.subtract(others, s.top[:, None], dtype=np.float64)
        spread = gap + log(total[:, None] - exp(np.maximum(gap, FLOOR)))
        second = log(total - s.shrunk()) - margin
        terms = exp(np.maximum(gamma * (spread - second[:, None]), FLOOR))
        return fixed_sum(np.where(gap > -np.inf, terms, 0.0), self.unit, 1) * (self.unit * ULP)

    def of_columns(self, s: Sums, function: Callable[..., Array], *arguments: Any) -> Array:
        """Return what a function makes of the logits (K, r)."""
        return function(self.logits.T if self.axis else self.logits, *arguments)


class Sums:
    """Sums over the classes of each prediction, in an order of no consequence.

    They are computed of a chunk when they are first asked for. `joined` has those of its parts.
    """

    def __init__(self, chunk: Chunk):
        found, self.label, self.malformed = chunk.survey()
        self.top, self.second, self.low = (x.astype(np.float64, copy=False) for x in found)
        self.unit, self._chunk = chunk.unit, chunk
        self.found: dict[tuple, Array] = {}  # (name of a method of a chunk, its arguments)

    @classmethod
    def joined(cls, parts: Sequence[Sums]) -> Sums:
        """Return the sums of several chunks, for which the same have been asked."""
        whole = object.__new__(cls)
        for name in ("label", "top", "second", "low"):
            setattr(whole, name, np.concatenate([getattr(s, name) for s in parts]))
        whole.unit = parts[0].unit
        whole.found = {
            key: np.concatenate([s.found[key] for s in parts], axis=-1) for key in parts[0].found
        }
        return whole

    def settle(self, keys: Sequence[tuple]) -> None:
        """Compute what is asked for, and let go of the logits."""
        for center in (True, False):
            orders = [key for key in keys if key[:2] == ("powers", center)]
            self._chunk.several[center] = len(orders) > 1
        for key in keys:
            self.ask(*key)
        del self._chunk

    def ask(self, name: str, *arguments: Any) -> Array:
        """Return what a method of the chunk computes, once."""
        key = (name, *arguments)
        if key not in self.found:
            found = getattr(self._chunk, name)(self, *arguments)
            self.found[key] = found
        return self.found[key]

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

    @property
    def possible(self) -> Int[Array, " r"]:
        """Number of possible classes."""
        return self.ask("possible")

    @property
    def lowest(self) -> Float[Array, " r"]:
        """Lowest possible logit."""
        return self.ask("lowest")

    @property
    def mean_gap(self) -> Float[Array, " r"]:
        """Mean of the possible logits, less the largest."""
        return self.ask("mean_gap")

    @property
    def variance(self) -> Float[Array, " r"]:
        """Variance of the possible logits."""
        return self.ask("variance")

    def exps(self, factor: float = 1.0, moments: int = 1) -> Float[Array, "moments r"]:
        """Return sums over all classes but the predicted one, with x = factor * (z - second).

        The first of `moments` is the sum of exp(x), the second of x exp(x), the third of exp(x)^2,
        the fourth of x^2 exp(x).
        """
        most = max(
            (m for m in range(moments, 5) if ("exps", factor, m) in self.found), default=moments
        )
        return self.ask("exps", factor, most)[:moments]

    def shrunk(self, factor: float = 1.0) -> Float[Array, " r"]:
        """Return exp(-factor * margin)."""
        return exp(np.maximum(-factor * self.margin, FLOOR))

    def odds(self, factor: float = 1.0) -> Float[Array, " r"]:
        """Return the sum of exp(factor * (z - top)) over all classes but the predicted one."""
        return self.shrunk(factor) * self.exps(factor)[0]

    def logit_norm(self, p: float, center: bool) -> Float[Array, " r"]:
        """Return the largest logit over the p-norm of the others."""
        scale, flat = self.ask("scale", center), self.lowest == self.top
        t = (-self.mean_gap if center else self.top) / scale
        if p != math.inf:
            sums = self.ask("powers", center, p)
            t = t * inverse_root(np.maximum(sums * (self.unit * ULP), 1.0), p)
        if flat.any() or not scale.all():
            of_flat = -inverse_root(np.maximum(self.possible - 1.0, 1.0), p)
            t = np.where(flat, of_flat, np.where(scale > 0, t, np.inf))
            t[self.certain] = np.inf
        return t


class Magnitudes:
    """Magnitudes of the classes but the predicted one over the largest, and sums of powers."""

    def __init__(self, chunk: Chunk, s: Sums, center: bool):
        self.chunk = chunk
        self.several = chunk.several.get(center, False)
        self.name = "centred" if center else "uncentred"
        top, mean = (s.top, s.mean_gap) if center else (np.zeros_like(s.top),) * 2
        self.v = chunk.scratch(self.name, chunk.logits.shape)
        self.scale = self._fill(s, top, mean)
        self._power: Array | None = None
        self._order = 0  # of `_power`
        self._sums: dict[float, Array] = {}

    def _fill(self, s: Sums, top: Array, mean: Array) -> Float[Array, " r"]:
        """Set v, 0 for the predicted and for impossible classes; return the largest magnitudes."""
        chunk, v = self.chunk, self.v
        if chunk.loops is not None:
            scale = np.empty(top.size)
            chunk.loops.magnitudes(chunk.logits, top, mean, s.label, v, scale)
            return scale
        np.subtract(chunk.logits, chunk.spread(top), out=v)
        v -= chunk.spread(mean)
        np.abs(v, out=v)
        np.put_along_axis(v, np.expand_dims(s.label, chunk.axis), 0.0, axis=chunk.axis)
        if s.masked:
            v[np.isposinf(v)] = 0.0
        scale = v.max(axis=chunk.axis)
        v /= chunk.spread(np.where(scale > 0, scale, 1.0))
        return scale

    def sum_of(self, p: float) -> Int[Array, " r"]:
        """Return the sums of the powers, which are products from left to right."""
        chunk = self.chunk
        if p not in MULTIPLIED:
            return fixed_sum(power(self.v, p, chunk.scratch), chunk.unit, chunk.axis)
        if p <= AT_ONCE and not self.several:
            return self._at_once(int(p))
        while self._order < p:
            for found in self._next():
                self._order += 1
                self._sums[self._order] = found
        return self._sums[p]

    def _at_once(self, p: int) -> Int[Array, " r"]:
        chunk = self.chunk
        if chunk.loops is None:
            product = chunk.scratch("product", self.v.shape)
            product[:] = self.v
            for _ in range(p - 1):
                product *= self.v
            return fixed_sum(product, chunk.unit, chunk.axis)
        sums = np.empty(chunk.size, np.int64)
        chunk.loops.sum_of_powers(self.v, p, chunk.unit, sums)
        return sums

    def _next(self) -> Int[Array, "orders r"]:
        """Return the sums of the next orders."""
        chunk = self.chunk
        if self._power is None:
            self._power = chunk.scratch(f"power of {self.name}", self.v.shape)
            self._power[:] = 1.0
        if chunk.loops is None:
            self._power *= self.v
            terms = chunk.scratch("product", self.v.shape)
            terms[:] = self._power
            return fixed_sum(terms, chunk.unit, chunk.axis)[None]
        sums = np.empty((TOGETHER, chunk.size), np.int64)
        chunk.loops.multiply_and_sum(self._power, self.v, chunk.unit, sums)
        return sums


def _loops(axis: int, size: int) -> Any:
    """Return the loops of a layout; None where the columns are too few."""
    from recuse._kernels import score_columns, scores

    return scores if axis else score_columns if size >= score_columns.BLOCK else None


def inverse_root(x: Float[Array, " r"], p: float) -> Float[Array, " r"]:
    """Return x^(-1/p) for x >= 1."""
    if p == math.inf:
        return np.ones_like(x)
    if p in (1, 2, 4):
        for _ in range({1: 0, 2: 1, 4: 2}[int(p)]):
            x = np.sqrt(x)
        return 1.0 / x
    return exp(np.maximum(-log(x) / p, FLOOR))
