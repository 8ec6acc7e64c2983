"""CIFAR-100, DenseNet-BC (k = 12, L = 100): appendix 0.A.1 of the paper, figures 15 to 17."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from recuse.recipes._recipe import WHOLE_BATCHES, Recipe, drops

if TYPE_CHECKING:
    from torch import nn
    from torch.optim import Optimizer

    from recuse.recipes.data import Parts


def load(folder: Path | None, *, seed: int) -> Parts:
    """CIFAR-100 padded, cropped and mirrored in training; 5,000 training images held out."""
    from recuse.recipes.data import cifar

    return cifar.load(folder, "cifar100", seed=seed)


def network(parts: Parts) -> nn.Module:
    """DenseNet-BC with growth 12 and 100 layers."""
    from recuse.recipes.networks import densenet_bc

    return densenet_bc(parts.classes, depth=100, growth=12)


def optimizer(model: nn.Module) -> Optimizer:
    """SGD with Nesterov momentum."""
    from torch.optim import SGD

    return SGD(model.parameters(), lr=0.1, momentum=0.9, nesterov=True, weight_decay=1e-4)


RECIPE = Recipe(
    name="cifar100-densenet",
    title="DenseNet-BC (k = 12, L = 100) on CIFAR-100",
    data="CIFAR-100",
    load=load,
    network=network,
    optimizer=optimizer,
    schedule=partial(drops, at=(1 / 2, 3 / 4)),
    epochs=300,
    batch=64,
    cost="not measured; hours on a GPU",
    reference="22.27 % error with all 50,000 images (Huang et al. 2017, table 2)",
    source="paper, appendix 0.B.1",
    differs=("the 5,000 held-out images are halved to tune and calibrate; " + WHOLE_BATCHES),
    channels_last=True,
)
