"""Reading held-out files: one file, or shards that are one, in memory or a part at a time.

n = rows, K = classes.
"""

from __future__ import annotations

import math
import os
import tempfile
import warnings
import zipfile
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property
from glob import escape, glob, has_magic
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from recuse._internal import public
from recuse._internal.check import extra, rows_from
from recuse._internal.files import digest_of_parts
from recuse.errors import DataWarning, InputError
from recuse.io._checked import (
    Form,
    ShardIds,
    check_forms,
    check_kind,
    check_names,
    check_values,
    found_good,
    integer,
    naming,
    read_only,
    warned,
    warned_of_labels,
)
from recuse.io._columns import TEXTS
from recuse.io._rows import CONFIDENCES, FIELDS, LOSSES, About, HeldOut
from recuse.io._stores import (
    FORMATS,
    NUMBERED,
    Store,
    Table,
    names_of,
    not_fields,
    open_folder,
    open_npz,
    open_parquet,
    open_safetensors,
    reading,
)
from recuse.io._tables import (
    Columns,
    Suspect,
    Told,
    look_like_groups,
    read_table,
    suspects,
)
from recuse.present.reading import suspect_lines

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
    class_names: tuple[str, ...] | None = None
    subgroups: tuple[str, ...] = ()  # their names
    groups: Array | None = None  # (n,) in place of those of the files
    ungrouped: tuple[str, ...] = ()  # columns that look like groups and are not used
    model: str | None = None  # its name
    columns: Mapping[str, tuple[str, ...]] = field(default_factory=dict)  # those of its table

    def __repr__(self) -> str:
        return f"LogitsReader({self.name!r}, {self.kind}, shape {self.shape})"

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
    def about(self) -> About:
        """What is known beside the arrays."""
        names, of = self.class_names, self.subgroups
        return About(
            self.kind, names, of, self.ignore_index, self.ungrouped, self.model, self.columns
        )

    @property
    def named(self) -> bool:
        """Whether the file itself names its classes; not only the reader."""
        first = self.stores[0]
        if self.class_names is None or not isinstance(first, TableStore):
            return self.class_names is not None
        columns = first.file.columns["outputs"]
        return all(column.endswith(name) for column, name in zip(columns, self.class_names))

    @property
    def known(self) -> Array | None:
        """Which rows (n,) have a label, where others of a table have none yet."""
        found = [s.told.known if isinstance(s, TableStore) else None for s in self.stores]
        if all(known is None for known in found):
            return None
        sizes = [store.forms["logits"].shape[0] for store in self.stores]
        return np.concatenate([np.ones(n, bool) if k is None else k for k, n in zip(found, sizes)])

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
                    chunk = check_values(block, self.about, str(store.path))
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
        rest |= {"probs": []} if self.kind == "probs" else {}
        of: dict[str, list[Array]] = {name: [] for name in self.subgroups}
        start = 0
        for chunk in self.chunks():
            if start == 0:
                alone = len(chunk) == self.n
                logits = chunk.logits if alone else np.empty(self.shape, chunk.logits.dtype)
            if logits is not chunk.logits:
                logits[start : start + len(chunk)] = chunk.logits
            for key, found in rest.items():
                found.append(getattr(chunk, key))
            for name, found in of.items():
                found.append(chunk.subgroups[name])
            start += len(chunk)
        arrays: dict[str, Any] = {f: np.concatenate(found) for f, found in rest.items()}
        subgroups = {name: np.concatenate(found) for name, found in of.items()}
        file = HeldOut(
            logits,
            **arrays,
            name=self.name,
            ignore_index=self.ignore_index,
            kind=self.kind,
            class_names=self.class_names,
            subgroups=subgroups,
            ungrouped=self.ungrouped,
            model=self.model,
            columns=self.columns,
        )
        return found_good(read_only(file))

    @cached_property
    def digest(self) -> str:
        """Digest of `read()`, computed in the memory of one chunk and the labels."""
        labels: list[Any] = []

        def logits() -> Iterator[Array]:
            for chunk in self.chunks():
                labels.append(chunk.labels)
                yield chunk.logits

        stored = self.stores[0].forms
        dtype = stored["logits"].dtype
        dtype = np.dtype(np.float64) if self.kind == "probs" or dtype.kind in "iu" else dtype
        arrays = [(dtype, self.shape, logits())]
        if "labels" not in stored:
            return digest_of_parts(*arrays)
        shape = self.shape[:1] + self.shape[2:]
        return digest_of_parts(
            *arrays, (integer(stored["labels"].dtype, self.kind, self.classes), shape, labels)
        )


def open_logits(
    path: str | os.PathLike,
    *,
    kind: str | None = None,
    ignore_index: int | None = None,
    classes: Sequence[str] | None = None,
    subgroups: Sequence[str] = (),
    pending: bool = False,
) -> LogitsReader:
    """Open a held-out file of any size; shapes are checked now, values as they are read.

    Args:
        path: A .safetensors, .npz or .parquet file, a folder of logits.npy, labels.npy, ..., or
            shards: a folder or a glob of these, in the order of their names.
        kind: Input kind, where the file does not say: "logits" (default); "binary", a
            one-column head; "probs", probabilities, or one column of that of class 1;
            "confidences", (n, C) with labels of 1 where the answer is right, else 0; or
            "multilabel", (n, L) with labels (n, L) of 0 and 1: each label is a binary decision,
            and the logits are handed out as (n, 2, L).
        ignore_index: Label of predictions to ignore (void pixels), where the file does not say;
            by default -100 in what `trainer.predict()` of Transformers gave.
        classes: Names of the classes, to find and to order the columns of a table by.
        subgroups: Columns of a table to keep; a held-out file keeps its own.
        pending: Whether rows of a table may have no label yet, as `known` of the reader says.

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
    kind = None if kind is None else check_kind(kind)
    asked = Columns(
        kind=kind,
        ignore_index=ignore_index,
        classes=classes,
        subgroups=tuple(subgroups),
        pending=pending,
    )
    stores = tuple(_open(file, asked) for file in shards(path))
    about = _about(stores[0], kind, ignore_index)
    shapes = [_check_store(store, about) for store in stores]
    for store, shape in zip(stores, shapes):
        _check_alike(store, shape, stores[0], shapes[0])
    whole = (sum(shape[0] for shape in shapes), *shapes[0][1:])
    kind, names, subgroups, ignore_index, _, model, columns = about
    doubts = dict.fromkeys(name for store in stores for name in _ungrouped(store))
    return LogitsReader(
        str(path),
        stores,
        kind or "logits",
        ignore_index,
        whole,
        names,
        subgroups,
        ungrouped=tuple(doubts),
        model=model,
        columns=columns if all(s.about.columns == columns for s in stores) else {},
    )


def _about(store: Store, kind: str | None, ignore_index: int | None) -> About:
    """Return what a file says and what was declared; refuse a contradiction."""
    told = store.about
    kind = LOSSES if (told.kind, kind) == (LOSSES, CONFIDENCES) else kind  # beside confidences
    if told.kind is not None and kind not in (None, told.kind):
        raise InputError(f"{store.path}: expected {told.kind}, as the file says, got {kind}")
    if told.ignore_index is not None and ignore_index not in (None, told.ignore_index):
        raise InputError(
            f"{store.path}: expected the ignored label {told.ignore_index}, as the file says, "
            f"got {ignore_index}"
        )
    ignored = told.ignore_index if ignore_index is None else ignore_index
    return told._replace(kind=kind or told.kind, ignore_index=ignored)


@public
def read(
    path: str | os.PathLike,
    *,
    kind: str | None = None,
    ignore_index: int | None = None,
    labels: str | None = None,
    outputs: str | Sequence[str] | None = None,
    classes: Sequence[Any] | None = None,
    ids: str | None = None,
    groups: str | None = None,
    subgroups: str | Sequence[str] = (),
) -> HeldOut:
    """Read a held-out file, or a table of outputs, and check all of it.

    Args:
        path: As in `open_logits`, which reads in parts; or a table in .csv, .tsv, .jsonl,
            .parquet, .npz or .npy.
        kind: Input kind, where the file does not say, as in `open_logits`.
        ignore_index: Label of predictions to ignore (void pixels), where the file does not say.
        labels: Column of a table, as in `from_frame`, like all that follow.
        outputs: Columns of a table.
        classes: Names of the classes of a table.
        ids: Column of a table.
        groups: Column of a table.
        subgroups: Columns of a table.

    Raises:
        InputError: One line that names the file, the row, what was expected and what came.
        MissingExtraError: .parquet without pyarrow.
    """
    by = (subgroups,) if isinstance(subgroups, str) else tuple(subgroups)
    if by or any(x is not None for x in (labels, outputs, classes, ids, groups)):
        names = None if classes is None else [*map(str, classes)]
        columns = Columns(labels, outputs, kind, names, ids, groups, by, ignore_index)
        file, told = read_table(path, columns)
        _warn(suspect_lines(file.name, told.suspects))
        return warned(file)
    reader = open_logits(path, kind=kind, ignore_index=ignore_index)
    tables = False
    for store in reader.stores:
        if isinstance(store, TableStore):
            tables = True
            warned(store.file)
        _warn(lines_of_suspects(store))
    return reader.read() if tables else warned_of_labels(reader.read())


def lines_of_suspects(store: Store) -> Iterator[str]:
    """Yield a line for each column that is not read and looks like ids or groups."""
    if isinstance(store, TableStore):
        yield from suspect_lines(str(store.path), store.told.suspects)
    elif isinstance(store, Table):
        yield from suspect_lines(str(store.path), _suspects(store))


def _suspects(store: Table) -> tuple[Suspect, ...]:
    return suspects(store.unused, store.column, "ids" in store.columns)


def _ungrouped(store: Store) -> tuple[str, ...]:
    """Return the columns of a file that look like groups, where it has no groups."""
    if "groups" in store.forms:
        return ()
    unused = look_like_groups(_suspects(store)) if isinstance(store, Table) else ()
    return (*store.about.ungrouped, *unused)


def _warn(lines: Iterable[str]) -> None:
    for line in lines:
        warnings.warn(line, DataWarning, stacklevel=3)


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


@dataclass(frozen=True, eq=False)
class TableStore:
    """A table of outputs, read whole."""

    path: Path
    file: HeldOut
    told: Told

    @property
    def about(self) -> About:
        """What the table says beside its arrays."""
        return self.file.about

    @cached_property
    def arrays(self) -> dict[str, Array]:
        """Arrays as a held-out file would hold them."""
        file = self.file
        arrays = {k: getattr(file, k) for k in FIELDS[1:] if getattr(file, k) is not None}
        of = dict(zip(file.about.fields[len(FIELDS) :], file.subgroups.values()))
        return {"logits": file.outputs, **arrays, **of}

    @property
    def forms(self) -> Mapping[str, Form]:
        """Shape and dtype of each array."""
        return {name: Form(x.shape, x.dtype) for name, x in self.arrays.items()}

    def blocks(self, rows: int) -> Iterator[dict[str, Array]]:
        """Yield all arrays, so many rows at a time."""
        for start in range(0, len(self.file), rows):
            yield {name: x[start : start + rows] for name, x in self.arrays.items()}


def _is_table(path: Path) -> bool:
    """Return whether a file is a table of others, not a held-out file of ours."""
    if path.suffix in TEXTS:
        return True
    if path.suffix == ".npy":
        return path.is_file()
    if path.suffix not in (".npz", ".parquet") or not path.is_file() or not path.stat().st_size:
        return False
    with reading(path):
        if path.suffix == ".parquet":
            names = {*names_of(path)}
            return not ({"logits"} & names or any(map(NUMBERED.fullmatch, names)))
        with zipfile.ZipFile(path) as archive:
            members = {name.removesuffix(".npy") for name in archive.namelist()}
    ours = {"logits", "predictions"} & members or members <= {*FIELDS}
    return not (ours or {"bin", "meta"} <= members)


def _open(path: Path, asked: Columns) -> Store:
    if _is_table(path):
        return TableStore(path, *read_table(path, asked))
    if path.is_dir():
        if not any(path.glob("*.npy")):
            raise InputError(f"{path}: expected a file or a folder of logits.npy, got a folder")
        return open_folder(path)
    if path.suffix not in OPENERS:
        raise InputError(
            f"{path}: expected outputs in a file ending in {', '.join((*FORMATS, *TEXTS))} or "
            ".npy, or a folder of .npy"
        )
    if not path.is_file():
        raise InputError(f"{path}: no such file")
    if path.stat().st_size == 0:
        raise InputError(f"{path}: expected a held-out file, got an empty one")
    return OPENERS[path.suffix](path)


def _check_store(store: Store, about: About) -> tuple[int, ...]:
    """Return the shape (n, K, ...) of a shard; refuse arrays that do not fit it."""
    forms = store.forms
    if "logits" not in forms:
        found = ", ".join(sorted(forms)) or "nothing"
        raise InputError(f"{store.path}: expected an array `logits`, got {found}")
    if unknown := sorted(set(forms) - set(store.about.fields)):
        raise InputError(f"{store.path}: {not_fields(unknown)}")
    with naming(str(store.path)):
        return check_forms(forms, about)


def _check_alike(
    store: Store, shape: tuple[int, ...], other: Store, expected: tuple[int, ...]
) -> None:
    """Refuse shards that differ in arrays, dtypes, or shapes apart from the rows."""
    (forms, want), where = (store.forms, other.forms), f"{store.path}: expected shards alike"
    for told, wanted, name in zip(store.about, other.about, About._fields):
        if told != wanted and name not in ("ungrouped", "columns"):
            raise InputError(f"{where}, got {name} {told} and {wanted} in {other.path}")
    if set(forms) != set(want):
        odd = sorted(set(forms) ^ set(want))[0]
        raise InputError(f"{where}, but only one of it and {other.path} has `{odd}`")
    if shape[1:] != expected[1:]:
        raise InputError(f"{where}, got logits {shape} and {expected} in {other.path}")
    for key in FIELDS:
        if key in forms and not _joins(forms[key].dtype, want[key].dtype):
            dtypes = f"{forms[key].dtype} and {want[key].dtype} in {other.path}"
            raise InputError(f"{where}, got `{key}` of {dtypes}")


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
