"""Columns of the files of others: read, and told by their names.

n = rows, K = classes.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from recuse._internal.files import csv_lines, csv_rows
from recuse.errors import InputError
from recuse.io._arrays import settled
from recuse.io._rows import classes_second
from recuse.io._stores import column_or_missing, holds_objects, parquet_file, reading

if TYPE_CHECKING:
    from numpy import ndarray as Array

TEXTS = (".csv", ".tsv", ".jsonl")
TABLES = (*TEXTS, ".parquet", ".npz", ".npy")
KIND_OF = {  # prefix or name of a column: kind of what it holds, None if the values are to tell
    **dict.fromkeys(("output", "outputs"), None),
    **dict.fromkeys(("logit", "logits", "logprob", "logprobs"), "logits"),
    **dict.fromkeys(("margin", "margins", "predictions"), "logits"),
    **dict.fromkeys(("prob", "probs", "proba", "probability", "probabilities", "p"), "probs"),
    **dict.fromkeys(("pred_proba", "predict_proba", "softmax"), "probs"),
}
NUMBERED = re.compile(r"(?P<prefix>[A-Za-z][A-Za-z_]*?)[_ .\-\[(](?P<class>.+?)[\])]?")
PADDED = re.compile(r"0\d+")
SEPARATORS = "_ .-[("  # between a prefix and the name of a class


class Read(NamedTuple):
    """The columns of a file, and how they were written."""

    columns: dict[str, Array]
    form: str = ""  # of the text: separator and decimal comma
    lines: Array | None = None  # of the rows
    gaps: Mapping[str, Array] = {}  # of JSONL: where numbers are null or missing


def read_columns(path: Path, separator: str | None) -> Read:
    """Return the columns of a file, what was found of its text form, and the lines of rows."""
    if path.suffix in (".csv", ".tsv"):
        return _read_text(path, separator)
    if path.suffix == ".jsonl":
        with reading(path):
            return _read_jsonl(path)
    readers: dict[str, Callable[[Path], dict[str, Array]]] = {
        ".parquet": _read_parquet,
        ".npz": _read_npz,
        ".npy": lambda path: {"outputs": np.load(path, allow_pickle=False)},
    }
    with reading(path):
        return Read(readers[path.suffix](path))


def holds_outputs(name: str) -> bool:
    """Return whether a column holds outputs, judging by its name."""
    return name.strip().lower() in KIND_OF or prefix_of(name).lower() in KIND_OF


def cuts(name: str) -> list[tuple[str, str]]:
    """Return the ways to cut a column into a prefix and the name of a class.

    >>> cuts("logit_no_dog")
    [('logit', 'no_dog'), ('logit_no', 'dog')]
    """
    found = [i for i, c in enumerate(name) if c in SEPARATORS and i]
    ends = ((name[:i], re.sub(r"[\])]$", "", name[i + 1 :])) for i in found)
    return [(prefix, rest) for prefix, rest in ends if rest]


def prefix_of(name: str) -> str:
    """Return the prefix of a column: the first that names outputs, or else the first; or ""."""
    name = name.strip()
    if not NUMBERED.fullmatch(name):
        return ""
    prefixes = [prefix for prefix, _ in cuts(name)]
    return next((p for p in prefixes if p.lower() in KIND_OF), next(iter(prefixes), ""))


def class_names_in(
    columns: Sequence[str], asked: str | Sequence[str] | None, labels: Iterable[str] | None
) -> list[str]:
    """Return the text of each column behind a prefix that all share; else the columns.

    The prefix is the one that they were asked for by, as in "prob_*"; or else the first that
    leaves the labels, if they are text; or else the first.

    >>> class_names_in(["top_prob_A", "top_prob_B"], None, ["A"])
    ['A', 'B']
    >>> class_names_in(["top_prob_A", "top_prob_B"], None, None)
    ['prob_A', 'prob_B']
    """
    ways = [dict(cuts(c.strip())) for c in columns]
    common = [p for p in ways[0] if all(p in way for way in ways)]
    given = [asked] if isinstance(asked, str) else list(asked or ())
    told = [g.strip().rstrip("*").rstrip(SEPARATORS) for g in given if "," not in g]
    if len(told) == 1 and told[0] in common:
        return [way[told[0]] for way in ways]
    prefixes = {prefix_of(c) for c in columns}
    shared = len(prefixes) == 1 and "" not in prefixes
    first = [dict(cuts(c.strip()))[next(iter(prefixes))] for c in columns] if shared else [*columns]
    named = {*labels} if labels is not None else set()
    if named and not named <= {*first}:
        return next((names for p in common if named <= {*(names := [w[p] for w in ways])}), first)
    return first


def _read_npz(path: Path) -> dict[str, Array]:
    with np.load(path, allow_pickle=False) as archive:
        arrays = {}
        for name in (n for n in archive.files if n != "metrics"):  # of a Trainer
            try:
                arrays[name] = archive[name]
            except ValueError as error:
                raise InputError(f"{path}: {holds_objects(name)}") from error
    if "predictions" in arrays:  # of a Trainer, perhaps of tokens
        z = arrays["predictions"]
        arrays["predictions"] = np.ascontiguousarray(z.transpose(classes_second(z.shape)))
    return arrays


def _read_parquet(path: Path) -> dict[str, Array]:
    with parquet_file(path) as file:
        table = file.read()
        names = table.column_names
        return {name: column_or_missing(table, name, f"{path}: `{name}`") for name in names}


def _read_text(path: Path, separator: str | None) -> Read:
    separator = separator or ("\t" if path.suffix == ".tsv" else None)
    with csv_lines(path, separator) as lines:
        separator = lines.dialect.delimiter
        names = [name.strip() for name in next(lines, [])]
        if len({*names}) < len(names):
            twice = next(name for name in names if names.count(name) > 1)
            raise InputError(f"{path}: expected columns that differ, got {twice!r} twice")
        rows, ends = [], []
        for row in csv_rows(path, lines, len(names)):
            rows.append(row)
            ends.append(lines.line_num)
    comma, columns = False, {}
    for name, cells in zip(names, zip(*rows)):
        columns[name], swapped = _numbers_or_text(cells, separator)
        comma = comma or swapped
    shown = {",": "commas", ";": "semicolons", "\t": "tabs"}.get(separator, repr(separator))
    form = f"{shown} between cells" + (", decimal commas" if comma else "")
    return Read(columns, form, np.array(ends))


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


def _read_jsonl(path: Path) -> Read:
    """Return the fields of the objects; a field of numbers by name becomes a column for each."""
    rows, lines = [], []
    for number, line in enumerate(path.read_text(encoding="utf-8").split("\n"), 1):
        if line.strip():
            try:
                row = json.loads(line)
            except ValueError:
                row = None
            if not isinstance(row, dict):
                raise InputError(f"{path}: line {number}: expected an object, got {line[:40]}")
            rows.append({str(k): v for key, value in row.items() for k, v in _flat(key, value)})
            lines.append(number)
    columns, gaps = {}, {}
    longest = max(rows, key=len, default={})  # has the options in their order
    for name in dict.fromkeys(name for row in (longest, *rows) for name in row):
        values, gap = _padded([row.get(name) for row in rows])
        columns[name] = settled(np.array(values, dtype=object))
        if gap.any():
            gaps[name] = gap
    return Read(columns, "", np.array(lines), gaps)


def _flat(key: str, value: Any) -> list[tuple[str, Any]]:
    if not isinstance(value, dict):
        return [(key, _number(value))]
    return [(f"{key}_{name}", _number(inner)) for name, inner in value.items()]


def _number(value: Any) -> Any:
    infinite = isinstance(value, str) and value.strip().lower() in ("-inf", "-infinity")
    return -np.inf if infinite else value


def _padded(values: list[Any]) -> tuple[list[Any], Array]:
    """Return values, lists at one length, and where there is none: null or not there."""
    if not all(isinstance(v, list) for v in values):
        return values, np.array([v is None for v in values])
    longest = max(map(len, values))
    rows = [[*map(_number, v)] + [None] * (longest - len(v)) for v in values]
    gaps = np.array([[v is None for v in row] for row in rows]).reshape(len(rows), longest)
    return [np.array(row, float) for row in rows], gaps
