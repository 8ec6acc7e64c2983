"""The rules of a rejector: a threshold and its guarantee, for all predictions or each subgroup.

n = examples, G = rules, ... = any trailing axes (pixels).
"""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from recuse._internal.check import check_delta, check_groups, to_numpy
from recuse._internal.files import strict
from recuse.errors import InputError
from recuse.io._checked import check_names
from recuse.present.guarantee import outcome
from recuse.selectors import Guarantee, Selection, SubgroupGuarantee, SubgroupSelection
from recuse.selectors._grid import EVERYTHING
from recuse.selectors._guarantee import AnyGuarantee, Infeasible, MissGuarantee
from recuse.selectors._methods import ROUNDING
from recuse.selectors._recheck import read_guarantee, read_infeasible, read_misses

if TYPE_CHECKING:
    from jaxtyping import Float32, Int, Shaped
    from numpy import ndarray as Array
    from numpy.typing import ArrayLike

ALL, CLASS, SUBGROUP = BY = ("all", "class", "subgroup")


class Rule(NamedTuple):
    """For whom, from which confidence on to accept, and the guarantee of that."""

    subgroup: int | str | None  # predicted class or subgroup; None: all
    threshold: float  # a float32 value; +inf: always abstained on
    guarantee: AnyGuarantee
    infeasible: Infeasible | None = None  # why there is no threshold

    @property
    def reason(self) -> str | None:
        """Why there is no threshold, in words; None if there is one."""
        return None if self.threshold < np.inf else outcome(self.guarantee, self.infeasible)


def rules_of(selection: Selection | SubgroupSelection, classes: int) -> tuple[Rule, ...]:
    """Return the rules of a selection; a class without calibration rows has one too."""
    if isinstance(selection, Selection):
        return (_rule(None, selection),)
    found = [_rule(name, chosen) for name, chosen in selection.selections.items()]
    if selection.by == SUBGROUP:
        return tuple(found)
    of = {rule.subgroup: rule for rule in found}
    nothing = replace(found[0].guarantee, n=0, accepted=0, errors=0, bets="")

    def unseen(k: int) -> Rule:
        own = {} if selection.targets is None else {"target_risk": selection.targets[k]}
        return Rule(k, float("inf"), replace(nothing, **own), Infeasible())

    return tuple(of[k] if k in of else unseen(k) for k in range(classes))


def _rule(of: int | str | None, s: Selection) -> Rule:
    return Rule(of, s.threshold, s.guarantee, s.infeasible)


def guarantee_of(
    rules: tuple[Rule, ...], by: str, delta: float, names: tuple[str, ...] | None = None
) -> Any:
    """Return the guarantee of all rules together; of one rule for all, its own."""
    if by == ALL:
        return rules[0].guarantee
    each = {rule.subgroup: rule.guarantee for rule in rules}
    largest = max(g.target_risk for g in each.values() if g.accepted)  # ty: ignore
    return SubgroupGuarantee(each, largest, delta, by, names if by == CLASS else None)  # ty: ignore


def thresholds(
    rules: tuple[Rule, ...], by: str, prediction: Int[Array, "n ..."], subgroups: ArrayLike | None
) -> Float32[Array, ...]:
    """Return the threshold of every prediction; +inf for a subgroup that no rule knows."""
    each = np.array([rule.threshold for rule in rules], np.float32)
    if by == CLASS:
        return each[prediction]
    if by == ALL:
        return each[0]
    names, index = np.unique(_known_kind(subgroups, len(prediction), rules), return_inverse=True)
    of = {rule.subgroup: threshold for rule, threshold in zip(rules, each)}
    found = np.array([of.get(name, np.inf) for name in names.tolist()], np.float32)
    return spread(found[index.reshape(-1)], prediction.shape)


def check_given(by: str, subgroups: ArrayLike | None) -> None:
    """Require subgroups where there are rules for them, and only there."""
    if by == SUBGROUP and subgroups is None:
        raise InputError(
            "expected `subgroups`, one for each row: this rejector has a threshold for each"
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


def spread(of_row: Shaped[Array, " n"], shape: tuple[int, ...]) -> Shaped[Array, "n ..."]:
    """Return the value of each row for each of its pixels."""
    return np.broadcast_to(of_row.reshape(-1, *[1] * (len(shape) - 1)), shape)


def to_rows(rules: tuple[Rule, ...]) -> list[dict[str, Any]]:
    """Return plain data, as in the file."""
    return [
        {
            "subgroup": rule.subgroup,
            "threshold": repr(float(rule.threshold)) if rule.threshold < np.inf else None,
            "threshold_hex": float(rule.threshold).hex() if rule.threshold < np.inf else None,
            "infeasible": None if rule.infeasible is None else asdict(rule.infeasible),
            "guarantee": {"kind": rule.guarantee.kind, **rule.guarantee.to_dict()},
        }
        for rule in rules
    ]


def from_rows(
    rows: list[Any], by: str, delta: float, classes: int, limits: int = 0
) -> tuple[Rule, ...]:
    """Return the rules that `to_rows` wrote, beside so many limits of misses; strict."""
    if by not in BY:
        raise InputError(f"expected `by` {', '.join(BY)}, got {by!r}")
    rules = tuple(_read(row, by) for row in rows)
    _check_names([rule.subgroup for rule in rules], by, classes)
    check_delta(delta)
    share = delta_of_rules(delta, rules[0].guarantee.kind, limits)
    _check_together([rule.guarantee for rule in rules], by, share)
    return rules


def _read(data: Any, by: str) -> Rule:
    given = data if isinstance(data, dict) else {}
    abstains = given.get("threshold", 0) is None
    named = type(given.get("subgroup"))
    kinds = {ALL: (type(None),), CLASS: (int,), SUBGROUP: (int, str)}[by]
    text = type(None) if abstains else str
    says_why = abstains and not isinstance(given.get("infeasible", 0), type(None))
    fields = {
        "subgroup": named if named in kinds else kinds[0],
        "threshold": text,
        "threshold_hex": text,
        "infeasible": dict if says_why else type(None),
        "guarantee": dict,
    }
    strict(data, fields, "a rule")
    guarantee = read_guarantee(data["guarantee"], abstains=abstains)
    _check_everything(guarantee, data["threshold"])
    if abstains and says_why != (guarantee.kind == "risk"):
        raise InputError("expected `infeasible` beside a guarantee of a risk without a threshold")
    if by == ALL and abstains and guarantee.kind != "cost":
        raise InputError(f"expected a threshold beside a guaranteed {guarantee.kind}, got none")
    if abstains:
        reason = read_infeasible(data["infeasible"]) if says_why else None
        return Rule(data["subgroup"], float("inf"), guarantee, reason)
    return Rule(data["subgroup"], _threshold(data["threshold"], data["threshold_hex"]), guarantee)


def _check_everything(guarantee: AnyGuarantee, threshold: str | None) -> None:
    """Require a threshold that accepts everything where no rank guarantees the coverage."""
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
    """Require guarantees of one kind, each at its share of delta; classes may differ in target."""
    seen = sum(p.n > 0 for p in guarantees)
    g = guarantees[0]
    if not all(abs(p.delta * max(seen, 1) - delta) <= ROUNDING * delta for p in guarantees):
        raise InputError(f"expected guarantees at {delta:g} / {seen} each, got {g.delta:g}")
    if by != ALL and not all(isinstance(p, Guarantee) for p in guarantees):
        raise InputError(f"expected guarantees of a risk by {by}, got {g.kind}")
    names = ("among", "unit", "void", "share", "ungrouped") + ("target_risk",) * (by != CLASS)
    alike = {tuple(getattr(p, name, None) for name in names) for p in guarantees}
    if by == SUBGROUP and seen < len(guarantees):
        raise InputError("expected calibration rows of every subgroup, got a subgroup of none")
    if len(alike) > 1 or not seen or (by != ALL and not any(p.accepted for p in guarantees)):
        raise InputError(
            "expected rules of one target, unit and validity, one share of delta and ungrouped "
            "columns, and one rule with a threshold"
        )


def _threshold(decimal: str, exact: str) -> float:
    threshold = float.fromhex(exact)
    with np.errstate(over="ignore"):
        rounded = float(np.float32(threshold))
    if float(decimal) != threshold or rounded != threshold or np.isinf(threshold):
        raise InputError("expected a threshold that is a finite float32, the same in both forms")
    return threshold


def called(names: tuple[str, ...] | None, classes: int) -> tuple[str, ...]:
    """Return the names of the classes, or their indices as text."""
    return tuple(map(str, range(classes))) if names is None else names


def parts_of(guarantee: Any, misses: tuple[Any, ...]) -> int:
    """Return among how many guarantees delta is shared."""
    return len(misses) + (guarantee.kind != "misses") if misses else 1


def delta_of_rules(delta: float, kind: str, limits: int) -> float:
    """Return what of delta the guarantees of the rules have: all, where they guarantee nothing."""
    return delta if kind == "misses" else delta / (1 + limits)


def read_limits(
    rows: list[Any], guarantee: Any, delta: float, classes: int, names: tuple[str, ...] | None
) -> tuple[MissGuarantee, ...]:
    """Return the limits of misses beside a guarantee of the rules; strict.

    Args:
        rows: As in the file.
        guarantee: Of all rules together.
        delta: Of the rejector.
        classes: K.
        names: Of the classes.
    """
    kind = guarantee.kind
    if (rows and kind not in ("risk", "misses")) or (kind == "misses" and not rows):
        raise InputError(f"expected `misses` alone or beside a risk, got {len(rows)} and a {kind}")
    if not rows:
        return ()
    found = read_misses(rows, guarantee.share, called(names, classes))
    each = delta / parts_of(guarantee, found)
    if not all(abs(m.delta - each) <= ROUNDING * each for m in found):
        raise InputError(f"expected `misses` at delta {each:g} each, got {found[0].delta:g}")
    if sum(m.n for m in found) > guarantee.n or sum(m.missed for m in found) > guarantee.errors:
        raise InputError("expected `misses` of the rows and errors of the guarantee, got more")
    return found
