"""Per-prediction numbers behind the evidence, in one pass over the logits.

n = predictions, K = classes, m = low logits of a row.
"""

from __future__ import annotations

from statistics import NormalDist
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from recuse.calibration._measures import chunks
from recuse.scores import Score
from recuse.scores._score import score_by_all

if TYPE_CHECKING:
    from jaxtyping import Bool, Float, Int
    from numpy import ndarray as Array

LOW = 0.7  # share of the wrong classes whose logits count as low


class Rows(NamedTuple):
    """One entry for each prediction; means and sums run over its possible classes."""

    log_odds: Float[Array, " n"]  # of MSP
    wrong: Bool[Array, " n"]
    top: Float[Array, " n"]  # maximum logit; centered, except for two classes
    gap: Float[Array, " n"]  # maximum minus the mean of the others
    residual: Float[Array, " n"]  # z_y - sum of pi z
    distance: Float[Array, " n"]  # z_y - mean of z
    class_residual: Float[Array, " n"]  # f_y - sum of pi f, f = frequency of a label - 1/K
    class_distance: Float[Array, " n"]  # f_y
    spread: Float[Array, " n"]  # of the low logits, divided by their distance from the maximum

    @property
    def errors(self) -> int:
        """Number of wrong predictions."""
        return int(self.wrong.sum())


def rows(z: Float[Array, "n K"], y: Int[Array, " n"]) -> Rows:
    """Compute every per-prediction number in float64, of rows with two possible classes or more."""
    n, k = len(z), typical_classes(z)
    f = np.bincount(y, minlength=z.shape[1]) / n - 1 / k
    max_logit = Score("max_logit", {"center": k > 2})
    predicted, (log_odds, top) = score_by_all(z, (Score("msp"), max_logit))
    out = Rows(
        log_odds=log_odds.astype(np.float64),
        wrong=predicted != y,
        top=top.astype(np.float64),
        **{name: np.empty(n) for name in Rows._fields[3:]},
    )
    for part, v, label in chunks(z, y):
        there = v > -np.inf
        count = there.sum(axis=1)
        finite = v if there.all() else np.where(there, v, 0)
        own, mean = finite[np.arange(len(v)), label], finite.sum(axis=1) / count
        pi = np.exp(v)
        pi /= pi.sum(axis=1, keepdims=True)
        out.gap[part] = -mean * count / (count - 1)
        out.class_residual[part], out.class_distance[part] = f[label] - pi @ f, f[label]
        pi *= finite
        out.residual[part], out.distance[part] = own - pi.sum(axis=1), own - mean
        ruled_out = ~there[np.arange(len(v)), label]  # a label that no gradient could reach
        for column in (out.residual, out.distance, out.class_residual, out.class_distance):
            column[part][ruled_out] = 0
        out.spread[part] = low_spread(z[part], k)
    return out


def typical_classes(z: Float[Array, "n K"]) -> int:
    """Return the median number of possible classes of a row: K where no logit is -inf."""
    if z.min() > -np.inf:
        return z.shape[1]
    return int(np.median((z.astype(np.float32) > -np.inf).sum(axis=1)))


def zeros(z: Float[Array, "n K"], kind: str) -> Bool[Array, " n"]:
    """Return rows with a probability of 0 in a class that is possible elsewhere: not a mask."""
    if kind != "probs":
        return np.zeros(len(z), bool)
    zero: Any = np.isneginf(z)
    return (zero & ~zero.all(axis=0)).any(axis=1)


def low_classes(num_classes: int) -> int:
    """Number of low logits: 70 % of the wrong classes, at least 2."""
    return max(2, int(LOW * (num_classes - 1)))


def low_spread(v: Float[Array, "n K"], typical: int = 0) -> Float[Array, " n"]:
    """Standard deviation of the low logits, divided by their mean distance from the maximum.

    It does not depend on the scale or shift of the logits. It is NaN for equal logits and for two
    classes. A row with impossible classes is measured by its possible ones, and in the unit of
    rows of `typical` classes.

    >>> low_spread(np.array([[9.0, 1.0, 1.0], [9.0, 0.0, 2.0]]))
    array([0.   , 0.125])
    """
    v = np.sort(v if v.dtype == np.float64 else v.astype(np.float32, copy=False), axis=1)
    v = v.astype(np.float64)
    v -= v[:, -1:].copy()
    if not np.isneginf(v[:, 0]).any():
        return _spread(v)
    out, impossible = np.empty(len(v)), np.isneginf(v).sum(axis=1)
    for m in np.unique(impossible):
        part, classes = impossible == m, v.shape[1] - m
        unit = 1.0
        if min(classes, typical) > 2:  # else there is no spread
            unit = normal_spread(typical) / normal_spread(classes)
        out[part] = _spread(v[part][:, m:]) * unit
    return out


def _spread(v: Float[Array, "n K"]) -> Float[Array, " n"]:
    """Return `low_spread` of possible logits that ascend."""
    if v.shape[1] == 2:
        return np.full(len(v), np.nan)
    low = v[:, : low_classes(v.shape[1])]
    distance = v[:, -1] - low.mean(axis=1)
    return np.divide(low.std(axis=1), distance, where=distance > 0, out=np.full(len(v), np.nan))


def normal_spread(num_classes: int) -> float:
    """Standard deviation of the low part of the expected order statistics of K - 1 normals.

    References:
        Blom, Statistical Estimates and Transformed Beta-Variables, 1958.

    >>> round(normal_spread(10), 3)
    0.589
    """
    ranks = range(1, min(low_classes(num_classes), num_classes - 1) + 1)
    quantile = NormalDist().inv_cdf
    return float(np.std([quantile((i - 0.375) / (num_classes - 0.75)) for i in ranks]))
