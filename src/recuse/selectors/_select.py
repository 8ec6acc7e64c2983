"""A threshold for one target risk or for several; if there is none, what would be feasible.

n = calibration rows, m = thresholds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import chain
from typing import TYPE_CHECKING

import numpy as np

from recuse._internal import public
from recuse._internal.check import (
    check_confidence,
    check_delta,
    check_fraction,
    check_groups,
    check_loss,
    is_number,
)
from recuse.bounds._binomial import upper
from recuse.errors import InputError
from recuse.selectors._grid import Counts, is_binary
from recuse.selectors._guarantee import (
    ACCEPTED,
    AMONG,
    GROUP_MEANS,
    IID_ROWS,
    Guarantee,
    Infeasible,
    Selection,
)
from recuse.selectors._joint import JOINT, METHODS_AMONG
from recuse.selectors._labels import law_of, needed
from recuse.selectors._methods import POINTS, Method, Plan, Splits, default_method

if TYPE_CHECKING:
    from jaxtyping import Float, Float32, Int
    from numpy import ndarray as Array
    from numpy.typing import ArrayLike

# try every threshold, so that one above a floor is among them
FLOORED = ("random_walk", "bonferroni", "band", "monotone")


@public
def select(
    confidence: ArrayLike,
    loss: ArrayLike,
    *,
    target_risk: float,
    delta: float = 0.05,
    method: str = "auto",
    among: str = ACCEPTED,
    tune: tuple[ArrayLike, ArrayLike] | None = None,
    groups: ArrayLike | None = None,
    seed: int | None = 0,
    floor: float = -np.inf,
) -> Selection:
    """Choose a threshold on the calibration split so that the risk stays under a target.

    | method | thresholds | test of each | needs |
    |---|---|---|---|
    | "fixed_sequence" | about 100 from the tuning split, from where that split lets one expect the clearest pass towards more coverage, until the first failure | exact binomial at `delta`; Hoeffding-Bentkus for other losses | `tune` |
    | "betting" | the same | betting on the losses, or on means of groups, at `delta` | `tune` |
    | "random_walk" | all | a boundary that a walk of Bernoulli(target_risk) errors crosses with probability `delta`, or a chain of ranks beside it; `docs/every-rank.md` | 0-1 losses |
    | "bonferroni" | 20 ranks of the calibration split, each without its boundary point | exact binomial or Hoeffding-Bentkus at `delta` / 20 | |
    | "band" | 50 from the tuning split, or ranks as above | exact binomial or Hoeffding-Bentkus at `delta` / 50: `band` answers any target at the same price | |
    | "sgr" | a binary search over ranks | exact binomial at `delta` / ceil(log2 n) | 0-1 losses; no proof, see `docs/thresholds.md` |
    | "monotone" | all | exact binomial at `delta` of the accepted errors among all n rows; Hoeffding-Bentkus for other losses | `among="all"`, and no other method with it |

    "auto" is the first with `tune`, 0-1 losses and independent rows, the second with `tune`
    and others; without `tune` the third for 0-1 losses of at most ten million rows, since it
    takes time, the fourth for others.

    Args:
        confidence: Shape (n,), of the calibration split; compared as float32.
        loss: Shape (n,), in [0, 1]: 0 or 1 (errors), or any between for those methods that
            say so.
        target_risk: In (0, 1).
        delta: In (0, 0.5): the probability that the guarantee fails.
        method: As above.
        among: "accepted": at most `target_risk` of the accepted predictions are wrong. "all": at
            most `target_risk` of all predictions are accepted and wrong, which more coverage has;
            `docs/which-guarantee.md` says when to choose it.
        tune: Confidence and loss of the tuning split; not with `among="all"`.
        groups: Shape (n,): rows of one group are not independent. A group of several
            rows is refused by all but "betting", since a binomial would count it several
            times; keep one row of each, or bet.
        seed: Random seed of the order of the bets. None is the order of the rows (of groups: of their
            values), valid only if it says nothing of the losses: not in a file sorted by
            confidence or class, nor in one that has its sites one after the other.
        floor: No lower threshold is deployed, as where another guarantee needs one. It may depend
            on the calibration rows: the widest passing threshold above it is taken. Not with
            `tune`, nor with "sgr", which try no thresholds above one that has passed.

    Raises:
        InputError: Malformed input, a loss that the method does not take, or a group of
            several rows.

    References:
        Angelopoulos et al., Learn then Test, 2021 (fixed-sequence testing); Bauer, Math.
        Meth. Oper. Forsch. 1991 (its principle); `recuse.bounds` (the tests).

    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> confidence = rng.uniform(size=1000)
    >>> wrong = rng.uniform(size=1000) > confidence
    >>> selection = select(confidence, wrong, target_risk=0.2)
    >>> selection.feasible, 0 < selection.threshold < 1
    (True, True)
    >>> select(confidence[:20], wrong[:20], target_risk=0.01).threshold
    inf
    >>> print(select(confidence, wrong, target_risk=0.05, among="all").reason[:75])
    With 95 % confidence, at most 5 % of all predictions are accepted and wrong
    """  # noqa: E501
    target_risk, delta = check_fraction(target_risk, "target_risk"), check_delta(delta)
    methods = methods_among(among)
    c, l = check_split(confidence, loss)
    t = None if tune is None else check_split(*tune, where="tune ")
    if t is not None and methods is JOINT:
        raise InputError("expected no `tune` with among='all', which tests every threshold")
    splits = Splits(c, l, t, dependent(groups, c.size), seed, _checked_floor(floor))
    auto = next(iter(JOINT)) if methods is JOINT else default_method(splits)
    name = auto if method == "auto" else method
    if name not in methods:
        of = " with among='all'" if methods is JOINT else ""
        raise InputError(f"expected `method` auto, {', '.join(methods)}{of}, got {method!r}")
    if name != "betting":
        refuse_groups(splits.groups)
    if splits.floor > -np.inf and (t is not None or name not in FLOORED):
        raise InputError(
            f"expected no `tune` and `method` auto, {', '.join(FLOORED)} with a floor, got {name!r}"
        )
    plan = methods[name].plan(splits, target_risk, delta)
    return selection_of(name, plan, splits, target_risk, delta, among)


def select_several(
    confidence: ArrayLike,
    loss: ArrayLike,
    *,
    target_risks: Sequence[float],
    delta: float = 0.05,
    method: str = "auto",
    among: str = ACCEPTED,
    tune: tuple[ArrayLike, ArrayLike] | None = None,
    groups: ArrayLike | None = None,
    seed: int | None = 0,
) -> tuple[Selection, ...]:
    """One `select` for each target risk, at delta over their number: all hold at once.

    With probability >= 1 - delta all guarantees hold, so that one of the thresholds may be taken
    after looking at all of them. For many targets, or for targets that are not known
    beforehand, `band` is divided once and answers any.

    Args:
        confidence: Shape (n,), of the calibration split.
        loss: Shape (n,), as in `select`.
        target_risks: Each in (0, 1), all of them named beforehand.
        delta: In (0, 0.5): the probability that any guarantee fails.
        method: As in `select`.
        among: As in `select`.
        tune: As in `select`.
        groups: As in `select`.
        seed: As in `select`.

    Returns:
        A selection for each target, in their order; some may be infeasible.

    Raises:
        InputError: No target, a target twice, or as `select`.

    >>> rng = np.random.default_rng(0)
    >>> confidence = rng.uniform(size=2000)
    >>> wrong = rng.uniform(size=2000) > confidence
    >>> [s.feasible for s in select_several(confidence, wrong, target_risks=(0.1, 0.2, 0.3))]
    [True, True, True]
    """
    if not len(target_risks) or len(set(target_risks)) < len(target_risks):
        raise InputError(f"expected distinct `target_risks`, at least one, got {target_risks}")
    share = check_delta(delta) / len(target_risks)
    found = [
        select(
            confidence,
            loss,
            target_risk=target,
            delta=share,
            method=method,
            among=among,
            tune=tune,
            groups=groups,
            seed=seed,
        )
        for target in target_risks
    ]
    return tuple(replace(s, guarantee=replace(s.guarantee, simultaneous=len(found))) for s in found)


def _checked_floor(floor: float) -> float:
    """Return a number that is not NaN."""
    if not is_number(floor) or np.isnan(float(floor)):
        raise InputError(f"expected a number as `floor`, got {floor!r}")
    return np.float64(floor)  # compared in float64


def methods_among(among: str) -> Mapping[str, Method]:
    """Return the methods for a share of the accepted, or of all predictions."""
    if among not in AMONG:
        raise InputError(f"expected `among` {' or '.join(AMONG)}, got {among!r}")
    return METHODS_AMONG[among]


def selection_of(
    method: str, plan: Plan, splits: Splits, target_risk: float, delta: float, among: str
) -> Selection:
    """Return what the plan deploys, or why nothing."""
    index, n = plan.choose(target_risk), splits.confidence.size
    iid = IID_ROWS if splits.groups is None else GROUP_MEANS
    guarantee = Guarantee(
        target_risk,
        delta,
        method,
        n,
        accepted=0,
        errors=0,
        assumptions=(iid, *METHODS_AMONG[among][method].assumptions),
        points=POINTS if method == "band" else None,
        among=among,
    )
    if index is None:
        return Selection(float("inf"), guarantee, _infeasible(plan, splits, target_risk, delta))
    accepted, errors = (column[index].item() for column in plan.held)
    guarantee = replace(guarantee, accepted=accepted, errors=errors, bets=plan.bets(index))
    return Selection(float(plan.grid[index]), guarantee)


def _infeasible(plan: Plan, splits: Splits, target: float, delta: float) -> Infeasible:
    rows, no_estimate = _estimate(plan, splits, target)
    none = hopeless(plan.seen, target, delta)
    return Infeasible(
        smallest_target(plan, target),
        None if none else rows,
        tuning_rows_too=splits.tune is not None and plan.held is not plan.seen,
        error_free_rows=plan.free(target),
        hopeless=none,
        no_estimate=None if none else no_estimate,
    )


def _estimate(plan: Plan, splits: Splits, target: float) -> tuple[int | None, str | None]:
    """Return about how many rows would be enough, or why that cannot be estimated."""
    if splits.groups is not None:
        return None, "groups"
    if splits.floor > -np.inf:
        return None, "misses"
    if not splits.binary:
        return None, "losses"
    n = splits.confidence.size
    if (found := rows_needed(plan, n, target)) is not None:
        return found, None
    return None, "above" if _enough(plan, n, target) is None else "enough"


def smallest_target(plan: Plan, target: float) -> float | None:
    """The smallest target for which a threshold passes.

    In steps of 0.1 %; below 1 %, of two digits.
    It may be below the asked one: a fixed sequence starts elsewhere for another target.
    """
    least = plan.scan_from()
    digits = (d / 10**place for place in range(10, 3, -1) for d in range(10, 100))
    targets = (t for t in chain(digits, (t / 1000 for t in range(10, 1000))) if t > least)
    return next((t for t in targets if t != target and plan.choose(t) is not None), None)


def rows_needed(plan: Plan, n: int, target: float) -> int | None:
    """Return about how many calibration rows would pass in four draws of five; None if unclear.

    Were the risk a power law of the coverage with the error rate and the AURC of all counts.
    As many tuning rows must then say where to begin.
    """
    found = _enough(plan, n, target)
    return found if found is not None and found > n else None


def _enough(plan: Plan, n: int, target: float) -> int | None:
    """Return about how many rows pass, whether or not there are as many."""
    if plan.enough is not None:
        return plan.enough(target)
    seen, n_seen = plan.known(n)
    if not seen.accepted.any():
        return None
    return needed(law_of(seen, n_seen), target, plan.level if plan.alike is None else plan.alike)


def hopeless(seen: Counts, target: float, delta: float) -> bool:
    """Return whether the risk is clearly above the target at every threshold."""
    accepted, errors = seen
    lower = 1 - upper(accepted - errors, accepted, delta)
    return bool(np.all(lower > target))


def check_split(
    confidence: ArrayLike, loss: ArrayLike, *, where: str = ""
) -> tuple[Float32[Array, " n"], Float[Array, " n"]]:
    """Confidence as float32 and loss as float64 in [0, 1]."""
    name = (lambda x: f"{where}{x}") if where else (lambda x: f"`{x}`")
    c = check_confidence(confidence, where=name("confidence")).astype(np.float32)
    l = check_loss(loss, c.size, where=name("loss"))
    if not is_binary(l) and l.max() > 1:
        row = int(np.argmax(l > 1))
        raise InputError(f"expected {name('loss')} in [0, 1], got {l[row]} at row {row}")
    return c, l


def dependent(groups: ArrayLike | None, n: int) -> Int[Array, " n"] | None:
    """Codes of the groups; None where each is one row."""
    if groups is None:
        return None
    codes = check_groups(groups, n, where="`groups`")
    return None if codes.max() + 1 == n else codes


def refuse_groups(codes: Int[Array, " n"] | None) -> None:
    """An error for rows that a binomial may not count."""
    if codes is not None:
        raise InputError(
            f"expected one row for each group, got {codes.size} rows of {codes.max() + 1} "
            "groups: rows of one group are not independent, so keep one of each"
        )
