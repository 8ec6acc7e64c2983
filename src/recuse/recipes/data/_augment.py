"""Augmentation of whole batches and of single images; all randomness is a generator's.

b = images of a batch, c = channels, h x w = pixels.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch.nn import functional as F

if TYPE_CHECKING:
    from jaxtyping import Float32, Int64, Shaped
    from torch import Generator, Tensor

PAD = 4  # pixels on each side
GREY = (0.299, 0.587, 0.114)  # ITU-R 601


def flip(
    x: Shaped[Tensor, "b c h w"], y: Int64[Tensor, "b ..."], generator: Generator
) -> tuple[Tensor, Tensor]:
    """Mirror each image with probability one half, and its labels if they are pixels'."""
    mirrored = torch.rand(len(x), generator=generator) < 0.5
    x = torch.where(mirrored[:, None, None, None], x.flip(-1), x)
    return x, (torch.where(mirrored[:, None, None], y.flip(-1), y) if y.ndim == 3 else y)


def crop_and_flip(
    x: Shaped[Tensor, "b c h w"], y: Int64[Tensor, " b"], generator: Generator
) -> tuple[Tensor, Tensor]:
    """Pad four black pixels, cut out the size that was, mirror: the usual for CIFAR."""
    b, c, h, w = x.shape
    padded = F.pad(x, (PAD,) * 4)
    top, left = torch.randint(2 * PAD + 1, (2, b, 1), generator=generator)
    row = (top + torch.arange(h))[:, None, :, None].expand(b, c, h, w + 2 * PAD)
    column = (left + torch.arange(w))[:, None, None, :].expand(b, c, h, w)
    return flip(padded.gather(2, row).gather(3, column), y, generator)


def colour_jitter(
    x: Float32[Tensor, "3 h w"], strength: float, generator: Generator
) -> Float32[Tensor, "3 h w"]:
    """Brightness, contrast and saturation, in random order, each times U(1 - s, 1 + s).

    x lies in 0..1 and stays there.
    """
    factors = 1 + strength * (2 * torch.rand(3, generator=generator) - 1)
    for k in torch.randperm(3, generator=generator):
        x = (factors[k] * x + (1 - factors[k]) * _reference(x, int(k))).clamp(0, 1)
    return x


def _reference(x: Tensor, k: int) -> Tensor:
    """What brightness, contrast and saturation of nothing leave: black, mean grey, grey."""
    grey = torch.einsum("chw,c->hw", x, x.new_tensor(GREY))
    return (x.new_zeros(()), grey.mean(), grey)[k]
