"""Networks of timm and segmentation-models-pytorch, as the experiments of Xia et al. train them.

| | |
|---|---|
| `resnet50`, `vit_s16` | images (n, 3, H, W) -> logits (n, K) |
| `deeplabv3plus_resnet101` | images (n, 3, H, W) -> logits (n, K, H/4, W/4) |
| `backbone_slower` | parameter groups, the backbone at a fraction of the rate |

Needs the extra `vision`. Weights are random unless said otherwise.

References:
    Xia, Laurent, Franchi & Bouganis, 2024, appendix 0.B.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from recuse.collect._models import package

if TYPE_CHECKING:
    from torch import nn


def resnet50(classes: int = 1000, *, pretrained: bool = False) -> nn.Module:
    """ResNet-50 with random weights, 25.6 M parameters at 1,000 classes.

    The variant of PyTorch and timm, which puts the stride of a block into its 3 x 3 convolution.

    Args:
        classes: K, outputs.
        pretrained: Weights of timm, fetched over the network.

    References:
        He, Zhang, Ren & Sun, CVPR 2016.
    """
    return package("timm").create_model("resnet50", num_classes=classes, pretrained=pretrained)


def vit_s16(classes: int = 1000, *, dropout: float = 0.1, size: int = 224) -> nn.Module:
    """ViT-S/16 with random weights, 22.1 M parameters at 1,000 classes and 224 pixels.

    Dropout stands where Dosovitskiy et al. have it: after the positions are added, after the
    attention's projection, and twice in each MLP. The attention weights themselves have none.

    Args:
        classes: K, outputs.
        dropout: Its rate.
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
    """DeepLabV3+ on ResNet-101 whose logits are those before the last interpolation.

    For images (n, 3, H, W), H and W multiples of 16, logits (n, K, H/4, W/4): interpolated ones
    depend on each other without adding information, so that risk is measured before. Output
    stride 16 with rates 6, 12 and 18, as in the reference; the paper on smoothing gives neither.

    Args:
        classes: K, outputs; 19 for Cityscapes.
        pretrained: The backbone's weights from ImageNet, fetched over the network.

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
    """Parameter groups: the backbone (`model.encoder`) at `factor` times the rate of the rest.

    Args:
        model: A model of segmentation-models-pytorch.
        lr: Rate of what is not the backbone.
        factor: Share of it for the backbone.

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
