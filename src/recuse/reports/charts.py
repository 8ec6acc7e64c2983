"""Vega-Lite specifications of the report's charts, built with Altair.

Colours are CSS variables of the page, so that light, dark and print need one drawing. Data
is named, and comes from `datasets`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from recuse.reports import words
from recuse.reports.bin_charts import PERCENT, fingerprint, histogram, reliability
from recuse.reports.details import Detail
from recuse.reports.prepare import ModelData
from recuse.tuning import MSP

if TYPE_CHECKING:
    import altair as alt

LINEAR_BELOW = 0.001  # risk under which the log axis is linear, so that 0 has a place
RISKS = (0, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1)
STEADY = 0.01  # coverage from which on the risk axis shows every point


def charts(
    models: tuple[ModelData, ...], target_risk: float, details: Mapping[str, Detail]
) -> dict[str, dict[str, Any]]:
    """Every chart of the page by the id of its element."""
    out = {
        "curves-linear": risk_coverage(models, target_risk, log=False),
        "curves-log": risk_coverage(models, target_risk, log=True),
    }
    for i, m in enumerate(models):
        score = m.result.tuned.score
        if m.fingerprint.drawn:
            ceiling = f"ceiling-{i}" if words.ceiling(details.get(m.result.name)) else None
            wrong = len(m.fingerprint.wrong.msp) > 0
            out[f"fingerprint-{i}"] = fingerprint(f"fingerprint-{i}", ceiling, wrong=wrong)
        out[f"histogram-{i}"] = histogram(
            f"histogram-{i}",
            None if m.point is None else f"threshold-{i}",
            words.scale(score),
            log_odds=score == MSP or score.fitted,
        )
        out[f"reliability-{i}"] = reliability(f"reliability-{i}")
    return {name: _finish(chart) for name, chart in out.items()}


def risk_coverage(
    models: tuple[ModelData, ...], target_risk: float, *, log: bool
) -> alt.LayerChart:
    """Risk-coverage curves of every model; MSP dashed where it was replaced.

    Three layers follow the sliders: the limits of the curve looked at, the target risk, and
    the points of all curves.
    """
    import altair as alt

    x, y = _axes(_highest_risk(models, target_risk), log)
    base = alt.Chart(alt.NamedData("curves")).encode(x, y)
    tint = alt.Color("colour:N", scale=None)
    tooltip = [
        alt.Tooltip("model:N"),
        alt.Tooltip("score:N"),
        alt.Tooltip("coverage:Q", format=".2%"),
        alt.Tooltip("risk:Q", format=".3~%"),
        alt.Tooltip("threshold:Q", format=".7~g"),
    ]
    lines = base.mark_line(strokeWidth=2, clip=True, aria=False).encode(
        tint, detail="series:N", strokeDash=alt.StrokeDash("dash:N", scale=None)
    )
    # Not `nearest`: Vega-Lite 6 then loses the text fields of the tooltip.
    hovered = alt.selection_point(name="hovered", on="pointerover", clear="pointerout", empty=False)
    shown = alt.when(hovered).then(alt.value(0.5)).otherwise(alt.value(0))
    dots = base.mark_point(filled=True, size=260, strokeWidth=0, clip=True, aria=False)
    dots = dots.encode(tint, opacity=shown, tooltip=tooltip).add_params(hovered)
    target = alt.Chart(alt.NamedData("target_risk")).encode(y=alt.Y("risk:Q"))
    target = target.mark_rule(strokeDash=[2, 3], stroke="var(--muted)", clip=True, aria=False)
    fitted = alt.Chart(alt.NamedData("fitted")).encode(x, y)
    fitted = fitted.mark_point(
        filled=True, size=110, opacity=1, stroke="var(--paper)", strokeWidth=2, clip=True
    ).encode(alt.Fill("colour:N", scale=None), tooltip=tooltip)
    layers = (_limits(x, y), target, lines, dots, fitted, _now(x, y, tooltip))
    return alt.layer(*layers).properties(height=340)


def _limits(x: alt.X, y: alt.Y) -> alt.Chart:
    """Where the risk of one curve lies, with the confidence of the page: under its limit."""
    import altair as alt

    area = alt.Chart(alt.NamedData("limits")).encode(x, alt.Y("upper:Q"), y2=alt.Y2Datum(0))
    area = area.mark_area(opacity=0.16, clip=True, interpolate="step-after", aria=False)
    return area.encode(alt.Fill("colour:N", scale=None))


def _now(x: alt.X, y: alt.Y, tooltip: list[alt.Tooltip]) -> alt.Chart:
    """A ring around the point of each curve that the sliders are at."""
    import altair as alt

    rings = alt.Chart(alt.NamedData("now")).encode(x, y, alt.Stroke("colour:N", scale=None))
    return rings.mark_point(
        shape="circle", filled=False, size=190, strokeWidth=3, opacity=1, clip=True
    ).encode(tooltip=tooltip)


def _axes(highest: float, log: bool) -> tuple[alt.X, alt.Y]:
    """Coverage from 0 to 1, risk up to `highest`."""
    import altair as alt

    whole = alt.Scale(domain=[0, 1], nice=False, padding=8)  # room for half a point at either end
    x = alt.X("coverage:Q", title="Coverage", scale=whole)
    x = x.axis(labelExpr=PERCENT, tickCount=6, labelFlush=False)
    if not log:
        risk = alt.Scale(domain=[0, highest], nice=False)
        return x, alt.Y("risk:Q", title="Risk", scale=risk).axis(labelExpr=PERCENT, tickCount=6)
    risk = alt.Scale(type="symlog", constant=LINEAR_BELOW, domain=[0, highest], nice=False)
    ticks = [r for r in RISKS if r <= highest]
    y = alt.Y("risk:Q", title="Risk, log scale", scale=risk)
    return x, y.axis(labelExpr=PERCENT, values=ticks)


def _finish(chart: alt.LayerChart) -> dict[str, Any]:
    axis = {
        "domain": False,
        "ticks": False,
        "gridColor": "var(--line)",
        "labelColor": "var(--muted)",
        "titleColor": "var(--ink)",
        "labelFontSize": 12,
        "titleFontSize": 12,
        "titleFontWeight": "normal",
        "labelPadding": 6,
        "titlePadding": 10,
    }
    whole = chart.properties(width="container").configure(
        background="transparent", font="system-ui, sans-serif", axis=axis, view={"stroke": None}
    )
    spec = whole.to_dict(validate=False)  # half of the time; the browser's tests draw them
    del spec["$schema"]
    return spec


def _highest_risk(models: tuple[ModelData, ...], target_risk: float) -> float:
    """The top of the risk axis: the first few predictions of a curve do not set it."""
    risks = [target_risk]
    for m in models:
        for curve in m.curves:
            risks.append(curve.points.risk[curve.points.coverage >= STEADY].max(initial=0))
    return min(1.0, 1.1 * max(risks))
