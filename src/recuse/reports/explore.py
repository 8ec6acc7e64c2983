"""Exact counts at every stop of the sliders, for the page to look up and never compute.

n = test predictions, m = positions of a slider, decreasing thresholds; r = target risks,
g = rows of a table (classes, subgroups).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from recuse.plots._shared import shown
from recuse.present.numbers import confidence_level, exact_percent, upper_percent
from recuse.present.page import at_least, measured, whose
from recuse.present.text import typeset
from recuse.reports.details import Detail
from recuse.reports.prepare import Curve, ModelData, colour, dash
from recuse.selectors import Band
from recuse.selectors._grid import counts

if TYPE_CHECKING:
    from jaxtyping import Float, Float32, Int, Shaped
    from numpy import ndarray as Array
    from numpy.typing import ArrayLike

    from recuse.curves import RiskCoverage

LEVELS = 80  # coverages, evenly spaced, that every slider stops at
TARGETS = 60  # target risks, from SMALLEST to LARGEST in equal ratios
SMALLEST, LARGEST = 0.001, 0.5
MANY = 25  # rows of a table beyond which the rest is counted together
NONE = -1  # no position


class Positions(NamedTuple):
    """Stops of the slider of one curve, and the counts of the test split there."""

    threshold: Float32[Array, " m"]  # decreasing
    accepted: Int[Array, " m"]
    errors: Int[Array, " m"]


def targets(target_risk: float) -> Float[Array, " r"]:
    """Return target risks of two figures, and the given one among them.

    >>> targets(0.05)[[0, 1, -1]]
    array([0.001 , 0.0011, 0.5   ])
    """
    steps = np.geomspace(SMALLEST, LARGEST, TARGETS)
    return np.unique([*(float(f"{risk:.2g}") for risk in steps), target_risk])


def explore(
    models: Sequence[ModelData], details: Mapping[str, Detail], target_risk: float, delta: float
) -> dict[str, Any]:
    """Return everything that the sliders show, one entry for each curve."""
    risks = targets(target_risk)
    found = [
        _curve(model, curve, details.get(model.result.name), risks)
        for model in models
        for curve in model.curves
    ]
    return {
        "targets": risks,
        "shown": [typeset(exact_percent(risk)) for risk in risks],
        "target": typeset(exact_percent(target_risk)),
        "confidence": typeset(confidence_level(delta)),
        "measured": measured(model.result for model in models),
        "start": int(np.flatnonzero(risks == target_risk)[0]),
        "curves": found,
    }


def _curve(model: ModelData, curve: Curve, detail: Detail | None, risks: Array) -> dict[str, Any]:
    m, before = model.result, curve.stage == "before"
    c, score = (m.msp, m.tuned.baseline) if before else (m.confidence, m.tuned.score)
    band = None if detail is None else getattr(detail, curve.stage)
    fits = m.threshold is not None and curve is model.curves[-1]
    fitted = [m.threshold] if fits else []
    at = positions(c, m.loss, curve.whole, risks, [fitted, [] if band is None else band.threshold])
    return {
        "model": m.name,
        "name": f"{m.name}, {curve.score}",
        "whose": whose(m),
        "colour": colour(model.index),
        "dash": dash(model, curve),
        "n": m.n,
        **at._asdict(),
        "rules": [typeset(at_least(score, t)) for t in at.threshold],
        "at_target": at_targets(curve.whole, at, risks),
        "fitted": place(at, fitted[0]) if fits else NONE,
        "void": m.selection.guarantee.void,
        "limits": None if band is None else limits(band, at, risks),
        "tables": [] if detail is None else tables(detail, c, m.loss, at),
    }


def positions(
    confidence: Float32[Array, " n"],
    loss: Float[Array, " n"],
    whole: RiskCoverage,
    risks: Float[Array, " r"],
    others: Sequence[ArrayLike] = (),
) -> Positions:
    """Return reachable thresholds at even coverages and at each target risk, and the others given.

    >>> from recuse import curves
    >>> c, loss = np.float32([3, 2, 1]), np.array([0.0, 0.0, 1.0])
    >>> positions(c, loss, curves.risk_coverage(c, loss), np.array([0.4])).errors
    array([0, 0, 1])
    """
    even = np.searchsorted(whole.coverage, np.linspace(0, 1, LEVELS + 1)[1:])
    reached = [np.flatnonzero(whole.risk <= risk)[-1:] for risk in risks]
    stops = np.unique(np.concatenate([[0], even, *reached]).clip(max=len(whole.risk) - 1))
    stops_at = np.concatenate([whole.threshold[stops.astype(int)], *others])
    threshold = np.unique(stops_at.astype(np.float32))[::-1]
    return Positions(threshold, *counts(confidence, loss, threshold))


def at_targets(whole: RiskCoverage, at: Positions, risks: Float[Array, " r"]) -> list[int]:
    """Return the position of `curves.coverage_at_risk` at each target; NONE if there is none."""
    reached = [whole.accepted[whole.risk <= risk][-1:] for risk in risks]
    return [int(np.searchsorted(at.accepted, k[0])) if k.size else NONE for k in reached]


def place(at: Positions, threshold: float) -> int:
    """Return the position of a threshold that is a stop."""
    return int(np.flatnonzero(at.threshold == np.float32(threshold))[0])


def limits(band: Band, at: Positions, risks: Array) -> dict[str, Any]:
    """Return the limits of a band, and which of them holds at each position and each target."""
    of_targets = [band.threshold_for(risk) for risk in risks]
    return {
        "upper": band.upper,
        "shown": [typeset(upper_percent(x)) for x in band.upper],
        "position": [place(at, t) for t in band.threshold],
        "of": np.searchsorted(-band.threshold, -at.threshold, side="right") - 1,  # as `Band.at`
        "of_target": [place(at, t) if np.isfinite(t) else NONE for t in of_targets],
        "points": band.points,
    }


def tables(detail: Detail, c: Array, loss: Array, at: Positions) -> list[dict[str, Any]]:
    """Return counts by label, predicted class and subgroup, at every position."""
    of, codes = {}, {}
    if detail.classes:
        names = np.array(detail.classes)
        codes = {"True class": detail.labels, "Predicted class": detail.predicted}
        of = {kind: names[code] for kind, code in codes.items()}
    if detail.subgroups is not None:
        of["Subgroup"], codes["Subgroup"] = detail.subgroups, detail.subgroups
    return [{"kind": kind, **table(of[kind], codes[kind], c, loss, at)} for kind in of]


def table(
    name: Shaped[Array, " n"], code: Shaped[Array, " n"], c: Array, loss: Array, at: Positions
) -> dict[str, Any]:
    """Return name, size and counts of each row at every position.

    If there are many rows, those with the most errors are kept; the last row counts the others.
    """
    _, first, row = np.unique(code, return_index=True, return_inverse=True)
    names, row = [str(name[i]) for i in first], row.reshape(-1)
    merged, kept = shown(names, np.bincount(row, loss), MANY)
    row, names = merged[row], list(kept)
    g, stop = len(names), np.searchsorted(-at.threshold, -c, side="left")
    accepted, errors = (_running(row, stop, rows, g, len(at.threshold)) for rows in (..., loss > 0))
    size = np.bincount(row, minlength=g)
    return {"names": names, "size": size, "accepted": accepted, "errors": errors}


def _running(row: Array, stop: Array, rows: Any, g: int, m: int) -> Int[Array, "g m"]:
    """Count how many of the given predictions each row has accepted at every position."""
    row, stop = row[rows], stop[rows]
    held = np.bincount(row[stop < m] * m + stop[stop < m], minlength=g * m)
    return held.reshape(g, m).cumsum(axis=1)
