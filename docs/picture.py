"""Draw docs/images/demo.svg from the logits that `make demo` wrote: the repair of its table.

python docs/picture.py [demo]
"""

import sys
from pathlib import Path

import altair as alt

import recuse as rc
from recuse.scores import Score

BLUE, ORANGE = "#0072B2", "#D55E00"  # Okabe & Ito


def main(demo: Path) -> None:
    """Draw the smoothed model before and after the repair, and the cross entropy model."""
    plain = rc.read(demo / "logits" / "cross-entropy-test.safetensors")
    smoothed = rc.read(demo / "logits" / "label-smoothing-test.safetensors")
    repaired = rc.tune(rc.read(demo / "logits" / "label-smoothing-tune.safetensors")).score
    lines = {
        "cross entropy, MSP": (plain, Score("msp"), BLUE, [1, 0]),
        "label smoothing, MSP": (smoothed, Score("msp"), ORANGE, [5, 3]),
        f"label smoothing, {repaired}": (smoothed, repaired, ORANGE, [1, 0]),
    }
    rows, colours, dashes, names = [], [], [], []
    for name, (file, score, colour, dash) in lines.items():
        confidence = score(file.logits)
        wrong = rc.scores.predict(file.logits) != file.labels
        names.append(f"{name}: AURC {1000 * rc.aurc(confidence, wrong):.1f} x 1/1000")
        colours.append(colour)
        dashes.append(dash)
        curve = rc.curves.thin(rc.risk_coverage(confidence, wrong), 300)
        rows += [
            {"coverage": c, "risk": r, "model": names[-1]}
            for c, r in zip(curve.coverage.tolist(), curve.risk.tolist())
            if c >= 0.02  # the first few predictions make any curve jump
        ]
    chart = panel(rows, names, colours, dashes, 1.0) | panel(rows, names, colours, dashes, 0.5)
    chart = chart.configure_view(stroke=None).configure_axis(gridColor="#e6e6e6")
    target = Path(__file__).parent / "images" / "demo.svg"
    target.parent.mkdir(exist_ok=True)
    chart.properties(background="white", padding=12).save(target)
    print(f"wrote {target}")


def panel(
    rows: list[dict], names: list[str], colours: list[str], dashes: list[list[int]], most: float
) -> alt.Chart:
    """Return the chart of risk against coverage, up to coverage `most`."""
    inside = [row for row in rows if row["coverage"] <= most]
    legend = alt.Legend(orient="top", columns=1, title=None, labelLimit=400, symbolSize=400)
    return (
        alt.Chart(alt.Data(values=inside))
        .mark_line(clip=True, strokeWidth=2)
        .encode(
            alt.X("coverage:Q", title="coverage", axis=alt.Axis(format="%")).scale(
                domain=[0, most], nice=False
            ),
            alt.Y("risk:Q", title="risk: errors among the accepted", axis=alt.Axis(format="%")),
            alt.Color("model:N", legend=legend).scale(domain=names, range=colours),
            alt.StrokeDash("model:N", legend=legend).scale(domain=names, range=dashes),
        )
        .properties(width=360, height=240)
    )


if __name__ == "__main__":
    main(Path(*sys.argv[1:] or ["demo"]))
