"""The artifact: score, threshold and guarantee in one JSON file that maps logits to decisions.

n = examples, K = classes, ... = any trailing axes (pixels), b = vertices of an isotonic map.

`fit` makes a `Rejector` from one held-out file or from two splits, `fit_several` one for each of
several target risks, and `choose` also returns the outcome of tuning and of an infeasible target.
`plan` says beforehand how many rows to label.
`explain` explains single decisions, `summarize` counts them beside the guarantee.
"""

from recuse.rejector._cut import Cut
from recuse.rejector._fit import Choice, choose, fit, fit_several
from recuse.rejector._model import Fingerprint, ModelChange
from recuse.rejector._plan import LabelPlan, plan
from recuse.rejector._prepare import Data, as_file
from recuse.rejector._rejector import IsotonicMap, Predictions, Rejector, check_classes
from recuse.rejector._rules import ALL, BY, CLASS, SUBGROUP, Rule, spread
from recuse.rejector._summary import (
    RUNNERS_UP,
    Explanation,
    Summary,
    explain,
    ranked,
    summarize,
)

__all__ = [
    "ALL",
    "BY",
    "CLASS",
    "RUNNERS_UP",
    "SUBGROUP",
    "Choice",
    "Cut",
    "Data",
    "Explanation",
    "Fingerprint",
    "IsotonicMap",
    "LabelPlan",
    "ModelChange",
    "Predictions",
    "Rejector",
    "Rule",
    "Summary",
    "as_file",
    "check_classes",
    "choose",
    "explain",
    "fit",
    "fit_several",
    "plan",
    "ranked",
    "spread",
    "summarize",
]
