"""Options that several commands share, and the reading of files that they steer."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Iterator
from dataclasses import replace
from fnmatch import fnmatch
from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from recuse._check import InputError, check_fraction
from recuse.cli import show
from recuse.evaluation import COVERAGES, RISKS, without_labels
from recuse.io import (
    FORMATS,
    MULTILABEL,
    LogitsFile,
    LogitsReader,
    check_names,
    open_logits,
    shards,
)
from recuse.scores import SOFTMAX_FAMILY, Score

Json = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print no table and no progress.")]
Force = Annotated[bool, typer.Option("--force", help="Overwrite existing output.")]
Seed = Annotated[int, typer.Option("--seed", min=0, help="Of everything random.")]
Binary = Annotated[
    bool, typer.Option("--binary", help="`logits` holds the one column of a binary head.")
]
Probs = Annotated[bool, typer.Option("--probs", help="`logits` holds probabilities.")]
Multilabel = Annotated[
    bool,
    typer.Option(
        "--multilabel",
        help="`logits` and `labels` are (n, L), labels 0 or 1: each label is a binary decision.",
    ),
]
IgnoreIndex = Annotated[
    int | None, typer.Option("--ignore-index", help="The label of predictions to leave out.")
]
Groups = Annotated[
    Path | None,
    typer.Option(
        "--groups",
        help="A .npy file, or a text file of one line a row: rows of one group (replicates, "
        "frames) are not independent. Used where the file has no `groups` of its own.",
    ),
]
Risk = Annotated[
    list[str], typer.Option("--risk", help="Levels of coverage at risk, such as 0.01,0.05.")
]
Coverage = Annotated[
    list[str], typer.Option("--coverage", help="Levels of risk at coverage, such as 0.2,0.8.")
]
DECLARE = "if these are probabilities, declare them by --probs"
FIT_AGAIN = (
    "if these are probabilities, the rejector was not fitted to such and its promise does not "
    "hold: give logits, or fit again with --probs"
)
ENDINGS = (*FORMATS, ".csv", ".json", ".html")  # of files
FEW_LABELS = 20  # fewer may be equal in two shards by chance


def kind_of(binary: bool, probs: bool, multilabel: bool = False) -> str:
    """What the files hold, as declared."""
    declared = {"binary": binary, "probs": probs, MULTILABEL: multilabel}
    found = [kind for kind, given in declared.items() if given]
    if len(found) > 1:
        raise InputError(f"expected --{found[0]} or --{found[1]}, got both")
    return found[0] if found else "logits"


def scores_of(specs: list[str], kind: str) -> list[Score]:
    """Scores of a repeatable option; a comma inside parentheses belongs to the score."""
    parts, depth = [""], 0
    for char in ",".join(specs):
        depth += (char == "(") - (char == ")")
        if char == "," and depth == 0:
            parts.append("")
        else:
            parts[-1] += char
    scores = [Score.parse(part) for part in parts if part.strip()]
    if not scores:
        raise InputError(f"expected --score with a name such as msp, got {specs!r}")
    for score in scores:
        if kind == "probs" and score.name not in SOFTMAX_FAMILY:
            raise InputError(
                f"expected a score of {', '.join(SOFTMAX_FAMILY)} with --probs, got {score}: "
                "the logarithm of a probability has lost the shift of the logits"
            )
    return scores


def levels_of(risk: list[str], coverage: list[str]) -> dict[str, tuple[float, ...]]:
    """The levels of points on the curve, checked before any file is read."""
    risks = numbers(risk, RISKS, "risk")
    coverages = numbers(coverage, COVERAGES, "coverage")
    for level in risks:
        check_fraction(level, "risk", zero=True, one=True)
    for level in coverages:
        check_fraction(level, "coverage", one=True)
    return {"risks": risks, "coverages": coverages}


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
    chunks = show.progress(reader.chunks(), reader.n, reader.nbytes, str(path), quiet=quiet)
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
                _warn(
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
    parts = _by_shard(file, reader)
    _check_ids(parts, reader.name)
    for part in parts:
        pooled.add(part)
    pooled.warn()
    if groups is not None and file.groups is None:
        file = replace(file, groups=read_groups(groups, len(file)))
    return file


def _by_shard(file: LogitsFile, reader: LogitsReader) -> list[LogitsFile]:
    """The rows of each shard, under its name."""
    ends = np.cumsum([store.forms["logits"].shape[0] for store in reader.stores])
    spans = zip(reader.stores, [0, *ends], ends)
    return [replace(file.rows(slice(a, b)), name=str(store.path)) for store, a, b in spans]


def _check_ids(shards: list[LogitsFile], name: str) -> None:
    """No example stands in two shards."""
    ids = [np.unique(shard.ids) for shard in shards if shard.ids is not None]
    if len(ids) < 2:
        return
    found, count = np.unique(np.concatenate(ids), return_counts=True)
    if (count > 1).any():
        twice = found[count > 1][0]
        one, other, *_ = (shard.name for shard, own in zip(shards, ids) if twice in own)
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


def _look_like_probabilities(z: np.ndarray) -> bool:
    if z.min() < 0 or z.max() > 1:
        return False
    return bool(np.all(np.abs(z.astype(np.float64).sum(axis=1) - 1) < 0.01))


def _warn_of_probabilities(name: str, advice: str) -> None:
    _warn(f"{name}: every row of `logits` lies in [0, 1] and sums to 1; {advice}")


def _warn(text: str) -> None:
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


def named(pairs: list[str], form: str) -> dict[str, str]:
    """NAME=VALUE pairs in the order given; `form` says in errors what was expected."""
    out: dict[str, str] = {}
    for pair in pairs:
        name, _, value = pair.partition("=")
        if not (name and value):
            raise InputError(f"expected {form}, got {pair!r}")
        if name in out:
            raise InputError(f"expected {form} with names that differ, got {name!r} twice")
        out[name] = value
    return out


def numbers(values: list[str], default: tuple[float, ...], name: str) -> tuple[float, ...]:
    """Numbers of a repeatable option, each use possibly comma-separated."""
    parts = [part for value in values for part in value.split(",") if part.strip()]
    try:
        return tuple(float(part) for part in parts) or default
    except ValueError:
        raise InputError(f"expected numbers for --{name}, got {','.join(parts)!r}") from None
