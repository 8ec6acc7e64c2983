"""Risk-coverage curves, their areas and their points: exact, and independent of the order of ties.

n = examples, k = distinct confidences (k <= n). Predictions are accepted from the most
confident down; equal confidences are accepted together.

Areas are means over the coverages 1/n..n/n; tied predictions count as the mean over all their
orders. Sums are in float64; for 0-1 losses the counts are exact integers.

Many predictions with 0-1 losses are sorted in a copy of the confidences (4 bytes each in
float32). Other losses, such as costs or 1 - IoU, need the order of
the rows, about 40 bytes each.

`conventions` has the areas as other programs define them.
"""

from recuse.curves import conventions
from recuse.curves._areas import (
    Summary,
    augrc,
    aurc,
    aurc_of_weights,
    e_aurc,
    n_aurc,
    summarize,
)
from recuse.curves._curve import (
    RiskCoverage,
    coverage_at_risk,
    risk_at_coverage,
    risk_coverage,
    thin,
)

__all__ = [
    "RiskCoverage",
    "Summary",
    "augrc",
    "aurc",
    "aurc_of_weights",
    "conventions",
    "coverage_at_risk",
    "e_aurc",
    "n_aurc",
    "risk_at_coverage",
    "risk_coverage",
    "summarize",
    "thin",
]
