"""ImageNet-1k, ResNet-50: figures 1 and 5 to 9 of the paper."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from recuse.recipes._recipe import RESIZED, WHOLE_BATCHES, Recipe, cosine

if TYPE_CHECKING:
    from torch import nn
    from torch.optim import Optimizer

    from recuse.recipes.data import Part, Parts

HELD_OUT = 50_000  # training images


def load(folder: Path | None, *, seed: int) -> Parts:
    """Bicubic random resized crops of 224 pixels, mirrored; 50,000 training images held out."""
    from recuse.recipes.data import image_folder

    return image_folder.load(folder, seed=seed, held_out=HELD_OUT)


def drawings(folder: Path | None, parts: Parts) -> Part | None:
    """ImageNet-Sketch, if it exists."""
    from recuse.recipes.data import image_folder

    return None if folder is None else image_folder.drawings(folder, parts)


def network(parts: Parts) -> nn.Module:
    """ResNet-50 of timm with random weights."""
    from recuse.recipes import networks

    return networks.resnet50(parts.classes)


def optimizer(model: nn.Module) -> Optimizer:
    """SGD with momentum."""
    from torch.optim import SGD

    return SGD(model.parameters(), lr=0.4, momentum=0.9, weight_decay=1e-4)


RECIPE = Recipe(
    name="imagenet-resnet50",
    title="ResNet-50 on ImageNet-1k",
    data="ImageNet-1k, train/ and val/",
    load=load,
    network=network,
    optimizer=optimizer,
    schedule=partial(cosine, warmup=5 / 120),
    epochs=120,
    batch=1024,
    cost="not measured; the paper used 8 V100",
    reference="figures 1, 8 and 9 of the paper",
    source="paper, appendix 0.B.1",
    differs=(
        f"the 50,000 held-out images are halved to tune and calibrate; {RESIZED}; {WHOLE_BATCHES}"
    ),
    channels_last=True,
    shift=drawings,
)
