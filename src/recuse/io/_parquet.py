"""Logits in .parquet: a column `logits` of lists, or columns logit_0, logit_1, ...

The other columns are `label`, `group` and `id` (the plural is as good); any further column is
left alone. n = rows, K = classes.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from recuse._internal.check import extra, first, rows_from
from recuse.errors import InputError
from recuse.io._checked import Form
from recuse.io._stores import reading

if TYPE_CHECKING:
    from numpy import ndarray as Array

COLUMNS = {"label": "labels", "group": "groups", "id": "ids"}
NUMBERED = re.compile(r"logit_(0|[1-9]\d*)")
BUFFER = 1 << 16  # bytes of a column that are read at once


@dataclass(frozen=True)
class Table:
    """A logits file in .parquet."""

    path: Path
    columns: Mapping[str, tuple[str, ...]]  # of each array
    n: int

    @cached_property
    def forms(self) -> Mapping[str, Form]:
        """Shape and dtype of each array, which stand in the first row."""
        if self.n == 0:
            return {"logits": Form((0,), np.dtype(np.float32))}
        block = next(self._batches(1))
        return {name: Form((self.n, *x.shape[1:]), x.dtype) for name, x in block.items()}

    def blocks(self, rows: int) -> Iterator[dict[str, Array]]:
        """All arrays, so many rows at a time."""
        start = 0
        for block in self._batches(rows):
            for field, x in block.items():
                if x.shape[1:] != (expected := self.forms[field].shape[1:]):
                    raise InputError(
                        f"{self.path}: expected {field} of shape {expected} in every row, "
                        f"got {x.shape[1:]} at row {start}"
                    )
            yield block
            start += rows

    def _batches(self, rows: int) -> Iterator[dict[str, Array]]:
        needed = [name for names in self.columns.values() for name in names]
        start = 0
        with reading(self.path), opened(self.path) as file:
            for batch in file.iter_batches(rows, columns=needed, use_threads=False):
                with rows_from(start):
                    block = {field: self._array(batch, field) for field in self.columns}
                yield block
                start += batch.num_rows

    def _array(self, batch: Any, field: str) -> Array:
        names = self.columns[field]
        arrays = [column(batch, name, f"{self.path}: `{name}`") for name in names]
        return np.stack(arrays, axis=1) if field == "logits" and names != ("logits",) else arrays[0]


def open_parquet(path: Path) -> Table:
    """The table in a file, by the names of its columns.

    Raises:
        InputError: No logits, or two columns for one array.
    """
    with reading(path), opened(path) as file:
        names, n = file.schema_arrow.names, file.metadata.num_rows
    return Table(path, {field: _columns_of(path, field, names) for field in _fields(names)}, n)


def opened(path: Path) -> Any:
    """A file whose columns are read piece by piece.

    Raises:
        MissingExtraError: pyarrow is not installed.
    """
    parquet = extra("pyarrow.parquet", "parquet", "reading .parquet")
    return parquet.ParquetFile(path, buffer_size=BUFFER, pre_buffer=False)


def names_of(path: Path) -> list[str]:
    """The names of the columns."""
    with reading(path), opened(path) as file:
        return file.schema_arrow.names


def column(batch: Any, name: str, where: str) -> Array:
    """A column as an array: numbers, strings, or lists of equal length as rows."""
    pa = extra("pyarrow", "parquet", "reading .parquet")
    values = batch.column(name)
    if isinstance(values, pa.ChunkedArray):
        values = values.combine_chunks()
    if isinstance(values, pa.DictionaryArray):  # pandas' categories
        values = values.dictionary_decode()
    _refuse(_nulls(values), f"{where}: expected no null")
    if not isinstance(values, (pa.ListArray, pa.LargeListArray, pa.FixedSizeListArray)):
        return _flat(values, where)
    inner, lengths = values.flatten(), values.value_lengths().to_numpy(zero_copy_only=False)
    _refuse(lengths != lengths[0], f"{where}: expected no list of another length than {lengths[0]}")
    _refuse(_nulls(inner).reshape(len(values), -1).any(axis=1), f"{where}: expected no null")
    return _flat(inner, where).reshape(len(values), -1)


def _flat(values: Any, where: str) -> Array:
    pa = extra("pyarrow", "parquet", "reading .parquet")
    kind = values.type
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        return np.array(values.to_pylist(), dtype=np.str_)
    if not (pa.types.is_floating(kind) or pa.types.is_integer(kind) or pa.types.is_boolean(kind)):
        raise InputError(f"{where}: expected numbers, strings or lists of numbers, got {kind}")
    return values.to_numpy(zero_copy_only=False)


def _nulls(values: Any) -> Array:
    return values.is_null().to_numpy(zero_copy_only=False)


def _refuse(bad: Any, expectation: str) -> None:
    if bad.any():
        raise InputError(f"{expectation}, got {int(bad.sum())}, {first(bad)}")


def _fields(names: list[str]) -> list[str]:
    fields = [f for c, f in COLUMNS.items() if c in names or f in names]
    has_logits = "logits" in names or any(map(NUMBERED.fullmatch, names))
    return ["logits", *fields] if has_logits else fields


def _columns_of(path: Path, field: str, names: list[str]) -> tuple[str, ...]:
    if field == "logits":
        return _logit_columns(path, names)
    found = [name for name in names if COLUMNS.get(name, name) == field]
    if len(found) > 1:
        raise InputError(f"{path}: expected one column of {field}, got {' and '.join(found)}")
    return (found[0],)


def _logit_columns(path: Path, names: list[str]) -> tuple[str, ...]:
    numbered = [name for name in names if NUMBERED.fullmatch(name)]
    expected = [f"logit_{k}" for k in range(len(numbered))]
    if "logits" in names and numbered:
        raise InputError(f"{path}: expected `logits` or logit_0, logit_1, ..., got both")
    if set(numbered) != set(expected):
        missing = sorted(set(expected) - set(numbered), key=lambda name: int(name[6:]))
        raise InputError(f"{path}: expected columns logit_0, logit_1, ..., {missing[0]} is missing")
    return tuple(expected) or ("logits",)
