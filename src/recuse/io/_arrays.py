"""Held-out objects from arrays of others: labels in any form, names of rows, columns of frames.

n = rows, K = classes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from recuse._internal import public
from recuse._internal.check import (
    blank,
    check_labels,
    check_loss,
    first,
    is_floating,
    near,
    to_numpy,
)
from recuse.errors import InputError
from recuse.io._checked import KINDS, check_kind, check_names, naming, to_logits, warned
from recuse.io._rows import LOSSES, HeldOut, of_classes
from recuse.present.numbers import listed

if TYPE_CHECKING:
    from numpy import ndarray as Array
    from numpy.typing import ArrayLike

ID2LABEL = 'expected "id2label" with a name for 0, 1, ...'
TRUTHS = ("false", "true")
WORDS = {"1": 1, "0": 0, "true": 1, "false": 0, "1.0": 1, "0.0": 0}  # whether an answer is right


@public
def from_arrays(
    outputs: ArrayLike,
    labels: ArrayLike | None = None,
    *,
    kind: str = "logits",
    classes: Sequence[Any] | None = None,
    ids: ArrayLike | None = None,
    groups: ArrayLike | None = None,
    subgroups: Mapping[str, ArrayLike] | None = None,
    ignore_index: int | None = None,
    name: str = "`outputs`",
) -> HeldOut:
    """Make a held-out object from arrays, lists, series or tensors.

    Args:
        outputs: Shape (n, K, ...), or (n,) of a binary head or of the probability of the second
            class; of confidences (n,) or (n, C), larger is more certain.
        labels: Shape (n, ...) or (n, 1): indices 0..K-1, as integers, booleans or floats that
            are integers; names of `classes`; -1 and 1 of two classes; or one-hot rows (n, K). Of
            confidences, whether the answer is right: 1 and 0, or true and false.
        kind: Input kind: "logits", "binary", "probs" or "confidences".
        classes: Names of the classes in the order of the columns, such as `classes_` of
            scikit-learn, or a mapping such as `id2label` of Transformers; of confidences, names
            of the C columns.
        ids: Shape (n,).
        groups: Shape (n,): rows of one group depend on each other.
        subgroups: Name -> shape (n,).
        ignore_index: Label of predictions to leave out.
        name: Name in messages.

    Raises:
        InputError: Outputs that cannot be of this kind, or labels that are none of the classes.

    >>> probs, y = [[0.9, 0.1], [0.2, 0.8]], ["cat", "dog"]
    >>> held_out = from_arrays(probs, y, kind="probs", classes=["cat", "dog"])
    >>> held_out.labels, held_out.class_names
    (array([0, 1]), ('cat', 'dog'))
    """
    of = dict(subgroups or {})
    return warned(held_out(outputs, labels, kind, classes, ids, groups, of, ignore_index, name))


def held_out(
    outputs: Any,
    labels: Any,
    kind: str,
    classes: Sequence[Any] | None,
    ids: Any,
    groups: Any,
    subgroups: Mapping[str, Any],
    ignore_index: int | None,
    name: str,
    where: Mapping[str, str] = {},
) -> HeldOut:
    """Make what `from_arrays` returns; `where` is how messages call labels, ids and so on."""
    with naming(name):
        given = to_numpy(outputs)
        given = given.astype(np.float64) if given.dtype.kind in "iub" else given
        z = to_logits(given, check_kind(kind, KINDS))
        names = None if classes is None else names_of_classes(classes, z.shape[1])
        shown = where.get("labels", "`labels`" if of_classes(kind) else "`correct`")
        y = None if labels is None else _truth(labels, z, kind, names, ignore_index, shown)
        rows: dict[str, Any] = {"ids": ids, "groups": groups, **subgroups}
        found: dict[str, Any] = {
            k: None if x is None else _names(x, len(z), where.get(k, f"`{k}`"))
            for k, x in rows.items()
        }
        file = HeldOut(
            z,
            y,
            found.pop("groups"),
            found.pop("ids"),
            name,
            ignore_index,
            kind,
            names,
            found,
            given if kind == "probs" else None,
        )
    if y is None or ignore_index is None or z.ndim > 2:
        return file
    return replace(file.rows(y != ignore_index), ignore_index=None)


def _truth(
    labels: Any,
    z: Array,
    kind: str,
    names: tuple[str, ...] | None,
    ignore_index: int | None,
    where: str,
) -> Array:
    """Return class indices; of confidences 1 where the answer is right, or losses."""
    if of_classes(kind):
        return _labels(labels, z, names, ignore_index, where)
    y = as_column(labels)
    y = y[:, 0] if y.shape == (len(z), 1) else y
    if y.ndim and (none := _missing(y)).any():
        raise InputError(f"expected a value in {where}, got an empty cell at {first(none)}")
    return check_loss(y, len(z), where=where) if kind == LOSSES else is_right(y, where)


def is_right(x: Array, where: str) -> Array:
    """Return whether each answer is right, as 1 and 0, from words or numbers that say it."""
    text = np.char.lower(np.char.strip(x.astype(str)))
    if (odd := ~np.isin(text, [*WORDS])).any():
        raise InputError(
            f"expected {where} as 1 or 0, true or false, got {str(x[odd][0])!r} at {first(odd)}"
        )
    return np.isin(text, [word for word, right in WORDS.items() if right]).astype(np.int64)


def _labels(
    labels: Any, z: Array, names: tuple[str, ...] | None, ignore_index: int | None, where: str
) -> Array:
    """Return labels as class indices, in whichever form they came."""
    y, k = as_column(labels), z.shape[1]
    if y.ndim and (missing := _missing(y)).any():
        raise InputError(f"expected a label in {where}, got an empty cell at {first(missing)}")
    shape = z.shape[:1] + z.shape[2:]
    if y.shape == (*shape, 1) and z.ndim == 2:
        y = y[:, 0]
    if y.shape == z.shape and y.dtype.kind in "biuf":
        y = _from_one_hot(y)
    if y.dtype.kind in "USO":
        if names is None and k == 2 and {*np.char.lower(y.astype(str)).ravel()} <= {*TRUTHS}:
            return (np.char.lower(y.astype(str)) == "true").astype(np.int64)
        return _from_names(y, names, k, where)
    if y.dtype.kind == "b":
        y = y.astype(np.int64)
    if is_floating(y.dtype):
        whole = y == np.floor(y)  # false for NaN
        if not whole.all():
            raise InputError(
                f"expected integers in {where}, got {y[~whole].flat[0]} at {_first(~whole)}"
            )
        y = y.astype(np.int64)
    kept = np.ones(y.shape, bool) if ignore_index is None else y != ignore_index
    if names is not None and {*np.unique(y[kept]).astype(str)} <= {*names}:  # 1, 2, ... of columns
        y = y.astype(np.int64)
        y[kept] = _from_names(y[kept].astype(str), names, k, where)
        return y
    if k == 2 and {*np.unique(y)} == {-1, 1}:
        y = (y + 1) // 2
    if ignore_index is not None:
        check_labels(np.where(y == ignore_index, 0, y), z, where=where)
        return y
    if y.shape == shape and (y == -100).any():
        raise InputError(
            f"expected labels in 0..{k - 1}, got -100, which losses of PyTorch ignore: declare it "
            "by --ignore-index -100, in Python ignore_index=-100"
        )
    return check_labels(y, z, where=where)


def _first(bad: Array) -> str:
    return first(bad.reshape(len(bad), -1).any(axis=1))


def _missing(x: Array) -> Any:
    """Return which rows of a column have nothing in them: None, NaN or blanks."""
    if x.dtype.kind == "O":
        gaps = [v is None or (isinstance(v, float) and v != v) for v in x.ravel()]
        bad = np.array(gaps).reshape(x.shape)
    elif x.dtype.kind in "US":
        bad = np.char.strip(x) == type(x.flat[0])() if x.size else np.zeros(x.shape, bool)
    else:
        bad = np.isnan(x.astype(np.float32)) if is_floating(x.dtype) else np.zeros(x.shape, bool)
    return bad.reshape(len(x), -1).any(axis=1)


def _from_one_hot(y: Array) -> Array:
    if not (np.isin(y, (0, 1)).all() and (y.sum(axis=1) == 1).all()):
        raise InputError(
            f"expected `labels` of shape {y.shape[:1]}, one class a row, got {y.shape}, which is "
            "not one-hot; several labels a row are for evaluate --multilabel"
        )
    return y.argmax(axis=1)


def _from_names(y: Array, names: tuple[str, ...] | None, k: int, where: str) -> Array:
    """Return the index of each name of a class."""
    text = np.array([str(x) for x in y.ravel()])
    if names is None:
        found = [str(x) for x in np.unique(text)]
        raise InputError(
            f"expected the names of the {k} classes, in the order of the outputs, for labels such "
            f"as {listed(found)}: give --classes, in Python classes="
        )
    place = {name: index for index, name in enumerate(names)}
    values, inverse = np.unique(text, return_inverse=True)
    if unknown := [str(v) for v in values if v not in place]:
        there = (text == unknown[0]).reshape(y.shape)
        more = f" and {len(unknown) - 1:,} more" if len(unknown) > 1 else ""
        raise InputError(
            f"expected {where} among {listed(names)}, got {unknown[0]!r} at {_first(there)}{more}"
            f"{near(unknown[0], names)}"
        )
    return np.array([place[v] for v in values])[inverse.reshape(-1)].reshape(y.shape)


def by_index(id2label: Mapping[Any, Any]) -> list[str]:
    """Return the names of the classes in their order, from a mapping of 0, 1, ... to names."""
    names = {str(k): str(name) for k, name in id2label.items()}
    if {*names} != {*map(str, range(len(names)))}:
        raise InputError(ID2LABEL)
    return [names[str(k)] for k in range(len(names))]


def names_of_classes(classes: Sequence[Any] | Mapping[Any, Any], k: int) -> tuple[str, ...]:
    """Return the names of K classes in the order of the columns; a mapping is by index."""
    if isinstance(classes, Mapping):  # id2label
        classes = by_index(classes)
    names = tuple(str(name) for name in classes)
    if len(names) != k or len({*names}) != k:
        differ = "" if len({*names}) == len(names) else " that differ"
        raise InputError(f"expected the names of {k} classes{differ}, got {listed(names)}")
    return names


def _names(x: Any, n: int, what: str) -> Array:
    """Return ids, groups or subgroups: integers or text, none of them missing."""
    found = as_column(x)
    if found.dtype.kind == "O" or is_floating(found.dtype):
        if (none := missing(found)).any():
            raise InputError(
                f"expected no missing value in {what}, got {int(none.sum())}, {first(none)}"
            )
        whole = is_floating(found.dtype) and (found == np.floor(found)).all()
        found = found.astype(np.int64) if whole else np.array([str(v) for v in found])
    if found.dtype.kind == "U" and (empty := np.char.strip(found) == "").any():
        raise InputError(
            f"expected no empty cell in {what}, got {int(empty.sum())}, {first(empty)}"
        )
    found = found.astype(np.uint8) if found.dtype.kind == "b" else found
    return check_names(found, n, what)


def missing(x: Array) -> Array:
    """Return which values of a column are None, NaN or blank."""
    if x.dtype.kind == "O" or is_floating(x.dtype):
        return np.array([v is None or v != v for v in x.ravel()])
    return blank(x)


def as_column(x: Any) -> Array:
    """Return a column as an array: pandas and polars, categories and nullable types included."""
    if hasattr(x, "to_numpy") and type(x).__module__.split(".")[0] in ("pandas", "polars"):
        found = np.asarray(x.to_numpy())
        return settled(found) if found.dtype.kind == "O" else found
    found = to_numpy(x)
    return settled(found) if found.dtype.kind == "O" else found


def settled(x: Array) -> Array:
    """Return objects as numbers, rows or text; as they are where some are missing."""
    values = x.tolist()
    if any(v is None or (isinstance(v, float) and v != v) for v in values):
        numbers = all(v is None or isinstance(v, (int, float, bool)) for v in values)
        return np.array([np.nan if v is None else v for v in values], float) if numbers else x
    if all(isinstance(v, str) for v in values):
        return np.array(values)
    try:
        found = np.array([np.asarray(v) for v in values])
    except (ValueError, TypeError):
        return x
    return x if found.dtype.kind == "O" else found
