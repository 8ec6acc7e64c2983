"""`recuse example`: write the outputs that ship as a held-out file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from recuse._internal.files import to_json
from recuse.cli.files import refuse_overwrite
from recuse.cli.options import Force, Json, Quiet
from recuse.datasets import imagenet_lite2
from recuse.io import write_logits
from recuse.present import terminal
from recuse.present.numbers import percent


def example(
    out: Annotated[
        Path, typer.Option("--out", help="The held-out file to write, such as held-out.npz.")
    ],
    force: Force = False,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Write a held-out file to try the other commands on: outputs of a public ImageNet network.

    They are the logits of EfficientNet-Lite2 on 500 validation photographs of ten classes, which
    ship with recuse. Nothing is trained or downloaded.
    """
    refuse_overwrite(out, force)
    file = write_logits(out, imagenet_lite2())
    accuracy = 1 - float(file.loss.mean())
    n, classes = file.logits.shape
    if as_json:
        found = {"out": str(out), "model": file.model, "n": n, "classes": classes}
        print(to_json(found | {"accuracy": accuracy}))
    elif not quiet:
        terminal.say(
            f"Written to {out}: {n:,} rows, {classes:,} classes, accuracy {percent(accuracy, 1)}."
        )
        terminal.say("Logits of EfficientNet-Lite2 on ImageNet validation photographs, no images.")
        terminal.say(f"Next: recuse run {out} --target-risk 0.1 --out example")
