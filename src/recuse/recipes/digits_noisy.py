"""The digits of `recuse demo` as a recipe: noise of a random strength on every image.

An experiment of our own. The demo trains its two models side by side in seconds; here each model
is trained alone, with any loss and any number of seeds.

    x (n, 64) pixels in 0..1 plus noise
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from recuse.recipes._recipe import Recipe, cosine

if TYPE_CHECKING:
    from torch import Generator, Tensor, nn
    from torch.optim import Optimizer

    from recuse.recipes.data import Parts


def load(folder: Path | None, *, seed: int) -> Parts:
    """600 images to train, 200 to tune, 200 to calibrate, 797 to test; 20 noisy copies of each.

    The copies of an image are one group. No folder is read.
    """
    import numpy as np
    import torch

    from recuse.recipes.data import Part, Parts, Rows
    from recuse.recipes.digits import CALIBRATE, REPLICATES, TRAIN, TUNE, load_images

    images, labels = load_images()
    generator = torch.Generator().manual_seed(seed)
    order = torch.randperm(len(images), generator=generator)
    train, *held = order.tensor_split(np.cumsum([TRAIN, TUNE, CALIBRATE]).tolist())
    parts = [Part(Rows(images[train], labels[train], augment=noisy), train.numpy() * REPLICATES)]
    for image in (part.repeat_interleave(REPLICATES) for part in held):
        x, y = noisy(images[image], labels[image], generator)
        group = image.numpy()
        ids = group * REPLICATES + np.arange(len(group)) % REPLICATES
        parts.append(Part(Rows(x, y), ids, group))
    return Parts(*parts, classes=10, names=tuple("0123456789"))


def noisy(x: Tensor, y: Tensor, generator: Generator) -> tuple[Tensor, Tensor]:
    """Noise as in the demo, drawn anew for each batch."""
    from recuse.recipes import digits

    return digits.noisy(x, generator), y


def network(parts: Parts) -> nn.Module:
    """Two hidden layers of 256, as in the demo."""
    from recuse.recipes.digits import WIDTHS
    from recuse.recipes.networks import mlp

    return mlp(WIDTHS)


def optimizer(model: nn.Module) -> Optimizer:
    """AdamW."""
    from torch.optim import AdamW

    from recuse.recipes.digits import LR, WEIGHT_DECAY

    return AdamW(model.parameters(), lr=LR, weight_decay=WEIGHT_DECAY, fused=True)


RECIPE = Recipe(
    name="digits",
    title="MLP on noisy digits (the demo), 10 classes",
    data="",
    load=load,
    network=network,
    optimizer=optimizer,
    schedule=partial(cosine, warmup=0.05),
    epochs=80,
    batch=32,
    cost="about 10 s a model on one core",
    reference="none: an experiment of our own",
    source="our own, as in `recuse demo`",
    smoothings=(0.0, 0.2),
)
