"""Evaluation: files x scores, and models x scores x thresholds, into plain dataclasses.

n = rows, K = classes, P = predictions of one row (pixels, labels), N = predictions.
"""

from recuse.evaluation._ensemble import Ensemble, average_logits, average_probs
from recuse.evaluation._files import (
    FileMeasures,
    measure_confidences,
    measure_file,
    measure_labels,
    measure_scored,
)
from recuse.evaluation._measures import COVERAGES, RISKS, Measures, measure
from recuse.evaluation._mixture import (
    Mixture,
    MixtureMeasures,
    Source,
    measure_mixture,
    score_sources,
    without_labels,
)
from recuse.evaluation._models import Evaluation, ModelEvaluation, evaluate
from recuse.evaluation._outliers import (
    Detection,
    auroc,
    check_costs,
    fpr_at_tpr,
    scod_loss,
)
from recuse.evaluation._pick import mid_ranks, pick
from recuse.evaluation._picked import Estimate, Pick, PickedModel, Ranking
from recuse.evaluation._scored import Scored, matched, of_confidences, score_chunks, score_file
from recuse.evaluation._seeds import Change, ModelOverSeeds, OverSeeds, Spread, over_seeds
from recuse.evaluation._sources import (
    BySource,
    SourceRow,
    by_source,
    check_risk,
    check_shares,
    check_threshold,
)

__all__ = [
    "COVERAGES",
    "RISKS",
    "BySource",
    "Change",
    "Detection",
    "Ensemble",
    "Estimate",
    "Evaluation",
    "FileMeasures",
    "Measures",
    "Mixture",
    "MixtureMeasures",
    "ModelEvaluation",
    "ModelOverSeeds",
    "OverSeeds",
    "Pick",
    "PickedModel",
    "Ranking",
    "Scored",
    "Source",
    "SourceRow",
    "Spread",
    "auroc",
    "average_logits",
    "average_probs",
    "by_source",
    "check_costs",
    "check_risk",
    "check_shares",
    "check_threshold",
    "evaluate",
    "fpr_at_tpr",
    "matched",
    "measure",
    "measure_confidences",
    "measure_file",
    "measure_labels",
    "measure_mixture",
    "measure_scored",
    "mid_ranks",
    "of_confidences",
    "over_seeds",
    "pick",
    "scod_loss",
    "score_chunks",
    "score_file",
    "score_sources",
    "without_labels",
]
