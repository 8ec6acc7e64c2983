"""Files that commands read and write: refusals before any work is done, warnings while reading."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import replace
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from recuse.errors import InputError
from recuse.evaluation._mixture import without_labels
from recuse.io import HeldOut, LogitsReader, open_logits
from recuse.io._checked import form_of_probs, stated_of_one_class
from recuse.io._impossible import ImpossibleLabels, impossible_in
from recuse.io._overlap import ShardLabels
from recuse.io._reader import TableStore, lines_of_suspects, read_groups, shards
from recuse.io._rows import no_labels
from recuse.io._stores import FORMATS
from recuse.io._write import joined, read_subgroups
from recuse.present import terminal
from recuse.present.numbers import listed
from recuse.present.reading import reading_lines
from recuse.scores import are_log_probs

ENDINGS = (*FORMATS, ".csv", ".json", ".html")  # of files
DECLARE = "if these are probabilities, declare them by --probs"
FIT_AGAIN = (
    "if these are probabilities, the rejector was not fitted to such and its guarantee does not "
    "hold: give logits, or fit again with --probs"
)
SHIFTS = ("logits", "log-probabilities (logsumexp 0)")


def check_ending(path: Path, *endings: str) -> Path:
    """Return the path of an output whose name ends as what is written."""
    if path.suffix.lower() not in endings:
        raise InputError(f"{path}: expected a name ending in {' or '.join(endings)}")
    return path


def check_folder(path: Path) -> Path:
    """Return the path of a folder to write into."""
    if path.suffix in ENDINGS and not path.is_dir():
        raise InputError(f"{path}: expected a folder, got the name of a {path.suffix} file")
    if path.exists() and not path.is_dir():
        raise InputError(f"{path}: expected a folder, got a file")
    return path


def refuse_overwrite(path: Path, force: bool, *inputs: Path) -> None:
    """Refuse an output that exists, unless --force was given, or that belongs to the inputs."""
    for given in inputs:
        if any(path.exists() and p.exists() and path.samefile(p) for p in _files_of(given)):
            raise InputError(f"{path} is an input: expected another place for the output")
        within = given.is_dir() and path.parent.exists() and path.parent.samefile(given)
        if within or fnmatch(str(path.absolute()), str(given.absolute())):
            raise InputError(f"{path} would be part of the input {given}: expected another place")
    if path.exists() and not force:
        raise InputError(f"{path} exists: give --force to overwrite it")


def _files_of(path: Path) -> list[Path]:
    """Return an input and the files that it stands for."""
    try:
        return [path, *shards(path)]
    except InputError:
        return [path]


def by_columns(by: str | None) -> tuple[str, ...]:
    """Return the column of a table that --by names, if that is no .csv of id and subgroup."""
    if by is None or by == "class" or Path(by).suffix == ".csv" or Path(by).exists():
        return ()
    return (by,)


def subgroups_of(by: str, file: HeldOut, or_else: str = "") -> Any:
    """Return the subgroup of each row: a column that the file keeps, or a .csv joined by id."""
    if by in file.subgroups:
        return file.subgroups[by]
    kept = f" of {file.name} ({listed(file.subgroups)})" if file.subgroups else ""
    expected = f"{or_else}a column of subgroups{kept} or a .csv of id and subgroup"
    return joined(read_subgroups(Path(by), expected=expected), file, by)


def opened(path: Path, *, quiet: bool = False, **options: Any) -> LogitsReader:
    """Open a held-out file; say on stderr how a table was read, and which columns to look at."""
    reader = open_logits(path, **options)
    for store in reader.stores:
        if isinstance(store, TableStore) and not quiet:
            told = " ".join(reading_lines(store.file, store.told))
            print(f"recuse: {store.path}: {told}", file=sys.stderr)
        for line in lines_of_suspects(store):
            warn(line)
    return reader


def scan(
    path: Path,
    *,
    kind: str | None = None,
    ignore_index: int | None = None,
    groups: Path | None = None,
    labels: bool = True,
    quiet: bool = False,
) -> tuple[LogitsReader, Iterator[HeldOut]]:
    """Open a held-out file of any size and return its reader and its chunks.

    The chunks show progress on a terminal and warn of what is odd. Groups of a separate file
    count where the file has none. Without `labels` none are needed, and those there are ignored.
    """
    reader = opened(path, kind=kind, ignore_index=ignore_index, quiet=quiet)
    if not labels:
        reader = without_labels(reader)
    elif "labels" not in reader.fields:
        raise InputError(f"{path}: {no_labels(reader.kind)}")
    if groups is not None and "groups" not in reader.fields:
        reader = reader.grouped(read_groups(groups, reader.n))
    chunks = terminal.progress(reader.chunks(), reader.n, reader.nbytes, str(path), quiet=quiet)
    return reader, _watched(chunks, reader)


def _watched(chunks: Iterator[HeldOut], reader: LogitsReader) -> Iterator[HeldOut]:
    forms: set[str] = set()
    of_one_class = None
    labels, impossible = ShardLabels(reader), ImpossibleLabels()
    for chunk in chunks:
        impossible.add(chunk)
        forms.add("" if "" in forms else form_of_probs(chunk) or "")
        of_one_class = of_one_class or stated_of_one_class(chunk)
        labels.add(chunk)
        yield chunk
    _warn_of_models(reader, labels)
    for found in (of_one_class, impossible.said):
        if found:
            warn(f"{reader.name}: {found}")
    if forms and "" not in forms:
        _warn_of_probabilities(reader.name, max(forms), DECLARE)


def read(
    path: Path,
    *,
    kind: str | None = None,
    ignore_index: int | None = None,
    groups: Path | None = None,
    subgroups: tuple[str, ...] = (),
) -> HeldOut:
    """Read a held-out file as rows of predictions, with the warnings of `read_whole`."""
    found = read_whole(
        path, kind=kind, ignore_index=ignore_index, groups=groups, subgroups=subgroups
    )
    return found.predictions()


def read_whole(
    path: Path,
    *,
    kind: str | None = None,
    ignore_index: int | None = None,
    groups: Path | None = None,
    subgroups: tuple[str, ...] = (),
) -> HeldOut:
    """Read a held-out file, with the groups of a separate file if it has none."""
    reader = opened(path, kind=kind, ignore_index=ignore_index, subgroups=subgroups)
    file, labels = reader.read(), ShardLabels(reader)
    warn_of_probabilities(file, DECLARE)
    warn_of_labels(file)
    for part in reader.by_shard(file):
        labels.add(part)
    _warn_of_models(reader, labels)
    if groups is not None and file.groups is None:
        file = replace(file, groups=read_groups(groups, len(file)))
    return file


def _warn_of_models(reader: LogitsReader, labels: ShardLabels) -> None:
    """Warn of shards that may be of two models."""
    if found := labels.equal():
        warn(
            f"{reader.name}: {found[0]} and {found[1]} have equal labels row by row: if they "
            "are of two models, give one file at a time; here they count as one model"
        )


def warn_of_probabilities(file: HeldOut, advice: str = FIT_AGAIN) -> bool:
    """Warn that declared outputs look like those of another kind; they are read as declared.

    The default advice is for the file of a rejector, which knows what it was fitted to.
    """
    if found := stated_of_one_class(file):
        warn(f"{file.name}: {found}")
    if form := form_of_probs(file):
        _warn_of_probabilities(file.name, form, advice)
    return form is not None


def warn_of_labels(file: HeldOut) -> None:
    """Warn of labels of classes that are impossible in their row."""
    if found := impossible_in(file):
        warn(f"{file.name}: {found}")


def warn_of_another_shift(file: HeldOut, fitted: bool | None) -> bool:
    """Warn that a rejector was fitted to logits and these are log-probabilities, or the reverse.

    `fitted` is the rejector's `log_probs`.
    """
    if fitted is None or (found := are_log_probs(file.logits)) == fitted:
        return False
    held, wanted = SHIFTS[found], SHIFTS[fitted]
    warn(
        f"{file.name}: `logits` holds {held}, but the rejector was fitted to {wanted} and its "
        f"score tells them apart: its guarantee does not hold; give {wanted}, or fit again"
    )
    return True


def _warn_of_probabilities(name: str, form: str, advice: str) -> None:
    warn(f"{name}: {form}; {advice}")


def warn(text: str) -> None:
    """Print one line on stderr."""
    print("recuse: warning:", *text.splitlines(), file=sys.stderr)
