"""`recuse split`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from recuse._internal.files import to_json
from recuse.cli.files import check_folder, refuse_overwrite
from recuse.cli.options import Binary, Force, IgnoreIndex, Json, Quiet, Seed, kind_of
from recuse.errors import InputError
from recuse.io import open_logits, split_rows, write_logits
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
    pieces = split_rows(reader.read(), fractions, seed=seed)
    for name, piece in pieces.items():
        write_logits(
            paths[name],
            piece.logits[:, 1:] if binary else piece.logits,  # the column as it came
            piece.labels,
            groups=piece.groups,
            ids=piece.ids,
            kind=kind,
            ignore_index=ignore_index,
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
