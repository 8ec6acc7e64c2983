"""The learned score: the log-odds of being right, from a handful of features of the logits.

r = predictions of one chunk, K = classes, f = features.

MSP, the maximum logit and the shape of the other logits each carry information about the error
that the others lack, most of all after label smoothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from recuse._internal.check import to_numpy
from recuse.errors import InputError
from recuse.scores._rows import (
    centred_rows,
    entropy_rows,
    msp_rows,
    score_rows,
    score_rows_many,
)
from recuse.scores._sums import Sums

if TYPE_CHECKING:
    from jaxtyping import Float, Float32
    from numpy import ndarray as Array
    from numpy.typing import ArrayLike

SOFTER = 4.0  # the temperature of the third feature
ORDERS = (1, 2, 4)  # of the norms
FEATURES = (
    "msp",
    "msp squared",
    f"msp at temperature {SOFTER:g}",
    "log of the centred maximum",
    "log of the margin",
    "log of the entropy",
    *(f"log of logit_norm(p={p})" for p in ORDERS),
    "mean logit",
    "mean logit squared",
)
TINY = 1e-12  # in place of a logarithm of 0


def learned(
    logits: ArrayLike,
    *,
    slope: float,
    intercept: float,
    weights: Sequence[float],
    center: Sequence[float],
    scale: Sequence[float],
    low: Sequence[float],
    high: Sequence[float],
    class_intercepts: Sequence[float] = (),
) -> Float32[Array, "n ..."]:
    r"""Log-odds of being right: those of MSP, recalibrated, and a correction by `FEATURES`.

    $g = a\,m + b + d_k + \sum_j w_j\,(\mathrm{clip}(\varphi_j, l_j, h_j) - c_j) / s_j$ with $m$ the
    log-odds of the MSP and $k$ the predicted class. Beyond the range seen in the fit the
    corrections are constant, so that $g$ rises with $m$. `tune` fits the parameters; the features
    need logits as the model gives them, with their mean, which the softmax ignores. A certain
    prediction is +inf.

    Args:
        logits: Shape (n, K, ...).
        slope: a, not negative.
        intercept: b.
        weights: w, one a feature, as the following.
        center: c.
        scale: s, positive.
        low: l.
        high: h.
        class_intercepts: d, one a class; none if empty.

    Raises:
        InputError: The parameters are not those of a fit to K classes.

    >>> plain = dict.fromkeys(("weights", "center", "low", "high"), (0.0,) * len(FEATURES))
    >>> parameters = {"slope": 0.5, "intercept": 1.0, "scale": (1.0,) * len(FEATURES), **plain}
    >>> learned(np.array([[2.0, 0.0], [0.0, 0.0]]), **parameters)
    array([2., 1.], dtype=float32)
    """
    columns = tuple(map(tuple, (weights, center, scale, low, high)))
    line, table = (slope, intercept), _checked(columns, (slope, intercept), len(FEATURES))
    if not len(class_intercepts):
        return score_rows(logits, lambda s: combined(feature_rows(s), line, table))
    own = _checked_intercepts(tuple(class_intercepts))
    if not isinstance(logits, Sums) and (classes := to_numpy(logits).shape[1]) != own.size:
        raise InputError(f"expected logits of {own.size} classes, as in the fit, got {classes}")
    return score_rows(logits, lambda s: combined(feature_rows(s), line, table) + own[s.label])


def combination(
    confidences: ArrayLike,
    *,
    slope: float,
    intercept: float,
    weights: Sequence[float],
    center: Sequence[float],
    scale: Sequence[float],
    low: Sequence[float],
    high: Sequence[float],
) -> Float32[Array, " n"]:
    """Log-odds of being right from several confidences: `learned`, with these as its features.

    Args:
        confidences: Shape (n, C).
        slope: As in `learned`, of the first confidence, like all that follow.
        intercept: b.
        weights: w, one a confidence.
        center: c.
        scale: s.
        low: l.
        high: h.

    Raises:
        InputError: The parameters are not those of a fit to C confidences.

    >>> line = {"slope": 1, "intercept": 0, "weights": (0.0, 0.5), "center": (0.0, 0.0)}
    >>> bounds = {"scale": (1.0, 1.0), "low": (-9.0, -9.0), "high": (9.0, 9.0)}
    >>> combination(np.array([[1.0, 2.0]]), **line, **bounds)
    array([2.], dtype=float32)
    """
    x = np.asarray(confidences, np.float64)
    columns = tuple(map(tuple, (weights, center, scale, low, high)))
    table = _checked(columns, (slope, intercept), x.shape[1])
    with np.errstate(over="ignore"):
        return combined(x, (slope, intercept), table).astype(np.float32)


@lru_cache
def _checked(
    columns: tuple[tuple[float, ...], ...], line: tuple[float, float], features: int
) -> Float[Array, "5 f"]:
    """Return weights, center, scale, low and high as an array, checked."""
    (slope, intercept), (_, _, scale, low, high) = line, columns
    if any(len(c) != features or not np.isfinite(c).all() for c in columns):
        raise InputError(f"expected a learned score of {features} finite numbers a parameter")
    if not (0 <= slope < np.inf and np.isfinite(intercept)) or min(scale) <= 0:
        raise InputError("expected a learned score with `slope` >= 0 and `scale` > 0")
    if any(a > b for a, b in zip(low, high)):
        raise InputError("expected a learned score with `low` <= `high`")
    return np.array(columns, dtype=np.float64)


@lru_cache
def _checked_intercepts(found: tuple[float, ...]) -> Float[Array, " K"]:
    """Return the intercepts of the classes as an array, checked."""
    intercepts = np.array(found, dtype=np.float64)
    if not np.isfinite(intercepts).all():
        raise InputError("expected finite `class_intercepts` of a learned score")
    return intercepts


def combined(
    features: Float[Array, "r f"], line: tuple[float, float], table: Float[Array, "5 f"]
) -> Float[Array, " r"]:
    """Return the score of each row; `table` holds weights, center, scale, low and high."""
    weights, center, scale, low, high = table
    corrections = weights * (np.clip(features, low, high) - center) / scale
    certain = np.isposinf(features[:, 0])
    msp = np.where(certain, 0, features[:, 0])
    return np.where(certain, np.inf, line[0] * msp + line[1] + corrections.sum(axis=1))


def features(logits: ArrayLike) -> Float[Array, "N f"]:
    """Return the `FEATURES` of every prediction, in float64."""
    columns = score_rows_many(logits, lambda s: feature_rows(s).T, len(FEATURES), np.float64)
    return np.stack([column.ravel() for column in columns], axis=1)


def feature_rows(s: Sums) -> Float[Array, "r f"]:
    """Return the `FEATURES` of predictions."""
    entropy = entropy_rows(s)  # its sums are those of msp, and more
    softer, top = msp_rows(s, SOFTER), centred_rows(s)
    norms = [s.logit_norm(p, center=True) for p in ORDERS]
    return assembled(msp_rows(s), softer, top, s.margin, entropy, norms, s.top - top)


def assembled(
    msp: Array,
    softer: Array,
    top: Array,
    margin: Array,
    entropy: Array,
    norms: Sequence[Array],
    mean: Array,
) -> Float[Array, "r f"]:
    """Assemble the `FEATURES` from scores."""
    logs = [np.log(np.maximum(x, TINY)) for x in (top, margin, -entropy, *norms)]
    return np.stack([msp, msp**2, softer, *logs, mean, mean**2], axis=1)
