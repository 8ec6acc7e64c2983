"""What `recuse evaluate` says of one file.

n = rows, N = predictions.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from recuse.evaluation._measures import COVERAGES, RISKS, Measures, measure
from recuse.evaluation._scored import Scored, of_confidences, score_file
from recuse.io import Confidences, LogitsFile, LogitsReader
from recuse.scores import Score
from recuse.tuning import MSP

if TYPE_CHECKING:
    from numpy import ndarray as Array

WHY = {
    "classes": "a table of confidences does not say",
    "accuracy": "losses other than 0 and 1",
}


@dataclass(frozen=True)
class FileMeasures:
    """The measures of each score on one file, or on one label of a multi-label file."""

    name: str
    n: int
    classes: int | None  # None of a table of confidences
    accuracy: float  # NaN of losses other than 0 and 1
    scores: Mapping[str, Measures]
    label: int | None = None  # of a multi-label file; None where all labels are taken together
    labels: int = 0  # of the multi-label file, else 0

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON; an undefined value is None with a reason."""
        undefined = {
            k: why for k, why in WHY.items() if (x := getattr(self, k)) is None or np.isnan(x)
        }
        return {
            "file": self.name,
            **({"label": self.label} if self.labels else {}),
            "n": self.n,
            "classes": self.classes,
            "accuracy": None if "accuracy" in undefined else self.accuracy,
            "scores": {name: m.to_dict() for name, m in self.scores.items()},
            **({"reason": undefined} if undefined else {}),
        }


def measure_file(
    file: LogitsFile | LogitsReader,
    scores: Sequence[Score] = (MSP,),
    *,
    risks: Sequence[float] = RISKS,
    coverages: Sequence[float] = COVERAGES,
) -> FileMeasures:
    """Measure scores on a labelled file, in memory or in chunks.

    Args:
        file: What `read_logits` or `open_logits` returns.
        scores: What to measure.
        risks: Levels of coverage_at_risk.
        coverages: Levels of risk_at_coverage.

    Raises:
        InputError: There are no labels, or the file is malformed.
    """
    return measure_scored(score_file(file, scores), risks=risks, coverages=coverages)


def measure_scored(scored: Scored, **levels: Sequence[float]) -> FileMeasures:
    """`measure_file` of what `score_file` returned."""
    rows = ((s, scored.predictions(s)) for s in scored.confidence)
    return _measured(scored, rows, levels)


def measure_labels(scored: Scored, **levels: Sequence[float]) -> list[FileMeasures]:
    """A multi-label file: all labels together, whose rows depend on each other by example,
    then each label alone.
    """
    count = scored.loss.shape[1]
    pooled = ((s, scored.predictions(s)) for s in scored.confidence)
    out = [_measured(scored, pooled, levels, labels=count)]
    for label in range(count):
        alone = ((s, scored.label(s, label)) for s in scored.confidence)
        out.append(_measured(scored, alone, levels, label=label, labels=count))
    return out


def measure_confidences(table: Confidences, **levels: Sequence[float]) -> FileMeasures:
    """`measure_file` of a table of confidences, under the name of its column."""
    return measure_scored(of_confidences(table), **levels)


def _measured(
    scored: Scored,
    rows: Iterable[tuple[str, tuple[Array, Array, Array | None]]],
    levels: Mapping[str, Sequence[float]],
    **named: Any,
) -> FileMeasures:
    found: dict[str, Measures] = {}
    n, accuracy = 0, float("nan")
    for score, (confidence, loss, groups) in rows:
        found[score] = measure(confidence, loss, groups=groups, **levels)
        n = len(loss)
        if loss.dtype == np.uint8 or np.isin(loss, (0, 1)).all():
            accuracy = float(1 - loss.mean())
    return FileMeasures(scored.name, n, scored.classes, accuracy, found, **named)
