"""Every measure of one score on one data set.

n = predictions.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from recuse import curves
from recuse.intervals import AUGRC, AURC, E_AURC, standard_error

if TYPE_CHECKING:
    from jaxtyping import Float, Float32
    from numpy import ndarray as Array

RISKS = (0.01, 0.05)
COVERAGES = (0.2, 0.8)
AREAS = ("aurc", "aurc_se", "e_aurc", "n_aurc", "augrc", "e_aurc_se", "augrc_se")
MANY = 1 << 20  # predictions; beyond, influences would take more memory than all else
ERRORS = {"aurc_se": AURC, "e_aurc_se": E_AURC, "augrc_se": AUGRC}


@dataclass(frozen=True)
class Measures:
    """One score on one data set; rates are fractions."""

    aurc: float
    aurc_se: float
    e_aurc: float
    n_aurc: float  # NaN if all losses are equal
    augrc: float
    coverage_at_risk: Mapping[float, float]
    risk_at_coverage: Mapping[float, float]
    e_aurc_se: float = float("nan")
    augrc_se: float = float("nan")

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON; an undefined value is None with a reason."""
        out: dict[str, Any] = {
            **{k: getattr(self, k) for k in AREAS},
            "coverage_at_risk": {f"{k:.12g}": v for k, v in self.coverage_at_risk.items()},
            "risk_at_coverage": {f"{k:.12g}": v for k, v in self.risk_at_coverage.items()},
        }
        few = "fewer than two independent rows, or all losses equal"
        many = few if np.isnan(self.aurc_se) else f"more than {MANY:,} predictions"
        why = {
            "n_aurc": "all losses are equal: there is no order to normalise by",
            **{"aurc_se": few, "e_aurc_se": many, "augrc_se": many},
        }
        reasons = {k: reason for k, reason in why.items() if np.isnan(getattr(self, k))}
        out |= dict.fromkeys(reasons)
        return {**out, "reason": reasons} if reasons else out


def measure(
    confidence: Float32[Array, " n"],
    loss: Float[Array, " n"],
    *,
    groups: Array | None = None,
    risks: Sequence[float] = RISKS,
    coverages: Sequence[float] = COVERAGES,
) -> Measures:
    """Every measure of one score on one data set.

    Args:
        confidence: Shape (n,), larger is more certain.
        loss: Shape (n,).
        groups: Shape (n,): rows that are not independent, for the standard errors; beyond a
            million rows there is one of AURC alone.
        risks: Levels of coverage_at_risk.
        coverages: Levels of risk_at_coverage.

    >>> round(measure(np.float32([3, 2, 1]), np.array([0, 0, 1])).aurc, 4)
    0.1111
    """
    summary = curves.summarize(confidence, loss, risks=risks, coverages=coverages)
    independent = len(loss) if groups is None else len(np.unique(groups))
    varies = not np.isnan(summary.n_aurc)
    errors = dict.fromkeys(ERRORS, float("nan"))
    for name, area in ERRORS.items():
        if varies and independent > 1 and (len(loss) <= MANY or area == AURC):
            errors[name] = standard_error(confidence, loss, area, groups=groups)
    return Measures(**summary._asdict(), **errors)
