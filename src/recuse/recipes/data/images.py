"""Images: files decoded one by one, augmentation, and drawings of edges.

n = images, b = images of a batch, c = channels, h x w = pixels.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch.nn import functional as F

from recuse.collect._images import opened
from recuse.errors import InputError
from recuse.recipes.data._parts import Items, Part, Rows, unstamp

if TYPE_CHECKING:
    from jaxtyping import Float32, Int64, Shaped, UInt8
    from torch import Generator, Tensor

    from recuse.recipes.data._parts import Index

ENDINGS = (".jpg", ".jpeg", ".png", ".bmp", ".webp")
PAD = 4  # pixels on each side
GREY = (0.299, 0.587, 0.114)  # ITU-R 601


class Files(Items):
    """Items that are read on demand: `read(file, generator or None) -> (x, y)`."""

    def __init__(self, files: Sequence[Any], read: Callable[[Any, Generator | None], Any]):
        self.files, self.read = files, read

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, index: Index) -> tuple[Tensor, Tensor]:
        i, generator = unstamp(index)
        return self.read(self.files[i], generator)


def pixels(image: Any) -> UInt8[Tensor, "3 h w"]:
    """Return an RGB image as a tensor."""
    return torch.from_numpy(np.array(image)).permute(2, 0, 1).contiguous()


def labels(path: Path) -> Int64[np.ndarray, "h w"]:
    """Read an image of labels (grey or palette)."""
    y = np.array(opened(path, mode=None))
    if y.ndim != 2 or y.dtype.kind not in "iu":
        raise InputError(f"{path}: expected one integer label for each pixel, got {y.shape}")
    return y.astype(np.int64)


def visible(folder: Path) -> list[Path]:
    """List a folder without hidden entries such as `.ipynb_checkpoints` and `._0.png`."""
    return [p for p in folder.iterdir() if not p.name.startswith(".")]


def images_of(folder: Path) -> list[Path]:
    """List the image files of a folder by name."""
    return sorted(p for p in visible(folder) if p.suffix.lower() in ENDINGS)


def tree(folder: Path) -> tuple[list[tuple[Path, int]], tuple[str, ...]]:
    """List images with their labels, and the classes: subfolders in the order of their names."""
    names = tuple(sorted(p.name for p in visible(folder) if p.is_dir()))
    found = [images_of(folder / name) for name in names]
    if len(names) < 2 or not any(found):
        raise InputError(f"expected {folder} to hold a folder of images for each class, got none")
    for name, paths in zip(names, found):
        if not paths:
            raise InputError(f"{folder / name}: expected images of this class, got none")
    return [(path, k) for k, paths in enumerate(found) for path in paths], names


def trees(
    train: Path, test: Path
) -> tuple[list[tuple[Path, int]], list[tuple[Path, int]], tuple[str, ...]]:
    """List training and test images; both trees must have the same classes."""
    (seen, names), (held, others) = tree(train), tree(test)
    if names != others:
        odd = sorted(set(names) ^ set(others))[0]
        raise InputError(f"expected the same classes in {train} and {test}, got {odd} in one alone")
    return seen, held, names


# Augmentation, all of whose randomness comes from a generator


def flip(
    x: Shaped[Tensor, "b c h w"], y: Int64[Tensor, "b ..."], generator: Generator
) -> tuple[Tensor, Tensor]:
    """Mirror each image with probability one half, and its labels if they are per pixel."""
    mirrored = torch.rand(len(x), generator=generator) < 0.5
    x = torch.where(mirrored[:, None, None, None], x.flip(-1), x)
    return x, (torch.where(mirrored[:, None, None], y.flip(-1), y) if y.ndim == 3 else y)


def crop_and_flip(
    x: Shaped[Tensor, "b c h w"], y: Int64[Tensor, " b"], generator: Generator
) -> tuple[Tensor, Tensor]:
    """Pad with four black pixels, crop to the old size, mirror: the usual augmentation of CIFAR."""
    b, c, h, w = x.shape
    padded = F.pad(x, (PAD,) * 4)
    top, left = torch.randint(2 * PAD + 1, (2, b, 1), generator=generator)
    row = (top + torch.arange(h))[:, None, :, None].expand(b, c, h, w + 2 * PAD)
    column = (left + torch.arange(w))[:, None, None, :].expand(b, c, h, w)
    return flip(padded.gather(2, row).gather(3, column), y, generator)


def colour_jitter(
    x: Float32[Tensor, "3 h w"], strength: float, generator: Generator
) -> Float32[Tensor, "3 h w"]:
    """Scale brightness, contrast and saturation in random order, each by U(1 - s, 1 + s).

    x lies in 0..1, and so does the result.
    """
    factors = 1 + strength * (2 * torch.rand(3, generator=generator) - 1)
    for k in torch.randperm(3, generator=generator):
        x = (factors[k] * x + (1 - factors[k]) * _reference(x, int(k))).clamp(0, 1)
    return x


def _reference(x: Tensor, k: int) -> Tensor:
    """Return the image at brightness (0), contrast (1) or saturation (2) zero."""
    grey = torch.einsum("chw,c->hw", x, x.new_tensor(GREY))
    return (x.new_zeros(()), grey.mean(), grey)[k]


# Drawings: the same classes from another source


def edge_sketch(images: UInt8[Tensor, "n 3 h w"]) -> UInt8[Tensor, "n 3 h w"]:
    """Draw dark lines on white where the grey image is steep.

    Steepness is the length of the Sobel gradient. The soft threshold of an image lies half a
    standard deviation above its mean steepness. The result is deterministic, and white for an
    image without edges. The published experiments add ImageNet-Sketch to the test images of
    ImageNet; this replaces it where no second data set exists.

    >>> step = torch.zeros(1, 3, 4, 6, dtype=torch.uint8)
    >>> step[..., 3:] = 255
    >>> edge_sketch(step)[0, 0, 0]
    tensor([253, 253,   6,   6, 253, 253], dtype=torch.uint8)
    """
    grey = np.einsum("nchw,c->nhw", images.numpy() / 255, GREY)
    steep = _steepness(np.pad(grey, ((0, 0), (1, 1), (1, 1)), mode="edge"))
    mean, spread = (f(steep, axis=(1, 2), keepdims=True) for f in (np.mean, np.std))
    line = (1 + np.tanh(2 * (steep - mean - spread / 2) / np.maximum(spread, 1e-3))) / 2
    white = np.where(spread > 1e-6, 1 - line, 1.0)  # also where rounding alone is steep
    drawn = torch.from_numpy(np.rint(255 * white).astype(np.uint8))
    return drawn[:, None].expand(-1, 3, -1, -1).contiguous()


def sketched(part: Part) -> Part:
    """Return the sketches of a part of uint8 images.

    An image and its sketch share a group. The ids of the sketches begin after the largest id of
    the part, so that no id occurs twice.

    Raises:
        InputError: The part is not in memory, or its ids are not numbers.
    """
    data, ids = part.data, part.ids
    if not isinstance(data, Rows) or data.x.dtype != torch.uint8:
        raise InputError(f"expected a part of uint8 images in memory, got {type(data).__name__}")
    if ids is None or ids.dtype.kind not in "iu":
        raise InputError("expected a part with whole numbers as ids")
    drawn = Rows(edge_sketch(data.x), data.y, prepare=data.prepare)
    return Part(drawn, ids + 1 + ids.max(), ids if part.groups is None else part.groups)


def _steepness(padded: np.ndarray) -> np.ndarray:
    """Return the length of the Sobel gradient (n, h, w) of images padded by one pixel."""
    rows = padded[:, :-2] + 2 * padded[:, 1:-1] + padded[:, 2:]
    columns = padded[:, :, :-2] + 2 * padded[:, :, 1:-1] + padded[:, :, 2:]
    return np.hypot(rows[:, :, 2:] - rows[:, :, :-2], columns[:, 2:] - columns[:, :-2])
