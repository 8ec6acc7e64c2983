"""Images and labels of pixels that lie in files, decoded one by one.

h x w = pixels.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from recuse.collect._images import opened
from recuse.errors import InputError
from recuse.recipes.data._parts import Items, unstamp

if TYPE_CHECKING:
    from jaxtyping import Int64, UInt8
    from torch import Generator, Tensor

    from recuse.recipes.data._parts import Index

ENDINGS = (".jpg", ".jpeg", ".png", ".bmp", ".webp")  # hidden files and folders do not count


class Files(Items):
    """Items that are read when they are asked for: `read(file, generator or None) -> (x, y)`."""

    def __init__(self, files: Sequence[Any], read: Callable[[Any, Generator | None], Any]):
        self.files, self.read = files, read

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, index: Index) -> tuple[Tensor, Tensor]:
        i, generator = unstamp(index)
        return self.read(self.files[i], generator)


def pixels(image: Any) -> UInt8[Tensor, "3 h w"]:
    """An RGB image as a tensor."""
    return torch.from_numpy(np.array(image)).permute(2, 0, 1).contiguous()


def labels(path: Path) -> Int64[np.ndarray, "h w"]:
    """The values of an image of labels (grey or palette)."""
    y = np.array(opened(path, mode=None))
    if y.ndim != 2 or y.dtype.kind not in "iu":
        raise InputError(f"{path}: expected one integer label for each pixel, got {y.shape}")
    return y.astype(np.int64)


def visible(folder: Path) -> list[Path]:
    """What a folder holds, but for hidden things such as `.ipynb_checkpoints` and `._0.png`."""
    return [p for p in folder.iterdir() if not p.name.startswith(".")]


def images_of(folder: Path) -> list[Path]:
    """The image files of a folder, by name."""
    return sorted(p for p in visible(folder) if p.suffix.lower() in ENDINGS)


def tree(folder: Path) -> tuple[list[tuple[Path, int]], tuple[str, ...]]:
    """Images and classes of a folder with one folder for each class, in order of their names."""
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
    """The trees of training and test images, whose classes have to be the same."""
    (seen, names), (held, others) = tree(train), tree(test)
    if names != others:
        odd = sorted(set(names) ^ set(others))[0]
        raise InputError(f"expected the same classes in {train} and {test}, got {odd} in one alone")
    return seen, held, names
