"""`recuse import`, `recuse split` and `recuse average`: held-out files from others."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer

from recuse._internal.files import to_json
from recuse.cli.files import (
    check_folder,
    opened,
    read_whole,
    refuse_overwrite,
    warn,
    warn_of_labels,
    warn_of_probabilities,
)
from recuse.cli.options import (
    Binary,
    Force,
    IgnoreIndex,
    Json,
    ModelName,
    Probs,
    Quiet,
    Seed,
    kind_of,
)
from recuse.errors import InputError
from recuse.evaluation import Ensemble, average_logits, average_probs
from recuse.evaluation._matched import write_mean
from recuse.io import HeldOut, split_rows, write_logits
from recuse.io._stores import FORMATS
from recuse.io._tables import Columns, class_names_of, read_table
from recuse.io._write import check_suffix
from recuse.present import measures as words
from recuse.present import terminal
from recuse.present.reading import reading_lines, suspect_lines


def split(
    file: Annotated[Path, typer.Argument(help="A held-out file, or a folder or glob of shards.")],
    parts: Annotated[
        str, typer.Option("--parts", help="Names and fractions, which sum to 1.")
    ] = "tune=0.4,calibrate=0.4,test=0.2",
    out: Annotated[Path, typer.Option("--out", help="Folder to write the parts to.")] = Path(
        "splits"
    ),
    binary: Binary = False,
    probs: Probs = False,
    ignore_index: IgnoreIndex = None,
    seed: Seed = 0,
    force: Force = False,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Cut a held-out file into disjoint parts: by row, or by group where it has `groups`."""
    kind, fractions = kind_of(binary, probs), _parts(parts)
    check_folder(out)
    reader = opened(file, kind=kind, ignore_index=ignore_index, quiet=quiet)
    suffix = reader.stores[0].path.suffix if reader.stores[0].path.is_file() else ""
    suffix = suffix if suffix in ("", *FORMATS) else ".npz"  # of a table
    paths = {name: out / f"{name}{suffix}" for name in fractions}
    for path in paths.values():
        refuse_overwrite(path, force, file)
    whole = reader.read()
    pieces = split_rows(whole, fractions, seed=seed)
    for name, piece in pieces.items():
        write_logits(paths[name], piece)
    rows = [(name, str(paths[name]), len(piece), piece.digest) for name, piece in pieces.items()]
    if as_json:
        print(to_json({"parts": [dict(zip(("part", "file", "n", "digest"), r)) for r in rows]}))
    elif not quiet:
        terminal.table(
            ("part", "file", "rows", "digest"),
            ((name, path, f"{n:,}", f"{digest[:19]}...") for name, path, n, digest in rows),
        )


def import_(
    table: Annotated[
        Path,
        typer.Argument(help="A .csv, .tsv, .jsonl, .parquet, .npz or .npy of outputs and labels."),
    ],
    out: Annotated[Path, typer.Option("--out", help="The held-out file to write.")],
    labels: Annotated[
        str | None,
        typer.Option(
            "--labels",
            metavar="COLUMN",
            help="Column of true classes, or of whether answers are right.",
        ),
    ] = None,
    outputs: Annotated[
        list[str],
        typer.Option(
            "--outputs", metavar="COLUMNS", help="Columns of outputs, such as 'prob_*'; repeatable."
        ),
    ] = [],  # noqa: B006 - typer reads it
    binary: Binary = False,
    probs: Probs = False,
    logits: Annotated[
        bool,
        typer.Option("--logits", help="The outputs are logits, whatever names or values suggest."),
    ] = False,
    confidences: Annotated[
        bool,
        typer.Option(
            "--confidences",
            help="The outputs are confidences: larger is more certain, nothing else is known.",
        ),
    ] = False,
    classes: Annotated[
        Path | None,
        typer.Option(
            "--classes",
            help="Names of the classes in the order of integer labels: a text file of one line a "
            "class, or a config.json with id2label.",
        ),
    ] = None,
    ids: Annotated[
        str | None, typer.Option("--id", metavar="COLUMN", help="Column that names the rows.")
    ] = None,
    groups: Annotated[
        str | None,
        typer.Option(
            "--group", metavar="COLUMN", help="Column of rows that depend on each other: a patient."
        ),
    ] = None,
    by: Annotated[
        list[str],
        typer.Option("--by", metavar="COLUMN", help="Column of subgroups to keep; repeatable."),
    ] = [],  # noqa: B006 - typer reads it
    ignore_index: IgnoreIndex = None,
    separator: Annotated[
        str | None,
        typer.Option("--separator", help="Between the cells of a text; found if not given."),
    ] = None,
    model: ModelName = None,
    force: Force = False,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Make a held-out file of a table, and say how the table was read.

    Columns that are not named are found by their own names. The file keeps the kind and the class
    names, so that no other command is told them again.
    """
    kind = kind_of(binary, probs, logits=logits, confidences=confidences)
    if separator is not None and table.suffix not in (".csv", ".tsv"):
        raise InputError(f"{table}: expected a .csv or .tsv with --separator")
    refuse_overwrite(check_suffix(out), force, table)
    asked = Columns(
        labels,
        ",".join(outputs) or None,
        kind,
        None if classes is None else class_names_of(classes),
        ids,
        groups,
        tuple(name for part in by for name in part.split(",")),
        ignore_index,
    )
    file, told = read_table(table, asked, separator)
    file = file if model is None else replace(file, model=model)
    written = write_logits(out, file)
    for line in suspect_lines(file.name, told.suspects):
        warn(line)
    warn_of_labels(file)
    warn_of_probabilities(file, "if these are probabilities, give --probs")
    if as_json:
        names = None if file.class_names is None else list(file.class_names)
        sizes = {"n": len(file), "classes": file.logits.shape[1], "class_names": names}
        print(to_json({"out": str(out), "kind": file.kind, **sizes, "digest": written.digest}))
    elif not quiet:
        for line in reading_lines(file, told):
            terminal.say(line)
        terminal.say(f"Written to {out}.")


def _parts(text: str) -> dict[str, float]:
    try:
        pairs = [part.split("=") for part in text.split(",")]
        parts = {name.strip(): float(value) for name, value in pairs}
    except ValueError:
        raise InputError(f"expected --parts like tune=0.4,test=0.6, got {text!r}") from None
    for name, _ in pairs:
        if not name.strip().isidentifier():
            raise InputError(f"expected --parts with plain names, got {name!r}")
    if len(parts) < len(pairs):
        raise InputError(f"expected --parts with names that differ, got {text!r}")
    return parts


MEANS = {"logits": average_logits, "probs": average_probs}


def average(
    files: Annotated[
        list[Path], typer.Argument(help="Held-out files of the models, of the same examples.")
    ],
    out: Annotated[Path, typer.Option("--out", help="The held-out file to write.")],
    of: Annotated[
        str,
        typer.Option("--of", help="What to average: logits, or probs, as deep ensembles do."),
    ] = "logits",
    binary: Binary = False,
    probs: Probs = False,
    ignore_index: IgnoreIndex = None,
    force: Force = False,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Average the logits, or the probabilities, of several models into one file.

    Rows are matched by `ids` if all files have them; otherwise the labels must be equal row by
    row. Every other command reads the file, which says its kind.
    """
    if of not in MEANS:
        raise InputError(f"expected --of logits or probs, got {of!r}")
    kind = kind_of(binary, probs)
    refuse_overwrite(check_suffix(out), force, *files)
    _check_of(of, kind)
    found = MEANS[of](_read(files, kind, ignore_index))
    _check_of(of, found.file.kind)
    written = "probs" if of == "probs" else found.file.kind
    digest = write_mean(out, found.file, written).digest
    if as_json:
        print(to_json(_plain(found, of, written, out) | {"digest": digest}))
    elif not quiet:
        _say(found, of, out)


def _check_of(of: str, kind: str | None) -> None:
    if kind == "probs" and of == "logits":
        raise InputError("expected --of probs: probabilities have no logits to average")


def _read(files: list[Path], kind: str | None, ignore_index: int | None) -> Iterator[HeldOut]:
    """Read one file after another, so that few are in memory."""
    for file in files:
        yield read_whole(file, kind=kind, ignore_index=ignore_index)


def _plain(found: Ensemble, of: str, kind: str, out: Path) -> dict[str, Any]:
    return {
        "of": of,
        "members": found.members,
        "n": len(found.file),
        "classes": found.file.logits.shape[1],
        "matched_by": found.matched_by,
        "kind": kind,
        "out": str(out),
    }


def _say(found: Ensemble, of: str, out: Path) -> None:
    for line in words.average_lines(of, found.members, len(found.file), found.matched_by):
        terminal.say(line)
    terminal.say(f"Written to {out}.")
