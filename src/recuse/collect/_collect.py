"""From a torch model and a loader to a held-out file."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Any

import numpy as np

from recuse._internal.check import extra, to_numpy
from recuse._internal.progress import bar
from recuse._internal.public import public
from recuse.errors import InputError
from recuse.io import LogitsFile, write_logits
from recuse.io._write import check_suffix


@public
def collect_logits(
    model: Any,
    loader: Iterable[Any],
    out: str | os.PathLike,
    *,
    device: Any = None,
    ignore_index: int | None = None,
    progress: bool = True,
) -> LogitsFile:
    """Run a model over a loader and write its logits and labels to a file.

    The model runs in evaluation mode, without gradients, and its mode is restored. Half precision
    is kept.

    Args:
        model: A module, or any function: inputs -> logits (n, K, ...).
        loader: Yields (inputs, labels) or (inputs, labels, ids), labels (n, ...) and ids
            (n,) integers. Do not shuffle if the order of the rows matters to you.
        out: The file to write, as `write_logits` takes it.
        device: Device of the inputs; by default that of the model's parameters.
        ignore_index: Label outside 0..K-1 that is allowed (void pixels).
        progress: Show a bar, on a terminal or in a notebook.

    Raises:
        InputError: The loader is empty or yields something else.
        MissingExtraError: torch is not installed.
    """
    torch = extra("torch", "torch", "collect_logits")
    check_suffix(out)  # before the model runs for an hour
    if device is None:
        parameters = model.parameters() if hasattr(model, "parameters") else ()
        device = next((p.device for p in parameters), torch.device("cpu"))
    modules = list(model.modules()) if hasattr(model, "modules") else []
    training = [module.training for module in modules]  # frozen parts stay as they are
    if hasattr(model, "eval"):
        model.eval()
    try:
        with torch.no_grad():
            batches = [
                _arrays(model, batch, device) for batch in bar(loader, "logits", show=progress)
            ]
    finally:
        for module, mode in zip(modules, training):
            module.training = mode
    if not batches:
        raise InputError("expected a loader with at least one batch, got none")
    try:
        columns = [np.concatenate(column) for column in zip(*batches, strict=True)]
    except ValueError as error:
        raise InputError(f"expected batches that differ in length only: {error}") from error
    ids = columns[2] if len(columns) == 3 else None
    return write_logits(out, columns[0], columns[1], ids=ids, ignore_index=ignore_index)


def _arrays(model: Any, batch: Any, device: Any) -> tuple[np.ndarray, ...]:
    if not isinstance(batch, (tuple, list)) or len(batch) not in (2, 3):
        raise InputError(
            "expected batches (inputs, labels) or (inputs, labels, ids), "
            f"got {type(batch).__name__}"
        )
    inputs = batch[0].to(device) if hasattr(batch[0], "to") else batch[0]
    return tuple(to_numpy(x) for x in (model(inputs), *batch[1:]))
