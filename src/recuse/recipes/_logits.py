"""From a trained network to the files that everything else reads, and to sketches of all pixels.

n = items of a part, b = items of a batch, K = classes, P = pixels taken of each image.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from recuse._internal.check import extra
from recuse._internal.files import atomic
from recuse.errors import InputError
from recuse.evaluation._shards import scale_of
from recuse.io import write_logits
from recuse.recipes._models import SPLITS
from recuse.recipes._recipe import PIXELS, Recipe
from recuse.recipes.data import Part, Parts, collate
from recuse.scores import Score, predict
from recuse.sketch import CurveSketch

torch = extra("torch", "train", "the training recipes")

if TYPE_CHECKING:
    from jaxtyping import Float, Int64, UInt8
    from numpy import ndarray as Array

BATCH = 256  # items at once, where the recipe's own batch is smaller or larger
BATCH_OF_IMAGES = 8  # of logits for every pixel
FEW = 5  # images of which all pixels are saved


class Place(NamedTuple):
    """Where the logits of a part go, and what numbers its items have."""

    folder: Path
    split: str
    seed: int  # of sampled pixels
    first: int  # number of the first item over all held-out parts, where it has no id


def save_logits(
    recipe: Recipe, network: torch.nn.Module, parts: Parts, seed: int, folder: Path, device: str
) -> None:
    """One logits file for each of the three splits."""
    first = 0
    for split in SPLITS:
        part: Part = getattr(parts, split)
        place = Place(folder, split, seed, first)
        save_part(recipe, network, part, parts.ignore_index, place, device)
        first += len(part.data)


def save_part(
    recipe: Recipe,
    network: torch.nn.Module,
    part: Part,
    ignore_index: int | None,
    place: Place,
    device: str,
) -> None:
    """The logits of one part; of pixels as many as `pixels_per_image` says."""
    batches = outputs(recipe, network, part, device)
    if recipe.output == PIXELS:
        fields = _pixels(recipe, batches, part, ignore_index, place)
    else:
        fields = _rows(batches, part)
    write_logits(logits_path(place, part), kind=recipe.kind, **fields)


def logits_path(place: Place, part: Part) -> Path:
    """Where a split goes: .safetensors holds no text, such as the names of files."""
    text = any(a is not None and a.dtype.kind in "US" for a in (part.ids, part.groups))
    return place.folder / f"{place.split}{'.npz' if text else '.safetensors'}"


def outputs(
    recipe: Recipe, network: torch.nn.Module, part: Part, device: str
) -> Iterator[tuple[Float[Array, "b K ..."], Int64[Array, "b ..."]]]:
    """Logits and labels, batch by batch in the order of the part."""
    size = BATCH_OF_IMAGES if recipe.output == PIXELS else BATCH
    loader = torch.utils.data.DataLoader(part.data, batch_size=size, collate_fn=collate)
    network = network.to(device).eval()
    with torch.no_grad():
        for x, y in loader:
            x = x.to(device)
            if recipe.channels_last:
                x = x.contiguous(memory_format=torch.channels_last)
            z = network(x)
            yield z.float().cpu().contiguous().numpy(), _at_logits(y.numpy(), z.shape[2:])


def sketch_pixels(
    recipe: Recipe,
    network: torch.nn.Module,
    part: Part,
    ignore_index: int | None,
    scores: Sequence[Score],
    device: str,
) -> list[CurveSketch]:
    """The curves of every labelled pixel of a part, each by one of the scores."""
    sketches = [CurveSketch(scale_of(s), about={"score": str(s)}) for s in scores]
    for z, y in outputs(recipe, network, part, device):
        counted = np.ones(y.shape, bool) if ignore_index is None else y != ignore_index
        wrong = (predict(z) != y)[counted]
        for sketch, score in zip(sketches, scores):
            sketch.update(score(z)[counted], wrong)
    return sketches


def save_scenes(
    recipe: Recipe, network: torch.nn.Module, part: Part, path: Path, device: str
) -> None:
    """All pixels of a few images, evenly spread over a part, for pictures: a .npz.

    image (S, h, w, 3) uint8, logits (S, K, H, W) float16, labels (S, H, W), item (S,)
    """
    items = np.unique(np.linspace(0, len(part.data) - 1, FEW).round().astype(int))
    few = torch.utils.data.Subset(part.data, items.tolist())
    z, y = (np.concatenate(c) for c in zip(*outputs(recipe, network, Part(few), device)))
    image = np.stack([_shown(few[i][0].numpy()) for i in range(len(items))])
    with atomic(path) as temporary:
        np.savez_compressed(
            temporary, image=image, logits=z.astype(np.float16), labels=y, item=items
        )


def _shown(x: Float[Array, "3 h w"]) -> UInt8[Array, "h w 3"]:
    """An image as the network sees it, stretched to 0..255."""
    low, high = x.min(), x.max()
    return np.rint(255 * (x - low) / max(high - low, 1e-9)).astype(np.uint8).transpose(1, 2, 0)


def _rows(batches: Iterable[tuple[Any, Any]], part: Part) -> dict[str, Any]:
    z, y = (np.concatenate(column) for column in zip(*batches))
    return {"logits": z, "labels": y, "ids": part.ids, "groups": part.groups}


def _pixels(
    recipe: Recipe,
    batches: Iterable[tuple[Any, Any]],
    part: Part,
    ignore_index: int | None,
    place: Place,
) -> dict[str, Any]:
    """Rows of sampled pixels; those of an image are one group, as are those of a wider group.

    The pixels depend on the seed and the image alone: they are the same for every loss.
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
    """Labelled pixels of one image, at most `count`, in their order."""
    counted = np.arange(labels.size)
    if ignore_index is not None:
        counted = counted[labels != ignore_index]
    if count is None or counted.size <= count:
        return counted
    return np.sort(np.random.default_rng(seed).choice(counted, count, replace=False))


def _at_logits(y: Int64[Array, "b ..."], size: Sequence[int]) -> Int64[Array, "b ..."]:
    """Labels at the nearest places of a coarser map of logits."""
    if y.shape[1:] == tuple(size):
        return y
    rows, columns = (
        ((np.arange(few) + 0.5) * many / few).astype(int) for few, many in zip(size, y.shape[1:])
    )
    return y[:, rows[:, None], columns]
