"""Networks of the recipes.

| function | input -> logits | for | parameters |
|---|---|---|---|
| `mlp` | x (n, ...) -> (n, widths[-1]) | tables, digits | set by the widths |
| `lstm` | tokens (n, t) -> (n, 1) | texts | 0.67 million and the embedding |
| `resnet20` | images (n, 3, 32, 32) -> (n, K) | CIFAR-10 | 0.27 million |
| `densenet_bc` | images (n, 3, 32, 32) -> (n, K) | CIFAR-100 | 0.8 million |
| `small_deeplab` | images (n, 3, h, w) -> (n, K, h, w) | CamVid | 0.6 million |
| `resnet50` | images (n, 3, h, w) -> (n, K) | ImageNet | 25.6 million |
| `vit_s16` | images (n, 3, 224, 224) -> (n, K) | ImageNet | 22.1 million |
| `deeplabv3plus_resnet101` | images (n, 3, h, w) -> (n, K, h/4, w/4) | Cityscapes | 45 million |

The last three come from timm and segmentation-models-pytorch (extra `vision`). Weights are random
unless said otherwise.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from recuse._internal.check import extra
from recuse.collect._models import package
from recuse.errors import InputError

extra("torch", "train", "recuse.recipes.networks")

import torch  # noqa: E402
from torch import nn  # noqa: E402
from torch.nn import functional as F  # noqa: E402

if TYPE_CHECKING:
    from jaxtyping import Float32, Int64
    from torch import Tensor

__all__ = [
    "backbone_slower",
    "deeplabv3plus_resnet101",
    "densenet_bc",
    "lstm",
    "mlp",
    "resnet20",
    "resnet50",
    "small_deeplab",
    "vit_s16",
]

PADDING = 0  # token of an `lstm` at the end of a text
RATES = (2, 4, 8)  # dilations of `small_deeplab`, in pixels at an eighth of the resolution


def mlp(widths: Sequence[int]) -> nn.Sequential:
    """Return linear layers with ReLU between them; x is flattened first.

    Xia et al. use `mlp((d, 4 * d, 2 * d, 1))`, with one logit, for tables of d features.

    Args:
        widths: Widths of the input, the hidden layers and the output.

    Raises:
        InputError: Fewer than two widths.

    >>> mlp((62, 248, 124, 1))(torch.zeros(5, 62)).shape
    torch.Size([5, 1])
    """
    if len(widths) < 2:
        raise InputError(f"expected `widths` of input and output at least, got {tuple(widths)}")
    layers = [layer for a, b in pairwise(widths) for layer in (nn.Linear(a, b), nn.ReLU())]
    return nn.Sequential(nn.Flatten(), *layers[:-1])


def lstm(vocabulary: int, *, embedding: int = 300, hidden: int = 256) -> LSTM:
    """Return one LSTM layer and an MLP of three layers over its state at the last word.

    Sizes and dropout are those of the published experiment on IMDB. There the embedding is GloVe
    and the state is read after the padding; here the embedding is learned and padding is masked.

    Args:
        vocabulary: Number of tokens; 0 is padding.
        embedding: Width of a token vector.
        hidden: Width of the state.

    References:
        Hochreiter & Schmidhuber, Neural Computation 1997; Xia et al., ICLR 2025 (IMDB).

    >>> tokens = torch.tensor([[5, 7, 0, 0], [2, 3, 4, 5]])
    >>> lstm(10)(tokens).shape
    torch.Size([2, 1])
    """
    return LSTM(vocabulary, embedding, hidden)


class LSTM(nn.Module):
    """Network of `lstm`."""

    def __init__(self, vocabulary: int, embedding: int, hidden: int):
        super().__init__()
        self.embedding = nn.Embedding(vocabulary, embedding, padding_idx=PADDING)
        self.recurrent = nn.LSTM(embedding, hidden, batch_first=True)
        self.head = nn.Sequential(
            nn.Dropout(0.2), nn.Linear(hidden, 256), nn.ReLU(),
            nn.Dropout(0.2), nn.Linear(256, 128), nn.ReLU(),
            nn.Linear(128, 1),
        )  # fmt: skip

    def forward(self, tokens: Int64[Tensor, "n t"]) -> Float32[Tensor, "n 1"]:
        """Return the logit of each text."""
        length = (tokens != PADDING).sum(1).clamp_min(1)
        seen = tokens[:, : int(length.max())]  # the end is padding in every text
        states, _ = self.recurrent(self.embedding(seen))
        return self.head(states[torch.arange(len(tokens)), length - 1])


def resnet20(classes: int) -> nn.Module:
    """Return three stages of three blocks with 16, 32 and 64 channels: 0.27 million parameters.

    The shortcut has no parameters (option A): where a stage halves the resolution, it takes every
    second pixel, and new channels are zero.

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
    """Two 3 x 3 convolutions plus the input: a channels in, b = a or 2 a out."""

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
        """Return convolutions plus shortcut."""
        shortcut = x[:, :, :: self.stride, :: self.stride]
        if self.new:
            shortcut = F.pad(shortcut, (0, 0, 0, 0, self.new // 2, self.new // 2))
        return torch.relu(self.body(x) + shortcut)


def densenet_bc(classes: int = 100, *, depth: int = 100, growth: int = 12) -> nn.Module:
    """Return three dense blocks with bottlenecks (B) and compression by half (C).

    Depth 100 and growth 12 give 0.8 million parameters.

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
    """A bottleneck of 4 x growth channels, then growth new channels beside the input."""

    def __init__(self, channels: int, growth: int):
        super().__init__()
        self.body = nn.Sequential(
            *active(channels),
            nn.Conv2d(channels, 4 * growth, 1, bias=False),
            *active(4 * growth),
            nn.Conv2d(4 * growth, growth, 3, padding=1, bias=False),
        )

    def forward(self, x: Float32[Tensor, "n c h w"]) -> Float32[Tensor, "n c_and_growth h w"]:
        """Return the input and the new channels."""
        return torch.cat([x, self.body(x)], dim=1)


def transition(a: int, b: int) -> nn.Sequential:
    """Reduce the channels and halve the resolution."""
    return nn.Sequential(*active(a), nn.Conv2d(a, b, 1, bias=False), nn.AvgPool2d(2))


def active(channels: int) -> tuple[nn.BatchNorm2d, nn.ReLU]:
    """Normalise, then apply ReLU."""
    return nn.BatchNorm2d(channels), nn.ReLU(inplace=True)


def small_deeplab(classes: int, *, width: int = 24) -> nn.Module:
    """Return a small DeepLabV3+, trained from scratch, for a machine without an accelerator.

    Encoder to an eighth of the resolution, spatial pyramid (ASPP), decoder at a quarter.

    Args:
        classes: K.
        width: Channels at half the resolution; twice and four times as many below.

    References:
        Chen, Zhu, Papandreou, Schroff & Adam, ECCV 2018.

    >>> small_deeplab(11)(torch.zeros(2, 3, 45, 60)).shape
    torch.Size([2, 11, 45, 60])
    """
    return he_normal(DeepLab(classes, width))


class DeepLab(nn.Module):
    """Network of `small_deeplab`; `before_interpolation` gives logits (n, K, h/4, w/4)."""

    def __init__(self, classes: int, width: int):
        super().__init__()
        w1, w2, w4 = width, 2 * width, 4 * width
        self.low = nn.Sequential(conv(3, w1, stride=2), conv(w1, w2, stride=2), conv(w2, w2))
        self.high = nn.Sequential(conv(w2, w4, stride=2), Residual(w4), Residual(w4, dilation=2))
        self.pyramid = Pyramid(w4, w2)
        self.skip = conv(w2, w1, size=1)
        self.decoder = nn.Sequential(conv(w2 + w1, w2), nn.Conv2d(w2, classes, 1))

    def forward(self, x: Float32[Tensor, "n 3 h w"]) -> Float32[Tensor, "n K h w"]:
        """Return logits at the size of the images."""
        return resize(self.before_interpolation(x), x)

    def before_interpolation(self, x: Float32[Tensor, "n 3 h w"]) -> Float32[Tensor, "n K h4 w4"]:
        """Return logits at a quarter of the resolution."""
        low = self.low(x)
        high = self.pyramid(self.high(low))
        return self.decoder(torch.cat([resize(high, low), self.skip(low)], dim=1))


class Residual(nn.Module):
    """Two 3 x 3 convolutions plus the input."""

    def __init__(self, channels: int, dilation: int = 1):
        super().__init__()
        self.body = nn.Sequential(
            conv(channels, channels, dilation=dilation), conv(channels, channels, dilation=dilation)
        )

    def forward(self, x: Tensor) -> Tensor:
        """Return the same shape."""
        return x + self.body(x)


class Pyramid(nn.Module):
    """Parallel convolutions of several dilations, and the mean of the image."""

    def __init__(self, a: int, b: int):
        super().__init__()
        self.reaches = nn.ModuleList([conv(a, b, size=1), *(conv(a, b, dilation=r) for r in RATES)])
        self.mean = nn.Sequential(nn.Conv2d(a, b, 1), nn.ReLU(inplace=True))
        self.out = conv(5 * b, b, size=1)

    def forward(self, x: Tensor) -> Tensor:
        """Return fewer channels at the same size."""
        mean = self.mean(x.mean((2, 3), keepdim=True)).expand(-1, -1, *x.shape[2:])
        return self.out(torch.cat([*(reach(x) for reach in self.reaches), mean], dim=1))


def conv(a: int, b: int, *, size: int = 3, stride: int = 1, dilation: int = 1) -> nn.Sequential:
    """Return a convolution with batch normalisation and ReLU; the stride alone changes the size."""
    layer = nn.Conv2d(a, b, size, stride, dilation * (size // 2), dilation, bias=False)
    return nn.Sequential(layer, nn.BatchNorm2d(b), nn.ReLU(inplace=True))


def resize(x: Tensor, like: Tensor) -> Tensor:
    """Interpolate to the size of another."""
    return F.interpolate(x, like.shape[2:], mode="bilinear", align_corners=False)


def he_normal(network: nn.Module) -> nn.Module:
    """Draw weights of convolutions ~ N(0, 2 / fan out), for ReLU; set biases of linear layers to 0.

    References:
        He, Zhang, Ren & Sun, ICCV 2015.
    """
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
        if isinstance(layer, nn.Linear):
            nn.init.zeros_(layer.bias)
    return network


def resnet50(classes: int = 1000, *, pretrained: bool = False) -> nn.Module:
    """Return timm's ResNet-50, 25.6 million parameters at 1,000 classes.

    The stride of a block is in its 3 x 3 convolution, as in PyTorch.

    Args:
        classes: K, outputs.
        pretrained: Download the weights of timm.

    References:
        He, Zhang, Ren & Sun, CVPR 2016.
    """
    return package("timm").create_model("resnet50", num_classes=classes, pretrained=pretrained)


def vit_s16(classes: int = 1000, *, dropout: float = 0.1, size: int = 224) -> nn.Module:
    """Return timm's ViT-S/16, 22.1 million parameters at 1,000 classes and 224 pixels.

    Dropout is where Dosovitskiy et al. have it: after the positions are added, after the projection
    of the attention, and twice in each MLP. The attention weights have none.

    Args:
        classes: K, outputs.
        dropout: Dropout rate.
        size: Height and width of the images, a multiple of 16.

    References:
        Dosovitskiy et al., ICLR 2021, appendix B.1; Touvron et al., ICML 2021, for the size S.
    """
    return package("timm").create_model(
        "vit_small_patch16_224",
        num_classes=classes,
        img_size=size,
        pos_drop_rate=dropout,
        proj_drop_rate=dropout,
        attn_drop_rate=0.0,
    )


def deeplabv3plus_resnet101(classes: int = 19, *, pretrained: bool = False) -> nn.Module:
    """Return DeepLabV3+ on ResNet-101 without the last interpolation.

    Images (n, 3, H, W), H and W multiples of 16, give logits (n, K, H/4, W/4): interpolated logits
    depend on each other without adding information, so risk is measured before. Output stride 16
    with dilations 6, 12 and 18, as in the reference; Xia et al. give neither.

    Args:
        classes: K, outputs; 19 for Cityscapes.
        pretrained: Download the weights of the backbone from ImageNet.

    References:
        Chen, Zhu, Papandreou, Schroff & Adam, ECCV 2018.
    """
    return package("segmentation_models_pytorch").DeepLabV3Plus(
        "resnet101",
        encoder_weights="imagenet" if pretrained else None,
        encoder_output_stride=16,
        decoder_atrous_rates=(6, 12, 18),
        classes=classes,
        upsampling=1,
    )


def backbone_slower(model: nn.Module, *, lr: float, factor: float = 0.1) -> list[dict[str, Any]]:
    """Return parameter groups with the backbone (`model.encoder`) at `factor` times the rate.

    Args:
        model: A model of segmentation-models-pytorch.
        lr: Learning rate of the rest.
        factor: Rate of the backbone relative to the rest.

    >>> from torch import nn
    >>> model = nn.ModuleDict({"encoder": nn.Linear(2, 3), "head": nn.Linear(3, 1)})
    >>> groups = backbone_slower(model, lr=0.01)
    >>> [(group["lr"], sum(p.numel() for p in group["params"])) for group in groups]
    [(0.001, 9), (0.01, 4)]
    """
    backbone = list(model.get_submodule("encoder").parameters())
    inside = {id(p) for p in backbone}
    rest = [p for p in model.parameters() if id(p) not in inside]
    return [{"params": backbone, "lr": lr * factor}, {"params": rest, "lr": lr}]
