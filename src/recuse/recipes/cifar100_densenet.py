"""CIFAR-100, DenseNet-BC (k = 12, L = 100): appendix 0.A.1 of the paper, figures 15 to 17."""

from __future__ import annotations

from functools import partial
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
    pass


RECIPE = Recipe(
    name="cifar100-densenet",
    title="DenseNet-BC (k = 12, L = 100) on CIFAR-100",
    data="CIFAR-100",
    # Padded, cropped and mirrored in training; 5,000 training images held out
    load=partial(load_data, source="cifar.load", name="cifar100"),
    network=partial(network_named, name="densenet_bc", depth=100, growth=12),
    optimizer=partial(
        torch_optimizer, name="SGD", lr=0.1, momentum=0.9, nesterov=True, weight_decay=1e-4
    ),
    schedule=partial(drops, at=(1 / 2, 3 / 4)),
    epochs=300,
    batch=64,
    cost="not measured; hours on a GPU",
    reference="22.27 % error with all 50,000 images (Huang et al. 2017, table 2)",
    source="paper, appendix 0.B.1",
    differs=("the 5,000 held-out images are halved to tune and calibrate; " + WHOLE_BATCHES),
    channels_last=True,
)
