"""Labels of classes that are impossible in their row: no threshold makes such a row right.

n = rows, K = classes.
"""

from __future__ import annotations

from collections import Counter

import numpy as np

from recuse.io._rows import HeldOut
from recuse.present.reading import impossible_labels


class ImpossibleLabels:
    """Counts labels of classes with the logit -inf, over the parts of a file."""

    def __init__(self) -> None:
        self.seen = 0
        self.of: Counter[str] = Counter()  # class -> rows
        self.first: int | None = None  # row

    def add(self, file: HeldOut) -> ImpossibleLabels:
        """Count those of a part of the file."""
        if file.kind == "logits" and file.labels is not None and len(file.labels):
            self._count(file)
        self.seen += len(file)
        return self

    def _count(self, file: HeldOut) -> None:
        z, y = np.asarray(file.logits), np.asarray(file.labels)
        kept = np.ones(y.shape, bool) if file.ignore_index is None else y != file.ignore_index
        own = np.take_along_axis(z, np.where(kept, y, 0)[:, None].astype(np.intp), axis=1)
        bad = np.isneginf(own[:, 0].astype(np.float32)) & kept
        if not bad.any():
            return
        rows = bad.reshape(len(bad), -1).any(axis=1)
        if self.first is None:
            self.first = self.seen + int(rows.argmax())
        for k, times in zip(*np.unique(y[bad], return_counts=True)):
            name = str(k) if file.class_names is None else file.class_names[k]
            self.of[name] += int(times)

    @property
    def said(self) -> str | None:
        """One line on these labels; None if there are none."""
        return None if self.first is None else impossible_labels(self.of, self.first)


def impossible_in(file: HeldOut) -> str | None:
    """Return one line on the labels of a file that are impossible; None if there are none."""
    return ImpossibleLabels().add(file).said
