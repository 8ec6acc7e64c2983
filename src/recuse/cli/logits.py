"""`recuse logits`: a model over a folder of images -> a logits file.

n = images, K = outputs of the model.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator
from contextlib import redirect_stdout
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import numpy as np
import typer

from recuse._internal.check import check_logits_form, extra
from recuse._internal.files import atomic_folder, to_json
from recuse.cli.files import refuse_overwrite
from recuse.cli.model import load_function
from recuse.cli.options import Force, Json, Quiet
from recuse.collect._collect import collect_logits
from recuse.errors import InputError
from recuse.io import LogitsFile, open_logits, write_logits
from recuse.present import terminal
from recuse.present.numbers import percent
from recuse.scores import predict

if TYPE_CHECKING:
    from torch import Tensor
    from torch.nn import Module

    from recuse.collect.images import Images, ImageTree

TIMM = "timm:"
ENDINGS = ("", ".npz", ".parquet")
SHARD = 1 << 26  # bytes of logits in one shard
SHARDS = re.compile(r"\d{5}\.npz")  # how they are called, in an output folder
NEEDS = "recuse logits"


class Model(NamedTuple):
    """What SOURCE stands for."""

    source: str
    module: Module
    transform: Any  # of an image of Pillow, to a tensor (c, h, w)
    mode: str  # of that image
    about: str  # weights and preprocessing, in words

    def logits(self, pixels: Tensor) -> Tensor:
        """Of a batch (n, c, h, w), in a dtype that every format holds."""
        try:
            z = self.module(pixels)
        except (Exception, SystemExit) as error:
            shape, reason = tuple(pixels.shape), " ".join(str(error).split())
            raise InputError(
                f"{self.source}: the model fails on images of shape {shape}: {reason}"
            ) from error
        return z.float() if str(getattr(z, "dtype", "")) == "torch.bfloat16" else z


def logits(
    source: Annotated[
        str,
        typer.Argument(
            metavar="SOURCE",
            help="timm:NAME, or path.py:function, your function that returns the torch module, or "
            "(module, transform) with the transform of an image.",
        ),
    ],
    data: Annotated[
        Path,
        typer.Option("--data", help="Folder of images, in one folder for each class if labelled."),
    ],
    out: Annotated[
        Path,
        typer.Option(
            "--out",
            help="A .npz or .parquet file, or a name without an ending: a folder of shards.",
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
            help="Fetch timm's weights over the network, as is done without --checkpoint; or leave "
            "them random.",
        ),
    ] = None,
    class_map: Annotated[
        str | None,
        typer.Option(
            "--class-map",
            help="Which output is the class of a folder: a csv with the header folder,index, or "
            "imagenet-1k for folders named by WordNet ids.",
        ),
    ] = None,
    batch_size: Annotated[int, typer.Option("--batch-size", min=1, help="Images at once.")] = 64,
    device: Annotated[
        str | None, typer.Option("--device", help="Such as cpu or cuda:0; a GPU if there is one.")
    ] = None,
    workers: Annotated[
        int | None,
        typer.Option("--workers", min=0, help="Processes that read images; at most 4 by default."),
    ] = None,
    limit: Annotated[
        int | None,
        typer.Option("--limit", min=1, help="Use so many images, evenly spaced over all."),
    ] = None,
    force: Force = False,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """A model over a folder of images: logits, labels (sorted class folders), ids (file names).

    The images are prepared as timm's configuration of the model says: size, crop, mean and standard
    deviation. Use images that the model was not trained on.
    """
    refuse_overwrite(out, force, data, *([] if checkpoint is None else [checkpoint]))
    _check_out(out)
    for package in ("torch", "PIL"):
        extra(package, "vision", NEEDS)
    from recuse.collect.images import Images, image_tree, labels_of, read_class_map

    tree = image_tree(data)
    where = _device(device)
    given = None if class_map is None else read_class_map(class_map)
    with redirect_stdout(sys.stderr):  # what the user's code prints is no result
        model = _load(source, checkpoint, pretrained)
        classes = _outputs(model, tree, where)
        labels_of(tree, classes, given)  # refused for all images, even under --limit
        kept = tree.spread(limit)
        labels = labels_of(kept, classes, given)
        images = Images(data, kept.ids, labels, model.transform, model.mode)
        batches = _batches(images, batch_size, workers, quiet)
        _write(model, images, batches, out, where, max(1, SHARD // (4 * classes * batch_size)))
    found = _summary(out, model.about)
    if as_json:
        print(to_json({"out": str(out), "model": source, **found}))
    elif not quiet:
        _show(out, found)


def _check_out(out: Path) -> None:
    """What can hold ids that are text, and a folder that holds nothing else."""
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


def _load(source: str, checkpoint: Path | None, pretrained: bool | None) -> Model:
    """The model of SOURCE with its weights."""
    if checkpoint is not None and pretrained:
        raise InputError("expected --pretrained or --checkpoint, got both")
    if source.startswith(TIMM):
        return _of_timm(source, checkpoint, checkpoint is None and pretrained is not False)
    if pretrained is not None:
        raise InputError("--pretrained is for timm:NAME: a function loads its own weights")
    from recuse.collect.weights import load_weights, read_weights

    module, transform = _made_by(source)
    if checkpoint is not None:
        load_weights(module, read_weights(checkpoint), str(checkpoint))
    weights = f"weights of {source if checkpoint is None else checkpoint}"
    if transform is not None:
        return Model(source, module, transform, "RGB", f"{weights}; images by its own transform")
    return _prepared(source, module, weights)


def _made_by(source: str) -> tuple[Module, Any]:
    from torch.nn import Module

    found = load_function(source, name="timm:NAME or")()
    module, transform = found if isinstance(found, tuple) and len(found) == 2 else (found, None)
    if not isinstance(module, Module) or not (transform is None or callable(transform)):
        raise InputError(
            f"{source}: expected a torch module, or (module, transform), got {type(found).__name__}"
        )
    return module, transform


def _of_timm(source: str, checkpoint: Path | None, pretrained: bool) -> Model:
    import torch

    from recuse.collect.from_timm import create
    from recuse.collect.weights import load_weights, read_weights

    name = source.removeprefix(TIMM)
    torch.manual_seed(0)  # of random weights
    if checkpoint is None:
        module = create(name, pretrained=pretrained)
        return _prepared(source, module, f"weights of {source}" if pretrained else "random weights")
    weights = read_weights(checkpoint)
    module = create(name, like=weights)
    load_weights(module, weights, str(checkpoint))
    return _prepared(source, module, f"weights of {checkpoint}")


def _prepared(source: str, module: Module, weights: str) -> Model:
    """With the preprocessing that timm has for it."""
    from recuse.collect.from_timm import preprocessing

    transform, mode, words = preprocessing(module)
    return Model(source, module, transform, mode, f"{weights}; images {words}")


def _outputs(model: Model, tree: ImageTree, device: Any) -> int:
    """K, from the first image: what does not work is said before all the others are read."""
    import torch

    from recuse.collect.images import Images

    pixels = Images(tree.root, tree.ids, None, model.transform, model.mode)[0][0]
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
    """One file from memory; or shards of `size` batches: memory does not grow with the images."""
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
    """The batches as a file; images without labels had `UNKNOWN` ones until here."""
    from recuse.collect.images import UNKNOWN

    ignored = UNKNOWN if images.labels is None else None
    file = collect_logits(
        model.logits, batches, out, device=device, ignore_index=ignored, progress=False
    )
    return file if images.labels is not None else write_logits(out, file.logits, ids=file.ids)


def _batches(images: Images, size: int, workers: int | None, quiet: bool) -> Iterator[Any]:
    """Batches of (pixels, labels, ids), read by as many processes as there is work for."""
    from rich.progress import track
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
    screen = terminal.console(stderr=True)
    silent = quiet or not screen.is_terminal
    bar = track(loader, "logits", steps, console=screen, transient=True, disable=silent)
    try:
        yield from bar
    except InputError as error:  # of a process that reads: its traceback stands before it
        raise InputError(str(error).splitlines()[-1].split("InputError: ")[-1]) from None


def _workers() -> int:
    """As many as there are cores, up to 4; none where they could not be forked."""
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


def _summary(out: Path, about: str) -> dict[str, Any]:
    """What the file holds, read from it."""
    reader = open_logits(out)
    right = None
    if "labels" in reader.fields:
        right = sum(int((predict(c.logits) == c.labels).sum()) for c in reader.chunks())
    return {
        "n": reader.n,
        "classes": reader.shape[1],
        "accuracy": None if right is None else right / reader.n,
        "about": about,
    }


def _show(out: Path, found: dict[str, Any]) -> None:
    accuracy = found["accuracy"]
    judged = "no labels" if accuracy is None else f"accuracy {percent(accuracy, 1)}"
    terminal.say(
        f"Written to {out}: {found['n']:,} images, {found['classes']:,} classes, {judged}."
    )
    terminal.say(f"{found['about'][0].upper()}{found['about'][1:]}.")
    then = f"recuse predict rejector.json {out}" if accuracy is None else f"recuse diagnose {out}"
    terminal.say(f"Next: {then}")
