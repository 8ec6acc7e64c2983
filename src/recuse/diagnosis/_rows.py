"""Per-prediction numbers behind the evidence, in one pass over the logits.

n = predictions, K = classes, m = low logits of a row.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from recuse._internal.check import first
from recuse.calibration._measures import chunks
from recuse.errors import InputError
from recuse.scores import max_logit, msp, predict

if TYPE_CHECKING:
    from jaxtyping import Bool, Float, Int
    from numpy import ndarray as Array

LOW = 0.7  # share of the wrong classes whose logits count as low


class Rows(NamedTuple):
    """One entry for each prediction."""

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


def rows(z: Float[Array, "n K"], y: Int[Array, " n"], kind: str = "logits") -> Rows:
    """Compute every per-prediction number in float64.

    Raises:
        InputError: A logit is -inf.
    """
    low = np.isneginf(z.astype(np.float32)).any(axis=1)
    if low.any():
        what = "probabilities > 0, got 0" if kind == "probs" else "finite `logits`, got -inf"
        raise InputError(f"expected {what}, {first(low)}")
    n, k = z.shape
    f = np.bincount(y, minlength=k) / n - 1 / k
    out = Rows(
        log_odds=msp(z).astype(np.float64),
        wrong=predict(z) != y,
        top=max_logit(z, center=k > 2).astype(np.float64),
        **{name: np.empty(n) for name in Rows._fields[3:]},
    )
    for part, v, label in chunks(z, y):
        own, mean = v[np.arange(len(v)), label], v.mean(axis=1)
        odds = np.exp(v)
        pi = odds / odds.sum(axis=1, keepdims=True)
        out.gap[part] = -mean * k / (k - 1)
        out.residual[part], out.distance[part] = own - (pi * v).sum(axis=1), own - mean
        out.class_residual[part], out.class_distance[part] = f[label] - pi @ f, f[label]
        out.spread[part] = low_spread(v)
    return out


def low_classes(num_classes: int) -> int:
    """Number of low logits: 70 % of the wrong classes, at least 2."""
    return max(2, int(LOW * (num_classes - 1)))


def low_spread(v: Float[Array, "n K"]) -> Float[Array, " n"]:
    """Standard deviation of the low logits, divided by their mean distance from the maximum.

    It does not depend on the scale or shift of the logits. It is NaN for equal logits and for two
    classes.

    >>> low_spread(np.array([[9.0, 1.0, 1.0], [9.0, 0.0, 2.0]]))
    array([0.   , 0.125])
    """
    if v.shape[1] == 2:
        return np.full(len(v), np.nan)
    low = np.sort(v, axis=1)[:, : low_classes(v.shape[1])]
    distance = v.max(axis=1) - low.mean(axis=1)
    return np.divide(low.std(axis=1), distance, where=distance > 0, out=np.full(len(v), np.nan))
