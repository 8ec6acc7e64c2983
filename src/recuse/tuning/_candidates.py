"""Candidate scores to replace MSP, and their confidences on the tuning split.

n = examples, K = classes, m = candidate scores, N = predictions.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from recuse import _kernels
from recuse.io import HeldOut
from recuse.scores import FEATURES, Score
from recuse.scores._learned import feature_rows
from recuse.scores._rows import NUMPY, predict_and_score

if TYPE_CHECKING:
    from jaxtyping import Bool, Float, Float32
    from numpy import ndarray as Array

    from recuse.scores._sums import Sums

ORDERS = (*range(1, 11), math.inf)  # of the norms
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


def foresee(*files: HeldOut) -> None:
    """Start numba at once for files that `tune` scores, or a fit to them, where it will repay."""
    logits = sum(file.logits.size for file in files if file.kind in ("logits", "binary"))
    _kernels.foresee(NUMPY * len(FEATURES) * logits)


def columns_of(names: Sequence[str] | None, columns: int) -> tuple[Score, ...]:
    """Return a score for each column of confidences; the first is the baseline.

    >>> [str(score) for score in columns_of(("top", "margin"), 2)], str(*columns_of(None, 1))
    (['confidence[top]', 'confidence[margin]'], 'confidence')
    """
    if names is not None:
        return tuple(Score("confidence", {"column": i, "name": n}) for i, n in enumerate(names))
    others = (Score("confidence", {"column": i}) for i in range(1, columns))
    return (Score("confidence"), *others)


def confidences(
    logits: Array, scores: Sequence[Score], learned: bool
) -> tuple[Float32[Array, "m N"], Float[Array, "N f"] | None]:
    """Return the confidence of every prediction under each score, and the `FEATURES` if asked."""
    found: list[Array] = []

    def rows(s: Sums) -> list[Array]:
        if learned:
            found.append(feature_rows(s))  # the sums of its entropy are those of MSP, and more
        return [score(s) for score in scores]

    _, confidence = predict_and_score(logits, rows, len(scores))
    return confidence.reshape(len(scores), -1), np.concatenate(found) if learned else None


def possible(logits: Array) -> Bool[Array, " K"]:
    """Return which classes are possible in some row: their logit is more than -inf."""
    if float(logits.min()) > -np.inf:
        return np.ones(logits.shape[1], bool)
    others = tuple(axis for axis in range(logits.ndim) if axis != 1)
    there = logits.astype(np.float32, copy=False) > -np.inf
    return np.logical_or.reduce(there, axis=others)
