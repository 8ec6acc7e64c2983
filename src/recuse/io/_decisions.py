"""Tables of decisions, written as .csv, .parquet or .npz, and of subgroups, read from .csv."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from recuse._internal.check import extra
from recuse._internal.csv import csv_lines, csv_rows
from recuse._internal.files import atomic
from recuse.errors import InputError
from recuse.io._rows import LogitsFile

if TYPE_CHECKING:
    from jaxtyping import Shaped
    from numpy import ndarray as Array

TABLES = (".csv", ".parquet", ".npz")


def write_table(path: Path, columns: Mapping[str, Array]) -> None:
    """Write columns of equal length, whole or not at all."""
    with atomic(path) as temporary:
        if path.suffix.lower() == ".npz":
            with temporary.open("wb") as handle:  # given a name, savez would change .NPZ
                np.savez(handle, **columns)  # ty: ignore[invalid-argument-type]
        elif path.suffix.lower() == ".parquet":
            pa = extra("pyarrow", "parquet", "writing .parquet")
            extra("pyarrow.parquet", "parquet", "writing .parquet").write_table(
                pa.table(dict(columns)), temporary
            )
        else:
            with temporary.open("w", newline="", encoding="utf-8") as handle:
                writer = csv.writer(handle)
                writer.writerow(columns)
                writer.writerows(zip(*(_cells(c) for c in columns.values())))


def _cells(column: Array) -> list[Any]:
    """Return cells of a CSV: float32 in the shortest form that reads back the same; true, false."""
    if column.dtype == bool:
        return ["true" if x else "false" for x in column]
    return column.astype(str).tolist() if column.dtype.kind == "f" else column.tolist()


def read_subgroups(path: Path, expected: str = "a .csv of id and subgroup") -> dict[str, str]:
    """Return the subgroup of each id, from a .csv with the header `id,<name>`."""
    try:
        with csv_lines(path) as lines:
            return _parsed(path, lines)
    except OSError as error:
        raise InputError(f"{path}: expected {expected}, got {error.strerror}") from error


def _parsed(path: Path, lines: Any) -> dict[str, str]:
    header = next(lines, [])
    if len(header) != 2 or header[0].strip().lower() != "id":
        raise InputError(f"{path}: expected the header id,<name>, got {','.join(header) or 'none'}")
    found: dict[str, str] = {}
    for name, subgroup in csv_rows(path, lines, 2):
        where = f"{path}: line {lines.line_num}"
        if not (name and subgroup):
            raise InputError(f"{where}: expected an id and a subgroup, got none")
        if found.setdefault(name, subgroup) != subgroup:
            raise InputError(
                f"{where}: expected one subgroup for each id, "
                f"got {subgroup!r} after {found[name]!r} for {name!r}"
            )
    return found


def joined(subgroup_of: Mapping[str, str], file: LogitsFile, path: str) -> Shaped[Array, " n"]:
    """Return the subgroup of every row, by its id."""
    if file.ids is None:
        raise InputError(
            f"{file.name}: expected `ids` to find the subgroups of {path} by, got none"
        )
    names, index = np.unique(file.ids.astype(str), return_inverse=True)
    if missing := [name for name in names.tolist() if name not in subgroup_of]:
        raise InputError(
            f"{path}: expected a subgroup for each id of {file.name}, got none for {missing[0]!r}"
            + (f" and {len(missing) - 1:,} more" if len(missing) > 1 else "")
        )
    return np.array([subgroup_of[name] for name in names.tolist()])[index.reshape(-1)]
