"""`prepare`: the splits under the score chosen on one of them, or under scores fixed beforehand.

n = rows, N = predictions, u = groups, K = classes, ... = any trailing axes (pixels).
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from recuse.errors import DataWarning, InputError
from recuse.io import HeldOut, from_frame, overlap
from recuse.io._checked import check_file, naming
from recuse.io._overlap import repeated_ids as find_repeated_ids
from recuse.io._overlap import repeated_rows
from recuse.io._row_hashes import fingerprints
from recuse.io._rows import CONFIDENCES, LOSSES, of_classes
from recuse.io._tables import is_frame
from recuse.rejector._rejector import check_kind
from recuse.rejector._rules import ALL, CLASS, SUBGROUP, names_of, spread
from recuse.scores import are_log_probs
from recuse.scores._costs import EXPECTED_COST
from recuse.scores._score import decided
from recuse.tuning import Tuned
from recuse.tuning._candidates import foresee
from recuse.tuning._class_order import warn_of_class_order
from recuse.tuning._fixed import fixed, fixed_scores
from recuse.tuning._tune import filler_of, order_of, warn_of_filler

if TYPE_CHECKING:
    from jaxtyping import Int
    from numpy import ndarray as Array
    from numpy.typing import ArrayLike

REFUSE, KEEP_ONE = REPEATED_IDS = ("refuse", "keep_one")
Data = tuple[Any, Any] | HeldOut  # logits and labels; or a frame
Subgroups = Any  # None, "class", a column, or subgroups of rows: of both splits, or of one file


class Scored(NamedTuple):
    """Confidence, error and subgroup of every row."""

    confidence: Array
    wrong: Array
    of: Array | None


class Prepared(NamedTuple):
    """The splits under one score: the one that `tune` chose, or one that was fixed beforehand."""

    tuned: Tuned
    tune: HeldOut | None  # None: the score was fixed beforehand
    calibrate: HeldOut  # all of it
    seen: Scored | None  # of the tuning split
    held: Scored  # of the calibration split, one row of each group
    by: str
    shared: bool  # rows in both
    kind: str
    model: str | None  # its name
    log_probs: bool  # whether the outputs are log-probabilities
    truth: Array | None  # true classes of `held`
    share: float = 1.0  # of delta, of this score

    @property
    def class_names(self) -> tuple[str, ...] | None:
        """Names of the classes, if one of the splits has them."""
        of_tune = None if self.tune is None else self.tune.class_names
        return of_tune or self.calibrate.class_names


def prepare(
    tune: Data,
    calibrate: Data,
    *,
    subgroups: Subgroups,
    kind: str | None,
    seed: int,
    allow_overlap: bool,
    repeated_ids: str,
    model: str | None,
    tune_by: Callable[[HeldOut], Tuned],
) -> Prepared:
    """Choose the score on the tuning split, and score both splits by it."""
    t = each_id_once(as_file(tune, "tune", kind, losses=True), repeated_ids)
    c = each_id_once(as_file(calibrate, "calibrate", kind, losses=True), repeated_ids)
    kind = _same_kind(t, c)
    check_kind(kind, t.logits.shape[1])
    model = _model_of(t, c, model)
    by, of_tune, of_calibrate = _subgroups(subgroups, kind, tune=tune, calibrate=calibrate)
    shared = _shared(t, c, allow_overlap)
    tuned = tune_by(t)
    log_probs = _log_probs(t, c, tuned)
    used, of_used = _independent(c, of_calibrate, seed)
    _warn_of_other_outputs(c, tuned)
    held = _scored(tuned, used, by, of_used)
    seen = _scored(tuned, t, by, of_tune, tuned.seen)
    truth = used.labels
    return Prepared(tuned, t, c, seen, held, by, bool(shared), kind, model, log_probs, truth)


def as_given(file: HeldOut) -> Tuned:
    """Return the one confidence beside losses, as it is."""
    scores = [*fixed_scores(file.kind, file.logits.shape[1], file.class_names)]
    if len(scores) > 1:
        raise InputError(
            f"{file.name}: expected one confidence beside losses, got {len(scores)}: name it by "
            "recuse.read(outputs=), or leave the others out of the table"
        )
    return fixed(file, scores)[0]


def prepare_all(
    rows: HeldOut, *, subgroups: str | None, seed: int, model: str | None
) -> tuple[Prepared, ...]:
    """Return all rows, that calibrate, under each score that is fixed beforehand."""
    file = rows.predictions()
    check_kind(file.kind, file.logits.shape[1])
    by, of = _subgroups(subgroups, file.kind, held_out=rows)
    foresee(file)
    shares = fixed_scores(file.kind, file.logits.shape[1], file.class_names)
    each = fixed(file, list(shares))
    _warn_of_filler_and_order(file, each[0])
    used, of_used = _independent(file, of, seed)
    log_probs = of_classes(file.kind) and are_log_probs(file.logits)
    name = _model_of(file, file, model)
    return tuple(
        Prepared(
            tuned,
            None,
            file,
            None,
            _scored(tuned, used, by, of_used),
            by,
            shared=False,
            kind=file.kind,
            model=name,
            log_probs=log_probs,
            truth=used.labels,
            share=share,
        )
        for tuned, share in zip(each, shares.values())
    )


def _independent(file: HeldOut, of: Array | None, seed: int) -> tuple[HeldOut, Array | None]:
    """Return one row of each group and its subgroup; warn of rows that are repeated too often."""
    one = index_of_one(file, seed)
    used = file if file.groups is None else file.rows(one)
    _warn_of_repeated_rows(used)
    return used, None if of is None else of[one]


def each_id_once(file: HeldOut, repeated_ids: str) -> HeldOut:
    """Return rows whose ids differ, or of which each id is a group; rows of one id are dependent.

    Raises:
        InputError: Ids are repeated, and that is not allowed; or an id stands in two groups.
    """
    check_repeated_ids(repeated_ids)
    found = find_repeated_ids(file)
    if found is None:
        return file
    if file.groups is not None:
        pairs = np.unique(np.stack([_codes(file.ids), _codes(file.groups)]), axis=1)
        if pairs.shape[1] > found.distinct:
            raise InputError(f"expected each id of {file.name} in one group, got one in several")
        return file
    if repeated_ids == KEEP_ONE:
        return replace(file, groups=file.ids)
    alike = "the same outputs in each, as where a sampler repeats rows"
    how = alike if found.alike else "different outputs, as of views of one example, a group"
    raise InputError(
        f"expected ids that differ in {file.name}, got {found.rows:,} rows of {found.distinct:,} "
        f"ids, such as {found.example}, with {how}: they are not independent; "
        'repeated_ids="keep_one" (--repeated-ids keep_one) uses one row of each'
    )


def check_repeated_ids(repeated_ids: str) -> None:
    """Refuse what is no choice."""
    if repeated_ids not in REPEATED_IDS:
        raise InputError(
            f"expected `repeated_ids` among {', '.join(REPEATED_IDS)}, got {repeated_ids!r}"
        )


def _codes(names: Any) -> Array:
    return np.unique(names, return_inverse=True)[1].reshape(-1)


def _warn_of_repeated_rows(file: HeldOut) -> None:
    if (found := repeated_rows(file)) is not None:
        warnings.warn(
            f"{file.name}: {100 * found.share:.1f} % of the rows repeat another, outputs and "
            f"label, which no i.i.d. sample explains ({found.rows:,} rows, {found.distinct:,} "
            "distinct): if a sampler repeated examples, the guarantee does not hold; give `ids` "
            'and repeated_ids="keep_one" (--repeated-ids keep_one), or drop the repeats',
            DataWarning,
            stacklevel=2,
        )


def _warn_of_filler_and_order(file: HeldOut, tuned: Tuned) -> None:
    if tuned.filler is not None:
        warn_of_filler(file.name, tuned.masked(file.logits), tuned.filler)
    if tuned.class_order is not None:
        warn_of_class_order(file.name, tuned.class_order)


def _warn_of_other_outputs(calibrate: HeldOut, tuned: Tuned) -> None:
    """Warn of masked classes that tune does not have, and of labels in another order."""
    masked = calibrate
    if tuned.filler is not None:
        masked = replace(calibrate, logits=tuned.masked(calibrate.logits))
    if (filler := filler_of(masked)) is not None:
        warnings.warn(
            f"{calibrate.name}: values of {filler:.4g} or less look like masked classes, which "
            "tune does not have: they count as logits; mask both splits alike, by -inf",
            DataWarning,
            stacklevel=2,
        )
    if (order := order_of(masked)) is not None:
        warn_of_class_order(calibrate.name, order)


def _subgroups(subgroups: Subgroups, kind: str, **splits: Data) -> tuple[Any, ...]:
    """Return what the rules are for, and the subgroup of every prediction of each split."""
    if subgroups is None:
        return ALL, *(None for _ in splits)
    if isinstance(subgroups, str) and subgroups == CLASS:
        if not of_classes(kind):
            raise InputError(
                "expected subgroups by a column, got the predicted class: confidences say none; a "
                "column `prediction` of their table is one (--by prediction)"
            )
        return CLASS, *(None for _ in splits)
    if isinstance(subgroups, str):
        column = subgroups
        subgroups = tuple(whole(data, name).subgroup(column) for name, data in splits.items())
    if not isinstance(subgroups, (tuple, list)) or len(subgroups) != len(splits):
        raise InputError(
            'expected `subgroups` "class", the name of a column, or (subgroups of tuning rows, of '
            f"calibration rows), got {subgroups!r}"
        )
    found = [_spread(of, data, name) for of, (name, data) in zip(subgroups, splits.items())]
    if len({of.dtype.kind == "U" for of in found}) > 1:
        raise InputError("expected `subgroups` of one kind, got integers and text")
    name, calibrate = list(splits.items())[-1]
    _refuse_labels(found[-1], as_file(calibrate, name))
    return SUBGROUP, *found


def _refuse_labels(of: Array, file: HeldOut) -> None:
    """Refuse the true class as subgroup: no row to predict has one."""
    value, code = np.unique(of, return_inverse=True)
    label, place = np.unique(file.labelled()[1], return_inverse=True)
    if 1 < len(value) == len(label) == len(np.unique(code * len(label) + place)):
        raise InputError(
            "expected subgroups that are known when the decision is made, got the true classes; "
            'the predicted class is known: "class" (--by class)'
        )


def _spread(groups: ArrayLike, data: Data, name: str) -> Array:
    """Return the subgroup of every prediction from that of every row."""
    file = whole(data, name)
    with naming(name):
        return names_of(groups, len(file), "`subgroups`")[rows_of_predictions(file)]


def _shared(tune: HeldOut, calibrate: HeldOut, allowed: bool) -> str | None:
    """Return what the splits have in common; an error unless that is allowed."""
    if tune.logits.shape[1] != calibrate.logits.shape[1]:
        raise InputError(
            f"expected tune and calibrate of the same number of classes, got "
            f"{tune.logits.shape[1]} in {tune.name} and "
            f"{calibrate.logits.shape[1]} in {calibrate.name}"
        )
    shared = overlap(tune, calibrate)
    if shared and not allowed:
        raise InputError(
            f"expected a tuning and a calibration split without shared rows, got {shared}"
        )
    return shared


def _log_probs(tune: HeldOut, calibrate: HeldOut, tuned: Tuned) -> bool:
    """Return whether tune holds log-probabilities; so must calibrate, where the score can tell."""
    if not of_classes(tune.kind):
        return False
    of_tune = are_log_probs(tune.logits)
    if not tuned.score.shift_invariant and are_log_probs(calibrate.logits) != of_tune:
        odd, other = (calibrate, tune) if of_tune else (tune, calibrate)
        raise InputError(
            f"expected logits, or log-probabilities, in both splits for the score {tuned.score}, "
            f"got logits in {odd.name} and log-probabilities in {other.name}"
        )
    return of_tune


def _scored(
    tuned: Tuned, file: HeldOut, by: str, of: Array | None, seen: Array | None = None
) -> Scored:
    """Confidence and error of every row; the predicted class where the rules are for classes."""
    if tuned.score.name == EXPECTED_COST:
        prediction, confidence, _ = decided(tuned.masked(file.logits), tuned.score)
        return Scored(confidence, prediction != file.labels, None)
    confidence = tuned.confidence(file.logits) if seen is None else seen
    return Scored(confidence, file.loss, file.predicted if by == CLASS else of)


def as_file(data: Data, name: str, kind: str | None = None, *, losses: bool = False) -> HeldOut:
    """One row a prediction, whichever way the data came."""
    return whole(data, name, kind, losses=losses).predictions()


def whole(data: Data, name: str, kind: str | None = None, *, losses: bool = False) -> HeldOut:
    """The rows as they came, checked, with labels or losses; those of a frame by `from_frame`."""
    if is_frame(data):
        data = from_frame(data, kind=kind)
    file = check_file(data, name, kind, losses=losses)
    file.labelled()
    return file


def _same_kind(tune: HeldOut, calibrate: HeldOut) -> str:
    """Return the kind to decide on; refuse splits that differ in it, or in the class names."""
    if tune.kind != calibrate.kind:
        raise InputError(
            f"expected tune and calibrate of one kind, got {tune.kind} in {tune.name} and "
            f"{calibrate.kind} in {calibrate.name}"
        )
    names, others = tune.class_names, calibrate.class_names
    if names and others and names != others:
        one, other = next((a, b) for a, b in zip(names, others) if a != b)
        raise InputError(
            f"expected tune and calibrate of the same classes in one order, got {one!r} in "
            f"{tune.name} where {calibrate.name} has {other!r}"
        )
    return CONFIDENCES if tune.kind == LOSSES else tune.kind


def _model_of(t: HeldOut, c: HeldOut, given: str | None) -> str | None:
    """Return the name of the model of the calibration rows; warn of another one in tune."""
    if given is not None and c.model not in (None, given):
        raise InputError(f"expected model={c.model!r} (--model), as {c.name} says, got {given!r}")
    name = c.model if given is None else given
    if name is not None and t.model not in (None, name):
        warnings.warn(
            f"{t.name}: outputs of {t.model}, and {c.name} of {name}: the guarantee is that of "
            f"{name}, and the score may not be the best one for it",
            DataWarning,
            stacklevel=2,
        )
    return t.model if name is None else name


def rows_of_predictions(file: HeldOut) -> Int[Array, " N"]:
    """The row of the file that each of its `predictions` comes from."""
    row = np.arange(len(file))
    if file.labels is None:
        return row
    row = spread(row, file.labels.shape)
    return row.reshape(-1) if file.ignore_index is None else row[file.labels != file.ignore_index]


def one_of_each(file: HeldOut, seed: int) -> HeldOut:
    """One random row of each group; which one does not depend on the order of the rows."""
    return file.rows(index_of_one(file, seed))


def index_of_one(file: HeldOut, seed: int) -> Int[Array, " u"]:
    """The rows that `one_of_each` keeps."""
    if file.groups is None:
        return np.arange(len(file))
    code = np.unique(file.groups, return_inverse=True)[1].reshape(-1)
    names = () if file.ids is None else (file.ids,)
    order = np.lexsort((fingerprints(file), *names, code))
    start = np.flatnonzero(np.diff(code[order], prepend=-1))
    size = np.diff(np.r_[start, code.size])
    pick = start + np.floor(np.random.default_rng(seed).uniform(size=size.size) * size).astype(int)
    return order[pick]
