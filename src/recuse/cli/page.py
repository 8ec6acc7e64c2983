"""`recuse report`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from recuse._check import InputError
from recuse.cli import show
from recuse.cli.decide import Learned, Objective
from recuse.cli.options import (
    Binary,
    Force,
    IgnoreIndex,
    Probs,
    Quiet,
    Seed,
    kind_of,
    named,
    read,
    refuse_overwrite,
)
from recuse.evaluation import evaluate
from recuse.io import FORMATS
from recuse.report import report as write_report

SPLITS = ("tune", "calibrate", "test")


def report(
    model: Annotated[
        list[str],
        typer.Option(
            "--model",
            metavar="NAME=DIR",
            help="A model and the folder of its tune, calibrate and test files; "
            "or a prefix: DIR/net stands for DIR/net-tune.safetensors and so on. Repeatable.",
        ),
    ],
    out: Annotated[Path, typer.Option("--out", help="The page to write.")] = Path("report.html"),
    target_risk: Annotated[
        float, typer.Option("--target-risk", help="Largest error rate of accepted predictions.")
    ] = 0.05,
    delta: Annotated[
        float, typer.Option("--delta", help="Probability that the promise fails.")
    ] = 0.05,
    objective: Objective = "aurc",
    learned: Learned = True,
    binary: Binary = False,
    probs: Probs = False,
    ignore_index: IgnoreIndex = None,
    seed: Seed = 0,
    force: Force = False,
    quiet: Quiet = False,
) -> None:
    """One HTML page that opens offline: curves, damage, repair, threshold and guarantee."""
    refuse_overwrite(out, force)
    options: dict[str, Any] = {"kind": kind_of(binary, probs), "ignore_index": ignore_index}
    models = {
        name: {split: read(find(Path(place), split), **options) for split in SPLITS}
        for name, place in named(model, "--model NAME=DIR").items()
    }
    evaluation = evaluate(
        models,
        target_risk=target_risk,
        delta=delta,
        objective=objective,
        learned=learned,
        kind=options["kind"],
        seed=seed,
    )
    write_report(evaluation, out)
    if not quiet:
        show.say(f"Written to {out}.")


def find(place: Path, split: str) -> Path:
    """The file of a split: in a folder, or behind a prefix."""
    stems = [place / split] if place.is_dir() else []
    stems.append(place.parent / f"{place.name}-{split}")
    endings = (*FORMATS, "")  # a folder of .npy or of shards has none
    paths = [stem.parent / f"{stem.name}{ending}" for stem in stems for ending in endings]
    for path in paths:
        if path.is_file() or (path.is_dir() and not path.suffix):
            return path
    raise InputError(f"{place}: expected a {split} file such as {paths[0]}, found none")
