"""Draw docs/images/smoothing-conventions.svg: a/K against a/(K - 1).

python docs/picture_smoothing.py
"""

import math
from pathlib import Path

import altair as alt

from recuse.losses.targets import confidence_for_smoothing

SMOOTHING = 0.1
CLASSES = (2, 3, 4, 5, 7, 10, 20, 50, 100, 300, 1000)
# Okabe & Ito, and a dash, for readers who see no colours
STYLES = {
    "uniform": ("a/K on each other class", "#0072B2", [1, 0]),
    "exclude_true": ("a/(K - 1) on each other class", "#D55E00", [6, 3]),
}


def main() -> None:
    """Draw two panels with one legend."""
    chart = (losses() | confidences()).configure_view(stroke=None)
    chart = chart.configure_axis(gridColor="#e6e6e6", titleFontWeight="normal")
    target = Path(__file__).parent / "images" / "smoothing-conventions.svg"
    chart.properties(background="white", padding=12).save(target)
    print(f"wrote {target}")


def losses() -> alt.LayerChart:
    """Loss of two classes against the probability of the label."""
    curves, minima = [], []
    for convention, (name, _, _) in STYLES.items():
        q = confidence_for_smoothing(SMOOTHING, 2, convention)
        for step in range(100):
            p = 0.8 + 0.195 * step / 99
            curves.append({"p": p, "loss": binary_loss(p, q), "convention": name})
        minima.append({"p": q, "loss": binary_loss(q, q), "convention": name, "text": f"{q:.2f}"})
    x = alt.X(
        "p:Q",
        title="probability of the label, K = 2",
        axis=alt.Axis(format=".2f", labelFlush=False, tickCount=5),
    )
    x = x.scale(domain=[0.8, 1.0], nice=False)
    y = alt.Y("loss:Q", title="smoothed loss, a = 0.1").scale(domain=[0.15, 0.5], nice=False)
    best = alt.Chart(alt.Data(values=minima)).encode(x, y, alt.Color("convention:N"))
    lines = styled(curves).encode(x, y)
    labels = best.mark_text(dy=16, fontSize=12).encode(alt.Text("text:N"))
    return sized(lines + best.mark_point(filled=True, size=70, opacity=1) + labels)


def confidences() -> alt.LayerChart:
    """Target of the label against the number of classes."""
    rows = []
    for convention, (name, _, _) in STYLES.items():
        for k in CLASSES:
            p = confidence_for_smoothing(SMOOTHING, k, convention)
            rows.append({"classes": k, "p": p, "convention": name})
    x = alt.X("classes:Q", title="number of classes K")
    x = x.scale(type="log", domain=[2, 1000], nice=False)
    x = x.axis(values=[2, 5, 10, 100, 1000], format="d", labelFlush=False)
    y = alt.Y("p:Q", title="probability taught on the label, a = 0.1", axis=alt.Axis(format=".2f"))
    y = y.scale(domain=[0.88, 0.96], nice=False)
    lines = styled(rows).encode(x, y)
    points = alt.Chart(alt.Data(values=rows)).mark_point(filled=True, size=40, opacity=1)
    return sized(lines + points.encode(x, y, alt.Color("convention:N")))


def styled(rows: list[dict]) -> alt.Chart:
    """Lines in the colour and dash of their convention."""
    names, colours, dashes = zip(*STYLES.values())
    legend = alt.Legend(
        orient="top", title=None, labelLimit=400, symbolSize=400, symbolType="stroke"
    )
    return (
        alt.Chart(alt.Data(values=rows))
        .mark_line(strokeWidth=2, clip=True)
        .encode(
            color=alt.Color("convention:N", legend=legend).scale(domain=names, range=colours),
            strokeDash=alt.StrokeDash("convention:N", legend=legend).scale(
                domain=names, range=dashes
            ),
        )
    )


def binary_loss(p: float, q: float) -> float:
    """Cross entropy of the probability p against the target q."""
    return -(q * math.log(p) + (1 - q) * math.log(1 - p))


def sized(chart: alt.LayerChart) -> alt.LayerChart:
    """Return one panel."""
    return chart.properties(width=330, height=230)


if __name__ == "__main__":
    main()
