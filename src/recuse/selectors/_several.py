"""Several target risks whose promises hold at once.

n = calibrate examples.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from recuse._internal.check import check_delta
from recuse.errors import InputError
from recuse.selectors._guarantee import Selection, sure
from recuse.selectors._select import select

if TYPE_CHECKING:
    from numpy.typing import ArrayLike


def select_several(
    confidence: ArrayLike,
    loss: ArrayLike,
    *,
    target_risks: Sequence[float],
    delta: float = 0.05,
    method: str = "auto",
    tune: tuple[ArrayLike, ArrayLike] | None = None,
    groups: ArrayLike | None = None,
    seed: int | None = 0,
) -> tuple[Selection, ...]:
    """One `select` for each target risk, at delta over their number: all hold at once.

    With probability >= 1 - delta no promise fails, so that one of the thresholds may be taken
    after looking at all of them. For many targets, or for targets that are not known
    beforehand, `band` is divided once and answers any.

    Args:
        confidence: Shape (n,), of the calibrate split.
        loss: Shape (n,), as in `select`.
        target_risks: Each in (0, 1), all of them named beforehand.
        delta: In (0, 0.5): the probability that any promise fails.
        method: As in `select`.
        tune: As in `select`.
        groups: As in `select`.
        seed: As in `select`.

    Returns:
        A selection for each target, in their order; some may be infeasible.

    Raises:
        InputError: No target, a target twice, or as `select`.

    >>> import numpy as np
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
            tune=tune,
            groups=groups,
            seed=seed,
        )
        for target in target_risks
    ]
    return tuple(_saying(s, together(len(found), delta)) for s in found)


def together(count: int, delta: float) -> str:
    """What several promises say besides; nothing if there is one."""
    more = f"; {count} such promises hold at once with {sure(delta)} confidence"
    return more if count > 1 else ""


def _saying(selection: Selection, more: str) -> Selection:
    """The same with words added to its assumption."""
    guarantee = replace(selection.guarantee, assumption=selection.guarantee.assumption + more)
    reason = str(guarantee) if selection.feasible else selection.reason
    return replace(selection, guarantee=guarantee, reason=reason)
