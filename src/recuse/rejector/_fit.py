"""`fit`, `fit_several` and `choose`: from one file, or from two splits, to a rejector.

n = examples, K = classes, ... = any trailing axes (pixels), t = tuning rows, c = calibration rows.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np

from recuse._internal import public
from recuse._internal.check import check_delta, check_fraction, check_seed
from recuse.errors import InfeasibleError, InputError
from recuse.io import HeldOut, split_rows
from recuse.io._overlap import row_samples
from recuse.io._rows import LOSSES
from recuse.rejector._classes import of_every_class
from recuse.rejector._costs import select_by_costs, tune_by_costs
from recuse.rejector._cut import ENOUGH, TUNING, Cut, cut_of
from recuse.rejector._misses import check_misses, limit_misses, sharing
from recuse.rejector._model import Fingerprint, fingerprint, sampled
from recuse.rejector._plan import OneFile, law_of_rows
from recuse.rejector._prepare import (
    Data,
    Prepared,
    Subgroups,
    as_given,
    check_repeated_ids,
    each_id_once,
    one_of_each,
    prepare,
    prepare_all,
    whole,
)
from recuse.rejector._rejector import AS_IT_IS, Rejector, fit_isotonic_map
from recuse.rejector._rules import CLASS, SUBGROUP, delta_of_rules, names_of, rules_of
from recuse.scores import without_filler
from recuse.scores._costs import EXPECTED_COST
from recuse.selectors import (
    Selection,
    SubgroupSelection,
    select,
    select_by_subgroup,
    select_coverage,
    select_several,
)
from recuse.selectors._guarantee import ACCEPTED, GROUPS, IID_GROUPS, IID_ROWS
from recuse.selectors._recheck import check_method
from recuse.tuning import Tuned
from recuse.tuning import tune as tune_score
from recuse.tuning._candidates import foresee, possible
from recuse.tuning._tune import check_objective, measure_of

SEQUENCE, BETTING = "fixed_sequence", "betting"
NOT_OF_LOSSES = ("coverage", "costs", "misses", "subgroups")


@dataclass(frozen=True)
class Options:
    """Keywords of `fit`, which documents them, checked."""

    target_risk: float | Mapping[Any, float] | None = None
    coverage: float | None = None
    costs: Any = None
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
    among: str = ACCEPTED
    misses: Mapping[Any, float] | None = None

    def __post_init__(self):
        check_method(self.method, self.among)
        check_delta(self.delta), check_seed(self.seed), check_objective(self.objective)
        check_repeated_ids(self.repeated_ids)
        if self.misses is not None:
            check_misses(self.misses, self.method, self.objective)
        if self.by_class:
            self._check_targets()
            object.__setattr__(self, "subgroups", CLASS)

    @property
    def by_class(self) -> bool:
        """Whether each predicted class has a target of its own."""
        return isinstance(self.target_risk, Mapping)

    def _check_targets(self) -> None:
        if self.subgroups is not None and not self._of_classes:
            raise InputError(
                "expected one `target_risk` for all subgroups of a column, got one for each class"
            )
        if self.objective == "coverage":
            raise InputError(
                "expected `objective` aurc or augrc with a target risk for each class, got "
                "'coverage'"
            )

    @property
    def _of_classes(self) -> bool:
        return isinstance(self.subgroups, str) and self.subgroups == CLASS

    @property
    def goal(self) -> str:
        """What is to be guaranteed: "target_risk", "coverage", "costs", or "misses" alone."""
        names = [n for n in ("target_risk", "coverage", "costs") if getattr(self, n) is not None]
        if self.misses is not None and names in ([], ["target_risk"]):
            names = names or ["misses"]
        elif self.misses is not None:
            raise InputError(f"expected `misses` alone or with a target risk, got {names[0]} too")
        if len(names) != 1:
            got = " and ".join(f"`{name}`" for name in names) or "none"
            raise InputError(
                f"expected one of `target_risk`, `coverage` and `costs`, or `misses`, got {got}"
            )
        (goal,) = names
        if goal not in ("costs", "misses") and not self.by_class:
            check_fraction(getattr(self, goal), goal)
        if goal != "target_risk":
            given = {"subgroups": self.subgroups is not None, "method": self.method != "auto"}
            given["among"] = self.among != ACCEPTED
            for name, there in (given | {"objective": self.objective == "coverage"}).items():
                if there:
                    value = "'coverage'" if name == "objective" else "it"
                    raise InputError(
                        f"expected `{name}` with a target risk alone, got {value} with {goal}"
                    )
        if self.objective == "coverage" and self.among != ACCEPTED:
            raise InputError(
                "expected `objective` aurc or augrc with among='all': coverage is the largest at "
                "a risk among the accepted"
            )
        return goal

    def refuse_beside_losses(self, *files: Data) -> None:
        """Of losses, only a limit of their mean among the accepted is guaranteed, by betting."""
        if not any(getattr(file, "kind", None) == LOSSES for file in files):
            return
        odd = {
            **{name: getattr(self, name) is not None for name in NOT_OF_LOSSES},
            f"among={self.among!r}": self.among != ACCEPTED,
            f"method={self.method!r}": self.method not in ("auto", BETTING),
        }
        if got := [name for name, given in odd.items() if given]:
            raise InputError(
                "expected one `target_risk`, the mean loss of the accepted, for a file of losses, "
                f"got {got[0]}"
            )

    def prepare(self, tune: Data, calibrate: Data) -> Prepared:
        """Tune the score, and return both splits under it."""
        self.refuse_beside_losses(tune, calibrate)

        def tune_by(file: HeldOut) -> Tuned:
            if file.kind == LOSSES:
                self.refuse_beside_losses(file)  # of a frame
                return as_given(file)
            if self.costs is not None:
                other = calibrate.class_names if isinstance(calibrate, HeldOut) else None
                return tune_by_costs(file, self.costs, file.class_names or other)
            foresee(file)
            target = None if self.by_class else self.target_risk
            options: Any = {"target_risk": target, "learned": self.learned}
            return tune_score(file, objective=self.objective, seed=self.seed, **options)

        return prepare(
            tune,
            calibrate,
            subgroups=self.subgroups,
            kind=self.kind,
            seed=self.seed,
            allow_overlap=self.allow_overlap,
            repeated_ids=self.repeated_ids,
            model=self.model,
            tune_by=tune_by,
        )


class Choice(NamedTuple):
    """The outcome of a fit, feasible or not."""

    tuned: Tuned
    selection: Any  # Selection; with `subgroups`, SubgroupSelection
    rejector: Rejector | None  # None if no threshold has the guarantee
    calibrate: HeldOut  # the rows that chose the threshold
    cut: Cut | None = None  # how one file was used; None of two


@public
def fit(
    held_out: Data,
    calibrate: Data | None = None,
    *,
    target_risk: float | Mapping[Any, float] | None = None,
    coverage: float | None = None,
    costs: Any = None,
    subgroups: Subgroups = None,
    delta: float = 0.05,
    method: str = "auto",
    among: str = ACCEPTED,
    misses: Mapping[Any, float] | None = None,
    objective: str = "aurc",
    learned: bool = True,
    seed: int = 0,
    kind: str | None = None,
    allow_overlap: bool = False,
    repeated_ids: str = "refuse",
    model: str | None = None,
) -> Rejector:
    """Choose a score and a threshold with a guarantee: the deployable artifact.

    One goal is guaranteed: an error rate, a coverage, a mean cost, or a share of misses, which an
    error rate may have beside it.

    Of one file, a rule that is fixed beforehand says which rows do what (`rejector.Cut`). Below
    10,000 rows all of them choose the threshold: of MSP, tested at .8 delta, or of a centered norm
    at .2 delta, whichever accepts more. From there on 20 % choose a score, and the rest the
    threshold. No part is needed to test what is guaranteed. The share of errors among the accepted
    rows themselves is lower than that among new ones.

    Of two files, the first chooses the score and the second the threshold.

    Of losses in [0, 1] beside one confidence, as of whole images, the mean among the accepted is
    guaranteed to be at most `target_risk`. 20 % of the rows, or the first of two files, say which
    thresholds to test, and the others test them by betting.

    Where the data has groups, one row of each calibrates, drawn with `seed`: rows of one group are
    not independent, and the guarantee is about independent predictions. Where rows of one group
    lie in several subgroups, that of the drawn row counts: the guarantee of a subgroup is about a
    row drawn at random from a group, given that it lies there.

    Args:
        held_out: Outputs (n, K, ...) and labels (n, ...), a `HeldOut`, or a pandas or polars
            frame, read by `from_frame`; not training data. With `calibrate`, the tuning split.
        calibrate: Likewise, of other examples from the deployment distribution.
        target_risk: The largest error rate of accepted predictions, in (0, 1). Or one for each
            predicted class, {"sick": 0.02, "healthy": 0.01}, all of them named: thresholds for
            each class, as with subgroups="class". A text is the name of a class, an integer its
            index: of classes called "1" and "0", "1" is the first and 1 the second.
        coverage: Instead: the smallest fraction of predictions to accept, in (0, 1).
        costs: Instead: label -> answer -> cost, with the answer "abstain"; or an array (K, K + 1),
            a row for each label, abstaining last. The cheapest class is predicted, under
            probabilities at a temperature fitted to the tuning split, and abstaining is chosen
            where it is cheaper still. The mean cost over all rows is limited.
        subgroups: Guarantee `target_risk` for each predicted class ("class"), or for each
            subgroup: the name of a column, or one value (n,) for each row of the file (of two
            files, a pair of them), known when the decision is made and given to
            `Rejector.predict` again. All guarantees hold at once.
        delta: The probability that the guarantee fails, in (0, 0.5).
        method: For a target risk, as in `select`.
        among: "accepted", or "all": at most `target_risk` of all predictions are accepted and
            wrong, as in `select`.
        misses: Alone or with a target risk, {"sick": 0.01}: of all examples of this true class, the
            largest share that is answered with another class. A text is the name of the class, an
            integer its index. Those that are abstained on are not missed. Delta is shared by all
            limits and the target risk, which hold at once.
        objective: The measure that a repair is to improve on the tuning split: "aurc", "augrc", or
            "coverage", the largest at `target_risk`.
        learned: Whether to try the learned score there, as in `tune`.
        seed: Random seed of the parts of one file, of the folds in `tune`, and of the rows taken
            from groups.
        kind: Input kind of the outputs: "logits" (default), "binary", a one-column head, "probs",
            or "confidences" (n, C) with labels of 1 where the answer is right; a `HeldOut` has
            its own. `predict` takes outputs of the same kind.
        allow_overlap: Fit although tune and calibrate share examples; the guarantee is void.
        repeated_ids: "refuse" rows of one id, or "keep_one": each id is a group, as where a
            sampler repeats rows, or where they are views of one example.
        model: Name of the model, where a `HeldOut` does not have it; `predict` warns of another.

    Raises:
        InfeasibleError: No threshold has the guarantee; it says what would be feasible.
        InputError: Malformed input, none or two of the goals, repeated ids, or two files that share
            examples.

    Warns:
        DataWarning: Calibration rows are repeated more often than i.i.d. rows would be.

    References:
        `recuse.tune` and `recuse.selectors`, which do the two steps; `docs/every-rank.md` proves
        that no rows are needed to say where to look for a threshold.

    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> labels = rng.integers(0, 3, 4000)
    >>> logits = 3 * np.eye(3)[labels] + rng.normal(size=(4000, 3))
    >>> fit((logits, labels), target_risk=0.01).guarantee.n
    4000
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
        costs,
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
        among,
        misses,
    )
    choice = _choose(held_out, calibrate, options)
    if choice.rejector is None:
        raise InfeasibleError(choice.selection)
    return choice.rejector


def choose(held_out: Data, calibrate: Data | None = None, **options: Any) -> Choice:
    """`fit` with everything it found out on the way; infeasible is an answer, not an error.

    Args:
        held_out: As in `fit`.
        calibrate: As in `fit`.
        options: Keywords of `fit`.
    """
    return _choose(held_out, calibrate, Options(**options))


def _choose(held_out: Data, calibrate: Data | None, o: Options) -> Choice:
    goal = o.goal
    if calibrate is None:
        parts, cut, o = _parts(held_out, goal, o)
        if cut.tuning:
            return _of_two(parts["tune"], parts["calibrate"], goal, o, cut)
        (choice,) = _widest(parts["calibrate"], o, lambda splits: [_selection(splits, goal, o)])
        return choice._replace(cut=cut)
    return _of_two(held_out, calibrate, goal, o)


def _of_two(tune: Data, calibrate: Data, goal: str, o: Options, cut: Cut | None = None) -> Choice:
    """Return the choice of two splits, also of those of one file."""
    splits = o.prepare(tune, calibrate)
    selection = _passing(_selection(splits, goal, o), tune, calibrate, o)
    return chosen(splits, _of_cut(selection, cut), o.delta)._replace(cut=cut)


def _parts(data: Data, goal: str, o: Options) -> tuple[dict[str, HeldOut], Cut, Options]:
    """Cut one file by the rule; subgroups that were given become a column of it."""
    measure_of(o.objective, None if o.by_class else o.target_risk)  # ty: ignore
    file = each_id_once(whole(data, "held_out", o.kind, losses=True), o.repeated_ids)
    o.refuse_beside_losses(file)
    if o.subgroups is not None and not isinstance(o.subgroups, str):
        of = names_of(o.subgroups, len(file))
        file = replace(file, subgroups={**file.subgroups, SUBGROUP: of})
        o = replace(o, subgroups=SUBGROUP)
    rules = 1
    if o.subgroups is not None:
        by_class = o.subgroups == CLASS
        rules = file.logits.shape[1] if by_class else np.unique(file.subgroup(o.subgroups)).size
    cut = cut_of(file.predictions(), "target_risk" if goal == "misses" else goal, rules)
    if not cut.tuning:
        if o.method in (SEQUENCE, BETTING):
            raise InputError(
                f"expected two files for the method {o.method}, which looks for a threshold on "
                f"tuning rows, got one, of which all {cut.units:,} {cut.unit} calibrate"
            )
        return {"calibrate": file}, cut, o
    return split_rows(file, cut.parts, seed=o.seed), cut, o


def _selection(splits: Prepared, goal: str, o: Options) -> Any:
    """Return the threshold of the goal, at the share of delta of this score."""
    c = splits.held.confidence
    delta, seen = o.delta * splits.share, splits.seen
    risk: Any = {"target_risk": o.target_risk, "delta": delta}
    risk |= {"method": o.method, "among": o.among}
    if o.among != ACCEPTED or o.misses is not None:
        seen = None
    if goal == "coverage":
        return select_coverage(c, coverage=o.coverage, delta=delta)  # ty: ignore[invalid-argument-type]
    if goal == "costs":
        return select_by_costs(splits.tuned, one_of_each(splits.calibrate, o.seed), delta)
    if o.misses is not None:

        def at(delta: float, floor: Any) -> Any:
            return _of_risk(splits, o, risk | {"delta": delta, "floor": floor}, None)

        return limit_misses(splits, o.misses, delta, None if goal == "misses" else at)
    return _of_risk(splits, o, risk, seen)


def _of_risk(splits: Prepared, o: Options, risk: dict[str, Any], seen: Any) -> Any:
    """Return the threshold of the target risk, or those of subgroups."""
    c, wrong, subgroup = splits.held
    if subgroup is None:
        return select(c, wrong, **risk, tune=_tuning(seen))
    names, classes = splits.class_names, splits.calibrate.logits.shape[1]
    if o.by_class:
        risk["target_risk"] = of_every_class(o.target_risk, classes, names, "target_risk")  # ty: ignore
    found = select_by_subgroup(c, wrong, subgroup, **risk, tune=seen, by=splits.by)
    return replace(found, names=names if splits.by == CLASS else None)


def _tuning(seen: Any) -> Any:
    """Return confidence and error of the tuning split, if there is one."""
    return None if seen is None else seen[:2]


def _widest(
    rows: HeldOut, o: Options, select_all: Callable[[Prepared], Sequence[Any]]
) -> tuple[Choice, ...]:
    """Return the choices of the score that accepts most, each score at its share of delta.

    Where none accepts anything, those of the score that is closest to it.
    """
    found = []
    for splits in prepare_all(rows, subgroups=o.subgroups, seed=o.seed, model=o.model):
        selections = select_all(splits)
        if splits.share < 1:
            delta = o.delta / len(selections)
            selections = [_sharing(s, delta, splits.share) for s in selections]
        found.append((splits, [_of_one_file(s, splits) for s in selections]))

    def wide(one: tuple[Prepared, Any]) -> tuple[int, float]:
        accepted = sum(s.guarantee.accepted for s in one[1])
        return accepted, -sum(_smallest(s) for s in one[1])

    splits, selections = max(found, key=wide)
    return tuple(chosen(splits, s, o.delta / len(selections)) for s in selections)


def _sharing(selection: Any, delta: float, share: float) -> Any:
    """Return a selection at a share of delta as one at delta, of a score among several."""
    delta_of = delta_of_rules(delta, selection.guarantee.kind, len(selection.misses))
    each = delta_of / len(getattr(selection, "selections", (None,)))
    found = _guaranteeing(selection, lambda g: replace(g, delta=each, share=share))
    found = sharing(found, delta, share)
    return replace(found, delta=delta_of) if isinstance(found, SubgroupSelection) else found


def _of_one_file(selection: Any, splits: Prepared) -> Any:
    """Return a selection that names the rows of a file of which `fit` would take some to tune."""

    def rows(s: Selection, needed: int) -> int | None:
        if needed < ENOUGH or splits.share == 1:
            return needed
        g, (confidence, wrong, _) = s.guarantee, splits.held
        if g.among == ACCEPTED and s is selection:
            return OneFile(g.target_risk, g.delta, g.share).rows(law_of_rows(confidence, wrong))
        return math.ceil(needed / (1 - TUNING))

    return _naming(selection, rows)


def _of_cut(selection: Any, cut: Cut | None) -> Any:
    """Return a selection on a part of one file that names rows of the file."""
    if cut is None:
        return selection
    return _naming(selection, lambda _, needed: math.ceil(needed / (1 - cut.tuning)))


def _naming(selection: Any, rows: Callable[[Selection, int], int | None]) -> Any:
    """Return a selection whose needed rows are those of one file.

    Args:
        selection: Of one threshold or of several.
        rows: Selection and its needed calibration rows -> rows of a file.
    """

    def named(s: Selection) -> Selection:
        if s.infeasible is None or s.rows_needed is None:
            return s
        needed = {"rows_needed": rows(s, s.rows_needed), "tuning_rows_too": False, "of_file": True}
        return replace(s, infeasible=replace(s.infeasible, **needed))

    return _each(selection, named)


def _smallest(selection: Any) -> float:
    """Return the smallest target that would have passed; of subgroups that of one of them."""
    each = getattr(selection, "selections", {None: selection}).values()
    return min(s.smallest_target or 1.0 for s in each)


def _passing(selection: Any, tune: Data, calibrate: Data, o: Options) -> Any:
    """Return a selection that names a smaller target only if a fit with it passes.

    With the objective "coverage" another target may tune another score.
    """
    target = selection.smallest_target if isinstance(selection, Selection) else None
    if o.objective != "coverage" or target is None or target == o.target_risk:
        return selection
    again = replace(o, target_risk=target)
    if _selection(again.prepare(tune, calibrate), "target_risk", again).feasible:
        return selection
    return replace(selection, infeasible=replace(selection.infeasible, smallest_target=None))


def fit_several(
    held_out: Data,
    calibrate: Data | None = None,
    *,
    target_risks: Sequence[float],
    **options: Any,
) -> tuple[Choice, ...]:
    """Return a choice for each target risk, with one score; all guarantees hold at once.

    Each is at delta over their number, so that one may be taken after looking at all.

    Args:
        held_out: As in `fit`.
        calibrate: As in `fit`.
        target_risks: Each in (0, 1), all of them named beforehand.
        options: Keywords of `fit`, but for the goals and `subgroups`.

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
    for name in ("target_risk", "coverage", "costs", "subgroups", "misses"):
        if getattr(o, name) is not None:
            raise InputError(f"expected no `{name}` beside `target_risks`")
    if o.objective == "coverage":
        raise InputError("expected `objective` aurc or augrc with several target risks")
    for target in target_risks:
        check_fraction(target, "target_risk")

    def select_all(splits: Prepared) -> Sequence[Selection]:
        c, wrong, _ = splits.held
        risks: Any = {"target_risks": target_risks, "delta": o.delta * splits.share}
        seen = splits.seen if o.among == ACCEPTED else None
        risks |= {"method": o.method, "among": o.among}
        return select_several(c, wrong, **risks, tune=_tuning(seen))

    cut = None
    if calibrate is None:
        parts, cut, o = _parts(held_out, "target_risk", o)
        if not cut.tuning:
            return tuple(x._replace(cut=cut) for x in _widest(parts["calibrate"], o, select_all))
        held_out, calibrate = parts["tune"], parts["calibrate"]
    splits = o.prepare(held_out, calibrate)
    found = select_all(splits)
    return tuple(
        chosen(splits, _of_cut(s, cut), s.guarantee.delta)._replace(cut=cut) for s in found
    )


def chosen(splits: Prepared, selection: Selection | SubgroupSelection, delta: float) -> Choice:
    """Return the rejector of a selection, whose guarantee records how rows were taken."""
    if splits.calibrate.groups is not None:
        selection = _guaranteeing(selection, _of_groups)
    elif doubts := tuple(dict.fromkeys(splits.calibrate.ungrouped)):
        selection = _guaranteeing(selection, lambda guarantee: replace(guarantee, ungrouped=doubts))
    if splits.shared:
        selection = _guaranteeing(selection, lambda guarantee: replace(guarantee, void=True))
    if not selection.feasible:
        return Choice(splits.tuned, selection, None, splits.calibrate)
    t, c, filler = splits.tune, splits.calibrate, splits.tuned.filler
    classes, used = c.logits.shape[1], len(splits.held.wrong)
    seen = splits.held if splits.seen is None else splits.seen
    by_costs = splits.tuned.score.name == EXPECTED_COST
    right = 1 - np.asarray(seen.wrong, float)  # of losses, what is left of 1
    p_correct = AS_IT_IS if by_costs else fit_isotonic_map(seen.confidence, right)
    of_score = {"log_probs": splits.log_probs, **({} if filler is None else {"filler": filler})}
    masked = np.flatnonzero(~possible(without_filler(c.logits, filler))).tolist()
    rejector = Rejector(
        score=splits.tuned.score,
        rules=rules_of(selection, classes),
        classes=classes,
        isotonic_map=p_correct,
        tuning=splits.tuned.facts,
        splits={
            **({} if t is None else {"tune": {**_facts(t), **of_score}}),
            "calibrate": {
                **_facts(c),
                "used": used,
                **(of_score if t is None else {}),
                **({"masked": masked} if masked else {}),
            },
        },
        kind=splits.kind,
        class_names=splits.class_names,
        by=splits.by,
        delta=delta,
        misses=selection.misses,
        model=_fingerprint(splits),
    )
    return Choice(splits.tuned, selection, rejector, splits.calibrate)


def guaranteeing(choice: Choice, changed: Callable[[Any], Any]) -> Choice:
    """Return the choice with another guarantee, in its selection and in its rejector.

    Args:
        choice: Of `choose`.
        changed: Guarantee -> guarantee.
    """
    rejector = choice.rejector
    if rejector is not None:
        rules = (rule._replace(guarantee=changed(rule.guarantee)) for rule in rejector.rules)
        rejector = replace(rejector, rules=tuple(rules))
    return choice._replace(selection=_guaranteeing(choice.selection, changed), rejector=rejector)


def _facts(file: HeldOut) -> dict[str, Any]:
    sample = {name: sample.to_dict() for name, sample in row_samples(file).items()}
    return {"n": len(file), "digest": file.digest, "sample": sample}


def _fingerprint(splits: Prepared) -> Fingerprint:
    rows = without_filler(sampled(splits.calibrate), splits.tuned.filler)
    return fingerprint(splits.model, rows)


def _of_groups(g: Any) -> Any:
    """Return the guarantee of a fit on one row of each group."""
    assumptions = tuple(IID_GROUPS if name == IID_ROWS else name for name in g.assumptions)
    return replace(g, unit=GROUPS, assumptions=assumptions)


def _guaranteeing(selection: Any, changed: Callable[[Any], Any]) -> Any:
    """Return the selection with another guarantee."""
    return _each(selection, lambda s: replace(s, guarantee=changed(s.guarantee)))


def _each(selection: Any, changed: Callable[[Selection], Selection]) -> Any:
    """Return the selection changed, or each of its subgroups."""
    if isinstance(selection, SubgroupSelection):
        each = {name: changed(s) for name, s in selection.selections.items()}
        return replace(selection, selections=each)
    return changed(selection)
