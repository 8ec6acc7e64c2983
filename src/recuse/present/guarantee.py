"""Guarantees and infeasible selections in words, and the table of subgroups.

Guarantees are the dataclasses of `selectors`; here only their fields are read.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from recuse.present.numbers import (
    about,
    confidence_level,
    count,
    exact_percent,
    listed,
    plural,
    upper_percent,
)

LARGEST_SAMPLE = 10**8  # beyond it, no number of rows is named
ASSUMPTIONS = {
    "iid_rows": "calibration rows are i.i.d. samples from the deployment distribution",
    "iid_groups": "groups are i.i.d. samples from the deployment distribution; one random row of "
    "each was used, and each group counts once",
    "group_means": "groups are i.i.d. samples from the deployment distribution, and each group "
    "counts once, by the mean of its rows",
    "out_of_fold": "out-of-fold rows are taken as independent predictions of the deployed model, "
    "which they are not: no finite-sample guarantee",
    "adaptive_search_unproved": "its adaptive search has no proof by a union bound",
}
NO_ESTIMATE = {
    "groups": "How many rows would be enough cannot be estimated, because rows of a group "
    "depend on each other.",
    "misses": "How many rows would be enough cannot be estimated, because thresholds that may miss "
    "too many were left out.",
    "losses": "How many rows would be enough cannot be estimated for losses other than 0 and 1.",
    "above": "How many rows would be enough cannot be estimated, because the observed risk does "
    "not fall below the target.",
    "enough": "How many rows would be enough cannot be estimated, because by the observed risks "
    "these are: another sample of as many may pass.",
}
OF_WHICH = {  # a target risk is a share
    "accepted": "accepted predictions are wrong",
    "all": "all predictions are accepted and wrong",
}
NOUN = {"subgroup": "subgroup", "class": "predicted class"}
NOUNS = {"subgroup": "subgroups", "class": "predicted classes"}


def assumptions(g: Any) -> str:
    """Return what a guarantee rests on, as one clause.

    >>> from types import SimpleNamespace
    >>> assumptions(SimpleNamespace(assumptions=("adaptive_search_unproved",)))
    'its adaptive search has no proof by a union bound'
    """
    said = [ASSUMPTIONS[name] for name in g.assumptions]
    if doubts := getattr(g, "ungrouped", ()):
        column, repeats = ("column", "repeats") if len(doubts) == 1 else ("columns", "repeat")
        named = listed(f"`{name}`" for name in doubts)
        said.append(f"rows are taken as independent though {column} {named} {repeats}")
    if getattr(g, "points", None):
        said.append(f"the limits of all {g.points} thresholds of the band hold at once")
    if (share := getattr(g, "share", 1)) < 1:
        alone = confidence_level(g.delta * share)
        said.append(f"more than one score was tried, so this one was tested at {alone} confidence")
    if getattr(g, "simultaneous", 1) > 1:
        together = confidence_level(g.delta * g.simultaneous)
        said.append(f"{g.simultaneous} such guarantees hold at once with {together} confidence")
    return "; ".join(said)


def sentence(g: Any) -> str:
    """Return a guarantee of a risk, a coverage or a cost in one sentence."""
    seen = _seen(g)
    if g.void:
        return _void(seen)
    sure = f"With {confidence_level(g.delta)} confidence"
    if "out_of_fold" in g.assumptions:
        sure = f"Assumed, not proved: with {confidence_level(g.delta)} confidence"
    if g.kind == "coverage":
        least = f"at least {exact_percent(g.coverage)} of predictions are accepted"
        return f"{sure}, {least} ({seen}; {assumptions(g)})."
    if g.kind == "cost" and g.upper is None:
        return f"No guarantee: the threshold was chosen and counted on the same rows ({seen})."
    if g.kind == "cost":
        return (
            f"{sure}, a prediction costs at most {g.upper:.4g} on average ({seen}; "
            f"{assumptions(g)}). Another threshold may be cheaper."
        )
    if g.kind == "misses":
        return f"No error rate is guaranteed ({seen}; {assumptions(g)})."
    if g.kind == "mean_cost":
        return (
            f"{sure}, a prediction costs at most {g.upper:.4g} on average, abstentions included "
            f"({seen}; {assumptions(g)})."
        )
    return f"{sure}, {_target(g)} ({seen}; {assumptions(g)})."


def statement(g: Any, misses: Sequence[Any]) -> str:
    """Return a guarantee and the limits of misses beside it, all of which hold at once."""
    if not misses or g.void:
        return str(g)
    said = [_missed(m, g) for m in misses]
    said = [*said, str(g)] if g.kind == "misses" else [str(g), *said]
    deltas = [m.delta for m in misses] + [g.delta] * (g.kind != "misses")
    if len(deltas) > 1:
        together = confidence_level(sum(deltas))
        every = "Both" if len(deltas) == 2 else f"All {len(deltas)}"
        said.append(f"{every} hold at once with {together} confidence.")
    return " ".join(said)


def _missed(m: Any, g: Any) -> str:
    assumed = "Assumed, not proved: of" if "out_of_fold" in g.assumptions else "Of"
    return (
        f"{assumed} true class {m.name}, at most {exact_percent(m.target)} are answered with "
        f"another class ({confidence_level(m.delta)} confidence; {m.missed} of {m.n} calibration "
        f"{g.unit})."
    )


def average_sentence(g: Any) -> str:
    """Return a guarantee that holds on average over calibration splits in one sentence."""
    return (
        f"On average over calibration splits, {_target(g)} ({_seen(g)}; {assumptions(g)}). "
        "This split may let more through, or fewer."
    )


def batch_sentence(b: Any) -> str:
    """Return what is expected of the accepted rows of a batch, or why none is accepted."""
    if b.accepted:
        return (
            f"On average over calibration splits and batches, at most "
            f"{exact_percent(b.target_risk)} of accepted rows are wrong ({count(b.accepted)} of "
            f"{plural(b.m, 'row')} accepted; {plural(b.n, 'calibration row')}, {count(b.errors)} "
            "of them wrong; calibration rows and batch are i.i.d. samples of one distribution)."
        )
    if b.calibration_needed > b.n:
        return (
            f"None of {plural(b.m, 'row')} is accepted: {_at_least(b.calibration_needed)} "
            f"calibration rows are needed, got {count(b.n)}."
        )
    return (
        f"None of {plural(b.m, 'row')} is accepted: with {plural(b.n, 'calibration row')}, at "
        f"least {plural(b.batch_needed, 'row')} of the batch must be more confident than every "
        "wrong one, more if some are not."
    )


def subgroups_sentence(g: Any) -> str:
    """Return the guarantees of all subgroups in one sentence, and who is always abstained on."""
    seen = _seen(g)
    if g.void:
        return _void(seen)
    none = [_name(g, name) for name, one in g.each.items() if not one.accepted]
    said = (
        f"With {confidence_level(g.delta)} confidence, {_targets(g)} "
        f"({len(g.each) - len(none)} of {len(g.each)}; {seen}; {assumptions(g)})."
    )
    return f"{said} Always abstained on: {listed(none)}." if none else said


def _targets(g: Any) -> str:
    """Return the target of all subgroups, or those of each."""
    of: dict[float, list[str]] = {}
    for name, one in g.each.items():
        of.setdefault(one.target_risk, []).append(_name(g, name))
    most = f"at most {exact_percent(next(iter(of)))} of {OF_WHICH[g.among]} in"
    if len(of) == 1:
        return f"{most} each {NOUN[g.by]} that has a threshold"
    (_, first), *others = of.items()
    rest = [f"at most {exact_percent(target)} in {listed(names)}" for target, names in others]
    return f"{most} {NOUN[g.by]} {listed(first)}, {listed(rest)}, of those that have a threshold"


def target_of_each(g: Any) -> str | None:
    """Return the targets of subgroups where they differ; None where they do not."""
    if len({one.target_risk for one in g.each.values()}) == 1:
        return None
    return listed(f"{exact_percent(one.target_risk)} of {_name(g, k)}" for k, one in g.each.items())


def _name(g: Any, subgroup: Any) -> str:
    """Return a subgroup, or a class by its name."""
    return str(subgroup) if g.names is None else g.names[subgroup]


def outcome(g: Any, infeasible: Any, misses: Sequence[Any] = ()) -> str:
    """Return the guarantee, or why there is none and what would be feasible."""
    if infeasible is None:
        return statement(g, misses)
    if g.kind == "misses":
        return _infeasible_misses(g, infeasible)
    said = _infeasible(g, infeasible)
    return f"{said} {_left_out(misses)}" if misses else said


def _left_out(misses: Sequence[Any]) -> str:
    """Return which thresholds were not tried."""
    of = listed(f"{exact_percent(m.target)} of true class {m.name}" for m in misses)
    return f"Thresholds that may miss more than {of} were left out."


def _infeasible_misses(g: Any, infeasible: Any) -> str:
    said = (
        f"Infeasible: no threshold limits the misses of true class {infeasible.name} to "
        f"{exact_percent(infeasible.target)} with {confidence_level(infeasible.delta)} confidence "
        f"on {infeasible.n} calibration {g.unit} of it. At least "
        f"{_rows(infeasible.error_free_rows)} are needed if none is missed, more if some are."
    )
    if infeasible.smallest_target is None:
        return f"{said} No target would have passed."
    smallest = exact_percent(infeasible.smallest_target)
    return f"{said} The smallest target that would have passed is {smallest}."


def _infeasible(g: Any, infeasible: Any) -> str:
    """Return why there is no guarantee and what would be feasible."""
    if infeasible.note is not None:
        return infeasible.note
    if g.kind == "average":
        return _infeasible_on_average(g, infeasible)
    sure, target = confidence_level(g.delta), exact_percent(g.target_risk)
    if infeasible.reliable:
        return (
            f"Infeasible: no threshold of the band has a limit of at most {target} with {sure} "
            f"confidence. The smallest limit is {infeasible.smallest_target:.4g}; it is valid."
        )
    if infeasible.error_free_rows is None:
        return f"No calibration {_one(g.unit)} is predicted as this class."
    free = _rows(infeasible.error_free_rows)
    what, must = f"a risk of {target}", f"{free} must be accepted if none of them is wrong"
    if g.among == "all":
        what = f"{target} of all predictions that are accepted and wrong"
        must = f"{free} calibration {g.unit} are needed if none of the accepted is wrong"
    parts = [
        f"Infeasible: no threshold passed the test for {what} with {sure} confidence "
        f"on {g.n} calibration {g.unit}. To pass, {must}, more if some are."
    ]
    if infeasible.smallest_target is not None:
        below = infeasible.smallest_target < g.target_risk
        lower = ", since the thresholds that are tested depend on the target" if below else ""
        parts.append(
            f"The smallest target that would have passed is "
            f"{exact_percent(infeasible.smallest_target)}{lower}; to rely on it, choose it before "
            "looking at new calibration data."
        )
    if infeasible.hopeless:
        above = "risk" if g.among == "accepted" else "share"
        parts.append(
            f"The {above} is above the target at every threshold: more data will not help."
        )
    elif infeasible.rows_needed is not None:
        both = f" and as many tuning {g.unit}" if infeasible.tuning_rows_too else ""
        which = "" if infeasible.of_file else "calibration "
        rows = f"{about(infeasible.rows_needed)} {which}{g.unit}"
        parts.append(f"At the observed risks, about {rows}{both} would be enough.")
    elif infeasible.no_estimate is not None:
        parts.append(NO_ESTIMATE[infeasible.no_estimate])
    return " ".join(parts)


def subgroups_outcome(g: Any, selections: Mapping[Any, Any], misses: Sequence[Any] = ()) -> str:
    """Return the guarantees of subgroups; if none has one, which needs least and which most."""
    if any(s.feasible for s in selections.values()):
        return statement(g, misses)
    said = _infeasible_subgroups(g, selections)
    return f"{said} {_left_out(misses)}" if misses else said


def _infeasible_subgroups(g: Any, selections: Mapping[Any, Any]) -> str:
    needed = {name: s.smallest_target or np.inf for name, s in selections.items()}
    least, most = min(needed, key=needed.__getitem__), max(needed, key=needed.__getitem__)
    count, name = len(selections), g.by.capitalize()
    each, together = confidence_level(g.delta / count), confidence_level(g.delta)
    said = (
        f"Infeasible for every one of {count} {NOUNS[g.by]}, each tested at {each} confidence, so "
        f"that {together} holds for all. {name} {_name(g, least)} needs least: "
        f"{selections[least].reason}"
    )
    if count == 1:
        return said
    target = needed[most]
    which = "no target" if np.isinf(target) else f"no target below {exact_percent(target)}"
    return f"{said} {name} {_name(g, most)} needs most: {which} would have passed."


def subgroup_text(table: Iterable[Any]) -> str:
    """Return the table of subgroups as text."""
    head = f"{'subgroup':>12} {'n':>7} {'accepted':>9} {'coverage':>9} {'errors':>7} {'risk':>7}"
    lines = [
        f"{'all' if r.subgroup is None else r.subgroup!s:>12} {r.n:>7} {r.accepted:>9} "
        f"{r.coverage:>9.3f} {r.errors:>7} {'-' if r.risk is None else f'{r.risk:.4f}':>7}"
        for r in table
    ]
    return "\n".join([head, *lines])


def _infeasible_on_average(g: Any, infeasible: Any) -> str:
    said = (
        f"Infeasible: no threshold lets at most {exact_percent(g.target_risk)} through on average, "
        f"counting one error more than the {g.n} calibration {g.unit} have. To pass, "
        f"{_at_least(infeasible.error_free_rows)} calibration {g.unit} are needed, if none of the "
        "accepted is wrong."
    )
    if infeasible.smallest_target is None:
        return said
    smallest = upper_percent(infeasible.smallest_target)
    return f"{said} The smallest target that would have passed is {smallest}."


def _target(g: Any) -> str:
    if isinstance(g.errors, int):
        return f"at most {exact_percent(g.target_risk)} of {OF_WHICH[g.among]}"
    of = {"accepted": "accepted predictions", "all": "all predictions, 0 of an abstention,"}
    return f"the mean loss of {of[g.among]} is at most {g.target_risk:g}"


def _seen(g: Any) -> str:
    """Return what the calibration split showed."""
    seen = f"{g.accepted} of {g.n} calibration {g.unit} accepted"
    if g.kind == "coverage":
        return seen
    if g.kind == "cost":
        return f"mean cost {g.cost:.4g}; {seen}, {g.errors} of them wrong"
    if g.kind == "mean_cost":
        answering, abstaining = g.answering / g.n, g.abstaining / g.n
        return (
            f"mean cost {g.cost:.4g} on {g.n} calibration {g.unit}, {g.accepted} accepted; always "
            f"answering costs {answering:.4g} there, always abstaining {abstaining:.4g}"
        )
    if isinstance(g.errors, int):
        return f"{seen}, {g.errors} of them wrong"
    return f"{seen}, mean loss {g.errors / max(g.accepted, 1):.4g}"


def _void(seen: str) -> str:
    return f"No guarantee: the tuning and the calibration split share rows ({seen})."


def _one(unit: str) -> str:
    return {"rows": "row", "groups": "group"}[unit]


def _rows(n: int) -> str:
    return str(n) if n <= LARGEST_SAMPLE else f"more than {LARGEST_SAMPLE:,}"


def _at_least(n: int) -> str:
    return f"at least {count(n)}" if n <= LARGEST_SAMPLE else _rows(n)
