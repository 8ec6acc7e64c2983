"""Data sets as the trainer sees them: four disjoint parts of items, and batches of items.

n = items of a part, b = items of a batch. An index is a number i or a pair (stamp, i). A stamp is
an integer of seed and epoch; it asks for augmentation, which depends on it and i only.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from torch.utils.data import Dataset, default_collate

from recuse._internal.check import check_fraction
from recuse._internal.files import digest
from recuse.errors import InputError

if TYPE_CHECKING:
    from jaxtyping import Float32, Int, Int64, Shaped
    from torch import Generator, Tensor

    Index = int | tuple[int, int]
    Batch = tuple[Tensor, Tensor]
    Augment = Callable[[Tensor, Tensor, Generator], Batch]


class Items(Dataset):
    """A data set with a length."""

    def __len__(self) -> int:
        raise NotImplementedError


class Part(NamedTuple):
    """One split: items (x, y) with x a float tensor (or tokens) and y int64 () or (H, W)."""

    data: Items
    ids: Shaped[np.ndarray, " n"] | None = None  # source row or path, unique over all parts
    groups: Shaped[np.ndarray, " n"] | None = None  # dependent items share a group


class Parts(NamedTuple):
    """Disjoint splits of one data set."""

    train: Part
    tune: Part
    calibrate: Part
    test: Part
    classes: int
    names: tuple[str, ...]  # class names
    ignore_index: int | None = None  # void label of pixels


def digest_of(parts: Parts) -> str:
    """Return a digest of ids and labels in memory, equal for models that can be compared."""
    held = [parts.train, parts.tune, parts.calibrate, parts.test]
    labels = [np.asarray(part.data.y) for part in held if isinstance(part.data, Rows)]
    return digest(*labels, *(part.ids for part in held if part.ids is not None))


class Rows(Items):
    """Items in memory; a list of indices gives a whole batch at once.

    Args:
        x: Shape (n, ...); uint8 images stay so in memory.
        y: Labels of any integer dtype, shape (n,) or (n, H, W).
        augment: Augmentation of a stored batch: `augment(x, y, generator) -> (x, y)`.
        prepare: Turns the stored x of a batch into inputs of the network.

    >>> rows = Rows(torch.tensor([[1.0], [2.0], [3.0]]), torch.tensor([0, 1, 0]))
    >>> rows.__getitems__([2, 0])
    (tensor([[3.],
            [1.]]), tensor([0, 0]))
    """

    def __init__(
        self,
        x: Shaped[Tensor, "n ..."],
        y: Int[Tensor, "n ..."],
        augment: Augment | None = None,
        *,
        prepare: Callable[[Tensor], Tensor] | None = None,
    ):
        self.x, self.y, self.augment, self.prepare = x, y, augment, prepare

    def __len__(self) -> int:
        return len(self.y)

    def __getitem__(self, index: Index) -> Batch:
        x, y = self.__getitems__([index])
        return x[0], y[0]

    def __getitems__(self, indices: Sequence[Index]) -> Batch:
        _, generator = unstamp(indices[0])
        chosen = torch.as_tensor([unstamped(index) for index in indices])
        x, y = self.x[chosen], self.y[chosen].long()
        if self.augment is not None and generator is not None:
            x, y = self.augment(x, y, generator)
        return (x if self.prepare is None else self.prepare(x)), y


def collate(batch: Any) -> Batch:
    """Stack a list of items; return a batch of `Rows` as it is."""
    return default_collate(batch) if isinstance(batch, list) else batch


def unstamped(index: Index) -> int:
    """Return the number of the item."""
    return int(index[1]) if isinstance(index, (tuple, list)) else int(index)


def unstamp(index: Index) -> tuple[int, Generator | None]:
    """Return the number of the item, and the generator of its stamp if it has one.

    >>> unstamp(7)
    (7, None)
    >>> seeds = [unstamp(i)[1].initial_seed() for i in [(3, 7), (3, 7), (4, 7)]]
    >>> seeds[0] == seeds[1], seeds[0] == seeds[2]
    (True, False)
    """
    if not isinstance(index, (tuple, list)):
        return int(index), None
    stamp, i = map(int, index)
    words = [stamp % 2**64, i]
    seed = int(np.random.SeedSequence(words).generate_state(1, np.uint64)[0])
    return i, torch.Generator().manual_seed(seed)


class Normalize(NamedTuple):
    """Turn uint8 images into float32: each channel minus its mean, over its standard deviation."""

    mean: tuple[float, ...]  # pixels in 0..1
    std: tuple[float, ...]

    @classmethod
    def of(cls, x: Shaped[Tensor, "n c h w"], chunk: int = 5000) -> Normalize:
        """Compute mean and standard deviation of the channels of uint8 images."""
        moments = torch.zeros(2, x.shape[1], dtype=torch.float64)
        for part in x.split(chunk):
            channels = part.double().div(255).transpose(0, 1).flatten(1)
            moments += torch.stack([channels.sum(1), channels.square().sum(1)])
        mean, square = moments * x.shape[1] / x.numel()
        std = (square - mean.square()).clamp_min(1e-6).sqrt()
        return cls(tuple(mean.tolist()), tuple(std.tolist()))

    def __call__(self, x: Shaped[Tensor, "*b c h w"]) -> Float32[Tensor, "*b c h w"]:
        """Return the images as inputs of the network."""
        mean, std = (torch.tensor(v).reshape(-1, 1, 1) for v in self)
        return (x.float() / 255 - mean) / std


def split(groups: Shaped[np.ndarray, " n"], sizes: Sequence[int], seed: int) -> list[np.ndarray]:
    """Split rows at random into parts of these sizes, and a last part with the rest.

    Groups stay whole, so that a part may exceed its size by less than one group. If every row is
    a group of its own, the sizes are exact.

    Raises:
        InputError: There are too few rows.

    >>> split(np.arange(6), (3, 1), seed=0)
    [array([3, 2, 5]), array([4]), array([0, 1])]
    """
    if len(groups) <= sum(sizes):
        raise InputError(f"expected more than {sum(sizes)} rows to split, got {len(groups)}")
    _, group, count = np.unique(groups, return_inverse=True, return_counts=True)
    order = np.random.default_rng(seed).permutation(len(count))
    before = np.cumsum(count[order]) - count[order]  # rows of the groups in front
    part = np.empty(len(count), np.int64)
    part[order] = np.searchsorted(np.cumsum(sizes), before, side="right")
    rank = np.argsort(order)[group]
    rows = np.argsort(rank, kind="stable")
    return [rows[part[group[rows]] == k] for k in range(len(sizes) + 1)]


def halves(held_out: int) -> tuple[int, int]:
    """Return the sizes of the tuning and the calibration part of the held-out rows.

    >>> halves(5)
    (2, 3)
    """
    if held_out < 2:
        raise InputError(f"expected `held_out` of 2 or more rows, got {held_out}")
    return held_out // 2, held_out - held_out // 2


def noisy_labels(
    y: Int64[np.ndarray, " n"], share: float, classes: int, seed: int
) -> Int64[np.ndarray, " n"]:
    """Replace each label, with probability `share`, by another class."""
    check_fraction(share, "label_noise", zero=True)
    rng = np.random.default_rng(seed)
    wrong = (y + rng.integers(1, classes, len(y))) % classes
    return np.where(rng.random(len(y)) < share, wrong, y)


def home(folder: Path | str | None, name: str, *, expected: str, source: str) -> Path:
    """Return the subfolder `name` if there is one, else the folder itself."""
    if folder is None:
        raise InputError(f"expected a folder with {expected}, got none; {source}")
    inside = Path(folder) / name
    return inside if inside.is_dir() else found(Path(folder), expected=expected, source=source)


def found(path: Path, *, expected: str, source: str) -> Path:
    """Return the path if it exists; else raise an error that says what belongs there."""
    if not path.exists():
        raise InputError(f"expected {expected}, got no {path}; {source}")
    return path
