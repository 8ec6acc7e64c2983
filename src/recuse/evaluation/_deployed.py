"""A rejector that is to be deployed, measured on a file; nothing is fitted.

n = measured predictions.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from recuse.errors import InputError
from recuse.evaluation._model import ModelEvaluation, Outcome, checked_split, measured
from recuse.intervals import AURC
from recuse.io import HeldOut
from recuse.io._checked import naming
from recuse.rejector import CLASS, Data, Rejector, check_classes
from recuse.rejector._misses import MissCount, count_misses
from recuse.rejector._summary import seen_in_fit
from recuse.selectors import Selection, SubgroupSelection, subgroup_table
from recuse.tuning import Tuned
from recuse.tuning._fixed import fixed_scores

if TYPE_CHECKING:
    from numpy import ndarray as Array


def deployed(
    models: Mapping[str, Mapping[str, Data] | Data],
    rejector: Rejector,
    by: str | None,
    levels: dict[str, Any],
    kind: str | None,
    repeated_ids: str,
) -> ModelEvaluation:
    """Measure a rejector on the test split, or on the one file, of the only model.

    Args:
        models: As in `evaluate`.
        rejector: With a guaranteed risk.
        by: Column of subgroups, where its thresholds are theirs.
        levels: Of `measure`.
        kind: As in `evaluate`.
        repeated_ids: As in `evaluate`.

    Raises:
        InputError: Several models, no rows to measure, a rejector without a guaranteed risk or of
            version 1, or outputs that it does not decide on.
    """
    if (kind_of := rejector.guarantee.kind) != "risk":
        what = {"misses": "limit of misses"}.get(kind_of, kind_of)
        raise InputError(f"expected a rejector with a guaranteed risk, got one with a {what}")
    if isinstance(rejector.tuning, str):
        raise InputError("expected a rejector of version 2, got one of version 1: fit it again")
    if len(models) != 1:
        raise InputError(f"expected one model beside a rejector, got {len(models)}")
    ((name, given),) = models.items()
    splits: dict[str, Any] = dict(given) if isinstance(given, Mapping) else {"test": given}
    splits.setdefault("test", splits.get("calibrate"))
    if splits["test"] is None:
        raise InputError(f"model {name!r}: expected the split `test`, got none")
    file = checked_split(splits, "test", name, kind, repeated_ids)
    with naming(f"model {name!r}"):
        return _measured(name, file, rejector, by, levels)


def _measured(
    name: str, file: HeldOut, rejector: Rejector, by: str | None, levels: dict[str, Any]
) -> ModelEvaluation:
    if file.kind == rejector.kind:
        check_classes(file.logits.shape[1], rejector.classes, rejector.kind)
    digest, file = file.digest, rejector._in_order(file)
    decided = rejector.predict(file, by)
    of = decided.prediction if by is None else file.subgroup(by)
    selection = _selection(rejector, decided.accept, file.loss, of)
    return measured(
        name,
        file,
        decided.confidence,
        decided.accept,
        levels,
        AURC,
        tuned=_tuned(rejector),
        selection=selection,
        rejector=rejector,
        digests={"test": digest},
        sizes={"test": len(file)},
        tested=not seen_in_fit((file,), rejector),
        each=_outcomes(rejector, selection),
        misses=_misses(rejector, file, decided.accept),
    )


def _tuned(rejector: Rejector) -> Tuned:
    """Return the score and the one before, without the measures of the tuning split."""
    before = next(iter(fixed_scores(rejector.kind, rejector.classes, rejector.class_names)))
    scores = dict.fromkeys((before, rejector.score), np.nan)
    facts: Any = rejector.tuning
    digest = rejector.splits.get("tune", rejector.splits["calibrate"])["digest"]
    return Tuned(rejector.score, tuple(scores.items()), facts, digest, (), rejector.filler)


def _selection(
    rejector: Rejector, accept: Array, loss: Array, of: Array
) -> Selection | SubgroupSelection:
    """Return the rules of the rejector as the selection that they came from."""
    each = {r.subgroup: Selection(r.threshold, r.guarantee, r.infeasible) for r in rejector.rules}
    if None in each:
        return replace(each[None], misses=rejector.misses)
    g, by = rejector.guarantee, rejector.by
    table = subgroup_table(accept, loss, of)
    names = rejector.class_names if by == CLASS else None
    found = SubgroupSelection(each, g.target_risk, g.delta, table, by, None, names)
    return replace(found, misses=rejector.misses)


def _misses(rejector: Rejector, file: HeldOut, accept: Array) -> tuple[MissCount, ...]:
    """Count the misses of classes that are limited; rows of a group have no interval."""
    used = np.arange(len(file)) if file.groups is None else None
    return count_misses(rejector.misses, file.labels, file.loss.astype(bool), accept, used)  # ty: ignore


def _outcomes(rejector: Rejector, selection: Selection | SubgroupSelection) -> tuple[Outcome, ...]:
    """Return what each threshold does, where there are several."""
    if isinstance(selection, Selection):
        return ()
    rows = {row.subgroup: row for row in selection.table[1:]}
    out = []
    for rule in rejector.rules:
        row = rows.get(rule.subgroup)
        counts = (0, 0, 0) if row is None else (row.n, row.accepted, row.errors)
        of: Any = rule.subgroup
        name = of if selection.names is None else selection.names[of]
        out.append(Outcome(str(name), *counts, rule.guarantee))
    return tuple(out)
