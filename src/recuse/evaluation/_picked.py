"""The result of `pick`.

M = models.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from recuse.evaluation._measures import explained
from recuse.intervals import Comparisons, NamedComparison
from recuse.intervals._interval import FEW_ERRORS
from recuse.present import pick as words
from recuse.scores import Score

NO_ERROR = "nothing varies, or the risk does not cross the level"
NO_TRAINING = "no training logits"
LEVEL = 0.05  # of the test of a difference


class Estimate(NamedTuple):
    """A number and its standard error over the examples, NaN where there is none."""

    value: float
    error: float


@dataclass(frozen=True)
class Ranking:
    """Quality of one confidence at telling right from wrong."""

    aurc: Estimate
    coverage: Mapping[float, Estimate]  # by risk


@dataclass(frozen=True)
class PickedModel:
    """One model on the examples that all share; rates are fractions."""

    name: str
    classes: int
    n: int  # predictions
    errors: int
    accuracy: Estimate
    gap: Estimate | None  # training accuracy minus this one; None without training logits
    ece: Estimate  # of MSP
    msp: Ranking
    repaired: Ranking  # cross-fitted
    scores: tuple[Score, ...]  # that rank the two halves, each chosen on the other half
    baseline: str = "MSP"  # or the first column of confidences, in place of `msp`

    def ranking(self, name: str) -> Ranking:
        """Return the ranking by the "repaired" score, or by another name by the baseline."""
        return self.repaired if name == "repaired" else self.msp

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON; an undefined number is None with a reason."""
        return {
            "name": self.name,
            "classes": self.classes,
            "accuracy": _plain(self.accuracy),
            "gap": _plain(self.gap) if self.gap else explained({"value": math.nan}, NO_TRAINING),
            "ece": _plain(self.ece),
            "repaired_by": [str(score) for score in self.scores],
            **{
                name: {
                    "aurc": _plain(ranking.aurc),
                    "coverage_at_risk": {
                        f"{r:.12g}": _plain(c) for r, c in ranking.coverage.items()
                    },
                }
                for name, ranking in (("msp", self.msp), ("repaired", self.repaired))
            },
        }


class Distance(NamedTuple):
    """A model less the best by some criterion, on the same examples."""

    name: str
    value: float  # in the unit of the criterion
    standard_error: float
    low: float  # 95 % interval
    high: float
    p_holm: float  # two-sided, corrected for the number of models

    @classmethod
    def of(cls, row: NamedComparison, sign: int) -> Distance:
        """Return the distance of a comparison, or of its negative."""
        d = row.comparison
        low, high = sorted((sign * d.low, sign * d.high))
        return cls(row.name, sign * d.difference, d.standard_error, low, high, row.p_adjusted)

    @property
    def significant(self) -> bool:
        """Whether the difference is significant at 5 %."""
        return self.p_holm < LEVEL

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON; an undefined number is None with a reason."""
        return explained({k: x for k, x in self._asdict().items() if k != "name"}, NO_ERROR)


@dataclass(frozen=True)
class Pick:
    """Models side by side, and what can be said of which is best."""

    models: tuple[PickedModel, ...]
    criterion: str
    n: int  # predictions
    groups: int | None  # of dependent predictions
    risks: tuple[float, ...]
    matched_by: str  # "ids" or "rows"
    # by "aurc", "accuracy" and `criterion`: every model with the best
    compared: Mapping[str, Comparisons] = field(repr=False)
    same: Mapping[str, str]  # model -> an earlier one that ranks and errs alike in every row

    def __getitem__(self, name: str) -> PickedModel:
        return next(m for m in self.models if m.name == name)

    @property
    def best(self) -> PickedModel:
        """The model picked."""
        return self.best_by(self.criterion)

    def best_by(self, criterion: str) -> PickedModel:
        """Return the best by "aurc" (repaired), "accuracy" or "coverage@0.05" (repaired)."""
        return max(self.models, key=key_of(criterion))

    @property
    def comparisons(self) -> Comparisons:
        """The repaired AURC of each model, compared with the smallest."""
        return self.compared["aurc"]

    @property
    def not_significantly_worse(self) -> tuple[str, ...]:
        """Models whose AURC is not significantly larger than the smallest."""
        return tuple(d.name for d in self.behind("aurc") if not d.significant)

    def behind(self, criterion: str) -> tuple[Distance, ...]:
        """Return the distance of every other model from the best by a criterion.

        The criterion is "aurc", "accuracy" or that of the pick.
        """
        sign = -1 if criterion == "accuracy" else 1  # of error rates
        return tuple(Distance.of(row, sign) for row in self.compared[criterion].rows)

    @property
    def front(self) -> tuple[str, ...]:
        """Models that no other beats in accuracy or AURC without losing in the other."""
        return tuple(m.name for m in self.models if not any(_beats(o, m) for o in self.models))

    @property
    def answer(self) -> str:
        """Sentences that say what to choose."""
        return words.answer(self)

    def __str__(self) -> str:
        return words.text(self, FEW_ERRORS)

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return {
            "n": self.n,
            "groups": self.groups,
            "matched_by": self.matched_by,
            "models": [m.to_dict() for m in self.models],
            "criterion": self.criterion,
            "pick": self.best.name,
            "by_accuracy": self.best_by("accuracy").name,
            "by_aurc": self.best_by("aurc").name,
            "not_significantly_worse": list(self.not_significantly_worse),
            "front": list(self.front),
            "same": dict(self.same),
            "compared_with_the_best": {d.name: d.to_dict() for d in self.behind("aurc")},
            "compared_with_the_pick": {d.name: d.to_dict() for d in self.behind(self.criterion)},
            "answer": self.answer,
        }


def key_of(criterion: str) -> Callable[[PickedModel], tuple[float, float]]:
    """Return a key: larger is better, ties are broken by AURC, or by accuracy."""
    name, _, level = criterion.partition("@")
    if name == "coverage":
        return lambda m: (m.repaired.coverage[float(level)].value, -m.repaired.aurc.value)
    if name == "accuracy":
        return lambda m: (m.accuracy.value, -m.repaired.aurc.value)
    return lambda m: (-m.repaired.aurc.value, m.accuracy.value)


def _beats(a: PickedModel, b: PickedModel) -> bool:
    """Whether a model is as good in both, and better in one."""
    x, y = ((m.accuracy.value, -m.repaired.aurc.value) for m in (a, b))
    return x != y and all(p >= q for p, q in zip(x, y))


def _plain(x: Estimate) -> dict[str, Any]:
    return explained({"value": x.value, "standard_error": x.error}, NO_ERROR)
