"""CamVid, a small DeepLabV3+: segmentation at a size that two CPU cores can train."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from recuse.recipes._recipe import PIXELS, Recipe, load_data, network_named, poly, torch_optimizer

if TYPE_CHECKING:
    pass


RECIPE = Recipe(
    name="camvid-deeplab",
    title="small DeepLabV3+ on CamVid",
    data="CamVid",
    load=partial(load_data, source="camvid.load"),  # 240 x 180 pixels, mirrored in training
    network=partial(network_named, name="small_deeplab"),  # logits at full size
    optimizer=partial(torch_optimizer, name="SGD", lr=0.05, momentum=0.9, weight_decay=1e-4),
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
