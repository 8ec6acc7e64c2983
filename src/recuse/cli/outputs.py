"""Where a command may write: checked before any work is done."""

from __future__ import annotations

from fnmatch import fnmatch
from pathlib import Path

from recuse.errors import InputError
from recuse.io import FORMATS, shards

ENDINGS = (*FORMATS, ".csv", ".json", ".html")  # of files


def check_ending(path: Path, *endings: str) -> Path:
    """The path of an output whose name fits what is written, before any work is done."""
    if path.suffix.lower() not in endings:
        raise InputError(f"{path}: expected a name ending in {' or '.join(endings)}")
    return path


def check_folder(path: Path) -> Path:
    """The path of a folder to write into, before any work is done."""
    if path.suffix in ENDINGS and not path.is_dir():
        raise InputError(f"{path}: expected a folder, got the name of a {path.suffix} file")
    if path.exists() and not path.is_dir():
        raise InputError(f"{path}: expected a folder, got a file")
    return path


def refuse_overwrite(path: Path, force: bool, *inputs: Path) -> None:
    """An error where `path` exists and --force was not given, or belongs to the inputs."""
    for given in inputs:
        if any(path.exists() and p.exists() and path.samefile(p) for p in _files_of(given)):
            raise InputError(f"{path} is an input: expected another place for the output")
        within = given.is_dir() and path.parent.exists() and path.parent.samefile(given)
        if within or fnmatch(str(path.absolute()), str(given.absolute())):
            raise InputError(f"{path} would be part of the input {given}: expected another place")
    if path.exists() and not force:
        raise InputError(f"{path} exists: give --force to overwrite it")


def _files_of(path: Path) -> list[Path]:
    """An input and the files that it stands for."""
    try:
        return [path, *shards(path)]
    except InputError:
        return [path]
