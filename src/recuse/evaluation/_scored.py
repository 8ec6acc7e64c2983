"""`Scored`: what measuring keeps of a logits file, five bytes a prediction and score.

n = rows, K = classes, P = predictions of one row (pixels, labels), N = predictions.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from recuse._internal.check import first
from recuse.errors import InputError
from recuse.io import Confidences, LogitsFile, LogitsReader, check_file
from recuse.scores import Score, predict
from recuse.tuning import MSP
from recuse.tuning._tune import check_scores

if TYPE_CHECKING:
    from jaxtyping import Float, Float32, Int, UInt8
    from numpy import ndarray as Array

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
        """Confidence, loss and groups (N,), without the ignored."""
        confidence, loss, groups = self.confidence[score].reshape(-1), self.loss.reshape(-1), None
        if self.units is not None:
            groups = np.repeat(self.units, math.prod(self.loss.shape[1:]))
        return self._counted(confidence, loss, groups)

    def label(self, score: str, index: int) -> tuple[Array, Array, Array | None]:
        """The same of one label of a multi-label file; its rows depend on each other by group."""
        groups = self.units if self.grouped else None
        return self._counted(self.confidence[score][:, index], self.loss[:, index], groups)

    def rows(self, index: Array) -> Scored:
        """The rows of an index."""
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


def score_file(
    file: LogitsFile | LogitsReader, scores: Sequence[Score] = (MSP,), *, keep: bool = False
) -> Scored:
    """Score a labelled file, in memory or in chunks.

    Args:
        file: What `read_logits` or `open_logits` returns.
        scores: What to compute.
        keep: Labels and ids too.

    Raises:
        InputError: There are no labels, or what the chunks are refused for.
    """
    if not isinstance(file, LogitsReader):
        file = check_file(file)
    chunks = [file] if isinstance(file, LogitsFile) else file.chunks()
    return score_chunks(file, chunks, scores, keep=keep)


def score_chunks(
    file: LogitsFile | LogitsReader,
    chunks: Iterable[LogitsFile],
    scores: Sequence[Score],
    *,
    keep: bool = False,
) -> Scored:
    """`score_file`, where the caller has the parts in hand."""
    check_scores(scores, "`scores`")
    shape = file.logits.shape if isinstance(file, LogitsFile) else file.shape
    of_rows = shape[:1] + shape[2:]
    confidence = {str(s): np.empty(of_rows, np.float32) for s in scores}
    loss = np.empty(of_rows, np.uint8)
    kept: dict[str, list[Array]] = {k: [] for k in ("units", "labels", "ids")}
    codes: dict[Hashable, int] = {}
    start, grouped = 0, False
    for chunk in chunks:
        z, labels = chunk.labelled()
        rows = slice(start, start + len(chunk))
        for score in scores:
            confidence[str(score)][rows] = score(z)
        loss[rows] = predict(z) != labels
        if chunk.ignore_index is not None:
            loss[rows][labels == chunk.ignore_index] = IGNORED
        if (units := chunk.units()) is not None:
            kept["units"].append(_coded(units, codes))
        if keep:
            kept["labels"].append(labels)
            kept["ids"] += [] if chunk.ids is None else [chunk.ids]
        start, grouped = start + len(chunk), chunk.groups is not None
    whole = {k: np.concatenate(parts) if parts else None for k, parts in kept.items()}
    return Scored(file.name, shape[1], confidence, loss, grouped=grouped, **whole)


def of_confidences(table: Confidences) -> Scored:
    """A table of confidences as one score."""
    return Scored(
        table.name,
        None,
        {"confidence": table.confidence},
        table.loss,
        table.groups if table.groups is None else _coded(table.groups, {}),
        table.groups is not None,
        ids=table.ids,
    )


def matched(a: Scored, b: Scored) -> tuple[Scored, str]:
    """The rows of `b` in the order of `a`, and what says that they are the same examples.

    By ids where both have them, whatever their order; else row by row, where labels are equal.

    Raises:
        InputError: The examples are not the same, or nothing tells whether they are.
    """
    by = "rows"
    if a.ids is not None and b.ids is not None:
        b, by = b.rows(_places(a, b)), "ids"
    elif a.labels is None or b.labels is None:
        raise InputError(f"{a.name} and {b.name}: expected ids in both, to match their rows by")
    if a.loss.shape != b.loss.shape:
        raise InputError(
            f"expected the same examples in {a.name} and {b.name}, "
            f"got predictions of shape {a.loss.shape} and {b.loss.shape}"
        )
    if a.labels is not None and b.labels is not None:
        differ = (a.labels != b.labels).reshape(len(a.labels), -1).any(axis=1)
        if differ.any():
            hint = "" if by == "ids" else "; ids in both files would match rows in any order"
            raise InputError(
                f"expected the same examples in {a.name} and {b.name}, got labels that differ "
                f"at {first(differ)}{hint}"
            )
    return b, by


def _places(a: Scored, b: Scored) -> Int[Array, " n"]:
    """For each row of `a` the row of `b` with its id."""
    x, y = (np.asarray(s.ids) for s in (a, b))
    if (x.dtype.kind in "US") != (y.dtype.kind in "US"):
        x, y = x.astype(np.str_), y.astype(np.str_)
    for name, ids in ((a.name, x), (b.name, y)):
        found, count = np.unique(ids, return_counts=True)
        if (count > 1).any():
            raise InputError(f"{name}: expected ids that differ, got {found[count > 1][0]} twice")
    for name, ids, others in ((a.name, x, y), (b.name, y, x)):
        alone = np.setdiff1d(ids, others)
        if alone.size:
            raise InputError(
                f"expected the same ids in {a.name} and {b.name}, got {alone.size:,} in {name} "
                f"alone, such as {alone[0]}"
            )
    places = np.empty(x.size, np.int64)
    places[np.argsort(x)] = np.argsort(y)
    return places


def _coded(names: Array, codes: dict[Hashable, int]) -> Int[Array, " n"]:
    """Strings as numbers, the same in every part; numbers as they are."""
    if names.dtype.kind != "U":
        return names
    distinct, place = np.unique(names, return_inverse=True)
    return np.array([codes.setdefault(x, len(codes)) for x in distinct.tolist()])[place]
