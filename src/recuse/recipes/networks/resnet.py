"""ResNet-20 of CIFAR: x (n, 3, 32, 32) -> (n, K)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn
from torch.nn import functional as F

from recuse.recipes.networks._init import he_normal

if TYPE_CHECKING:
    from jaxtyping import Float32
    from torch import Tensor


def resnet20(classes: int) -> nn.Module:
    """Three stages of three blocks, 16, 32 and 64 channels: 0.27 million parameters.

    The shortcut is free of parameters (option A): where a stage halves the resolution, every
    second pixel is taken and the new channels are zero.

    Args:
        classes: K.

    References:
        He, Zhang, Ren & Sun, CVPR 2016, section 4.2.

    >>> resnet20(10)(torch.zeros(2, 3, 32, 32)).shape
    torch.Size([2, 10])
    """
    blocks = [(16, 16)] * 3 + [(16, 32)] + [(32, 32)] * 2 + [(32, 64)] + [(64, 64)] * 2
    return he_normal(
        nn.Sequential(
            nn.Conv2d(3, 16, 3, padding=1, bias=False),
            nn.BatchNorm2d(16),
            nn.ReLU(inplace=True),
            *(Block(a, b) for a, b in blocks),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
            nn.Linear(64, classes),
        )
    )


class Block(nn.Module):
    """Two 3 x 3 convolutions, and the input added: a channels in, b = a or 2 a out."""

    def __init__(self, a: int, b: int):
        super().__init__()
        self.stride = b // a
        self.new = b - a
        self.body = nn.Sequential(
            nn.Conv2d(a, b, 3, self.stride, 1, bias=False),
            nn.BatchNorm2d(b),
            nn.ReLU(inplace=True),
            nn.Conv2d(b, b, 3, padding=1, bias=False),
            nn.BatchNorm2d(b),
        )

    def forward(self, x: Float32[Tensor, "n a h w"]) -> Float32[Tensor, "n b h2 w2"]:
        """The sum of both ways."""
        shortcut = x[:, :, :: self.stride, :: self.stride]
        if self.new:
            shortcut = F.pad(shortcut, (0, 0, 0, 0, self.new // 2, self.new // 2))
        return torch.relu(self.body(x) + shortcut)
