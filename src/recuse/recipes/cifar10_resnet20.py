"""CIFAR-10, ResNet-20: the code demo of the paper.

Settings of the public code of the ICLR version; the preprint does not give them.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from recuse.recipes._recipe import (
    WHOLE_BATCHES,
    Recipe,
    drops,
    load_data,
    network_named,
    torch_optimizer,
)

if TYPE_CHECKING:
    from recuse.recipes.data import Part, Parts


def drawings(folder: Path | None, parts: Parts) -> Part:
    """Drawings of the edges of the test images."""
    from recuse.recipes.data import images

    return images.sketched(parts.test)


RECIPE = Recipe(
    name="cifar10-resnet20",
    title="ResNet-20 on CIFAR-10",
    data="CIFAR-10",
    # Padded, cropped and mirrored in training; 5,000 training images held out
    load=partial(load_data, source="cifar.load", name="cifar10"),
    # Shortcuts without parameters: option A of the authors
    network=partial(network_named, name="resnet20"),
    optimizer=partial(torch_optimizer, name="SGD", lr=0.1, momentum=0.9, weight_decay=5e-4),
    schedule=partial(drops, at=(1 / 3, 2 / 3)),
    epochs=75,
    batch=128,
    cost="about 70 s an epoch on two cores, so an hour and a half a model",
    reference="8.75 % error after 182 epochs (He et al. 2016, table 6)",
    source="public code of the ICLR 2025 version",
    differs=("5,000 training images are held out to tune and calibrate; " + WHOLE_BATCHES),
    channels_last=True,
    shift=drawings,
)
