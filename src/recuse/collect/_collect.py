"""From a torch model to a held-out file, over a loader or over a folder of images.

n = images, K = outputs of the model.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from recuse._internal import public
from recuse._internal.check import check_logits_form, extra, first_of, rows_from, to_numpy
from recuse._internal.files import atomic_folder
from recuse.collect._images import UNKNOWN, Images, ImageTree, image_tree, labels_of, read_class_map
from recuse.collect._models import TIMM, Model, load_model
from recuse.errors import InputError
from recuse.io import HeldOut, open_logits, write_logits
from recuse.io._checked import naming
from recuse.io._rows import TRAINER_IGNORES, About, classes_second
from recuse.io._write import check_suffix, check_writable
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
    name: str | None = None,
) -> HeldOut:
    """Run a model over a loader and write its logits and labels to a file.

    The model runs in evaluation mode, without gradients, and its mode is restored. Half precision
    is kept. The first batch is checked before the others run. If a later one fails, the rows before
    it are written to the name of `out` with `.partial` behind it, and the error says so.

    Args:
        model: A module, or any function: inputs -> logits (n, K, ...), or a tuple that begins with
            them, or a mapping with `logits`, such as a `ModelOutput`, whose classes are last where
            there are tokens (n, T, K).
        loader: Yields (inputs, labels) or (inputs, labels, ids), labels (n, ...) and ids
            (n,) integers; or mappings with `labels`, and `ids` if there are any, whose other
            entries are the keywords of the model: labels of -100 do not count there, and shorter
            sequences are filled up with them. Do not shuffle if the order of the rows matters to
            you.
        out: The file to write, as `write_logits` takes it.
        device: Device of the inputs; by default that of the model's parameters.
        ignore_index: Label outside 0..K-1 that is allowed (void pixels).
        progress: Show a bar, on a terminal or in a notebook.
        name: Name of the model, which the file keeps; of a module, by default, its class and a
            digest of its weights.

    Raises:
        InputError: The loader is empty or yields something else, or the file cannot hold it.
        MissingExtraError: torch is not installed.
    """
    from recuse.present.terminal import bar

    torch = extra("torch", "torch", "collect_logits")
    path = check_suffix(out)  # before the model runs for an hour
    if device is None:
        parameters = model.parameters() if hasattr(model, "parameters") else ()
        device = next((p.device for p in parameters), torch.device("cpu"))
    modules = list(model.modules()) if hasattr(model, "modules") else []
    training = [module.training for module in modules]  # frozen parts stay as they are
    if hasattr(model, "eval"):
        model.eval()
    try:
        with torch.no_grad():
            batches = _collected(
                model, bar(loader, "logits", show=progress), device, path, ignore_index
            )
    finally:
        for module, mode in zip(modules, training):
            module.training = mode
    if not batches:
        raise InputError("expected a loader with at least one batch, got none")
    name = _name_of(model) if name is None else name
    written = _write_batches(path, batches, name=name)
    _remove(_partial(path))
    return written


class Batch(NamedTuple):
    """Rows that a model was run on; b of them."""

    fields: dict[str, np.ndarray]
    ignore_index: int | None


def _collected(
    model: Any, loader: Iterable[Any], device: Any, path: Path, ignore_index: int | None
) -> list[Batch]:
    """Return all batches, each checked; on an error write those before it and say where."""
    batches: list[Batch] = []
    try:
        for given in loader:
            batch = _batch(model, given, device, ignore_index)
            with naming(str(path)), rows_from(sum(map(_rows, batches))):
                check_writable(path, batch.fields, About(ignore_index=batch.ignore_index))
            _check_alike(batches[0] if batches else batch, batch)
            batches.append(batch)
    except BaseException as error:
        if not batches:
            raise
        kept, partial = sum(map(_rows, batches)), _partial(path)
        _keep(path, batches)
        said = f"the {kept:,} rows of the {len(batches):,} batches before it are in {partial}"
        if isinstance(error, InputError):
            raise InputError(f"{error}; {said}") from error
        error.add_note(f"recuse: {said}")
        raise
    return batches


def _batch(model: Any, given: Any, device: Any, ignore_index: int | None) -> Batch:
    """Return the outputs and labels of one batch, classes on axis 1."""
    named = isinstance(given, Mapping)
    if named:
        if "labels" not in given:
            raise InputError(f"expected batches with `labels`, got {', '.join(map(str, given))}")
        inputs = {k: _on(v, device) for k, v in given.items() if k not in ("labels", "ids")}
        rest = [given["labels"], *([given["ids"]] if "ids" in given else [])]
        outputs = model(**inputs)
        ignore_index = TRAINER_IGNORES if ignore_index is None else ignore_index
    else:
        if not isinstance(given, (tuple, list)) or len(given) not in (2, 3):
            raise InputError(
                "expected batches (inputs, labels) or (inputs, labels, ids), or mappings with "
                f"`labels`, got {type(given).__name__}"
            )
        outputs, rest = model(_on(given[0], device)), given[1:]
    z = to_numpy(first_of(outputs))
    if named or isinstance(outputs, Mapping):
        z = np.ascontiguousarray(z.transpose(classes_second(z.shape)))
    return Batch(dict(zip(("logits", "labels", "ids"), (z, *map(to_numpy, rest)))), ignore_index)


def _on(x: Any, device: Any) -> Any:
    return x.to(device) if hasattr(x, "to") else x


def _rows(batch: Batch) -> int:
    return len(batch.fields["logits"])


def _check_alike(first: Batch, batch: Batch) -> None:
    """Refuse a batch that differs from the first one in more than its length."""
    a, b = ({k: (x.shape[1:], x.dtype.kind) for k, x in y.fields.items()} for y in (first, batch))
    if _of_tokens(batch):
        a, b = ({k: v[1:] if k != "ids" else v for k, v in x.items()} for x in (a, b))
    if a != b:
        shapes = (
            ", ".join(f"{k} {x.dtype} {x.shape}" for k, x in y.fields.items())
            for y in (batch, first)
        )
        raise InputError(
            f"expected batches that differ in length only, got {' after '.join(shapes)}"
        )


def _of_tokens(batch: Batch) -> bool:
    return batch.fields["logits"].ndim == 3 and batch.ignore_index is not None


def _write_batches(
    path: Path, batches: list[Batch], *, unlabelled: bool = False, name: str | None = None
) -> HeldOut:
    """Write all batches as one file; shorter sequences are filled up with ignored labels.

    With `unlabelled`, labels that are all ignored are left out.
    """
    if _of_tokens(batches[0]):
        longest = max(batch.fields["logits"].shape[2] for batch in batches)
        batches = [_filled(batch, longest) for batch in batches]
    fields: dict[str, Any] = {
        name: np.concatenate([batch.fields[name] for batch in batches])
        for name in batches[0].fields
    }
    if unlabelled and (fields["labels"] == batches[0].ignore_index).all():
        del fields["labels"]
    return write_logits(path, **fields, ignore_index=batches[0].ignore_index, model=name)


def _name_of(model: Any, source: str | None = None) -> str | None:
    """Return the source of a module, or its class, with a digest of its weights.

    A compiled or distributed module is the model inside.
    """
    if not (hasattr(model, "parameters") and hasattr(model, "buffers")):
        return source
    import torch

    for inner in ("_orig_mod", "module"):  # of torch.compile, of DistributedDataParallel
        found = getattr(model, inner, None)
        model = found if isinstance(found, torch.nn.Module) else model
    state = hashlib.sha256()
    name = type(model).__name__ if source is None else source
    try:
        for x in (*model.parameters(), *model.buffers()):
            state.update(f"{x.dtype}{tuple(x.shape)}".encode())
            flat = x.detach().cpu().contiguous().reshape(-1)
            state.update(flat.view(torch.uint8).numpy().data)
    except (RuntimeError, TypeError, NotImplementedError):  # of weights without bytes of their own
        return name
    return f"{name} sha256:{state.hexdigest()[:DIGITS]}"


def _filled(batch: Batch, longest: int) -> Batch:
    z, labels = batch.fields["logits"], batch.fields["labels"]
    more, ignored = longest - z.shape[2], batch.ignore_index
    filled = {
        "logits": np.pad(z, ((0, 0), (0, 0), (0, more))),
        "labels": np.pad(labels, ((0, 0), (0, more)), constant_values=int(ignored or 0)),
    }
    return batch._replace(fields=batch.fields | filled) if more else batch


def _partial(path: Path) -> Path:
    """Return the name of what was collected before an error; no folder of shards holds it."""
    return path.with_name(f"{path.name}.partial")


def _keep(path: Path, batches: list[Batch]) -> None:
    """Write what was collected; under its own name when it is whole."""
    partial = _partial(path)
    _remove(partial)
    with tempfile.TemporaryDirectory(prefix=f".{path.name}.", dir=path.parent) as folder:
        whole = Path(folder) / path.name
        _write_batches(whole, batches, unlabelled=True)
        whole.rename(partial)


def _remove(path: Path) -> None:
    """Remove what an earlier run left behind."""
    shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)


ENDINGS = ("", ".npz", ".parquet")
DIGITS = 12  # of a digest of weights
SHARD = 1 << 26  # bytes of logits in one shard
SHARDS = re.compile(r"\d{5}\.npz")  # names in an output folder


class Collected(NamedTuple):
    """What was written, and how."""

    n: int
    classes: int
    accuracy: float | None  # None without labels
    weights: str | None  # where they are from; None if random
    preprocessing: Any  # configuration of timm; None where the transform is the user's
    model: str | None  # name and digest of the weights


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
    name = _name_of(model.module, source if source.startswith(TIMM) else None)
    size = max(1, SHARD // (4 * classes * batch_size))
    _write(
        partial(_collect, model, images, device=where, name=name), len(images), batches, out, size
    )
    written = open_logits(out)
    right = None
    if "labels" in written.fields:
        right = sum(int((predict(c.logits) == c.labels).sum()) for c in written.chunks())
    accuracy = None if right is None else right / written.n
    how = (model.weights, model.images.config, name)
    return Collected(written.n, written.shape[1], accuracy, *how)


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
    collect: Callable[[Iterator[Any], Path], HeldOut],
    n: int,
    batches: Iterator[Any],
    out: Path,
    size: int,
) -> None:
    """Write one file from memory; or shards of `size` batches, in bounded memory."""
    if out.suffix:
        collect(batches, out)
        return
    with atomic_folder(out) as folder:
        done = shard = 0
        try:
            while done < n:
                part = islice(batches, size)
                done += len(collect(part, folder / f"{shard:05}.npz"))
                shard += 1
        except BaseException as error:
            if any(folder.iterdir()):
                _remove(_partial(out))
                for shard in folder.glob("*.partial"):
                    shard.rename(shard.with_suffix(""))
                folder.rename(_partial(out))
                said = f"the rows before it are in {_partial(out)}"
                if isinstance(error, InputError):
                    raise InputError(f"{str(error).partition('; the ')[0]}; {said}") from error
                error.add_note(f"recuse: {said}")
            raise
    _remove(_partial(out))


def _collect(
    model: Model,
    images: Images,
    batches: Iterator[Any],
    out: Path,
    *,
    device: Any,
    name: str | None,
) -> HeldOut:
    """Write the batches as a file; labels are `UNKNOWN` where images have none."""
    ignored = UNKNOWN if images.labels is None else None
    options: dict[str, Any] = {"device": device, "ignore_index": ignored, "name": name}
    file = collect_logits(model.logits, batches, out, **options, progress=False)
    if images.labels is not None:
        return file
    return write_logits(out, file.logits, ids=file.ids, model=name)


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
