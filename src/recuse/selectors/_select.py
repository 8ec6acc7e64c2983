"""One threshold for one target risk.

n = calibrate examples.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from recuse._internal.check import (
    check_confidence,
    check_delta,
    check_fraction,
    check_groups,
    check_loss,
)
from recuse._internal.public import public
from recuse.errors import InputError
from recuse.selectors._grid import is_binary
from recuse.selectors._guarantee import Guarantee, Selection
from recuse.selectors._infeasible import rows_needed, smallest_target, why
from recuse.selectors._methods import METHODS, Plan, Splits, default_method

if TYPE_CHECKING:
    from jaxtyping import Float, Float32, Int
    from numpy import ndarray as Array
    from numpy.typing import ArrayLike


@public
def select(
    confidence: ArrayLike,
    loss: ArrayLike,
    *,
    target_risk: float,
    delta: float = 0.05,
    method: str = "auto",
    tune: tuple[ArrayLike, ArrayLike] | None = None,
    groups: ArrayLike | None = None,
    seed: int | None = 0,
) -> Selection:
    """Choose a threshold on the calibrate split so that the risk stays under a target.

    | method | thresholds | test of each | needs |
    |---|---|---|---|
    | "fixed_sequence" | about 100 from the tune split, from where that split lets one expect the clearest pass towards more coverage, until the first failure | exact binomial at `delta`; Hoeffding-Bentkus for other losses | `tune` |
    | "betting" | the same | betting on the losses, or on means of groups, at `delta` | `tune` |
    | "random_walk" | all | exact binomial, at a level calibrated on a walk of Bernoulli(target_risk) errors | a risk that does not fall as the coverage grows; 0-1 losses |
    | "bonferroni" | 20 ranks of the calibrate split, each without its boundary point | exact binomial or Hoeffding-Bentkus at `delta` / 20 | |
    | "band" | 50 from the tune split, or ranks as above | exact binomial or Hoeffding-Bentkus at `delta` / 50: `band` answers any target at the same price | |
    | "sgr" | a binary search over ranks | exact binomial at `delta` / ceil(log2 n) | 0-1 losses; no proof, see `docs/thresholds.md` |

    "auto" is the first with `tune`, 0-1 losses and independent rows, the second with `tune`
    and others; without `tune` the third for 0-1 losses of at most 200,000 rows, since it takes
    time, the fourth for others.

    Args:
        confidence: Shape (n,), of the calibrate split; compared as float32.
        loss: Shape (n,), in [0, 1]: 0 or 1 (errors), or any between for those methods that
            say so.
        target_risk: In (0, 1).
        delta: In (0, 0.5): the probability that the promise fails.
        method: As above.
        tune: Confidence and loss of the tune split.
        groups: Shape (n,): rows of one group are not independent. A group of several
            rows is refused by all but "betting", since a binomial would count it several
            times; keep one row of each, or bet.
        seed: Of the order of the bets. None is the order of the rows (of groups: of their
            values), valid only if it says nothing of the losses: not in a file sorted by
            confidence or class, nor in one that has its sites one after the other.

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
    """  # noqa: E501
    target_risk, delta = check_fraction(target_risk, "target_risk"), check_delta(delta)
    c, l = check_split(confidence, loss)
    t = None if tune is None else check_split(*tune, where="tune ")
    splits = Splits(c, l, t, dependent(groups, c.size), seed)
    name = default_method(splits) if method == "auto" else method
    if name not in METHODS:
        raise InputError(f"expected `method` auto, {', '.join(METHODS)}, got {method!r}")
    if name != "betting":
        refuse_groups(splits.groups)
    return selection_of(name, METHODS[name](splits, target_risk, delta), splits, target_risk, delta)


def selection_of(
    method: str, plan: Plan, splits: Splits, target_risk: float, delta: float
) -> Selection:
    """What the plan deploys, or why nothing."""
    index, n = plan.choose(target_risk), splits.confidence.size
    guarantee = Guarantee(target_risk, delta, method, n, 0, 0, plan.assumption)
    if index is None:
        best, rows = smallest_target(plan, target_risk), None
        if splits.groups is None:
            rows = rows_needed(plan, n, target_risk)
        reason = why(plan, target_risk, delta, n, best, rows)
        return Selection(float("inf"), False, guarantee, reason, best, rows)
    accepted, errors = (column[index].item() for column in plan.held)
    guarantee = replace(guarantee, accepted=accepted, errors=errors)
    return Selection(float(plan.grid[index]), True, guarantee, str(guarantee))


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
