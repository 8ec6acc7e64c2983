"""`fit`, `fit_several` and `choose`: from a tuning and a calibration split to a rejector.

n = examples, K = classes, ... = any trailing axes (pixels), t = tuning rows, c = calibration rows.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np

from recuse._internal import public
from recuse._internal.check import check_fraction
from recuse.errors import InfeasibleError, InputError
from recuse.io import HeldOut
from recuse.io._overlap import row_samples
from recuse.rejector._model import Fingerprint, fingerprint, sampled
from recuse.rejector._prepare import REPEATED_IDS, Data, Prepared, Subgroups, prepare
from recuse.rejector._rejector import Rejector, fit_isotonic_map
from recuse.rejector._rules import rules_of
from recuse.scores import without_filler
from recuse.selectors import (
    Selection,
    SubgroupSelection,
    select,
    select_by_subgroup,
    select_cost,
    select_coverage,
    select_several,
)
from recuse.selectors._goals import check_costs
from recuse.selectors._guarantee import GROUPS, IID_GROUPS, IID_ROWS
from recuse.selectors._recheck import check_method
from recuse.tuning import Tuned
from recuse.tuning._candidates import possible


@dataclass(frozen=True)
class Options:
    """Keywords of `fit`, which documents them, checked."""

    target_risk: float | None = None
    coverage: float | None = None
    cost: Any = None
    subgroups: Subgroups = None
    delta: float = 0.05
    method: str = "auto"
    objective: str = "aurc"
    learned: bool = True
    seed: int = 0
    kind: str | None = None
    allow_overlap: bool = False
    repeated_ids: str = "refuse"
    model: str | None = None

    def __post_init__(self):
        check_method(self.method)
        if self.repeated_ids not in REPEATED_IDS:
            raise InputError(
                f"expected `repeated_ids` among {', '.join(REPEATED_IDS)}, "
                f"got {self.repeated_ids!r}"
            )

    @property
    def goal(self) -> str:
        """Which of the three is to be guaranteed: "target_risk", "coverage" or "cost"."""
        names = [n for n in ("target_risk", "coverage", "cost") if getattr(self, n) is not None]
        if len(names) != 1:
            got = " and ".join(f"`{name}`" for name in names) or "none"
            raise InputError(f"expected one of `target_risk`, `coverage` and `cost`, got {got}")
        (goal,) = names
        if goal == "cost":
            self.costs  # noqa: B018 - checked
        else:
            check_fraction(getattr(self, goal), goal)
        if goal != "target_risk":
            given = {"subgroups": self.subgroups is not None, "method": self.method != "auto"}
            for name, there in (given | {"objective": self.objective == "coverage"}).items():
                if there:
                    value = "'coverage'" if name == "objective" else "it"
                    raise InputError(
                        f"expected `{name}` with a target risk alone, got {value} with {goal}"
                    )
        return goal

    @property
    def costs(self) -> dict[str, float]:
        """Costs of an error and of an abstention."""
        if not isinstance(self.cost, (tuple, list)) or len(self.cost) != 2:
            raise InputError(
                f"expected `cost` as (of an error, of an abstention), got {self.cost!r}"
            )
        return dict(zip(("cost_error", "cost_abstain"), check_costs(*self.cost)))

    def prepare(self, tune: Data, calibrate: Data) -> Prepared:
        """Tune the score, and return both splits under it."""
        return prepare(
            tune,
            calibrate,
            subgroups=self.subgroups,
            kind=self.kind,
            seed=self.seed,
            allow_overlap=self.allow_overlap,
            repeated_ids=self.repeated_ids,
            model=self.model,
            tuning={
                "objective": self.objective,
                "target_risk": self.target_risk,
                "learned": self.learned,
            },
        )


class Choice(NamedTuple):
    """The outcome of a fit, feasible or not."""

    tuned: Tuned
    selection: Any  # Selection; with `subgroups`, SubgroupSelection
    rejector: Rejector | None  # None if no threshold has the guarantee


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
    kind: str | None = None,
    allow_overlap: bool = False,
    repeated_ids: str = "refuse",
    model: str | None = None,
) -> Rejector:
    """Choose the score on `tune` and the threshold on `calibrate`: the deployable artifact.

    One goal is guaranteed: an error rate, a coverage or a mean cost. Where the calibration data
    has groups, one row of each is used, drawn with `seed`: rows of one group are not independent,
    and the guarantee is about independent predictions.

    Args:
        tune: Outputs (n, K, ...) and labels (n, ...), or a `HeldOut`; not training data.
        calibrate: Likewise, of other examples from the deployment distribution.
        target_risk: The largest error rate of accepted predictions, in (0, 1).
        coverage: Instead: the smallest fraction of predictions to accept, in (0, 1).
        cost: Instead: of an accepted error, and of an abstention, both > 0. The threshold that
            is cheapest on `tune`, with a limit of its mean cost.
        subgroups: Guarantee `target_risk` for each predicted class ("class"), or for each
            subgroup: one value (n,) for each row of tune, and for each of calibrate, known when
            the decision is made and given to `Rejector.predict` again. All guarantees hold at
            once.
        delta: The probability that the guarantee fails, in (0, 0.5).
        method: For a target risk, as in `select`; not "betting", which counts do not show.
        objective: The measure that a repair is to improve on `tune`: "aurc", "augrc", or
            "coverage", the largest at `target_risk`.
        learned: Whether to try the learned score, as in `tune`.
        seed: Random seed of the folds in `tune` and of the rows taken from groups.
        kind: Input kind of the outputs: "logits" (default), "binary", a one-column head, "probs",
            or "confidences" (n, C) with labels of 1 where the answer is right; a `HeldOut` has
            its own. `predict` takes outputs of the same kind.
        allow_overlap: Fit although tune and calibrate share examples; the guarantee is void.
        repeated_ids: "refuse" rows of one id, or "keep_one": each id is a group, as where a
            sampler repeats rows, or where they are views of one example.
        model: Name of the model, where a `HeldOut` does not have it; `predict` warns of another.

    Raises:
        InfeasibleError: No threshold has the guarantee; it says what would be feasible.
        InputError: Malformed input, none or two of the three goals, repeated ids, or tune and
            calibrate share examples.

    Warns:
        DataWarning: Rows of `calibrate` are repeated more often than i.i.d. rows would be.

    References:
        `recuse.tune` and `recuse.selectors`, which do the two steps.

    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> labels = rng.integers(0, 3, 4000)
    >>> logits = 3 * np.eye(3)[labels] + rng.normal(size=(4000, 3))
    >>> halves = (logits[:2000], labels[:2000]), (logits[2000:], labels[2000:])
    >>> fit(*halves, coverage=0.9, learned=False).guarantee.kind
    'coverage'
    >>> by_class = fit(*halves, target_risk=0.05, subgroups="class", learned=False)
    >>> [rule.subgroup for rule in by_class.rules]
    [0, 1, 2]
    """
    options = Options(
        target_risk,
        coverage,
        cost,
        subgroups,
        delta,
        method,
        objective,
        learned,
        seed,
        kind,
        allow_overlap,
        repeated_ids,
        model,
    )
    choice = _choose(tune, calibrate, options)
    if choice.rejector is None:
        raise InfeasibleError(choice.selection)
    return choice.rejector


def choose(tune: Data, calibrate: Data, **options: Any) -> Choice:
    """`fit` with everything it found out on the way; infeasible is an answer, not an error.

    Args:
        tune: As in `fit`.
        calibrate: As in `fit`.
        options: Keywords of `fit`.
    """
    return _choose(tune, calibrate, Options(**options))


def _choose(tune: Data, calibrate: Data, o: Options) -> Choice:
    goal = o.goal
    splits = o.prepare(tune, calibrate)
    c, wrong, subgroup = splits.held
    risk: Any = {"target_risk": o.target_risk, "delta": o.delta, "method": o.method}
    if goal == "coverage":
        selection = select_coverage(c, coverage=o.coverage, delta=o.delta)  # ty: ignore[invalid-argument-type]
    elif goal == "cost":
        selection = select_cost(c, wrong, **o.costs, delta=o.delta, tune=splits.seen[:2])
    elif subgroup is None:
        selection = select(c, wrong, **risk, tune=splits.seen[:2])
    else:
        seen: Any = splits.seen
        selection = select_by_subgroup(c, wrong, subgroup, **risk, tune=seen, by=splits.by)
    return chosen(splits, _passing(selection, tune, calibrate, o), o.delta)


def _passing(selection: Any, tune: Data, calibrate: Data, o: Options) -> Any:
    """Return a selection that names a smaller target only if a fit with it passes.

    With the objective "coverage" another target may tune another score.
    """
    target = selection.smallest_target if isinstance(selection, Selection) else None
    if o.objective != "coverage" or target is None or target == o.target_risk:
        return selection
    again = replace(o, target_risk=target)
    splits = again.prepare(tune, calibrate)
    risk: Any = {"target_risk": target, "delta": o.delta, "method": o.method}
    if select(*splits.held[:2], **risk, tune=splits.seen[:2]).feasible:
        return selection
    return replace(selection, infeasible=replace(selection.infeasible, smallest_target=None))


def fit_several(
    tune: Data, calibrate: Data, *, target_risks: Sequence[float], **options: Any
) -> tuple[Choice, ...]:
    """Return a choice for each target risk, with one score; all guarantees hold at once.

    Each is at delta over their number, so that one may be taken after looking at all.

    Args:
        tune: As in `fit`.
        calibrate: As in `fit`.
        target_risks: Each in (0, 1), all of them named beforehand.
        options: Keywords of `fit`, but for the three goals and `subgroups`.

    Returns:
        In the order of the targets; where no threshold has the guarantee, without a rejector.

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
    o = Options(**options)
    for name in ("target_risk", "coverage", "cost", "subgroups"):
        if getattr(o, name) is not None:
            raise InputError(f"expected no `{name}` beside `target_risks`")
    if o.objective == "coverage":
        raise InputError("expected `objective` aurc or augrc with several target risks")
    for target in target_risks:
        check_fraction(target, "target_risk")
    splits = o.prepare(tune, calibrate)
    c, wrong, _ = splits.held
    found = select_several(
        c, wrong, target_risks=target_risks, delta=o.delta, method=o.method, tune=splits.seen[:2]
    )
    return tuple(chosen(splits, selection, selection.guarantee.delta) for selection in found)


def chosen(splits: Prepared, selection: Selection | SubgroupSelection, delta: float) -> Choice:
    """Return the rejector of a selection, whose guarantee records how rows were taken."""
    if splits.calibrate.groups is not None:
        selection = _guaranteeing(selection, _of_groups)
    elif doubts := tuple(dict.fromkeys(splits.calibrate.ungrouped)):
        selection = _guaranteeing(selection, lambda guarantee: replace(guarantee, ungrouped=doubts))
    if splits.shared:
        selection = _guaranteeing(selection, lambda guarantee: replace(guarantee, void=True))
    if not selection.feasible:
        return Choice(splits.tuned, selection, None)
    classes, used = splits.tune.logits.shape[1], len(splits.held.wrong)
    t, c, filler = splits.tune, splits.calibrate, splits.tuned.filler
    masked = np.flatnonzero(~possible(without_filler(c.logits, filler))).tolist()
    rejector = Rejector(
        score=splits.tuned.score,
        rules=rules_of(selection, classes),
        classes=classes,
        isotonic_map=fit_isotonic_map(splits.seen.confidence, ~splits.seen.wrong),
        tuning=splits.tuned.facts,
        splits={
            "tune": {
                **{"n": len(t), "digest": t.digest, "log_probs": splits.log_probs},
                "sample": _sample(t),
                **({} if filler is None else {"filler": filler}),
            },
            "calibrate": {
                **{"n": len(c), "used": used, "digest": c.digest},
                "sample": _sample(c),
                **({"masked": masked} if masked else {}),
            },
        },
        kind=splits.kind,
        class_names=t.class_names or c.class_names,
        by=splits.by,
        delta=delta,
        model=_fingerprint(splits),
    )
    return Choice(splits.tuned, selection, rejector)


def _sample(file: HeldOut) -> dict[str, Any]:
    return {name: sample.to_dict() for name, sample in row_samples(file).items()}


def _fingerprint(splits: Prepared) -> Fingerprint:
    rows = without_filler(sampled(splits.calibrate), splits.tuned.filler)
    return fingerprint(splits.model, rows)


def _of_groups(g: Any) -> Any:
    """Return the guarantee of a fit on one row of each group."""
    assumptions = tuple(IID_GROUPS if name == IID_ROWS else name for name in g.assumptions)
    return replace(g, unit=GROUPS, assumptions=assumptions)


def _guaranteeing(selection: Any, changed: Callable[[Any], Any]) -> Any:
    """Return the selection with another guarantee."""
    if isinstance(selection, SubgroupSelection):
        each = {name: _guaranteeing(s, changed) for name, s in selection.selections.items()}
        return replace(selection, selections=each)
    return replace(selection, guarantee=changed(selection.guarantee))
