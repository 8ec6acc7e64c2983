"""How one held-out file is used: which rows choose a score, and which the threshold.

The rule looks at the number of independent rows (or groups), the kind of the outputs, the number of
classes, and the number of subgroups; never at what the rows say. So no guarantee pays for it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from recuse.io import HeldOut
from recuse.io._rows import LOSSES
from recuse.present import decisions as words
from recuse.selectors._guarantee import GROUPS, ROWS
from recuse.tuning._fixed import fixed_scores

ENOUGH = 10_000  # units for each threshold, from which a tuned score pays for its rows
TUNING, TUNING_OF_FEW = 0.2, 0.4  # of the units, to choose the score


@dataclass(frozen=True)
class Cut:
    """The use of one file; `print` says it in one sentence."""

    units: int  # independent rows, or groups
    unit: str  # "rows" or "groups"
    tuning: float  # fraction of them that chooses the score; 0: all of them calibrate
    costs: bool = False  # whether it fits a temperature, and the rest limits a mean cost
    losses: bool = False  # the score is given: that fraction says which thresholds to test

    @property
    def parts(self) -> dict[str, float]:
        """Fractions of the splits."""
        return {"tune": self.tuning, "calibrate": 1 - self.tuning}

    def __str__(self) -> str:
        return words.cut(self)


def cut_of(file: HeldOut, goal: str, rules: int) -> Cut:
    """Return how a file is cut, by a rule that is fixed beforehand.

    For a target risk all rows calibrate below 10,000 units for each threshold, and where there is
    one score alone; from there on 20 % choose the score. For a coverage 40 % do below 10,000,
    since the score is all there is to gain. For costs 20 % fit the temperature; of losses 20 % say
    which thresholds to test.

    Args:
        file: One row a prediction, with labels.
        goal: "target_risk", "coverage" or "costs".
        rules: Thresholds: 1, or one for each class or subgroup.
    """
    unit = ROWS if file.groups is None else GROUPS
    units = len(file) if file.groups is None else int(np.unique(file.groups).size)
    if goal == "costs":
        return Cut(units, unit, TUNING, costs=True)
    if file.kind == LOSSES:
        return Cut(units, unit, TUNING, losses=True)
    if goal != "target_risk":
        return Cut(units, unit, TUNING_OF_FEW if units < ENOUGH * rules else TUNING)
    alone = len(fixed_scores(file.kind, file.logits.shape[1], file.class_names)) == 1
    return Cut(units, unit, tuning_for_risk(units / rules, alone))


def tuning_for_risk(units: float, alone: bool) -> float:
    """Return the fraction of the units that choose the score, for a target risk.

    Args:
        units: For each threshold.
        alone: Whether there is one score.

    >>> tuning_for_risk(9_999, alone=False), tuning_for_risk(10_000, alone=False)
    (0.0, 0.2)
    """
    return 0.0 if units < ENOUGH or alone else TUNING
