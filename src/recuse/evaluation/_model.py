"""One model, measured: how its scores rank, and what its thresholds accept.

n = measured predictions: of the test split or, where there is none, those that calibrate.
K = classes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from recuse import calibration
from recuse.evaluation._measures import Measures, measure
from recuse.intervals import AURC, Comparison, Measure, compare
from recuse.io import HeldOut
from recuse.io._rows import of_classes
from recuse.rejector import Cut, Data, Rejector, as_file
from recuse.rejector._misses import MissCount
from recuse.rejector._prepare import REFUSE, each_id_once
from recuse.scores import Score, as_probability
from recuse.selectors import Selection, SubgroupSelection
from recuse.tuning import Tuned

if TYPE_CHECKING:
    from jaxtyping import Bool, Float, Float32
    from numpy import ndarray as Array

SPLITS = ("tune", "calibrate", "test")


class Outcome(NamedTuple):
    """What the threshold of one predicted class or subgroup does on the measured rows."""

    name: str
    n: int
    accepted: int
    errors: int  # of the accepted
    guarantee: Any  # its own; where nothing is accepted, the one that no threshold has


@dataclass(frozen=True, eq=False)
class ModelEvaluation:
    """One model: score and threshold as fitted, and what they do on the test split.

    Where there is none (`tested` is False), measures are of the calibration rows: those of scores
    are as good as of a test split, but the errors among what the threshold accepts are too few.
    """

    name: str
    classes: int
    accuracy: float
    tuned: Tuned
    selection: Selection | SubgroupSelection
    rejector: Rejector | None  # None if infeasible
    before: Measures  # MSP, or the first column of confidences
    after: Measures  # the chosen score
    repair: Comparison  # AURC of the chosen score minus that before
    gain: Comparison  # the same of `tuned.objective`; of a coverage, positive is better
    accepted: int  # measured predictions that the rejector accepts
    errors: int  # of the accepted
    loss: Float[Array, " n"]  # 0-1, of the measured split, as everything below
    msp: Float32[Array, " n"]  # log-odds; of confidences, the first column
    confidence: Float32[Array, " n"]  # the chosen score
    max_logit: Float32[Array, " n"]  # centred; NaN of confidences
    accept: Bool[Array, " n"]  # what the rejector accepts; nothing if infeasible
    ece: float  # NaN without a stated probability
    digests: Mapping[str, str]  # of the splits
    sizes: Mapping[str, int]
    kind: str = "logits"  # of the outputs
    tested: bool = True  # whether there is a test split
    cut: Cut | None = None  # how one file was used; None of a tuning and a calibration split
    each: tuple[Outcome, ...] = ()  # where predicted classes or subgroups have thresholds
    misses: tuple[MissCount, ...] = ()  # of classes whose misses are limited

    @property
    def threshold(self) -> float | None:
        """The threshold for all predictions; None if there is none, or one for each subgroup."""
        one = isinstance(self.selection, Selection) and self.selection.feasible
        return self.selection.threshold if one else None

    @property
    def n(self) -> int:
        """Measured predictions."""
        return len(self.loss)

    @property
    def repaired(self) -> bool:
        """Whether the chosen score is not the one before, MSP."""
        return self.tuned.repaired

    @property
    def baseline(self) -> str:
        """What the chosen score is compared with: MSP, or the first column of confidences."""
        return self.tuned.facts.baseline

    @property
    def probability(self) -> Float[Array, " n"] | None:
        """Maximum softmax probability, as `stated_probability`."""
        return stated_probability(self.msp, self.kind)


def stated_probability(confidence: Array, kind: str) -> Float[Array, " n"] | None:
    """Return the probability of being right that MSP, or a confidence in [0, 1], states."""
    if of_classes(kind):
        return as_probability(confidence)
    inside = (confidence >= 0) & (confidence <= 1)
    return confidence.astype(np.float64) if inside.all() else None


def measured(
    name: str,
    test: HeldOut,
    confidence: Float32[Array, " n"],
    accept: Bool[Array, " n"],
    levels: dict[str, Any],
    objective: Measure,
    *,
    tuned: Tuned,
    **facts: Any,
) -> ModelEvaluation:
    """Measure scores and decisions on rows.

    Args:
        name: Of the model.
        test: The rows, one a prediction.
        confidence: Shape (n,), of the chosen score.
        accept: Shape (n,), the decisions.
        levels: Of `measure`.
        objective: What the score was to improve.
        tuned: The chosen score and that before.
        facts: Further fields of `ModelEvaluation`.
    """
    z, loss = tuned.masked(test.logits), test.loss.astype(np.float64)
    msp = tuned.baseline(z)
    probability = stated_probability(msp, test.kind)
    of = {AURC, objective}
    change = {m: compare(confidence, loss, msp, loss, m, groups=test.groups) for m in of}
    return ModelEvaluation(
        name=name,
        classes=z.shape[1],
        accuracy=float(1 - loss.mean()),
        tuned=tuned,
        before=measure(msp, loss, groups=test.groups, **levels),
        after=measure(confidence, loss, groups=test.groups, **levels),
        repair=change[AURC],
        gain=change[objective],
        accepted=int(accept.sum()),
        errors=int(loss[accept].sum()),
        loss=loss,
        msp=msp,
        confidence=confidence,
        max_logit=Score("max_logit", {"center": True})(z)
        if of_classes(test.kind)
        else np.full(len(z), np.nan, np.float32),
        accept=accept,
        ece=float("nan") if probability is None else calibration.ece(probability, loss),
        kind=test.kind,
        **facts,
    )


def checked_split(
    splits: Mapping[str, Data],
    split: str,
    model: str,
    kind: str | None = None,
    repeated_ids: str = REFUSE,
) -> HeldOut:
    """Return a checked split with one row a prediction; with "keep_one", each id is a group."""
    return each_id_once(as_file(splits[split], f"{model}, {split}", kind), repeated_ids)
