"""The same examples in several files: matched, compared, and averaged to one model.

n = rows, K = classes, ... = any trailing axes (pixels).

A mean is a model like any other: measure it, tune it, fit a rejector for it. The mean of logits
and the mean of probabilities are two models. The mean of logits keeps what the norms and the
learned score use; the mean of probabilities, that of deep ensembles, does not.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from recuse._internal.check import first
from recuse.errors import InputError
from recuse.evaluation._scored import Scored
from recuse.intervals import AUGRC, AURC, Comparison, compare
from recuse.io import HeldOut, write_logits
from recuse.io._rows import of_classes, refuse_confidences

if TYPE_CHECKING:
    from jaxtyping import Float, Int
    from numpy import ndarray as Array

NO_ERROR = "the difference has no standard error"


def matched(a: Scored, b: Scored) -> tuple[Scored, str]:
    """Return the rows of `b` in the order of `a`, and what matched them: "ids" or "rows".

    Rows are matched by ids if both have them, in any order; otherwise row by row, and all labels
    must be equal.

    Raises:
        InputError: The examples differ, or there is nothing to match them by.
    """
    by = "rows"
    if a.ids is not None and b.ids is not None:
        b, by = b.rows(_places(a, b)), "ids"
    elif a.labels is None or b.labels is None:
        raise InputError(f"{a.name} and {b.name}: expected ids in both, to match their rows by")
    if a.loss.shape != b.loss.shape:
        raise InputError(
            f"expected the same examples in {a.name} and {b.name}, "
            f"got predictions of shape {a.loss.shape} and {b.loss.shape}"
        )
    if a.labels is not None and b.labels is not None:
        differ = (a.labels != b.labels).reshape(len(a.labels), -1).any(axis=1)
        if differ.any():
            hint = "" if by == "ids" else "; ids in both files would match rows in any order"
            raise InputError(
                f"expected the same examples in {a.name} and {b.name}, got labels that differ "
                f"at {first(differ)}{hint}"
            )
    return b, by


def _places(a: Scored, b: Scored) -> Int[Array, " n"]:
    """Return for each row of `a` the row of `b` with its id."""
    x, y = (np.asarray(s.ids) for s in (a, b))
    if (x.dtype.kind in "US") != (y.dtype.kind in "US"):
        x, y = x.astype(np.str_), y.astype(np.str_)
    for name, ids in ((a.name, x), (b.name, y)):
        found, count = np.unique(ids, return_counts=True)
        if (count > 1).any():
            raise InputError(f"{name}: expected ids that differ, got {found[count > 1][0]} twice")
    for name, ids, others in ((a.name, x, y), (b.name, y, x)):
        alone = np.setdiff1d(ids, others)
        if alone.size:
            raise InputError(
                f"expected the same ids in {a.name} and {b.name}, got {alone.size:,} in {name} "
                f"alone, such as {alone[0]}"
            )
    places = np.empty(x.size, np.int64)
    places[np.argsort(x)] = np.argsort(y)
    return places


class Ranked(NamedTuple):
    """One of two rankings that are compared."""

    file: str
    score: str
    classes: int | None  # None of a table of confidences
    accuracy: float  # NaN of losses other than 0 and 1
    aurc: float
    augrc: float


@dataclass(frozen=True)
class Compared:
    """Two rankings of the same examples, and the difference of their AURC."""

    a: Ranked
    b: Ranked
    n: int  # predictions
    matched_by: str  # "ids", "rows", or "file": two scores of one file
    groups: int | None  # of dependent rows
    comparison: Comparison  # AURC of `a` minus that of `b`
    identical: bool  # confidence and loss are the same in every row
    sorted_labels: bool  # so that a match by rows might be wrong unnoticed

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON; an undefined value is None with a reason."""
        sides = {"a": self.a, "b": self.b}
        known = all(side.classes for side in sides.values())
        found = self.comparison
        undefined = {
            "groups": None if self.groups is not None else "rows are independent of each other",
            "p_value": None if np.isfinite(found.p_value) else NO_ERROR,
            "classes": None if known else "a table does not say",
        }
        reason = {key: reason for key, reason in undefined.items() if reason}
        return {
            **{k: s._asdict() for k, s in sides.items()},
            "n": self.n,
            "matched_by": self.matched_by,
            "groups": self.groups,
            "measure": "aurc",
            **asdict(found),
            **({"reason": reason} if reason else {}),
        }


def compare_scored(
    a: Scored, b: Scored, score: str, score_b: str, *, matched_by: str = "file"
) -> Compared:
    """Compare the AURC of two scores on the same predictions.

    Args:
        a: What `score_file` returned.
        b: The same examples in the same order, as `matched` returns them.
        score: The score of `a`.
        score_b: The score of `b`.
        matched_by: What `matched` returned.

    Raises:
        InputError: Fewer than two independent rows.
    """
    (c, loss, groups), (c_b, loss_b, groups_b) = a.predictions(score), b.predictions(score_b)
    groups = groups_b if groups is None else groups
    labels = a.labels
    return Compared(
        _ranked(a, score, c, loss),
        _ranked(b, score_b, c_b, loss_b),
        len(loss),
        matched_by,
        None if groups is None else len(np.unique(groups)),
        compare(c, loss, c_b, loss_b, groups=groups),
        np.array_equal(c, c_b) and np.array_equal(loss, loss_b),
        labels is not None and labels.ndim == 1 and bool((np.diff(labels) >= 0).all()),
    )


def _ranked(scored: Scored, score: str, confidence: Array, loss: Array) -> Ranked:
    counts = np.isin(loss, (0, 1)).all()
    return Ranked(
        scored.name,
        score,
        scored.classes,
        float(1 - loss.mean()) if counts else float("nan"),
        AURC.value(confidence, loss),
        AUGRC.value(confidence, loss),
    )


class Ensemble(NamedTuple):
    """The mean of several files, and how their rows were matched."""

    file: HeldOut  # in the order of the first; log-probabilities where these were averaged
    members: int
    matched_by: str  # "ids", or "rows": by position, with equal labels


def average_logits(files: Iterable[HeldOut]) -> Ensemble:
    """Return the mean logits of the same examples: their softmax is the geometric mean.

    Args:
        files: Each (n, K, ...), read one after another. Rows are matched by ids if all files have
            them; otherwise by position, and all labels must be equal.

    Raises:
        InputError: Fewer than two files, one twice, other examples, or other classes.

    >>> one, other = (HeldOut(np.array([[z, 0.0]]), np.array([0]), name=f"{z}") for z in (1, 3))
    >>> average_logits([one, other]).file.logits
    array([[2., 0.]])
    """
    found = _sum(files, lambda z: z)
    stored = found.file.logits.dtype
    return _of(found, _mean(found).astype(np.float64 if stored == np.float64 else np.float32))


def average_probs(files: Iterable[HeldOut]) -> Ensemble:
    """Return the mean probabilities of the same examples as log-probabilities (kind "probs").

    Args:
        files: As in `average_logits`, of logits or of log-probabilities.

    Raises:
        InputError: As `average_logits`.

    References:
        Lakshminarayanan, Pritzel & Blundell, NeurIPS 2017.

    >>> one, other = (HeldOut(np.log([[p, 1 - p]]), np.array([0]), name=f"{p}")
    ...               for p in (0.5, 0.9))
    >>> np.exp(average_probs([one, other]).file.logits).round(2)
    array([[0.7, 0.3]])
    """
    from scipy.special import softmax

    found = _sum(files, partial(softmax, axis=1))
    with np.errstate(divide="ignore"):  # of a probability that underflows
        return _of(found, np.log(_mean(found)))


def write_mean(path: str | os.PathLike, file: HeldOut, kind: str) -> HeldOut:
    """Write a mean in its declared kind: "logits", "probs", or "binary" for one column.

    Probabilities stay float64, which keeps the smallest apart.
    """
    z = file.logits
    stored = {
        "logits": lambda: z,
        "binary": lambda: z[:, 1:] - z[:, :1],
        "probs": lambda: np.exp(z),
    }
    return write_logits(
        path,
        stored[kind](),
        file.labels,
        groups=file.groups,
        ids=file.ids,
        subgroups=file.subgroups,
        kind=kind,
        class_names=file.class_names,
        ignore_index=file.ignore_index,
    )


class _Sum(NamedTuple):
    file: HeldOut  # the first, and the groups of any
    total: Float[Array, "n K ..."]
    members: int
    matched_by: str


def _mean(found: _Sum) -> Float[Array, "n K ..."]:
    return found.total / found.members


def _of(found: _Sum, logits: Array) -> Ensemble:
    file = replace(found.file, logits=logits, model=None)
    return Ensemble(file, found.members, found.matched_by)


def _sum(files: Iterable[HeldOut], value: Callable[[Array], Array]) -> _Sum:
    """Sum the values of all files in the order of the first, two files in memory at a time."""
    found, names = None, {}
    for file in files:
        if file.digest in names:
            raise InputError(f"expected other data in {file.name} than in {names[file.digest]}")
        names[file.digest] = file.name
        refuse_confidences(file.kind, "their models may predict different things")
        values = value(file.logits.astype(np.float64))
        found = _Sum(file, values, 1, "ids") if found is None else _plus(found, file, values)
    if found is None or found.members < 2:
        raise InputError(f"expected at least two files to average, got {len(names)}")
    return found


def _plus(found: _Sum, file: HeldOut, values: Array) -> _Sum:
    """Add one member."""
    first = found.file
    if first.logits.shape[1:] != file.logits.shape[1:]:
        raise InputError(
            f"expected logits of the same classes in {first.name} and {file.name}, "
            f"got shapes {first.logits.shape} and {file.logits.shape}"
        )
    rows, by = _rows(first, file)
    known = first
    if first.groups is None and file.groups is not None:
        known = replace(first, groups=file.groups[rows])
    by = "rows" if "rows" in (by, found.matched_by) else by
    return _Sum(known, found.total + values[rows], found.members + 1, by)


def _rows(a: HeldOut, b: HeldOut) -> tuple[Int[Array, " n"], str]:
    """Return for each row of `a` the same example in `b`, and what matched them."""
    found, by = matched(examples(a), examples(b))
    return found.confidence["row"], by


def examples(file: HeldOut) -> Scored:
    """Return the examples of a file, with their row in place of a confidence."""
    shape = (len(file), *file.logits.shape[2:])
    rows = {"row": np.arange(len(file))}
    unknown = np.broadcast_to(np.uint8(0), shape)
    labels = file.labels if of_classes(file.kind) else None
    return Scored(file.name, None, rows, unknown, None, False, labels, file.ids)
