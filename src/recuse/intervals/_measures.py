"""What an interval can be of: a measure, its influences, and the loop that resamples it.

n = examples.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from recuse import curves
from recuse._internal.check import check_fraction
from recuse.curves._ranked import halves
from recuse.intervals import _influence
from recuse.intervals._variance import variance_of_mean

if TYPE_CHECKING:
    from jaxtyping import Float
    from numpy import ndarray as Array
    from numpy.typing import ArrayLike

Statistic = Callable[["ArrayLike", "ArrayLike"], float]
Influence = Callable[["ArrayLike", "ArrayLike"], "Float[Array, ' n']"]
Term = tuple[int, "Float[Array, ' n']", "Float[Array, ' n']"]  # sign, confidence, loss


@dataclass(frozen=True)
class Measure:
    """A number that confidence and loss determine: `AURC`, `AUGRC`, `risk_at(0.8)`, ..."""

    name: str
    value: Statistic
    influence: Influence
    kernel: str  # in `_bootstrap_kernels`
    level: float = 0.0  # the coverage or risk of a point

    def __str__(self) -> str:
        return self.name

    @property
    def larger_is_better(self) -> bool:
        """True of coverages, False of risks and areas."""
        return self.kernel == "coverage_at_risk"

    def terms(self, sign: int, confidence: Array, loss: Array) -> list[Term]:
        """The sum of kernels that it is: E-AURC is AURC minus AURC of the best order."""
        own = (sign, confidence, loss)
        return [own, (-sign, -loss, loss)] if self.name == "e_aurc" else [own]


AURC = Measure("aurc", curves.aurc, _influence.influence, "aurc")
AUGRC = Measure("augrc", curves.augrc, _influence.influence_augrc, "augrc")
E_AURC = Measure("e_aurc", curves.e_aurc, _influence.influence_e_aurc, "aurc")


def risk_at(coverage: float) -> Measure:
    """`curves.risk_at_coverage` at this coverage.

    >>> risk_at(0.8).name
    'risk_at_coverage(0.8)'
    """
    coverage = check_fraction(coverage, "coverage", one=True)
    return Measure(
        f"risk_at_coverage({coverage:.12g})",
        partial(curves.risk_at_coverage, coverage=coverage),
        partial(_influence.influence_risk_at_coverage, coverage=coverage),
        "risk_at_coverage",
        coverage,
    )


def coverage_at(risk: float) -> Measure:
    """`curves.coverage_at_risk` at this risk.

    >>> coverage_at(0.05).value([0.9, 0.8], [0, 1])
    0.5
    """
    risk = check_fraction(risk, "risk", zero=True, one=True)
    return Measure(
        f"coverage_at_risk({risk:.12g})",
        partial(curves.coverage_at_risk, risk=risk),
        partial(_influence.influence_coverage_at_risk, risk=risk),
        "coverage_at_risk",
        risk,
    )


def standard_error(
    confidence: ArrayLike,
    loss: ArrayLike,
    measure: Measure = AURC,
    *,
    groups: ArrayLike | None = None,
) -> float:
    """Standard error of a measure, from the influences.

    Args:
        confidence: Shape (n,).
        loss: Shape (n,).
        measure: `AURC`, `AUGRC`, `E_AURC`, `risk_at(coverage)` or `coverage_at(risk)`; for the
            last, NaN where the risk does not cross the level.
        groups: Shape (n,): rows of equal value are resampled together, never apart.

    Raises:
        InputError: Malformed input, or fewer than two groups.

    >>> standard_error([0.9, 0.8, 0.7, 0.6], [0, 1, 0, 1]) > 0
    True
    """
    if measure == AURC and groups is None:
        form = halves(confidence, loss)
        if form is not None:
            from recuse._kernels.bootstrap import aurc_variance

            return float(np.sqrt(aurc_variance(form.right, form.wrong)))
    return float(np.sqrt(variance_of_mean(measure.influence(confidence, loss), groups)))
