"""Risk-coverage curves, their areas and their points: exact, whatever the order of ties.

n = examples, k = distinct confidences (k <= n). Predictions are accepted from the most
confident down; equal confidences are accepted together.

Areas are the mean over coverages 1/n..n/n, where tied predictions count as the mean over
all their orders. Sums are in float64; for 0-1 losses the counts are exact integers.

Many predictions with 0-1 losses are sorted in a copy of the confidences (4 bytes each in
float32) and swept by compiled loops. Other losses, such as costs or 1 - IoU, need an order of
the rows, and some 40 bytes each.

`conventions` has the areas as other programs define them.
"""

from recuse.curves import conventions
from recuse.curves._areas import (
    augrc,
    aurc,
    aurc_of_counts,
    aurc_of_weights,
    e_aurc,
    harmonic,
    n_aurc,
)
from recuse.curves._points import (
    RiskCoverage,
    coverage_at_risk,
    risk_at_coverage,
    risk_coverage,
    thin,
)
from recuse.curves._ranked import TieGroups, tie_groups
from recuse.curves._summary import Summary, summarize

__all__ = [
    "RiskCoverage",
    "Summary",
    "TieGroups",
    "augrc",
    "aurc",
    "aurc_of_counts",
    "aurc_of_weights",
    "conventions",
    "coverage_at_risk",
    "e_aurc",
    "harmonic",
    "n_aurc",
    "risk_at_coverage",
    "risk_coverage",
    "summarize",
    "thin",
    "tie_groups",
]
