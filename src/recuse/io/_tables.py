"""Held-out files from tables and arrays of others: frames, CSV, JSONL, parquet, `predict_proba`.

Columns are given by name, or recognised by their own names; `Told` says what was understood.

n = rows, K = classes.
"""

from __future__ import annotations

import json
import os
import re
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from recuse._internal import public
from recuse._internal.check import at_lines, first, is_floating, near
from recuse.errors import DataWarning, InputError
from recuse.io._arrays import ID2LABEL, WORDS, as_column, by_index, held_out, missing
from recuse.io._checked import (
    KINDS,
    form_of_probs,
    naming,
    warned,
)
from recuse.io._columns import (
    KIND_OF,
    TABLES,
    class_names_in,
    cuts,
    holds_outputs,
    prefix_of,
    read_columns,
)
from recuse.io._rows import CONFIDENCES, LOSSES, HeldOut, of_classes
from recuse.present.numbers import listed
from recuse.present.reading import suspect_lines
from recuse.scores._functions import STRAY, look_like_probs

if TYPE_CHECKING:
    from numpy import ndarray as Array

LABELS = (
    *("label", "labels", "target", "targets", "y", "y_true", "true", "truth", "true_label"),
    *("label_ids", "ground_truth"),
)
IDS, GROUPS = ("id", "ids"), ("group", "groups")
CONFIDENCE, PREDICTION = "confidence", "prediction"  # columns of a table of confidences
DECISIONS = ("p_correct", "accept")  # columns that `recuse predict` writes
OUTCOMES = {"correct": CONFIDENCES, "loss": LOSSES}  # and what they make of it
OF_CONFIDENCES = re.compile(r"conf(idence)?s?([_ .-].+)?", re.IGNORECASE)
POSITIVE = ("1", "pos", "positive", "true", "yes")  # classes of the one column of two
IMPOSSIBLE = ": write -inf where a class is impossible"
AS_PROBS = "divide percentages by 100, and each row by its sum"
FRAMES = ("pandas", "polars")
AS_CONFIDENCES = 'give --confidences, or kind="confidences" in Python,'
SAY = 'by --probs or, to import, --logits; in Python kind="probs" or "logits"'
ONE = {"logits": "binary", "probs": "probs"}  # kind of a single column
SOME_ROWS = 10  # of which one at least is right, if predictions and labels name classes alike
FEW_VALUES, MANY_ROWS = 20, 30  # of subgroups: at most so many, of so many rows on average
NAMES_ROWS = re.compile(
    r"(.*[_ .-])?(id|ids|uuid|guid|key|group|patient|subject|person|user|doc|document|session|"
    r"image|file|frame|video|site|hospital|query|case)s?([_ .-](id|name|no|nr))?",
    re.IGNORECASE,
)


_OF_FRAME: ContextVar[bool] = ContextVar("of_frame", default=False)


def _give(option: str = "outputs", argument: str = "outputs") -> str:
    """Return how to name a column."""
    if _OF_FRAME.get():
        return f"give {argument}="
    return f"give --{option} to recuse import, or {argument}= in Python"


def is_frame(x: Any) -> bool:
    """Return whether this is a pandas or polars frame."""
    return hasattr(x, "columns") and type(x).__module__.partition(".")[0] in FRAMES


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
    pending: bool = False  # whether rows may have no label yet


class Suspect(NamedTuple):
    """An unused column that looks like ids, groups or subgroups, judging by its name."""

    name: str
    values: int
    rows: int

    @property
    def use(self) -> str:
        """Return its use: "ids", a value a row; "subgroups", few of many rows; or "groups"."""
        if self.values == self.rows:
            return "ids"
        few = self.values <= FEW_VALUES and self.rows >= MANY_ROWS * self.values
        return "subgroups" if few else "groups"


@dataclass(frozen=True)
class Told:
    """How a table was read, beside the columns that the `HeldOut` names."""

    suspects: tuple[Suspect, ...]
    declared: bool  # whether the kind was given, or told by names; else by the values
    format: str = ""  # of the text: separator and decimal comma
    impossible: int = 0  # outputs of classes that are impossible in their row
    gaps: bool = False  # whether some of them were null or missing
    known: Array | None = None  # (n,) rows that have a label, where others have none yet


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
    of the labels, are the names of the classes. `confidence` beside `correct`, or beside
    `prediction` and a label, are confidences. Where that leaves a doubt, it is refused.

    Args:
        frame: A pandas or polars DataFrame, or a mapping of names to columns.
        labels: Name of the column of true classes.
        outputs: Names of the columns of outputs, in the order of the classes; or patterns such as
            "prob_*".
        kind: Input kind: "logits", "binary", "probs" or "confidences"; told by names or values if
            None.
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
    frame = frame.collect() if hasattr(frame, "collect") else frame  # a LazyFrame of polars
    table = {str(name): as_column(frame[name]) for name in getattr(frame, "columns", frame)}
    token = _OF_FRAME.set(True)
    try:
        file, told = interpret(table, asked, "the frame")
    finally:
        _OF_FRAME.reset(token)
    for line in suspect_lines(file.name, told.suspects):
        warnings.warn(line, DataWarning, stacklevel=2)
    return warned(file)


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
    table, form, lines, gaps = read_columns(path, separator)
    if not table or not len(next(iter(table.values()))):
        raise InputError(f"{path}: expected at least one row, got none")
    with at_lines(lines):
        file, told = interpret(table, columns, str(path), gaps)
    return file, replace(told, format=form)


def interpret(
    table: Mapping[str, Array], asked: Columns, name: str, gaps: Mapping[str, Array] = {}
) -> tuple[HeldOut, Told]:
    """Return what a table holds, and how that was understood.

    Args:
        table: Column -> values.
        asked: What is known of the columns.
        name: In messages.
        gaps: Column -> where it says that there is no output: the class is impossible there.
    """
    with naming(name):
        _refuse_decisions(table, asked)
        for wanted in (asked.labels, asked.ids, asked.groups, *asked.subgroups):
            if wanted is not None and wanted not in table:
                raise InputError(
                    f"expected a column {wanted!r}, got {listed(table)}{near(wanted, table)}"
                )
        kind, of = _kind_by_names(table, asked), {c: table[c] for c in asked.subgroups}
        ids = asked.ids or _only(table, IDS, "ids", "id")
        groups = asked.groups or _only(table, GROUPS, "groups", "group")
        if of_classes(kind):
            label = asked.labels or _only(table, LABELS, "labels", "labels")
            taken = {label, ids, groups, *of}
            chosen, told = _outputs(table, asked, label, taken)
            shown, truth = label, None if label is None else table[label]
        else:
            label, claim = _label_of(table, asked), _plain(table).get(PREDICTION)
            taken = {label, claim, ids, groups, *of}
            chosen, told = _confidence_columns(table, asked, taken), kind
            shown, truth = _truth(table, claim, label, asked.labels is not None)
            if claim is not None and not missing(table[claim]).any():
                of.setdefault(PREDICTION, table[claim])
        truth, known = (truth, None) if asked.labels is not None else _known(truth, kind, asked)
        label, shown = (None, None) if truth is None else (label, shown)
        logits = len(chosen) > 1 or table[chosen[0]].ndim > 1
        logits = logits and of_classes(kind) and (asked.kind or told) in ("logits", None)
        gaps = {c: gaps[c] for c in chosen if c in gaps and of_classes(kind)}
        found = _stacked(table, chosen)
        if gaps and found.ndim == 2:
            found = _filled(found, chosen, gaps, asked.kind or told)
        else:
            gaps = {}
        _refuse_gaps(found, chosen, IMPOSSIBLE if logits else "")
        names = _names(chosen, asked, truth) if len(chosen) > 1 else None
        if of_classes(kind):
            names, found, chosen = _ordered(names, found, chosen, asked.classes)
            declared = asked.kind is not None or told is not None
            kind = asked.kind or _one(told or _kind_by_values(found), found)
        else:
            names, declared = None if [*_plain(chosen)] == [CONFIDENCE] else chosen, True
        if kind not in (*KINDS, LOSSES):
            raise InputError(f"expected `kind` among {', '.join(KINDS)}, got {kind!r}")
        unused = tuple(c for c in table if c not in {*taken, *chosen})
        values = suspects(unused, table.__getitem__, ids is not None)
    rows = [None if c is None else table[c] for c in (ids, groups)]
    where = {"labels": label, "ids": ids, "groups": groups, **{c: c for c in of}}
    named = {what: f"column {column!r}" for what, column in where.items() if column is not None}
    file = held_out(found, truth, kind, names, *rows, of, asked.ignore_index, name, named)
    single = {"labels": shown, "ids": ids, "groups": groups}
    used = {what: (column,) for what, column in single.items() if column is not None}
    file = replace(
        file, ungrouped=look_like_groups(values), columns={"outputs": tuple(chosen), **used}
    )
    none = np.isneginf(file.logits) if file.kind == "logits" else np.array([*gaps.values()])
    return file, Told(values, declared, impossible=int(none.sum()), gaps=bool(gaps), known=known)


def _refuse_decisions(table: Mapping[str, Array], asked: Columns) -> None:
    """Refuse what `recuse predict` wrote, unless its columns are named."""
    if asked.outputs is None and {*DECISIONS} <= {*_plain(table)}:
        raise InputError(
            "expected outputs of a model, got decisions, a table of `recuse predict`: give the "
            "file that it decided on; recuse monitor takes the table as --log"
        )


def _kind_by_names(table: Mapping[str, Array], asked: Columns) -> str:
    """Return the kind of a table of confidences, asked for or told by its columns.

    `confidence` beside `correct` or `loss`, beside `prediction` and a label, or without a label,
    leaves no doubt where there are no outputs of classes. A column `correct` is no label.
    """
    given, outcome = asked.outputs is not None, _outcome(table, asked)
    columns = [*table] if asked.outputs is None else _matching(table, asked.outputs)
    named = CONFIDENCE in _plain(table)
    label = bool({*LABELS} & {*_plain(table)}) if asked.labels is None else outcome is None
    if outcome is not None:
        told = (given and not label) or asked.labels is not None
        told = told or (not given and bool(_called_confidences(table)))
    else:
        told = not given and named and (PREDICTION in _plain(table) or not label)
    told = told and not any(map(holds_outputs, columns))
    if told and asked.kind not in (None, CONFIDENCES):
        raise InputError(f"expected {asked.kind}, got a table of confidences")
    if told or asked.kind == CONFIDENCES:
        return OUTCOMES.get(outcome or "", CONFIDENCES)
    if outcome is not None and not given and not label and not any(map(holds_outputs, columns)):
        raise InputError(
            f"expected a column `confidence` beside `{outcome}`, got {listed(table)}: {_give()}"
        )
    return asked.kind or "logits"


def _called_confidences(table: Iterable[str]) -> list[str]:
    """Return the column `confidence`, or else those named as several confidences."""
    alone = _plain(table).get(CONFIDENCE)
    if alone is not None:
        return [alone]
    return [c for c in table if OF_CONFIDENCES.fullmatch(c.strip())]


def _plain(table: Iterable[str]) -> dict[str, str]:
    """Return the columns by their names in small letters."""
    return {name.strip().lower(): name for name in table}


def _outcome(table: Mapping[str, Array], asked: Columns) -> str | None:
    """Return "correct" or "loss" where a column is that; the first is what a threshold counts."""
    names = _plain([*table] if asked.labels is None else [asked.labels])
    return next((name for name in OUTCOMES if name in names), None)


def _label_of(table: Mapping[str, Array], asked: Columns) -> str | None:
    """Return the column that says which answers are right, or what they should be."""
    outcome = _outcome(table, asked)
    if asked.labels is not None or outcome is None:
        return asked.labels or _only(table, LABELS, "labels", "labels")
    return _plain(table)[outcome]


def _truth(
    table: Mapping[str, Array], claim: str | None, label: str | None, asked: bool
) -> tuple[str | None, Array | None]:
    """Return whether answers are right, and by which columns that is known."""
    if label is None or label.strip().lower() in OUTCOMES or (claim is None and asked):
        return label, None if label is None else table[label]
    if claim is None:
        raise InputError(
            "expected whether answers are right, in a column `correct`, or a `prediction` to "
            f"compare {label} with, got {listed(table)}"
        )
    x, y = table[claim], table[label]
    unknown, named = missing(y), not (_numeric(x) and _numeric(y))
    if named:
        x, y = (np.char.strip(column.astype(str)) for column in (x, y))
    right = x == y
    if not right.any() and not unknown.all():
        _refuse_strangers(claim, x[~unknown], label, y[~unknown])
    return f"{label} compared with {claim}", np.where(unknown, np.nan, right)


def _refuse_strangers(claim: str, x: Array, label: str, y: Array) -> None:
    """Refuse predictions and labels that name classes differently: they share no value."""
    plain = [{str(v).casefold() for v in np.unique(column)} for column in (x, y)]
    numbers = [all(map(_is_number, values)) for values in plain]
    told = bool(plain[0] & plain[1]) or numbers[0] != numbers[1] or len(x) >= SOME_ROWS
    if told and not np.isin(x, y).any():
        raise InputError(
            f"expected values of {label} that {claim} has too, got {x.tolist()[0]!r} in {claim} "
            f"and {y.tolist()[0]!r} in {label}, none in common: do they differ in case, or is one "
            "of names and the other of numbers?"
        )


def _known(truth: Array | None, kind: str, asked: Columns) -> tuple[Array | None, Array | None]:
    """Return the labels, None where they are not usable, and which rows have one if not all.

    A column without any label is none. Of classes, labels of some rows are none either; of
    confidences, `known` says which count.
    """
    if truth is None or truth.ndim > 1 or not (unknown := missing(truth)).any():
        return truth, None
    if unknown.all():
        return None, None
    if not asked.pending:
        return truth, None
    filled = None if of_classes(kind) else np.where(unknown, "0", truth.astype(str))
    return filled, ~unknown


def _confidence_columns(
    table: Mapping[str, Array], asked: Columns, taken: set[str | None]
) -> list[str]:
    """Return the columns of confidences."""
    if asked.outputs is not None:
        return _matching(table, asked.outputs)
    if asked.classes is not None and {*asked.classes} <= {*table}:
        return list(asked.classes)
    if found := [c for c in _called_confidences(table) if c not in taken]:
        return _matching(table, found)
    raise InputError(f"expected a column `confidence`, got {listed(table)}: {_give()}")


def suspects(
    unused: Iterable[str], column: Callable[[str], Array], ids: bool
) -> tuple[Suspect, ...]:
    """Return the unused columns that look like groups or subgroups, or like ids if none are."""
    found = {name: column(name).astype(str) for name in unused if NAMES_ROWS.fullmatch(name)}
    all_of = (Suspect(name, len(np.unique(x)), len(x)) for name, x in found.items())
    return tuple(s for s in all_of if s.values > 1 and not (ids and s.use == "ids"))


def look_like_groups(found: Iterable[Suspect]) -> tuple[str, ...]:
    """Return the names of the columns whose rows may depend on each other."""
    return tuple(s.name for s in found if s.use == "groups")


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
            names = by_index(json.loads(text)["id2label"])
        else:
            names = text.splitlines()
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}: expected names of classes") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: expected class names in UTF-8") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(f"{path}: {ID2LABEL}") from error
    if classes is not None and len(names) != classes:
        raise InputError(f"{path}: expected {classes} class names, one a line, got {len(names)}")
    return names


def _only(table: Mapping[str, Any], names: Sequence[str], what: str, option: str) -> str | None:
    """Return the one column of these names, if there is one."""
    found = [name for name in table if name.strip().lower() in names]
    if len(found) > 1:
        give = _give(option, what)
        raise InputError(f"expected one column of {what}, got {' and '.join(found)}: {give}")
    return found[0] if found else None


def _outputs(
    table: Mapping[str, Array], asked: Columns, label: str | None, taken: set[str | None]
) -> tuple[list[str], str | None]:
    """Return the columns of outputs, and their kind if their names say it."""
    if asked.outputs is not None:
        return _matching(table, asked.outputs), None
    if asked.classes is not None and {*asked.classes} <= {*table}:
        return list(asked.classes), None
    families: dict[tuple[str, str | None], list[str]] = {}
    for name, values in table.items():
        plain = name.strip().lower()
        prefix = plain if plain in KIND_OF else prefix_of(name).lower()
        if prefix not in KIND_OF or name in taken:
            continue
        if not _numeric(values) and _mostly_numbers(values):  # else a class would be left out
            _refuse_text(name, values)
        if _numeric(values):
            families.setdefault((prefix, KIND_OF[prefix]), []).append(name)
    families = {key: names for key, names in families.items() if _plausible(names)}
    if len(families) == 1:
        ((_, kind), columns), *_ = families.items()
        return columns, kind
    if families:
        first = [" and ".join(columns[:2]) for columns in families.values()]
        raise InputError(f"expected one set of outputs, got {' or '.join(first)}: {_give()}")
    if asked.classes is not None:
        _refuse_missing_class(table, asked.classes)
    text = label is not None and table[label].dtype.kind in "USO"
    if text and (named := _named_by(table, label, taken)):
        return named, None
    raise InputError(
        f"expected columns of outputs such as logit_0, logit_1, ... or prob_cat, prob_dog, got "
        f"{listed(table)}: {_give()}{_or_confidences(table, label)}"
    )


def _refuse_missing_class(table: Mapping[str, Array], classes: Sequence[str]) -> None:
    """Refuse columns of some of the classes that are known, by those that are missing."""
    missing = [c for c in classes if c not in table]
    if len(missing) < len(classes):
        raise InputError(f"{_missing(missing)}, got {listed(table)}{near(missing[0], table)}")


def _missing(classes: Sequence[str]) -> str:
    are = "is" if len(classes) == 1 else "are"
    return f"expected a column for each class: {listed(map(repr, classes))} {are} missing"


def _named_by(table: Mapping[str, Array], label: str, taken: set[str | None]) -> list[str]:
    """Return the columns that text labels name, if they name those of most rows.

    A label that names none is refused later, by its row, as where a prefix tells the classes.
    """
    values, counts = np.unique(table[label].astype(str), return_counts=True)
    free = [c for c in table if c not in taken and _numeric(table[c])]
    named = [c for c in free if c in values]
    odd = [v for v in values.tolist() if v not in named]
    if len(named) < 2 or 2 * counts[np.isin(values, named)].sum() <= counts.sum():
        return []
    floats = [c for c in free if is_floating(table[c].dtype)]
    meant = [c for c in floats if c not in named and any(near(v, [c]) for v in odd)]
    if rest := [c for c in floats if c not in {*named, *meant}]:
        raise InputError(
            f"expected outputs that the labels name, got {listed(named)} and also numbers in "
            f"{listed(rest)}, perhaps of a class without a label: {_give()}"
        )
    return [c for c in free if c in {*named, *meant}]


def _or_confidences(table: Mapping[str, Array], label: str | None) -> str:
    """Return the offer to read a table as confidences, where columns and labels look so."""
    called = _called_confidences(table)
    if not called or (label is not None and not _says_right(table[label])):
        return ""
    by = "" if label is None else f" and {label} whether it is right"
    return f"; {AS_CONFIDENCES} if {listed(called)} is how sure an answer is{by}"


def _says_right(x: Array) -> bool:
    """Return whether a column has the two values that say whether answers are right."""
    return {str(v).strip().lower() for v in np.unique(x.astype(str))} <= {*WORDS}


def _plausible(names: list[str]) -> bool:
    """Return whether these can be all outputs: a single p_value or logit_scale is none."""
    name = names[0].strip()
    exact = name.lower() in KIND_OF
    rest = dict(cuts(name)).get(prefix_of(name), "")
    return len(names) > 1 or exact or rest.lower() in POSITIVE


def _filled(found: Array, columns: list[str], gaps: Mapping[str, Array], kind: str | None) -> Array:
    """Return outputs (n, K) with -inf where a class is impossible; or 0 if the others sum to 1."""
    there = [gaps.get(c, np.zeros(len(found), bool)) for c in columns]
    gap = there[0] if len(columns) == 1 else np.stack(there, axis=1)
    none = np.where(gap, 0.0, found)
    if kind == "probs" or (kind is None and look_like_probs(none)):
        whole = np.abs(none.sum(axis=1, keepdims=True) - 1) <= STRAY
        return np.where(gap & ~whole, np.nan, none)
    return np.where(gap, -np.inf, found)


def _refuse_gaps(found: Array, columns: list[str], hint: str) -> None:
    """Refuse outputs that are missing, by column and row."""
    for i, name in enumerate(columns):
        x = found if len(columns) == 1 else found[:, i]
        if x.ndim in (1, 2) and is_floating(x.dtype) and np.isnan(x).any():
            gaps = np.isnan(x).reshape(len(x), -1).any(axis=1)
            raise InputError(
                f"expected a number in every row of column {name!r}, got {int(gaps.sum())} "
                f"without, {first(gaps)}{hint}"
            )


def _refuse_text(name: str, cells: Array) -> None:
    """Refuse a column of outputs that is not of numbers, by its first cell that is none."""
    odd = np.array([not _is_number(cell) for cell in cells.tolist()])
    cell = cells[odd].tolist()[0]
    raise InputError(
        f"expected numbers in the column {name!r} of outputs, got {cell!r} at {first(odd)}"
    )


def _mostly_numbers(cells: Array) -> bool:
    return cells.ndim == 1 and 2 * sum(map(_is_number, cells.tolist())) > len(cells)


def _is_number(cell: Any) -> bool:
    try:
        float(cell)
    except (TypeError, ValueError):
        return False
    return True


def _matching(table: Mapping[str, Array], patterns: str | Sequence[str]) -> list[str]:
    """Return the columns of names or patterns, in the order of these and then of the table."""
    asked = patterns.split(",") if isinstance(patterns, str) else list(patterns)
    found: list[str] = []
    for pattern in (p.strip() for p in asked):
        exact = [pattern] if pattern in table else [c for c in table if fnmatchcase(c, pattern)]
        exact = exact or [c for c in table if pattern in dict(cuts(c))]  # a prefix, or an object
        if not exact:
            raise InputError(
                f"expected a column {pattern!r}, got {listed(table)}{near(pattern, table)}"
            )
        found += [c for c in exact if c not in found]
    for name in found:
        if not _numeric(table[name]):
            _refuse_text(name, table[name])
    return found


def _numeric(x: Array) -> bool:
    return x.dtype.kind in "iuf" or is_floating(x.dtype)


def _stacked(table: Mapping[str, Array], columns: list[str]) -> Array:
    """Return outputs (n, K), or those of the one column."""
    if len(columns) == 1:
        return table[columns[0]]
    found = np.stack([table[c] for c in columns], axis=1)
    if found.ndim > 2:
        raise InputError(
            f"expected one column of lists, or columns of numbers, got {listed(columns)}"
        )
    return found


def _names(columns: list[str], asked: Columns, truth: Array | None) -> list[str]:
    """Return the names of the classes of columns, among them those that are known."""
    known = asked.classes
    if known is None and truth is not None and truth.dtype.kind in "US":
        known = [v for v in np.unique(truth).tolist() if str(v).strip()]
    return class_names_in(columns, asked.outputs, known)


def _ordered(
    names: list[str] | None,
    found: Array,
    columns: list[str],
    classes: Sequence[str] | None,
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
    if classes is not None and (gone := [c for c in classes if c not in names]):
        raise InputError(f"{_missing(gone)}, got {listed(columns)}{near(gone[0], names)}")
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
            "expected to be told what one column of outputs is: --probs, the probability of the "
            "second class, --binary, its logit, or --confidences, how sure an answer is, with "
            'labels of whether it is right; in Python kind="probs", "binary" or "confidences"'
        )
    if look_like_probs(found):
        return "probs"
    if form := form_of_probs(HeldOut(found)):
        raise InputError(
            f"expected logits or probabilities: {form}; {AS_PROBS}, or say what they are {SAY}"
        )
    return "logits"


def _one(kind: str, found: Array) -> str:
    return ONE[kind] if found.ndim == 1 or found.shape[1] == 1 else kind
