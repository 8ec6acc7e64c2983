"""A promise for each subgroup, and who is abstained on.

n = calibrate examples, G = subgroups: values of a function of the input, such as the predicted
class, the hospital or the sex; never of the label.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

import numpy as np

from recuse._internal.check import check_delta, check_groups, check_loss, check_zero_one, to_numpy
from recuse.bounds import clopper_pearson_lower, clopper_pearson_upper
from recuse.errors import InputError
from recuse.selectors._guarantee import (
    Guarantee,
    Selection,
    accept,
    counted,
    no_guarantee,
    percent,
    sure,
)
from recuse.selectors._select import select

if TYPE_CHECKING:
    from jaxtyping import Bool, Float32, Shaped
    from numpy import ndarray as Array
    from numpy.typing import ArrayLike

ALL = "all"
NOUNS = {"subgroup": "subgroup", "class": "predicted class"}
PLURALS = {"subgroup": "subgroups", "class": "predicted classes"}
LISTED = 10  # subgroups that are named
LEVEL = 0.05  # of the intervals of `subgroup_table`, for each row of its table


class SubgroupRow(NamedTuple):
    """What happens to one subgroup, counted; intervals are 95 %, exact, each for itself."""

    subgroup: Hashable | None  # None: all examples
    n: int
    accepted: int
    errors: int  # of the accepted
    coverage: float
    coverage_interval: tuple[float, float]
    risk: float | None  # None: nothing was accepted
    risk_interval: tuple[float, float]
    error_rate: float  # had everything been accepted


@dataclass(frozen=True)
class SubgroupGuarantee:
    """What the thresholds of all subgroups promise together."""

    kind: ClassVar[str] = "risk"

    each: Mapping[Any, Guarantee]  # subgroup -> its own, at delta / G; nothing accepted: none
    target_risk: float
    delta: float
    by: str = "subgroup"

    @property
    def void(self) -> bool:
        """Fitted on data that it must not see."""
        return any(g.void for g in self.each.values())

    @property
    def n(self) -> int:
        """Calibrate examples of all subgroups, or one for each unit that is no example."""
        return sum(g.n for g in self.each.values())

    @property
    def accepted(self) -> int:
        """Of `n`."""
        return sum(g.accepted for g in self.each.values())

    @property
    def errors(self) -> float:
        """Of the accepted."""
        return sum(g.errors for g in self.each.values())

    @property
    def assumption(self) -> str:
        """What the promises rest on, each said once."""
        given = [g for g in self.each.values() if g.accepted] or list(self.each.values())
        return "; or ".join(dict.fromkeys(g.assumption for g in given))

    def __str__(self) -> str:
        unit = next(iter(self.each.values())).unit
        seen = counted(self.n, self.accepted, self.errors, unit)
        none = [str(name) for name, g in self.each.items() if not g.accepted]
        if self.void:
            return no_guarantee(seen)
        sentence = (
            f"With {sure(self.delta)} confidence, at most {percent(self.target_risk)} of "
            f"accepted predictions are wrong in each {NOUNS[self.by]} that has a threshold "
            f"({len(self.each) - len(none)} of {len(self.each)}; {seen}; {self.assumption})."
        )
        return f"{sentence} Always abstained on: {_listed(none)}." if none else sentence

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON; subgroups are rows, since JSON has keys of text alone."""
        rows = [{"of": name, **g.to_dict()} for name, g in self.each.items()]
        whole = ("by", "target_risk", "delta", "n", "accepted", "errors", "void")
        return {name: getattr(self, name) for name in whole} | {"each": rows}


@dataclass(frozen=True)
class SubgroupSelection:
    """A threshold for each subgroup; all promises hold at once with probability >= 1 - delta."""

    selections: Mapping[Any, Selection]  # subgroup -> its own, at delta / G
    target_risk: float
    delta: float
    table: tuple[SubgroupRow, ...]  # of the calibrate split: all of it first, then each subgroup
    by: str = "subgroup"  # or "class", the predicted one

    @property
    def feasible(self) -> bool:
        """Whether at least one subgroup can be promised something."""
        return any(s.feasible for s in self.selections.values())

    @property
    def guarantee(self) -> SubgroupGuarantee:
        """The promises of all subgroups as one."""
        each = {name: s.guarantee for name, s in self.selections.items()}
        return SubgroupGuarantee(each, self.target_risk, self.delta, self.by)

    @property
    def reason(self) -> str:
        """In words: the promise, and the subgroups for which there is none."""
        if self.feasible:
            return str(self.guarantee)
        count, needed = len(self.selections), self._smallest_targets()
        least, most = min(needed, key=needed.__getitem__), max(needed, key=needed.__getitem__)
        return (
            f"Infeasible for every one of {count} {PLURALS[self.by]}, each at delta = "
            f"{self.delta:g} / {count}. {self.by.capitalize()} {least} needs least: "
            f"{self.selections[least].reason}{self._most(most, needed[most])}"
        )

    def _smallest_targets(self) -> dict[Any, float]:
        """What each subgroup could have been promised; infinite where nothing."""
        found = {name: s.smallest_target for name, s in self.selections.items()}
        return {name: np.inf if target is None else target for name, target in found.items()}

    def _most(self, name: Any, target: float) -> str:
        """The subgroup that is furthest from a promise."""
        if len(self.selections) == 1:
            return ""
        what = "no target" if np.isinf(target) else f"no target below {percent(target)}"
        return f" {self.by.capitalize()} {name} needs most: {what} would have passed."

    def __str__(self) -> str:
        return "\n".join([self.reason, show(self.table)])

    def thresholds(self, subgroups: ArrayLike) -> Float32[Array, " n"]:
        """The threshold of each example; +inf for a subgroup without calibration rows."""
        of = {g: np.float32(s.threshold) for g, s in self.selections.items()}
        return np.array([of.get(g, np.inf) for g in to_numpy(subgroups).tolist()], np.float32)

    def accept(self, confidence: ArrayLike, subgroups: ArrayLike) -> Bool[Array, " n"]:
        """Which examples to accept, each by the threshold of its subgroup."""
        threshold = self.thresholds(subgroups)
        if (shape := np.shape(confidence)) != threshold.shape:
            raise InputError(f"expected `subgroups` of shape {shape}, got {threshold.shape}")
        return accept(confidence, threshold)

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON; subgroups are rows, since JSON has keys of text alone."""
        return {
            "target_risk": self.target_risk,
            "delta": self.delta,
            "subgroups": [{"subgroup": g, **asdict(s)} for g, s in self.selections.items()],
            "table": [row._asdict() for row in self.table],
        }


def select_by_subgroup(
    confidence: ArrayLike,
    loss: ArrayLike,
    subgroups: ArrayLike,
    *,
    target_risk: float,
    delta: float = 0.05,
    method: str = "auto",
    tune: tuple[ArrayLike, ArrayLike, ArrayLike] | None = None,
    by: str = "subgroup",
) -> SubgroupSelection:
    """Choose a threshold for each subgroup, so that the risk of each stays under the target.

    Each subgroup is `select` on its own rows at delta over the number of subgroups in the calibrate
    split. A subgroup without a feasible threshold, or one that only the deployment brings, is
    always abstained on. The subgroup must be known where the decision is made: a function of the
    input, such as the predicted class, and not of the label.

    Args:
        confidence: Shape (n,), of the calibrate split.
        loss: Shape (n,), 0 or 1.
        subgroups: Shape (n,), integers or text.
        target_risk: In (0, 1), for every subgroup.
        delta: In (0, 0.5): the probability that the promise fails for any subgroup.
        method: As in `select`; "auto" decides for each subgroup by whether it has tune rows.
        tune: Confidence, loss and subgroups of the tune split.
        by: What the subgroups are called: "subgroup", or "class" for predicted classes.

    Raises:
        InputError: Malformed input, or a subgroup without the tune rows that the method needs.

    >>> rng = np.random.default_rng(0)
    >>> confidence, subgroup = rng.uniform(size=4000), rng.choice(["a", "b"], size=4000)
    >>> wrong = rng.uniform(size=4000) > confidence ** np.where(subgroup == "a", 0.2, 0.8)
    >>> chosen = select_by_subgroup(confidence, wrong, subgroup, target_risk=0.1)
    >>> chosen.selections["a"].threshold < chosen.selections["b"].threshold
    True
    """
    if by not in NOUNS:
        raise InputError(f"expected `by` {' or '.join(NOUNS)}, got {by!r}")
    c, l = to_numpy(confidence), to_numpy(loss)
    g = _named(subgroups, np.shape(c)[0] if np.ndim(c) else 0)
    names, share = np.unique(g).tolist(), check_delta(delta)
    share /= len(names)
    selections = {
        name: select(
            c[g == name],
            l[g == name],
            target_risk=target_risk,
            delta=share,
            method=method,
            tune=_part(tune, name),
        )
        for name in names
    }
    found = SubgroupSelection(selections, target_risk, delta, (), by)
    return replace(found, table=subgroup_table(found.accept(c, g), l, g))


def subgroup_table(
    accepted: ArrayLike, loss: ArrayLike, subgroups: ArrayLike
) -> tuple[SubgroupRow, ...]:
    """Coverage and error by subgroup: who is abstained on, whatever rule decided it.

    On a test split it says what a rule does to each subgroup. Each interval is 95 % for itself;
    they are not a promise for all subgroups at once.

    Args:
        accepted: Shape (n,), the decisions.
        loss: Shape (n,), 0 or 1.
        subgroups: Shape (n,).

    Returns:
        All examples first, then each subgroup in its order.

    Raises:
        InputError: Malformed input.

    >>> rows = subgroup_table([True, True, False, False], [0, 1, 0, 0], ["a", "a", "a", "b"])
    >>> [(row.subgroup, row.n, row.accepted, row.errors) for row in rows]
    [(None, 4, 2, 1), ('a', 3, 2, 1), ('b', 1, 0, 0)]
    """
    a = to_numpy(accepted)
    if a.dtype != bool or a.ndim != 1 or not a.size:
        raise InputError(f"expected `accepted` as booleans (n,), got {a.dtype} {a.shape}")
    l = check_zero_one(check_loss(loss, a.size), what="counts of errors")
    g = _named(subgroups, a.size)
    rows = [_row(None, a, l)]
    return (*rows, *(_row(name, a[g == name], l[g == name]) for name in np.unique(g).tolist()))


def show(table: tuple[SubgroupRow, ...]) -> str:
    """The table as text."""
    head = f"{'subgroup':>12} {'n':>7} {'accepted':>9} {'coverage':>9} {'errors':>7} {'risk':>7}"
    lines = [
        f"{ALL if r.subgroup is None else r.subgroup!s:>12} {r.n:>7} {r.accepted:>9} "
        f"{r.coverage:>9.3f} {r.errors:>7} {'-' if r.risk is None else f'{r.risk:.4f}':>7}"
        for r in table
    ]
    return "\n".join([head, *lines])


def _row(name: Hashable | None, a: Array, l: Array) -> SubgroupRow:
    n, accepted, errors = a.size, int(a.sum()), int(l[a].sum())
    risk = errors / accepted if accepted else None
    return SubgroupRow(
        name,
        n,
        accepted,
        errors,
        accepted / n,
        _interval(accepted, n),
        risk,
        _interval(errors, accepted),
        float(l.mean()),
    )


def _interval(k: int, n: int) -> tuple[float, float]:
    """Clopper-Pearson, 95 %."""
    lower, upper = clopper_pearson_lower(k, n, LEVEL / 2), clopper_pearson_upper(k, n, LEVEL / 2)
    return float(lower), float(upper)


def _listed(names: list[str]) -> str:
    more = len(names) - LISTED
    return ", ".join(names[:LISTED]) + (f" and {more:,} more" if more > 0 else "")


def _named(subgroups: ArrayLike, n: int) -> Shaped[Array, " n"]:
    check_groups(subgroups, n)
    return to_numpy(subgroups)


def _part(tune: tuple[ArrayLike, ArrayLike, ArrayLike] | None, name: Hashable) -> Any:
    """The tune rows of a subgroup; None if there are none."""
    if tune is None:
        return None
    c, l = to_numpy(tune[0]), to_numpy(tune[1])
    if not (rows := _named(tune[2], len(c)) == name).any():
        return None
    return c[rows], l[rows]
