"""Limits of misses in a fit: of a true class, few are answered with another class.

n = calibration rows, n_k = those of the true class k, K = classes.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

from recuse.bounds import clopper_pearson_interval
from recuse.errors import InputError
from recuse.io._rows import of_classes
from recuse.rejector._classes import by_index
from recuse.rejector._prepare import Prepared, Scored
from recuse.rejector._rules import CLASS, called, parts_of
from recuse.selectors import Selection, SubgroupSelection
from recuse.selectors._guarantee import InfeasibleMisses, MissesOnly, MissGuarantee
from recuse.selectors._misses import (
    floors_by_class,
    highest_threshold,
    infeasible_misses,
    miss_floor,
    select_above,
)
from recuse.selectors._select import FLOORED

if TYPE_CHECKING:
    from jaxtyping import Bool, Float32
    from numpy import ndarray as Array

# delta, floor (by predicted class, where thresholds are) -> thresholds with a target risk
Risk = Callable[[float, Any], Any]


def check_misses(misses: Mapping[Any, float], method: str, objective: str) -> None:
    """Refuse what limits of misses cannot be combined with."""
    if not isinstance(misses, Mapping) or not misses:
        raise InputError(f"expected `misses` as class -> share, got {misses!r}")
    if method not in ("auto", *FLOORED):
        raise InputError(
            f"expected `method` auto, {', '.join(FLOORED)} with misses, got {method!r}"
        )
    if objective == "coverage":
        raise InputError("expected `objective` aurc or augrc with misses, got 'coverage'")


class Limit(NamedTuple):
    """The limit of one true class, and what its calibration rows show."""

    label: int
    name: str
    target: float
    confidence: Float32[Array, " n_k"]
    missed: Bool[Array, " n_k"]  # another class is predicted
    floor: float  # the lowest threshold that misses few enough; +inf: none


def limit_misses(
    splits: Prepared, misses: Mapping[Any, float], delta: float, risk: Risk | None
) -> Any:
    """Return thresholds that limit misses and, where there is a target risk, have that too.

    Delta is shared: each class and the target risk spend as much. The floor of a class limits its
    misses at all thresholds above it; the widest of those that pass for the target risk is taken.

    Args:
        splits: Their calibration rows.
        misses: Class -> share of it that may be missed.
        delta: That these rows may spend.
        risk: Selects for a target risk above a floor; None: there is none.
    """
    confidence, wrong = splits.held.confidence, splits.held.wrong.astype(bool)
    each = delta / (len(misses) + (risk is not None))
    limits = _limits(splits, misses, each)
    highest = highest_threshold(confidence)
    for x in limits:
        if x.floor == math.inf or (splits.by != CLASS and x.floor > highest):
            no = infeasible_misses(x.confidence, x.missed, highest, x.name, x.target, each)
            return Selection(math.inf, MissesOnly(delta, confidence.size, 0, 0), no)
    floors = {x.label: x.floor for x in limits}
    floor = max(floors.values())
    if risk is None:
        found = select_above(confidence, wrong, floor, delta)
    elif splits.by == CLASS:
        found = risk(each, floors_by_class(floors, splits.calibrate.logits.shape[1]))
    else:
        found = risk(each, floor)
    failed = splits.truth[wrong & _accepted(found, splits.held)]  # ty: ignore
    return replace(found, misses=tuple(_guarantee(x, each, failed) for x in limits))


def _limits(splits: Prepared, misses: Mapping[Any, float], delta: float) -> list[Limit]:
    """Return the limit of each class, in the order in which they are given."""
    if not of_classes(splits.kind):
        raise InputError(f"expected outputs of classes to limit misses, got {splits.kind}")
    classes, names = splits.calibrate.logits.shape[1], splits.class_names
    found = []
    for k, target in by_index(misses, classes, names, "misses").items():
        of = splits.truth == k
        confidence, missed = splits.held.confidence[of], splits.held.wrong[of].astype(bool)
        floor = miss_floor(confidence, missed, target, delta)
        name = called(names, classes)[k]
        found.append(Limit(k, name, target, confidence, missed, floor))
    return found


def _guarantee(x: Limit, delta: float, failed: Array) -> MissGuarantee:
    """Return the guarantee of a limit, given the true classes of what is accepted and wrong."""
    missed = int((failed == x.label).sum())
    return MissGuarantee(x.label, x.name, x.target, delta, x.missed.size, missed)


def _accepted(found: Any, held: Scored) -> Array:
    if isinstance(found, SubgroupSelection):
        return found.accept(held.confidence, held.of)
    return found.accept(held.confidence)


def sharing(selection: Any, delta: float, share: float) -> Any:
    """Return a selection whose limits of misses are at their parts of delta, not of a share."""
    parts = parts_of(selection.guarantee, selection.misses)
    each = tuple(replace(m, delta=delta / parts) for m in selection.misses)
    found = replace(selection, misses=each) if each else selection
    infeasible = getattr(found, "infeasible", None)
    if isinstance(infeasible, InfeasibleMisses):
        found = replace(found, infeasible=replace(infeasible, delta=infeasible.delta / share))
    return found


class MissCount(NamedTuple):
    """Misses of a file, beside what was guaranteed."""

    label: int
    name: str
    target: float  # guaranteed
    delta: float
    n: int  # rows of the class
    missed: int
    without_rejector: int  # missed, had everything been accepted
    interval: tuple[float, float] | None  # 95 %, exact; None: of dependent rows


def count_misses(
    limits: Iterable[MissGuarantee],
    truth: Array,
    wrong: Array,
    accept: Array,
    used: Array | None,
) -> tuple[MissCount, ...]:
    """Count the misses of each limited class.

    Args:
        limits: Of a rejector.
        truth: Shape (n,), true classes.
        wrong: Shape (n,), whether another class is predicted.
        accept: Shape (n,), the decisions.
        used: Independent rows, on which intervals rest; None: there are none.
    """

    def interval(k: int) -> tuple[float, float] | None:
        if used is None:
            return None
        of, missed = (truth == k)[used], (wrong & accept)[used]
        return clopper_pearson_interval(int((of & missed).sum()), int(of.sum()))

    def count(m: MissGuarantee) -> MissCount:
        of = truth == m.label
        missed = int((of & wrong & accept).sum()), int((of & wrong).sum())
        return MissCount(
            m.label, m.name, m.target, m.delta, int(of.sum()), *missed, interval(m.label)
        )

    return tuple(count(m) for m in limits)
