"""Checked inputs, and logits in chunks.

m = n times the trailing axes, K = classes, r = rows of one chunk.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from recuse._internal.check import (
    check_confidence,
    check_labels,
    check_logits,
    check_loss,
    check_zero_one,
    first,
)
from recuse.errors import InputError

if TYPE_CHECKING:
    from jaxtyping import Float, Int
    from numpy import ndarray as Array
    from numpy.typing import ArrayLike

CHUNK = 1 << 18  # logits a chunk (2 MB in float64): the passes over it stay in cache


def flat(logits: ArrayLike, labels: ArrayLike) -> tuple[Float[Array, "m K"], Int[Array, " m"]]:
    """Return checked logits and labels, one row for each label."""
    z = check_logits(logits)
    y = check_labels(labels, z)
    return np.moveaxis(z, 1, -1).reshape(-1, z.shape[1]), y.reshape(-1)


def chunks(
    z: Float[Array, "m K"], y: Int[Array, " m"]
) -> Iterator[tuple[slice, Float[Array, "r K"], Int[Array, " r"]]]:
    """Yield chunks of rows in float64, minus their maximum, with their labels."""
    step = max(1, CHUNK // z.shape[1])
    for start in range(0, len(z), step):
        part = slice(start, min(start + step, len(z)))
        chunk = z[part].astype(np.float64)
        top = chunk.max(axis=1, keepdims=True)
        empty = np.isneginf(top[:, 0])
        if empty.any():
            raise InputError(f"expected a finite logit in every row, got none, {first(empty)}")
        yield part, chunk - top, y[part]


def at(values: Float[Array, "r K"], labels: Int[Array, " r"]) -> Float[Array, " r"]:
    """Return the entry of each row at its label."""
    return np.take_along_axis(values, labels[:, None].astype(np.intp), axis=1)[:, 0]


def log_total(gap: Float[Array, "r K"]) -> Float[Array, " r"]:
    """Return log sum exp of rows whose maximum is 0, precise also where the others are tiny."""
    odds = np.exp(gap)
    np.put_along_axis(odds, gap.argmax(axis=1)[:, None], 0.0, axis=1)
    return np.log1p(odds.sum(axis=1))


def stated(
    probability: ArrayLike, loss: ArrayLike
) -> tuple[Float[Array, " n"], Float[Array, " n"]]:
    """Return the stated probability of being right, and 1 where the prediction was right."""
    q = check_confidence(probability, where="`probability`").astype(np.float64)
    if q.min() < 0 or q.max() > 1:
        raise InputError(f"expected `probability` in [0, 1], got {q.min():g} to {q.max():g}")
    return q, 1 - check_zero_one(check_loss(loss, q.size), what="calibration")


def mean(terms: Float[Array, " n"]) -> float:
    """Return the mean, independent of the order."""
    return float(np.sort(terms).mean())


def measure(terms: Float[Array, " n"]) -> float:
    """Return the mean of terms whose true mean is not negative, at least 0."""
    return max(0.0, mean(terms))
