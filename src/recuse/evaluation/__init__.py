"""Evaluation: files x scores, and models x scores x thresholds, into plain dataclasses.

n = rows, K = classes, P = predictions of one row (pixels, labels), N = predictions.
"""

from recuse.evaluation._files import (
    FileMeasures,
    measure_confidences,
    measure_file,
    measure_labels,
    measure_scored,
)
from recuse.evaluation._measures import COVERAGES, RISKS, Measures, measure
from recuse.evaluation._models import Evaluation, ModelEvaluation, evaluate
from recuse.evaluation._scored import Scored, matched, of_confidences, score_chunks, score_file

__all__ = [
    "COVERAGES",
    "RISKS",
    "Evaluation",
    "FileMeasures",
    "Measures",
    "ModelEvaluation",
    "Scored",
    "evaluate",
    "matched",
    "measure",
    "measure_confidences",
    "measure_file",
    "measure_labels",
    "measure_scored",
    "of_confidences",
    "score_chunks",
    "score_file",
]
