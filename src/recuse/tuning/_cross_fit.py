"""Cross-fitted tests: choose or fit a score on four fifths of the rows, compare on the fifth.

n = examples, m = candidate scores, f = features.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from recuse.intervals import Measure
from recuse.intervals._influence import variance_of_mean
from recuse.scores import Score
from recuse.scores._score import score_features
from recuse.tuning._learn import learn

if TYPE_CHECKING:
    from jaxtyping import Float, Float32, Int
    from numpy import ndarray as Array

FOLDS = 5


class Trial(NamedTuple):
    """Cross-fitted comparison of one family of scores with MSP."""

    family: str  # "candidates" or "learned"
    gain: float  # in units of the objective; > 0 is better than MSP
    se: float  # standard error of the gain, by influence functions
    spread: float  # standard error of the gain, by its spread over the folds

    @property
    def error(self) -> float:
        """The standard error: `se`, or `spread` where there are no influence functions."""
        return self.spread if np.isnan(self.se) else self.se

    @property
    def helps(self) -> bool:
        """Whether the gain exceeds its standard error."""
        return bool(self.gain > self.error > 0)

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        se = None if np.isnan(self.se) else self.se
        return {"family": self.family, "gain": self.gain, "se": se, "spread": self.spread}


class Rows(NamedTuple):
    """The tuning split in an order that does not depend on that of the input."""

    confidence: Float32[Array, "m n"]  # of MSP, then of each candidate
    features: Float[Array, "n f"] | None  # None where no score is learned
    predicted: Int[Array, " n"] | None  # class; None of confidences
    classes: int
    loss: Float[Array, " n"]
    code: Int[Array, " n"]  # group of the row: 0, 1, ...
    place: Int[Array, " n"]  # of the row in the file

    def take(self, rows: Array) -> Rows:
        """Some of the rows."""
        features = None if self.features is None else self.features[rows]
        code = np.unique(self.code[rows], return_inverse=True)[1].reshape(-1)
        predicted = None if self.predicted is None else self.predicted[rows]
        return Rows(
            self.confidence[:, rows],
            features,
            predicted,
            self.classes,
            self.loss[rows],
            code,
            self.place[rows],
        )

    def learn(self, seed: int, name: str = "learned") -> Score:
        """Fit the learned score to these rows."""
        assert self.features is not None
        return learn(
            self.features,
            self.loss == 0,
            self.code,
            seed,
            name,
            predicted=self.predicted,
            classes=self.classes,
        )

    def learned(self, score: Score) -> Float32[Array, " n"]:
        """Return the confidence of these rows under a learned score."""
        assert self.features is not None
        with np.errstate(over="ignore"):
            return score_features(self.features, score, self.predicted).astype(np.float32)

    @property
    def families(self) -> tuple[str, ...]:
        """The families of scores that can be tried."""
        found = {"candidates": len(self.confidence) > 1, "learned": self.features is not None}
        return tuple(name for name, there in found.items() if there)


def cross_fit(rows: Rows, objective: Measure, seed: int) -> list[Trial]:
    """Compare each family with MSP by cross-fitting, pooled over the folds."""
    groups = int(rows.code.max()) + 1
    fold = np.random.default_rng(seed).permutation(groups)[rows.code] % FOLDS
    gains = {family: [] for family in rows.families}
    variance = dict.fromkeys(gains, 0.0)
    for f in range(FOLDS):
        held, share = rows.take(fold == f), float((fold == f).mean())
        for family, chosen in _chosen(rows.take(fold != f), held, objective, seed).items():
            gain, influence = _difference(held.confidence[0], chosen, held.loss, objective)
            gains[family].append(share * gain)
            variance[family] += share**2 * variance_of_mean(influence, held.code)
    return [
        Trial(
            family,
            float(np.sum(gain)),
            float(np.sqrt(variance[family])),
            float(np.sqrt(FOLDS * np.var(gain, ddof=1))),
        )
        for family, gain in gains.items()
    ]


def _chosen(rest: Rows, held: Rows, objective: Measure, seed: int) -> dict[str, Array]:
    """Confidence of the held-out rows under the score that the rest chooses, by family."""
    out = {}
    if "candidates" in rest.families:
        out["candidates"] = held.confidence[best(rest, objective)]
    if "learned" in rest.families:
        out["learned"] = held.learned(rest.learn(seed))
    return out


def best(rows: Rows, objective: Measure) -> int:
    """Index in `rows.confidence` of the best candidate; at least 1."""
    values = [objective.value(c, rows.loss) for c in rows.confidence[1:]]
    return 1 + int(np.argmax(values) if objective.larger_is_better else np.argmin(values))


def _difference(
    msp: Array, other: Array, loss: Array, objective: Measure
) -> tuple[float, Float[Array, " n"]]:
    """Gain of the other confidence over MSP, and the influence of each row on it."""
    sign = -1 if objective.larger_is_better else 1
    gain = objective.value(msp, loss) - objective.value(other, loss)
    return sign * gain, objective.influence(msp, loss) - objective.influence(other, loss)
