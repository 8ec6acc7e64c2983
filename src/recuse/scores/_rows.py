"""Rows of float64 logits (r, K), ascending -> float64 (r,): the one arithmetic path of a decision.

r = rows of one chunk, K = classes; column -1 is the maximum.

The logits are upcast to float64, each row is sorted, the score is computed, and rounded once to
float32. A logit of -inf is a class that is impossible there: a row scores as if it had its possible
classes alone. One possible class is certain, and the row keeps one -inf beside it.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from recuse._internal.check import check_logits, first, is_number
from recuse.errors import InputError

if TYPE_CHECKING:
    from jaxtyping import Float32
    from numpy import ndarray as Array
    from numpy.typing import ArrayLike

MULTIPLIED = range(1, 33)  # orders whose powers are products; beyond them, `**`
CHUNK = 1 << 18  # logits a chunk (2 MB in float64): the passes over it stay in cache

RowScore = Callable[..., np.ndarray]  # float64 (r, K) -> (r,)


def score_rows(logits: ArrayLike, score: RowScore) -> Float32[Array, "n ..."]:
    """Apply one row score to logits (n, K, ...)."""
    return score_rows_many(logits, lambda z: [score(z)], 1)[0]


def score_rows_many(
    logits: ArrayLike, scores: Callable, count: int, dtype: type = np.float32
) -> list[Array]:
    """Apply row scores chunk by chunk: upcast to float64, compute, round once to `dtype`.

    Each row is sorted first, so that every sum runs in one order: rows that are
    permutations of each other score the same to the last bit.
    """
    z = check_logits(logits)
    shape = z.shape[:1] + z.shape[2:]
    rows = np.moveaxis(z, 1, -1).reshape(-1, z.shape[1])
    out = [np.empty(len(rows), dtype) for _ in range(count)]
    step = max(1, CHUNK // z.shape[1])
    for start in range(0, len(rows), step):
        chunk = np.array(rows[start : start + step], dtype=np.float64, order="C")
        chunk.sort(axis=1)
        empty = np.isneginf(chunk[:, -1])
        if empty.any():
            raise InputError(f"expected a finite logit in every row, got none, {first(empty)}")
        with np.errstate(over="ignore", under="ignore"):
            for result, value in zip(out, _of_possible(chunk, scores)):
                result[start : start + step] = value
    return [result.reshape(shape) for result in out]


def _of_possible(z: Array, scores: Callable) -> list[Array]:
    """Apply row scores to the possible classes of each row; rows of as many go together."""
    if not np.isneginf(z[:, 0]).any():
        return scores(z)
    left_out = np.minimum(np.isneginf(z).sum(axis=1), z.shape[1] - 2)
    parts = [np.flatnonzero(left_out == m) for m in np.unique(left_out)]
    found = [scores(np.ascontiguousarray(z[rows, left_out[rows[0]] :])) for rows in parts]
    out = [np.empty(len(z)) for _ in found[0]]
    for rows, values in zip(parts, found):
        for result, value in zip(out, values):
            result[rows] = value
    return out


def certain(z: Array) -> Array:
    """Return which rows have one possible class."""
    return np.isneginf(z[:, 0])


def centered(z: Array) -> Array:
    """Subtract the row's maximum, then the mean: exact for rows that differ by a constant.

    The maximum of a certain row is +inf: the limit as its other classes become impossible.
    """
    v = z - z[:, -1:]
    with np.errstate(invalid="ignore"):
        return v - v.mean(axis=1, keepdims=True)


def logsumexp_rows(z: Array) -> Array:
    """Return the logarithm of the sum of exponentials."""
    return z[:, -1] + np.log1p(odds_of_others(z)[2])


def msp_rows(z: Array) -> Array:
    """Return the log-odds of the maximum softmax probability."""
    return z[:, -1] - z[:, -2] - np.log(_odds_to_second(z))


def _odds_to_second(z: Array) -> Array:
    """Return the sum of exp(z_j - z_2) without the maximum; K - 1 if all others are impossible."""
    rest, second = z[:, :-1], z[:, -2:-1]
    gap = np.subtract(rest, second, where=~np.isneginf(second), out=np.zeros_like(rest))
    return np.exp(gap).sum(axis=1)


def odds_of_others(z: Array) -> tuple[Array, Array, Array]:
    """Gaps z_j - z_1 <= 0 without the maximum, their exponentials, and the sum of these."""
    gap = z[:, :-1] - z[:, -1:]
    odds = np.exp(gap)
    return gap, odds, odds.sum(axis=1)


def entropy_rows(z: Array) -> Array:
    """Return the negative entropy of the softmax."""
    gap, odds, total = odds_of_others(z)
    weighted = np.multiply(odds, gap, where=odds > 0, out=np.zeros_like(gap)).sum(axis=1)
    return weighted / (1 + total) - np.log1p(total)


def gini_rows(z: Array) -> Array:
    """Return the negative Gini impurity."""
    _, odds, total = odds_of_others(z)
    return ((odds**2).sum(axis=1) - total * (2 + total)) / (1 + total) ** 2


def gen_rows(z: Array, gamma: float, top: int) -> Array:
    """Return the negative generalised entropy of the largest probabilities."""
    _, odds, total = odds_of_others(z)
    total = total[:, None]
    spread = odds * (1 + total - odds) / (1 + total) ** 2  # p (1 - p), ascending in p
    maximum = total / (1 + total) ** 2
    others = spread[:, spread.shape[1] - min(top - 1, spread.shape[1]) :]
    return -(maximum[:, 0] ** gamma + (others**gamma).sum(axis=1))


def prob_margin_rows(z: Array) -> Array:
    """Return the logarithm of 1 / (1 - margin): 0 where the two largest tie."""
    total = odds_of_others(z)[2]
    return z[:, -1] - z[:, -2] + np.log1p(total) - np.log1p(_odds_to_second(z))


def renyi_rows(z: Array, alpha: float) -> Array:
    """Return the negative Renyi entropy, the scaled log of the alpha-norm of the probabilities."""
    gap, _, total = odds_of_others(z)
    powers = np.exp(alpha * gap).sum(axis=1)
    return (np.log1p(powers) - alpha * np.log1p(total)) / (alpha - 1)


def check_order(p: float) -> float:
    """Return the order of a norm."""
    if not is_number(p) or not p >= 1:
        raise InputError(f"expected the order `p` of a norm >= 1, got {p!r}")
    return p


def check_temperature(temperature: float) -> None:
    """Refuse a temperature that is not positive and finite."""
    if not is_number(temperature) or not 0 < temperature < math.inf:
        raise InputError(f"expected `temperature` > 0, got {temperature!r}")


def norm_rows(z: Array, ps: list[float], center: bool) -> list[Array]:
    """t = v_1 / ||v without its maximum||_p for every p; powers by repeated multiplication."""
    v = centered(z) if center else z
    flat = z[:, 0] == z[:, -1]
    others = np.abs(v[:, :-1])
    scale = others.max(axis=1)
    with np.errstate(invalid="ignore"):  # of a certain row
        others /= np.where(scale == 0, 1, scale)[:, None]  # sums of powers lie in 1..K-1
    norms: dict[float, Array] = {math.inf: np.ones(len(z))}
    power, order = others, 1
    for p in sorted(set(ps) - {math.inf}):
        while p in MULTIPLIED and order < p:
            power, order = power * others, order + 1
        powers = power if order == p else others**p
        norms[p] = powers.sum(axis=1) ** (1 / p)
    infimum = {p: -((z.shape[1] - 1.0) ** (-1 / p)) for p in norms}
    with np.errstate(divide="ignore", invalid="ignore"):
        top = v[:, -1] / scale
        ratios = [np.where(flat, infimum[p], top / norms[p]) for p in ps]
    return [np.where(certain(z), np.inf, ratio) for ratio in ratios]
