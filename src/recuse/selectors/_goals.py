"""Instead of a target risk: a coverage, or the smallest mean cost.

n = calibration rows, t = tuning rows, r = ranks.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from recuse._internal.bisect import bisect
from recuse._internal.check import check_confidence, check_delta, check_fraction, check_zero_one
from recuse.errors import InputError
from recuse.selectors._grid import EVERYTHING, counts, finite, thresholds_between
from recuse.selectors._guarantee import CostGuarantee, CoverageGuarantee, Selection, accept
from recuse.selectors._select import check_split, dependent, refuse_groups

if TYPE_CHECKING:
    from jaxtyping import Float, Float32, Int
    from numpy import ndarray as Array
    from numpy.typing import ArrayLike


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
    small for any rank, everything is accepted: the guarantee holds, but nothing is abstained on.

    Args:
        confidence: Shape (n,), of the calibration split; compared as float32.
        coverage: In (0, 1). To abstain on at most a tenth, ask for 0.9.
        delta: In (0, 0.5): the probability that the guarantee fails.
        groups: Shape (n,): a group of several rows is refused.

    Returns:
        A `Selection`, always feasible, whose guarantee is a `CoverageGuarantee`.

    Raises:
        InputError: Malformed input, a group of several rows, or too many confidences of -inf.

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
    threshold = EVERYTHING if rank is None else float(finite(np.sort(c)[-rank]))
    accepted = int((c >= threshold).sum())
    if accepted < (least := rank or c.size):
        raise InputError(
            f"expected confidences above -inf in {least} of {c.size} rows for a coverage of "
            f"{100 * coverage:g} %, got {accepted}: those of -inf are always abstained on"
        )
    guarantee = CoverageGuarantee(coverage, delta, c.size, accepted, rank)
    return Selection(threshold, guarantee)


def fails_at(rank: Int[Array, " r"], n: int, coverage: float) -> Float[Array, " r"]:
    """P(Bin(n, coverage) >= rank): the population's coverage at that rank is too small.

    >>> fails_at(np.array([821, 822]), 1000, 0.8) <= 0.05
    array([False,  True])
    """
    from scipy.special import bdtrc

    return bdtrc(np.asarray(rank, float) - 1, n, coverage)


def chow_threshold(cost_error: float, cost_abstain: float) -> float:
    """The probability of being right from which accepting is the cheaper choice.

    1 - cost_abstain / cost_error, at least 0. It is the best rule for a probability that is
    the true one; compare it with a calibrated one (`Predictions.p_correct`), not with the
    softmax. Nothing is guaranteed for a probability that is off.

    References:
        Chow, IEEE Trans. Inf. Theory 1970.

    >>> chow_threshold(10, 1)
    0.9
    """
    cost_error, cost_abstain = check_costs(cost_error, cost_abstain)
    return max(0.0, 1 - cost_abstain / cost_error)


def select_cost(
    confidence: ArrayLike,
    loss: ArrayLike,
    *,
    cost_error: float,
    cost_abstain: float,
    delta: float = 0.05,
    tune: tuple[ArrayLike, ArrayLike] | None = None,
    groups: ArrayLike | None = None,
) -> Selection:
    """Choose the threshold of the smallest mean cost on the tuning split, check it on calibration.

    With `tune` the threshold and a stake are fixed before the calibration split is seen, so that
    the guarantee's `upper`, a betting bound on calibrate costs, holds with probability
    >= 1 - delta. Without it the cheapest threshold of the calibration split is taken, its cost
    there is too low on average, and nothing is guaranteed. A right and accepted prediction costs 0.

    Args:
        confidence: Shape (n,), of the calibration split; compared as float32.
        loss: Shape (n,), 0 or 1.
        cost_error: Cost of an accepted error, > 0, in any unit.
        cost_abstain: Cost of an abstention, > 0, in the same unit.
        delta: In (0, 0.5): the probability that `upper` is too low.
        tune: Confidence and loss of the tuning split.
        groups: Shape (n,): a group of several rows is refused.

    Returns:
        A `Selection`, always feasible, whose guarantee is a `CostGuarantee`; its threshold is
        +inf where abstaining always is cheapest.

    Raises:
        InputError: Malformed input, a loss that is not 0 or 1, or a group of several rows.

    References:
        Chow, IEEE Trans. Inf. Theory 1970; `cost_upper`.

    >>> rng = np.random.default_rng(0)
    >>> confidence = rng.uniform(size=2000)
    >>> wrong = rng.uniform(size=2000) > confidence
    >>> halves = (confidence[:1000], wrong[:1000]), (confidence[1000:], wrong[1000:])
    >>> chosen = select_cost(*halves[1], cost_error=5, cost_abstain=1, tune=halves[0])
    >>> abs(chosen.threshold - chow_threshold(5, 1)) < 0.1
    True
    >>> chosen.guarantee.cost < chosen.guarantee.upper < 1
    True
    """
    cost_error, cost_abstain = check_costs(cost_error, cost_abstain)
    delta, (c, l) = check_delta(delta), check_split(confidence, loss)
    check_zero_one(l, what="costs of errors")
    refuse_groups(dependent(groups, c.size))
    tc, tl = (c, l) if tune is None else check_split(*tune, where="tune ")
    check_zero_one(tl, where="tune loss", what="costs of errors")
    threshold = _cheapest(tc, tl, cost_error, cost_abstain)

    def counted_on(c: Array, l: Array) -> CostGuarantee:
        accepts = accept(c, threshold)
        counts = (c.size, int(accepts.sum()), int(l[accepts].sum()))
        return CostGuarantee(cost_error, cost_abstain, None, None, delta, *counts)

    guarantee = counted_on(c, l)
    if tune is not None:
        guarantee = replace(guarantee, stake=_stake(counted_on(tc, tl), c.size))
        guarantee = replace(guarantee, upper=cost_upper(guarantee))
    return Selection(threshold, guarantee)


def cost_upper(guarantee: CostGuarantee) -> float:
    r"""The smallest mean cost that a bettor rules out: a function of counts and stake alone.

    With costs x in units of the larger one and a stake s in (0, 1] fixed beforehand,
    $\prod_i (1 + s (m - x_i))$ is the capital of a bettor that costs are below m. If their mean
    is m or more, it is on average at most 1, and so at least 1 / delta with probability at most
    delta, whatever the order of the bets. It grows with m.

    References:
        Waudby-Smith & Ramdas, JRSS B 2024, with one stake for all bets.

    >>> round(cost_upper(CostGuarantee(10, 1, None, 0.2, 0.05, 1000, 800, 20)), 4)
    0.5731
    """
    if guarantee.stake is None:
        raise InputError("expected a `stake` fixed by the tuning split, got none")
    values, times, scale = _costs_of(guarantee)
    return scale * _ruled_out(values, times, guarantee.stake, guarantee.delta)


def cost_interval(
    guaranteed: CostGuarantee, n: int, accepted: int, errors: int
) -> tuple[float, ...]:
    """Return 95 % limits of the mean cost of other rows, by bets at the stake of the guarantee.

    >>> guaranteed = CostGuarantee(10, 1, None, 0.2, 0.05, 1000, 800, 20)
    >>> [round(x, 3) for x in cost_interval(guaranteed, 1000, 800, 20)]
    [0.197, 0.608]
    """
    stake = min(1.0, (guaranteed.stake or 1.0) * np.sqrt(guaranteed.n / n))
    seen = replace(guaranteed, n=n, accepted=accepted, errors=errors)
    values, times, scale = _costs_of(seen)
    high = _ruled_out(values, times, stake, 0.025)
    return scale * (1 - _ruled_out(1 - values, times, stake, 0.025)), scale * high


def _costs_of(g: CostGuarantee) -> tuple[Float[Array, " 3"], Float[Array, " 3"], float]:
    """The three costs in units of the larger one, how often each was paid, and that unit."""
    scale = max(g.cost_error, g.cost_abstain)
    times = np.array([g.accepted - g.errors, g.n - g.accepted, g.errors], np.float64)
    return np.array([0.0, g.cost_abstain, g.cost_error]) / scale, times, scale


def _ruled_out(
    values: Float[Array, " 3"], times: Float[Array, " 3"], stake: float, delta: float
) -> float:
    """The smallest mean at which the capital reaches 1 / delta; 1 if none."""
    values, times = values[times > 0], times[times > 0]

    def ruled_out(mean: float) -> bool:
        with np.errstate(divide="ignore"):
            return times @ np.log1p(stake * (mean - values)) >= -np.log(delta)

    return float(bisect(ruled_out, 0.0, 1.0)[1])


def _stake(tune: CostGuarantee, n: int) -> float:
    """Return the stake for n bets, if costs vary as on the tuning split."""
    values, times, scale = _costs_of(tune)
    spread = values - tune.cost / scale
    variance = (times @ spread**2 + 1 / 4) / (tune.n + 1)  # and half a cost more
    return float(min(1.0, np.sqrt(-2 * np.log(tune.delta) / (n * variance))))


def _cheapest(
    c: Float32[Array, " t"], l: Float[Array, " t"], cost_error: float, cost_abstain: float
) -> float:
    """The threshold of the smallest summed cost; of equals, the one of more coverage."""
    grid = np.r_[np.float32(np.inf), thresholds_between(c)]
    held = counts(c, l, grid)
    accepted, errors = np.r_[0, held.accepted[1:]], np.r_[0, held.errors[1:]]
    cost = errors * cost_error + (c.size - accepted) * cost_abstain
    return float(grid[cost.size - 1 - int(np.argmin(cost[::-1]))])


def check_costs(*costs: Any) -> tuple[float, ...]:
    """Costs of an error and of an abstention, positive numbers."""
    for name, cost in zip(("cost_error", "cost_abstain"), costs):
        number = isinstance(cost, (int, float, np.integer, np.floating))
        if not (number and not isinstance(cost, bool) and 0 < cost < np.inf):
            raise InputError(f"expected `{name}` as a positive number, got {cost!r}")
    return tuple(map(float, costs))
