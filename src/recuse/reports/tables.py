"""The tables of the page: those behind the charts, the errors accepted, and models in pairs.

n = test predictions, K = classes.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from recuse.evaluation import ModelEvaluation
from recuse.intervals import AURC, Comparisons, compare_all
from recuse.io._rows import of_classes
from recuse.plots.confusion import Confusion, prepare
from recuse.present.numbers import (
    UNDEFINED,
    area,
    count,
    exact_percent,
    interval,
    logit,
    number,
    p_value,
    percent,
)
from recuse.present.text import Table
from recuse.reports.details import Detail
from recuse.reports.prepare import COVERAGES, ModelData
from recuse.scores import FEATURES, as_probability
from recuse.tuning import MSP

if TYPE_CHECKING:
    from jaxtyping import Bool
    from numpy import ndarray as Array

LARGEST = 15  # classes of a matrix; with more, the most frequent confusions are listed
LISTED = 15  # of them
SHOWN = 12  # most confident errors


def curve_table(models: tuple[ModelData, ...]) -> Table:
    """Risk at fixed coverages, one row for each curve."""
    rows = [
        (f"{m.result.name}, {curve.score}", *map(percent, curve.risks))
        for m in models
        for curve in m.curves
    ]
    header = ("Coverage", *map(exact_percent, COVERAGES))
    return Table("Risk at the smallest reachable coverage that is at least as large", header, rows)


def fitted_rows(explore: dict[str, Any], *, limits: bool) -> list[list[str]]:
    """Return the outcome of each fitted threshold, as the script of the page writes it."""
    fitted = [curve for curve in explore["curves"] if curve["fitted"] >= 0]
    return [_counted(c) + _limited(c, explore["start"]) * limits for c in fitted]


def _counted(curve: dict[str, Any]) -> list[str]:
    k, n = curve["fitted"], curve["n"]
    accepted, errors = int(curve["accepted"][k]), int(curve["errors"][k])
    counts = map(count, (accepted, n - accepted, errors))
    risk = percent(errors / accepted if accepted else math.nan)
    return [curve["name"], curve["rules"][k], percent(accepted / n), *counts, risk]


def _limited(curve: dict[str, Any], target: int) -> list[str]:
    """Return the limit of the risk, and the coverage guaranteed at a target, if any."""
    if (found := curve["limits"]) is None:
        return ["none", "none"]
    of, kept = found["of"][curve["fitted"]], found["of_target"][target]
    upper = found["shown"][of] if of >= 0 else "none"
    covered = percent(curve["accepted"][kept] / curve["n"]) if kept >= 0 else "none"
    return [upper, covered]


def fingerprint_table(model: ModelData) -> Table:
    """Mean and spread of the maximum logit in every bin of MSP."""
    rows = [
        (kind, percent(float(as_probability(msp))), *map(logit, (mean, over, spread)), count(n))
        for kind in ("right", "wrong")
        for msp, mean, over, spread, n in zip(*getattr(model.fingerprint, kind))
    ]
    header = ("Predictions", "MSP", "Mean maximum logit", "Above right ones", "Spread", "Count")
    return Table("Centred maximum logit in bins of MSP", header, rows)


def bin_table(model: ModelData) -> Table:
    """Stated and observed probability of being right."""
    name, bins = model.result.baseline, model.reliability or ()
    rows = [(percent(q), percent(right), count(n)) for q, right, n in zip(*bins)]
    return Table(f"Reliability of {name}", (f"Mean {name}", "Fraction right", "Count"), rows)


def histogram_table(model: ModelData) -> Table:
    """Right and wrong predictions in every bin of the chosen score."""
    edge, right, wrong = model.histogram[:3]
    rows = [
        (f"{number(low)} to {number(high)}", count(int(r)), count(int(w)))
        for low, high, r, w in zip(edge, edge[1:], right, wrong)
        if r or w
    ]
    return Table("Predictions by the chosen score", ("Score", "Right", "Wrong"), rows)


def weight_table(m: ModelEvaluation) -> Table:
    """The weights of the features of a learned score, largest first."""
    columns = [str(score) for score, _ in m.tuned.table if score.name == "confidence"]
    weights = zip(columns or FEATURES, m.tuned.score.params["weights"])
    ranked = sorted(weights, key=lambda row: -abs(row[1]))
    caption = "Correction of the log-odds for one standard deviation of each feature"
    return Table(caption, ("Feature", "Weight"), [(name, logit(w)) for name, w in ranked])


def split_table(models: tuple[ModelData, ...]) -> Table:
    """Sizes and digests of the splits."""
    rows = [
        (m.result.name, split, count(m.result.sizes[split]), m.result.digests[split])
        for m in models
        for split in m.result.sizes
    ]
    return Table("Predictions and digest of each split", ("Model", "Split", "Size", "Digest"), rows)


class Mistake(NamedTuple):
    """A wrong prediction."""

    id: str
    label: str
    predicted: str
    msp: float
    score: float
    accepted: str
    image: str | None = None  # a data URI


def accepted(m: ModelEvaluation) -> Bool[Array, " n"]:
    """Return what the fitted threshold accepts; without a threshold, everything."""
    if not m.selection.feasible:
        return np.ones(m.n, bool)
    return m.accept


def confusion(m: ModelEvaluation, detail: Detail) -> Confusion | None:
    """Return the confusion matrix; None if there are too many classes for one."""
    if m.classes > LARGEST or not detail.classes:
        return None
    d = detail
    return prepare(d.labels, d.predicted, accepted(m), classes=d.classes, most=m.classes)


def matrix_rows(matrix: Confusion) -> list[tuple[str, list[tuple[int, float, bool]]]]:
    """Return the name of each label and its cells: count, share of the label, right.

    Abstention comes first, so that no class is out of sight where the matrix scrolls.
    """
    rows = []
    for i, (name, row, share) in enumerate(zip(matrix.classes, matrix.counts, matrix.share)):
        *cells, abstain = [(int(k), float(s), i == j) for j, (k, s) in enumerate(zip(row, share))]
        rows.append((name, [abstain, *cells]))
    return rows


def confused(m: ModelEvaluation, detail: Detail) -> Table:
    """Return the most frequent pairs of label and wrong prediction."""
    wrong, k = m.loss > 0, m.classes
    pair = detail.labels[wrong] * k + detail.predicted[wrong]
    found, of = np.unique(pair, return_inverse=True)
    total, kept = np.bincount(of), np.bincount(of, accepted(m)[wrong]).astype(int)
    rows = [
        (
            f"{detail.classes[found[i] // k]} → {detail.classes[found[i] % k]}",
            *map(count, (total[i], kept[i], total[i] - kept[i])),
        )
        for i in np.argsort(-total, kind="stable")[:LISTED]
    ]
    header = ("Label → prediction", "Errors", "Accepted", "Abstained")
    return Table(f"The most frequent of {count(len(found))} confusions", header, rows)


def most_confident(m: ModelEvaluation, detail: Detail) -> list[Mistake]:
    """Return the most confident errors of the chosen score; the first of equals comes first."""
    wrong = np.flatnonzero(m.loss > 0)
    first = wrong[np.argsort(-m.confidence[wrong], kind="stable")[:SHOWN]]
    kept, msp = accepted(m), as_probability(m.msp[first])
    names = detail.classes or ("wrong", "right")
    return [
        Mistake(
            id=f"row {i}" if detail.ids is None else str(detail.ids[i]),
            label=names[detail.labels[i]],
            predicted=names[detail.predicted[i]],
            msp=float(q),
            score=float(m.confidence[i]),
            accepted=_accepted(m, kept[i]),
            image=_image(detail, i),
        )
        for i, q in zip(first, msp)
    ]


def _accepted(m: ModelEvaluation, kept: bool) -> str:
    if not m.selection.feasible:
        return UNDEFINED
    return "yes" if kept else "no"


def _image(detail: Detail, i: int) -> str | None:
    if detail.images is None or detail.ids is None:
        return None
    from recuse.reports.details import thumbnail

    return thumbnail(detail.images, str(detail.ids[i]))


def mistake_table(m: ModelEvaluation, found: list[Mistake]) -> Table:
    """Return the most confident errors as a table."""
    rows = [
        (e.id, e.label, e.predicted, probability(e.msp), number(e.score), e.accepted) for e in found
    ]
    score = "Log-odds" if m.tuned.score == MSP or m.tuned.score.fitted else str(m.tuned.score)
    header = ("Id", "Label", "Prediction", "MSP", score, "Accepted")
    if not of_classes(m.kind):  # there is neither label nor prediction, nor MSP
        header, rows = (
            ("Id", score, "Accepted"),
            [(e.id, number(e.score), e.accepted) for e in found],
        )
    return Table("The most confident errors of the chosen score", header, rows)


def probability(q: float) -> str:
    """Write a probability; one close to 1 is not rounded to 100 %."""
    return percent(q) if q < 0.999 else f"> {percent(0.999)}"


def paired(models: tuple[ModelData, ...], details: Mapping[str, Detail]) -> Comparisons | None:
    """Compare each chosen score with that of the first model; None unless examples agree."""
    if len(models) < 2 or not same_examples([details.get(m.result.name) for m in models]):
        return None
    scored = {m.result.name: (m.result.confidence, m.result.loss) for m in models}
    first = models[0].result.name
    return compare_all(scored, baseline=first, measure=AURC, groups=details[first].groups)


def same_examples(details: list[Detail | None]) -> bool:
    """Whether the test splits hold the same labels and ids, row by row."""
    known = [d for d in details if d is not None]
    if len(known) < len(details):
        return False
    first = known[0]
    return all(
        np.array_equal(d.labels, first.labels)
        and (d.ids is None or first.ids is None or np.array_equal(d.ids, first.ids))
        for d in known
    )


def paired_table(found: Comparisons) -> Table:
    """Return one row for each model but the first."""
    rows = [
        (
            f"{row.name} − {found.baseline}",
            area(row.value),
            area(row.comparison.difference),
            interval(row.comparison.low, row.comparison.high),
            p_value(row.comparison.p_value),
            p_value(row.p_adjusted),
        )
        for row in found.rows
    ]
    caption = (
        f"AURC ×1000 of the chosen scores, paired on the same examples; {found.baseline} has "
        f"{area(found.value)}. P-values are two-sided, the last corrected for all rows by Holm"
    )
    return Table(caption, ("Models", "AURC", "Difference", "95 % interval", "p", "p (Holm)"), rows)
