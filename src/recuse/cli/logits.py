"""`recuse logits`: a model over a folder of images -> a held-out file."""

from __future__ import annotations

import sys
from contextlib import redirect_stdout
from pathlib import Path
from typing import Annotated

import typer

from recuse._internal.files import to_json
from recuse.cli.files import refuse_overwrite
from recuse.cli.options import Force, Json, Quiet
from recuse.collect._collect import Collected, collect_folder
from recuse.present import terminal
from recuse.present.numbers import percent


def logits(
    source: Annotated[
        str,
        typer.Argument(
            metavar="SOURCE",
            help="timm:NAME, or path.py:function: your function, which returns a torch module or "
            "(module, transform of an image).",
        ),
    ],
    data: Annotated[
        Path,
        typer.Option(
            "--data", help="Folder of images, with one folder for each class if they are labelled."
        ),
    ],
    out: Annotated[
        Path,
        typer.Option(
            "--out",
            help="A .npz or .parquet file; a name without an ending is a folder of shards.",
        ),
    ],
    checkpoint: Annotated[
        Path | None,
        typer.Option(
            "--checkpoint", help="Weights: .safetensors, or a .pt file, read with weights only."
        ),
    ] = None,
    pretrained: Annotated[
        bool | None,
        typer.Option(
            "--pretrained/--no-pretrained",
            help="Fetch timm's weights over the network (the default without --checkpoint), or "
            "keep random ones.",
        ),
    ] = None,
    class_map: Annotated[
        str | None,
        typer.Option(
            "--class-map",
            help="Output of each class folder: a csv with the header folder,index, or imagenet-1k "
            "for folders named by WordNet ids.",
        ),
    ] = None,
    batch_size: Annotated[int, typer.Option("--batch-size", min=1, help="Images in a batch.")] = 64,
    device: Annotated[
        str | None,
        typer.Option("--device", help="cpu, cuda:0, ...; by default a GPU if there is one."),
    ] = None,
    workers: Annotated[
        int | None,
        typer.Option("--workers", min=0, help="Processes that read images; by default up to 4."),
    ] = None,
    limit: Annotated[
        int | None,
        typer.Option("--limit", min=1, help="Use only so many images, evenly spaced over all."),
    ] = None,
    force: Force = False,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Run a model over a folder of images: logits, labels (sorted class folders), ids (file names).

    Images are prepared by timm's configuration of the model: size, crop, mean and standard
    deviation. Use images that the model was not trained on.
    """
    refuse_overwrite(out, force, data, *([] if checkpoint is None else [checkpoint]))
    with redirect_stdout(sys.stderr):  # what the user's code prints is no result
        found = collect_folder(
            source,
            data,
            out,
            checkpoint=checkpoint,
            pretrained=pretrained,
            class_map=class_map,
            batch_size=batch_size,
            device=device,
            workers=workers,
            limit=limit,
            progress=not quiet,
        )
    if as_json:
        counted = {"n": found.n, "classes": found.classes, "accuracy": found.accuracy}
        told = {"model": source, "name": found.model, **counted, "about": _about(found)}
        print(to_json({"out": str(out), **told}))
    elif not quiet:
        _show(out, found)


def _about(found: Collected) -> str:
    """Weights and preprocessing in words."""
    weights = "random weights" if found.weights is None else f"weights of {found.weights}"
    if (how := found.preprocessing) is None:
        return f"{weights}; images by its own transform"
    _, height, width = how["input_size"]
    mean, std = (f"({', '.join(f'{v:.3g}' for v in how[key])})" for key in ("mean", "std"))
    return (
        f"{weights}; images at {height} x {width}, {how['crop_mode']} crop {how['crop_pct']:g}, "
        f"{how['interpolation']}, mean {mean}, std {std}"
    )


def _show(out: Path, found: Collected) -> None:
    labelled = found.accuracy is not None
    outcome = f"accuracy {percent(found.accuracy, 1)}" if labelled else "no labels"
    terminal.say(f"Written to {out}: {found.n:,} images, {found.classes:,} classes, {outcome}.")
    about = _about(found)
    terminal.say(f"{about[0].upper()}{about[1:]}.")
    then = f"recuse diagnose {out}" if labelled else f"recuse predict rejector.json {out}"
    terminal.say(f"Next: {then}")
