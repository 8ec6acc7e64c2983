"""From a torch model to a held-out file, over a loader or over a folder of images.

n = images, K = outputs of the model.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from recuse._internal import public
from recuse._internal.check import check_logits_form, extra, to_numpy
from recuse._internal.files import atomic_folder
from recuse.collect._images import UNKNOWN, Images, ImageTree, image_tree, labels_of, read_class_map
from recuse.collect._models import Model, load_model
from recuse.errors import InputError
from recuse.io import HeldOut, open_logits, write_logits
from recuse.io._write import check_suffix
from recuse.scores import predict

if TYPE_CHECKING:
    from torch import Tensor


@public
def collect_logits(
    model: Any,
    loader: Iterable[Any],
    out: str | os.PathLike,
    *,
    device: Any = None,
    ignore_index: int | None = None,
    progress: bool = True,
) -> HeldOut:
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
    from recuse.present.terminal import bar

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


ENDINGS = ("", ".npz", ".parquet")
SHARD = 1 << 26  # bytes of logits in one shard
SHARDS = re.compile(r"\d{5}\.npz")  # names in an output folder


class Collected(NamedTuple):
    """What was written, and how."""

    n: int
    classes: int
    accuracy: float | None  # None without labels
    weights: str | None  # where they are from; None if random
    preprocessing: Any  # configuration of timm; None where the transform is the user's


def collect_folder(
    source: str,
    data: Path,
    out: Path,
    *,
    checkpoint: Path | None = None,
    pretrained: bool | None = None,
    class_map: str | None = None,
    batch_size: int = 64,
    device: str | None = None,
    workers: int | None = None,
    limit: int | None = None,
    progress: bool = True,
) -> Collected:
    """Run a model over a folder of images and write logits, labels and ids.

    Args:
        source: The model, as in `load_model`.
        data: Folder of images, in one folder for each class if they are labelled.
        out: A .npz or .parquet file, or a name without an ending for a folder of shards.
        checkpoint: Weights in a file.
        pretrained: Whether to fetch timm's weights, as in `load_model`.
        class_map: A csv of folder,index, or imagenet-1k, as in `read_class_map`.
        batch_size: Images at once.
        device: Such as cpu or cuda:0; a GPU if there is one.
        workers: Processes that read images; by default at most 4.
        limit: Use so many images, evenly spaced over all.
        progress: Show a bar on a terminal.

    Raises:
        InputError: One line on the images, the model or the output.
        MissingExtraError: A package of the extra `vision` is not installed.
    """
    _check_out(out)
    for package in ("torch", "PIL"):
        extra(package, "vision", "recuse logits")
    tree = image_tree(data)
    where = _device(device)
    given = None if class_map is None else read_class_map(class_map)
    model = load_model(source, checkpoint, pretrained)
    classes = _outputs(model, tree, where)
    labels_of(tree, classes, given)  # refused for all images, even under a limit
    kept = tree.spread(limit)
    labels = labels_of(kept, classes, given)
    images = Images(data, kept.ids, labels, model.images.transform, model.images.mode)
    batches = _batches(images, batch_size, workers, progress)
    _write(model, images, batches, out, where, max(1, SHARD // (4 * classes * batch_size)))
    written = open_logits(out)
    right = None
    if "labels" in written.fields:
        right = sum(int((predict(c.logits) == c.labels).sum()) for c in written.chunks())
    accuracy = None if right is None else right / written.n
    return Collected(written.n, written.shape[1], accuracy, model.weights, model.images.config)


def _check_out(out: Path) -> None:
    """Refuse a format that holds no text, and a folder that holds something else."""
    if out.suffix not in ENDINGS or not out.name:
        text = " holds no text, and the ids are names of files" * (out.suffix == ".safetensors")
        raise InputError(
            f"{out}: expected a name ending in .npz or .parquet, or one without an ending, "
            f"got {out.suffix or 'none'}{text}"
        )
    if out.suffix == ".parquet":
        extra("pyarrow", "parquet", "writing .parquet")
    others = [p.name for p in out.iterdir() if not SHARDS.fullmatch(p.name)] if out.is_dir() else []
    if others:
        raise InputError(f"{out}: expected a folder of shards to overwrite, got {others[0]} in it")


def _device(name: str | None) -> Any:
    import torch

    if name is None:
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        torch.zeros(1, device=name)
        return torch.device(name)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise InputError(
            f"expected --device such as cpu or cuda:0, got {name} ({reason})"
        ) from None


def _outputs(model: Model, tree: ImageTree, device: Any) -> int:
    """Return K, from the first image, so that a model that does not work fails early."""
    import torch

    how = model.images
    pixels = Images(tree.root, tree.ids, None, how.transform, how.mode)[0][0]
    if not isinstance(pixels, torch.Tensor):
        kind = type(pixels).__name__
        raise InputError(f"{model.source}: expected a transform to a tensor (c, h, w), got {kind}")
    model.module.to(device).eval()
    with torch.no_grad():
        return _classes(model.logits(pixels[None].to(device)), model.source)


def _classes(z: Tensor, source: str) -> int:
    shape = tuple(getattr(z, "shape", ()))
    if len(shape) != 2 or shape[0] != 1:
        got = shape if shape else type(z).__name__
        raise InputError(f"{source}: expected logits of shape (1, K) for one image, got {got}")
    check_logits_form(shape, np.dtype(np.float32), where=f"logits of {source}")
    return shape[1]


def _write(
    model: Model, images: Images, batches: Iterator[Any], out: Path, device: Any, size: int
) -> None:
    """Write one file from memory; or shards of `size` batches, in bounded memory."""
    if out.suffix:
        _collect(model, images, batches, out, device)
        return
    with atomic_folder(out) as folder:
        done = shard = 0
        while done < len(images):
            part = islice(batches, size)
            done += len(_collect(model, images, part, folder / f"{shard:05}.npz", device))
            shard += 1


def _collect(
    model: Model, images: Images, batches: Iterator[Any], out: Path, device: Any
) -> HeldOut:
    """Write the batches as a file; labels are `UNKNOWN` where images have none."""
    ignored = UNKNOWN if images.labels is None else None
    file = collect_logits(
        model.logits, batches, out, device=device, ignore_index=ignored, progress=False
    )
    return file if images.labels is not None else write_logits(out, file.logits, ids=file.ids)


def _batches(images: Images, size: int, workers: int | None, progress: bool) -> Iterator[Any]:
    """Read batches of (pixels, labels, ids), by as many processes as there is work for."""
    from torch.utils.data import DataLoader

    from recuse.present.terminal import bar

    steps = -(-len(images) // size)
    workers = min(_workers() if workers is None else workers, steps)
    forked = workers > 0 and sys.platform == "linux"  # has the functions of the user's file
    loader = DataLoader(
        images,  # ty: ignore[invalid-argument-type]
        size,
        num_workers=workers,
        collate_fn=_stacked,
        multiprocessing_context="fork" if forked else None,
    )
    try:
        yield from bar(loader, "logits", show=progress)
    except InputError as error:  # of a process that reads: its traceback stands before it
        raise InputError(str(error).splitlines()[-1].split("InputError: ")[-1]) from None


def _workers() -> int:
    """Return the number of cores, up to 4; 0 where processes could not be forked."""
    return min(4, os.cpu_count() or 1) if sys.platform == "linux" else 0


def _stacked(rows: list[tuple[Tensor, int, str]]) -> tuple[Tensor, Tensor, list[str]]:
    import torch

    pixels, labels, ids = (list(column) for column in zip(*rows))
    for name, x in zip(ids, pixels):
        if x.shape != pixels[0].shape:
            raise InputError(
                f"expected images of one size from the transform, got {tuple(pixels[0].shape)} for "
                f"{ids[0]} and {tuple(x.shape)} for {name}"
            )
    return torch.stack(pixels), torch.tensor(labels), ids
