"""Vega-Lite specifications of the charts.

Colours are CSS variables of the page, so that one drawing serves light, dark and print. Data is
named, and comes from `prepare.datasets`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from recuse.present.page import scale
from recuse.reports.details import Detail
from recuse.reports.prepare import ModelData
from recuse.tuning import MSP

LINEAR_BELOW = 0.001  # risk under which the log axis is linear, so that 0 has a place
RISKS = (0, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1)
STEADY = 0.01  # coverage from which on the risk axis shows every point
PERCENT = "format(100 * datum.value, '.8~r') + '\u00a0%'"  # labels as the text writes them
ABSOLUTE = PERCENT.replace("datum.value", "abs(datum.value)")
NINES = tuple(1 - 10.0**-k for k in range(2, 9))
PROBABILITIES = (0.001, 0.01, 0.05, 0.1, 0.2, 0.3, 0.5, 0.7, 0.8, 0.9, 0.95, *NINES)

Spec = dict[str, Any]  # Vega-Lite, of a chart or of a part of one

ZERO: Spec = {"datum": 0}
SHOWN: Spec = {"opacity": 1, "clip": True}  # points that stay visible
POINT = [  # the tooltip of a point of a curve
    {"field": "model", "type": "nominal"},
    {"field": "score", "type": "nominal"},
    {"field": "coverage", "type": "quantitative", "format": ".2%"},
    {"field": "risk", "type": "quantitative", "format": ".3~%"},
    {"field": "threshold", "type": "quantitative", "format": ".7~g"},
]
FRAME: Spec = {
    "width": "container",
    "config": {
        "background": "transparent",
        "font": "system-ui, sans-serif",
        "view": {"stroke": None},
        "axis": {
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
        },
    },
}


def charts(
    models: tuple[ModelData, ...], target_risk: float, details: Mapping[str, Detail]
) -> dict[str, Spec]:
    """Return every chart of the page by the id of its element."""
    out = {
        "headline": headline(models, target_risk),
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
            None if m.result.threshold is None or m.point is None else f"threshold-{i}",
            scale(score),
            log_odds=score == MSP or score.fitted,
        )
        if m.reliability is not None:
            out[f"reliability-{i}"] = reliability(f"reliability-{i}", m.result.baseline)
    return {name: FRAME | chart for name, chart in out.items()}


def _has_ceiling(detail: Detail | None) -> bool:
    """Whether the fitted smoothing is significant."""
    return detail is not None and detail.smoothing is not None and detail.smoothing.low > 0


def _number(field: str, **rest: Any) -> Spec:
    """A channel that shows a column of numbers."""
    return {"field": field, "type": "quantitative", **rest}


def _name(field: str, **rest: Any) -> Spec:
    """A channel that shows a column of names."""
    return {"field": field, "type": "nominal", **rest}


def _as_given(field: str) -> Spec:
    """A channel whose column holds the very colour, dash or shape."""
    return _name(field, scale=None)


def _layer(data: str, mark: str, look: Spec, /, **channels: Any) -> Spec:
    """A mark for each row of the data."""
    return {"data": {"name": data}, "mark": {"type": mark, **look}, "encoding": channels}


def risk_coverage(models: tuple[ModelData, ...], target_risk: float, *, log: bool) -> Spec:
    """Draw the risk-coverage curves of every model; MSP is dashed where it was replaced.

    Three layers follow the sliders: the limits of the selected curve, the target risk, and the
    points of all curves.
    """
    axes, tint = _axes(_highest_risk(models, target_risk), log), _as_given("colour")
    lines, target, fitted = _curves(axes)
    # Not `nearest`: Vega-Lite 6 then loses the text fields of the tooltip.
    hover = {"type": "point", "on": "pointerover", "clear": "pointerout"}
    shown = {"condition": {"param": "hovered", "empty": False, "value": 0.5}, "value": 0}
    dot = {"filled": True, "size": 260, "strokeWidth": 0, "clip": True, "aria": False}
    dots = _layer("curves", "point", dot, **axes, color=tint, opacity=shown, tooltip=POINT)
    dots["params"] = [{"name": "hovered", "select": hover}]
    ring = {"shape": "circle", "filled": False, "size": 190, "strokeWidth": 3}
    now = _layer("now", "point", ring | SHOWN, **axes, stroke=tint, tooltip=POINT)
    return {"height": 340, "layer": [_limits(axes["x"]), target, lines, dots, fitted, now]}


def headline(models: tuple[ModelData, ...], target_risk: float) -> Spec:
    """Draw the curves of the first screen: the target risk and what is deployed, no sliders."""
    lines, target, fitted = _curves(_axes(_highest_risk(models, target_risk), log=False))
    return {"height": "container", "layer": [target, lines, fitted]}


def _curves(axes: Spec) -> tuple[Spec, Spec, Spec]:
    """Return the curves of every model, the target risk and the fitted thresholds."""
    line = {"strokeWidth": 2, "clip": True, "aria": False}
    look = {"color": _as_given("colour"), "strokeDash": _as_given("dash")}
    lines = _layer("curves", "line", line, **axes, **look, detail=_name("series"))
    rule = {"strokeDash": [2, 3], "stroke": "var(--muted)", "clip": True, "aria": False}
    target = _layer("target_risk", "rule", rule, y=_number("risk"))
    disc = {"filled": True, "size": 110, "stroke": "var(--paper)", "strokeWidth": 2}
    fitted = _layer("fitted", "point", disc | SHOWN, **axes, fill=look["color"], tooltip=POINT)
    return lines, target, fitted


def _limits(x: Spec) -> Spec:
    """Draw the limit of the risk of one curve as a step."""
    look = {"strokeWidth": 1, "clip": True, "interpolate": "step-after", "aria": False}
    return _layer("limits", "line", look, x=x, y=_number("upper"), color=_as_given("colour"))


def _axes(highest: float, log: bool) -> Spec:
    """Coverage from 0 to 1, risk up to `highest`."""
    whole = {"domain": [0, 1], "nice": False, "padding": 8}  # room for half a point at either end
    labels = {"labelExpr": PERCENT, "tickCount": 6}
    x = _number("coverage", title="Coverage", scale=whole, axis=labels | {"labelFlush": False})
    risk: Spec = {"domain": [0, highest], "nice": False}
    if not log:
        return {"x": x, "y": _number("risk", title="Risk", scale=risk, axis=labels)}
    risk |= {"type": "symlog", "constant": LINEAR_BELOW}
    ticks = {"labelExpr": PERCENT, "values": [r for r in RISKS if r <= highest]}
    return {"x": x, "y": _number("risk", title="Risk, log scale", scale=risk, axis=ticks)}


def _highest_risk(models: tuple[ModelData, ...], target_risk: float) -> float:
    """Return the top of the risk axis, which ignores the first few predictions of a curve."""
    risks = [target_risk]
    for m in models:
        for curve in m.curves:
            risks.append(curve.points.risk[curve.points.coverage >= STEADY].max(initial=0))
    return min(1.0, 1.1 * max(risks))


def fingerprint(data: str, ceiling: str | None, *, wrong: bool) -> Spec:
    """Maximum logit of right and wrong predictions, less the mean of right ones of equal MSP."""
    whole = {"zero": False, "nice": False, "padding": 8}
    x = _number("msp", title="MSP", scale=whole, axis=probability_axis())
    title = "Maximum logit, minus mean of right"
    low = _number("low", title=title, scale={"zero": False})
    ends = {"x": x, "y": low, "y2": {"field": "high"}}
    area = {"opacity": 0.15, "fill": "var(--right)", "aria": False}
    band = _layer(data, "area", area, **ends) | _only("right")
    rule = {"opacity": 0.5, "stroke": "var(--wrong)", "aria": False}
    bars = _layer(data, "rule", rule, **ends) | _only("wrong")
    means = {"x": x, "y": _number("excess"), "color": _as_given("colour")}
    dash = _as_given("dash")
    look = {"strokeWidth": 2, "aria": False}
    line = _layer(data, "line", look, **means, strokeDash=dash, detail=_name("kind"))
    tooltip = [
        _name("kind", title="predictions"),
        _number("probability", title="MSP", format=".4~p"),
        _number("mean", title="mean maximum logit", format=".3f"),
        _number("excess", title="above right ones", format="+.3f"),
        _number("spread", format=".3f"),
        _number("count", format=","),
    ]
    dot = {"filled": True, "size": 36, "opacity": 1}
    dots = _layer(data, "point", dot, **means, shape=_as_given("shape"), tooltip=tooltip)
    layers = [band, *[bars] * wrong, line, dots, *_rule(ceiling, x)]  # Vega warns of empty ones
    return {"height": 300, "layer": layers}


def _only(kind: str) -> Spec:
    """Leave out the rows of the other kind."""
    return {"transform": [{"filter": f"datum.kind == '{kind}'"}]}


def _rule(data: str | None, x: Spec) -> list[Spec]:
    """A dotted vertical line, if there is anything to mark."""
    if data is None:
        return []
    look = {"stroke": "var(--ink)", "strokeWidth": 1.5, "strokeDash": [1, 3]}
    return [_layer(data, "rule", look, x=x)]


def probability_axis() -> Spec:
    """Log-odds, labelled as probabilities."""
    return {
        "values": np.log(np.array(PROBABILITIES) / (1 - np.array(PROBABILITIES))).tolist(),
        "labelExpr": PERCENT.replace("datum.value", "1 / (1 + exp(-datum.value))"),
        "labelOverlap": "greedy",
        "labelSeparation": 20,
    }


def histogram(data: str, threshold: str | None, title: str, *, log_odds: bool) -> Spec:
    """Shares of right predictions upwards and of wrong ones downwards, by the chosen score."""
    axis = probability_axis() if log_odds else {"tickCount": 6, "format": "~g"}
    shares = {"labelExpr": ABSOLUTE, "tickCount": 6}
    bars = _layer(
        data,
        "rect",
        {"opacity": 0.8, "stroke": "var(--paper)", "strokeWidth": 0.5, "aria": False},
        x=_number("start", title=title, scale={"zero": False, "nice": False}, axis=axis),
        x2={"field": "end"},
        y=_number("height", title="Wrong  |  Right", axis=shares),
        y2=ZERO,
        fill=_as_given("colour"),
        tooltip=[
            _name("kind", title="predictions"),
            _number("start", title="score from", format=".6~g"),
            _number("end", title="to", format=".6~g"),
            _number("count", format=","),
            _number("share", title="share", format=".2%"),
        ],
    )
    return {"height": 220, "layer": [bars, *_rule(threshold, _number("score"))]}


def reliability(data: str, stated: str) -> Spec:
    """Stated against observed probability of being right, over the share of predictions."""
    axis = {
        "scale": {"domain": [0, 1], "nice": False},
        "axis": {"labelExpr": PERCENT, "tickCount": 5, "labelFlush": False},
    }
    tooltip = [
        _number("probability", title=f"mean {stated}", format=".2%"),
        _number("accuracy", title="fraction right", format=".2%"),
        _number("count", format=","),
        _number("share", title="share of predictions", format=".2%"),
    ]
    bars = _layer(
        data,
        "rect",
        {"fill": "var(--faint)", "aria": False},
        x=_number("start", title=stated, **axis),
        x2={"field": "end"},
        y=_number("share", title="Fraction right", **axis),
        y2=ZERO,
        tooltip=tooltip,
    )
    thin = {"stroke": "var(--muted)", "strokeWidth": 1, "strokeDash": [2, 3], "aria": False}
    diagonal = _layer("diagonal", "line", thin, x=_number("x"), y=_number("y"))
    at = {"x": _number("probability"), "y": _number("accuracy", title="Fraction right", **axis)}
    line = _layer(data, "line", {"strokeWidth": 2, "stroke": "var(--right)", "aria": False}, **at)
    dot = {"filled": True, "size": 44, "opacity": 1, "color": "var(--right)"}
    dots = _layer(data, "point", dot, **at, tooltip=tooltip)
    return {"height": 280, "layer": [bars, diagonal, line, dots]}
