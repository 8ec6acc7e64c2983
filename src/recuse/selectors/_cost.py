"""A threshold for costs: of an error, and of an abstention.

n = calibrate examples, t = tune examples.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from recuse._check import InputError, check_delta, check_zero_one
from recuse.bounds import betting_upper
from recuse.selectors._grid import counts, thresholds_between
from recuse.selectors._guarantee import accept, percent
from recuse.selectors._methods import INDEPENDENT
from recuse.selectors._select import check_split, dependent, refuse_clusters

if TYPE_CHECKING:
    from jaxtyping import Bool, Float, Float32
    from numpy import ndarray as Array
    from numpy.typing import ArrayLike


@dataclass(frozen=True)
class CostSelection:
    """The cheapest threshold of a split, and what it costs on others."""

    threshold: float  # a float32 value; +inf: abstaining always is cheapest
    cost_error: float
    cost_abstain: float
    cost: float  # mean cost of a calibrate example
    upper: float | None  # of the mean cost, with 1 - delta confidence; None: no promise
    delta: float
    n: int  # calibrate examples
    accepted: int  # of them
    errors: int  # of the accepted

    def __str__(self) -> str:
        seen = (
            f"mean cost {self.cost:.4g} on {self.n} calibrate examples, {self.accepted} accepted, "
            f"{self.errors} of them wrong"
        )
        if self.upper is None:
            return f"No promise: chosen and counted on the same examples ({seen})."
        return (
            f"With {percent(1 - self.delta)} confidence, a prediction costs at most "
            f"{self.upper:.4g} on average ({seen}; {INDEPENDENT}). Not promised: that no other "
            "threshold is cheaper."
        )

    def accept(self, confidence: ArrayLike) -> Bool[Array, " n"]:
        """Which examples to accept."""
        return accept(confidence, self.threshold)

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON, where an infinite threshold becomes null."""
        return asdict(self)


def chow_threshold(cost_error: float, cost_abstain: float) -> float:
    """The probability of being right from which accepting is the cheaper choice.

    1 - cost_abstain / cost_error, at least 0. It is the best rule for a probability that is
    the true one; compare it with a calibrated one (`Predictions.p_correct`), not with the
    softmax. Nothing is promised for a probability that is off.

    References:
        Chow, IEEE Trans. Inf. Theory 1970.

    >>> chow_threshold(10, 1)
    0.9
    """
    cost_error, cost_abstain = _costs(cost_error, cost_abstain)
    return max(0.0, 1 - cost_abstain / cost_error)


def select_cost(
    confidence: ArrayLike,
    loss: ArrayLike,
    *,
    cost_error: float,
    cost_abstain: float,
    delta: float = 0.05,
    tune: tuple[ArrayLike, ArrayLike] | None = None,
    clusters: ArrayLike | None = None,
    seed: int | None = None,
) -> CostSelection:
    """The threshold of the smallest mean cost: of the tune split, checked on the calibrate split.

    With `tune` the threshold is fixed before the calibrate split is seen, so that `upper`, a
    betting bound on calibrate costs, holds with probability >= 1 - delta. Without it the
    cheapest threshold of the calibrate split is taken, its cost there is too low on average,
    and nothing is promised. A right and accepted prediction costs 0.

    Args:
        confidence: Shape (n,), of the calibrate split; compared as float32.
        loss: Shape (n,), 0 or 1.
        cost_error: Of an accepted error, > 0, in any unit.
        cost_abstain: Of an abstention, > 0, in the same unit.
        delta: In (0, 0.5): the probability that `upper` is too low.
        tune: Confidence and loss of the tune split.
        clusters: Shape (n,): a cluster of several rows is refused.
        seed: Bet in an order shuffled by it; None: in the order of the rows, which must not
            depend on confidence or loss.

    Raises:
        InputError: Malformed input, a loss that is not 0 or 1, or a cluster of several rows.

    References:
        Chow, IEEE Trans. Inf. Theory 1970; `recuse.bounds.betting_upper`.

    >>> rng = np.random.default_rng(0)
    >>> confidence = rng.uniform(size=2000)
    >>> wrong = rng.uniform(size=2000) > confidence
    >>> halves = (confidence[:1000], wrong[:1000]), (confidence[1000:], wrong[1000:])
    >>> chosen = select_cost(*halves[1], cost_error=5, cost_abstain=1, tune=halves[0])
    >>> abs(chosen.threshold - chow_threshold(5, 1)) < 0.1, chosen.cost < chosen.upper < 1
    (True, True)
    """
    cost_error, cost_abstain = _costs(cost_error, cost_abstain)
    delta, (c, l) = check_delta(delta), check_split(confidence, loss)
    check_zero_one(l, what="costs of errors")
    refuse_clusters(dependent(clusters, c.size))
    tc, tl = (c, l) if tune is None else check_split(*tune, where="tune ")
    check_zero_one(tl, where="tune loss", what="costs of errors")
    threshold = _cheapest(tc, tl, cost_error, cost_abstain)
    accepts = accept(c, threshold)
    each, scale = np.where(accepts, l * cost_error, cost_abstain), max(cost_error, cost_abstain)
    return CostSelection(
        threshold,
        cost_error,
        cost_abstain,
        cost=float(each.mean()),
        upper=None if tune is None else scale * betting_upper(each / scale, delta, seed=seed),
        delta=delta,
        n=c.size,
        accepted=int(accepts.sum()),
        errors=int(l[accepts].sum()),
    )


def _cheapest(
    c: Float32[Array, " t"], l: Float[Array, " t"], cost_error: float, cost_abstain: float
) -> float:
    """The threshold of the smallest summed cost; of equals, the one of more coverage."""
    grid = np.r_[np.float32(np.inf), thresholds_between(c)]
    held = counts(c, l, grid)
    accepted, errors = np.r_[0, held.accepted[1:]], np.r_[0, held.errors[1:]]
    cost = errors * cost_error + (c.size - accepted) * cost_abstain
    return float(grid[cost.size - 1 - int(np.argmin(cost[::-1]))])


def _costs(*costs: Any) -> tuple[float, ...]:
    for name, cost in zip(("cost_error", "cost_abstain"), costs):
        if not (isinstance(cost, (int, float, np.number)) and 0 < cost < np.inf):
            raise InputError(f"expected `{name}` as a positive number, got {cost!r}")
    return tuple(map(float, costs))
