"""Two handwritten digits side by side: 100 classes, minutes of training, no files.

The 1,797 images (8 x 8) inside scikit-learn are divided into four pools, one for each part, so that
no image is in two parts. Training pairs are clean and drawn with replacement. The other pools are
divided into blocks of four images. The 12 ordered pairs within a block occur once clean and once
with Gaussian noise, and the block is the group: rows of different groups share no image.

    x (n, 1, 8, 16) pixels in 0..1, plus noise of standard deviation 0.3    y = 10 left + right
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import permutations
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch

from recuse._internal.check import extra
from recuse.errors import InputError
from recuse.recipes.data._parts import Part, Parts, Rows, noisy_labels, split

if TYPE_CHECKING:
    from jaxtyping import Float, Int, Int64

POOLS = (597, 400, 400)  # images to train, tune, calibrate; the other 400 to test
TRAIN = 20_000  # pairs
BLOCK = 4  # images
NOISE = 0.3  # standard deviation; pixels lie in 0..1


class Pairs(NamedTuple):
    """Left and right image of each row, the block of both, and 1 where noise is added."""

    left: Int64[np.ndarray, " n"]
    right: Int64[np.ndarray, " n"]
    block: Int64[np.ndarray, " n"]
    noisy: Int64[np.ndarray, " n"]


def load(seed: int = 0, *, label_noise: float = 0.0, classes: int | Sequence[int] = 100) -> Parts:
    """Make pairs of digits, split by image.

    Args:
        seed: Seed of the pools, the pairs and the noise.
        label_noise: Share of training labels replaced by another class.
        classes: Number of classes to keep of 0..99, or which classes, in the order of their labels.

    Raises:
        InputError: Fewer than two classes, a class twice, or one out of range.

    >>> parts = load(seed=0)
    >>> parts.classes, parts.names[7], [len(part.data) for part in parts[:4]]
    (100, '07', [20000, 2400, 2400, 2400])
    """
    kept = _checked(classes)
    digits = extra("sklearn.datasets", "train", "digits_pairs").load_digits()
    pools = split(np.arange(len(digits.target)), POOLS, seed)
    rng = np.random.default_rng([seed, 1])
    pairs = [drawn(pools[0], digits.target, kept, rng)]
    pairs += [_within(p, digits.target, kept) for p in (dealt(pool) for pool in pools[1:])]
    labels = [_labels(p, digits.target, kept) for p in pairs]
    taught = noisy_labels(labels[0], label_noise, len(kept), seed)
    ends = np.cumsum([len(p.left) for p in pairs])
    parts = [
        Part(_rows(p, y, digits.data / 16, rng), np.arange(end - len(y), end), p.block)
        for p, y, end in zip(pairs, [taught, *labels[1:]], ends)
    ]
    parts[0] = parts[0]._replace(groups=None)  # its rows share images at random
    return Parts(*parts, classes=len(kept), names=tuple(f"{c:02}" for c in kept))


def drawn(
    pool: Int[np.ndarray, " images"],
    digit: Int[np.ndarray, " all"],
    kept: Int[np.ndarray, " K"],
    rng: np.random.Generator,
) -> Pairs:
    """Draw clean pairs with replacement, with equally likely classes."""
    pool = pool[np.argsort(digit[pool], kind="stable")]
    count = np.bincount(digit[pool], minlength=10)
    first = np.cumsum(count) - count
    wanted = np.stack(np.divmod(rng.choice(kept, TRAIN), 10))
    left, right = pool[first[wanted] + (rng.random(wanted.shape) * count[wanted]).astype(int)]
    return Pairs(left, right, np.full(TRAIN, -1), np.zeros(TRAIN, int))


def dealt(pool: Int[np.ndarray, " images"]) -> Pairs:
    """Return all ordered pairs within blocks of images, once clean and once noisy."""
    blocks = pool[: len(pool) // BLOCK * BLOCK].reshape(-1, BLOCK)
    left, right = blocks[:, list(permutations(range(BLOCK), 2))].reshape(-1, 2).T
    block = np.repeat(blocks.min(1), BLOCK * (BLOCK - 1))  # named by an image, in one part alone
    rows = np.stack([left, right, block]).repeat(2, axis=1)
    return Pairs(*rows, np.tile([0, 1], len(left)))


def _checked(classes: int | Sequence[int]) -> Int64[np.ndarray, " K"]:
    kept = np.arange(classes) if isinstance(classes, int) else np.asarray(classes)
    good = kept.dtype.kind in "iu" and kept.ndim == 1 and len(set(kept.tolist())) == kept.size > 1
    if not good or kept.min() < 0 or kept.max() > 99:
        raise InputError(f"expected `classes` as 2 or more different numbers 0..99, got {classes}")
    return kept


def _within(pairs: Pairs, digit: np.ndarray, kept: np.ndarray) -> Pairs:
    """Keep the pairs of these classes."""
    inside = np.isin(10 * digit[pairs.left] + digit[pairs.right], kept)
    return Pairs(*(column[inside] for column in pairs))


def _labels(pairs: Pairs, digit: np.ndarray, kept: np.ndarray) -> np.ndarray:
    """Return the index of each pair among the kept classes."""
    place = np.zeros(100, np.int64)
    place[kept] = np.arange(len(kept))
    return place[10 * digit[pairs.left] + digit[pairs.right]]


def _rows(
    pairs: Pairs, y: np.ndarray, images: Float[np.ndarray, "all 64"], rng: np.random.Generator
) -> Rows:
    """Return the pairs as images."""
    halves = (images[side].reshape(-1, 8, 8) for side in (pairs.left, pairs.right))
    x = np.concatenate(list(halves), axis=2)[:, None]
    x = x + NOISE * pairs.noisy[:, None, None, None] * rng.standard_normal(x.shape)
    return Rows(torch.tensor(x, dtype=torch.float32), torch.tensor(y))
