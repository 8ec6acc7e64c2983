"""The data of the charts, as the page holds it: once, in columns, shared by name.

A data set is a list of parts; the rows of a part are its columns, side by side, each with
the part's fixed fields. The page's script puts them together.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from recuse.reports.details import Detail
from recuse.reports.prepare import RELIABILITY_BINS, Curve, ModelData, Point
from recuse.scores import as_probability

COLOURS = 7  # of the page's palette; models beyond it start again, with other dashes
SOLID, SHORT, LONG = [1, 0], [5, 4], [7, 3]
DASHES = ((SOLID, SHORT), ([14, 3], [1, 3]), ([14, 3, 2, 3], [5, 3, 2, 3]))  # chosen, replaced MSP

Dataset = list[dict[str, dict[str, Any]]]


def datasets(
    models: tuple[ModelData, ...], target_risk: float, details: Mapping[str, Detail]
) -> dict[str, Dataset]:
    """Every data set of the page by name."""
    out = {
        "curves": [_curve(m, curve) for m in models for curve in m.curves],
        "fitted": [_fitted(m, m.point) for m in models if m.point is not None],
        "target_risk": [_part({}, risk=[target_risk])],
        "diagonal": [_part({}, x=[0, 1], y=[0, 1])],
        "now": [],  # these two follow the sliders
        "limits": [],
    }
    for i, m in enumerate(models):
        out[f"histogram-{i}"] = [_bars(m, "right"), _bars(m, "wrong")]
        if m.point is not None:
            out[f"threshold-{i}"] = [_part({}, score=[m.point.threshold])]
        if (detail := details.get(m.result.name)) is not None and detail.smoothing is not None:
            out[f"ceiling-{i}"] = [_part({}, msp=[detail.smoothing.ceiling_log_odds])]
        out[f"fingerprint-{i}"] = [_band(m, "right"), _band(m, "wrong")]
        out[f"reliability-{i}"] = [_reliability(m)]
    return out


def colour(index: int) -> str:
    """The CSS colour of a model."""
    return f"var(--model-{index % COLOURS})"


def dash(model: ModelData, curve: Curve) -> list[int]:
    """MSP is dashed where it was replaced; models that share a colour differ."""
    chosen, replaced = DASHES[model.index // COLOURS % len(DASHES)]
    return replaced if model.after is not None and curve is model.before else chosen


def _part(fixed: dict[str, Any], **columns: list) -> dict[str, dict[str, Any]]:
    return {"fixed": fixed, "columns": columns}


def _curve(m: ModelData, curve: Curve) -> dict[str, dict[str, Any]]:
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


def _band(m: ModelData, kind: str) -> dict[str, dict[str, Any]]:
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


def _reliability(m: ModelData) -> dict[str, dict[str, Any]]:
    bins = m.reliability
    index = np.minimum((bins.probability * RELIABILITY_BINS).astype(int), RELIABILITY_BINS - 1)
    return _part(
        {},
        **{name: column.tolist() for name, column in bins._asdict().items()},
        start=(index / RELIABILITY_BINS).tolist(),
        end=((index + 1) / RELIABILITY_BINS).tolist(),
        share=(bins.count / bins.count.sum()).tolist(),
    )
