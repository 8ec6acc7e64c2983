"""ImageNet-1k, ViT-S/16 with sharpness-aware minimisation: figures 4, 11 and 13 of the paper."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from recuse.recipes._recipe import RESIZED, WHOLE_BATCHES, Recipe, cosine, load_data, network_named
from recuse.recipes.imagenet_resnet50 import drawings

if TYPE_CHECKING:
    from torch import nn
    from torch.optim import Optimizer

WEIGHT_DECAY = 0.01  # default of PyTorch's AdamW


def optimizer(model: nn.Module) -> Optimizer:
    """SAM around AdamW, rho = 0.2, not adaptive; the paper gives no weight decay."""
    from torch.optim import AdamW

    from recuse.recipes.sam import SAM

    options = {"lr": 3e-3, "betas": (0.9, 0.999), "weight_decay": WEIGHT_DECAY}
    return SAM(model.parameters(), AdamW, rho=0.2, model=model, **options)


RECIPE = Recipe(
    name="imagenet-vit-s16-sam",
    title="ViT-S/16 with SAM on ImageNet-1k",
    data="ImageNet-1k, train/ and val/",
    # Bicubic random resized crops of 224 pixels, mirrored
    load=partial(load_data, source="image_folder.load", held_out=50_000),
    network=partial(network_named, name="vit_s16", dropout=0.1),  # none in the attention
    optimizer=optimizer,
    schedule=partial(cosine, warmup=15 / 300),
    epochs=300,
    batch=2048,
    cost="not measured; the paper used 8 V100",
    reference="figures 4, 11 and 13 of the paper",
    source="paper, appendix 0.B.1",
    differs=(
        f"weight decay {WEIGHT_DECAY}, which the paper does not give; "
        "the 50,000 held-out images are halved to tune and calibrate; "
        f"{RESIZED}; {WHOLE_BATCHES}"
    ),
    shift=drawings,
)
