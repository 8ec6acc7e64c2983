"""Thresholds with a finite-sample guarantee, chosen on the calibration split.

n = calibration rows, independent of each other and of the tuning split; m = thresholds tried.

The guarantee: P(risk of the accepted > target_risk) <= delta over the draw of the calibrate
split. Among the examples that a threshold fixed beforehand accepts, the number of errors is
exactly binomial, so each test is exact for any n and any confidence score.

`select` for one target risk, `select_several` for several at once, `band` to look before
choosing, `select_by_subgroup` for every group, `select_coverage` for a fraction of abstentions,
`select_cost` for costs; `select_on_average` and `select_batch` without a confidence level.
`docs/which-guarantee.md` says which one when, and `docs/thresholds.md` how each was checked.
"""

from recuse.selectors._average import BatchSelection, select_batch, select_on_average
from recuse.selectors._band import Band, Point, band
from recuse.selectors._goals import chow_threshold, select_cost, select_coverage
from recuse.selectors._grid import thresholds_above_ranks, thresholds_between
from recuse.selectors._guarantee import (
    AverageGuarantee,
    CostGuarantee,
    CoverageGuarantee,
    Guarantee,
    Infeasible,
    MeanCostGuarantee,
    Selection,
)
from recuse.selectors._methods import METHODS
from recuse.selectors._select import select, select_several
from recuse.selectors._subgroups import (
    SubgroupGuarantee,
    SubgroupRow,
    SubgroupSelection,
    select_by_subgroup,
    subgroup_table,
)

__all__ = [
    "METHODS",
    "AverageGuarantee",
    "Band",
    "BatchSelection",
    "CostGuarantee",
    "CoverageGuarantee",
    "Guarantee",
    "Infeasible",
    "MeanCostGuarantee",
    "Point",
    "Selection",
    "SubgroupGuarantee",
    "SubgroupRow",
    "SubgroupSelection",
    "band",
    "chow_threshold",
    "select",
    "select_batch",
    "select_by_subgroup",
    "select_cost",
    "select_coverage",
    "select_on_average",
    "select_several",
    "subgroup_table",
    "thresholds_above_ranks",
    "thresholds_between",
]
