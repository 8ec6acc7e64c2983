"""Vega-Lite specifications of the charts, built with Altair.

Colours are CSS variables of the page, so that one drawing serves light, dark and print. Data is
named, and comes from `prepare.datasets`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from recuse.present.page import scale
from recuse.reports.details import Detail
from recuse.reports.prepare import ModelData
from recuse.tuning import MSP

if TYPE_CHECKING:
    import altair as alt

LINEAR_BELOW = 0.001  # risk under which the log axis is linear, so that 0 has a place
RISKS = (0, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1)
STEADY = 0.01  # coverage from which on the risk axis shows every point
PERCENT = "format(100 * datum.value, '.8~r') + '\u00a0%'"  # labels as the text writes them
ABSOLUTE = PERCENT.replace("datum.value", "abs(datum.value)")
NINES = tuple(1 - 10.0**-k for k in range(2, 9))
PROBABILITIES = (0.001, 0.01, 0.05, 0.1, 0.2, 0.3, 0.5, 0.7, 0.8, 0.9, 0.95, *NINES)


def charts(
    models: tuple[ModelData, ...], target_risk: float, details: Mapping[str, Detail]
) -> dict[str, dict[str, Any]]:
    """Return every chart of the page by the id of its element."""
    out = {
        "curves-linear": risk_coverage(models, target_risk, log=False),
        "curves-log": risk_coverage(models, target_risk, log=True),
    }
    for i, m in enumerate(models):
        score = m.result.tuned.score
        if m.fingerprint.drawn:
            ceiling = f"ceiling-{i}" if _has_ceiling(details.get(m.result.name)) else None
            wrong = len(m.fingerprint.wrong.msp) > 0
            out[f"fingerprint-{i}"] = fingerprint(f"fingerprint-{i}", ceiling, wrong=wrong)
        out[f"histogram-{i}"] = histogram(
            f"histogram-{i}",
            None if m.point is None else f"threshold-{i}",
            scale(score),
            log_odds=score == MSP or score.fitted,
        )
        if m.reliability is not None:
            out[f"reliability-{i}"] = reliability(f"reliability-{i}", m.result.baseline)
    return {name: _finish(chart) for name, chart in out.items()}


def _has_ceiling(detail: Detail | None) -> bool:
    """Whether the fitted smoothing is significant."""
    return detail is not None and detail.smoothing is not None and detail.smoothing.low > 0


def risk_coverage(
    models: tuple[ModelData, ...], target_risk: float, *, log: bool
) -> alt.LayerChart:
    """Draw the risk-coverage curves of every model; MSP is dashed where it was replaced.

    Three layers follow the sliders: the limits of the selected curve, the target risk, and the
    points of all curves.
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
    """Shade the area below the limit of the risk of one curve."""
    import altair as alt

    area = alt.Chart(alt.NamedData("limits")).encode(x, alt.Y("upper:Q"), y2=alt.Y2Datum(0))
    area = area.mark_area(opacity=0.16, clip=True, interpolate="step-after", aria=False)
    return area.encode(alt.Fill("colour:N", scale=None))


def _now(x: alt.X, y: alt.Y, tooltip: list[alt.Tooltip]) -> alt.Chart:
    """Draw a ring around the point of each curve at the sliders."""
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
    """Return the top of the risk axis, which ignores the first few predictions of a curve."""
    risks = [target_risk]
    for m in models:
        for curve in m.curves:
            risks.append(curve.points.risk[curve.points.coverage >= STEADY].max(initial=0))
    return min(1.0, 1.1 * max(risks))


def fingerprint(data: str, ceiling: str | None, *, wrong: bool) -> alt.LayerChart:
    """Maximum logit of right and wrong predictions, less the mean of right ones of equal MSP."""
    import altair as alt

    x = alt.X(
        "msp:Q",
        title="MSP",
        scale=alt.Scale(zero=False, nice=False, padding=8),
        axis=probability_axis(),
    )
    scale = alt.Scale(zero=False)
    tint = alt.Color("colour:N", scale=None)
    base = alt.Chart(alt.NamedData(data)).encode(x)
    low = alt.Y("low:Q", title="Maximum logit, minus mean of right", scale=scale)
    band = (
        base.transform_filter("datum.kind == 'right'")
        .mark_area(opacity=0.15, fill="var(--right)", aria=False)
        .encode(low, y2="high:Q")
    )
    bars = (
        base.transform_filter("datum.kind == 'wrong'")
        .mark_rule(opacity=0.5, stroke="var(--wrong)", aria=False)
        .encode(low, y2="high:Q")
    )
    line = base.mark_line(strokeWidth=2, aria=False).encode(
        tint, y="excess:Q", strokeDash=alt.StrokeDash("dash:N", scale=None), detail="kind:N"
    )
    dots = base.mark_point(filled=True, size=36, opacity=1).encode(
        tint,
        y="excess:Q",
        shape=alt.Shape("shape:N", scale=None),
        tooltip=[
            alt.Tooltip("kind:N", title="predictions"),
            alt.Tooltip("probability:Q", title="MSP", format=".4~p"),
            alt.Tooltip("mean:Q", title="mean maximum logit", format=".3f"),
            alt.Tooltip("excess:Q", title="above right ones", format="+.3f"),
            alt.Tooltip("spread:Q", format=".3f"),
            alt.Tooltip("count:Q", format=","),
        ],
    )
    layers = (band, *[bars] * wrong, line, dots, *_rule(ceiling, x))  # Vega warns of empty ones
    return alt.layer(*layers).properties(height=300)


def _rule(data: str | None, x: alt.X) -> list[alt.Chart]:
    """A dotted vertical line, if there is anything to mark."""
    import altair as alt

    if data is None:
        return []
    line = alt.Chart(alt.NamedData(data)).encode(x=x)
    return [line.mark_rule(stroke="var(--ink)", strokeWidth=1.5, strokeDash=[1, 3])]


def probability_axis() -> alt.Axis:
    """Log-odds, labelled as probabilities."""
    import altair as alt

    ticks = np.log(np.array(PROBABILITIES) / (1 - np.array(PROBABILITIES))).tolist()
    return alt.Axis(
        values=ticks,
        labelExpr=PERCENT.replace("datum.value", "1 / (1 + exp(-datum.value))"),
        labelOverlap="greedy",
        labelSeparation=20,
    )


def histogram(data: str, threshold: str | None, title: str, *, log_odds: bool) -> alt.LayerChart:
    """Shares of right predictions upwards and of wrong ones downwards, by the chosen score."""
    import altair as alt

    axis = probability_axis() if log_odds else alt.Axis(tickCount=6, format="~g")
    scale = alt.Scale(zero=False, nice=False)
    bars = (
        alt.Chart(alt.NamedData(data))
        .mark_rect(opacity=0.8, stroke="var(--paper)", strokeWidth=0.5, aria=False)
        .encode(
            x=alt.X("start:Q", title=title, scale=scale, axis=axis),
            x2="end:Q",
            y=alt.Y(
                "height:Q", title="Wrong  |  Right", axis=alt.Axis(labelExpr=ABSOLUTE, tickCount=6)
            ),
            y2=alt.Y2Datum(0),
            fill=alt.Fill("colour:N", scale=None),
            tooltip=[
                alt.Tooltip("kind:N", title="predictions"),
                alt.Tooltip("start:Q", title="score from", format=".6~g"),
                alt.Tooltip("end:Q", title="to", format=".6~g"),
                alt.Tooltip("count:Q", format=","),
                alt.Tooltip("share:Q", title="share", format=".2%"),
            ],
        )
    )
    return alt.layer(bars, *_rule(threshold, alt.X("score:Q"))).properties(height=220)


def reliability(data: str, stated: str) -> alt.LayerChart:
    """Stated against observed probability of being right, over the share of predictions."""
    import altair as alt

    unit = alt.Scale(domain=[0, 1], nice=False)
    percent = alt.Axis(labelExpr=PERCENT, tickCount=5, labelFlush=False)
    y = alt.Y("accuracy:Q", title="Fraction right", scale=unit, axis=percent)
    tooltip = [
        alt.Tooltip("probability:Q", title=f"mean {stated}", format=".2%"),
        alt.Tooltip("accuracy:Q", title="fraction right", format=".2%"),
        alt.Tooltip("count:Q", format=","),
        alt.Tooltip("share:Q", title="share of predictions", format=".2%"),
    ]
    base = alt.Chart(alt.NamedData(data))
    bars = base.mark_rect(fill="var(--faint)", aria=False).encode(
        x=alt.X("start:Q", title=stated, scale=unit, axis=percent),
        x2="end:Q",
        y=alt.Y("share:Q", title="Fraction right", scale=unit, axis=percent),
        y2=alt.Y2Datum(0),
        tooltip=tooltip,
    )
    diagonal = (
        alt.Chart(alt.NamedData("diagonal"))
        .mark_line(stroke="var(--muted)", strokeWidth=1, strokeDash=[2, 3], aria=False)
        .encode(x="x:Q", y="y:Q")
    )
    line = base.mark_line(strokeWidth=2, stroke="var(--right)", aria=False).encode(
        x="probability:Q", y=y
    )
    dots = base.mark_point(filled=True, size=44, opacity=1, color="var(--right)").encode(
        x="probability:Q", y=y, tooltip=tooltip
    )
    return alt.layer(bars, diagonal, line, dots).properties(height=280)
