"""Images as drawings of their edges: the same classes from another source.

The published experiments add ImageNet-Sketch to ImageNet's test images; for CIFAR, and without
a second data set, its test images are drawn here.

n = images, h x w = pixels.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from recuse.errors import InputError
from recuse.recipes.data._augment import GREY
from recuse.recipes.data._parts import Part, Rows

if TYPE_CHECKING:
    from jaxtyping import UInt8
    from torch import Tensor


def edge_sketch(images: UInt8[Tensor, "n 3 h w"]) -> UInt8[Tensor, "n 3 h w"]:
    """Dark lines on white where the grey image is steep.

    The gradient is Sobel's. A soft threshold stands, for each image, half a standard deviation
    above its mean steepness, and is a quarter of a standard deviation wide. Deterministic; an
    image without edges is white.

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
    """The sketches of a part of uint8 images.

    An image and its sketch are one group: the ids of the part. Ids go on from the largest, so
    that an id of the part and one of its sketches are never the same.

    Raises:
        InputError: Not images in memory, or ids that are no numbers.
    """
    data, ids = part.data, part.ids
    if not isinstance(data, Rows) or data.x.dtype != torch.uint8:
        raise InputError(f"expected a part of uint8 images in memory, got {type(data).__name__}")
    if ids is None or ids.dtype.kind not in "iu":
        raise InputError("expected a part with whole numbers as ids")
    drawn = Rows(edge_sketch(data.x), data.y, prepare=data.prepare)
    return Part(drawn, ids + 1 + ids.max(), ids if part.groups is None else part.groups)


def _steepness(padded: np.ndarray) -> np.ndarray:
    """Length of Sobel's gradient (n, h, w) of images padded by one pixel."""
    rows = padded[:, :-2] + 2 * padded[:, 1:-1] + padded[:, 2:]
    columns = padded[:, :, :-2] + 2 * padded[:, :, 1:-1] + padded[:, :, 2:]
    return np.hypot(rows[:, :, 2:] - rows[:, :, :-2], columns[:, 2:] - columns[:, :-2])
