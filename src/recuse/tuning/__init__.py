"""Repair: choose the confidence score on the tune split, or keep MSP and say why.

n = examples, K = classes, m = candidate scores, f = features of the learned score.
"""

from recuse.tuning._candidates import (
    SMALLEST_SWEPT,
    TEMPERATURES,
    confidences,
    default_candidates,
    features_of,
)
from recuse.tuning._judge import FOLDS, T_SWITCH, Z_SECOND, Z_SWITCH, Trial, shown
from recuse.tuning._learn import learn
from recuse.tuning._tune import FEWEST_OF_EACH, FEWEST_UNITS, check_scores, measure_of, tune
from recuse.tuning._tuned import MSP, Tuned

__all__ = [
    "FEWEST_OF_EACH",
    "FEWEST_UNITS",
    "FOLDS",
    "MSP",
    "SMALLEST_SWEPT",
    "TEMPERATURES",
    "T_SWITCH",
    "Z_SECOND",
    "Z_SWITCH",
    "Trial",
    "Tuned",
    "check_scores",
    "confidences",
    "default_candidates",
    "features_of",
    "learn",
    "measure_of",
    "shown",
    "tune",
]
