"""A guarantee for each subgroup, and who is abstained on.

n = calibration rows, G = subgroups: values of a function of the input, such as the predicted
class, the hospital or the sex; never of the label.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

import numpy as np

from recuse._internal.check import check_delta, check_groups, check_loss, check_zero_one, to_numpy
from recuse.bounds import clopper_pearson_interval
from recuse.errors import InputError
from recuse.present import glance
from recuse.present import guarantee as words
from recuse.selectors._guarantee import ACCEPTED, Guarantee, Selection, accept
from recuse.selectors._select import select

if TYPE_CHECKING:
    from jaxtyping import Bool, Float32, Shaped
    from numpy import ndarray as Array
    from numpy.typing import ArrayLike

BY = ("subgroup", "class")
MANY, HANDFUL = 100, 20  # subgroups, and rows of each, that look like groups of dependent rows


class SubgroupRow(NamedTuple):
    """Counts of one subgroup; intervals are 95 %, exact, each for itself."""

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
    """Guarantees of all subgroups, which hold at once."""

    kind: ClassVar[str] = "risk"

    each: Mapping[Any, Guarantee]  # subgroup -> its own, at delta / G; nothing accepted: none
    target_risk: float  # the largest of them: that of all accepted predictions together
    delta: float
    by: str = "subgroup"
    names: tuple[str, ...] | None = None  # of predicted classes

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
        """Accepted rows of all subgroups."""
        return sum(g.accepted for g in self.each.values())

    @property
    def errors(self) -> float:
        """Errors among the accepted."""
        return sum(g.errors for g in self.each.values())

    @property
    def unit(self) -> str:
        """What is counted: "rows", or "groups" by one row of each."""
        return next(iter(self.each.values())).unit

    @property
    def assumptions(self) -> tuple[str, ...]:
        """What the guarantees rest on, each once."""
        given = [g for g in self.each.values() if g.accepted] or list(self.each.values())
        return tuple(dict.fromkeys(name for g in given for name in g.assumptions))

    @property
    def ungrouped(self) -> tuple[str, ...]:
        """Columns that repeat, though rows are taken as independent."""
        return next(iter(self.each.values())).ungrouped

    @property
    def share(self) -> float:
        """Of delta, of this score among several that were fixed beforehand."""
        return next(iter(self.each.values())).share

    @property
    def among(self) -> str:
        """Of which predictions the risk is a share: "accepted" or "all"."""
        return next(iter(self.each.values())).among

    @property
    def points(self) -> int | None:
        """Points of the band, where a guarantee is read from one."""
        return next((g.points for g in self.each.values() if g.accepted and g.points), None)

    def __str__(self) -> str:
        return words.subgroups_sentence(self)

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON; subgroups are rows, since JSON has keys of text alone."""
        rows = [{"subgroup": name, **g.to_dict()} for name, g in self.each.items()]
        whole = ("by", "target_risk", "delta", "n", "accepted", "errors", "void")
        return {name: getattr(self, name) for name in whole} | {"each": rows}


@dataclass(frozen=True, repr=False)
class SubgroupSelection(glance.AtAGlance):
    """A threshold for each subgroup; all guarantees hold at once with probability >= 1 - delta."""

    selections: Mapping[Any, Selection]  # subgroup -> its own, at delta / G
    target_risk: float  # the largest
    delta: float
    table: tuple[SubgroupRow, ...]  # of the calibration split: all of it first, then each subgroup
    by: str = "subgroup"  # or "class", the predicted one
    targets: Mapping[Any, float] | None = None  # of each; None: one for all
    names: tuple[str, ...] | None = None  # of predicted classes
    misses: tuple[Any, ...] = ()  # a `MissGuarantee` for each class whose misses are limited

    @property
    def feasible(self) -> bool:
        """Whether at least one subgroup has a guarantee."""
        return any(s.feasible for s in self.selections.values())

    @property
    def guarantee(self) -> SubgroupGuarantee:
        """The guarantees of all subgroups as one."""
        each = {name: s.guarantee for name, s in self.selections.items()}
        return SubgroupGuarantee(each, self.target_risk, self.delta, self.by, self.names)

    @property
    def reason(self) -> str:
        """The guarantees in one sentence; if there is none, which subgroup is closest to one."""
        return words.subgroups_outcome(self.guarantee, self.selections, self.misses)

    def __str__(self) -> str:
        return "\n".join([self.reason, words.subgroup_text(self.table)])

    def _card(self) -> glance.Card:
        return glance.selections(self)

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
        body = {
            "target_risk": self.target_risk,
            "delta": self.delta,
            "subgroups": [{"subgroup": g, **s.to_dict()} for g, s in self.selections.items()],
            "table": [row._asdict() for row in self.table],
        }
        return body | ({"misses": [m.to_dict() for m in self.misses]} if self.misses else {})


def select_by_subgroup(
    confidence: ArrayLike,
    loss: ArrayLike,
    subgroups: ArrayLike,
    *,
    target_risk: float | Mapping[Any, float],
    delta: float = 0.05,
    method: str = "auto",
    among: str = ACCEPTED,
    tune: tuple[ArrayLike, ArrayLike, ArrayLike] | None = None,
    by: str = "subgroup",
    floor: float | Mapping[Any, float] = -np.inf,
) -> SubgroupSelection:
    """Choose a threshold for each subgroup, so that the risk of each stays under the target.

    Each subgroup is `select` on its own rows at delta over the number of subgroups in the calibrate
    split. A subgroup without a feasible threshold, or one that only the deployment brings, is
    always abstained on. The subgroup must be known where the decision is made: a function of the
    input, such as the predicted class, and not of the label.

    Args:
        confidence: Shape (n,), of the calibration split.
        loss: Shape (n,), 0 or 1.
        subgroups: Shape (n,), integers or text.
        target_risk: In (0, 1), for every subgroup; or subgroup -> its own.
        delta: In (0, 0.5): the probability that the guarantee fails for any subgroup.
        method: As in `select`; "auto" decides for each subgroup by whether it has tuning rows.
        among: As in `select`; "all" is all predictions of the subgroup.
        tune: Confidence, loss and subgroups of the tuning split; not with `among="all"`.
        by: What the subgroups are called: "subgroup", or "class" for predicted classes.
        floor: As in `select`, for every subgroup; or subgroup -> its own.

    Raises:
        InputError: Malformed input, a subgroup without a target, or one without the tuning rows
            that the method needs.

    >>> rng = np.random.default_rng(0)
    >>> confidence, subgroup = rng.uniform(size=4000), rng.choice(["a", "b"], size=4000)
    >>> wrong = rng.uniform(size=4000) > confidence ** np.where(subgroup == "a", 0.2, 0.8)
    >>> chosen = select_by_subgroup(confidence, wrong, subgroup, target_risk=0.1)
    >>> chosen.selections["a"].threshold < chosen.selections["b"].threshold
    True
    """
    if by not in BY:
        raise InputError(f"expected `by` {' or '.join(BY)}, got {by!r}")
    c, l = to_numpy(confidence), to_numpy(loss)
    g = _named(subgroups, np.shape(c)[0] if np.ndim(c) else 0)
    names, share = np.unique(g).tolist(), check_delta(delta)
    _refuse_dependent_rows(len(names), g.size, by)
    share /= len(names)
    targets = _targets(target_risk, names)
    selections = {
        name: select(
            c[g == name],
            l[g == name],
            target_risk=targets[name],
            delta=share,
            method=method,
            among=among,
            tune=_part(tune, name),
            floor=floor[name] if isinstance(floor, Mapping) else floor,
        )
        for name in names
    }
    own = dict(targets) if isinstance(target_risk, Mapping) else None
    found = SubgroupSelection(selections, max(targets[name] for name in names), delta, (), by, own)
    return replace(found, table=subgroup_table(found.accept(c, g), l, g))


def _targets(target_risk: float | Mapping[Any, float], names: list[Any]) -> Mapping[Any, float]:
    """Return the target of each subgroup."""
    if not isinstance(target_risk, Mapping):
        return dict.fromkeys(names, target_risk)
    if missing := [name for name in names if name not in target_risk]:
        raise InputError(f"expected `target_risk` for each subgroup, got none for {missing[0]!r}")
    return target_risk


def subgroup_table(
    accepted: ArrayLike, loss: ArrayLike, subgroups: ArrayLike
) -> tuple[SubgroupRow, ...]:
    """Return coverage and error by subgroup: who is abstained on, whatever rule decided it.

    On a test split it says what a rule does to each subgroup. Each interval is 95 % for itself;
    they do not hold for all subgroups at once.

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


def _row(name: Hashable | None, a: Array, l: Array) -> SubgroupRow:
    n, accepted, errors = a.size, int(a.sum()), int(l[a].sum())
    risk = errors / accepted if accepted else None
    return SubgroupRow(
        name,
        n,
        accepted,
        errors,
        accepted / n,
        clopper_pearson_interval(accepted, n),
        risk,
        clopper_pearson_interval(errors, accepted),
        float(l.mean()),
    )


def _refuse_dependent_rows(count: int, n: int, by: str) -> None:
    """Many subgroups with a handful of rows each are groups of dependent rows, by mistake."""
    if by == "subgroup" and count >= MANY and n < HANDFUL * count:
        raise InputError(
            f"expected `subgroups` with rows enough for a threshold each, got {count:,} of {n:,} "
            "rows: if they are rows that depend on each other, pass them as `groups=`"
        )


def _named(subgroups: ArrayLike, n: int) -> Shaped[Array, " n"]:
    check_groups(subgroups, n)
    return to_numpy(subgroups)


def _part(tune: tuple[ArrayLike, ArrayLike, ArrayLike] | None, name: Hashable) -> Any:
    """The tuning rows of a subgroup; None if there are none."""
    if tune is None:
        return None
    c, l = to_numpy(tune[0]), to_numpy(tune[1])
    if not (rows := _named(tune[2], len(c)) == name).any():
        return None
    return c[rows], l[rows]
