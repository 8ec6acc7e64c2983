"""A threshold for a coverage: at most so many abstentions, with a finite-sample statement.

n = calibrate examples; their losses are not needed.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from recuse._check import check_confidence, check_delta, check_fraction
from recuse.selectors._guarantee import accept, percent
from recuse.selectors._methods import INDEPENDENT
from recuse.selectors._select import dependent, refuse_clusters

if TYPE_CHECKING:
    from jaxtyping import Bool
    from numpy import ndarray as Array
    from numpy.typing import ArrayLike


@dataclass(frozen=True)
class CoverageSelection:
    """A threshold that accepts at least a fraction of the population; it says nothing of risk."""

    threshold: float  # a float32 value; accept when confidence >= threshold
    coverage: float  # promised
    delta: float
    n: int  # calibrate examples
    accepted: int  # of them
    rank: int | None  # of the threshold, from above; None if everything is accepted

    def __str__(self) -> str:
        return (
            f"With {percent(1 - self.delta)} confidence, at least {percent(self.coverage)} of "
            f"predictions are accepted ({self.accepted} of {self.n} calibrate examples accepted; "
            f"{INDEPENDENT})."
        )

    def accept(self, confidence: ArrayLike) -> Bool[Array, " n"]:
        """Which examples to accept."""
        return accept(confidence, self.threshold)

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return asdict(self)


def select_coverage(
    confidence: ArrayLike,
    *,
    coverage: float,
    delta: float = 0.05,
    clusters: ArrayLike | None = None,
) -> CoverageSelection:
    """The largest threshold that accepts at least `coverage` of the population.

    The population's coverage at the k-th largest of n confidences is Beta(k, n + 1 - k) for
    a continuous confidence and, with ties, not below it in distribution. k is the smallest
    rank at which it falls below `coverage` with probability at most `delta`. Where n is too
    small for any rank, everything is accepted: the promise holds, and the abstaining is lost.

    Args:
        confidence: Shape (n,), of the calibrate split; compared as float32.
        coverage: In (0, 1). To abstain on at most a tenth, ask for 0.9.
        delta: In (0, 0.5): the probability that the promise fails.
        clusters: Shape (n,): a cluster of several rows is refused.

    Raises:
        InputError: Malformed input, or a cluster of several rows.

    References:
        Wilks, Ann. Math. Stat. 1941 (tolerance limits).

    >>> selection = select_coverage(np.random.default_rng(0).uniform(size=1000), coverage=0.8)
    >>> selection.rank
    822
    >>> select_coverage([3, 2, 1], coverage=0.8).accepted
    3
    """
    from scipy.special import bdtrc

    coverage, delta = check_fraction(coverage, "coverage"), check_delta(delta)
    c = check_confidence(confidence).astype(np.float32)
    refuse_clusters(dependent(clusters, c.size))
    fails = bdtrc(np.arange(c.size, dtype=float), c.size, coverage)  # P(Bin >= k), k = 1..n
    found = np.flatnonzero(fails <= delta)
    rank = int(found[0]) + 1 if found.size else None
    largest = np.finfo(np.float32).max
    threshold = float(-largest if rank is None else min(np.sort(c)[-rank], largest))
    return CoverageSelection(threshold, coverage, delta, c.size, int((c >= threshold).sum()), rank)
