"""Evaluation: files x scores, and models x scores x thresholds, into plain dataclasses.

n = rows, K = classes, P = predictions of one row (pixels, labels), N = predictions.
"""

from recuse.evaluation._matched import (
    Compared,
    Ensemble,
    Ranked,
    average_logits,
    average_probs,
    compare_scored,
    matched,
)
from recuse.evaluation._measures import (
    Detection,
    Measures,
    auroc,
    fpr_at_tpr,
    measure,
    scod_loss,
)
from recuse.evaluation._mixture import (
    Mixture,
    MixtureMeasures,
    Source,
    measure_mixture,
    score_sources,
)
from recuse.evaluation._model import ModelEvaluation, Outcome
from recuse.evaluation._models import Evaluation, Run, evaluate, run
from recuse.evaluation._pick import pick
from recuse.evaluation._picked import Distance, Estimate, Pick, PickedModel, Ranking
from recuse.evaluation._scored import (
    FileMeasures,
    Scored,
    SketchMeasures,
    measure_file,
    measure_sketch,
    score_file,
)
from recuse.evaluation._seeds import Change, ModelOverSeeds, OverSeeds, Spread, over_seeds
from recuse.evaluation._sources import BySource, SourceRow, by_source

__all__ = [
    "BySource",
    "Change",
    "Compared",
    "Detection",
    "Distance",
    "Ensemble",
    "Estimate",
    "Evaluation",
    "FileMeasures",
    "Measures",
    "Mixture",
    "MixtureMeasures",
    "ModelEvaluation",
    "ModelOverSeeds",
    "Outcome",
    "OverSeeds",
    "Pick",
    "PickedModel",
    "Ranked",
    "Ranking",
    "Run",
    "Scored",
    "SketchMeasures",
    "Source",
    "SourceRow",
    "Spread",
    "auroc",
    "average_logits",
    "average_probs",
    "by_source",
    "compare_scored",
    "evaluate",
    "fpr_at_tpr",
    "matched",
    "measure",
    "measure_file",
    "measure_mixture",
    "measure_sketch",
    "over_seeds",
    "pick",
    "run",
    "scod_loss",
    "score_file",
    "score_sources",
]
