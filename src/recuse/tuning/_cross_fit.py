"""Cross-fitted tests: choose or fit a score on four fifths of the rows, compare on the fifth.

n = examples, m = candidate scores, f = features.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from recuse.intervals import Measure
from recuse.intervals._influence import variance_of_mean
from recuse.scores._score import score_features
from recuse.tuning._learn import learn

if TYPE_CHECKING:
    from jaxtyping import Float, Float32, Int
    from numpy import ndarray as Array

FOLDS = 5
Z_SWITCH = 1.645  # one-sided 5 % of a normal
Z_SECOND = 2.576  # one-sided 0.5 %
T_SWITCH = 2.132  # one-sided 5 % of Student's t with FOLDS - 1 degrees of freedom


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

    def beats_msp(self, z: float = Z_SWITCH) -> bool:
        """Whether the gain exceeds z standard errors and T_SWITCH spreads."""
        return bool(self.error > 0 and self.gain > max(z * self.error, T_SWITCH * self.spread))

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        se = None if np.isnan(self.se) else self.se
        return {"family": self.family, "gain": self.gain, "se": se, "spread": self.spread}


def significant(trials: Sequence[Trial]) -> list[Trial]:
    """Return the trials that beat MSP significantly, at 5 % for all together.

    The learned score is tested at 5 %, since it contains the norms. If it passes, the candidates
    are tested at 5 % too, otherwise at 0.5 %. Candidates alone are tested at 5 %.
    """
    first = max(trials, key=lambda t: t.family == "learned")
    z = Z_SWITCH if first.beats_msp() else Z_SECOND
    return [trial for trial in trials if trial.beats_msp(z)]


class Rows(NamedTuple):
    """The tuning split in an order that does not depend on that of the input."""

    confidence: Float32[Array, "m n"]  # of MSP, then of each candidate
    features: Float[Array, "n f"] | None  # None where no score is learned
    loss: Float[Array, " n"]
    code: Int[Array, " n"]  # group of the row: 0, 1, ...
    place: Int[Array, " n"]  # of the row in the file

    def take(self, rows: Array) -> Rows:
        """Some of the rows."""
        features = None if self.features is None else self.features[rows]
        code = np.unique(self.code[rows], return_inverse=True)[1].reshape(-1)
        return Rows(self.confidence[:, rows], features, self.loss[rows], code, self.place[rows])

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
    if rest.features is not None and held.features is not None:
        score = learn(rest.features, rest.loss == 0, rest.code, seed)
        with np.errstate(over="ignore"):
            out["learned"] = score_features(held.features, score).astype(np.float32)
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
