"""The artifact: score, threshold and guarantee in one JSON file that maps logits to decisions.

n = examples, K = classes, ... = any trailing axes (pixels), b = vertices of an isotonic map.

`fit` makes a `Rejector` from a tune and a calibrate split, `fit_several` one for each of several
target risks, `choose` tells all that was found out on the way; `explain` says why a row was
accepted or not.
"""

from recuse.rejector._explain import RUNNERS_UP, Explanation, explain
from recuse.rejector._fit import Choice, choose, fit, fit_several
from recuse.rejector._isotonic import IsotonicMap
from recuse.rejector._ranked import ranked
from recuse.rejector._rejector import Predictions, Rejector, check_classes
from recuse.rejector._rules import ALL, BY, CLASS, SUBGROUP, Rule
from recuse.rejector._splits import Data, as_file, spread

__all__ = [
    "ALL",
    "BY",
    "CLASS",
    "RUNNERS_UP",
    "SUBGROUP",
    "Choice",
    "Data",
    "Explanation",
    "IsotonicMap",
    "Predictions",
    "Rejector",
    "Rule",
    "as_file",
    "check_classes",
    "choose",
    "explain",
    "fit",
    "fit_several",
    "ranked",
    "spread",
]
