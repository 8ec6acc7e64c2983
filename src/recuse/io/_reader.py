"""Reading held-out files: one file, or shards that are one, in memory or a part at a time.

n = rows, K = classes.
"""

from __future__ import annotations

import math
import os
import tempfile
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from glob import escape, glob, has_magic
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from recuse._internal import public
from recuse._internal.check import extra, rows_from
from recuse._internal.files import digest_of_parts
from recuse.errors import InputError
from recuse.io._checked import (
    Form,
    ShardIds,
    check_forms,
    check_kind,
    check_names,
    check_values,
    integer,
    naming,
)
from recuse.io._rows import FIELDS, HeldOut
from recuse.io._stores import (
    FORMATS,
    Store,
    not_fields,
    open_folder,
    open_npz,
    open_parquet,
    open_safetensors,
)

if TYPE_CHECKING:
    from numpy import ndarray as Array

OPENERS = {".safetensors": open_safetensors, ".npz": open_npz, ".parquet": open_parquet}
CHUNK = 1 << 23  # bytes of logits in one part


@dataclass(frozen=True, eq=False)
class LogitsReader:
    """A held-out file on disk: its shape, its rows as `chunks`, everything by `read`."""

    name: str  # for messages
    stores: tuple[Store, ...]  # the shards, in order
    kind: str
    ignore_index: int | None
    shape: tuple[int, ...]  # (n, K, ...) of the logits as they are handed out
    groups: Array | None = None  # (n,) in place of those of the files

    def __len__(self) -> int:
        return self.n

    @property
    def n(self) -> int:
        """Number of rows of all shards."""
        return self.shape[0]

    @property
    def classes(self) -> int:
        """K; 2 for a binary head, and for each label of a multi-label file."""
        return self.shape[1]

    @property
    def fields(self) -> tuple[str, ...]:
        """Names of the arrays that are there: logits, labels, groups, ids."""
        found = {*self.stores[0].forms, *(() if self.groups is None else ("groups",))}
        return tuple(f for f in FIELDS if f in found)

    @property
    def nbytes(self) -> int:
        """Bytes of the stored logits."""
        forms = [store.forms["logits"] for store in self.stores]
        return sum(math.prod(f.shape) * f.dtype.itemsize for f in forms)

    def chunks(self, rows: int | None = None) -> Iterator[HeldOut]:
        """Yield checked parts in order; each belongs to one shard and has its name.

        Args:
            rows: Rows of a part; by default 8 MB of logits.

        Raises:
            InputError: One line that names the file, the row, what was expected and what came;
                or shards that share an id.
        """
        done, ids = 0, ShardIds(self.name)
        for store in self.stores:
            start, step = 0, rows or _rows_of(store.forms["logits"])
            for block in store.blocks(step):
                with naming(str(store.path)), rows_from(start):
                    chunk = check_values(block, self.kind, str(store.path), self.ignore_index)
                if len(self.stores) > 1:
                    ids.add(chunk)
                if self.groups is not None:
                    chunk = replace(chunk, groups=self.groups[done : done + len(chunk)])
                yield chunk
                start, done = start + len(chunk), done + len(chunk)

    def grouped(self, groups: Array) -> LogitsReader:
        """Return the same rows with groups (n,) from elsewhere."""
        return replace(self, groups=groups)

    def by_shard(self, file: HeldOut) -> list[HeldOut]:
        """Cut what `read` returned into the rows of each shard, named by it."""
        ends = np.cumsum([store.forms["logits"].shape[0] for store in self.stores])
        spans = zip(self.stores, [0, *ends], ends)
        return [replace(file.rows(slice(a, b)), name=str(store.path)) for store, a, b in spans]

    def read(self) -> HeldOut:
        """Read all rows into memory."""
        logits = np.empty(0)
        rest: dict[str, list[Array]] = {f: [] for f in self.fields if f != "logits"}
        start = 0
        for chunk in self.chunks():
            if start == 0:
                alone = len(chunk) == self.n
                logits = chunk.logits if alone else np.empty(self.shape, chunk.logits.dtype)
            if logits is not chunk.logits:
                logits[start : start + len(chunk)] = chunk.logits
            for field, found in rest.items():
                found.append(getattr(chunk, field))
            start += len(chunk)
        arrays: dict[str, Any] = {f: np.concatenate(found) for f, found in rest.items()}
        return HeldOut(logits, **arrays, name=self.name, ignore_index=self.ignore_index)

    @cached_property
    def digest(self) -> str:
        """Digest of `read()`, computed in the memory of one chunk and the labels."""
        labels: list[Any] = []

        def logits() -> Iterator[Array]:
            for chunk in self.chunks():
                labels.append(chunk.labels)
                yield chunk.logits

        stored = self.stores[0].forms
        dtype = np.dtype(np.float64) if self.kind == "probs" else stored["logits"].dtype
        arrays = [(dtype, self.shape, logits())]
        if "labels" not in stored:
            return digest_of_parts(*arrays)
        shape = self.shape[:1] + self.shape[2:]
        return digest_of_parts(*arrays, (integer(stored["labels"].dtype), shape, labels))


def open_logits(
    path: str | os.PathLike, *, kind: str = "logits", ignore_index: int | None = None
) -> LogitsReader:
    """Open a held-out file of any size; shapes are checked now, values as they are read.

    Args:
        path: A .safetensors, .npz or .parquet file, a folder of logits.npy, labels.npy, ..., or
            shards: a folder or a glob of these, in the order of their names.
        kind: Input kind, never guessed: "logits"; "binary", a one-column head; "probs",
            probabilities; or "multilabel", (n, L) with labels (n, L) of 0 and 1: each label
            is a binary decision, and the logits are handed out as (n, 2, L).
        ignore_index: Label of predictions to ignore (void pixels); by default -100 in what
            `trainer.predict()` of Transformers gave, and none in other files.

    Raises:
        InputError: One line that names the file, what was expected and what came.
        MissingExtraError: .parquet without pyarrow.

    >>> import tempfile
    >>> from recuse import write_logits
    >>> path = f"{tempfile.mkdtemp()}/logits.npz"
    >>> _ = write_logits(path, np.eye(5, 3), np.arange(5) % 3)
    >>> [len(chunk) for chunk in open_logits(path).chunks(rows=2)]
    [2, 2, 1]
    """
    check_kind(kind)
    stores = tuple(_open(file) for file in shards(path))
    shapes = [_check_store(store, kind) for store in stores]
    for store, shape in zip(stores, shapes):
        _check_alike(store, shape, stores[0], shapes[0])
    if ignore_index is None:
        ignore_index = getattr(stores[0], "ignored", None)
    whole = (sum(shape[0] for shape in shapes), *shapes[0][1:])
    return LogitsReader(str(path), stores, kind, ignore_index, whole)


@public
def read(
    path: str | os.PathLike, *, kind: str = "logits", ignore_index: int | None = None
) -> HeldOut:
    """Read a held-out file and check all of it.

    Args:
        path: As in `open_logits`, which reads in parts.
        kind: Input kind, never guessed: "logits"; "binary", a one-column head; or "probs",
            probabilities.
        ignore_index: Label of predictions to ignore (void pixels).

    Raises:
        InputError: One line that names the file, the row, what was expected and what came.
        MissingExtraError: .parquet without pyarrow.
    """
    return open_logits(path, kind=kind, ignore_index=ignore_index).read()


def shards(path: str | os.PathLike) -> list[Path]:
    """Return the files that a path stands for, in the order of their names.

    Raises:
        InputError: There are none.
    """
    path = Path(path)
    if path.is_dir():
        return [path] if any(path.glob("*.npy")) else _shards_in(path)
    if not path.exists() and has_magic(str(path)):
        found = sorted(Path(name) for name in glob(str(path)))
        if not found:
            raise InputError(f"{path}: no such files")
        return found
    return [path]


def _shards_in(folder: Path) -> list[Path]:
    pattern = str(Path(escape(str(folder))) / "*")  # without hidden files
    files = sorted(Path(name) for name in glob(pattern) if Path(name).suffix in FORMATS)
    if not files:
        raise InputError(
            f"{folder}: expected a folder of logits.npy or of shards ending in "
            f"{', '.join(FORMATS)}, found neither"
        )
    return files


def _open(path: Path) -> Store:
    if path.is_dir():
        if not any(path.glob("*.npy")):
            raise InputError(f"{path}: expected a file or a folder of logits.npy, got a folder")
        return open_folder(path)
    if path.suffix not in OPENERS:
        hint = "; columns logit_0, logit_1, ... are read from .parquet" * (path.suffix == ".csv")
        raise InputError(
            f"{path}: expected logits in a file ending in {' or '.join(FORMATS)}, or a folder of "
            f".npy{hint}"
        )
    if not path.is_file():
        raise InputError(f"{path}: no such file")
    if path.stat().st_size == 0:
        raise InputError(f"{path}: expected a logits file, got an empty file")
    return OPENERS[path.suffix](path)


def _check_store(store: Store, kind: str) -> tuple[int, ...]:
    """Return the shape (n, K, ...) of a shard; refuse arrays that do not fit it."""
    forms = store.forms
    if "logits" not in forms:
        found = ", ".join(sorted(forms)) or "nothing"
        raise InputError(f"{store.path}: expected an array `logits`, got {found}")
    if unknown := sorted(set(forms) - set(FIELDS)):
        raise InputError(f"{store.path}: {not_fields(unknown)}")
    with naming(str(store.path)):
        return check_forms(forms, kind)


def _check_alike(
    store: Store, shape: tuple[int, ...], other: Store, expected: tuple[int, ...]
) -> None:
    """Refuse shards that differ in arrays, dtypes, or shapes apart from the rows."""
    (forms, want), where = (store.forms, other.forms), f"{store.path}: expected shards alike"
    if set(forms) != set(want):
        odd = sorted(set(forms) ^ set(want))[0]
        raise InputError(f"{where}, but only one of it and {other.path} has `{odd}`")
    if shape[1:] != expected[1:]:
        raise InputError(f"{where}, got logits {shape} and {expected} in {other.path}")
    for field in FIELDS:
        if field in forms and not _joins(forms[field].dtype, want[field].dtype):
            dtypes = f"{forms[field].dtype} and {want[field].dtype} in {other.path}"
            raise InputError(f"{where}, got `{field}` of {dtypes}")


def _joins(a: np.dtype, b: np.dtype) -> bool:
    return a == b or (a.kind in "US" and b.kind in "US")


def _rows_of(form: Form) -> int:
    """Return the number of rows of one chunk."""
    return max(1, CHUNK // (math.prod(form.shape[1:]) * form.dtype.itemsize))


def read_groups(path: Path, n: int) -> Array:
    """Read the groups (n,) of a file's rows from .npy, or from a text file of one line a row.

    Raises:
        InputError: The file cannot be read, or holds something else than n names.
    """
    try:
        if path.suffix == ".npy":
            values = np.asarray(np.load(path, allow_pickle=False))
        else:
            values = np.array(path.read_text(encoding="utf-8").rstrip().splitlines())
    except (OSError, ValueError, EOFError) as error:
        raise InputError(f"{path}: cannot be read as groups ({error})") from error
    return check_names(values, n, f"groups in {path}")


def read_class_names(path: Path, count: int) -> Array:
    """Read the names of all classes from a text file of one line a class.

    Raises:
        InputError: The file is not in UTF-8, or has another number of lines.
    """
    try:
        names = path.read_text(encoding="utf-8").splitlines()
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: expected class names in UTF-8") from error
    if len(names) != count:
        raise InputError(f"{path}: expected {count} class names, one a line, got {len(names)}")
    return np.array(names)


def is_url(path: str | os.PathLike) -> bool:
    """Return whether a path is a URL, such as `s3://bucket/logits.npz`.

    >>> is_url("s3://bucket/a.npz"), is_url("shards/a.npz")
    (True, False)
    """
    return "://" in os.fspath(path)


@contextmanager
def fetched(path: str | os.PathLike) -> Generator[Path]:
    """Give a path as it is, or a temporary copy of what a URL names.

    A folder, or a glob of shards, becomes a folder.

    Raises:
        InputError: The file system is unknown, or there is nothing of this name.
        MissingExtraError: fsspec is not installed.
    """
    if not is_url(path):
        yield Path(path)
        return
    with tempfile.TemporaryDirectory(prefix="recuse-") as folder:
        local = _copy(os.fspath(path), Path(folder))
        try:
            yield local
        except InputError as error:  # about the copy, whose name nobody knows
            raise InputError(str(error).replace(str(local), os.fspath(path))) from error


def _copy(url: str, folder: Path) -> Path:
    """Copy everything that a URL names into `folder`, and return its path."""
    fsspec = extra("fsspec", "parquet", f"reading {url}")
    try:
        files, name = fsspec.core.url_to_fs(url)
        several = "*" in name or files.isdir(name)
        local = folder / ("shards" if "*" in name else Path(name.rstrip("/")).name)
        if several:
            local.mkdir()
        parts = sorted(files.glob(name if "*" in name else f"{name.rstrip('/')}/*"))
        for part in parts if several else [name]:
            files.get(part, str(local / Path(part).name if several else local))
    except (OSError, ValueError, ImportError) as error:
        detail = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise InputError(f"{url}: cannot be fetched ({detail})") from error
    if several and not parts:
        raise InputError(f"{url}: no such file")
    return local
