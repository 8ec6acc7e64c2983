"""`recuse images`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from recuse._internal.files import to_json
from recuse.cli.files import check_ending, opened, refuse_overwrite
from recuse.cli.options import Force, IgnoreIndex, Json, Quiet
from recuse.errors import InputError
from recuse.images import CONFIDENCES, LOSSES
from recuse.io._write import write_table
from recuse.present import terminal

ENDINGS = (".csv", ".parquet")


def images(
    file: Annotated[Path, typer.Argument(help="A held-out file of pixels, logits (n, K, H, W).")],
    out: Annotated[Path, typer.Option("--out", help="Table to write: .csv or .parquet.")],
    confidence: Annotated[
        str, typer.Option("--confidence", help=f"One of {', '.join(CONFIDENCES)}.")
    ] = "soft_dice",
    loss: Annotated[str, typer.Option("--loss", help=f"One of {', '.join(LOSSES)}.")] = "dice_loss",
    ignore_index: IgnoreIndex = None,
    force: Force = False,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Give each image of a segmentation file one confidence and, with labels, one loss.

    The table has a row an image: `id`, `confidence`, `loss` and `group`, as far as the file has
    them. `recuse evaluate` measures it, and `recuse fit` guarantees the mean loss of the accepted.
    """
    check_ending(out, *ENDINGS)
    refuse_overwrite(out, force, file)
    for option, name, known in (("confidence", confidence, CONFIDENCES), ("loss", loss, LOSSES)):
        if name not in known:
            raise InputError(f"expected --{option} {', '.join(known)}, got {name!r}")
    reader = opened(file, ignore_index=ignore_index, quiet=quiet)
    if len(reader.shape) < 3:
        raise InputError(f"{file}: expected logits of pixels, (n, K, H, W), got {reader.shape}")
    columns: dict[str, list[np.ndarray]] = {}
    for part in terminal.progress(reader.chunks(), reader.n, reader.nbytes, str(file), quiet=quiet):
        made = {"id": part.ids, "confidence": CONFIDENCES[confidence](part.logits)}
        if part.labels is not None:
            of_void = {"ignore_index": part.ignore_index}
            made["loss"] = LOSSES[loss](part.logits, part.labels, **of_void)
        for name, column in (made | {"group": part.groups}).items():
            if column is not None:
                columns.setdefault(name, []).append(column)
    table = {name: np.concatenate(parts) for name, parts in columns.items()}
    table = {"id": table.pop("id", np.arange(reader.n)), **table}
    write_table(out, table)
    mean = float(table["loss"].mean()) if "loss" in table else None
    if as_json:
        print(to_json({"out": str(out), "n": reader.n, "mean_loss": mean}))
    elif not quiet:
        of_loss = "without labels" if mean is None else f"mean {loss} {mean:.4g}"
        terminal.say(f"Written to {out}: {reader.n:,} images, {of_loss}.")
