"""The rules of a rejector: a threshold and its promise for all predictions, or for each subgroup.

n = examples, G = rules, ... = any trailing axes (pixels).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from recuse._internal.check import check_delta, check_groups, to_numpy
from recuse._internal.files import strict
from recuse.errors import InputError
from recuse.io._checked import check_names
from recuse.rejector._recheck import ROUNDING, AnyGuarantee, read_guarantee
from recuse.rejector._splits import spread
from recuse.selectors import Guarantee, Selection, SubgroupGuarantee, SubgroupSelection

if TYPE_CHECKING:
    from jaxtyping import Float32, Int, Shaped
    from numpy import ndarray as Array
    from numpy.typing import ArrayLike

ALL, CLASS, SUBGROUP = BY = ("all", "class", "subgroup")
TEXT: dict[str, type] = {"threshold": str, "threshold_hex": str, "reason": type(None)}
NONE: dict[str, type] = {"threshold": type(None), "threshold_hex": type(None), "reason": str}
EVERYTHING = -float(np.finfo(np.float32).max)  # the threshold that accepts all
UNSEEN = "No calibrate example is predicted as this class."


class Rule(NamedTuple):
    """For whom, from where on to accept, and what that promises."""

    subgroup: int | str | None  # predicted class or subgroup; None: all
    threshold: float  # a float32 value; +inf: always abstained on
    guarantee: AnyGuarantee
    reason: str | None = None  # why there is no threshold


def rules_of(selection: Selection | SubgroupSelection, classes: int) -> tuple[Rule, ...]:
    """The rules of what was selected; a class that calibrate does not show has one too."""
    if isinstance(selection, Selection):
        return (_rule(None, selection),)
    found = [_rule(name, chosen) for name, chosen in selection.selections.items()]
    if selection.by == SUBGROUP:
        return tuple(found)
    of = {rule.subgroup: rule for rule in found}
    nothing = replace(found[0].guarantee, n=0, accepted=0, errors=0)
    return tuple(of.get(k, Rule(k, float("inf"), nothing, UNSEEN)) for k in range(classes))


def _rule(of: int | str | None, s: Selection) -> Rule:
    return Rule(of, s.threshold, s.guarantee, None if s.threshold < np.inf else s.reason)


def guarantee_of(rules: tuple[Rule, ...], by: str, delta: float) -> Any:
    """What all rules promise together; of one rule for all, its guarantee."""
    if by == ALL:
        return rules[0].guarantee
    each = {rule.subgroup: rule.guarantee for rule in rules}
    return SubgroupGuarantee(each, rules[0].guarantee.target_risk, delta, by)  # ty: ignore


def thresholds(
    rules: tuple[Rule, ...], by: str, label: Int[Array, "n ..."], subgroups: ArrayLike | None
) -> Float32[Array, ...]:
    """The threshold of every prediction; +inf for a subgroup that no rule knows."""
    each = np.array([rule.threshold for rule in rules], np.float32)
    if by == CLASS:
        return each[label]
    if by == ALL:
        return each[0]
    names, index = np.unique(_known_kind(subgroups, len(label), rules), return_inverse=True)
    of = {rule.subgroup: threshold for rule, threshold in zip(rules, each)}
    found = np.array([of.get(name, np.inf) for name in names.tolist()], np.float32)
    return spread(found[index.reshape(-1)], label.shape)


def check_given(by: str, subgroups: ArrayLike | None) -> None:
    """Groups where there are rules for subgroups, and only there."""
    if by == SUBGROUP and subgroups is None:
        raise InputError(
            "expected `subgroups`, one for each row: its thresholds are those of subgroups"
        )
    if by != SUBGROUP and subgroups is not None:
        raise InputError("expected no `subgroups`: this rejector has no thresholds for subgroups")


def _known_kind(
    subgroups: ArrayLike | None, n: int, rules: tuple[Rule, ...]
) -> Shaped[Array, " n"]:
    """One subgroup a row, of text or of integers as in the fit."""
    g, text = names_of(subgroups, n), isinstance(rules[0].subgroup, str)
    if (g.dtype.kind == "U") != text:
        kind = "text" if text else "integers"
        raise InputError(f"expected `subgroups` of {kind}, as fitted, got {g.dtype}")
    return g


def names_of(
    subgroups: ArrayLike | None, n: int, where: str = "`subgroups`"
) -> Shaped[Array, " n"]:
    """One subgroup a row, as a file can name it: integers or text."""
    check_groups(subgroups, n, where=where)
    g = to_numpy(subgroups)
    return check_names(np.array(g.tolist()) if g.dtype.kind == "O" else g, n, where)


def to_rows(rules: tuple[Rule, ...]) -> list[dict[str, Any]]:
    """Plain data, as in the file."""
    return [
        {
            "of": rule.subgroup,
            "threshold": repr(float(rule.threshold)) if rule.threshold < np.inf else None,
            "threshold_hex": float(rule.threshold).hex() if rule.threshold < np.inf else None,
            "reason": rule.reason,
            "promise": {"kind": rule.guarantee.kind, **rule.guarantee.to_dict()},
        }
        for rule in rules
    ]


def from_rows(rows: list[Any], by: str, delta: float, classes: int) -> tuple[Rule, ...]:
    """The inverse of `to_rows`; strict."""
    if by not in BY:
        raise InputError(f"expected `by` {', '.join(BY)}, got {by!r}")
    rules = tuple(_read(row, by) for row in rows)
    _check_names([rule.subgroup for rule in rules], by, classes)
    _check_together([rule.guarantee for rule in rules], by, delta)
    return rules


def _read(data: Any, by: str) -> Rule:
    abstains = isinstance(data, Mapping) and data.get("threshold", 0) is None
    of = type(data.get("of")) if isinstance(data, Mapping) else object
    kinds = {ALL: (type(None),), CLASS: (int,), SUBGROUP: (int, str)}[by]
    fields = {"of": of if of in kinds else kinds[0], "promise": dict}
    strict(data, fields | (NONE if abstains else TEXT), "a rule")
    guarantee = read_guarantee(data["promise"], abstains=abstains)
    _check_everything(guarantee, data["threshold"])
    if by == ALL and abstains and guarantee.kind != "cost":
        raise InputError(f"expected a threshold beside a promised {guarantee.kind}, got none")
    if abstains:
        return Rule(data["of"], float("inf"), guarantee, data["reason"])
    return Rule(data["of"], _threshold(data["threshold"], data["threshold_hex"]), guarantee)


def _check_everything(guarantee: AnyGuarantee, threshold: str | None) -> None:
    """A coverage that no rank can promise is promised by accepting everything."""
    unranked = guarantee.kind == "coverage" and guarantee.rank is None  # ty: ignore
    if unranked and threshold != repr(EVERYTHING):
        raise InputError(f"expected the threshold {EVERYTHING!r}, without a rank, got {threshold}")


def _check_names(names: list[Any], by: str, classes: int) -> None:
    """One rule for all, one for each class, or one for each subgroup."""
    wanted = {ALL: [None], CLASS: range(classes)}.get(by, names)
    wanted = list(wanted) if len(wanted) == len(names) else None
    known = names and len({*names}) == len(names) and len({type(name) for name in names}) == 1
    if names != wanted or not known:
        raise InputError(f"expected one rule for {_everyone(by, classes)}, got {len(names)} rules")


def _everyone(by: str, classes: int) -> str:
    return {ALL: "all", CLASS: f"each of {classes} classes"}.get(by, "each subgroup")


def _check_together(guarantees: list[AnyGuarantee], by: str, delta: float) -> None:
    """Of one kind and target, each at its share of delta."""
    check_delta(delta)
    seen = sum(p.n > 0 for p in guarantees)
    g = guarantees[0]
    if not all(abs(p.delta * max(seen, 1) - delta) <= ROUNDING * delta for p in guarantees):
        raise InputError(f"expected promises at {delta:g} / {seen} each, got {g.delta:g}")
    if by != ALL and not all(isinstance(p, Guarantee) for p in guarantees):
        raise InputError(f"expected promises of a risk by {by}, got {g.kind}")
    alike = {(getattr(p, "target_risk", None), p.unit, p.void) for p in guarantees}
    if by == SUBGROUP and seen < len(guarantees):
        raise InputError("expected calibrate examples of every subgroup, got a subgroup of none")
    if len(alike) > 1 or not seen or (by != ALL and not any(p.accepted for p in guarantees)):
        raise InputError("expected rules of one target, unit and validity, one with a threshold")


def _threshold(decimal: str, exact: str) -> float:
    threshold = float.fromhex(exact)
    with np.errstate(over="ignore"):
        rounded = float(np.float32(threshold))
    if float(decimal) != threshold or rounded != threshold or np.isinf(threshold):
        raise InputError("expected a threshold that is a finite float32, the same in both forms")
    return threshold
