"""Evaluation -> the plain data of every picture, and the columns in which the page holds it.

A data set is a list of parts; the rows of a part are its columns, side by side, each with the
part's fixed fields. The script of the page joins them. Nothing here draws.

n = test predictions, k = points of a thinned curve, b = bins.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from recuse import curves
from recuse.calibration import Reliability, reliability
from recuse.calibration._measures import equal_width, rounding
from recuse.curves import RiskCoverage
from recuse.evaluation import Evaluation, ModelEvaluation
from recuse.io._rows import of_classes
from recuse.plots import confidence
from recuse.present.page import of_coverage
from recuse.reports.details import Detail
from recuse.scores import as_probability

if TYPE_CHECKING:
    from jaxtyping import Float, Int
    from numpy import ndarray as Array

POINTS = 300  # of a drawn curve
LOW_COVERAGE = 0.2  # where the damage of label smoothing sits
COVERAGES = (0.01, 0.02, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1.0)  # of the table under the curves
BINS = 20  # of MSP in the fingerprint
LEAST = 10  # predictions that a bin of the fingerprint needs
RELIABILITY_BINS = 15  # those of `calibration.ece`
COLOURS = 7  # of the page's palette; models beyond it start again, with other dashes
SOLID, SHORT, LONG = [1, 0], [5, 4], [7, 3]
DASHES = ((SOLID, SHORT), ([14, 3], [1, 3]), ([14, 3, 2, 3], [5, 3, 2, 3]))  # chosen, replaced MSP

Dataset = list[dict[str, dict[str, Any]]]


class Curve(NamedTuple):
    """The curve of one model under one score, whole and thinned for drawing."""

    stage: str  # "before" (MSP) or "after" (the chosen score)
    score: str
    aurc: float
    whole: RiskCoverage
    points: RiskCoverage
    risks: tuple[float, ...]  # at COVERAGES, from the whole curve


class Point(NamedTuple):
    """A threshold on the test split."""

    coverage: float
    risk: float
    threshold: float | None  # None where there are several


class Band(NamedTuple):
    """Centred maximum logit in bins of MSP, for right or for wrong predictions."""

    msp: Float[Array, " b"]  # mean log-odds
    mean: Float[Array, " b"]
    excess: Float[Array, " b"]  # mean difference from right predictions of equal MSP
    spread: Float[Array, " b"]  # standard deviation
    count: Int[Array, " b"]


class Fingerprint(NamedTuple):
    """The maximum logit given MSP; `excess` is of wrong over right predictions of equal MSP."""

    right: Band
    wrong: Band
    excess: float  # mean over wrong predictions; NaN if there are too few to compare
    spread: float  # of the maximum logit of right predictions of equal MSP
    larger: int  # bins of wrong predictions with positive excess

    @property
    def drawn(self) -> bool:
        """Whether there is anything to draw."""
        return len(self.right.msp) > 0


class ModelData(NamedTuple):
    """One model: its evaluation, and the data of its pictures."""

    index: int
    result: ModelEvaluation
    before: Curve
    after: Curve | None  # None if MSP was kept
    point: Point | None  # the fitted threshold; None if it is infeasible or accepts nothing
    fingerprint: Fingerprint
    reliability: Reliability | None  # None where no probability is stated
    histogram: confidence.Confidence
    low_risk: tuple[float, float]  # at LOW_COVERAGE, before and after
    target_coverage: tuple[float, float]  # largest with a test risk under target, before and after
    low_coverage: float = LOW_COVERAGE

    @property
    def curves(self) -> tuple[Curve, ...]:
        """The curves to draw."""
        return (self.before,) if self.after is None else (self.before, self.after)


def prepare(evaluation: Evaluation) -> tuple[ModelData, ...]:
    """Return the data of every picture, one entry for each model."""
    return tuple(_model(i, m, evaluation.target_risk) for i, m in enumerate(evaluation.models))


def best(models: tuple[ModelData, ...]) -> ModelData:
    """Return the model with the best objective on the tuning split."""

    def cost(model: ModelData) -> float:
        m = model.result
        value = next(value for score, value in m.tuned.table if score == m.tuned.score)
        return -value if of_coverage(m) else value

    return min(models, key=cost)


def _model(index: int, m: ModelEvaluation, target_risk: float) -> ModelData:
    before = _curve("before", m.baseline, m.before.aurc, m.msp, m.loss)
    after = _curve("after", str(m.tuned.score), m.after.aurc, m.confidence, m.loss)
    return ModelData(
        index=index,
        result=m,
        before=before,
        after=after if m.repaired else None,
        point=_point(m),
        fingerprint=fingerprint(m),
        reliability=None
        if (stated := m.probability) is None
        else reliability(stated, m.loss, bins=RELIABILITY_BINS),
        histogram=confidence.of(m),
        low_risk=(
            curves.risk_at_coverage(m.msp, m.loss, LOW_COVERAGE),
            curves.risk_at_coverage(m.confidence, m.loss, LOW_COVERAGE),
        ),
        target_coverage=(
            curves.coverage_at_risk(m.msp, m.loss, target_risk),
            curves.coverage_at_risk(m.confidence, m.loss, target_risk),
        ),
    )


def _curve(stage: str, score: str, aurc: float, c: Array, loss: Array) -> Curve:
    whole = curves.risk_coverage(c, loss)
    at = np.searchsorted(whole.coverage, COVERAGES).clip(max=len(whole.coverage) - 1)
    return Curve(stage, score, aurc, whole, curves.thin(whole, POINTS), tuple(whole.risk[at]))


def _point(m: ModelEvaluation) -> Point | None:
    if not (m.selection.feasible and m.accepted):
        return None
    return Point(m.accepted / m.n, m.errors / m.accepted, m.threshold)


def fingerprint(m: ModelEvaluation) -> Fingerprint:
    """Return the centred maximum logit given MSP, for right and wrong predictions.

    Bins are equally wide in the log-odds of MSP. Each prediction is compared with the right ones at
    its own MSP, by linear interpolation between their bins, so that the width of a bin does not
    look like a difference. With two classes it is a function of MSP, and no bin is filled.
    """
    nothing = Band(*np.empty((5, 0)))
    if m.classes == 2 or not of_classes(m.kind):
        return Fingerprint(nothing, nothing, np.nan, np.nan, 0)
    x, y = m.msp.astype(np.float64), m.max_logit.astype(np.float64)
    finite = np.isfinite(x) & np.isfinite(y)
    x, y, wrong = x[finite], y[finite], m.loss[finite] > 0
    ends = np.quantile(x, [0.005, 0.995]) if x.size else (0, 0)
    bin = np.searchsorted(np.linspace(*ends, BINS + 1), x, side="right") - 1
    inside = (bin >= 0) & (bin < BINS)
    right = _band(x, y, np.zeros_like(y), bin, inside & ~wrong)
    if len(right.msp) < 2:
        return Fingerprint(right, nothing, np.nan, np.nan, 0)
    comparable = inside & wrong & (x >= right.msp[0]) & (x <= right.msp[-1])
    band = _band(x, y, y - np.interp(x, right.msp, right.mean), bin, comparable)
    if not len(band.msp):
        return Fingerprint(right, band, np.nan, np.nan, 0)
    excess = np.average(band.excess, weights=band.count)
    spread = np.average(np.interp(band.msp, right.msp, right.spread), weights=band.count)
    return Fingerprint(right, band, float(excess), float(spread), int((band.excess > 0).sum()))


def _band(x: Array, y: Array, excess: Array, bin: Array, rows: Array) -> Band:
    """Means and spread of y in the bins of x that hold enough of the given rows."""
    bin = bin[rows]
    count = np.bincount(bin, minlength=BINS)
    msp, mean, over = (
        np.bincount(bin, v[rows], BINS) / np.maximum(count, 1) for v in (x, y, excess)
    )
    squares = np.bincount(bin, (y[rows] - mean[bin]) ** 2, BINS)
    spread = np.sqrt(squares / np.maximum(count, 1))
    return Band(*(column[count >= LEAST] for column in (msp, mean, over, spread, count)))


def datasets(
    models: tuple[ModelData, ...], target_risk: float, details: Mapping[str, Detail]
) -> dict[str, Dataset]:
    """Return every data set of the page by name."""
    out = {
        "curves": [_curve_data(m, curve) for m in models for curve in m.curves],
        "fitted": [_fitted(m, m.point) for m in models if m.point is not None],
        "target_risk": [_part({}, risk=[target_risk])],
        "diagonal": [_part({}, x=[0, 1], y=[0, 1])],
        "now": [],  # these two follow the sliders
        "limits": [],
    }
    for i, m in enumerate(models):
        out[f"histogram-{i}"] = [_bars(m, "right"), _bars(m, "wrong")]
        if m.point is not None and m.point.threshold is not None:
            out[f"threshold-{i}"] = [_part({}, score=[m.point.threshold])]
        if (detail := details.get(m.result.name)) is not None and detail.smoothing is not None:
            out[f"ceiling-{i}"] = [_part({}, msp=[detail.smoothing.ceiling_log_odds])]
        out[f"fingerprint-{i}"] = [_band_data(m, "right"), _band_data(m, "wrong")]
        if m.reliability is not None:
            out[f"reliability-{i}"] = [_reliability_data(m.reliability)]
    return out


def colour(index: int) -> str:
    """Return the CSS colour of a model."""
    return f"var(--model-{index % COLOURS})"


def dash(model: ModelData, curve: Curve) -> list[int]:
    """Return the dashes of a curve: MSP is dashed where replaced, and equal colours differ."""
    chosen, replaced = DASHES[model.index // COLOURS % len(DASHES)]
    return replaced if model.after is not None and curve is model.before else chosen


def _part(fixed: dict[str, Any], **columns: list) -> dict[str, dict[str, Any]]:
    return {"fixed": fixed, "columns": columns}


def _curve_data(m: ModelData, curve: Curve) -> dict[str, dict[str, Any]]:
    fixed = {
        "model": m.result.name,
        "score": curve.score,
        "series": f"{m.index} {curve.stage}",
        "colour": colour(m.index),
        "dash": dash(m, curve),
    }
    kept = ("coverage", "risk", "threshold")
    return _part(fixed, **{name: getattr(curve.points, name).tolist() for name in kept})


def _fitted(m: ModelData, point: Point) -> dict[str, dict[str, Any]]:
    score = f"{m.result.tuned.score}, fitted threshold"
    fixed = {"model": m.result.name, "score": score, "colour": colour(m.index)}
    return _part(fixed, **{name: [value] for name, value in point._asdict().items()})


def _band_data(m: ModelData, kind: str) -> dict[str, dict[str, Any]]:
    band = getattr(m.fingerprint, kind)
    shape, line = ("circle", SOLID) if kind == "right" else ("diamond", LONG)
    return _part(
        {"kind": kind, "colour": f"var(--{kind})", "shape": shape, "dash": line},
        **{name: column.tolist() for name, column in band._asdict().items()},
        probability=as_probability(band.msp).tolist(),
        low=(band.excess - band.spread).tolist(),
        high=(band.excess + band.spread).tolist(),
    )


def _bars(m: ModelData, kind: str) -> dict[str, dict[str, Any]]:
    """Shares of the right, or of the wrong predictions; wrong ones hang down."""
    edge, held = m.histogram.edge, getattr(m.histogram, kind)
    share = held / max(held.sum(), 1)
    return _part(
        {"kind": kind, "colour": f"var(--{kind})"},
        start=edge[:-1].tolist(),
        end=edge[1:].tolist(),
        count=held.tolist(),
        share=share.tolist(),
        height=(share if kind == "right" else -share).tolist(),
    )


def _reliability_data(bins: Reliability) -> dict[str, dict[str, Any]]:
    index = equal_width(bins.probability, RELIABILITY_BINS, rounding(bins.probability))
    return _part(
        {},
        **{name: column.tolist() for name, column in bins._asdict().items()},
        start=(index / RELIABILITY_BINS).tolist(),
        end=((index + 1) / RELIABILITY_BINS).tolist(),
        share=(bins.count / bins.count.sum()).tolist(),
    )
