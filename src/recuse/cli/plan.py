"""`recuse plan`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from recuse._internal.files import to_json
from recuse.cli.files import read_whole
from recuse.cli.options import (
    Binary,
    Delta,
    Groups,
    IgnoreIndex,
    Json,
    Probs,
    Quiet,
    RepeatedIds,
    Seed,
    TargetRisk,
    kind_of,
)
from recuse.errors import InputError
from recuse.present import terminal
from recuse.rejector import plan


def plan_(
    target_risk: TargetRisk,
    file: Annotated[
        Path | None, typer.Argument(help="A small held-out file, which says how good the model is.")
    ] = None,
    accuracy: Annotated[
        float | None, typer.Option("--accuracy", help="Instead: accuracy of the model, as 0.9.")
    ] = None,
    aurc: Annotated[
        float | None,
        typer.Option("--aurc", help="And its AURC, a fraction: 0.02 where a table says 20 x 1000."),
    ] = None,
    rows: Annotated[
        int | None,
        typer.Option("--rows", help="Instead: how much so many labelled rows will accept.", min=1),
    ] = None,
    delta: Delta = 0.05,
    binary: Binary = False,
    probs: Probs = False,
    ignore_index: IgnoreIndex = None,
    groups: Groups = None,
    repeated_ids: RepeatedIds = "refuse",
    seed: Seed = 0,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Tell how many rows to label for a threshold with a guarantee, and what it will accept.

    From accuracy and AURC, or from a small labelled file. If no number of rows is enough, the exit
    code is 1.
    """
    kind = kind_of(binary, probs)
    held_out = None
    of_file = {"--groups": groups, "--ignore-index": ignore_index, f"--{kind}": kind}
    if file is None and (given := [name for name, value in of_file.items() if value is not None]):
        raise InputError(f"{given[0]} is about a file: expected one, got none")
    if file is not None:
        held_out = read_whole(file, kind=kind, ignore_index=ignore_index, groups=groups)
    found = plan(
        held_out,
        accuracy=accuracy,
        aurc=aurc,
        target_risk=target_risk,
        delta=delta,
        rows=rows,
        seed=seed,
        repeated_ids=repeated_ids,
    )
    if as_json:
        print(to_json({"file": None if file is None else str(file), **found.to_dict()}))
    elif not quiet:
        terminal.say(str(found))
    if not (found.feasible if rows is None else found.accepts):
        raise typer.Exit(1)
