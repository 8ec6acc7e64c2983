"""`fit` and `choose`: from a tune and a calibrate split to a rejector.

n = examples, K = classes, ... = any trailing axes (pixels).
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, NamedTuple

from recuse._check import InputError, check_fraction
from recuse.io import LogitsFile
from recuse.overlap import overlap
from recuse.rejector._knots import fit_knots
from recuse.rejector._rejector import Rejector, check_kind
from recuse.rejector._splits import Data, as_file, one_of_each
from recuse.scores import predict
from recuse.selectors import Selection, select
from recuse.tune import Tuned, tune


class Infeasible(ValueError):
    """No threshold can make the promise; `selection` says why and what could."""

    def __init__(self, selection: Selection):
        super().__init__(selection.reason)
        self.selection = selection


class Choice(NamedTuple):
    """What tune and calibrate led to."""

    tuned: Tuned
    selection: Selection
    rejector: Rejector | None  # None if no threshold can make the promise


def fit(
    tune: Data,
    calibrate: Data,
    *,
    target_risk: float,
    delta: float = 0.05,
    method: str = "auto",
    objective: str = "aurc",
    learned: bool = True,
    seed: int = 0,
    kind: str = "logits",
    allow_overlap: bool = False,
) -> Rejector:
    """Choose the score on `tune` and the threshold on `calibrate`: the deployable artifact.

    Where the calibrate data has groups, one row of each is used, drawn with `seed`: rows
    of one group are not independent, and the promise is about independent predictions.

    Args:
        tune: Logits (n, K, ...) and labels (n, ...), or a `LogitsFile`; not training data.
        calibrate: Likewise, of other examples from the population of the deployment.
        target_risk: The largest error rate of accepted predictions, in (0, 1).
        delta: The probability that the promise fails, in (0, 0.5).
        method: As in `select`.
        objective: What a repair is to improve on `tune`: "aurc", "augrc", or "coverage", the
            largest at `target_risk`.
        learned: Whether to try the learned score, as in `tune`.
        seed: Of the folds in `tune` and of the rows taken from groups.
        kind: What the files hold, recorded for `predict`: "logits", "binary" or "probs".
        allow_overlap: Fit although tune and calibrate share examples; the guarantee is void.

    Raises:
        Infeasible: No threshold can make the promise; it says what could be promised.
        InputError: Malformed input, or tune and calibrate share examples.

    References:
        `recuse.tune` and `recuse.selectors`, which do the two steps.
    """
    choice = choose(
        tune,
        calibrate,
        target_risk=target_risk,
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
    target_risk: float,
    delta: float = 0.05,
    method: str = "auto",
    objective: str = "aurc",
    learned: bool = True,
    seed: int = 0,
    kind: str = "logits",
    allow_overlap: bool = False,
) -> Choice:
    """`fit` with everything it found out on the way; infeasible is an answer, not an error."""
    check_fraction(target_risk, "target_risk")
    t, c = as_file(tune, "tune"), as_file(calibrate, "calibrate")
    check_kind(kind, t.logits.shape[1])
    shared = _shared(t, c, allow_overlap)
    tuned = _tune(t, kind, objective=objective, target_risk=target_risk, learned=learned, seed=seed)
    seen, one = _judged(tuned, t), one_of_each(c, seed)
    selection = select(
        *_judged(tuned, one), target_risk=target_risk, delta=delta, method=method, tune=seen
    )
    if c.groups is not None:
        selection = _by_group(selection)
    if shared:
        selection = _void(selection)
    if not selection.feasible:
        return Choice(tuned, selection, None)
    rejector = Rejector(
        score=tuned.score,
        threshold=selection.threshold,
        guarantee=selection.guarantee,
        classes=c.logits.shape[1],
        knots=fit_knots(seen[0], ~seen[1]),
        reason=tuned.reason,
        splits={
            "tune": {"n": len(t), "digest": t.digest},
            "calibrate": {"n": len(c), "used": len(one), "digest": c.digest},
        },
        kind=kind,
    )
    return Choice(tuned, selection, rejector)


def _shared(tune: LogitsFile, calibrate: LogitsFile, allowed: bool) -> str | None:
    """What the splits have in common; an error unless that is allowed."""
    if tune.logits.shape[1] != calibrate.logits.shape[1]:
        raise InputError(
            f"expected tune and calibrate of the same number of classes, "
            f"got {tune.logits.shape[1]} and {calibrate.logits.shape[1]}"
        )
    shared = overlap(tune, calibrate)
    if shared and not allowed:
        raise InputError(f"expected disjoint tune and calibrate splits, got {shared}")
    return shared


def _tune(file: LogitsFile, kind: str, **options: Any) -> Tuned:
    logits, labels = file.labelled()
    if kind == "probs":  # norms and features need logits
        options |= {"candidates": (), "learned": False}
    return tune(logits, labels, groups=file.groups, **options)


def _judged(tuned: Tuned, file: LogitsFile) -> tuple[Any, Any]:
    """Confidence and whether the prediction is wrong, of every row."""
    logits, labels = file.labelled()
    return tuned.score(logits), predict(logits) != labels


def _by_group(selection: Selection) -> Selection:
    """The promise of a fit on one row of each group, in words that say so."""
    return _promising(
        selection,
        unit="groups",
        assumption="groups are independent draws from the deployment population, one random row "
        "of each was used, and the promise is for a random row of a random group",
    )


def _void(selection: Selection) -> Selection:
    return _promising(selection, void=True)


def _promising(selection: Selection, **changes: Any) -> Selection:
    guarantee = replace(selection.guarantee, **changes)
    reason = str(guarantee) if selection.feasible else selection.reason
    return replace(selection, guarantee=guarantee, reason=reason)
