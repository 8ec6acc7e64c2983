"""`recuse sketch` and `recuse merge`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

from recuse._internal.files import to_json
from recuse.cli.files import (
    DECLARE,
    FIT_AGAIN,
    refuse_overwrite,
    warn,
    warn_of_another_shift,
    warn_of_probabilities,
)
from recuse.cli.options import (
    Binary,
    Coverage,
    Force,
    IgnoreIndex,
    Json,
    Probs,
    Quiet,
    Risk,
    kind_of,
    levels_of,
)
from recuse.errors import InputError
from recuse.evaluation import measure_sketch
from recuse.evaluation._shards import Plan, Shard, Sketch, chunks, merge, needs_logits
from recuse.io import HeldOut
from recuse.io._impossible import ImpossibleLabels
from recuse.io._overlap import check_given_once, resolved, shards_of
from recuse.io._reader import is_url
from recuse.io._rows import of_classes
from recuse.present import measures as words
from recuse.present import terminal
from recuse.scores import Score
from recuse.sketch import CurveSketch, load
from recuse.sketch._file import check_path

Out = Annotated[Path, typer.Option("--out", help="Sketch to write, .npz.")]


def sketch(
    files: Annotated[
        list[str],
        typer.Argument(
            help="Shards: labelled held-out files, or tables of confidences; paths, or URLs that "
            "fsspec knows."
        ),
    ],
    out: Out,
    score: Annotated[
        str | None, typer.Option("--score", help="msp (default), margin, logit_norm(p=3), ...")
    ] = None,
    rejector: Annotated[
        Path | None, typer.Option("--rejector", help="Use the score of this rejector.")
    ] = None,
    by: Annotated[
        str | None,
        typer.Option(
            "--by",
            metavar="class|groups",
            help="One sketch for each predicted class, or for each of the `groups` of the files.",
        ),
    ] = None,
    scale: Annotated[
        str | None,
        typer.Option(
            "--scale", help="Spacing of bins: log_odds, probability, float, float16 or bfloat16."
        ),
    ] = None,
    scheduler: Annotated[
        str | None, typer.Option("--scheduler", help="Address of a Dask scheduler.")
    ] = None,
    risk: Risk = [],  # noqa: B006  typer reads it once
    coverage: Coverage = [],  # noqa: B006
    binary: Binary = False,
    probs: Probs = False,
    ignore_index: IgnoreIndex = None,
    force: Force = False,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Count the predictions of any number of shards in one small file.

    Its measures are intervals that contain the exact value. `recuse merge` adds sketches of other
    shards.
    """
    levels = levels_of(risk, coverage)
    sources = [file if is_url(file) else Path(file) for file in files]
    local = [file for file in sources if isinstance(file, Path)]
    check_given_once(sources, shards_of)
    refuse_overwrite(check_path(out), force, *local, *([rejector] if rejector else []))
    options = {"ignore_index": ignore_index, "by": by, "scale": scale}
    plan = _plan(score, rejector, kind_of(binary, probs), **options)
    bar = not quiet and terminal.console(stderr=True).is_terminal
    if scheduler:
        from recuse.integrations import dask

        total = dask.sketch(list(map(resolved, sources)), plan, client=scheduler, progress=bar)
    else:
        total = _merged((file, _sketched(plan, file, score)) for file in _tracked(sources, bar))
    total.save(out)
    _print(out, total, levels, as_json, quiet)


def merge_(
    sketches: Annotated[list[Path], typer.Argument(help="Files that `recuse sketch` wrote.")],
    out: Out,
    risk: Risk = [],  # noqa: B006
    coverage: Coverage = [],  # noqa: B006
    force: Force = False,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Merge sketches of different shards into the sketch of all of them, to the last bit."""
    levels = levels_of(risk, coverage)
    check_given_once(sketches)
    refuse_overwrite(check_path(out), force, *sketches)
    total = _merged((path, load(path)) for path in sketches)
    if not (total if isinstance(total, CurveSketch) else total.total()).n:
        names = ", ".join(map(str, sketches))
        raise InputError(f"{names}: expected a sketch of at least one prediction, got an empty one")
    total.save(out)
    _print(out, total, levels, as_json, quiet)


def _plan(score: str | None, rejector: Path | None, kind: str | None, **options: Any) -> Plan:
    if rejector is None:
        return Plan(Score.parse(score or "msp"), kind, **options)
    if score is not None:
        raise InputError("expected --score or --rejector, got both")
    plan = Plan.of_rejector(rejector, **options)
    if kind not in (None, plan.kind):
        raise InputError(f"{rejector}: expected files of {plan.kind}, as fitted, got --{kind}")
    return plan


def _sketched(plan: Plan, file: Shard, score: str | None) -> Sketch:
    read = partial(_warned, plan, score)
    return (replace(plan, read=read) if isinstance(file, Path) else plan).sketch(file)


def _warned(plan: Plan, score: str | None, shard: Shard, **options: Any) -> Iterator[HeldOut]:
    """Read chunks, with a warning of logits that look like something else."""
    impossible, name = ImpossibleLabels(), ""
    for i, chunk in enumerate(chunks(shard, **options)):
        name = chunk.name
        impossible.add(chunk)
        if score is not None and not of_classes(chunk.kind):
            raise InputError(needs_logits(chunk.name, "--score"))
        if i == 0:
            warn_of_probabilities(chunk, FIT_AGAIN if plan.rejector else DECLARE)
            warn_of_another_shift(chunk, plan.log_probs)
        yield chunk
    if impossible.said:
        warn(f"{name}: {impossible.said}")


def _merged(parts: Iterable[tuple[Shard, Sketch]]) -> Sketch:
    """Merge all; an error names the first file that does not fit."""
    total = None
    for path, part in parts:
        try:
            total = part if total is None else merge([total, part])
        except InputError as error:
            raise InputError(f"{path}: {error}") from error
    assert total is not None  # typer asks for one file at least
    return total


def _tracked(files: Sequence[Shard], bar: bool) -> Iterable[Shard]:
    """Return the files, with a progress bar on a terminal."""
    if not bar:
        return files
    from rich.progress import track

    return track(files, "shards", console=terminal.console(stderr=True), transient=True)


def _print(
    out: Path, total: Sketch, levels: dict[str, tuple[float, ...]], as_json: bool, quiet: bool
) -> None:
    if quiet and not as_json:
        return
    found = measure_sketch(total, str(out), **levels)
    if as_json:
        print(to_json({"files": [m.to_dict() for m in found]}))
        return
    terminal.blocks(words.certified_header(**levels), words.certified_blocks(found))
    for note in words.CERTIFIED_NOTES:
        terminal.say(note)
