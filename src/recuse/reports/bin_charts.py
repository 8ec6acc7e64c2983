"""The charts over bins, of one model: the fingerprint, the histogram and the reliability."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import altair as alt

PERCENT = "format(100 * datum.value, '.8~r') + '\u00a0%'"  # labels as the text writes them
ABSOLUTE = PERCENT.replace("datum.value", "abs(datum.value)")
NINES = tuple(1 - 10.0**-k for k in range(2, 9))
PROBABILITIES = (0.001, 0.01, 0.05, 0.1, 0.2, 0.3, 0.5, 0.7, 0.8, 0.9, 0.95, *NINES)


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


def reliability(data: str) -> alt.LayerChart:
    """Stated against observed probability of being right, over the share of predictions."""
    import altair as alt

    unit = alt.Scale(domain=[0, 1], nice=False)
    percent = alt.Axis(labelExpr=PERCENT, tickCount=5, labelFlush=False)
    y = alt.Y("accuracy:Q", title="Fraction right", scale=unit, axis=percent)
    tooltip = [
        alt.Tooltip("probability:Q", title="mean MSP", format=".2%"),
        alt.Tooltip("accuracy:Q", title="fraction right", format=".2%"),
        alt.Tooltip("count:Q", format=","),
        alt.Tooltip("share:Q", title="share of predictions", format=".2%"),
    ]
    base = alt.Chart(alt.NamedData(data))
    bars = base.mark_rect(fill="var(--faint)", aria=False).encode(
        x=alt.X("start:Q", title="MSP", scale=unit, axis=percent),
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
