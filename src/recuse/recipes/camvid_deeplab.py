"""CamVid, a small DeepLabV3+: segmentation at a size that two CPU cores can train."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from recuse.recipes._recipe import PIXELS, Recipe, poly

if TYPE_CHECKING:
    from torch import nn
    from torch.optim import Optimizer

    from recuse.recipes.data import Parts


def load(folder: Path | None, *, seed: int) -> Parts:
    """Road scenes of 240 x 180 pixels, mirrored in training."""
    from recuse.recipes.data import camvid

    return camvid.load(folder, seed=seed)


def network(parts: Parts) -> nn.Module:
    """Small DeepLabV3+ with logits at full size."""
    from recuse.recipes.networks import small_deeplab

    return small_deeplab(parts.classes)


def optimizer(model: nn.Module) -> Optimizer:
    """SGD with momentum."""
    from torch.optim import SGD

    return SGD(model.parameters(), lr=0.05, momentum=0.9, weight_decay=1e-4)


RECIPE = Recipe(
    name="camvid-deeplab",
    title="small DeepLabV3+ on CamVid",
    data="CamVid",
    load=load,
    network=network,
    optimizer=optimizer,
    schedule=partial(poly, power=0.9),
    epochs=40,
    batch=8,
    cost="about 6 s an epoch on two cores, 4 minutes a model",
    reference="none at this size",
    source="our own, after the paper's appendix 0.B.2",
    smoothings=(0.0, 0.2),
    output=PIXELS,
    channels_last=True,
    pixels_per_image=500,
)
