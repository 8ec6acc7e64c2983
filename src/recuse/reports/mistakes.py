"""Which errors a threshold serves: the confusion matrix, and the errors that it trusts most.

n = test predictions, K = classes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from recuse.evaluation import ModelEvaluation
from recuse.plots.confusion import prepare
from recuse.reports.details import Detail
from recuse.reports.notation import UNDEFINED, Table, count, number, percent
from recuse.scores import as_probability
from recuse.tuning import MSP

if TYPE_CHECKING:
    from jaxtyping import Bool, Int
    from numpy import ndarray as Array

LARGEST = 15  # classes of a matrix; with more, the most frequent confusions are listed
LISTED = 15  # of them
SHOWN = 12  # most confident errors


class Confusion(NamedTuple):
    """Labels in rows, what was said in columns; the last column abstained."""

    classes: tuple[str, ...]
    counts: Int[Array, "K K+1"]  # those of `plots.confusion`

    @property
    def rows(self) -> list[tuple[str, list[tuple[int, float, bool]], int]]:
        """Of each label its name, the cells (count, share of the label, right) and its size."""
        out = []
        for i, (name, row) in enumerate(zip(self.classes, self.counts)):
            size = int(row.sum())
            cells = [(int(k), float(k / max(size, 1)), i == j) for j, k in enumerate(row)]
            out.append((name, cells, size))
        return out


class Mistake(NamedTuple):
    """A wrong prediction."""

    id: str
    label: str
    predicted: str
    msp: float
    score: float
    served: str
    image: str | None = None  # a data URI


def accepted(m: ModelEvaluation) -> Bool[Array, " n"]:
    """By the fitted threshold; without one, all: what there would be to abstain from."""
    if not m.selection.feasible:
        return np.ones(m.n, bool)
    return m.selection.accept(m.confidence)


def confusion(m: ModelEvaluation, detail: Detail) -> Confusion | None:
    """What was said of each label; None with too many classes for a matrix."""
    if m.classes > LARGEST:
        return None
    d = detail
    found = prepare(d.labels, d.predicted, accepted(m), classes=d.classes, most=m.classes)
    return Confusion(*found)


def confused(m: ModelEvaluation, detail: Detail) -> Table:
    """The most frequent pairs of label and wrong prediction."""
    wrong, k = m.loss > 0, m.classes
    pair = detail.labels[wrong] * k + detail.predicted[wrong]
    found, of = np.unique(pair, return_inverse=True)
    total, served = np.bincount(of), np.bincount(of, accepted(m)[wrong]).astype(int)
    rows = [
        (
            f"{detail.classes[found[i] // k]} → {detail.classes[found[i] % k]}",
            *map(count, (total[i], served[i], total[i] - served[i])),
        )
        for i in np.argsort(-total, kind="stable")[:LISTED]
    ]
    header = ("Label → prediction", "Errors", "Served", "Abstained")
    return Table(f"The most frequent of {count(len(found))} confusions", header, rows)


def most_confident(m: ModelEvaluation, detail: Detail) -> list[Mistake]:
    """The errors that the chosen score trusts most; the first of equals comes first."""
    wrong = np.flatnonzero(m.loss > 0)
    first = wrong[np.argsort(-m.confidence[wrong], kind="stable")[:SHOWN]]
    kept, msp = accepted(m), as_probability(m.msp[first])
    return [
        Mistake(
            id=f"row {i}" if detail.ids is None else str(detail.ids[i]),
            label=detail.classes[detail.labels[i]],
            predicted=detail.classes[detail.predicted[i]],
            msp=float(q),
            score=float(m.confidence[i]),
            served=_served(m, kept[i]),
            image=_image(detail, i),
        )
        for i, q in zip(first, msp)
    ]


def _served(m: ModelEvaluation, kept: bool) -> str:
    if not m.selection.feasible:
        return UNDEFINED
    return "yes" if kept else "no"


def _image(detail: Detail, i: int) -> str | None:
    if detail.images is None or detail.ids is None:
        return None
    from recuse.reports.pictures import thumbnail

    return thumbnail(detail.images, str(detail.ids[i]))


def mistake_table(m: ModelEvaluation, found: list[Mistake]) -> Table:
    """The same as text."""
    rows = [
        (e.id, e.label, e.predicted, probability(e.msp), number(e.score), e.served) for e in found
    ]
    score = "Log-odds" if m.tuned.score == MSP or m.tuned.score.fitted else str(m.tuned.score)
    header = ("Id", "Label", "Prediction", "MSP", score, "Served")
    return Table("The errors that the chosen score trusts most", header, rows)


def probability(q: float) -> str:
    """A probability; one close to 1 is not rounded to 100 %."""
    return percent(q) if q < 0.999 else f">\u00a0{percent(0.999)}"
