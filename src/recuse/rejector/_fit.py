"""`fit`, `fit_several` and `choose`: from a tune and a calibrate split to a rejector.

n = examples, K = classes, ... = any trailing axes (pixels), t = tune rows, c = calibrate rows.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from recuse._internal.check import check_fraction
from recuse._internal.public import public
from recuse.errors import InfeasibleError, InputError
from recuse.rejector._isotonic import fit_isotonic_map
from recuse.rejector._prepare import Prepared, Subgroups, prepare
from recuse.rejector._recheck import ROWS_OF_GROUPS, check_method
from recuse.rejector._rejector import Rejector
from recuse.rejector._rules import rules_of
from recuse.rejector._splits import Data
from recuse.selectors import (
    Selection,
    SubgroupSelection,
    select,
    select_by_subgroup,
    select_cost,
    select_coverage,
    select_several,
)
from recuse.selectors._cost import check_costs
from recuse.selectors._infeasible import EXAMPLES
from recuse.selectors._methods import INDEPENDENT
from recuse.tuning import Tuned

GOALS = ("target_risk", "coverage", "cost")


class Choice(NamedTuple):
    """What tune and calibrate led to."""

    tuned: Tuned
    selection: Any  # Selection; with `subgroups`, SubgroupSelection
    rejector: Rejector | None  # None if no threshold can make the promise


@public
def fit(
    tune: Data,
    calibrate: Data,
    *,
    target_risk: float | None = None,
    coverage: float | None = None,
    cost: tuple[float, float] | None = None,
    subgroups: Subgroups = None,
    delta: float = 0.05,
    method: str = "auto",
    objective: str = "aurc",
    learned: bool = True,
    seed: int = 0,
    kind: str = "logits",
    allow_overlap: bool = False,
) -> Rejector:
    """Choose the score on `tune` and the threshold on `calibrate`: the deployable artifact.

    One thing is promised: an error rate, a coverage or a mean cost. Where the calibrate data
    has groups, one row of each is used, drawn with `seed`: rows of one group are not
    independent, and the promise is about independent predictions.

    Args:
        tune: Logits (n, K, ...) and labels (n, ...), or a `LogitsFile`; not training data.
        calibrate: Likewise, of other examples from the population of the deployment.
        target_risk: The largest error rate of accepted predictions, in (0, 1).
        coverage: Instead: the smallest fraction of predictions to accept, in (0, 1).
        cost: Instead: of an accepted error, and of an abstention, both > 0. The threshold that
            is cheapest on `tune`, with a limit of its mean cost.
        subgroups: Promise `target_risk` to each predicted class ("class"), or to each population:
            one value (n,) for each row of tune, and for each of calibrate, known where the
            decision is made and given to `Rejector.predict` again. All promises hold at once.
        delta: The probability that the promise fails, in (0, 0.5).
        method: For a target risk, as in `select`; not "betting", which counts do not show.
        objective: What a repair is to improve on `tune`: "aurc", "augrc", or "coverage", the
            largest at `target_risk`.
        learned: Whether to try the learned score, as in `tune`.
        seed: Of the folds in `tune` and of the rows taken from groups.
        kind: What the files hold, recorded for `predict`: "logits", "binary" or "probs".
        allow_overlap: Fit although tune and calibrate share examples; the promise is void.

    Raises:
        InfeasibleError: No threshold can make the promise; it says what could be promised.
        InputError: Malformed input, none or two of the three promises, or tune and calibrate
            share examples.

    References:
        `recuse.tune` and `recuse.selectors`, which do the two steps.

    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> labels = rng.integers(0, 3, 4000)
    >>> logits = 3 * np.eye(3)[labels] + rng.normal(size=(4000, 3))
    >>> halves = (logits[:2000], labels[:2000]), (logits[2000:], labels[2000:])
    >>> fit(*halves, coverage=0.9, learned=False).guarantee.kind
    'coverage'
    >>> [rule.of for rule in fit(*halves, target_risk=0.05, subgroups="class", learned=False).rules]
    [0, 1, 2]
    """
    choice = choose(
        tune,
        calibrate,
        target_risk=target_risk,
        coverage=coverage,
        cost=cost,
        subgroups=subgroups,
        delta=delta,
        method=method,
        objective=objective,
        learned=learned,
        seed=seed,
        kind=kind,
        allow_overlap=allow_overlap,
    )
    if choice.rejector is None:
        raise InfeasibleError(choice.selection)
    return choice.rejector


def choose(
    tune: Data,
    calibrate: Data,
    *,
    target_risk: float | None = None,
    coverage: float | None = None,
    cost: tuple[float, float] | None = None,
    subgroups: Subgroups = None,
    delta: float = 0.05,
    method: str = "auto",
    objective: str = "aurc",
    learned: bool = True,
    seed: int = 0,
    kind: str = "logits",
    allow_overlap: bool = False,
) -> Choice:
    """`fit` with everything it found out on the way; infeasible is an answer, not an error."""
    goal = _one_goal(target_risk, coverage, cost)
    check_method(method)
    if goal != "target_risk":
        _refuse_with(goal, subgroups=subgroups is not None, objective=objective == "coverage")
        _refuse_with(goal, method=method != "auto")
    splits = prepare(
        tune,
        calibrate,
        subgroups=subgroups,
        kind=kind,
        seed=seed,
        allow_overlap=allow_overlap,
        tuning={"objective": objective, "target_risk": target_risk, "learned": learned},
    )
    c, wrong, of = splits.held
    if goal == "coverage":
        selection = select_coverage(c, coverage=coverage, delta=delta)  # ty: ignore[invalid-argument-type]
    elif goal == "cost":
        selection = select_cost(c, wrong, **_costs(cost), delta=delta, tune=splits.seen[:2])
    else:
        risk: Any = {"target_risk": target_risk, "delta": delta, "method": method}
        if of is None:
            selection = select(c, wrong, **risk, tune=splits.seen[:2])
        else:
            selection = select_by_subgroup(c, wrong, of, **risk, tune=splits.seen, by=splits.by)  # ty: ignore[invalid-argument-type]
    return chosen(splits, selection, delta)


def fit_several(
    tune: Data,
    calibrate: Data,
    *,
    target_risks: Sequence[float],
    delta: float = 0.05,
    method: str = "auto",
    objective: str = "aurc",
    learned: bool = True,
    seed: int = 0,
    kind: str = "logits",
    allow_overlap: bool = False,
) -> tuple[Choice, ...]:
    """A choice for each target risk, with one score; all their promises hold at once.

    Each is at delta over their number, so that one may be taken after looking at all.

    Args:
        tune: As in `fit`.
        calibrate: As in `fit`.
        target_risks: Each in (0, 1), all of them named beforehand.
        delta: The probability that any promise fails, in (0, 0.5).
        method: As in `fit`.
        objective: "aurc" or "augrc".
        learned: As in `fit`.
        seed: As in `fit`.
        kind: As in `fit`.
        allow_overlap: As in `fit`.

    Returns:
        In the order of the targets; where no threshold can make the promise, without a rejector.

    Raises:
        InputError: No target, a target twice, or as `fit`.

    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> labels = rng.integers(0, 3, 4000)
    >>> logits = 3 * np.eye(3)[labels] + rng.normal(size=(4000, 3))
    >>> halves = (logits[:2000], labels[:2000]), (logits[2000:], labels[2000:])
    >>> found = fit_several(*halves, target_risks=(0.0001, 0.05), learned=False)
    >>> [choice.rejector is None for choice in found]
    [True, False]
    """
    check_method(method)
    if objective == "coverage":
        raise InputError("expected `objective` aurc or augrc with several target risks")
    for target in target_risks:
        check_fraction(target, "target_risk")
    splits = prepare(
        tune,
        calibrate,
        subgroups=None,
        kind=kind,
        seed=seed,
        allow_overlap=allow_overlap,
        tuning={"objective": objective, "learned": learned},
    )
    found = select_several(
        *splits.held[:2],
        target_risks=target_risks,
        delta=delta,
        method=method,
        tune=splits.seen[:2],
    )
    return tuple(chosen(splits, selection, selection.guarantee.delta) for selection in found)


def _one_goal(*given: Any) -> str:
    """Which of the three promises is asked for."""
    names = [name for name, value in zip(GOALS, given) if value is not None]
    if len(names) != 1:
        got = " and ".join(f"`{name}`" for name in names) or "none"
        raise InputError(f"expected one of `target_risk`, `coverage` and `cost`, got {got}")
    if given[2] is not None:
        _costs(given[2])
    else:
        check_fraction(next(value for value in given if value is not None), names[0])
    return names[0]


def _costs(cost: Any) -> dict[str, float]:
    """Of an error and of an abstention."""
    if not isinstance(cost, (tuple, list)) or len(cost) != 2:
        raise InputError(f"expected `cost` as (of an error, of an abstention), got {cost!r}")
    return dict(zip(("cost_error", "cost_abstain"), check_costs(*cost)))


def _refuse_with(goal: str, **given: bool) -> None:
    for name, there in given.items():
        if there:
            value = "'coverage'" if name == "objective" else "it"
            raise InputError(f"expected `{name}` with a target risk alone, got {value} with {goal}")


def chosen(splits: Prepared, selection: Selection | SubgroupSelection, delta: float) -> Choice:
    """The rejector of what was selected, whose words say how rows were taken."""
    if splits.calibrate.groups is not None:
        selection = _guaranteeing(selection, _of_groups)
    if splits.shared:
        selection = _guaranteeing(selection, lambda guarantee: replace(guarantee, void=True))
    if not selection.feasible:
        return Choice(splits.tuned, selection, None)
    classes, used = splits.tune.logits.shape[1], len(splits.held.wrong)
    t, c = splits.tune, splits.calibrate
    rejector = Rejector(
        score=splits.tuned.score,
        rules=rules_of(selection, classes),
        classes=classes,
        isotonic_map=fit_isotonic_map(splits.seen.confidence, ~splits.seen.wrong),
        reason=splits.tuned.reason,
        splits={
            "tune": {"n": len(t), "digest": t.digest, "log_probs": splits.log_probs},
            "calibrate": {"n": len(c), "used": used, "digest": c.digest},
        },
        kind=splits.kind,
        by=splits.by,
        delta=delta,
    )
    return Choice(splits.tuned, selection, rejector)


def _of_groups(guarantee: Any) -> Any:
    """The promise of a fit on one row of each group."""
    assumption = guarantee.assumption.replace(INDEPENDENT, ROWS_OF_GROUPS)
    return replace(guarantee, unit="groups", assumption=assumption)


def _guaranteeing(selection: Any, changed: Callable[[Any], Any]) -> Any:
    """The same with another promise, in words that say so."""
    if isinstance(selection, SubgroupSelection):
        each = {name: _guaranteeing(s, changed) for name, s in selection.selections.items()}
        return replace(selection, selections=each)
    guarantee = changed(selection.guarantee)
    infeasible = selection.reason.replace(EXAMPLES, f"calibrate {guarantee.unit}")
    reason = str(guarantee) if selection.feasible else infeasible
    return replace(selection, guarantee=guarantee, reason=reason)
