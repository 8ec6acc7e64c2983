"""Logits shards -> sketches: scored on the decision path, chunk by chunk, and counted.

A shard is a held-out file, or what a reader makes of it, or a table of confidences.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from recuse.errors import InputError
from recuse.io import HeldOut, open_logits
from recuse.io._checked import naming
from recuse.io._reader import fetched
from recuse.io._rows import CONFIDENCES, of_classes
from recuse.rejector import Rejector, check_classes
from recuse.scores import SOFTMAX_FAMILY, Score, without_filler
from recuse.scores._costs import EXPECTED_COST
from recuse.scores._score import OF_CONFIDENCES, decided
from recuse.sketch import CurveSketch, SubgroupSketches
from recuse.tuning import MSP

Shard = str | os.PathLike
Sketch = CurveSketch | SubgroupSketches
BY = ("class", "groups")
TABLE = {"score": "confidences of a table", "kind": "confidences"}
STEPS = ("msp", "margin")  # scores in the unit of logits, for which the scale is log-odds


def chunks(shard: Shard, *, kind: str | None, ignore_index: int | None) -> Iterable[HeldOut]:
    """The rows of a shard, in parts that fit into memory."""
    return open_logits(shard, kind=kind, ignore_index=ignore_index).chunks()


@dataclass(frozen=True)
class Plan:
    """How a worker scores shards."""

    score: Score = MSP
    kind: str | None = None  # where the shards do not say
    ignore_index: int | None = None
    by: str | None = None  # one sketch for each predicted "class", or each of the file's "groups"
    rejector: str | None = None  # digest of the rejector that the score is of
    classes: int | None = None  # that it was fitted to
    log_probs: bool | None = None  # as `Rejector.log_probs`
    filler: float | None = None  # as `Rejector.filler`
    scale: str | None = None  # by default that of the score, "float" for a table
    read: Callable[..., Iterable[HeldOut]] = chunks

    def __post_init__(self):
        if self.by not in (None, *BY):
            raise InputError(f"expected `by` among {', '.join(BY)}, got {self.by!r}")
        if self.scale is not None:
            CurveSketch(self.scale)  # refuses an unknown one
        self._check_score(self.kind)

    def _check_score(self, kind: str | None) -> None:
        if kind == "probs" and self.score.name not in (*SOFTMAX_FAMILY, EXPECTED_COST):
            raise InputError(
                f"expected a score of {', '.join(SOFTMAX_FAMILY)} for probabilities, "
                f"got {self.score}: the logarithm has lost the shift of the logits"
            )

    @classmethod
    def of_rejector(cls, path: Shard, **options) -> Plan:
        """The score of a rejector, and the kind of its files."""
        found = Rejector.load(path)
        return cls(
            found.score,
            found.kind,
            rejector=found.to_dict()["checksum"],
            classes=found.classes,
            log_probs=found.log_probs,
            filler=found.filler,
            **options,
        )

    def sketch(self, shard: Shard) -> Sketch:
        """The sketch of one shard, which may lie behind a URL that fsspec knows.

        Raises:
            InputError: One line that names the shard and what is wrong with it.
        """
        with fetched(shard) as local:
            return self._sketch(local)

    def _sketch(self, shard: Path) -> Sketch:
        parts = self.read(shard, kind=self.kind, ignore_index=self.ignore_index)
        total = None
        for chunk in parts:
            if not self._ignored(chunk):
                part: Any = self._count(chunk)
                total = part if total is None else total.merge(part)
                if chunk.ids is not None:
                    total.keep_ids(chunk.ids)
        if total is None:
            raise InputError(f"{shard}: every label is the ignored {self.ignore_index}")
        return total

    def _ignored(self, chunk: HeldOut) -> bool:
        """Whether no prediction of this part counts."""
        return (
            self.ignore_index is not None
            and chunk.labels is not None
            and bool((chunk.labels == self.ignore_index).all())
        )

    def _count(self, chunk: HeldOut) -> Sketch:
        flat = replace(chunk, groups=self._groups(chunk)).predictions()
        z, _ = flat.labelled()
        score = self._score_of(chunk)
        with naming(chunk.name):
            self._check_score(chunk.kind)
        if self.classes is not None:
            with naming(chunk.name):
                check_classes(z.shape[1], self.classes, chunk.kind)
        predicted, loss, masked = flat.predicted, flat.loss, without_filler(z, self.filler)
        if score.name == EXPECTED_COST:
            predicted, confidence, _ = decided(masked, score)
            loss = predicted != flat.labels
        else:
            confidence = score(masked)
        scale = self.scale or scale_of(score)
        keys: Any = predicted if self.by == "class" else flat.groups
        about = self._about(z.shape[1], chunk.kind)
        return self._counted(chunk.name, scale, about, keys, confidence, loss)

    def _score_of(self, chunk: HeldOut) -> Score:
        """Return the score; of confidences without a rejector, the first as it is."""
        if of_classes(chunk.kind) or self.score.name in OF_CONFIDENCES:
            return self.score
        if self.by == "class" or self.score != MSP:
            option = "--by class" if self.by == "class" else "--score"
            raise InputError(needs_logits(chunk.name, option))
        return Score("confidence")

    def _counted(self, name: str, scale: str, about: dict[str, str], keys: Any, *rows: Any) -> Any:
        """A sketch of confidences and losses, or one for each of the keys."""
        try:
            if self.by is None:
                return CurveSketch(scale, about=about).update(*rows)
            return SubgroupSketches(scale, about=about).update(keys, *rows)
        except InputError as error:
            raise InputError(f"{name}: {error}") from error

    def _groups(self, chunk: HeldOut):
        """Return the groups of the file if they are asked for; otherwise one group for all."""
        if self.by != "groups":
            return np.zeros(len(chunk), np.int64)
        if chunk.groups is None:
            raise InputError(f"{chunk.name}: expected `groups` for a sketch of each, got none")
        return chunk.groups

    def _about(self, classes: int, kind: str) -> dict[str, str]:
        about = {"score": str(self.score), "kind": kind, "classes": str(classes)}
        if not of_classes(kind):
            about = TABLE if self.score == MSP else {"score": str(self.score), "kind": CONFIDENCES}
        by = {"by": self.by} if self.by else {}
        return about | by | ({"rejector": self.rejector} if self.rejector else {})


def scale_of(score: Score) -> str:
    """The bins that suit a score: log-odds for those in the unit of logits.

    >>> scale_of(Score("msp")), scale_of(Score("entropy"))
    ('log_odds', 'float')
    """
    return "log_odds" if score.name in STEPS else "float"


def needs_logits(name: str, option: str) -> str:
    """Return the message for a table of confidences given to an option that needs logits."""
    return f"{name}: expected logits for {option}, got a table of confidences"


def merge(sketches: Iterable[Sketch]) -> Sketch:
    """A new sketch of what all of these have seen; the order does not matter.

    Raises:
        InputError: No sketch, of different confidences, or with subgroups and without.
    """
    sketches = list(sketches)
    if len({type(sketch) for sketch in sketches}) > 1:
        raise InputError("expected sketches that all have subgroups or all have none, got both")
    several = bool(sketches) and isinstance(sketches[0], SubgroupSketches)
    kind: Any = SubgroupSketches if several else CurveSketch
    return kind.merged(sketches)
