"""`recuse split` and `recuse average`: held-out files from others."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer

from recuse._internal.files import to_json
from recuse.cli.files import check_folder, read_whole, refuse_overwrite
from recuse.cli.options import Binary, Force, IgnoreIndex, Json, Probs, Quiet, Seed, kind_of
from recuse.errors import InputError
from recuse.evaluation import Ensemble, average_logits, average_probs
from recuse.evaluation._matched import write_mean
from recuse.io import HeldOut, open_logits, split_rows, write_logits
from recuse.io._write import check_suffix
from recuse.present import measures as words
from recuse.present import terminal


def split(
    file: Annotated[Path, typer.Argument(help="A held-out file, or a folder or glob of shards.")],
    parts: Annotated[
        str, typer.Option("--parts", help="Names and fractions, which sum to 1.")
    ] = "tune=0.4,calibrate=0.4,test=0.2",
    out: Annotated[Path, typer.Option("--out", help="Folder to write the parts to.")] = Path(
        "splits"
    ),
    binary: Binary = False,
    ignore_index: IgnoreIndex = None,
    seed: Seed = 0,
    force: Force = False,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Cut a held-out file into disjoint parts: by row, or by group where it has `groups`."""
    kind, fractions = kind_of(binary, probs=False), _parts(parts)
    check_folder(out)
    reader = open_logits(file, kind=kind, ignore_index=ignore_index)
    suffix = reader.stores[0].path.suffix if reader.stores[0].path.is_file() else ""
    paths = {name: out / f"{name}{suffix}" for name in fractions}
    for path in paths.values():
        refuse_overwrite(path, force, file)
    whole = reader.read()
    pieces = split_rows(whole, fractions, seed=seed)
    for name, piece in pieces.items():
        write_logits(
            paths[name],
            piece.logits[:, 1:] if binary else piece.logits,  # the column as it came
            piece.labels,
            groups=piece.groups,
            ids=piece.ids,
            kind=kind,
            ignore_index=whole.ignore_index,
        )
    rows = [(name, str(paths[name]), len(piece), piece.digest) for name, piece in pieces.items()]
    if as_json:
        print(to_json({"parts": [dict(zip(("part", "file", "n", "digest"), r)) for r in rows]}))
    elif not quiet:
        terminal.table(
            ("part", "file", "rows", "digest"),
            ((name, path, f"{n:,}", f"{digest[:19]}...") for name, path, n, digest in rows),
        )


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
DECLARED = {"logits": "", "binary": "--binary", "probs": "--probs"}  # how other commands read it


def average(
    files: Annotated[
        list[Path], typer.Argument(help="Logits of each model for the same examples.")
    ],
    out: Annotated[Path, typer.Option("--out", help="The logits file to write.")],
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
    row. Every other command reads the file; declare averaged probabilities by --probs.
    """
    if of not in MEANS:
        raise InputError(f"expected --of logits or probs, got {of!r}")
    kind = kind_of(binary, probs)
    if kind == "probs" and of == "logits":
        raise InputError(
            "expected --of probs with --probs: probabilities have no logits to average"
        )
    refuse_overwrite(check_suffix(out), force, *files)
    found = MEANS[of](_read(files, kind, ignore_index))
    written = "probs" if of == "probs" else kind
    digest = write_mean(out, found.file, written).digest
    if as_json:
        print(to_json(_plain(found, of, written, out) | {"digest": digest}))
    elif not quiet:
        _say(found, of, written, out)


def _read(files: list[Path], kind: str, ignore_index: int | None) -> Iterator[HeldOut]:
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


def _say(found: Ensemble, of: str, kind: str, out: Path) -> None:
    for line in words.average_lines(of, found.members, len(found.file), found.matched_by):
        terminal.say(line)
    declared = f"; read it with {DECLARED[kind]}" if DECLARED[kind] else ""
    terminal.say(f"Written to {out}{declared}.")
