"""Logits shards -> sketches: scored on the decision path, chunk by chunk, and counted.

A shard is a logits file, or what a reader makes of it.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from recuse._check import InputError
from recuse.io import LogitsFile, open_logits
from recuse.rejector import Rejector
from recuse.scores import SOFTMAX_FAMILY, Score, predict
from recuse.sketch import CurveSketch, GroupedSketch
from recuse.tune import MSP

Shard = str | os.PathLike
Sketch = CurveSketch | GroupedSketch
PER = ("group", "class")
STEPS = ("msp", "margin")  # scores in the unit of logits, for which the scale is log-odds


def chunks(shard: Shard, *, kind: str, ignore_index: int | None) -> Iterable[LogitsFile]:
    """The rows of a shard, in parts that fit into memory."""
    return open_logits(shard, kind=kind, ignore_index=ignore_index).chunks()


@dataclass(frozen=True)
class Plan:
    """How shards are scored; what a worker needs to know."""

    score: Score = MSP
    kind: str = "logits"
    ignore_index: int | None = None
    per: str | None = None  # one sketch for each "group" of the file or predicted "class"
    rejector: str | None = None  # digest of the rejector that the score is of
    read: Callable[..., Iterable[LogitsFile]] = chunks

    def __post_init__(self):
        if self.per not in (None, *PER):
            raise InputError(f"expected `per` among {', '.join(PER)}, got {self.per!r}")
        if self.kind == "probs" and self.score.name not in SOFTMAX_FAMILY:
            raise InputError(
                f"expected a score of {', '.join(SOFTMAX_FAMILY)} for probabilities, "
                f"got {self.score}: the logarithm has lost the shift of the logits"
            )

    @classmethod
    def of_rejector(cls, path: Shard, **options) -> Plan:
        """The score of a rejector, and the kind of its files."""
        found = Rejector.load(path)
        return cls(found.score, found.kind, rejector=found.to_dict()["checksum"], **options)

    def sketch(self, shard: Shard) -> Sketch:
        """The sketch of one shard.

        Raises:
            InputError: One line that names the shard and what is wrong with it.
        """
        parts = self.read(shard, kind=self.kind, ignore_index=self.ignore_index)
        total = None
        for chunk in parts:
            if not self._ignored(chunk):
                part: Any = self._count(chunk)
                total = part if total is None else total.merge(part)
        if total is None:
            raise InputError(f"{shard}: every label is the ignored {self.ignore_index}")
        return total

    def _ignored(self, chunk: LogitsFile) -> bool:
        """Whether no prediction of this part counts."""
        return (
            self.ignore_index is not None
            and chunk.labels is not None
            and bool((chunk.labels == self.ignore_index).all())
        )

    def _count(self, chunk: LogitsFile) -> Sketch:
        flat = replace(chunk, groups=self._groups(chunk)).predictions()
        z, labels = flat.labelled()
        label, confidence = predict(z), self.score(z)
        scale = "log_odds" if self.score.name in STEPS else "float"
        about = self._about(z.shape[1])
        loss = label != labels
        if self.per is None:
            return CurveSketch(scale, about=about).update(confidence, loss)
        keys: Any = label if self.per == "class" else flat.groups
        return GroupedSketch(scale, about=about).update(keys, confidence, loss)

    def _groups(self, chunk: LogitsFile):
        """Those of the file where they are asked for; else any, so that none are made up."""
        if self.per != "group":
            return np.zeros(len(chunk), np.int64)
        if chunk.groups is None:
            raise InputError(f"{chunk.name}: expected `groups` for a sketch of each, got none")
        return chunk.groups

    def _about(self, classes: int) -> dict[str, str]:
        about = {"score": str(self.score), "kind": self.kind, "classes": str(classes)}
        per = {"per": self.per} if self.per else {}
        return about | per | ({"rejector": self.rejector} if self.rejector else {})


def merge(sketches: Iterable[Sketch]) -> Sketch:
    """A new sketch of what all of these have seen; the order does not matter.

    Raises:
        InputError: No sketch, of different confidences, or with groups and without.
    """
    sketches = list(sketches)
    if len({type(sketch) for sketch in sketches}) > 1:
        raise InputError("expected sketches all of them by group or none, got both")
    kind: Any = type(sketches[0]) if sketches else CurveSketch
    return kind.merged(sketches)
