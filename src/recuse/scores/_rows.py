"""Scores of predictions from `Sums` over their classes: the one arithmetic path of a decision.

r = predictions of one chunk, K = classes.

The logits are upcast to float64, sums over classes are sums of integers, and the score is rounded
once to float32: rows that are permutations of each other score the same to the last bit. A logit
of -inf is a class that is impossible there: a row scores as if it had its possible classes alone.
One possible class is certain.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from recuse import _kernels
from recuse._internal.check import (
    as_floats,
    check_logits,
    check_logits_form,
    first,
    is_number,
    to_numpy,
)
from recuse._kernels.arithmetic import FLOOR, LOWEST, Scratch, exp, log, log1p
from recuse.errors import InputError
from recuse.scores._few import FEW, Few
from recuse.scores._sums import Chunk, Sums

if TYPE_CHECKING:
    from jaxtyping import Float32
    from numpy import ndarray as Array
    from numpy.typing import ArrayLike

CHUNK = 1 << 16  # logits a chunk: the passes over it stay in cache
FEWEST = 32  # predictions a chunk
BATCH = 1 << 11  # predictions that scores are computed of at once
MANY = 32  # classes
NUMPY = 6e-9  # seconds a logit of one sum
LARGEST = float(np.finfo(np.float32).max)

RowScore = Callable[[Sums], np.ndarray]  # -> float64 (r,)


def score_rows(logits: ArrayLike, score: RowScore) -> Float32[Array, "n ..."]:
    """Apply one score to logits (n, K, ...)."""
    return score_rows_many(logits, lambda s: [score(s)], 1)[0]


def score_rows_many(
    logits: ArrayLike,
    scores: Callable[[Sums], Sequence[Array] | Array],
    count: int,
    dtype: type = np.float32,
) -> Sequence[Array] | Array:
    """Apply scores chunk by chunk: upcast to float64, compute, round once to `dtype`.

    Of the `Sums` of one chunk, they are float64 (r,).
    """
    if isinstance(logits, Sums):
        return scores(logits)
    return predict_and_score(logits, scores, count, dtype)[1]


def predict_and_score(
    logits: ArrayLike,
    scores: Callable[[Sums], Sequence[Array] | Array],
    count: int,
    dtype: type = np.float32,
) -> tuple[Array, Array]:
    """Return the predicted classes (n, ...), and the scores (count, n, ...)."""
    z = to_numpy(logits)
    check_logits_form(z.shape, z.dtype)
    z = as_floats(z)
    return _scored(z, scores, count, dtype)


def _scored(
    z: Array, scores: Callable, count: int, dtype: type, checked: bool = False
) -> tuple[Array, Array]:
    """Return predicted classes and scores; check the values only where a survey finds cause."""
    loops = _kernels.repays(0)
    shape = z.shape[:1] + z.shape[2:]
    label = np.empty(math.prod(shape), np.int64)
    out = np.empty((count, label.size), dtype)
    asked: tuple = ()
    parts: list[Sums] = []
    start, scratch = 0, Scratch()
    with np.errstate(over="ignore", under="ignore", invalid="ignore", divide="ignore"):
        for block, axis in _chunks(z):
            sums = Sums(_chunk(block, axis, loops, scratch))
            if not checked and _suspect(sums, z.dtype == np.float64):
                _refuse_empty(z := check_logits(z))
                return _scored(z, scores, count, dtype, checked=True)
            if asked:
                sums.settle(asked)
            parts.append(sums)
            stop = start + sum(part.top.size for part in parts)
            if asked and stop < min(start + BATCH, label.size):
                continue
            whole = sums if len(parts) == 1 else Sums.joined(parts)
            label[start:stop] = whole.label
            for result, value in zip(out, scores(whole), strict=True):
                result[start:stop] = value
            if not asked:
                loops = _kernels.repays(NUMPY * (1 + len(sums.found)) * z.size)
            start, asked, parts = stop, tuple(sums.found), []
    return label.reshape(shape), out.reshape(count, *shape)


def _chunk(logits: Array, axis: int, loops: bool, scratch: Scratch) -> Chunk:
    """Return the logits with the way to sum them that suits their number."""
    if axis and not loops and logits.size <= FEW:
        return Few(logits, scratch)
    return Chunk(logits, axis, loops, scratch)


def _suspect(s: Sums, wide: bool) -> bool:
    """Return whether logits need a check: NaN, +inf, a row of -inf, or beyond float32's range."""
    if s.malformed:
        return True
    return wide and bool((s.top > LARGEST).any() or (s.lowest < -LARGEST).any())


def _refuse_empty(z: Array) -> None:
    """Refuse a row of which every class is impossible."""
    top = z.astype(np.float32, copy=False).max(axis=1)
    empty = np.isneginf(top).reshape(len(z), -1).any(axis=1)
    if empty.any():
        raise InputError(f"expected a finite logit in every row, got none, {first(empty)}")


def _chunks(z: Array) -> Iterator[tuple[Array, int]]:
    """Yield contiguous logits of the predictions in their order, with the axis of the classes.

    Many classes are taken in rows, few in columns: along the longer axis of a block go the vectors.
    """
    n, k = z.shape[:2]
    step = max(FEWEST, CHUNK // k)
    dtype = np.float64 if z.dtype == np.float64 else np.float32
    pixels = math.prod(z.shape[2:])
    if pixels == 1:
        rows = z.reshape(n, k)
        for start in range(0, n, step):
            part = rows[start : start + step]
            in_rows = k >= MANY or len(part) < FEWEST
            yield np.ascontiguousarray(part if in_rows else part.T, dtype), int(in_rows)
        return
    examples = max(1, step // pixels)
    for start in range(0, n, examples):
        part = z[start : start + examples]
        planes = np.moveaxis(part.reshape(len(part), k, pixels), 1, 0).reshape(k, -1)
        for low in range(0, planes.shape[1], step):
            yield np.ascontiguousarray(planes[:, low : low + step], dtype), 0


def energy_rows(s: Sums, temperature: float) -> Array:
    """Return the logarithm of the sum of exponentials."""
    return s.top + temperature * log1p(s.odds(1 / temperature))


def msp_rows(s: Sums, temperature: float = 1.0) -> Array:
    """Return the log-odds of the maximum softmax probability; +inf of a certain prediction."""
    (others,) = s.exps(1 / temperature)
    return s.margin / temperature - log(np.maximum(others, 1.0))


def entropy_rows(s: Sums) -> Array:
    """Return the negative entropy of the softmax."""
    others, weighted = s.exps(moments=2)
    shrunk, margin = s.shrunk(), np.minimum(s.margin, -LOWEST)
    odds = shrunk * others
    return shrunk * (weighted - margin * others) / (1 + odds) - log1p(odds)


def gini_rows(s: Sums) -> Array:
    """Return the negative Gini impurity."""
    others, _, squares = s.exps(moments=3)
    shrunk = s.shrunk()
    odds = shrunk * others
    return (shrunk * shrunk * squares - odds * (2 + odds)) / ((1 + odds) * (1 + odds))


def gen_rows(s: Sums, gamma: float, top: int) -> Array:
    """Return the negative generalised entropy of the largest probabilities.

    Each term is a power of p (1 - p), by its logarithm, relative to that of the second largest.
    """
    margin, total = np.where(s.certain, 0.0, s.margin), 1 + s.odds()
    second = log(total - s.shrunk()) - margin
    maximum = log(np.where(s.certain, 1.0, s.exps()[0])) - margin  # the logarithm of the odds
    powers = [exp(np.maximum(gamma * (x - 2 * log(total)), FLOOR)) for x in (second, maximum)]
    found = s.ask("generalized", gamma, top) * powers[0] + powers[1]
    return np.where(s.certain, 0.0, -found)


def prob_margin_rows(s: Sums) -> Array:
    """Return the logarithm of 1 / (1 - margin): 0 where the two largest tie."""
    (others,) = s.exps()
    return s.margin + log1p(s.odds()) - log1p(others)


def renyi_rows(s: Sums, alpha: float) -> Array:
    """Return the negative Renyi entropy, the scaled log of the alpha-norm of the probabilities."""
    return (log1p(s.odds(alpha)) - alpha * log1p(s.odds())) / (alpha - 1)


def centred_rows(s: Sums) -> Array:
    """Return the largest logit minus the mean; +inf of a certain prediction."""
    return np.where(s.certain, np.inf, -s.mean_gap)


def largest(logits: ArrayLike | Sums) -> Float32[Array, "n ..."]:
    """Return the largest logit of each prediction: no `Sums`, which find the class, too."""
    if isinstance(logits, Sums):
        return logits.top
    z = to_numpy(logits)
    check_logits_form(z.shape, z.dtype)
    z = check_logits(z) if z.dtype.kind in "iu" or z.dtype == np.float64 else z
    n, k, *rest = z.shape
    direct = z.dtype in (np.float32, np.float64) and max(k, math.prod(rest)) >= MANY
    parts = [(z, 1)] if direct else _chunks(z)
    top = np.concatenate([block.max(axis=axis).reshape(-1) for block, axis in parts])
    if not np.isfinite(top).all():
        _refuse_empty(check_logits(z))
    return top.astype(np.float32, copy=False).reshape(n, *rest)


def check_order(p: float) -> float:
    """Return the order of a norm."""
    if not is_number(p) or not p >= 1:
        raise InputError(f"expected the order `p` of a norm >= 1, got {p!r}")
    return p


def check_temperature(temperature: float) -> None:
    """Refuse a temperature that is not positive and finite."""
    if not is_number(temperature) or not 0 < temperature < math.inf:
        raise InputError(f"expected `temperature` > 0, got {temperature!r}")
