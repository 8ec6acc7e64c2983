"""A model over a folder of images -> a held-out file, or a folder of shards.

n = images, K = outputs of the model.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from recuse._internal.check import check_logits_form, extra
from recuse._internal.files import atomic_folder
from recuse._internal.progress import bar
from recuse.collect._collect import collect_logits
from recuse.collect._images import UNKNOWN, Images, ImageTree, image_tree, labels_of, read_class_map
from recuse.collect._models import Model, load_model
from recuse.errors import InputError
from recuse.io import LogitsFile, open_logits, write_logits
from recuse.scores import predict

if TYPE_CHECKING:
    from torch import Tensor

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
) -> LogitsFile:
    """Write the batches as a file; labels are `UNKNOWN` where images have none."""
    ignored = UNKNOWN if images.labels is None else None
    file = collect_logits(
        model.logits, batches, out, device=device, ignore_index=ignored, progress=False
    )
    return file if images.labels is not None else write_logits(out, file.logits, ids=file.ids)


def _batches(images: Images, size: int, workers: int | None, progress: bool) -> Iterator[Any]:
    """Read batches of (pixels, labels, ids), by as many processes as there is work for."""
    from torch.utils.data import DataLoader

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
