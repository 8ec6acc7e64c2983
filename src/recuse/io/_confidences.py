"""Confidences without logits: a .csv or .parquet of `confidence` and `correct` (or `loss`).

Optional columns: `group` and `id`. Others are ignored. n = rows.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from recuse._internal.check import check_confidence, check_loss
from recuse._internal.files import csv_lines, csv_rows
from recuse.errors import InputError
from recuse.io._checked import check_names, naming
from recuse.io._stores import column, names_of, parquet_file, reading
from recuse.io._tables import holds_outputs

if TYPE_CHECKING:
    from jaxtyping import Float
    from numpy import ndarray as Array

WORDS = {"1": 1.0, "0": 0.0, "true": 1.0, "false": 0.0, "1.0": 1.0, "0.0": 0.0}
OUTCOMES = ("correct", "loss")


@dataclass(frozen=True, eq=False)
class Confidences:
    """Checked content of a table of confidences."""

    confidence: Float[Array, " n"]
    loss: Float[Array, " n"]
    groups: Array | None
    ids: Array | None
    name: str  # for messages

    def __len__(self) -> int:
        return len(self.loss)

    @property
    def accuracy(self) -> float:
        """Return 1 minus the mean 0-1 loss; NaN for other losses."""
        zero_one = np.isin(self.loss, (0, 1)).all()
        return float(1 - self.loss.mean()) if zero_one else float("nan")


def read_confidences(path: str | os.PathLike) -> Confidences:
    """Read a table of confidences.

    Args:
        path: A .csv or .parquet with the columns `confidence`, larger is more certain, and
            either `correct` (1 and 0, or true and false) or `loss` (>= 0); optionally `group`
            and `id`.

    Raises:
        InputError: One line that names the file, the line or row, and what was expected.
        MissingExtraError: .parquet without pyarrow.
    """
    path = Path(path)
    columns = _read_csv(path) if path.suffix == ".csv" else _read_parquet(path)
    with naming(str(path)):
        confidence = check_confidence(columns["confidence"])
        n = len(confidence)
        loss = columns["loss"] if "loss" in columns else _wrong(columns["correct"])
        groups, ids = (
            check_names(columns[k], n, f"`{k}`") if k in columns else None for k in ("group", "id")
        )
        return Confidences(confidence, check_loss(loss, n), groups, ids, str(path))


def holds_confidences(path: Path) -> bool:
    """Return whether a file is a table of confidences rather than of outputs, by its columns."""
    if path.suffix not in (".csv", ".parquet") or not path.is_file() or path.stat().st_size == 0:
        return path.suffix == ".csv"
    names = _header(path) if path.suffix == ".csv" else names_of(path)
    outcomes = not names or "confidence" in names or bool({*OUTCOMES} & {*names})
    return outcomes and not any(map(holds_outputs, names))


def _header(path: Path) -> list[str]:
    """Return the column names of a .csv; none if it cannot be read, which its reader reports."""
    try:
        with csv_lines(path) as lines:
            return _names(lines)
    except InputError:
        return []


def _names(lines: Any) -> list[str]:
    return [name.strip().lower() for name in next(lines, [])]


def _outcome(path: Path, names: Sequence[str]) -> str:
    """Return the column of outcomes, after checking that all needed columns are there once."""
    twice = [name for name in {*names} if names.count(name) > 1]
    if twice:
        raise InputError(f"{path}: expected columns that differ, got {sorted(twice)[0]!r} twice")
    found = [name for name in OUTCOMES if name in names]
    if "confidence" not in names or len(found) != 1:
        raise InputError(
            f"{path}: expected a column `confidence` and either `correct` or `loss`, "
            f"got {', '.join(names) or 'none'}"
        )
    return found[0]


def _read_parquet(path: Path) -> dict[str, Array]:
    with reading(path), parquet_file(path) as file:
        names = file.schema_arrow.names
        needed = ["confidence", _outcome(path, names), *({"group", "id"} & {*names})]
        table = file.read(columns=needed)
        return {name: column(table, name, f"{path}: `{name}`") for name in needed}


def _read_csv(path: Path) -> dict[str, Array]:
    with csv_lines(path) as lines:
        return _parse(path, lines)


def _parse(path: Path, lines: Any) -> dict[str, Array]:
    names = _names(lines)
    if not names:
        raise InputError(f"{path}: expected a header and rows, got an empty file")
    outcome = _outcome(path, names)
    readers: dict[str, Callable] = {"confidence": _number, outcome: PARSERS[outcome]}
    readers |= {name: _name for name in ("group", "id") if name in names}
    places = {name: names.index(name) for name in readers}
    out: dict[str, list] = {name: [] for name in readers}
    for cells in csv_rows(path, lines, len(names)):
        for name, read in readers.items():
            try:
                out[name].append(read(cells[places[name]]))
            except (ValueError, KeyError):
                expected, got = EXPECTED[name], cells[places[name]]
                raise InputError(
                    f"{path}: line {lines.line_num}: expected `{name}` as {expected}, got {got!r}"
                ) from None
    if not out["confidence"]:
        raise InputError(f"{path}: expected at least one row below the header, got none")
    return {name: np.array(values) for name, values in out.items()}


def _name(text: str) -> str:
    if not text.strip():
        raise ValueError
    return text


def _number(text: str) -> float:
    value = float(text)
    if value != value or "_" in text:
        raise ValueError
    return value


def _loss(text: str) -> float:
    value = _number(text)
    if not 0 <= value < float("inf"):
        raise ValueError
    return value


def _correct(text: str) -> float:
    return WORDS[text.strip().lower()]


PARSERS: Mapping[str, Callable] = {"correct": _correct, "loss": _loss}
EXPECTED = {
    "group": "a name",
    "id": "a name",
    "confidence": "a number",
    "correct": "1 or 0, true or false",
    "loss": "a number >= 0",
}


def _wrong(correct: Array) -> Array:
    """Return the 0-1 loss of booleans, or of numbers 1 and 0."""
    if correct.dtype.kind not in "biuf":
        raise InputError(f"expected `correct` of 1 and 0, or true and false, got {correct.dtype}")
    if not np.isin(correct, (0, 1)).all():
        odd = correct[~np.isin(correct, (0, 1))][0]
        raise InputError(f"expected `correct` of 1 and 0, or true and false, got {odd}")
    return (correct == 0).astype(np.float64)
