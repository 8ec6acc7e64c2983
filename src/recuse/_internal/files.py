"""Files of recuse: atomic writing, JSON of known fields, digests and checksums, CSV tables."""

from __future__ import annotations

import csv
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Generator, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from recuse.errors import InputError

HASH_FACTOR = np.uint64(0x9E3779B97F4A7C15)  # odd: multiplication loses nothing


@contextmanager
def atomic(path: str | os.PathLike) -> Generator[Path]:
    """Give a temporary path that replaces `path` on success and vanishes on failure."""
    path = Path(path)
    if path.is_dir():
        raise InputError(f"expected a file to write, got a folder: {path}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(
            prefix=f".{path.name}.", suffix=path.suffix, dir=path.parent
        )
    except OSError as error:
        raise _unwritable(path, error) from error
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        umask = os.umask(0)
        os.umask(umask)
        _reach_disk(temporary)
        temporary.chmod(0o666 & ~umask)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def _unwritable(path: Path, error: OSError) -> InputError:
    """Explain why nothing can be written: most often, a file stands in place of a folder."""
    file = next((p for p in path.parents if p.exists() and not p.is_dir()), None)
    reason = error.strerror if file is None else f"{file} is a file, expected a folder"
    return InputError(f"{path}: cannot be written ({reason})")


def _reach_disk(path: Path) -> None:
    """Write the content to disk before the name: a power loss then leaves the old file."""
    handle = os.open(path, os.O_RDWR | getattr(os, "O_BINARY", 0))
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextmanager
def atomic_folder(path: str | os.PathLike) -> Generator[Path]:
    """Give a temporary folder that replaces the folder `path` on success."""
    path = Path(path)
    if path.exists() and not path.is_dir():
        raise InputError(f"expected a folder to write, got a file: {path}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        work = Path(tempfile.mkdtemp(prefix=f".{path.name}.", dir=path.parent))
    except OSError as error:
        raise _unwritable(path, error) from error
    new, old = work / "new", work / "old"
    try:
        new.mkdir()  # with the permissions of a folder that anyone makes
        yield new
        if path.exists():
            path.rename(old)
        new.rename(path)
    finally:
        if old.exists() and not path.exists():
            old.rename(path)
        shutil.rmtree(work, ignore_errors=True)


def write_text(path: str | os.PathLike, text: str) -> None:
    """Write a text file whole or not at all."""
    with atomic(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def to_json(data: Any, *, indent: int | None = 2) -> str:
    """Return JSON without NaN or Infinity: an undefined number is null."""
    return json.dumps(plain(data), indent=indent, allow_nan=False)


def digest(*arrays: np.ndarray) -> str:
    """Return a digest of the content, dtype and shape of arrays."""
    return digest_of_parts(*((a.dtype, a.shape, [a]) for a in arrays))


def digest_of_parts(*arrays: tuple[np.dtype, tuple[int, ...], Iterable[np.ndarray]]) -> str:
    """Return the `digest` of arrays in parts: dtype, shape of the whole, parts in order."""
    state = hashlib.sha256()
    for dtype, shape, parts in arrays:
        state.update(f"{dtype.name}{shape}".encode())
        for part in parts:
            state.update(np.ascontiguousarray(part).view(np.uint8).data)
    return f"sha256:{state.hexdigest()}"


def hashes(names: np.ndarray) -> np.ndarray:
    """Return a hash of 64 bits of each name: an integer, or a string of any width.

    >>> bool((hashes(np.array(["a", "b"])) == hashes(np.array(["a", "b", "long"]))[:2]).all())
    True
    """
    if names.dtype.kind == "U":
        width = names.dtype.itemsize // 4
        native = np.ascontiguousarray(names).astype(f"=U{width}", copy=False)
        letters = native.view(np.uint32).reshape(len(names), width).T
    else:
        letters = names.astype(np.int64, copy=False)[None].view(np.uint64)
    out = np.zeros(len(names), np.uint64)
    for column in letters:
        mixed = (out ^ column.astype(np.uint64)) * HASH_FACTOR
        mixed ^= mixed >> np.uint64(29)
        out = np.where(column == 0, out, mixed) if names.dtype.kind == "U" else mixed
    out = (out ^ (out >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    out = (out ^ (out >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return out ^ (out >> np.uint64(31))


def plain(x: Any) -> Any:
    """Return data as JSON has it: lists, and null for NaN and Infinity."""
    if isinstance(x, dict):
        return {str(k): plain(v) for k, v in x.items()}
    if isinstance(x, (list, tuple)):
        return [plain(v) for v in x]
    if isinstance(x, np.ndarray):
        return plain(x.tolist())
    if isinstance(x, (float, np.floating)):
        return float(x) if np.isfinite(x) else None
    return x.item() if isinstance(x, np.generic) else x


def strict(data: Any, types: Mapping[str, type], what: str) -> None:
    """Refuse data unless it has exactly these fields, of these types."""
    if not isinstance(data, dict):
        raise InputError(f"expected {what} to be an object, got {type(data).__name__}")
    odd = sorted(set(data) ^ set(types))
    if odd:
        raise InputError(f"{'unknown' if odd[0] in data else 'missing'} field {odd[0]!r} of {what}")
    for key, kind in types.items():
        given = type(data[key])
        if given is not kind and (given, kind) != (int, float):
            raise InputError(f"expected `{key}` of {what}: {kind.__name__}, got {given.__name__}")


def checksum(body: Mapping[str, Any]) -> str:
    """Return a digest of plain data, whatever the order of its fields."""
    canonical = json.dumps(json.loads(to_json(body)), sort_keys=True)
    return digest(np.frombuffer(canonical.encode(), np.uint8))


def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return the object of these fields, for `json.loads`; refuse a field that stands twice."""
    fields = dict(pairs)
    if len(fields) < len(pairs):
        raise ValueError("a field stands twice")
    return fields


@contextmanager
def csv_lines(path: Path, separator: str | None = None) -> Generator[Any]:
    """Open the lines of a .csv, which know their number as `line_num`.

    Without a separator, it is the commonest of comma, semicolon and tab in the header.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            found = separator or max(",;\t", key=file.readline().count)
            file.seek(0)
            yield csv.reader(file, strict=True, delimiter=found)
    except (csv.Error, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read as csv in UTF-8 ({error})") from error


def csv_rows(path: Path, lines: Any, width: int) -> Iterator[list[str]]:
    """Yield rows of the right number of cells; blank lines are skipped."""
    for cells in lines:
        if len(cells) == width:
            yield cells
        elif cells:
            raise InputError(
                f"{path}: line {lines.line_num}: expected {width} cells, got {len(cells)}"
            )
