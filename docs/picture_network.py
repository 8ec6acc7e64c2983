"""Draw docs/images/network.svg: what a norm of the logits does for a public ImageNet network.

python docs/picture_network.py
"""

from pathlib import Path

import altair as alt

import recuse as rc

GREY, BLUE, TARGET = "#6b7280", "#0072B2", 0.05
TITLE = "A public ImageNet network, 5 % of the answers wrong"
SCORES = {
    "maximum softmax probability": (rc.scores.Score("msp"), GREY, [6, 4]),
    "repaired: divided by the 4-norm": (
        rc.scores.Score("logit_norm", {"p": 4, "center": True}),
        BLUE,
        [1, 0],
    ),
}
SHARE = alt.Axis(labelExpr="format(100 * datum.value, '~g') + ' %'", tickCount=5)


def main() -> None:
    """Draw both curves, and what each answers at 5 % wrong."""
    file = rc.datasets.imagenet_lite2()
    rows, points = [], []
    for name, (score, *_) in SCORES.items():
        confidence = score(file.logits)
        curve = rc.risk_coverage(confidence, file.loss)
        rows += [
            {"coverage": c, "risk": r, "score": name}
            for c, r in zip(curve.coverage.tolist(), curve.risk.tolist())
        ]
        reached = rc.coverage_at_risk(confidence, file.loss, TARGET)
        shown = f"{100 * reached:.0f} % answered"
        points.append(
            {
                "coverage": reached,
                "risk": TARGET,
                "score": name,
                "shown": shown,
            }
        )
    look = {"domain": list(SCORES), "range": [colour for _, colour, _ in SCORES.values()]}
    dashes = {"domain": list(SCORES), "range": [dash for *_, dash in SCORES.values()]}
    legend = alt.Legend(
        orient="top-left", title=None, labelLimit=400, symbolSize=900, symbolType="stroke", offset=8
    )
    x = alt.X("coverage:Q", title="answered", axis=SHARE).scale(domain=[0, 1], nice=False)
    y = alt.Y("risk:Q", title="of the answers, wrong", axis=SHARE).scale(domain=[0, 0.27])
    colour = alt.Color("score:N", legend=legend).scale(**look)
    base = alt.Chart(alt.Data(values=rows)).encode(x, y, colour)
    lines = base.mark_line(strokeWidth=3, clip=True).encode(
        alt.StrokeDash("score:N", legend=legend).scale(**dashes)
    )
    target = alt.Chart(alt.Data(values=points[:1])).mark_rule(strokeDash=[2, 3]).encode(y)
    marked = alt.Chart(alt.Data(values=points)).encode(x, y, colour)
    dots = marked.mark_point(filled=True, size=140, opacity=1)
    names = [
        alt.Chart(alt.Data(values=[point]))
        .mark_text(align=align, dx=dx, dy=dy, fontSize=17, fontWeight="bold")
        .encode(x, y, colour, text="shown:N")
        for point, align, dx, dy in zip(points, ("right", "left"), (-8, 10), (-14, 18))
    ]
    chart = alt.layer(target, lines, dots, *names).properties(width=640, height=330, title=TITLE)
    chart = chart.configure_view(stroke=None).configure_axis(
        gridColor="#e6e6e6", labelFontSize=15, titleFontSize=16, titleFontWeight="normal"
    )
    chart = chart.configure_legend(labelFontSize=16).configure_title(
        fontSize=18, offset=12, anchor="start"
    )
    path = Path(__file__).parent / "images" / "network.svg"
    chart.properties(background="white", padding=14).save(path)
    print(f"wrote {path}")


if __name__ == "__main__":
    main()
