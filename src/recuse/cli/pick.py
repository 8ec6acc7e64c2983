"""`recuse pick`."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from recuse._internal.check import extra
from recuse._internal.files import atomic, to_json
from recuse.cli.files import read_whole, refuse_overwrite
from recuse.cli.options import (
    Binary,
    Force,
    Groups,
    IgnoreIndex,
    Json,
    Probs,
    Quiet,
    Risk,
    Seed,
    kind_of,
    levels_of,
    named,
)
from recuse.errors import InputError
from recuse.evaluation import Pick
from recuse.evaluation import pick as pick_model
from recuse.present import terminal

FORMATS = (".svg", ".png", ".pdf")
COLUMNS, SIDE = 3, 3.2  # of the chart: panels in a row, inches of one


def pick(
    models: Annotated[
        list[str],
        typer.Argument(
            metavar="NAME=FILE...",
            help="A name, such as the smoothing 0.1, and a labelled file of the same held-out "
            "examples.",
        ),
    ],
    train: Annotated[
        list[str],
        typer.Option(
            "--train",
            metavar="NAME=FILE",
            help="A file of the training examples of a model. Repeatable.",
        ),
    ] = [],  # noqa: B006  typer reads it once
    criterion: Annotated[
        str, typer.Option("--criterion", help="aurc, accuracy, or coverage@0.05 (at 5 % risk).")
    ] = "aurc",
    risk: Risk = [],  # noqa: B006
    chart: Annotated[
        Path | None,
        typer.Option("--chart", help="Draw all measures against the names: .svg, .png or .pdf."),
    ] = None,
    binary: Binary = False,
    probs: Probs = False,
    ignore_index: IgnoreIndex = None,
    groups: Groups = None,
    seed: Seed = 0,
    force: Force = False,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Pick one of several trained models by accuracy, calibration and ranking on the same examples.

    To choose the smoothing, train with several values, save held-out logits of each, and compare.
    Rows are matched by `ids` if both files have them; otherwise the labels must be equal row by
    row.
    """
    risks = levels_of(risk, [])["risks"]
    given, seen = named(models, "NAME=FILE"), named(train, "--train NAME=FILE")
    kind = kind_of(binary, probs)
    read = partial(read_whole, kind=kind, ignore_index=ignore_index)
    if chart is not None:
        _check_chart(chart, force, [Path(file) for file in (*given.values(), *seen.values())])
    with terminal.working("comparing the models", quiet=quiet):
        found = pick_model(
            {name: partial(read, Path(file), groups=groups) for name, file in given.items()},
            train={name: partial(read, Path(file)) for name, file in seen.items()},
            criterion=criterion,
            risks=risks,
            seed=seed,
        )
    if chart is not None:
        _draw(found, chart)
    if as_json:
        print(to_json(found.to_dict()))
    elif not quiet:
        terminal.say(str(found))
        if chart is not None:
            terminal.say(f"Written to {chart}.")


def _check_chart(chart: Path, force: bool, inputs: list[Path]) -> None:
    """Check the chart before any file is read."""
    if chart.suffix not in FORMATS:
        raise InputError(f"expected --chart with {', '.join(FORMATS)}, got {chart}")
    refuse_overwrite(chart, force, *inputs)
    extra("matplotlib.figure", "plots", "--chart")


def _draw(found: Pick, path: Path) -> None:
    """Draw every panel; the same numbers give the same bytes."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    from recuse.plots import over_alpha

    data = over_alpha.prepare(found)
    rows = -(-len(data.panels) // COLUMNS)
    figure = Figure(figsize=(1.3 * SIDE * COLUMNS, SIDE * rows), layout="constrained")
    axes = figure.subplots(rows, COLUMNS, squeeze=False).ravel()
    for panel, ax in zip(data.panels, axes):
        over_alpha.draw(data, panel, ax)
    for ax in axes[len(data.panels) :]:
        ax.remove()
    kind, undated = path.suffix[1:], {"svg": {"Date": None}, "pdf": {"CreationDate": None}}
    with mpl.rc_context({"svg.hashsalt": "recuse"}), atomic(path) as temporary:
        figure.savefig(temporary, format=kind, metadata=undated.get(kind))
