"""Every score of every row from one pass over the logits, in float32, for searching.

n = examples, K = classes, ... = any trailing axes (pixels).

The values agree with `recuse.scores` within a few float32 roundings. Never compare them with a
threshold: decisions are made on the float64 path of `recuse.scores`.
"""

from __future__ import annotations

import math
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from recuse._internal.check import check_logits, to_numpy

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from jaxtyping import Float32, Int
    from numpy import ndarray as Array
    from numpy.typing import ArrayLike

SOFTMAX = ("max_logit", "msp", "energy", "entropy", "gini", "margin")  # in the order of the loops
ORDERS = (*range(1, 11), math.inf)
SMALLEST_SHARE = 1 << 20  # least number of logits for a thread


class Sweep(NamedTuple):
    """Scores of all predictions; empty where not requested."""

    label: Int[Array, "n ..."]
    softmax: dict[str, Float32[Array, "n ..."]]
    centered: dict[float, Float32[Array, "n ..."]]  # logit_norm by order
    uncentered: dict[float, Float32[Array, "n ..."]]


def sweep(
    logits: ArrayLike,
    *,
    softmax: Sequence[str] = SOFTMAX,
    centered: bool = True,
    uncentered: bool = True,
    threads: int = 1,
) -> Sweep:
    """Compute the predicted class and the scores of every row.

    Args:
        logits: Shape (n, K, ...). Half precision is widened to float32, float64 rounded to it.
        softmax: `SOFTMAX` (max_logit, msp, energy with T = 1, entropy, gini and margin),
            ("msp",), which is faster, or none.
        centered: Whether to compute centered logit_norm of order 1 to 10 and infinity.
        uncentered: Whether to compute the same without centering.
        threads: Number of threads; it does not change the result.

    Raises:
        InputError: Malformed logits.

    >>> found = sweep(np.array([[3.0, 0.0, 0.0]]), uncentered=False)
    >>> found.label, found.centered[1], found.softmax["margin"]
    (array([0]), array([1.], dtype=float32), array([3.], dtype=float32))
    """
    from recuse._kernels import score_pixels, scores

    z = to_numpy(logits)
    if z.ndim < 2 or not z.size or z.dtype != np.float32:
        z = check_logits(z)
    shape, k = z.shape[:1] + z.shape[2:], z.shape[1]
    z = np.ascontiguousarray(z, np.float32)
    if z.ndim == 2:
        loop, steps, tail = scores.rows, len(z), (len(z),)
    else:
        z = z.reshape(len(z), k, -1)
        tail = (len(z), z.shape[2])
        loop, steps = (
            score_pixels.planes,
            len(z) * -(-z.shape[2] // score_pixels.BLOCK),
        )
    label = np.empty(tail, np.int64)
    tables = [
        np.empty((rows, *(tail if wanted else (*tail[:-1], 0))), np.float32)
        for rows, wanted in (
            (len(softmax) or len(SOFTMAX), bool(softmax)),
            (len(ORDERS), centered),
            (len(ORDERS), uncentered),
        )
    ]
    _share(
        lambda a, b: loop(z, a, b, label, *tables), steps, min(threads, z.size // SMALLEST_SHARE)
    )
    if label.max() == k:
        check_logits(z)  # names the malformed rows
    return Sweep(
        label.reshape(shape),
        _named(softmax, tables[0], shape),
        _named(ORDERS, tables[1], shape),
        _named(ORDERS, tables[2], shape),
    )


def _named(names: Sequence, table: Array, shape: tuple[int, ...]) -> dict:
    """Map names to rows; empty for a table that was not requested."""
    return {name: row.reshape(shape) for name, row in zip(names, table)} if table.size else {}


def _share(loop: Callable[[int, int], None], steps: int, threads: int) -> None:
    if threads < 2:
        loop(0, steps)
        return
    ends = [steps * i // threads for i in range(threads + 1)]
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(loop, ends[:-1], ends[1:]))
