"""Figures of a ranking: in each module `prepare` returns plain data, and `draw` draws it.

| module | figure | in Xia et al. (2024) |
|---|---|---|
| `risk_coverage` | risk against coverage, with thresholds | figures 1, 4, 9 left |
| `scene` | errors of a segmented scene, by the rank of their confidence | figures 6, 10 |
| `errors` | how certain each model is of the same errors | figure 5 |
| `max_logit` | maximum logit given MSP, of right and wrong predictions | figure 9 right |
| `sorted_logits` | v, v^p and exp v by rank | figure 18 |
| `normalized_max` | maximum logit over the norm, given the maximum, at similar MSP | figure 19 |
| `templates` | features and templates of three classes | Müller et al. (2019), figure 1 |
| `confidence` | histograms of right and wrong predictions, with the threshold | - |
| `reliability` | stated against observed probability of being right | - |
| `confusion` | predictions and abstentions for each class | - |
| `per_class` | coverage and risk of each class, with exact intervals | - |
| `over_alpha` | accuracy, calibration and ranking against the smoothing | - |

`draw(data, ax)` draws on the given matplotlib axes, labels them, and touches nothing else. Text and
neutral lines take the colour of the labels of the axes, so dark styles work. Matplotlib comes with
the extra `plots`: pip install 'recuse[plots]'.

    import matplotlib.pyplot as plt
    from recuse import plots

    fig, ax = plt.subplots()
    plots.risk_coverage.draw(plots.risk_coverage.prepare({"MSP": (confidence, loss)}), ax)

Of one ranking, `curve` does it in one call, on new axes if none are given:

    plots.curve(confidence, loss)

To draw a result of `recuse.evaluate`, use `of` in place of `prepare`, in `risk_coverage`,
`max_logit`, `confidence`, `reliability`, `confusion` and `per_class`. The last two also take the
labels, which an evaluation does not keep. The first shows all models, the others one:

    plots.risk_coverage.draw(plots.risk_coverage.of(evaluation), ax)
    plots.reliability.draw(plots.reliability.of(evaluation["net"]), ax)

n = predictions, K = classes.
"""

from recuse.plots import (
    confidence,
    confusion,
    errors,
    max_logit,
    normalized_max,
    over_alpha,
    per_class,
    reliability,
    risk_coverage,
    scene,
    sorted_logits,
    templates,
)
from recuse.plots.risk_coverage import curve

__all__ = [
    "confidence",
    "confusion",
    "curve",
    "errors",
    "max_logit",
    "normalized_max",
    "over_alpha",
    "per_class",
    "reliability",
    "risk_coverage",
    "scene",
    "sorted_logits",
    "templates",
]
