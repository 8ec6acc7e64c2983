"""ImageNet-1k, ResNet-50: figures 1 and 5 to 9 of the paper."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from recuse.recipes._recipe import (
    RESIZED,
    WHOLE_BATCHES,
    Recipe,
    cosine,
    load_data,
    network_named,
    torch_optimizer,
)

if TYPE_CHECKING:
    from recuse.recipes.data import Part, Parts


def drawings(folder: Path | None, parts: Parts) -> Part | None:
    """ImageNet-Sketch, if it exists."""
    from recuse.recipes.data import image_folder

    return None if folder is None else image_folder.drawings(folder, parts)


RECIPE = Recipe(
    name="imagenet-resnet50",
    title="ResNet-50 on ImageNet-1k",
    data="ImageNet-1k, train/ and val/",
    # Bicubic random resized crops of 224 pixels, mirrored
    load=partial(load_data, source="image_folder.load", held_out=50_000),
    network=partial(network_named, name="resnet50"),  # random weights
    optimizer=partial(torch_optimizer, name="SGD", lr=0.4, momentum=0.9, weight_decay=1e-4),
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
