"""DenseNet-BC of CIFAR: x (n, 3, 32, 32) -> (n, K)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn

from recuse.errors import InputError
from recuse.recipes.networks._init import he_normal

if TYPE_CHECKING:
    from jaxtyping import Float32
    from torch import Tensor


def densenet_bc(classes: int = 100, *, depth: int = 100, growth: int = 12) -> nn.Module:
    """Three dense blocks with bottlenecks (B) and compression by half (C).

    Depth 100 and growth 12 have 0.8 million parameters.

    Args:
        classes: K.
        depth: Layers with weights, 6 m + 4.
        growth: Channels that each layer adds.

    Raises:
        InputError: The depth is not 6 m + 4 with m >= 1.

    References:
        Huang, Liu, van der Maaten & Weinberger, CVPR 2017.

    >>> densenet_bc(10, depth=10)(torch.zeros(2, 3, 32, 32)).shape
    torch.Size([2, 10])
    """
    if depth < 10 or (depth - 4) % 6:
        raise InputError(f"expected `depth` as 10, 16, 22, ... (6 m + 4), got {depth}")
    layers: list[nn.Module] = [nn.Conv2d(3, 2 * growth, 3, padding=1, bias=False)]
    channels = 2 * growth
    for stage in range(3):
        if stage:
            layers.append(transition(channels, channels // 2))
            channels //= 2
        layers += [Layer(channels + k * growth, growth) for k in range((depth - 4) // 6)]
        channels += (depth - 4) // 6 * growth
    head = (nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, classes))
    return he_normal(nn.Sequential(*layers, *active(channels), *head))


class Layer(nn.Module):
    """A bottleneck of 4 x growth channels, then growth new channels beside those that came."""

    def __init__(self, channels: int, growth: int):
        super().__init__()
        self.body = nn.Sequential(
            *active(channels),
            nn.Conv2d(channels, 4 * growth, 1, bias=False),
            *active(4 * growth),
            nn.Conv2d(4 * growth, growth, 3, padding=1, bias=False),
        )

    def forward(self, x: Float32[Tensor, "n c h w"]) -> Float32[Tensor, "n c_and_growth h w"]:
        """The input and the new channels."""
        return torch.cat([x, self.body(x)], dim=1)


def transition(a: int, b: int) -> nn.Sequential:
    """Fewer channels at half of the resolution."""
    return nn.Sequential(*active(a), nn.Conv2d(a, b, 1, bias=False), nn.AvgPool2d(2))


def active(channels: int) -> tuple[nn.BatchNorm2d, nn.ReLU]:
    """Normalise, then ReLU."""
    return nn.BatchNorm2d(channels), nn.ReLU(inplace=True)
