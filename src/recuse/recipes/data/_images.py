"""Images and labels of pixels that lie in files, decoded one by one.

h x w = pixels.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from recuse._check import InputError, extra
from recuse.recipes.data._parts import Items, unstamp

if TYPE_CHECKING:
    from jaxtyping import Int64, UInt8
    from torch import Generator, Tensor

    from recuse.recipes.data._parts import Index

ENDINGS = (".jpg", ".jpeg", ".png", ".bmp", ".webp")


class Files(Items):
    """Items that are read when they are asked for: `read(file, generator or None) -> (x, y)`."""

    def __init__(self, files: Sequence[Any], read: Callable[[Any, Generator | None], Any]):
        self.files, self.read = files, read

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, index: Index) -> tuple[Tensor, Tensor]:
        i, generator = unstamp(index)
        return self.read(self.files[i], generator)


def opened(source: Any, name: Path | str, mode: str | None = "RGB") -> Any:
    """A decoded Pillow image of a path or a binary file; no mode keeps the values of labels."""
    image = extra("PIL.Image", "train", "reading images")
    try:
        with image.open(source) as found:
            found.load()
            return found if mode is None else found.convert(mode)
    except (OSError, SyntaxError, ValueError, image.DecompressionBombError) as error:
        raise InputError(f"{name}: expected an image, got {_said(error)}") from error


def pixels(image: Any) -> UInt8[Tensor, "3 h w"]:
    """An RGB image as a tensor."""
    return torch.from_numpy(np.array(image)).permute(2, 0, 1).contiguous()


def labels(path: Path) -> Int64[np.ndarray, "h w"]:
    """The values of an image of labels (grey or palette)."""
    y = np.array(opened(path, path, mode=None))
    if y.ndim != 2 or y.dtype.kind not in "iu":
        raise InputError(f"{path}: expected one integer label for each pixel, got {y.shape}")
    return y.astype(np.int64)


def images_of(folder: Path) -> list[Path]:
    """The image files of a folder, by name."""
    return sorted(p for p in folder.iterdir() if p.suffix.lower() in ENDINGS)


def tree(folder: Path) -> tuple[list[tuple[Path, int]], tuple[str, ...]]:
    """Images and classes of a folder with one folder for each class, in order of their names."""
    names = tuple(sorted(p.name for p in folder.iterdir() if p.is_dir()))
    files = [(path, k) for k, name in enumerate(names) for path in images_of(folder / name)]
    if len(names) < 2 or not files:
        raise InputError(f"expected {folder} to hold a folder of images for each class, got none")
    return files, names


def trees(
    train: Path, test: Path
) -> tuple[list[tuple[Path, int]], list[tuple[Path, int]], tuple[str, ...]]:
    """The trees of training and test images, whose classes have to be the same."""
    (seen, names), (held, others) = tree(train), tree(test)
    if names != others:
        odd = sorted(set(names) ^ set(others))[0]
        raise InputError(f"expected the same classes in {train} and {test}, got {odd} in one alone")
    return seen, held, names


def _said(error: Exception) -> str:
    """What Pillow says, in one line and without its buffer's address."""
    return "unknown bytes" if "cannot identify" in str(error) else str(error).split("\n")[0]
