"""`fit`, `fit_several` and `choose`: from a tune and a calibrate split to a rejector.

n = examples, K = classes, ... = any trailing axes (pixels), t = tune rows, c = calibrate rows.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

from recuse._check import InputError, check_fraction
from recuse.io import LogitsFile, naming
from recuse.overlap import overlap
from recuse.rejector._knots import fit_knots
from recuse.rejector._promise import check_method
from recuse.rejector._rejector import Rejector, check_kind
from recuse.rejector._rules import ALL, CLASS, GROUP, names_of, rules_of
from recuse.rejector._splits import (
    Data,
    as_file,
    index_of_one,
    rows_of_predictions,
    whole,
)
from recuse.scores import predict
from recuse.selectors import (
    GroupSelection,
    Selection,
    select,
    select_by_group,
    select_cost,
    select_coverage,
    select_several,
)
from recuse.selectors._cost import check_costs
from recuse.selectors._methods import INDEPENDENT
from recuse.tune import Tuned, tune

if TYPE_CHECKING:
    from numpy import ndarray as Array
    from numpy.typing import ArrayLike

Per = str | tuple[Any, Any] | None  # "class", or groups of tune and of calibrate rows
GOALS = ("target_risk", "coverage", "cost")
ROWS_OF_GROUPS = (
    "groups are independent draws from the deployment population, one random row of each was "
    "used, and the promise is for a random row of a random group"
)


class Infeasible(ValueError):
    """No threshold can make the promise; `selection` says why and what could."""

    def __init__(self, selection: Selection | GroupSelection):
        super().__init__(selection.reason)
        self.selection = selection


class Choice(NamedTuple):
    """What tune and calibrate led to."""

    tuned: Tuned
    selection: Any  # Selection; with `per`, GroupSelection
    rejector: Rejector | None  # None if no threshold can make the promise


class Judged(NamedTuple):
    """Confidence and whether the prediction is wrong, of every row, and its population."""

    confidence: Array
    wrong: Array
    of: Array | None


class Ready(NamedTuple):
    """Both splits, under the score that `tune` chose."""

    tuned: Tuned
    tune: LogitsFile
    calibrate: LogitsFile  # all of it
    seen: Judged  # of the tune split
    held: Judged  # of the calibrate split, one row of each group
    by: str
    shared: bool  # rows in both
    kind: str


def fit(
    tune: Data,
    calibrate: Data,
    *,
    target_risk: float | None = None,
    coverage: float | None = None,
    cost: tuple[float, float] | None = None,
    per: Per = None,
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
        per: Promise `target_risk` to each predicted class ("class"), or to each population:
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
        Infeasible: No threshold can make the promise; it says what could be promised.
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
    >>> [rule.of for rule in fit(*halves, target_risk=0.05, per="class", learned=False).rules]
    [0, 1, 2]
    """
    choice = choose(
        tune,
        calibrate,
        target_risk=target_risk,
        coverage=coverage,
        cost=cost,
        per=per,
        delta=delta,
        method=method,
        objective=objective,
        learned=learned,
        seed=seed,
        kind=kind,
        allow_overlap=allow_overlap,
    )
    if choice.rejector is None:
        raise Infeasible(choice.selection)
    return choice.rejector


def choose(
    tune: Data,
    calibrate: Data,
    *,
    target_risk: float | None = None,
    coverage: float | None = None,
    cost: tuple[float, float] | None = None,
    per: Per = None,
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
        _refuse_with(goal, per=per is not None, objective=objective == "coverage")
        _refuse_with(goal, method=method != "auto")
    ready = _ready(
        tune,
        calibrate,
        per=per,
        kind=kind,
        seed=seed,
        allow_overlap=allow_overlap,
        tuning={"objective": objective, "target_risk": target_risk, "learned": learned},
    )
    c, wrong, of = ready.held
    if goal == "coverage":
        selection = select_coverage(c, coverage=coverage, delta=delta)  # ty: ignore[invalid-argument-type]
    elif goal == "cost":
        selection = select_cost(c, wrong, **_costs(cost), delta=delta, tune=ready.seen[:2])
    else:
        risk: Any = {"target_risk": target_risk, "delta": delta, "method": method}
        if of is None:
            selection = select(c, wrong, **risk, tune=ready.seen[:2])
        else:
            selection = select_by_group(c, wrong, of, **risk, tune=ready.seen, by=ready.by)  # ty: ignore[invalid-argument-type]
    return _chosen(ready, selection, delta)


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
    ready = _ready(
        tune,
        calibrate,
        per=None,
        kind=kind,
        seed=seed,
        allow_overlap=allow_overlap,
        tuning={"objective": objective, "learned": learned},
    )
    found = select_several(
        *ready.held[:2],
        target_risks=target_risks,
        delta=delta,
        method=method,
        tune=ready.seen[:2],
    )
    return tuple(_chosen(ready, selection, selection.guarantee.delta) for selection in found)


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


def _ready(
    tune: Data,
    calibrate: Data,
    *,
    per: Per,
    kind: str,
    seed: int,
    allow_overlap: bool,
    tuning: dict[str, Any],
) -> Ready:
    """Tune the score, and judge both splits by it."""
    t, c = as_file(tune, "tune"), as_file(calibrate, "calibrate")
    check_kind(kind, t.logits.shape[1])
    by, of_tune, of_calibrate = _populations(per, tune, calibrate)
    shared = _shared(t, c, allow_overlap)
    tuned = _tune(t, kind, seed=seed, **tuning)
    one = index_of_one(c, seed)
    held = _judged(tuned, c.rows(one), by, None if of_calibrate is None else of_calibrate[one])
    seen = _judged(tuned, t, by, of_tune)
    return Ready(tuned, t, c, seen, held, by, bool(shared), kind)


def _populations(per: Per, tune: Data, calibrate: Data) -> tuple[str, Array | None, Array | None]:
    """What the rules are for, and the population of every prediction of both splits."""
    if per is None or (isinstance(per, str) and per == "class"):
        return ALL if per is None else CLASS, None, None
    if not isinstance(per, (tuple, list)) or len(per) != 2:
        raise InputError(
            f'expected `per` "class", or (groups of tune rows, groups of calibrate rows), '
            f"got {per!r}"
        )
    of_tune, of_calibrate = _spread(per[0], tune, "tune"), _spread(per[1], calibrate, "calibrate")
    if (of_tune.dtype.kind == "U") != (of_calibrate.dtype.kind == "U"):
        raise InputError("expected `per` of groups of one kind, got integers and text")
    return GROUP, of_tune, of_calibrate


def _spread(groups: ArrayLike, data: Data, name: str) -> Array:
    """Groups of rows as those of predictions."""
    file = whole(data, name)
    with naming(name):
        return names_of(groups, len(file), "`per`")[rows_of_predictions(file)]


def _shared(tune: LogitsFile, calibrate: LogitsFile, allowed: bool) -> str | None:
    """What the splits have in common; an error unless that is allowed."""
    if tune.logits.shape[1] != calibrate.logits.shape[1]:
        raise InputError(
            f"expected tune and calibrate of the same number of classes, got "
            f"{tune.logits.shape[1]} in {tune.name} and "
            f"{calibrate.logits.shape[1]} in {calibrate.name}"
        )
    shared = overlap(tune, calibrate)
    if shared and not allowed:
        raise InputError(f"expected disjoint tune and calibrate splits, got {shared}")
    return shared


def _tune(file: LogitsFile, kind: str, **options: Any) -> Tuned:
    logits, labels = file.labelled()
    return tune(logits, labels, groups=file.groups, kind=kind, **options)


def _judged(tuned: Tuned, file: LogitsFile, by: str, of: Array | None) -> Judged:
    """Confidence and error of every row; the predicted class where the rules are for classes."""
    logits, labels = file.labelled()
    label = predict(logits)
    return Judged(tuned.score(logits), label != labels, label if by == CLASS else of)


def _chosen(ready: Ready, selection: Selection | GroupSelection, delta: float) -> Choice:
    """The rejector of what was selected, whose words say how rows were taken."""
    if ready.calibrate.groups is not None:
        selection = _promising(selection, _of_groups)
    if ready.shared:
        selection = _promising(selection, lambda promise: replace(promise, void=True))
    if not selection.feasible:
        return Choice(ready.tuned, selection, None)
    classes, used = ready.tune.logits.shape[1], len(ready.held.wrong)
    t, c = ready.tune, ready.calibrate
    rejector = Rejector(
        score=ready.tuned.score,
        rules=rules_of(selection, classes),
        classes=classes,
        knots=fit_knots(ready.seen.confidence, ~ready.seen.wrong),
        reason=ready.tuned.reason,
        splits={
            "tune": {"n": len(t), "digest": t.digest},
            "calibrate": {"n": len(c), "used": used, "digest": c.digest},
        },
        kind=ready.kind,
        by=ready.by,
        delta=delta,
    )
    return Choice(ready.tuned, selection, rejector)


def _of_groups(promise: Any) -> Any:
    """The promise of a fit on one row of each group."""
    assumption = promise.assumption.replace(INDEPENDENT, ROWS_OF_GROUPS)
    return replace(promise, unit="groups", assumption=assumption)


def _promising(selection: Any, changed: Callable[[Any], Any]) -> Any:
    """The same with another promise, in words that say so."""
    if isinstance(selection, GroupSelection):
        each = {name: _promising(s, changed) for name, s in selection.selections.items()}
        return replace(selection, selections=each)
    guarantee = changed(selection.guarantee)
    reason = str(guarantee) if selection.feasible else selection.reason
    return replace(selection, guarantee=guarantee, reason=reason)
