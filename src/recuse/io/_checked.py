"""Checks of the arrays of a held-out file: shapes first, then the values of each part.

n = rows, K = classes, L = labels of a multi-label file.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Generator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple
from weakref import WeakSet

import numpy as np

from recuse import scores
from recuse._internal.check import (
    blank,
    check_confidence,
    check_labels,
    check_labels_form,
    check_logits,
    check_logits_form,
    check_loss,
    first,
    is_floating,
    to_numpy,
)
from recuse._internal.files import hashes
from recuse.curves import aurc
from recuse.errors import DataWarning, InputError
from recuse.io._impossible import impossible_in
from recuse.io._rows import CONFIDENCES, FIELDS, LOSSES, About, HeldOut, of_classes
from recuse.scores._functions import FEW_ROWS, STRAY, are_sigmoids
from recuse.scores._functions import form_of_probs as scores_form

if TYPE_CHECKING:
    from numpy import ndarray as Array

KINDS = ("logits", "binary", "probs", CONFIDENCES)
MULTILABEL = "multilabel"
DECLARE_KIND = 'if these are probabilities, declare them by kind="probs"'
CERTAIN = 5.0  # standard errors
KEPT_IDS = 1 << 22  # hashes of ids that are compared between shards, 50 MB


_found_good: WeakSet[HeldOut] = WeakSet()


class Form(NamedTuple):
    """Shape and dtype of an array."""

    shape: tuple[int, ...]
    dtype: np.dtype


@contextmanager
def naming(name: str) -> Generator[None]:
    """Prefix errors with the name of the file."""
    try:
        yield
    except InputError as error:
        raise InputError(f"{name}: {error}") from error


def check_kind(kind: str, kinds: tuple[str, ...] = (*KINDS, MULTILABEL)) -> str:
    """Return an input kind: one of `kinds`, or of losses, which a table says."""
    if kind not in (*kinds, LOSSES):
        raise InputError(f"expected `kind` among {', '.join(kinds)}, got {kind!r}")
    return kind


def check_file(
    file: Any, name: str | None = None, kind: str | None = None, *, losses: bool = False
) -> HeldOut:
    """Check outputs and labels from memory as if they had been read from a file.

    Args:
        file: A `HeldOut`, possibly of lists or tensors; or (outputs, labels).
        name: Name in messages, if the file has none of its own.
        kind: Input kind of (outputs, labels), "logits" by default; a `HeldOut` has its own.
        losses: Whether a `HeldOut` may be of losses.

    Raises:
        InputError: As `open_logits`; or a `HeldOut` of another kind, or of losses.
    """
    where, given = f"{name}: " if name else "", not isinstance(file, HeldOut)
    if isinstance(file, (tuple, list)) and len(file) == 2:
        with naming(name) if name else nullcontext():
            kind = check_kind(kind or "logits", KINDS)
            file = HeldOut(to_logits(file[0], kind), file[1], kind=kind)
    if not isinstance(file, HeldOut):
        raise InputError(f"{where}expected (outputs, labels) or a HeldOut, got {_what(file)}")
    if kind not in (None, file.kind):
        raise InputError(f"{where}expected {file.kind}, as the HeldOut says, got kind={kind!r}")
    if name is not None and file.name == HeldOut.name:
        file = replace(file, name=name)
    if not losses:
        refuse_losses(file)
    if file in _found_good:
        return warned(file) if given else file
    checked = _checked(file)
    return warned(checked) if given else warned_of_labels(checked)


def found_good(file: HeldOut) -> HeldOut:
    """Return a file whose values need no other check."""
    _found_good.add(file)
    return file


def read_only(file: HeldOut) -> HeldOut:
    """Return a file whose arrays cannot be changed: what is computed of them is kept."""
    for x in (file.logits, file.labels, file.groups, file.ids, file.probs):
        if x is not None:
            x.flags.writeable = False
    return file


def _checked(file: HeldOut) -> HeldOut:
    with naming(file.name):
        z = check_logits(file.logits) if of_classes(file.kind) else _confidences(file.logits)
        y = None if file.labels is None else _check_labels(to_numpy(file.labels), z, file)
        names = (getattr(file, key) for key in ("groups", "ids"))
        groups, ids = (
            None if x is None else check_names(to_numpy(x), len(z), f"`{key}`")
            for key, x in zip(("groups", "ids"), names)
        )
    return found_good(replace(file, logits=z, labels=y, groups=groups, ids=ids))


def refuse_losses(file: HeldOut) -> HeldOut:
    """Return a file that is not of losses, which nothing but measures can take."""
    if file.kind == LOSSES:
        raise InputError(
            f"{file.name}: expected `correct` (1 or 0), got `loss`: this counts errors; "
            "`recuse evaluate` and `recuse compare` measure losses, and `recuse fit` limits their "
            "mean"
        )
    return file


def as_held_out(outputs: Any, labels: Any, kind: str | None, groups: Any = None) -> HeldOut:
    """Check a `HeldOut` given alone, or outputs and labels of an input kind."""
    if isinstance(outputs, HeldOut):
        if labels is not None:
            raise InputError("expected a HeldOut alone, or outputs and labels, got both")
        file = check_file(outputs, kind=kind)
        file.labelled()
        return file if groups is None else replace(file, groups=groups)
    if labels is None:
        came = _what(outputs, " alone")
        raise InputError(f"expected outputs and labels, or a HeldOut, got {came}")
    kind = check_kind(kind or "logits", KINDS)
    z = to_logits(outputs, kind)
    file = HeldOut(z, groups=groups, kind=kind)
    return warned(replace(file, labels=_check_labels(to_numpy(labels), z, file)))


def _what(given: Any, alone: str = "") -> str:
    """Return what came in place of a `HeldOut` in one line, and what makes one of it."""
    if hasattr(given, "columns"):
        return f"a {type(given).__name__}: give rc.from_frame(df)"
    if hasattr(given, "label_ids"):
        return f"a {type(given).__name__}: give recuse.integrations.transformers.held_out(output)"
    if isinstance(given, (str, os.PathLike)):
        return f"{str(given)!r:.40}: if it is a file, give rc.read(path)"
    return " ".join(repr(given).split())[:40] + alone


def check_names(names: Array, n: int, where: str) -> Array:
    """Return groups or ids: integers or strings of shape (n,); bytes become strings."""
    _check_names_form(Form(names.shape, names.dtype), n, where)
    if (empty := blank(names)).any():  # else all of them would be one group
        raise InputError(f"expected {where} without blanks, got {int(empty.sum())}, {first(empty)}")
    return np.char.decode(names, "utf-8", "replace") if names.dtype.kind == "S" else names


def check_forms(forms: Mapping[str, Form], about: About) -> tuple[int, ...]:
    """Return the shape (n, K, ...) of the logits of a file whose arrays have these forms."""
    stored, kind = forms["logits"], about.kind or "logits"
    if about.ignore_index is not None and not of_classes(kind):
        raise InputError(
            f"expected logits for --ignore-index, got {kind}: leave the rows out that do not count"
        )
    if 0 in stored.shape:
        raise InputError(f"expected at least one row of `logits`, got shape {stored.shape}")
    shape = _logits_shape(stored, kind)
    if "labels" in forms:
        labels = forms["labels"]
        dtype = integer(labels.dtype, kind, shape[1])
        dtype = np.dtype(int) if kind == LOSSES else dtype
        if kind != MULTILABEL and labels.shape == shape and dtype.kind in "biuf":
            raise InputError(
                f"expected `labels` of shape {shape[:1]}, one class a row, got {labels.shape}; "
                "several labels a row are for evaluate --multilabel"
            )
        if kind == MULTILABEL and labels.shape != stored.shape:
            raise InputError(
                f"expected multi-label `labels` of shape {stored.shape}, as `logits`, "
                f"got {labels.shape}"
            )
        check_labels_form(labels.shape, dtype, shape)
    for key, name in _named(about).items():
        if key in forms:
            _check_names_form(forms[key], shape[0], f"`{name}`")
    names = about.class_names
    if names is not None and not len(names) == len(set(names)) == shape[1]:
        raise InputError(f"expected {shape[1]} class names that differ, got {len(set(names))}")
    return shape


def _named(about: About) -> dict[str, str]:
    """Return the arrays of names of rows, and how messages call them."""
    of = about.fields[len(FIELDS) :]
    return {"groups": "groups", "ids": "ids"} | dict(zip(of, about.subgroups))


def check_values(fields: Mapping[str, Array], about: About, name: str) -> HeldOut:
    """Check and return the rows of a file, or of a part of it."""
    kind, ignore_index = about.kind or "logits", about.ignore_index
    z = to_logits(fields["logits"], kind)
    labels = fields.get("labels")
    if labels is not None:
        labels = _check_labels(labels, z, about)
    groups, ids, *of = (
        None if key not in fields else check_names(fields[key], len(z), f"`{shown}`")
        for key, shown in _named(about).items()
    )
    subgroups: Any = dict(zip(about.subgroups, of))
    probs = fields["logits"] if kind == "probs" else None
    return HeldOut(
        z,
        labels,
        groups,
        ids,
        name,
        ignore_index,
        kind,
        about.class_names,
        subgroups,
        probs,
        about.ungrouped,
        model=about.model,
        columns=about.columns,
    )


def warned(file: HeldOut) -> HeldOut:
    """Return the file, after a warning if outputs look like another kind, or labels are odd."""
    warned_of_labels(file, stacklevel=4)
    if found := stated_of_one_class(file):
        warnings.warn(f"{file.name}: {found}", DataWarning, stacklevel=3)
    if form := form_of_probs(file):
        warnings.warn(f"{file.name}: {form}; {DECLARE_KIND}", DataWarning, stacklevel=3)
    return file


def warned_of_labels(file: HeldOut, stacklevel: int = 3) -> HeldOut:
    """Return the file, after a warning of labels of classes that are impossible in their row."""
    if found := impossible_in(file):
        warnings.warn(f"{file.name}: {found}", DataWarning, stacklevel=stacklevel)
    return file


def stated_of_one_class(file: HeldOut) -> str | None:
    """Return that confidences look like probabilities of one of two classes; None if they do not.

    Below one half they are then the more often right the lower they are. Both halves of the rows
    there are compared: a difference of 5 standard errors is no chance.
    """
    if file.kind != CONFIDENCES or file.labels is None or not len(file.logits):
        return None
    for column in file.logits.T.astype(np.float64):
        if reversed_order := _reversed(column, file.labels):
            return reversed_order
        below = np.sort(column[column < 0.5])
        if column.min() < 0 or column.max() > 1 or below.size < 2 * FEW_ROWS:
            continue
        low = column <= below[below.size // 2]
        lower, upper = (file.labels[rows] for rows in (low, (column < 0.5) & ~low))
        share = (lower.sum() + upper.sum()) / below.size
        error = np.sqrt(share * (1 - share) * (1 / lower.size + 1 / max(upper.size, 1)))
        if upper.size and lower.mean() - upper.mean() > CERTAIN * error:
            return (
                f"confidences below {below[below.size // 2]:.2g} are right in {lower.mean():.0%} "
                f"of their rows, those from there to 0.5 in {upper.mean():.0%}, as where they are "
                "the probability p of one of two classes: the confidence is then max(p, 1 - p)"
            )
    return None


def _reversed(column: Array, right: Array) -> str | None:
    """Return that smaller confidences are right more often in one column; None if not clearly.

    Both halves of the rows are compared: a difference of 5 standard errors is no chance. Where
    max(p, 1 - p) ranks better, they are the probability of one of two classes.
    """
    if len(column) < 2 * FEW_ROWS or (low := column <= np.median(column)).all():
        return None
    share, lower, upper = right.mean(), right[low], right[~low]
    error = np.sqrt(share * (1 - share) * (1 / lower.size + 1 / upper.size))
    if lower.mean() - upper.mean() <= CERTAIN * error:
        return None
    of_two = column.min() >= 0 and column.max() <= 1
    if of_two and aurc(np.maximum(column, 1 - column), 1 - right) < aurc(-column, 1 - right):
        return None
    return (
        f"the smaller half of the confidences are right in {lower.mean():.0%} of their rows, the "
        f"larger half in {upper.mean():.0%}: smaller seems more certain here; negate them"
    )


def form_of_probs(file: HeldOut) -> str | None:
    """Return how outputs given as logits look like probabilities; None if they do not."""
    if file.kind == "logits":
        return scores_form(file.outputs)
    z = file.outputs
    if file.kind != "binary" or z.min() < -STRAY or z.max() > 1 + STRAY or z.size < FEW_ROWS:
        return None
    return None if z.min() == z.max() else "every output of the one column lies in [0, 1]"


def integer(dtype: np.dtype, kind: str, classes: int) -> np.dtype:
    """Return the dtype of labels; booleans, of two classes or whether right, are bytes."""
    two = classes == 2 or kind in (MULTILABEL, CONFIDENCES)
    return np.dtype(np.uint8) if dtype.kind == "b" and two else dtype


def _logits_shape(stored: Form, kind: str) -> tuple[int, ...]:
    shape, dtype = stored
    if not of_classes(kind):
        if len(shape) not in (1, 2) or not is_floating(dtype):
            raise InputError(f"expected confidences (n,) or (n, C), got {dtype} of {shape}")
        return (*shape, 1)[:2]
    if kind == "binary" and (len(shape) == 0 or (len(shape) > 1 and shape[1] != 1)):
        scores.from_binary(np.broadcast_to(np.float32(0), shape))  # its message, and no memory
    if kind == MULTILABEL and len(shape) != 2:
        raise InputError(f"expected multi-label `logits` of shape (n, L), got {shape}")
    several = {"binary": (*shape[:1], 2, *shape[2:]), MULTILABEL: (*shape[:1], 2, *shape[1:])}
    if kind == "probs" and (len(shape) == 1 or shape[1] == 1):  # of class 1
        several["probs"] = several["binary"]
    shape = several.get(kind, shape)
    check_logits_form(shape, dtype)
    return shape


def to_logits(outputs: Any, kind: str) -> Array:
    """Return the logits (n, K, ...) of outputs of an input kind.

    Raises:
        InputError: They cannot be of that kind.
    """
    if check_kind(kind) == "probs":
        return scores.from_probs(outputs)
    if not of_classes(kind):
        return _confidences(outputs)
    z = to_numpy(outputs)
    if kind == MULTILABEL and are_sigmoids(z):
        raise InputError(
            "expected logits of each label, got values that all lie in [0, 1], on both sides of "
            "0.5, as probabilities do: give log(p / (1 - p))"
        )
    z = z[:, None] if kind == MULTILABEL else z
    z = check_logits(scores.from_binary(z) if kind in ("binary", MULTILABEL) else z)
    if z.min() > -np.inf:
        return z
    lowest = z.min(axis=1) if kind in ("binary", MULTILABEL) else z.max(axis=1)
    bad = lowest.astype(np.float32) == -np.inf  # one column is no mask; nor is a whole row
    if bad.any():
        rows = bad.reshape(len(z), -1).any(axis=1)
        raise InputError(f"expected a finite logit in every row, got none, {first(rows)}")
    return z


def _confidences(outputs: Any) -> Array:
    """Return confidences (n, C) as they are; infinite ones are the most and the least certain."""
    c = to_numpy(outputs)
    c = c.astype(np.float64) if c.dtype.kind in "iub" else c
    c = c[:, None] if c.ndim == 1 else c
    if c.ndim != 2 or not c.shape[1]:
        raise InputError(f"expected confidences of shape (n,) or (n, C), got {c.shape}")
    for column in c.T:
        check_confidence(column)
    large = np.isfinite(c) & (np.abs(c.astype(np.float64)) > np.finfo(np.float32).max)
    if large.any():
        rows = first(large.any(axis=1))
        raise InputError(f"expected confidences within the range of float32, got others, {rows}")
    return c


def _check_labels(labels: Array, z: Array, of: About | HeldOut) -> Array:
    """Return the labels of outputs; of confidences 1 and 0, or losses."""
    if of.kind == LOSSES:
        return check_loss(labels, len(z))
    labels = labels.view(integer(labels.dtype, of.kind or "logits", z.shape[1]))
    if of.kind == CONFIDENCES:
        whole = is_floating(labels.dtype) and np.isin(labels, (0, 1)).all()
        labels = labels.astype(np.int64) if whole else labels
        return check_labels(labels, np.broadcast_to(z[:, :1], (len(z), 2)), where="`correct`")
    if of.ignore_index is None:
        return check_labels(labels, z)
    check_labels(np.where(labels == of.ignore_index, 0, labels), z)
    return labels


def _check_names_form(form: Form, n: int, where: str) -> None:
    if form.shape != (n,):
        raise InputError(f"expected {where} of shape ({n},), got {form.shape}")
    if form.dtype.kind not in "iuUS":
        raise InputError(f"expected {where} of an integer or string dtype, got {form.dtype}")


class ShardIds:
    """Refuses an id that stands in two shards of one file: its rows would count twice.

    Ids are compared by hashes of 64 bits. Up to `limit` ids all are compared; beyond that those
    with the smallest hashes, a sample that is the same in each shard.
    """

    def __init__(self, name: str, limit: int = KEPT_IDS):
        self.name, self.limit, self.cutoff = name, limit, np.uint64(2**64 - 1)
        self.known, self.place = np.empty(0, np.uint64), np.empty(0, np.int32)  # by hash
        self.shards: list[str] = []

    def add(self, chunk: HeldOut) -> None:
        """Compare the ids of a part of a shard with those of the shards before it."""
        if chunk.ids is None:
            return
        if chunk.name not in self.shards[-1:]:
            self.shards.append(chunk.name)
        here, all_of = len(self.shards) - 1, hashes(chunk.ids)
        found = np.unique(all_of[all_of <= self.cutoff])
        at = np.minimum(np.searchsorted(self.known, found), max(self.known.size - 1, 0))
        seen = self.known[at] == found if self.known.size else np.zeros(found.size, bool)
        twice = seen & (self.place[at] != here) if self.known.size else seen
        if twice.any():
            i = int(np.flatnonzero(twice)[0])
            name = chunk.ids[np.flatnonzero(all_of == found[i])[0]]
            raise InputError(
                f"{self.name}: expected shards of different examples, got the id {name} in "
                f"{self.shards[self.place[at[i]]]} and in {chunk.name}"
            )
        new = found[~seen]
        known = np.r_[self.known, new]
        order = np.argsort(known, kind="stable")[: self.limit]
        self.place = np.r_[self.place, np.full(new.size, here, np.int32)][order]
        self.known = known[order]
        if known.size > self.limit:
            self.cutoff = self.known[-1]
