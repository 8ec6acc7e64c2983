"""Vega-Lite specifications of the report's charts, built with Altair.

Colours are CSS variables of the page, so that light, dark and print need one drawing. Data
is named, and comes from `datasets`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from recuse.report.bin_charts import PERCENT, fingerprint, reliability
from recuse.report.prepare import ModelData

if TYPE_CHECKING:
    import altair as alt

LOW = 0.5  # largest coverage of the low-coverage view
LINEAR_BELOW = 0.001  # risk under which the log axis is linear, so that 0 has a place
RISKS = (0, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1)
STEADY = 0.01  # coverage from which on the risk axis shows every point


def charts(models: tuple[ModelData, ...], target_risk: float) -> dict[str, dict[str, Any]]:
    """Every chart of the page by the id of its element."""
    out = {
        "curves-whole": risk_coverage(models, target_risk, low=False),
        "curves-low": risk_coverage(models, target_risk, low=True),
    }
    for i in range(len(models)):
        out[f"fingerprint-{i}"] = fingerprint(f"fingerprint-{i}")
        out[f"reliability-{i}"] = reliability(f"reliability-{i}")
    return {name: _finish(chart) for name, chart in out.items()}


def risk_coverage(
    models: tuple[ModelData, ...], target_risk: float, *, low: bool
) -> alt.LayerChart:
    """Risk-coverage curves of every model; MSP dashed where it was replaced.

    `low` shows the low coverages, with the risk on a logarithmic scale.
    """
    import altair as alt

    largest = LOW if low else 1
    x, y = _axes(largest, _highest_risk(models, target_risk, largest), low)
    visible = f"datum.coverage <= {largest}"
    base = alt.Chart(alt.NamedData("curves")).transform_filter(visible).encode(x, y)
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
    target = target.mark_rule(strokeDash=[2, 3], stroke="var(--muted)", aria=False)
    fitted = alt.Chart(alt.NamedData("fitted")).transform_filter(visible).encode(x, y)
    fitted = fitted.mark_point(
        filled=True, size=110, opacity=1, stroke="var(--paper)", strokeWidth=2, clip=True
    ).encode(alt.Fill("colour:N", scale=None), tooltip=tooltip)
    return alt.layer(target, lines, dots, fitted).properties(height=320)


def _axes(largest: float, highest: float, low: bool) -> tuple[alt.X, alt.Y]:
    """Coverage up to `largest`, risk up to `highest`."""
    import altair as alt

    coverage = alt.Scale(domain=[0, largest], nice=False)
    x = alt.X("coverage:Q", title="Coverage", scale=coverage)
    x = x.axis(labelExpr=PERCENT, tickCount=6)
    if not low:
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
    spec = whole.to_dict()
    del spec["$schema"]
    return spec


def _highest_risk(models: tuple[ModelData, ...], target_risk: float, coverage: float) -> float:
    """The top of the risk axis: the first few predictions of a curve do not set it."""
    risks = [target_risk]
    for m in models:
        for curve in m.curves:
            c = curve.points
            risks.append(c.risk[(c.coverage >= STEADY) & (c.coverage <= coverage)].max(initial=0))
    return min(1.0, 1.1 * max(risks))
