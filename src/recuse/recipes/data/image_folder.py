"""ImageNet, and any tree `train/<class>/*.jpg`, `val/<class>/*.jpg`, decoded on demand.

The folder `val` is the test part. As in the published experiments, images of `train` are held out,
one half to tune and one half to calibrate. A folder `sketch/<class>/*.jpg` beside them
(ImageNet-Sketch, https://github.com/HaohanWang/ImageNet-Sketch) has the same classes from another
source.

    x (3, s, s) normalised by ImageNet's mean and standard deviation    y ()
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch

from recuse.collect._images import opened
from recuse.errors import InputError
from recuse.recipes.data._parts import Normalize, Part, Parts, found, halves, home, split
from recuse.recipes.data.images import Files, pixels, tree, trees

if TYPE_CHECKING:
    from torch import Generator, Tensor

HELD_OUT = 50_000
SIZE = 224  # pixels
MARGIN = 256 / 224  # shorter side of a test image, relative to the crop
SCALE, RATIO, TRIES = (0.08, 1.0), (3 / 4, 4 / 3), 10  # area and aspect ratio of a random crop
IMAGENET = Normalize((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
EXPECTED = "train/<class>/*.jpg and val/<class>/*.jpg"
SOURCE = "ImageNet-1k is at https://image-net.org, val sorted into folders of classes as train is"


class Box(NamedTuple):
    """A rectangle in pixels, from the upper left corner."""

    left: float
    top: float
    right: float
    bottom: float


class View(NamedTuple):
    """Read a file as input of the network: a random crop if there is a generator."""

    size: int

    def __call__(self, file: tuple[Path, int], generator: Generator | None) -> tuple[Any, Tensor]:
        """Return a normalised image (3, s, s) and its label."""
        image = opened(file[0])
        box = central(*image.size) if generator is None else random_box(*image.size, generator)
        x = pixels(image.resize((self.size, self.size), BICUBIC, box))
        if generator is not None and torch.rand((), generator=generator) < 0.5:
            x = x.flip(-1)
        return IMAGENET(x), torch.tensor(file[1])


BICUBIC = 3  # PIL.Image.Resampling.BICUBIC


def load(
    folder: Path | str | None, seed: int = 0, *, held_out: int = HELD_OUT, size: int = SIZE
) -> Parts:
    """Load a tree of images: random resized crop and mirror in training, central crop otherwise.

    Args:
        folder: Holds `train` and `val`, each with a folder for each class.
        seed: Seed of the choice of held-out images.
        held_out: Training images to tune and calibrate, one half each.
        size: Side of the crops in pixels.

    Returns:
        Items whose ids are paths; classes are in the order of their folders' names.

    Raises:
        InputError: A folder or image is missing, or classes differ. An image that cannot be
            decoded raises it when it is read.
    """
    folder = home(folder, "imagenet", expected=EXPECTED, source=SOURCE)
    for part in ("train", "val"):
        found(folder / part, expected=EXPECTED, source=SOURCE)
    train, test, names = trees(folder / "train", folder / "val")
    tune, calibrate, rest = split(np.arange(len(train)), halves(held_out), seed)
    files = [[train[i] for i in rows] for rows in (rest, tune, calibrate)]
    parts = [_part(f, folder, size) for f in (*files, test)]
    return Parts(*parts, classes=len(names), names=names)


def drawings(folder: Path | str, parts: Parts, *, size: int = SIZE) -> Part | None:
    """Load the folder `sketch` beside `train`, such as ImageNet-Sketch: the same classes, drawn.

    Returns:
        The items, or None if there is no such folder.

    Raises:
        InputError: Its classes differ.
    """
    folder = home(folder, "imagenet", expected=EXPECTED, source=SOURCE)
    if not (folder / "sketch").is_dir():
        return None
    files, names = tree(folder / "sketch")
    if names != parts.names:
        odd = sorted(set(names) ^ set(parts.names))[0]
        raise InputError(
            f"expected the classes of train in {folder / 'sketch'}; they differ in {odd}"
        )
    return _part(files, folder, size)


def _part(files: list[tuple[Path, int]], folder: Path, size: int) -> Part:
    """Return items whose ids are their paths in the folder."""
    return Part(
        Files(files, View(size)), np.array([p.relative_to(folder).as_posix() for p, _ in files])
    )


def random_box(width: int, height: int, generator: Generator) -> Box:
    """Draw a rectangle of 8 to 100 % of the area with sides 3:4 to 4:3.

    After ten draws that do not fit, it is the largest central square.

    References:
        Szegedy et al., CVPR 2015.
    """
    for _ in range(TRIES):
        area, shape, x, y = torch.rand(4, generator=generator, dtype=torch.float64).tolist()
        area = width * height * (SCALE[0] + area * (SCALE[1] - SCALE[0]))
        shape = math.exp(math.log(RATIO[0]) + shape * math.log(RATIO[1] / RATIO[0]))
        w, h = round(math.sqrt(area * shape)), round(math.sqrt(area / shape))
        if 0 < w <= width and 0 < h <= height:
            left, top = int(x * (width - w + 1)), int(y * (height - h + 1))
            return Box(left, top, left + w, top + h)
    return middle(width, height, min(width, height))


def central(width: int, height: int) -> Box:
    """Return the central crop: 224 of 256 pixels of the shorter side."""
    return middle(width, height, min(width, height) / MARGIN)


def middle(width: int, height: int, side: float) -> Box:
    """Return the central square with this side."""
    left, top = (width - side) / 2, (height - side) / 2
    return Box(left, top, left + side, top + side)
