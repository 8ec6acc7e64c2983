"""Outputs of trained networks: held-out files, sketches of all pixels, whole scenes.

n = items of a part, b = items of a batch, K = classes, P = pixels taken from each image.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from recuse._internal.files import atomic
from recuse.errors import InputError
from recuse.evaluation._shards import scale_of
from recuse.io import write_logits
from recuse.recipes._models import SHIFT, SPLITS, Model, check_data
from recuse.recipes._recipe import PIXELS, Recipe, Settings
from recuse.scores import Score, predict
from recuse.sketch import CurveSketch

if TYPE_CHECKING:
    from jaxtyping import Float, Int64, UInt8
    from numpy import ndarray as Array
    from torch import nn

    from recuse.recipes.data import Part, Parts

BATCH = 256  # items of a batch
BATCH_OF_IMAGES = 8  # where every pixel has logits
FEW = 5  # images of which all pixels are saved
SCENES = "scenes.npz"


class Experiment(NamedTuple):
    """A recipe, its data and its settings, to compute more with the trained models."""

    recipe: Recipe
    data: Path | None
    settings: Settings
    options: Mapping[str, Any] | None = None  # of the data


class Place(NamedTuple):
    """Where the logits of a part go, and how its items are numbered."""

    folder: Path
    split: str
    seed: int  # of the sampled pixels
    first: int  # number of the first item among the items of all held-out parts


def save_logits(
    recipe: Recipe, network: nn.Module, parts: Parts, seed: int, folder: Path, device: str
) -> None:
    """Write one held-out file for each of the three splits."""
    first = 0
    for split in SPLITS:
        part: Part = getattr(parts, split)
        place = Place(folder, split, seed, first)
        save_part(recipe, network, part, parts.ignore_index, place, device)
        first += len(part.data)


def save_part(
    recipe: Recipe,
    network: nn.Module,
    part: Part,
    ignore_index: int | None,
    place: Place,
    device: str,
) -> None:
    """Write the logits of one part; of each image at most `pixels_per_image` pixels."""
    batches = outputs(recipe, network, part, device)
    fields: dict[str, Any]
    if recipe.output == PIXELS:
        fields = _pixels(recipe, batches, part, ignore_index, place)
    else:
        z, y = (np.concatenate(column) for column in zip(*batches))
        fields = {"logits": z, "labels": y, "ids": part.ids, "groups": part.groups}
    # .safetensors holds no text, such as the names of files
    text = any(a is not None and a.dtype.kind in "US" for a in (part.ids, part.groups))
    path = place.folder / f"{place.split}{'.npz' if text else '.safetensors'}"
    write_logits(path, kind=recipe.kind, **fields)


def outputs(
    recipe: Recipe, network: nn.Module, part: Part, device: str
) -> Iterator[tuple[Float[Array, "b K ..."], Int64[Array, "b ..."]]]:
    """Yield logits and labels, batch by batch in the order of the part."""
    import torch

    from recuse.recipes.data._parts import collate

    size = BATCH_OF_IMAGES if recipe.output == PIXELS else BATCH
    loader = torch.utils.data.DataLoader(part.data, batch_size=size, collate_fn=collate)
    network = network.to(device).eval()
    for x, y in loader:
        x = x.to(device)
        if recipe.channels_last:
            x = x.contiguous(memory_format=torch.channels_last)
        with torch.no_grad():  # not around the loop: a generator would leave its caller without
            z = network(x)
        yield z.float().cpu().contiguous().numpy(), _at_logits(y.numpy(), z.shape[2:])


def sketches(
    of: Experiment, models: Sequence[Model], scores: Callable[[Model], Sequence[Score]]
) -> dict[Model, list[CurveSketch]]:
    """Return the curves of all labelled test pixels by each score; empty for other outputs.

    The sketches are saved beside the logits and reused, with a few whole scenes for pictures.
    """
    recipe, device = of.recipe, of.settings.device
    if recipe.output != PIXELS:
        return {}
    found = {model: _saved_sketches(model, scores(model)) for model in models}
    todo = [model for model, there in found.items() if not there]
    for model, parts, network in _reloaded(of, todo):
        wanted, void = scores(model), parts.ignore_index
        found[model] = sketch_pixels(recipe, network, parts.test, void, wanted, device)
        save_scenes(recipe, network, parts.test, model.folder / SCENES, device)
        for score, sketch in zip(wanted, found[model]):
            sketch.save(_sketch_path(model, score))
    return found


def _saved_sketches(model: Model, scores: Sequence[Score]) -> list[CurveSketch]:
    """Load the sketches of these scores, if an earlier call saved all of them."""
    paths = [_sketch_path(model, score) for score in scores]
    if not all(path.exists() for path in [*paths, model.folder / SCENES]):
        return []
    found = [CurveSketch.load(path) for path in paths]
    same = [sketch.about.get("score") for sketch in found] == [str(score) for score in scores]
    return found if same else []


def _sketch_path(model: Model, score: Score) -> Path:
    return model.folder / f"all-pixels-{score.name}.npz"


def shifted(of: Experiment, models: Sequence[Model]) -> bool:
    """Save logits of the test classes from another source, such as drawings, as split `shift`.

    Returns:
        True if the recipe has such a source and its data exist.
    """
    if of.recipe.shift is None:
        return False
    todo = [model for model in models if not model.has(SHIFT)]
    for model, parts, network in _reloaded(of, todo):
        part = of.recipe.shift(of.data, parts)
        if part is None:
            return False
        first = sum(len(p.data) for p in (parts.tune, parts.calibrate, parts.test))
        place = Place(model.folder, SHIFT, model.seed, first)
        save_part(of.recipe, network, part, parts.ignore_index, place, of.settings.device)
    return True


def _reloaded(of: Experiment, models: Sequence[Model]) -> Iterator[tuple[Model, Parts, nn.Module]]:
    """Yield each model with the data of its seed and its trained network."""
    from recuse.recipes._train import trained
    from recuse.recipes.data._parts import digest_of

    for seed in sorted({model.seed for model in models}):
        options = {**of.recipe.options, **(of.options or {})}
        parts = of.recipe.load(of.data, seed=seed, **options)
        check_data(models[0].run, seed, digest_of(parts))
        for model in (m for m in models if m.seed == seed):
            yield model, parts, trained(of.recipe, parts, model.folder)


def sketch_pixels(
    recipe: Recipe,
    network: nn.Module,
    part: Part,
    ignore_index: int | None,
    scores: Sequence[Score],
    device: str,
) -> list[CurveSketch]:
    """Return one sketch for each score, of every labelled pixel of a part."""
    found = [CurveSketch(scale_of(s), about={"score": str(s)}) for s in scores]
    for z, y in outputs(recipe, network, part, device):
        counted = np.ones(y.shape, bool) if ignore_index is None else y != ignore_index
        wrong = (predict(z) != y)[counted]
        for sketch, score in zip(found, scores):
            sketch.update(score(z)[counted], wrong)
    return found


def save_scenes(recipe: Recipe, network: nn.Module, part: Part, path: Path, device: str) -> None:
    """Write all pixels of S images, evenly spaced in a part, to a .npz for pictures.

    image (S, h, w, 3) uint8, logits (S, K, H, W) float16, labels (S, H, W), item (S,)
    """
    from torch.utils.data import Subset

    items = np.unique(np.linspace(0, len(part.data) - 1, FEW).round().astype(int))
    few: Any = Subset(part.data, items.tolist())
    z, y = (
        np.concatenate(c) for c in zip(*outputs(recipe, network, part._replace(data=few), device))
    )
    image = np.stack([_as_image(few[i][0].numpy()) for i in range(len(items))])
    with atomic(path) as temporary:
        np.savez_compressed(
            temporary, image=image, logits=z.astype(np.float16), labels=y, item=items
        )


def _as_image(x: Float[Array, "3 h w"]) -> UInt8[Array, "h w 3"]:
    """Stretch an input of the network to 0..255."""
    low, high = x.min(), x.max()
    return np.rint(255 * (x - low) / max(high - low, 1e-9)).astype(np.uint8).transpose(1, 2, 0)


def _pixels(
    recipe: Recipe,
    batches: Iterable[tuple[Any, Any]],
    part: Part,
    ignore_index: int | None,
    place: Place,
) -> dict[str, Any]:
    """Return rows of sampled pixels, grouped by image or by the group of the image.

    The pixels depend on the seed and the image only, so they are the same for every loss.
    """
    found: dict[str, list[Any]] = {"logits": [], "labels": [], "ids": [], "groups": []}
    image = place.first
    for z_b, y_b in batches:
        for z, y in zip(z_b.reshape(*z_b.shape[:2], -1), y_b.reshape(len(y_b), -1)):
            spots = _spots(y, ignore_index, recipe.pixels_per_image, (place.seed, image))
            group = image if part.groups is None else part.groups[image - place.first]
            found["logits"].append(z[:, spots].T)
            found["labels"].append(y[spots])
            found["ids"].append(image * y.size + spots)
            found["groups"].append(np.full(spots.size, group))
            image += 1
    if image == place.first:
        raise InputError(f"{recipe.name}: expected at least one image in {place.split}, got none")
    return {name: np.concatenate(column) for name, column in found.items()}


def _spots(
    labels: Int64[Array, " pixels"], ignore_index: int | None, count: int | None, seed: Any
) -> Int64[Array, " P"]:
    """Sample at most `count` labelled pixels of an image, in their order."""
    counted = np.arange(labels.size)
    if ignore_index is not None:
        counted = counted[labels != ignore_index]
    if count is None or counted.size <= count:
        return counted
    return np.sort(np.random.default_rng(seed).choice(counted, count, replace=False))


def _at_logits(y: Int64[Array, "b ..."], size: Sequence[int]) -> Int64[Array, "b ..."]:
    """Take the labels nearest to the places of a coarser map of logits."""
    if y.shape[1:] == tuple(size):
        return y
    rows, columns = (
        ((np.arange(few) + 0.5) * many / few).astype(int) for few, many in zip(size, y.shape[1:])
    )
    return y[:, rows[:, None], columns]
