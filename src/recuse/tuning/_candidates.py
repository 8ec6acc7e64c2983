"""Candidate scores to replace MSP, and their confidences on the tuning split.

n = examples, K = classes, m = candidate scores, N = predictions, f = features.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from recuse._internal.check import check_logits, to_numpy
from recuse.scores import Score, features
from recuse.scores._functions import norms_of
from recuse.scores._learned import ORDERS as LEARNED_ORDERS
from recuse.scores._learned import SOFTER, assembled
from recuse.scores._rows import check_temperature

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from jaxtyping import Bool, Float, Float32, Int
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


SMALLEST_SWEPT = 1 << 20  # logits; compiling does not pay for fewer
LARGEST_SWEPT = 1e37  # magnitude; a low temperature increases it
TEMPERATURES = (0.5, 2.0, 4.0)  # of the softmax


def default_candidates(num_classes: int) -> tuple[Score, ...]:
    """Norms of order 1..10 and infinity, centered or not, and MSP at some temperatures.

    A norm does not depend on the temperature; MSP does, except for the order of two classes. For
    two classes there is no candidate: a centered norm is constant, and an uncentered one depends
    on a shift that training does not determine.

    >>> len(default_candidates(10)), default_candidates(2)
    (25, ())
    """
    if num_classes == 2:
        return ()
    norms = [(p, center) for center in (True, False) for p in ORDERS]
    return (
        *(Score("logit_norm", {"p": p, "center": center}) for p, center in norms),
        *(Score("msp", {"temperature": t}) for t in TEMPERATURES),
    )


def columns_of(names: Sequence[str] | None, columns: int) -> tuple[Score, ...]:
    """Return a score for each column of confidences; the first is the baseline.

    >>> [str(score) for score in columns_of(("top", "margin"), 2)], str(*columns_of(None, 1))
    (['confidence[top]', 'confidence[margin]'], 'confidence')
    """
    if names is not None:
        return tuple(Score("confidence", {"column": i, "name": n}) for i, n in enumerate(names))
    others = (Score("confidence", {"column": i}) for i in range(1, columns))
    return (Score("confidence"), *others)


def confidences(logits: Array, scores: Sequence[Score]) -> Float32[Array, "m N"]:
    """Compute the confidence of every prediction under each score.

    Few logits take the float64 path of the decisions. Many are swept in float32, which differs by
    a few roundings: precise enough to choose among the scores.
    """
    logits = _of_possible(logits)
    out = np.empty((len(scores), logits.size // logits.shape[1]), np.float32)
    found = _swept(logits, scores)
    for i, score in enumerate(scores):
        if score in found:
            out[i] = found[score].ravel()
    for center in (True, False):
        rest = {
            i: p
            for i, s in enumerate(scores)
            if (p := _order(s, center)) is not None and s not in found
        }
        if rest:
            norms = norms_of(logits, rest.values(), center)
            out[list(rest)] = norms.reshape(len(rest), -1)
    for i, score in enumerate(scores):
        if score not in found and score.name != "logit_norm":
            out[i] = score(logits).ravel()
    return out


def features_of(logits: Array) -> Float[Array, "N f"]:
    """Compute the features of a learned score, for many logits by float32 sweeps."""
    logits = _of_possible(logits)
    if not _worth_a_sweep(logits):
        return features(logits)
    found = sweep(logits, uncentered=False)
    named = found.softmax
    mean = logits.mean(axis=1, dtype=np.float64)
    softer = sweep(
        logits.astype(np.float32, copy=False) / np.float32(SOFTER),
        softmax=("msp",),
        centered=False,
        uncentered=False,
    )
    columns = (
        named["msp"],
        softer.softmax["msp"],
        named["max_logit"] - mean,
        named["margin"],
        named["entropy"],
        *(found.centered[p] for p in LEARNED_ORDERS),
        mean,
    )
    msp, soft, top, margin, entropy, *norms, mean = (c.ravel().astype(np.float64) for c in columns)
    return assembled(msp, soft, top, margin, entropy, norms, mean)


def _swept(logits: Array, scores: Sequence[Score]) -> dict[Score, Array]:
    """Scores from one float32 pass, and one more for each temperature; none for few logits."""
    if not _worth_a_sweep(logits):
        return {}
    wanted = {c: any(_order(s, c) in ORDERS for s in scores) for c in (True, False)}
    found = sweep(logits, softmax=("msp",), centered=wanted[True], uncentered=wanted[False])
    table = {Score("msp"): found.softmax["msp"]}
    for center, norms in ((True, found.centered), (False, found.uncentered)):
        table |= {Score("logit_norm", {"p": p, "center": center}): v for p, v in norms.items()}
    for score in scores:
        if score.name == "msp" and (t := score.params.get("temperature")) is not None:
            check_temperature(t)
            cooled = logits.astype(np.float32, copy=False) / np.float32(t)
            soft = sweep(cooled, softmax=("msp",), centered=False, uncentered=False)
            table[score] = soft.softmax["msp"]
    return {score: table[score] for score in scores if score in table}


def possible(logits: Array) -> Bool[Array, " K"]:
    """Return which classes are possible in some row: their logit is more than -inf."""
    if float(logits.min()) > -np.inf:
        return np.ones(logits.shape[1], bool)
    others = tuple(axis for axis in range(logits.ndim) if axis != 1)
    there = logits.astype(np.float32, copy=False) > -np.inf
    return np.logical_or.reduce(there, axis=others)


def _of_possible(logits: Array) -> Array:
    """Leave out classes that are impossible in every row, which no score counts."""
    there = possible(logits)
    return logits if there.all() or there.sum() < 2 else logits[:, there]


def _worth_a_sweep(logits: Array) -> bool:
    if logits.size < SMALLEST_SWEPT:
        return False
    return max(-float(logits.min()), float(logits.max())) <= LARGEST_SWEPT


def _order(score: Score, center: bool) -> float | None:
    """Order p of a logit norm with this centering; None for other scores."""
    if score.name != "logit_norm" or bool(score.params.get("center", True)) != center:
        return None
    return score.params.get("p", 4)
