"""Draw the pictures of the examples: docs/images/example-NAME.svg.

python docs/picture_examples.py, in the environment of `make test-integrations`
"""

from pathlib import Path

import altair as alt
import numpy as np

import recuse as rc

IMAGES = Path(__file__).parent / "images"
BLUE, ORANGE, GREY = "#0072B2", "#D55E00", "#6b7280"
SHARE = alt.Axis(labelExpr="format(100 * datum.value, '~g') + ' %'", tickCount=5)


def boosted_trees() -> tuple:
    """The margins of XGBoost on breast cancer, as on the page."""
    import xgboost
    from sklearn.datasets import load_breast_cancer

    x, y = load_breast_cancer(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(x))
    fit, held = order[:200], order[200:]
    model = xgboost.XGBClassifier(n_estimators=60, max_depth=3).fit(x[fit], y[fit])
    margin = model.predict(x[held], output_margin=True)
    return rc.from_arrays(margin, y[held], kind="binary"), 0.03, "XGBoost, breast cancer"


def scikit_learn() -> tuple:
    """Out-of-sample probabilities of a forest on noisy digits."""
    from sklearn.datasets import load_digits
    from sklearn.ensemble import RandomForestClassifier

    x, y = load_digits(return_X_y=True)
    x = x + 4 * np.random.default_rng(0).normal(size=x.shape)
    forest = RandomForestClassifier(random_state=0).fit(x[:600], y[:600])
    data = rc.from_arrays(forest.predict_proba(x[600:]), y[600:], kind="probs")
    return data, 0.05, "Random forest, noisy digits"


def language_models() -> tuple:
    """The answers of the page: a confidence each, several a document."""
    rng = np.random.default_rng(0)
    sure = np.repeat(rng.normal(size=800), 3) + rng.normal(size=2400) + 2.5
    confidence = 1 / (1 + np.exp(-sure))
    correct = rng.random(2400) < confidence
    groups = np.arange(2400) // 3
    data = rc.from_arrays(confidence, correct, kind="confidences", groups=groups)
    return data, 0.1, "Answers about 800 documents"


def draw(name: str, data: rc.io.HeldOut, target: float, title: str) -> None:
    """Draw risk against coverage, the target, and what the guarantee lets answer."""
    rejector = rc.fit(data, target_risk=target)
    confidence, loss = rejector.score(data.logits), data.loss
    curve = rc.curves.thin(rc.risk_coverage(confidence, loss), 300)
    accept = rejector.predict(data).accept
    at = {"coverage": float(accept.mean()), "risk": float(loss[accept].mean())}
    at["shown"] = f"{100 * at['coverage']:.0f} % answered"
    rows = [
        {"coverage": c, "risk": r} for c, r in zip(curve.coverage.tolist(), curve.risk.tolist())
    ]
    x = alt.X("coverage:Q", title="answered", axis=SHARE).scale(domain=[0, 1], nice=False)
    y = alt.Y("risk:Q", title="of the answers, wrong", axis=SHARE)
    line = alt.Chart(alt.Data(values=rows)).mark_line(color=BLUE, strokeWidth=3).encode(x, y)
    limit = alt.Chart(alt.Data(values=[{"risk": target, "shown": f"limit {100 * target:g} %"}]))
    rule = limit.mark_rule(strokeDash=[2, 3], color=GREY).encode(y)
    words = limit.mark_text(align="left", dx=6, dy=-8, color=GREY, fontSize=14)
    point = alt.Chart(alt.Data(values=[at])).encode(x, y)
    dot = point.mark_point(filled=True, size=140, opacity=1, color=ORANGE)
    text = point.mark_text(align="right", dx=-10, dy=-12, fontSize=16, fontWeight="bold")
    chart = alt.layer(
        rule,
        words.encode(y, x=alt.value(0), text="shown:N"),
        line,
        dot,
        text.encode(text="shown:N", color=alt.value(ORANGE)),
    )
    chart = chart.properties(width=560, height=260, title=title, background="white", padding=12)
    chart = chart.configure_view(stroke=None).configure_axis(
        gridColor="#e6e6e6", labelFontSize=14, titleFontSize=15, titleFontWeight="normal"
    )
    path = IMAGES / f"example-{name}.svg"
    chart.configure_title(fontSize=17, anchor="start").save(path)
    print(f"wrote {path}")


if __name__ == "__main__":
    for example in (scikit_learn, boosted_trees, language_models):
        draw(example.__name__.replace("_", "-"), *example())
