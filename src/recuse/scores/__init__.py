"""Confidence scores: logits in, one number for each prediction out, larger is more certain.

n = examples, K = classes, ... = any trailing axes (pixels).

Every score takes logits (n, K, ...) of float16, bfloat16, float32 or float64 and
returns float32 (n, ...). There is one arithmetic path for every decision: the
logits are upcast to float64, the score is computed, and rounded once to float32.
A logit of -inf is a class that is impossible in its row, such as one that a mask rules out. It is
left out of every sum, norm, mean and count: the row scores as if it had its possible classes alone.
With one possible class the prediction is certain, and every score that has no largest value is
+inf, but for `energy` and the plain `max_logit`, which are then the logit.
Probabilities and one-column heads come in by `from_probs` and `from_binary`. `confidence` and
`combination` take confidences (n, C) of which nothing is known but that larger is more certain.
"""

from recuse.scores._functions import (
    SCORES,
    SOFTMAX_FAMILY,
    are_log_probs,
    as_probability,
    confidence,
    energy,
    entropy,
    find_filler,
    from_binary,
    from_probs,
    gen,
    gini,
    logit_norm,
    logit_norms,
    margin,
    max_logit,
    msp,
    predict,
    prob_margin,
    renyi,
    without_filler,
)
from recuse.scores._learned import FEATURES, combination, features, learned
from recuse.scores._score import Score

__all__ = [
    "FEATURES",
    "SCORES",
    "SOFTMAX_FAMILY",
    "Score",
    "are_log_probs",
    "as_probability",
    "combination",
    "confidence",
    "energy",
    "entropy",
    "features",
    "find_filler",
    "from_binary",
    "from_probs",
    "gen",
    "gini",
    "learned",
    "logit_norm",
    "logit_norms",
    "margin",
    "max_logit",
    "msp",
    "predict",
    "prob_margin",
    "renyi",
    "without_filler",
]
