"""All measures of one score, from one sort.

n = examples.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

from recuse.curves._areas import augrc_of, aurc_of, excess, normalized, oracle
from recuse.curves._points import coverage_at_risk_of, risk_at_coverage_of
from recuse.curves._ranked import ranked

if TYPE_CHECKING:
    from numpy.typing import ArrayLike


class Summary(NamedTuple):
    """What the functions of the same names return."""

    aurc: float
    e_aurc: float
    n_aurc: float  # NaN if all losses are equal
    augrc: float
    coverage_at_risk: Mapping[float, float]
    risk_at_coverage: Mapping[float, float]


def summarize(
    confidence: ArrayLike,
    loss: ArrayLike,
    *,
    risks: Sequence[float] = (),
    coverages: Sequence[float] = (),
) -> Summary:
    """Every area, and the points at these levels; sorts once.

    >>> summarize([0.9, 0.7, 0.8], [0, 1, 0], risks=[0.1]).coverage_at_risk
    {0.1: 0.6666666666666666}
    """
    form = ranked(confidence, loss)
    area, best = aurc_of(form), oracle(form, loss)
    return Summary(
        area,
        excess(area, *best),
        normalized(area, *best),
        augrc_of(form),
        {r: coverage_at_risk_of(form, r) for r in risks},
        {c: risk_at_coverage_of(form, c) for c in coverages},
    )
