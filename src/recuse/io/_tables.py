"""Held-out files from tables and arrays of others: frames, CSV, JSONL, parquet, `predict_proba`.

Columns are named, or told by their own names; what was understood is said in `Told`.

n = rows, K = classes.
"""

from __future__ import annotations

import json
import os
import re
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from recuse._internal import public
from recuse._internal.check import check_labels, is_floating, to_numpy
from recuse._internal.files import csv_lines, csv_rows
from recuse.errors import DataWarning, InputError
from recuse.io._checked import (
    DECLARE_KIND,
    KINDS,
    check_kind,
    check_names,
    form_of_probs,
    look_like_probs,
    naming,
    to_logits,
)
from recuse.io._rows import HeldOut, classes_second
from recuse.io._stores import column_or_missing, parquet_file, reading
from recuse.present.reading import SHOWN, listed

if TYPE_CHECKING:
    from numpy import ndarray as Array
    from numpy.typing import ArrayLike

TEXTS = (".csv", ".tsv", ".jsonl")
TABLES = (*TEXTS, ".parquet", ".npz", ".npy")
LABELS = (
    *("label", "labels", "target", "targets", "y", "y_true", "true", "truth", "true_label"),
    *("label_ids", "ground_truth"),
)
IDS, GROUPS = ("id", "ids"), ("group", "groups")
KIND_OF = {  # prefix or name of a column: kind of what it holds, None if the values are to tell
    **dict.fromkeys(("output", "outputs"), None),
    **dict.fromkeys(("logit", "logits", "logprob", "logprobs"), "logits"),
    **dict.fromkeys(("margin", "margins", "predictions"), "logits"),
    **dict.fromkeys(("prob", "probs", "proba", "probability", "probabilities", "p"), "probs"),
    **dict.fromkeys(("pred_proba", "predict_proba", "softmax"), "probs"),
}
TRUTHS = ("false", "true")
OUTCOMES = ("correct", "loss")  # of a table of confidences
POSITIVE = ("1", "pos", "positive", "true", "yes")  # classes of the one column of two
PADDED = re.compile(r"0\d+")
AS_PROBS = "divide percentages by 100, and each row by its sum"
ONE = {"logits": "binary", "probs": "probs"}  # kind of a single column
NUMBERED = re.compile(r"(?P<prefix>[A-Za-z][A-Za-z_]*?)[_ .\-\[(](?P<class>.+?)[\])]?")
NAMES_ROWS = re.compile(
    r"(.*[_ .-])?(id|ids|uuid|guid|key|group|patient|subject|person|user|doc|document|session|"
    r"image|file|frame|video|site|hospital|query|case)s?([_ .-](id|name|no|nr))?",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Columns:
    """Columns of a table by what they hold; None where their own names are to tell."""

    labels: str | None = None
    outputs: str | Sequence[str] | None = None  # names, or patterns such as prob_*
    kind: str | None = None
    classes: Sequence[str] | None = None  # names of the classes, in the order of the labels
    ids: str | None = None
    groups: str | None = None
    subgroups: Sequence[str] = ()
    ignore_index: int | None = None


@dataclass(frozen=True)
class Told:
    """How a table was read, and what it may hold besides."""

    outputs: tuple[str, ...]  # columns
    labels: str | None
    ids: str | None
    groups: str | None
    unused: tuple[str, ...]  # columns
    suspects: tuple[tuple[str, int], ...]  # unused columns that look like ids or groups: values
    declared: bool  # whether the kind was given, or told by names; else by the values
    integers: bool  # labels are indices; else names of classes
    format: str = ""  # of the text: separator and decimal comma


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
            class.
        labels: Shape (n, ...) or (n, 1): indices 0..K-1, as integers, booleans or floats that
            are integers; names of `classes`; -1 and 1 of two classes; or one-hot rows (n, K).
        kind: Input kind: "logits", "binary" or "probs".
        classes: Names of the classes in the order of the columns, such as `classes_` of
            scikit-learn.
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
    return said(_held_out(outputs, labels, kind, classes, ids, groups, of, ignore_index, name))


def said(file: HeldOut) -> HeldOut:
    """Return a held-out object, after a warning if its logits look like probabilities."""
    if form := form_of_probs(file):
        warnings.warn(f"{file.name}: {form}; {DECLARE_KIND}", DataWarning, stacklevel=3)
    return file


def _held_out(
    outputs: Any,
    labels: Any,
    kind: str,
    classes: Sequence[Any] | None,
    ids: Any,
    groups: Any,
    subgroups: Mapping[str, Any],
    ignore_index: int | None,
    name: str,
) -> HeldOut:
    with naming(name):
        given = to_numpy(outputs)
        given = given.astype(np.float64) if given.dtype.kind in "iub" else given
        z = to_logits(given, check_kind(kind, KINDS))
        names = None if classes is None else _class_names(classes, z.shape[1])
        y = None if labels is None else as_labels(labels, z, names, ignore_index)
        rows: dict[str, Any] = {"ids": ids, "groups": groups, **subgroups}
        found: dict[str, Any] = {
            k: None if x is None else _names(x, len(z), k) for k, x in rows.items()
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


@public
def from_frame(
    frame: Any,
    *,
    labels: str | None = None,
    outputs: str | Sequence[str] | None = None,
    kind: str | None = None,
    classes: Sequence[Any] | None = None,
    ids: str | None = None,
    groups: str | None = None,
    subgroups: str | Sequence[str] = (),
    ignore_index: int | None = None,
) -> HeldOut:
    """Make a held-out object from a pandas or polars frame.

    Columns that are not named are found by their own names: `label`, `y_true`, ...; `logit_...`,
    `prob_...`, ...; `id`; `group`. Text after the prefix, or names of columns that are the values
    of the labels, are the names of the classes. Where that leaves a doubt, it is refused.

    Args:
        frame: A pandas or polars DataFrame, or a mapping of names to columns.
        labels: Name of the column of true classes.
        outputs: Names of the columns of outputs, in the order of the classes; or patterns such as
            "prob_*".
        kind: Input kind: "logits", "binary" or "probs"; told by prefix or values if None.
        classes: Names of the classes in the order of integer labels. Columns are brought into it.
        ids: Name of a column.
        groups: Name of the column of rows that depend on each other.
        subgroups: Names of columns of populations.
        ignore_index: Label of rows to leave out.

    Raises:
        InputError: Columns that are missing, or could mean more than one thing.

    >>> table = {"prob_cat": [0.9, 0.2], "prob_dog": [0.1, 0.8], "y_true": ["cat", "dog"]}
    >>> from_frame(table).class_names
    ('cat', 'dog')
    """
    by = [subgroups] if isinstance(subgroups, str) else subgroups
    names = None if classes is None else [*map(str, classes)]
    asked = Columns(labels, outputs, kind, names, ids, groups, tuple(by), ignore_index)
    table = {str(name): _array(frame[name]) for name in getattr(frame, "columns", frame)}
    return said(interpret(table, asked, "the frame")[0])


def read_table(
    path: str | os.PathLike, columns: Columns = Columns(), separator: str | None = None
) -> tuple[HeldOut, Told]:
    """Read a table of outputs, and say how it was understood.

    Args:
        path: .csv, .tsv, .jsonl, .parquet, .npz or .npy.
        columns: What is known of its columns.
        separator: Of the cells of a text; the commonest of comma, semicolon and tab in the
            header if None.

    Raises:
        InputError: One line that names the file and what was expected.
    """
    path = Path(path)
    if path.suffix not in TABLES:
        raise InputError(f"{path}: expected a table ending in {', '.join(TABLES)}")
    if not path.is_file() or path.stat().st_size == 0:
        raise InputError(f"{path}: {'empty' if path.is_file() else 'no such'} file")
    table, form = _read(path, separator)
    if not table or not len(next(iter(table.values()))):
        raise InputError(f"{path}: expected at least one row, got none")
    file, told = interpret(table, columns, str(path))
    return file, replace(told, format=form)


def interpret(table: Mapping[str, Array], asked: Columns, name: str) -> tuple[HeldOut, Told]:
    """Return what a table holds, and how that was understood."""
    with naming(name):
        _refuse_outcomes(table, asked)
        for wanted in (asked.labels, asked.ids, asked.groups, *asked.subgroups):
            if wanted is not None and wanted not in table:
                raise InputError(f"expected a column {wanted!r}, got {listed(table)}")
        label = asked.labels or _only(table, LABELS, "labels", "--labels")
        ids = asked.ids or _only(table, IDS, "ids", "--id")
        groups = asked.groups or _only(table, GROUPS, "groups", "--group")
        taken = {label, ids, groups, *asked.subgroups}
        chosen, kind = _outputs(table, asked, label, taken)
        found, names = _stacked(table, chosen)
        names, found, chosen = _ordered(names, found, chosen, asked.classes, table.get(label or ""))
        declared = asked.kind is not None or kind is not None
        kind = asked.kind or _one(kind or _kind_by_values(found), found)
        if kind not in KINDS:
            raise InputError(f"expected --kind among {', '.join(KINDS)}, got {kind!r}")
        unused = tuple(c for c in table if c not in {*taken, *chosen})
        values = suspects(unused, table.__getitem__, ids is not None)
    labels = None if label is None else table[label]
    rows = [None if c is None else table[c] for c in (ids, groups)]
    of = {c: table[c] for c in asked.subgroups}
    file = _held_out(found, labels, kind, names, *rows, of, asked.ignore_index, name)
    integers = labels is None or labels.dtype.kind not in "USO"
    told = Told(tuple(chosen), label, ids, groups, unused, values, declared, integers)
    return file, told


def suspects(
    unused: Iterable[str], column: Callable[[str], Array], ids: bool
) -> tuple[tuple[str, int], ...]:
    """Return the unused columns that look like groups, or like ids if there are none: values."""
    found = {name: column(name).astype(str) for name in unused if NAMES_ROWS.fullmatch(name)}
    values = {name: len(np.unique(x)) for name, x in found.items()}
    return tuple((name, k) for name, k in values.items() if not (ids and k == len(found[name])))


def class_names_of(path: Path, classes: int | None = None) -> list[str]:
    """Read the names of all classes: a text file of one line a class, or `id2label` of a .json.

    Args:
        path: A text file in UTF-8, or the config.json of a model.
        classes: Their number, if it is known.

    Raises:
        InputError: The file cannot be read so, or has another number of names.
    """
    try:
        text = path.read_text(encoding="utf-8")
        if path.suffix == ".json":
            names = json.loads(text)["id2label"]
            names = [str(names[str(k)]) for k in range(len(names))]
        else:
            names = text.splitlines()
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}: expected names of classes") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: expected class names in UTF-8") from error
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f'{path}: expected "id2label" with a name for 0, 1, ...') from error
    if classes is not None and len(names) != classes:
        raise InputError(f"{path}: expected {classes} class names, one a line, got {len(names)}")
    return names


def as_labels(
    labels: Any, z: Array, names: tuple[str, ...] | None, ignore_index: int | None
) -> Array:
    """Return labels as class indices, in whichever form they came."""
    y, k = _array(labels), z.shape[1]
    shape = z.shape[:1] + z.shape[2:]
    if y.shape == (*shape, 1) and z.ndim == 2:
        y = y[:, 0]
    if y.shape == z.shape and y.dtype.kind in "biuf":
        y = _from_one_hot(y)
    if y.dtype.kind in "USO":
        if names is None and k == 2 and {*np.char.lower(y.astype(str)).ravel()} <= {*TRUTHS}:
            return (np.char.lower(y.astype(str)) == "true").astype(np.int64)
        return _from_names(y, names, k)
    if y.dtype.kind == "b":
        y = y.astype(np.int64)
    if is_floating(y.dtype):
        whole = y == np.floor(y)  # false for NaN
        if not whole.all():
            raise InputError(f"expected labels that are integers, got {y[~whole].flat[0]}")
        y = y.astype(np.int64)
    if names is not None and not _indices(y, k, ignore_index) and _all_named(y, names):
        return _from_names(y.astype(str), names, k)
    if k == 2 and {*np.unique(y)} == {-1, 1}:
        y = (y + 1) // 2
    if ignore_index is not None:
        check_labels(np.where(y == ignore_index, 0, y), z)
        return y
    if y.shape == shape and (y == -100).any():
        raise InputError(
            f"expected labels in 0..{k - 1}, got -100, which losses of PyTorch ignore: declare it "
            "by --ignore-index -100, in Python ignore_index=-100"
        )
    return check_labels(y, z)


def _indices(y: Array, k: int, ignore_index: int | None) -> bool:
    counted = y[y != ignore_index] if ignore_index is not None else y
    return bool(counted.size == 0 or (counted.min() >= 0 and counted.max() < k))


def _all_named(y: Array, names: tuple[str, ...]) -> bool:
    return {*np.unique(y).astype(str)} <= {*names}


def _from_one_hot(y: Array) -> Array:
    if not (np.isin(y, (0, 1)).all() and (y.sum(axis=1) == 1).all()):
        raise InputError(
            f"expected `labels` of shape {y.shape[:1]}, one class a row, got {y.shape}, which is "
            "not one-hot; several labels a row are for evaluate --multilabel"
        )
    return y.argmax(axis=1)


def _from_names(y: Array, names: tuple[str, ...] | None, k: int) -> Array:
    """Return the index of each name of a class."""
    text = np.array([str(x) for x in y.ravel()])
    if names is None:
        found = [str(x) for x in np.unique(text)[:SHOWN]]
        raise InputError(
            f"expected the names of the {k} classes, in the order of the outputs, for labels such "
            f"as {', '.join(found)}: give --classes, in Python classes="
        )
    place = {name: index for index, name in enumerate(names)}
    values, inverse = np.unique(text, return_inverse=True)
    if unknown := [str(v) for v in values if v not in place]:
        raise InputError(
            f"expected labels among {listed(names)}, got {unknown[0]!r}"
            + (f" and {len(unknown) - 1:,} more" if len(unknown) > 1 else "")
        )
    return np.array([place[v] for v in values])[inverse.reshape(-1)].reshape(y.shape)


def _class_names(classes: Sequence[Any], k: int) -> tuple[str, ...]:
    names = tuple(str(name) for name in classes)
    if len(names) != k or len({*names}) != k:
        differ = "" if len({*names}) == len(names) else " that differ"
        raise InputError(f"expected the names of {k} classes{differ}, got {listed(names)}")
    return names


def _names(x: Any, n: int, what: str) -> Array:
    """Return ids, groups or subgroups: integers or text, none of them missing."""
    found = _array(x)
    if found.dtype.kind == "O" or is_floating(found.dtype):
        missing = np.array([v is None or v != v for v in found.ravel()])
        if missing.any():
            raise InputError(
                f"expected no missing value in `{what}`, got {int(missing.sum())}, "
                f"the first at row {int(np.flatnonzero(missing)[0])}"
            )
        whole = is_floating(found.dtype) and (found == np.floor(found)).all()
        found = found.astype(np.int64) if whole else np.array([str(v) for v in found])
    if found.dtype.kind == "U" and (empty := np.char.strip(found) == "").any():
        raise InputError(
            f"expected no empty cell in `{what}`, got {int(empty.sum())}, "
            f"the first at row {int(np.flatnonzero(empty)[0])}"
        )
    found = found.astype(np.uint8) if found.dtype.kind == "b" else found
    return check_names(found, n, f"`{what}`")


def _array(x: Any) -> Array:
    """Return a column as an array: pandas and polars, categories and nullable types included."""
    if hasattr(x, "to_numpy") and type(x).__module__.split(".")[0] in ("pandas", "polars"):
        found = np.asarray(x.to_numpy())
        return _settled(found) if found.dtype.kind == "O" else found
    found = to_numpy(x)
    return _settled(found) if found.dtype.kind == "O" else found


def _settled(x: Array) -> Array:
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


def holds_outputs(name: str) -> bool:
    """Return whether the name of a column tells that it holds outputs."""
    match = NUMBERED.fullmatch(name.strip())
    return name.strip().lower() in KIND_OF or bool(match and match["prefix"].lower() in KIND_OF)


def _only(table: Mapping[str, Any], names: Sequence[str], what: str, option: str) -> str | None:
    """Return the one column of these names, if there is one."""
    found = [name for name in table if name.strip().lower() in names]
    if len(found) > 1:
        raise InputError(f"expected one column of {what}, got {' and '.join(found)}: give {option}")
    return found[0] if found else None


def _outputs(
    table: Mapping[str, Array], asked: Columns, label: str | None, taken: set[str | None]
) -> tuple[list[str], str | None]:
    """Return the columns of outputs, and their kind where names tell it."""
    if asked.outputs is not None:
        return _matching(table, asked.outputs), None
    if asked.classes is not None and {*asked.classes} <= {*table}:
        return list(asked.classes), None
    families: dict[tuple[str, str | None], list[str]] = {}
    for name, values in table.items():
        plain, match = name.strip().lower(), NUMBERED.fullmatch(name.strip())
        prefix = plain if plain in KIND_OF else match["prefix"].lower() if match else ""
        if prefix in KIND_OF and name not in taken and _numeric(values):
            families.setdefault((prefix, KIND_OF[prefix]), []).append(name)
    families = {key: names for key, names in families.items() if _plausible(names)}
    if len(families) == 1:
        ((_, kind), columns), *_ = families.items()
        return columns, kind
    if families:
        first = [" and ".join(columns[:2]) for columns in families.values()]
        raise InputError(f"expected one set of outputs, got {' or '.join(first)}: give --outputs")
    if label is not None and table[label].dtype.kind in "USO":
        values = {str(v) for v in np.unique(table[label].astype(str))}
        named = [c for c in table if c in values and c not in taken and _numeric(table[c])]
        rest = [c for c in table if c not in {*named, *taken} and is_floating(table[c].dtype)]
        if len(named) == len(values) > 1 and rest:
            raise InputError(
                f"expected outputs that the labels name, got {listed(named)} and also numbers in "
                f"{listed(rest)}, perhaps of a class without a label: give --outputs"
            )
        if len(named) == len(values) > 1:
            return named, None
    raise InputError(
        f"expected columns of outputs such as logit_0, logit_1, ... or prob_cat, prob_dog, got "
        f"{listed(table)}: give --outputs"
    )


def _refuse_outcomes(table: Mapping[str, Any], asked: Columns) -> None:
    """Refuse a table of confidences: `correct` is whether a prediction is right, not a class."""
    names = {name.strip().lower() for name in table}
    given = str(asked.labels).strip().lower() in OUTCOMES
    if given or (asked.outputs is None and "confidence" in names and names & {*OUTCOMES}):
        raise InputError(
            "expected outputs of a classifier and labels, got confidences and whether predictions "
            "are correct: `recuse evaluate` and `recuse compare` measure these, and "
            "`recuse.select` in Python chooses a threshold"
        )


def _plausible(names: list[str]) -> bool:
    """Return whether these can be all outputs: a single p_value or logit_scale is none."""
    match = NUMBERED.fullmatch(names[0].strip())
    exact = names[0].strip().lower() in KIND_OF
    return len(names) > 1 or exact or bool(match and match["class"].lower() in POSITIVE)


def _matching(table: Mapping[str, Array], patterns: str | Sequence[str]) -> list[str]:
    """Return the columns of names or patterns, in the order of these and then of the table."""
    asked = patterns.split(",") if isinstance(patterns, str) else list(patterns)
    found: list[str] = []
    for pattern in (p.strip() for p in asked):
        exact = [pattern] if pattern in table else [c for c in table if fnmatchcase(c, pattern)]
        if not exact:
            raise InputError(f"expected a column {pattern!r}, got {listed(table)}")
        found += [c for c in exact if c not in found]
    for name in found:
        if not _numeric(table[name]):
            raise InputError(f"expected numbers in the column {name!r} of outputs, got text")
    return found


def _numeric(x: Array) -> bool:
    return x.dtype.kind in "iuf" or is_floating(x.dtype)


def _stacked(table: Mapping[str, Array], columns: list[str]) -> tuple[Array, list[str] | None]:
    """Return outputs (n, K), and the text behind a common prefix of their columns."""
    if len(columns) == 1:
        return table[columns[0]], None
    found = np.stack([table[c] for c in columns], axis=1)
    if found.ndim > 2:
        raise InputError(
            f"expected one column of lists, or columns of numbers, got {listed(columns)}"
        )
    matches = [NUMBERED.fullmatch(c.strip()) for c in columns]
    prefixes = {m["prefix"] if m else None for m in matches}
    common = len(prefixes) == 1 and None not in prefixes
    names = [m["class"] if m and common else c for m, c in zip(matches, columns)]
    return found, names


def _ordered(
    names: list[str] | None,
    found: Array,
    columns: list[str],
    classes: Sequence[str] | None,
    labels: Array | None,
) -> tuple[Sequence[str] | None, Array, list[str]]:
    """Bring the columns into the order of the classes; return the names of these, if any."""
    if names is None:
        return classes, found, columns
    if classes is not None and {*names} == {*classes}:
        order = [names.index(name) for name in classes]
        return classes, found[:, order], [columns[i] for i in order]
    if all(name.isdecimal() for name in names):  # 0, 1, ..., or 1, 2, ...
        order = sorted(range(len(names)), key=lambda i: int(names[i]))
        found, columns = found[:, order], [columns[i] for i in order]
        names = [names[i] for i in order]
        plain = [int(name) for name in names] == list(range(len(names)))
        return classes if plain or classes is not None else names, found, columns
    if classes is not None:
        raise InputError(
            f"expected the classes {listed(classes)} in the names of the columns, "
            f"got {listed(names)}"
        )
    return names, found, columns


def _kind_by_values(found: Array) -> str:
    """Return "probs" if every row is a distribution, else "logits"; refuse what may be neither."""
    if found.ndim == 1 or found.shape[1] == 1:
        raise InputError(
            "expected --kind with one column of outputs: probs, the probability of the second "
            "class, or binary, its logit"
        )
    if look_like_probs(found):
        return "probs"
    if form := form_of_probs(HeldOut(found)):
        raise InputError(f"expected logits or probabilities: {form}; {AS_PROBS}, or give --kind")
    return "logits"


def _one(kind: str, found: Array) -> str:
    return ONE[kind] if found.ndim == 1 or found.shape[1] == 1 else kind


def _read(path: Path, separator: str | None) -> tuple[dict[str, Array], str]:
    """Return the columns of a file, and what was found of its text form."""
    if path.suffix in (".csv", ".tsv"):
        return _read_text(path, separator)
    readers: dict[str, Callable[[Path], dict[str, Array]]] = {
        ".jsonl": _read_jsonl,
        ".parquet": _read_parquet,
        ".npz": _read_npz,
        ".npy": lambda path: {"outputs": np.load(path, allow_pickle=False)},
    }
    with reading(path):
        return readers[path.suffix](path), ""


def _read_npz(path: Path) -> dict[str, Array]:
    with np.load(path, allow_pickle=False) as archive:
        arrays = {name: archive[name] for name in archive.files}
    if "predictions" in arrays:  # of a Trainer, perhaps of tokens
        z = arrays["predictions"]
        arrays["predictions"] = np.ascontiguousarray(z.transpose(classes_second(z.shape)))
    return arrays


def _read_parquet(path: Path) -> dict[str, Array]:
    with parquet_file(path) as file:
        table = file.read()
        names = table.column_names
        return {name: column_or_missing(table, name, f"{path}: `{name}`") for name in names}


def _read_text(path: Path, separator: str | None) -> tuple[dict[str, Array], str]:
    separator = separator or _separator(path)
    with csv_lines(path, separator) as lines:
        names = [name.strip() for name in next(lines, [])]
        if len({*names}) < len(names):
            twice = next(name for name in names if names.count(name) > 1)
            raise InputError(f"{path}: expected columns that differ, got {twice!r} twice")
        rows = list(csv_rows(path, lines, len(names)))
    comma, columns = False, {}
    for name, cells in zip(names, zip(*rows)):
        columns[name], swapped = _numbers_or_text(cells, separator)
        comma = comma or swapped
    shown = {",": "commas", ";": "semicolons", "\t": "tabs"}.get(separator, repr(separator))
    return columns, f"{shown} between cells" + (", decimal commas" if comma else "")


def _separator(path: Path) -> str:
    if path.suffix == ".tsv":
        return "\t"
    with path.open(encoding="utf-8-sig", errors="replace") as lines:
        header = lines.readline()
    return max(",;\t", key=header.count)


def _numbers_or_text(cells: Sequence[str], separator: str) -> tuple[Array, bool]:
    """Return a column as integers, floats or text, and whether commas were its decimal points."""
    text = [cell.strip() for cell in cells]
    if any(text) and not all(text):  # a number that is missing among numbers
        found, swapped = _numbers_or_text([cell or "nan" for cell in text], separator)
        return (np.array(text), False) if found.dtype.kind == "U" else (found, swapped)
    if any(map(PADDED.fullmatch, text)):  # 007 is a name
        return np.array(text), False
    for convert in (int, float):
        try:
            if not any("_" in cell for cell in text):
                return np.array([convert(cell) for cell in text]), False
        except (ValueError, OverflowError):
            pass
    if separator != ",":
        try:
            return np.array([float(cell.replace(",", ".")) for cell in text]), True
        except ValueError:
            pass
    return np.array(text), False


def _read_jsonl(path: Path) -> dict[str, Array]:
    """Return the fields of the objects; a field of numbers by name becomes a column for each."""
    rows = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        if line.strip():
            row = json.loads(line)
            if not isinstance(row, dict):
                raise InputError(f"{path}: line {number}: expected an object, got {line[:40]}")
            rows.append({str(k): v for key, value in row.items() for k, v in _flat(key, value)})
    columns: dict[str, Array] = {}
    longest = max(rows, key=len, default={})  # has the options in their order
    for name in dict.fromkeys(name for row in (longest, *rows) for name in row):
        values = [row.get(name) for row in rows]
        if name.startswith(OPTION) and not all(isinstance(v, str) for v in values):
            values = [-np.inf if v is None else v for v in values]  # an option that is not there
        columns[name.removeprefix(OPTION)] = _settled(np.array(_padded(values), dtype=object))
    return columns


OPTION = "\0"  # marks fields of an object inside the row


def _flat(key: str, value: Any) -> list[tuple[str, Any]]:
    if not isinstance(value, dict):
        return [(key, _number(value))]
    return [(f"{OPTION}{key}_{name}", _number(inner)) for name, inner in value.items()]


def _number(value: Any) -> Any:
    infinite = isinstance(value, str) and value.strip().lower() in ("-inf", "-infinity")
    return -np.inf if infinite else value


def _padded(values: list[Any]) -> list[Any]:
    """Return lists of one length: an option that is not there has the logit -inf."""
    if not all(isinstance(v, list) for v in values):
        return values
    longest = max(map(len, values))
    return [
        np.array([_number(x) for x in v] + [-np.inf] * (longest - len(v)), float) for v in values
    ]
