"""Files that lie elsewhere, by the URL of any file system that fsspec knows.

Imported lazily: fsspec is an extra.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from recuse._internal.check import extra
from recuse.errors import InputError


def is_url(path: str | os.PathLike) -> bool:
    """Whether a path is a URL, such as `s3://bucket/logits.npz`.

    >>> is_url("s3://bucket/a.npz"), is_url("shards/a.npz")
    (True, False)
    """
    return "://" in os.fspath(path)


@contextmanager
def fetched(path: str | os.PathLike) -> Generator[Path]:
    """A path as it is, or a copy of what a URL names, for as long as it is read.

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
    """Everything the URL names, in `folder`; the path of it."""
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
