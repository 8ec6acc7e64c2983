"""A small DeepLabV3+ for road scenes: x (n, 3, h, w) -> (n, K, h, w)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn
from torch.nn import functional as F

from recuse.recipes.networks._init import he_normal

if TYPE_CHECKING:
    from jaxtyping import Float32
    from torch import Tensor

RATES = (2, 4, 8)  # of the dilated convolutions, in pixels at an eighth of the resolution


def small_deeplab(classes: int, *, width: int = 24) -> nn.Module:
    """Encoder to an eighth of the resolution, spatial pyramid (ASPP), decoder at a quarter.

    Trained from scratch, without a pretrained backbone; the structure is DeepLabV3+'s, the
    widths are for a machine without an accelerator.

    Args:
        classes: K.
        width: Channels at half of the resolution; twice and four times as many below.

    References:
        Chen, Zhu, Papandreou, Schroff & Adam, ECCV 2018.

    >>> small_deeplab(11)(torch.zeros(2, 3, 45, 60)).shape
    torch.Size([2, 11, 45, 60])
    """
    return he_normal(DeepLab(classes, width))


class DeepLab(nn.Module):
    """The network of `small_deeplab`; `before_interpolation` gives logits (n, K, h/4, w/4)."""

    def __init__(self, classes: int, width: int):
        super().__init__()
        w1, w2, w4 = width, 2 * width, 4 * width
        self.low = nn.Sequential(conv(3, w1, stride=2), conv(w1, w2, stride=2), conv(w2, w2))
        self.high = nn.Sequential(conv(w2, w4, stride=2), Residual(w4), Residual(w4, dilation=2))
        self.pyramid = Pyramid(w4, w2)
        self.skip = conv(w2, w1, size=1)
        self.decoder = nn.Sequential(conv(w2 + w1, w2), nn.Conv2d(w2, classes, 1))

    def forward(self, x: Float32[Tensor, "n 3 h w"]) -> Float32[Tensor, "n K h w"]:
        """Logits at the size of the images."""
        return resize(self.before_interpolation(x), x)

    def before_interpolation(self, x: Float32[Tensor, "n 3 h w"]) -> Float32[Tensor, "n K h4 w4"]:
        """Logits at a quarter of the resolution."""
        low = self.low(x)
        high = self.pyramid(self.high(low))
        return self.decoder(torch.cat([resize(high, low), self.skip(low)], dim=1))


class Residual(nn.Module):
    """Two 3 x 3 convolutions, and the input added."""

    def __init__(self, channels: int, dilation: int = 1):
        super().__init__()
        self.body = nn.Sequential(
            conv(channels, channels, dilation=dilation), conv(channels, channels, dilation=dilation)
        )

    def forward(self, x: Tensor) -> Tensor:
        """The same shape."""
        return x + self.body(x)


class Pyramid(nn.Module):
    """Convolutions of several reaches beside each other, and the mean of the image."""

    def __init__(self, a: int, b: int):
        super().__init__()
        self.reaches = nn.ModuleList([conv(a, b, size=1), *(conv(a, b, dilation=r) for r in RATES)])
        self.mean = nn.Sequential(nn.Conv2d(a, b, 1), nn.ReLU(inplace=True))
        self.out = conv(5 * b, b, size=1)

    def forward(self, x: Tensor) -> Tensor:
        """Fewer channels, the same size."""
        mean = self.mean(x.mean((2, 3), keepdim=True)).expand(-1, -1, *x.shape[2:])
        return self.out(torch.cat([*(reach(x) for reach in self.reaches), mean], dim=1))


def conv(a: int, b: int, *, size: int = 3, stride: int = 1, dilation: int = 1) -> nn.Sequential:
    """A convolution that keeps the size but for its stride, normalised, with ReLU."""
    layer = nn.Conv2d(a, b, size, stride, dilation * (size // 2), dilation, bias=False)
    return nn.Sequential(layer, nn.BatchNorm2d(b), nn.ReLU(inplace=True))


def resize(x: Tensor, like: Tensor) -> Tensor:
    """Bilinear interpolation to the size of another."""
    return F.interpolate(x, like.shape[2:], mode="bilinear", align_corners=False)
