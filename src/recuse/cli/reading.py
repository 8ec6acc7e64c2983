"""Reading the files that a command is given, and warning of what is odd about them."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from recuse.errors import InputError
from recuse.evaluation import without_labels
from recuse.evaluation._shards import Shard
from recuse.io import LogitsFile, LogitsReader, check_names, open_logits, shards
from recuse.present import terminal
from recuse.scores import are_log_probs

DECLARE = "if these are probabilities, declare them by --probs"
FIT_AGAIN = (
    "if these are probabilities, the rejector was not fitted to such and its promise does not "
    "hold: give logits, or fit again with --probs"
)
SHIFTS = ("logits", "log-probabilities (logsumexp 0)")
FEW_LABELS = 20  # fewer may be equal in two shards by chance


def scan(
    path: Path,
    *,
    kind: str = "logits",
    ignore_index: int | None = None,
    groups: Path | None = None,
    labels: bool = True,
    quiet: bool = False,
) -> tuple[LogitsReader, Iterator[LogitsFile]]:
    """A logits file of any size and its chunks, with the groups of a separate file if it has none.

    The chunks show progress on a terminal, and warn of probabilities declared as logits. Without
    `labels` none are needed, and those that are there are not looked at.
    """
    reader = open_logits(path, kind=kind, ignore_index=ignore_index)
    if not labels:
        reader = without_labels(reader)
    elif "labels" not in reader.fields:
        raise InputError(f"{path}: expected `labels`, got logits alone")
    chunks = terminal.progress(reader.chunks(), reader.n, reader.nbytes, str(path), quiet=quiet)
    if groups is not None and "groups" not in reader.fields:
        chunks = _grouped(chunks, read_groups(groups, reader.n))
    return reader, _watched(chunks, reader)


def _grouped(chunks: Iterator[LogitsFile], groups: np.ndarray) -> Iterator[LogitsFile]:
    start = 0
    for chunk in chunks:
        yield replace(chunk, groups=groups[start : start + len(chunk)])
        start += len(chunk)


def _watched(chunks: Iterator[LogitsFile], reader: LogitsReader) -> Iterator[LogitsFile]:
    probabilities, pooled = reader.kind == "logits", Pooled(reader)
    for chunk in chunks:
        probabilities = probabilities and _look_like_probabilities(chunk.logits)
        pooled.add(chunk)
        yield chunk
    pooled.warn()
    if probabilities:
        _warn_of_probabilities(reader.name, DECLARE)


class Pooled:
    """The shards that one path stands for: are they of one model?

    Nothing in them says so. Equal labels row by row are what two models of the same examples
    have; a warning names two such files.
    """

    def __init__(self, reader: LogitsReader):
        self.reader = reader
        self.labels = {str(store.path): hashlib.sha256() for store in reader.stores}
        self.varied: set[str] = set()

    def add(self, chunk: LogitsFile) -> None:
        """The labels of a part of a shard."""
        if len(self.labels) > 1 and chunk.labels is not None:
            self.labels[chunk.name].update(np.ascontiguousarray(chunk.labels).tobytes())
            if len(chunk) >= FEW_LABELS and chunk.labels.min() != chunk.labels.max():
                self.varied.add(chunk.name)

    def warn(self) -> None:
        """Name the first two files of equal labels on stderr."""
        seen: dict[bytes, str] = {}
        for name in filter(self.varied.__contains__, self.labels):
            other = seen.setdefault(self.labels[name].digest(), name)
            if other != name:
                warn(
                    f"{self.reader.name}: {other} and {name} have equal labels row by row: if they "
                    "are of two models, give one file at a time; here they count as one model"
                )
                return


def read(
    path: Path, *, kind: str = "logits", ignore_index: int | None = None, groups: Path | None = None
) -> LogitsFile:
    """`read_whole` as rows of predictions."""
    return read_whole(path, kind=kind, ignore_index=ignore_index, groups=groups).predictions()


def read_whole(
    path: Path, *, kind: str = "logits", ignore_index: int | None = None, groups: Path | None = None
) -> LogitsFile:
    """A logits file as it is, with the groups of a separate file if it has none."""
    reader = open_logits(path, kind=kind, ignore_index=ignore_index)
    file, pooled = reader.read(), Pooled(reader)
    warn_of_probabilities(file, kind, DECLARE)
    parts = by_shard(file, reader)
    _check_ids(parts, reader.name)
    for part in parts:
        pooled.add(part)
    pooled.warn()
    if groups is not None and file.groups is None:
        file = replace(file, groups=read_groups(groups, len(file)))
    return file


def by_shard(file: LogitsFile, reader: LogitsReader) -> list[LogitsFile]:
    """The rows of each shard, under its name."""
    ends = np.cumsum([store.forms["logits"].shape[0] for store in reader.stores])
    spans = zip(reader.stores, [0, *ends], ends)
    return [replace(file.rows(slice(a, b)), name=str(store.path)) for store, a, b in spans]


def once(
    files: Sequence[Shard], expand: Callable[[Shard], Sequence[Shard]] = lambda file: [file]
) -> None:
    """Refuse a file that stands twice among the files, or what they expand to."""
    seen: set[Shard] = set()
    for file in (part for given in files for part in expand(given)):
        if resolved(file) in seen:
            raise InputError(f"{file} is given twice, and would count twice")
        seen.add(resolved(file))


def shards_of(file: Shard) -> Sequence[Shard]:
    """The files of a folder or a glob; what is wrong with it is said by its reader."""
    if not isinstance(file, Path):
        return [file]
    try:
        return shards(file)
    except InputError:
        return [file]


def resolved(file: Shard) -> Shard:
    """One name for one file; a URL as it is."""
    return file.resolve() if isinstance(file, Path) else file


def _check_ids(parts: list[LogitsFile], name: str) -> None:
    """No example stands in two shards."""
    ids = [np.unique(part.ids) for part in parts if part.ids is not None]
    if len(ids) < 2:
        return
    found, count = np.unique(np.concatenate(ids), return_counts=True)
    if (count > 1).any():
        twice = found[count > 1][0]
        one, other, *_ = (part.name for part, own in zip(parts, ids) if twice in own)
        raise InputError(
            f"{name}: expected shards of different examples, got the id {twice} in {one} and in "
            f"{other}"
        )


def warn_of_probabilities(file: LogitsFile, kind: str, advice: str = FIT_AGAIN) -> None:
    """Say on stderr that declared logits look like probabilities; they are read as declared.

    The advice is that for the file of a rejector, which knows what it was fitted to.
    """
    if kind == "logits" and _look_like_probabilities(file.logits):
        _warn_of_probabilities(file.name, advice)


def warn_of_another_shift(file: LogitsFile, fitted: bool | None) -> None:
    """Say on stderr that a rejector was fitted to logits, and these are log-probabilities.

    Or the reverse; `fitted` is its `log_probs`.
    """
    if fitted is None or (found := are_log_probs(file.logits)) == fitted:
        return
    held, wanted = SHIFTS[found], SHIFTS[fitted]
    warn(
        f"{file.name}: `logits` holds {held}, but the rejector was fitted to {wanted} and its "
        f"score tells them apart: its promise does not hold; give {wanted}, or fit again"
    )


def _look_like_probabilities(z: np.ndarray) -> bool:
    if z.min() < 0 or z.max() > 1:
        return False
    return bool(np.all(np.abs(z.astype(np.float64).sum(axis=1) - 1) < 0.01))


def _warn_of_probabilities(name: str, advice: str) -> None:
    warn(f"{name}: every row of `logits` lies in [0, 1] and sums to 1; {advice}")


def warn(text: str) -> None:
    """One line on stderr."""
    print("recuse: warning:", *text.splitlines(), file=sys.stderr)


def read_groups(path: Path, n: int) -> np.ndarray:
    """One group a row, from .npy or from lines of text."""
    try:
        if path.suffix == ".npy":
            values = np.asarray(np.load(path, allow_pickle=False))
        else:
            values = np.array(path.read_text(encoding="utf-8").rstrip().splitlines())
    except (OSError, ValueError, EOFError) as error:
        raise InputError(f"{path}: cannot be read as groups ({error})") from error
    return check_names(values, n, f"groups in {path}")


def class_names(path: Path | None, count: int) -> np.ndarray | None:
    """A name a line, for every class."""
    if path is None:
        return None
    try:
        names = path.read_text(encoding="utf-8").splitlines()
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: expected class names in UTF-8") from error
    if len(names) != count:
        raise InputError(f"{path}: expected {count} class names, one a line, got {len(names)}")
    return np.array(names)
