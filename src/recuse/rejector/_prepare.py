"""`prepare`: both splits under the score that the tune split leads to, and judged by it.

n = rows, N = predictions, ... = any trailing axes (pixels).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from recuse.errors import InputError
from recuse.io import LogitsFile, overlap
from recuse.io._checked import naming
from recuse.rejector._rejector import check_kind
from recuse.rejector._rules import ALL, CLASS, SUBGROUP, names_of
from recuse.rejector._splits import Data, as_file, index_of_one, rows_of_predictions, whole
from recuse.scores import are_log_probs, predict
from recuse.tuning import Tuned
from recuse.tuning import tune as tune_score

if TYPE_CHECKING:
    from numpy import ndarray as Array
    from numpy.typing import ArrayLike

Subgroups = str | tuple[Any, Any] | None  # "class", or groups of tune and of calibrate rows


class Judged(NamedTuple):
    """Confidence and whether the prediction is wrong, of every row, and its population."""

    confidence: Array
    wrong: Array
    of: Array | None


class Prepared(NamedTuple):
    """Both splits, under the score that `tune` chose."""

    tuned: Tuned
    tune: LogitsFile
    calibrate: LogitsFile  # all of it
    seen: Judged  # of the tune split
    held: Judged  # of the calibrate split, one row of each group
    by: str
    shared: bool  # rows in both
    kind: str
    log_probs: bool  # what stands for the logits of the tune split


def prepare(
    tune: Data,
    calibrate: Data,
    *,
    subgroups: Subgroups,
    kind: str,
    seed: int,
    allow_overlap: bool,
    tuning: dict[str, Any],
) -> Prepared:
    """Tune the score, and judge both splits by it."""
    t, c = as_file(tune, "tune"), as_file(calibrate, "calibrate")
    check_kind(kind, t.logits.shape[1])
    by, of_tune, of_calibrate = _populations(subgroups, tune, calibrate)
    shared = _shared(t, c, allow_overlap)
    logits, labels = t.labelled()
    tuned = tune_score(logits, labels, groups=t.groups, kind=kind, seed=seed, **tuning)
    log_probs = _log_probs(t, c, tuned)
    one = index_of_one(c, seed)
    held = _judged(tuned, c.rows(one), by, None if of_calibrate is None else of_calibrate[one])
    seen = _judged(tuned, t, by, of_tune)
    return Prepared(tuned, t, c, seen, held, by, bool(shared), kind, log_probs)


def _populations(
    subgroups: Subgroups, tune: Data, calibrate: Data
) -> tuple[str, Array | None, Array | None]:
    """What the rules are for, and the population of every prediction of both splits."""
    if subgroups is None or (isinstance(subgroups, str) and subgroups == "class"):
        return ALL if subgroups is None else CLASS, None, None
    if not isinstance(subgroups, (tuple, list)) or len(subgroups) != 2:
        raise InputError(
            f'expected `subgroups` "class", or (groups of tune rows, groups of calibrate rows), '
            f"got {subgroups!r}"
        )
    of_tune, of_calibrate = (
        _spread(subgroups[0], tune, "tune"),
        _spread(subgroups[1], calibrate, "calibrate"),
    )
    if (of_tune.dtype.kind == "U") != (of_calibrate.dtype.kind == "U"):
        raise InputError("expected `subgroups` of groups of one kind, got integers and text")
    return SUBGROUP, of_tune, of_calibrate


def _spread(groups: ArrayLike, data: Data, name: str) -> Array:
    """Groups of rows as those of predictions."""
    file = whole(data, name)
    with naming(name):
        return names_of(groups, len(file), "`subgroups`")[rows_of_predictions(file)]


def _shared(tune: LogitsFile, calibrate: LogitsFile, allowed: bool) -> str | None:
    """What the splits have in common; an error unless that is allowed."""
    if tune.logits.shape[1] != calibrate.logits.shape[1]:
        raise InputError(
            f"expected tune and calibrate of the same number of classes, got "
            f"{tune.logits.shape[1]} in {tune.name} and "
            f"{calibrate.logits.shape[1]} in {calibrate.name}"
        )
    shared = overlap(tune, calibrate)
    if shared and not allowed:
        raise InputError(f"expected disjoint tune and calibrate splits, got {shared}")
    return shared


def _log_probs(tune: LogitsFile, calibrate: LogitsFile, tuned: Tuned) -> bool:
    """Whether tune holds log-probabilities; so must calibrate, where the score can tell."""
    of_tune = are_log_probs(tune.logits)
    if not tuned.score.shift_invariant and are_log_probs(calibrate.logits) != of_tune:
        odd, other = (calibrate, tune) if of_tune else (tune, calibrate)
        raise InputError(
            f"expected logits, or log-probabilities, in both splits for the score {tuned.score}, "
            f"got logits in {odd.name} and log-probabilities in {other.name}"
        )
    return of_tune


def _judged(tuned: Tuned, file: LogitsFile, by: str, of: Array | None) -> Judged:
    """Confidence and error of every row; the predicted class where the rules are for classes."""
    logits, labels = file.labelled()
    label = predict(logits)
    return Judged(tuned.score(logits), label != labels, label if by == CLASS else of)
