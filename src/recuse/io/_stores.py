"""Arrays of one file: their shapes at once, their rows in blocks.

.npy, .npz and .safetensors are streams of bytes, read forwards. Nothing is mapped into memory, so
a file larger than memory takes no more of it than one block. A .parquet table has a column
`logits` of lists, or columns logit_0, logit_1, ..., and optionally `label`, `group` and `id` (or
their plurals); further columns are left alone.

n = rows, K = classes.
"""

from __future__ import annotations

import json
import math
import re
import zipfile
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, NamedTuple, Protocol

import numpy as np

from recuse._internal.check import extra, first, rows_from
from recuse.errors import InputError, MissingExtraError
from recuse.io._checked import Form
from recuse.io._rows import FIELDS, TRAINER_IGNORES, About, classes_second

if TYPE_CHECKING:
    from numpy import ndarray as Array

FORMATS = (".safetensors", ".npz", ".parquet")
TRAINER = {"predictions": "logits", "label_ids": "labels"}  # as `trainer.predict()` names them
SAFETENSORS = {"F16": "f2", "F32": "f4", "F64": "f8", "BOOL": "?"} | {
    f"{kind}{8 * size}": f"{kind.lower()}{size}" for kind in "IU" for size in (1, 2, 4, 8)
}
COLUMNS = {"label": "labels", "group": "groups", "id": "ids"}
NOTHING = About()
ABOUT = "about"  # the member, key or file that holds `About`
NUMBERED = re.compile(r"logit_(0|[1-9]\d*)")
OBJECTS = "damaged, or it holds Python objects, which are never unpickled"
BUFFER = 1 << 16  # bytes of a column that are read at once


class Store(Protocol):
    """One file of `FORMATS`, or a folder of .npy."""

    @property
    def path(self) -> Path:
        """Path of the file, for messages."""
        ...

    @property
    def about(self) -> About:
        """What the file says beside its arrays."""
        ...

    @property
    def forms(self) -> Mapping[str, Form]:
        """Shape and dtype of each array."""
        ...

    def blocks(self, rows: int) -> Iterator[dict[str, Array]]:
        """Yield all arrays, so many rows at a time."""
        ...


class Stored(NamedTuple):
    """One array in a file."""

    form: Form
    fortran: bool  # the first axis varies fastest
    open: Callable[[], IO[bytes]]  # at the first byte of the data


@dataclass(frozen=True)
class Streams:
    """Arrays stored as plain bytes, one after the other."""

    path: Path
    arrays: Mapping[str, Stored]
    about: About = NOTHING

    @property
    def forms(self) -> Mapping[str, Form]:
        """Shape and dtype of each array."""
        return {name: Form(a.form.shape, _native(a.form.dtype)) for name, a in self.arrays.items()}

    def blocks(self, rows: int) -> Iterator[dict[str, Array]]:
        """Yield all arrays, so many rows at a time."""
        n = self.arrays["logits"].form.shape[0]
        with reading(self.path), ExitStack() as stack:
            parts = [_parts(array, rows, stack) for array in self.arrays.values()]
            for _ in range(0, n, rows):
                yield dict(zip(self.arrays, map(next, parts)))
            for rest in parts:
                next(rest, None)  # past the end of the data


@dataclass(frozen=True)
class TrainerOutput:
    """What `trainer.predict()` of Transformers gave, saved as `predictions` and `label_ids`."""

    path: Path
    streams: Streams  # with `predictions` as logits and `label_ids` as labels
    about = About(ignore_index=TRAINER_IGNORES)

    @property
    def forms(self) -> Mapping[str, Form]:
        """Shape and dtype of each array, classes second."""
        forms = dict(self.streams.forms)
        shape, dtype = forms["logits"]
        forms["logits"] = Form(tuple(shape[i] for i in classes_second(shape)), dtype)
        return forms

    def blocks(self, rows: int) -> Iterator[dict[str, Array]]:
        """Yield all arrays, so many rows at a time."""
        for block in self.streams.blocks(rows):
            z = block["logits"]
            yield block | {"logits": np.ascontiguousarray(z.transpose(classes_second(z.shape)))}


@contextmanager
def reading(path: Path) -> Generator[None]:
    """Turn what the parser of a damaged file raises into one line."""
    try:
        yield
    except (InputError, MissingExtraError):
        raise
    except Exception as error:
        detail = str(error).splitlines()[0] if str(error) else type(error).__name__
        kind = path.suffix[1:]
        raise InputError(f"{path}: cannot be read as {kind} ({detail})") from error


def open_folder(path: Path) -> Streams:
    """Open a folder of logits.npy, labels.npy, groups.npy, ids.npy, and about.json."""
    about, sidecar = About(), path / f"{ABOUT}.json"
    if sidecar.exists():
        with reading(path):
            about = About.from_json(sidecar.read_text(encoding="utf-8"))
    return Streams(path, {file.stem: _npy(file) for file in sorted(path.glob("*.npy"))}, about)


def open_npz(path: Path) -> Store:
    """Open the members of an archive, compressed or not; also of `trainer.predict()`."""
    with reading(path), zipfile.ZipFile(path) as archive:
        members = {name.removesuffix(".npy"): name for name in archive.namelist()}
        if "predictions" in members:
            return _open_trainer_output(path, archive, members)
        about = _about_of(archive, members.pop(ABOUT, None))
        unknown = sorted(set(members) - set(about.fields))
        if {"bin", "meta"} <= set(members):
            raise InputError(
                f"{path}: expected logits, got a sketch: use `recuse evaluate` or `recuse merge`, "
                "which take sketches one by one"
            )
        if unknown:
            raise InputError(f"{path}: {not_fields(unknown)}")
        arrays = {key: _numbers(path, archive, key, name) for key, name in members.items()}
        return Streams(path, arrays, about)


def _numbers(path: Path, archive: zipfile.ZipFile, key: str, name: str) -> Stored:
    try:
        return _member(archive, name)
    except ValueError as error:
        if OBJECTS not in str(error):
            raise
        raise InputError(f"{path}: {holds_objects(key)}") from error


def holds_objects(name: str) -> str:
    """Return the message on an array of Python objects, such as None or lists of other lengths."""
    objects, rest = "None", "leave it out, or save an array"
    if name == "predictions":
        objects, rest = "a tuple", "save the logits, `output.predictions[0]`"
    return (
        f"expected `{name}` of numbers or text, got Python objects, such as {objects}, which are "
        f"never unpickled: {rest}"
    )


def _about_of(archive: zipfile.ZipFile, name: str | None) -> About:
    """Return what a member of an archive, an array of one text, says."""
    if name is None:
        return About()
    with archive.open(name) as stream:
        return About.from_json(str(np.lib.format.read_array(stream, allow_pickle=False)))


def _open_trainer_output(
    path: Path, archive: zipfile.ZipFile, members: Mapping[str, str]
) -> TrainerOutput:
    members = {name: at for name, at in members.items() if name != "metrics"}
    if unknown := sorted(set(members) - {*TRAINER, "groups", "ids"}):
        raise InputError(
            f"{path}: expected arrays `predictions`, `label_ids` and optionally `groups`, `ids`, "
            f"got {', '.join(unknown)}"
        )
    arrays = {}
    for name, at in members.items():
        arrays[TRAINER.get(name, name)] = _numbers(path, archive, name, at)
    return TrainerOutput(path, Streams(path, arrays))


def open_safetensors(path: Path) -> Streams:
    """Open the tensors behind the header."""
    from safetensors import safe_open

    with reading(path):
        with safe_open(path, framework="np"):
            pass  # it refuses a header that does not fit the file
        with path.open("rb") as file:
            size = int.from_bytes(file.read(8), "little")
            header = json.loads(file.read(size))
        told = (header.pop("__metadata__", None) or {}).get(ABOUT)
        about = About() if told is None else About.from_json(told)
        arrays = {name: _tensor(path, 8 + size, x) for name, x in header.items()}
        return Streams(path, arrays, about)


def not_fields(names: list[str]) -> str:
    """Return the message on arrays that a held-out file does not have."""
    expected = "expected arrays `logits`, `labels` and optionally `groups`, `ids`"
    return f"{expected}, got {', '.join(names)}"


def _parts(array: Stored, rows: int, stack: ExitStack) -> Iterator[Array]:
    (n, *rest), dtype = array.form
    stream = stack.enter_context(array.open())
    whole = _read(stream, (*rest[::-1], n), dtype).T if array.fortran else None
    for start in range(0, n, rows):
        count = min(rows, n - start)
        if whole is not None:
            yield np.ascontiguousarray(whole[start : start + count])
        else:
            yield _read(stream, (count, *rest), dtype)
    if isinstance(stream, zipfile.ZipExtFile) and stream.read(1):
        raise ValueError(f"expected {n:,} rows, got more")


def _read(stream: IO[bytes], shape: tuple[int, ...], dtype: np.dtype) -> Array:
    out = np.empty(math.prod(shape) * dtype.itemsize, np.uint8)
    got = stream.readinto(out)  # ty: ignore[missing-attribute]
    if got != out.size:
        raise ValueError(f"expected {out.size - got:,} bytes more of data")
    return out.view(dtype).reshape(shape).astype(_native(dtype), copy=False)


def _native(dtype: np.dtype) -> np.dtype:
    return dtype if dtype.isnative else dtype.newbyteorder("=")


def _npy(path: Path) -> Stored:
    if path.stat().st_size == 0:
        raise InputError(f"{path}: expected an array, got an empty file")
    with reading(path), path.open("rb") as file:
        form, fortran = _npy_header(file)
        start = file.tell()
        expected = start + math.prod(form.shape) * form.dtype.itemsize
        if (size := path.stat().st_size) != expected:
            raise ValueError(f"expected {expected:,} bytes, got {size:,}")
    return Stored(form, fortran, lambda: _opened_at(path, start))


def _member(archive: zipfile.ZipFile, name: str) -> Stored:
    path = Path(archive.filename or "")
    with archive.open(name) as stream:
        form, fortran = _npy_header(stream)

    def opened() -> IO[bytes]:
        stream = zipfile.ZipFile(path).open(name)  # noqa: SIM115  by the caller
        _npy_header(stream)
        return stream

    return Stored(form, fortran, opened)


def _npy_header(stream: IO[bytes]) -> tuple[Form, bool]:
    major, _ = np.lib.format.read_magic(stream)
    if major == 1:
        shape, fortran, dtype = np.lib.format.read_array_header_1_0(stream)
    else:
        shape, fortran, dtype = np.lib.format.read_array_header_2_0(stream)
    if dtype.hasobject:
        raise ValueError(OBJECTS)
    return Form(shape, dtype), fortran and len(shape) > 1


def _tensor(path: Path, data: int, entry: Mapping) -> Stored:
    name = entry["dtype"]
    if name == "BF16":
        import ml_dtypes

        dtype = np.dtype(ml_dtypes.bfloat16)
    elif name in SAFETENSORS:
        dtype = np.dtype(SAFETENSORS[name]).newbyteorder("<")
    else:
        raise ValueError(f"tensors of {name} are not supported")
    start = data + entry["data_offsets"][0]
    return Stored(Form(tuple(entry["shape"]), dtype), False, lambda: _opened_at(path, start))


def _opened_at(path: Path, start: int) -> IO[bytes]:
    file = path.open("rb")
    file.seek(start)
    return file


@dataclass(frozen=True)
class Table:
    """A held-out file in .parquet."""

    path: Path
    columns: Mapping[str, tuple[str, ...]]  # of each array
    n: int
    about: About = NOTHING

    @cached_property
    def forms(self) -> Mapping[str, Form]:
        """Shape and dtype of each array, from the first row."""
        if self.n == 0:
            return {"logits": Form((0,), np.dtype(np.float32))}
        block = next(self._batches(1))
        return {name: Form((self.n, *x.shape[1:]), x.dtype) for name, x in block.items()}

    @property
    def unused(self) -> list[str]:
        """Names of the columns that are not read."""
        used = {name for names in self.columns.values() for name in names}
        return [name for name in names_of(self.path) if name not in used]

    def column(self, name: str) -> Array:
        """Read one column, such as one that is not of the file."""
        with reading(self.path), parquet_file(self.path) as file:
            return column_or_missing(file.read(columns=[name]), name, f"{self.path}: `{name}`")

    def blocks(self, rows: int) -> Iterator[dict[str, Array]]:
        """Yield all arrays, so many rows at a time."""
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
        with reading(self.path), parquet_file(self.path) as file:
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
    """Open the table of a file, by the names of its columns.

    Raises:
        InputError: No logits, or two columns for one array.
    """
    with reading(path), parquet_file(path) as file:
        names, n = file.schema_arrow.names, file.metadata.num_rows
        told = (file.schema_arrow.metadata or {}).get(ABOUT.encode())
        about = About() if told is None else About.from_json(told.decode())
    fields = {field: _columns_of(path, field, names) for field in _fields(names)}
    of = {name: (name,) for name in about.fields[len(FIELDS) :]}
    return Table(path, fields | of, n, about)


def parquet_file(path: Path) -> Any:
    """Open a file whose columns are read piece by piece.

    Raises:
        MissingExtraError: pyarrow is not installed.
    """
    parquet = extra("pyarrow.parquet", "parquet", "reading .parquet")
    return parquet.ParquetFile(path, buffer_size=BUFFER, pre_buffer=False)


def names_of(path: Path) -> list[str]:
    """Return the names of the columns."""
    with reading(path), parquet_file(path) as file:
        return file.schema_arrow.names


def column_or_missing(table: Any, name: str, where: str) -> Array:
    """Return a column as `column` does; a null becomes NaN among numbers, None among others."""
    values = table.column(name)
    if not values.null_count:
        return column(table, name, where)
    plain = values.to_pylist()
    numbers = all(isinstance(v, (int, float, bool, type(None))) for v in plain)
    return np.array(plain, float if numbers else object)


def column(batch: Any, name: str, where: str) -> Array:
    """Return a column as an array: numbers, strings, or lists of equal length as rows."""
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
