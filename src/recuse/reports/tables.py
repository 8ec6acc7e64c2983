"""The tables that stand behind the charts: every picture can be read without seeing it."""

from __future__ import annotations

import math
from typing import Any

from recuse.reports.notation import Table, count, level, logit, number, percent
from recuse.reports.prepare import COVERAGES, ModelData
from recuse.scores import as_probability


def curve_table(models: tuple[ModelData, ...]) -> Table:
    """Risk at fixed coverages, one row for each curve."""
    rows = [
        (f"{m.result.name}, {curve.score}", *map(percent, curve.risks))
        for m in models
        for curve in m.curves
    ]
    header = ("Coverage", *map(level, COVERAGES))
    return Table("Risk at the smallest reachable coverage that is at least as large", header, rows)


def fitted_rows(explore: dict[str, Any], *, limits: bool) -> list[list[str]]:
    """What each fitted threshold does, as the page's script writes it once it runs."""
    fitted = [curve for curve in explore["curves"] if curve["fitted"] >= 0]
    return [_counted(c) + _limited(c, explore["start"]) * limits for c in fitted]


def _counted(curve: dict[str, Any]) -> list[str]:
    k, n = curve["fitted"], curve["n"]
    accepted, errors = int(curve["accepted"][k]), int(curve["errors"][k])
    counts = map(count, (accepted, n - accepted, errors))
    risk = percent(errors / accepted if accepted else math.nan)
    return [curve["name"], curve["rules"][k], percent(accepted / n), *counts, risk]


def _limited(curve: dict[str, Any], target: int) -> list[str]:
    """The limit of the risk, and the coverage promised at a target, where there are any."""
    if (found := curve["limits"]) is None:
        return ["none", "none"]
    of, promised = found["of"][curve["fitted"]], found["of_target"][target]
    upper = found["shown"][of] if of >= 0 else "none"
    covered = percent(curve["accepted"][promised] / curve["n"]) if promised >= 0 else "none"
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
    rows = [(percent(q), percent(right), count(n)) for q, right, n in zip(*model.reliability)]
    return Table("Reliability of MSP", ("Mean MSP", "Fraction right", "Count"), rows)


def histogram_table(model: ModelData) -> Table:
    """Right and wrong predictions in every bin of the chosen score."""
    edge, right, wrong = model.histogram[:3]
    rows = [
        (f"{number(low)} to {number(high)}", count(int(r)), count(int(w)))
        for low, high, r, w in zip(edge, edge[1:], right, wrong)
        if r or w
    ]
    return Table("Predictions by the chosen score", ("Score", "Right", "Wrong"), rows)


def split_table(models: tuple[ModelData, ...]) -> Table:
    """Sizes and digests of the splits."""
    rows = [
        (m.result.name, split, count(m.result.sizes[split]), m.result.digests[split])
        for m in models
        for split in ("tune", "calibrate", "test")
    ]
    return Table("Predictions and digest of each split", ("Model", "Split", "Size", "Digest"), rows)
