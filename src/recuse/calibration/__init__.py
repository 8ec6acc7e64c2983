"""Calibration: are predictions made with 80 % probability right 80 % of the time?

n = examples, K = classes, ... = any trailing axes (pixels); b = bins that are not empty.

| measure | takes | says |
|---|---|---|
| `nll` | logits, labels | mean negative log-likelihood, in nats |
| `brier` | logits, labels | mean squared distance of all K probabilities, 0..2 |
| `top_label_brier` | probability, loss | the same of the stated probability alone, 0..1 |
| `ece`, `equal_mass_ece` | probability, loss | mean gap over bins of equal width, or count |
| `classwise_ece` | logits, labels | the gap of every class's probability, averaged |
| `smooth_ece` | probability, loss | the gap at the one width of a kernel that equals it |

Measures of logits take only logits: `scores.from_probs` turns probabilities into logits. Measures
of (probability, loss) take any stated probability of being right, such as
`scores.as_probability(scores.msp(logits))`.

Each measure is the mean of one term for each example; their spread gives its `standard_error`.
`reliability` returns the data of the diagram, and `fit_temperature` rescales the logits.
"""

from recuse.calibration._errors import standard_error, terms
from recuse.calibration._measures import (
    Reliability,
    brier,
    classwise_ece,
    ece,
    equal_mass_ece,
    equal_mass_reliability,
    nll,
    reliability,
    smooth_ece,
    top_label_brier,
)
from recuse.calibration._temperature import Temperature, fit_temperature

__all__ = [
    "Reliability",
    "Temperature",
    "brier",
    "classwise_ece",
    "ece",
    "equal_mass_ece",
    "equal_mass_reliability",
    "fit_temperature",
    "nll",
    "reliability",
    "smooth_ece",
    "standard_error",
    "terms",
    "top_label_brier",
]
