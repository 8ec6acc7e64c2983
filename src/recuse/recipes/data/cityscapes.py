"""Cityscapes: road scenes of 50 cities, 19 classes and void (255), decoded on demand.

100 random images of `val` are held out, one half to tune and one half to calibrate; the other 400
are the test part, as published. The published test set has no labels.

    x (3, 1024, 2048), in training (3, 768, 768), normalised by ImageNet's mean and standard
    deviation    y (h, w), 255 is void

References:
    Cordts et al., CVPR 2016; Xia et al. 2024, appendix B.2 (crop, colours, 100 of 500).
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch

from recuse.collect._images import opened
from recuse.errors import InputError
from recuse.recipes.data._parts import Part, Parts, found, halves, home, split
from recuse.recipes.data.image_folder import IMAGENET
from recuse.recipes.data.images import Files, colour_jitter, labels, pixels

if TYPE_CHECKING:
    from jaxtyping import Int64
    from torch import Generator, Tensor

HELD_OUT, CROP, JITTER, VOID = 100, 768, 0.5, 255
NAMES = (
    "road", "sidewalk", "building", "wall", "fence", "pole", "traffic light", "traffic sign",
    "vegetation", "terrain", "sky", "person", "rider", "car", "truck", "bus", "train",
    "motorcycle", "bicycle",
)  # fmt: skip
LABEL_IDS = (7, 8, 11, 12, 13, 17, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 31, 32, 33)
IMAGE, ANNOTATIONS = "_leftImg8bit.png", ("_gtFine_labelIds.png", "_gtFine_labelTrainIds.png")
EXPECTED = "leftImg8bit/{train,val}/<city> and gtFine/{train,val}/<city>"
SOURCE = "Cityscapes is at https://www.cityscapes-dataset.com after registration"


class Scene(NamedTuple):
    """Files of an image and its labels (ids of the benchmark, or the 19 classes)."""

    image: Path
    annotation: Path


class View(NamedTuple):
    """Read a scene as input of the network: a random crop if there is a generator."""

    crop: int

    def __call__(self, scene: Scene, generator: Generator | None) -> tuple[Tensor, Tensor]:
        """Return a normalised image (3, h, w) and its labels (h, w)."""
        x = pixels(opened(scene.image)).float() / 255
        y = torch.from_numpy(classes(scene.annotation))
        if x.shape[1:] != y.shape:
            raise InputError(
                f"{scene.annotation}: expected labels of {tuple(x.shape[1:])} pixels, "
                f"got {tuple(y.shape)}"
            )
        if generator is not None:
            x, y = augmented(x, y, self.crop, generator)
        return IMAGENET(255 * x), y


def load(
    folder: Path | str | None, seed: int = 0, *, held_out: int = HELD_OUT, crop: int = CROP
) -> Parts:
    """Load Cityscapes: random crop, mirror and colours in training, whole images otherwise.

    Args:
        folder: Holds `leftImg8bit` and `gtFine`.
        seed: Seed of the choice of held-out images.
        held_out: Images of `val` to tune and calibrate, one half each.
        crop: Side of the training crops in pixels.

    Returns:
        Items whose ids are paths; each image is a group of its own.

    Raises:
        InputError: A folder or the labels of an image are missing. An image that cannot be decoded
            raises it when it is read.
    """
    folder = home(folder, "cityscapes", expected=EXPECTED, source=SOURCE)
    train, val = (scenes(folder, part) for part in ("train", "val"))
    rows = split(np.arange(len(val)), halves(held_out), seed)
    files = [train, *([val[i] for i in chosen] for chosen in rows)]
    ends = np.cumsum([len(f) for f in files])
    parts = [
        Part(
            Files(f, View(crop)), np.array([s.image.stem for s in f]), np.arange(end - len(f), end)
        )
        for f, end in zip(files, ends)
    ]
    return Parts(*parts, classes=len(NAMES), names=NAMES, ignore_index=VOID)


def scenes(folder: Path, part: str) -> list[Scene]:
    """List the labelled images of a part by city and name."""
    for place in ("leftImg8bit", "gtFine"):
        found(folder / place / part, expected=EXPECTED, source=SOURCE)
    images = sorted((folder / "leftImg8bit" / part).glob(f"*/*{IMAGE}"))
    if not images:
        raise InputError(f"expected <city>/*{IMAGE} in {folder / 'leftImg8bit' / part}, got none")
    return [Scene(image, annotation(folder / "gtFine" / part, image)) for image in images]


def annotation(folder: Path, image: Path) -> Path:
    """Return the path of the labels of an image."""
    stem = image.name.removesuffix(IMAGE)
    for ending in ANNOTATIONS:
        if (path := folder / image.parent.name / f"{stem}{ending}").exists():
            return path
    raise InputError(f"expected {stem}{ANNOTATIONS[0]} in {path.parent} for {image}, got none")


def classes(path: Path) -> Int64[np.ndarray, "h w"]:
    """Read labels as classes 0..18; everything else is void."""
    y = labels(path)
    if path.name.endswith(ANNOTATIONS[1]):
        return np.where((y >= 0) & (y < len(NAMES)), y, VOID)
    table = np.full(256, VOID)
    table[list(LABEL_IDS)] = np.arange(len(NAMES))
    return table[np.clip(y, 0, 255)]


def augmented(x: Tensor, y: Tensor, crop: int, generator: Generator) -> tuple[Tensor, Tensor]:
    """Crop a square (or as much as there is), mirror, jitter the colours; x in 0..1."""
    h, w = (min(crop, side) for side in y.shape)
    top, left = (
        int(torch.randint(side - cut + 1, (), generator=generator))
        for side, cut in zip(y.shape, (h, w))
    )
    x, y = x[:, top : top + h, left : left + w], y[top : top + h, left : left + w]
    if torch.rand((), generator=generator) < 0.5:
        x, y = x.flip(-1), y.flip(-1)
    return colour_jitter(x, JITTER, generator), y.contiguous()
