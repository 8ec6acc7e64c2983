"""A threshold for a coverage: at most so many abstentions, with a finite-sample statement.

n = calibrate examples, r = ranks; losses are not needed.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from recuse._internal.check import check_confidence, check_delta, check_fraction
from recuse.selectors._guarantee import Selection, no_guarantee, percent, sure
from recuse.selectors._methods import INDEPENDENT
from recuse.selectors._select import dependent, refuse_groups

if TYPE_CHECKING:
    from jaxtyping import Float, Int
    from numpy import ndarray as Array
    from numpy.typing import ArrayLike


@dataclass(frozen=True)
class CoverageGuarantee:
    """At least a fraction of the population is accepted; it says nothing of the risk."""

    kind: ClassVar[str] = "coverage"

    coverage: float  # promised
    delta: float
    n: int  # calibrate examples, or groups with one example each
    accepted: int  # of them
    rank: int | None  # of the threshold, from above; None if everything is accepted
    assumption: str = INDEPENDENT
    unit: str = "examples"
    void: bool = False  # fitted on data that it must not see

    def __str__(self) -> str:
        seen = f"{self.accepted} of {self.n} calibrate {self.unit} accepted"
        if self.void:
            return no_guarantee(seen)
        return (
            f"With {sure(self.delta)} confidence, at least {percent(self.coverage)} of "
            f"predictions are accepted ({seen}; {self.assumption})."
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return asdict(self)


def select_coverage(
    confidence: ArrayLike,
    *,
    coverage: float,
    delta: float = 0.05,
    groups: ArrayLike | None = None,
) -> Selection:
    """The largest threshold that accepts at least `coverage` of the population.

    The population's coverage at the k-th largest of n confidences is Beta(k, n + 1 - k) for
    a continuous confidence and, with ties, not below it in distribution. k is the smallest
    rank at which it falls below `coverage` with probability at most `delta`. Where n is too
    small for any rank, everything is accepted: the promise holds, and the abstaining is lost.

    Args:
        confidence: Shape (n,), of the calibrate split; compared as float32.
        coverage: In (0, 1). To abstain on at most a tenth, ask for 0.9.
        delta: In (0, 0.5): the probability that the promise fails.
        groups: Shape (n,): a group of several rows is refused.

    Returns:
        A `Selection`, always feasible, whose guarantee is a `CoverageGuarantee`.

    Raises:
        InputError: Malformed input, or a group of several rows.

    References:
        Wilks, Ann. Math. Stat. 1941 (tolerance limits).

    >>> selection = select_coverage(np.random.default_rng(0).uniform(size=1000), coverage=0.8)
    >>> selection.guarantee.rank
    822
    >>> select_coverage([3, 2, 1], coverage=0.8).guarantee.accepted
    3
    """
    coverage, delta = check_fraction(coverage, "coverage"), check_delta(delta)
    c = check_confidence(confidence).astype(np.float32)
    refuse_groups(dependent(groups, c.size))
    found = np.flatnonzero(fails_at(np.arange(1, c.size + 1), c.size, coverage) <= delta)
    rank = int(found[0]) + 1 if found.size else None
    largest = np.finfo(np.float32).max
    threshold = float(-largest if rank is None else min(np.sort(c)[-rank], largest))
    accepted = int((c >= threshold).sum())
    guarantee = CoverageGuarantee(coverage, delta, c.size, accepted, rank)
    return Selection(threshold, True, guarantee, str(guarantee))


def fails_at(rank: Int[Array, " r"], n: int, coverage: float) -> Float[Array, " r"]:
    """P(Bin(n, coverage) >= rank): the population's coverage at that rank is too small.

    >>> fails_at(np.array([821, 822]), 1000, 0.8) <= 0.05
    array([False,  True])
    """
    from scipy.special import bdtrc

    return bdtrc(np.asarray(rank, float) - 1, n, coverage)
