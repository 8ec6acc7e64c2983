"""Evaluation -> the plain data of every picture; nothing here draws.

n = test predictions, k = points of a thinned curve, b = bins.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from recuse import curves
from recuse.calibration import Reliability, reliability
from recuse.curves import RiskCoverage
from recuse.evaluation import Evaluation, ModelEvaluation
from recuse.plots import confidence

if TYPE_CHECKING:
    from jaxtyping import Float, Int
    from numpy import ndarray as Array

POINTS = 300  # of a drawn curve
LOW_COVERAGE = 0.2  # where the damage of label smoothing sits
COVERAGES = (0.01, 0.02, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1.0)  # of the table under the curves
BINS = 20  # of MSP in the fingerprint
LEAST = 10  # predictions that a bin of the fingerprint needs
RELIABILITY_BINS = 15  # those of `calibration.ece`


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
    threshold: float


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
    """One model: what the evaluation says, and what the pictures need."""

    index: int
    result: ModelEvaluation
    before: Curve
    after: Curve | None  # None if MSP was kept
    point: Point | None  # the fitted threshold; None if it is infeasible or accepts nothing
    fingerprint: Fingerprint
    reliability: Reliability
    histogram: confidence.Confidence
    low_risk: tuple[float, float]  # at LOW_COVERAGE, before and after
    target_coverage: tuple[float, float]  # largest with a test risk under target, before and after

    @property
    def curves(self) -> tuple[Curve, ...]:
        """The curves to draw."""
        return (self.before,) if self.after is None else (self.before, self.after)


def prepare(evaluation: Evaluation) -> tuple[ModelData, ...]:
    """The data of every picture, one entry for each model."""
    return tuple(_model(i, m, evaluation.target_risk) for i, m in enumerate(evaluation.models))


def _model(index: int, m: ModelEvaluation, target_risk: float) -> ModelData:
    before = _curve("before", "MSP", m.before.aurc, m.msp, m.loss)
    after = _curve("after", str(m.tuned.score), m.after.aurc, m.confidence, m.loss)
    return ModelData(
        index=index,
        result=m,
        before=before,
        after=after if m.repaired else None,
        point=_point(m),
        fingerprint=fingerprint(m),
        reliability=reliability(m.probability, m.loss, bins=RELIABILITY_BINS),
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
    return Point(m.accepted / m.n, m.errors / m.accepted, m.selection.threshold)


def fingerprint(m: ModelEvaluation) -> Fingerprint:
    """Centred maximum logit given MSP, for right and for wrong predictions.

    Bins are equally wide in the log-odds of MSP. So that a bin's width does not pass for a
    difference, each prediction is compared with the right ones at its own MSP, by linear
    interpolation between their bins. With two classes it is a function of MSP: no bin is filled.
    """
    nothing = Band(*np.empty((5, 0)))
    if m.classes == 2:
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
