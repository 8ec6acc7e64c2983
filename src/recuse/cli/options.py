"""Options that several commands share, and the reading of files that they steer."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from recuse._check import InputError
from recuse.io import LogitsFile, check_names, read_logits

Json = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print no table and no progress.")]
Force = Annotated[bool, typer.Option("--force", help="Overwrite existing output.")]
Seed = Annotated[int, typer.Option("--seed", min=0, help="Of everything random.")]
Binary = Annotated[
    bool, typer.Option("--binary", help="`logits` holds the one column of a binary head.")
]
Probs = Annotated[bool, typer.Option("--probs", help="`logits` holds probabilities.")]
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


def kind_of(binary: bool, probs: bool) -> str:
    """What the files hold, as declared."""
    if binary and probs:
        raise InputError("expected --binary or --probs, got both")
    return "binary" if binary else "probs" if probs else "logits"


def read(
    path: Path, *, kind: str = "logits", ignore_index: int | None = None, groups: Path | None = None
) -> LogitsFile:
    """A logits file as rows of predictions, with the groups of a separate file if it has none."""
    file = read_logits(path, kind=kind, ignore_index=ignore_index)
    warn_of_probabilities(file, kind)
    if groups is not None and file.groups is None:
        file = replace(file, groups=read_groups(groups, len(file)))
    return file.predictions()


def warn_of_probabilities(file: LogitsFile, kind: str) -> None:
    """Say on stderr that declared logits look like probabilities; they are read as declared."""
    z = file.logits
    if kind != "logits" or z.min() < 0 or z.max() > 1:
        return
    if np.all(np.abs(z.astype(np.float64).sum(axis=1) - 1) < 0.01):
        print(
            f"recuse: warning: {file.name}: every row of `logits` lies in [0, 1] and sums to 1; "
            "if these are probabilities, declare them by --probs",
            file=sys.stderr,
        )


def read_groups(path: Path, n: int) -> np.ndarray:
    """One group a row, from .npy or from lines of text."""
    try:
        if path.suffix == ".npy":
            values = np.asarray(np.load(path, allow_pickle=False))
        else:
            values = np.array(path.read_text(encoding="utf-8").splitlines())
    except (OSError, ValueError, EOFError) as error:
        raise InputError(f"{path}: cannot be read as groups ({error})") from error
    return check_names(values, n, f"{path}: groups")


def refuse_overwrite(path: Path, force: bool, *inputs: Path) -> None:
    """An error where `path` exists and --force was not given, or is one of the inputs."""
    if any(path.exists() and file.exists() and path.samefile(file) for file in inputs):
        raise InputError(f"{path} is an input: expected another place for the output")
    if path.exists() and not force:
        raise InputError(f"{path} exists: give --force to overwrite it")


def numbers(values: list[str], default: tuple[float, ...], name: str) -> tuple[float, ...]:
    """Numbers of a repeatable option, each use possibly comma-separated."""
    parts = [part for value in values for part in value.split(",") if part.strip()]
    try:
        return tuple(float(part) for part in parts) or default
    except ValueError:
        raise InputError(f"expected numbers for --{name}, got {','.join(parts)!r}") from None
