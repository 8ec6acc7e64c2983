"""Standard errors, intervals and comparisons of measures of a ranking.

n = examples, G = groups of rows that belong together (replicates of an image, pixels of a
scene). The influence of an example is how much a measure moves, times n, when it gains weight;
the variance of the influences is that of the measure. Where that is not enough, `bootstrap`.
"""

from recuse.intervals._bootstrap import Bootstrap, bootstrap
from recuse.intervals._compare import (
    Comparison,
    Comparisons,
    NamedComparison,
    bootstrap_difference,
    compare,
    compare_all,
    holm,
)
from recuse.intervals._influence import (
    influence,
    influence_augrc,
    influence_coverage_at_risk,
    influence_e_aurc,
    influence_risk_at_coverage,
)
from recuse.intervals._interval import (
    AUGRC,
    AURC,
    E_AURC,
    Interval,
    Measure,
    coverage_at,
    interval,
    risk_at,
    standard_error,
)

__all__ = [
    "AUGRC",
    "AURC",
    "E_AURC",
    "Bootstrap",
    "Comparison",
    "Comparisons",
    "Interval",
    "Measure",
    "NamedComparison",
    "bootstrap",
    "bootstrap_difference",
    "compare",
    "compare_all",
    "coverage_at",
    "holm",
    "influence",
    "influence_augrc",
    "influence_coverage_at_risk",
    "influence_e_aurc",
    "influence_risk_at_coverage",
    "interval",
    "risk_at",
    "standard_error",
]
