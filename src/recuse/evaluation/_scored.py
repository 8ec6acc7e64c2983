"""Files scored and measured: five bytes a prediction and score are kept, no logits.

n = rows, K = classes, P = predictions of one row (pixels, labels), N = predictions.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from recuse._internal.files import hashes
from recuse.errors import InputError
from recuse.evaluation._measures import COVERAGES, RISKS, Measures, measure
from recuse.io import HeldOut, LogitsReader
from recuse.io._checked import check_file
from recuse.io._rows import LOSSES, of_classes
from recuse.scores import SOFTMAX_FAMILY, Score, find_filler, without_filler
from recuse.sketch import CurveSketch, SubgroupSketches
from recuse.tuning import MSP
from recuse.tuning._candidates import columns_of
from recuse.tuning._class_order import Pairs, warn_of_class_order
from recuse.tuning._tune import check_scores, warn_of_filler

if TYPE_CHECKING:
    from jaxtyping import Float, Float32, Int, UInt8
    from numpy import ndarray as Array

WHY = {
    "classes": "a table of confidences does not say",
    "accuracy": "losses other than 0 and 1",
}
IGNORED = 2  # stands in the place of a 0-1 loss where the label is ignored


@dataclass(frozen=True, eq=False)
class Scored:
    """Confidences and losses of the predictions of a file; the logits are gone."""

    name: str
    classes: int | None  # None where only confidences are known
    confidence: Mapping[str, Float32[Array, "n ..."]]  # by score
    loss: UInt8[Array, "n ..."] | Float[Array, " n"]  # 0, 1 or IGNORED; of a table, any
    units: Int[Array, " n"] | None  # rows of one are not independent
    grouped: bool  # units are the groups of the file; else one for each row with predictions
    labels: Int[Array, "n ..."] | None = None  # these two where asked for
    ids: Array | None = None

    def predictions(self, score: str) -> tuple[Array, Array, Array | None]:
        """Return confidence, loss and groups (N,), without ignored labels."""
        confidence, loss, groups = self.confidence[score].reshape(-1), self.loss.reshape(-1), None
        if self.units is not None:
            groups = np.repeat(self.units, math.prod(self.loss.shape[1:]))
        return self._counted(confidence, loss, groups)

    def label(self, score: str, index: int) -> tuple[Array, Array, Array | None]:
        """Return the same for one label of a multi-label file."""
        groups = self.units if self.grouped else None
        return self._counted(self.confidence[score][:, index], self.loss[:, index], groups)

    def rows(self, index: Array) -> Scored:
        """Return the rows of an index."""
        names = ("loss", "units", "labels", "ids")
        picked = {k: None if (x := getattr(self, k)) is None else x[index] for k in names}
        return replace(self, confidence={k: c[index] for k, c in self.confidence.items()}, **picked)

    def _counted(self, *arrays: Array | None) -> Any:
        loss = arrays[1]
        if loss is None or loss.dtype != np.uint8 or not (loss == IGNORED).any():
            return arrays
        counts = loss != IGNORED
        if not counts.any():
            raise InputError(f"{self.name}: every label is the ignored one")
        return tuple(None if x is None else x[counts] for x in arrays)


def default_scores(file: HeldOut | LogitsReader) -> tuple[Score, ...]:
    """Return MSP; of confidences each column."""
    if of_classes(file.kind):
        return (MSP,)
    columns = file.logits.shape[1] if isinstance(file, HeldOut) else file.classes
    return columns_of(file.class_names, columns)


def score_file(
    file: HeldOut | LogitsReader, scores: Sequence[Score] | None = None, *, keep: bool = False
) -> Scored:
    """Score a labelled file, in memory or in chunks.

    Args:
        file: From `read` or `open_logits`.
        scores: The scores to compute; if None, MSP, or each column of confidences.
        keep: Also keep labels and ids.

    Raises:
        InputError: There are no labels, or the file is malformed.
    """
    if not isinstance(file, LogitsReader) and getattr(file, "kind", None) != LOSSES:
        file = check_file(file)
    chunks = [file] if isinstance(file, HeldOut) else file.chunks()
    return score_chunks(file, chunks, scores, keep=keep)


def score_chunks(
    file: HeldOut | LogitsReader,
    chunks: Iterable[HeldOut],
    scores: Sequence[Score] | None,
    *,
    keep: bool = False,
) -> Scored:
    """`score_file` of parts that the caller reads."""
    classes = of_classes(file.kind)
    scores = default_scores(file) if scores is None else scores
    check_scores(scores, "`scores`", file.kind)
    shape = file.logits.shape if isinstance(file, HeldOut) else file.shape
    of_rows = shape[:1] + shape[2:]
    confidence = {str(s): np.empty(of_rows, np.float32) for s in scores}
    loss = np.empty(of_rows, np.float64 if file.kind == LOSSES else np.uint8)
    kept: dict[str, list[Array]] = {k: [] for k in ("units", "labels", "ids")}
    codes: dict[Hashable, int] = {}
    examples: list[Array] = []  # hashes of ids
    counts = Pairs(shape[1] if classes else 0)
    start, grouped, filler = 0, False, None
    # a mask matters to these
    others = classes and any(score.name not in SOFTMAX_FAMILY for score in scores)
    for chunk in chunks:
        z, labels = chunk.labelled()
        if others and filler is None and (filler := find_filler(z)) is not None:
            warn_of_filler(file.name, without_filler(z, filler), filler)
        z = without_filler(z, filler)
        rows = slice(start, start + len(chunk))
        for score in scores:
            confidence[str(score)][rows] = score(z)
        loss[rows] = chunk.loss
        if chunk.ignore_index is not None:
            loss[rows][labels == chunk.ignore_index] = IGNORED
        if (units := chunk.units()) is not None:
            kept["units"].append(_coded(units, codes))
        elif chunk.ids is not None:
            examples.append(hashes(chunk.ids))
        if keep:
            kept["labels"] += [labels] if classes else []  # to match rows by
            kept["ids"] += [] if chunk.ids is None else [chunk.ids]
        if counts.classes:
            counts(chunk.predicted, labels, chunk.ignore_index)
        start, grouped = start + len(chunk), chunk.groups is not None
    if (order := counts.order()) is not None:
        warn_of_class_order(file.name, order)
    whole = {k: np.concatenate(parts) if parts else None for k, parts in kept.items()}
    if examples and (repeated := _repeated(np.concatenate(examples))) is not None:
        whole["units"], grouped = repeated, True
    known = shape[1] if classes else None
    return Scored(file.name, known, confidence, loss, grouped=grouped, **whole)


def _repeated(examples: Array) -> Int[Array, " n"] | None:
    """Return ids as groups where some are repeated: their rows are not independent."""
    names, code = np.unique(examples, return_inverse=True)
    return code.reshape(-1) if len(names) < len(examples) else None


def _coded(names: Array, codes: dict[Hashable, int]) -> Int[Array, " n"]:
    """Return strings as numbers, the same in every part; numbers stay."""
    if names.dtype.kind != "U":
        return names
    distinct, place = np.unique(names, return_inverse=True)
    return np.array([codes.setdefault(x, len(codes)) for x in distinct.tolist()])[place]


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
    file: HeldOut | LogitsReader,
    scores: Sequence[Score] | None = None,
    *,
    risks: Sequence[float] = RISKS,
    coverages: Sequence[float] = COVERAGES,
) -> FileMeasures:
    """Measure scores on a labelled file, in memory or in chunks.

    Args:
        file: From `read` or `open_logits`.
        scores: The scores to measure; if None, MSP, or each column of confidences.
        risks: Levels of coverage_at_risk.
        coverages: Levels of risk_at_coverage.

    Raises:
        InputError: There are no labels, or the file is malformed.
    """
    return measure_scored(score_file(file, scores), risks=risks, coverages=coverages)


def measure_scored(scored: Scored, **levels: Sequence[float]) -> FileMeasures:
    """`measure_file` of a scored file."""
    rows = ((s, scored.predictions(s)) for s in scored.confidence)
    return _measured(scored, rows, levels)


def measure_labels(scored: Scored, **levels: Sequence[float]) -> list[FileMeasures]:
    """Measure a multi-label file: all labels together, grouped by example, then each alone."""
    count = scored.loss.shape[1]
    pooled = ((s, scored.predictions(s)) for s in scored.confidence)
    out = [_measured(scored, pooled, levels, labels=count)]
    for label in range(count):
        alone = ((s, scored.label(s, label)) for s in scored.confidence)
        out.append(_measured(scored, alone, levels, label=label, labels=count))
    return out


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


@dataclass(frozen=True)
class SketchMeasures:
    """The measures of one sketch; `subgroup` is its name among those of a file, None for all."""

    name: str
    n: int
    classes: int | None  # None where the sketch does not say
    accuracy: float  # NaN of losses other than 0 and 1
    score: str
    measures: Mapping[str, Any]  # as `CurveSketch.to_dict`
    subgroup: Any = None
    several: bool = False  # the file holds a sketch for each subgroup

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON; an undefined value is None with a reason."""
        reason = {} if self.classes is not None else {"classes": "the sketch does not say"}
        reason |= {} if self.accuracy == self.accuracy else {"accuracy": WHY["accuracy"]}
        return {
            "file": self.name,
            **({"subgroup": self.subgroup} if self.several else {}),
            "n": self.n,
            "classes": self.classes,
            "accuracy": None if "accuracy" in reason else self.accuracy,
            "scores": {self.score: dict(self.measures)},
            **({"reason": reason} if reason else {}),
        }


def measure_sketch(
    sketch: CurveSketch | SubgroupSketches, name: str, **levels: Sequence[float]
) -> list[SketchMeasures]:
    """Measure a sketch; with subgroups, all of them together and then each.

    Args:
        sketch: From `sketch.load`.
        name: The name of its file.
        levels: As in `measure_file`.

    Raises:
        InputError: The sketch is empty.
    """
    if isinstance(sketch, CurveSketch):
        parts, several = {None: sketch}, False
    else:
        parts, several = {None: sketch.total(), **dict(sketch.items())}, True
    if not parts[None].n:
        raise InputError(f"{name}: expected a sketch of at least one prediction, got an empty one")
    return [_of_sketch(name, key, s, several, levels) for key, s in parts.items()]


def _of_sketch(
    name: str, subgroup: Any, s: CurveSketch, several: bool, levels: Mapping[str, Sequence[float]]
) -> SketchMeasures:
    classes, score = s.about.get("classes"), s.about.get("score", "confidence")
    return SketchMeasures(
        name,
        s.n,
        None if classes is None else int(classes),
        s.accuracy(),
        score,
        s.to_dict(**levels),
        subgroup,
        several,
    )
