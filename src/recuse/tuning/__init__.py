"""Repair: choose the confidence score on the tuning split, or keep MSP and say why.

n = examples, K = classes, m = candidate scores, f = features of the learned score.
"""

from recuse.tuning._candidates import default_candidates
from recuse.tuning._cross_fit import Trial
from recuse.tuning._learn import learn
from recuse.tuning._tune import MSP, Tuned, tune

__all__ = ["MSP", "Trial", "Tuned", "default_candidates", "learn", "tune"]
