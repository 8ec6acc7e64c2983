"""The digits of `recuse demo` as a recipe: noise of a random strength on every image.

An experiment of our own. The demo trains its two models side by side in seconds; here each model
is trained alone, with any loss and any number of seeds.

    x (n, 64) pixels in 0..1 plus noise
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from recuse.recipes import digits
from recuse.recipes._recipe import Recipe, cosine, torch_optimizer

if TYPE_CHECKING:
    from torch import Generator, Tensor, nn

    from recuse.recipes.data import Parts


def load(folder: Path | None, *, seed: int) -> Parts:
    """600 images to train, 200 to tune, 200 to calibrate, 797 to test; 10 noisy copies of each.

    The copies of an image are one group. No folder is read.
    """
    import numpy as np
    import torch

    from recuse.recipes.data import Part, Parts, Rows

    images, labels = digits.load_images()
    generator = torch.Generator().manual_seed(seed)
    order = torch.randperm(len(images), generator=generator)
    train, *held = order.tensor_split(
        np.cumsum([digits.TRAIN, digits.TUNE, digits.CALIBRATE]).tolist()
    )
    parts = [
        Part(Rows(images[train], labels[train], augment=noisy), train.numpy() * digits.REPLICATES)
    ]
    for image in (part.repeat_interleave(digits.REPLICATES) for part in held):
        x, y = noisy(images[image], labels[image], generator)
        group = image.numpy()
        ids = group * digits.REPLICATES + np.arange(len(group)) % digits.REPLICATES
        parts.append(Part(Rows(x, y), ids, group))
    return Parts(*parts, classes=10, names=tuple("0123456789"))


def noisy(x: Tensor, y: Tensor, generator: Generator) -> tuple[Tensor, Tensor]:
    """Noise as in the demo, drawn anew for each batch."""
    return digits.noisy(x, generator), y


def network(parts: Parts) -> nn.Module:
    """Two hidden layers of 256, as in the demo."""
    from recuse.recipes.networks import mlp

    return mlp(digits.WIDTHS)


RECIPE = Recipe(
    name="digits",
    title="MLP on noisy digits (the demo), 10 classes",
    data="",
    load=load,
    network=network,
    optimizer=partial(
        torch_optimizer, name="AdamW", lr=digits.LR, weight_decay=digits.WEIGHT_DECAY, fused=True
    ),
    schedule=partial(cosine, warmup=0.05),
    epochs=80,
    batch=32,
    cost="about 10 s a model on one core",
    reference="none: an experiment of our own",
    source="our own, as in `recuse demo`",
    smoothings=(0.0, 0.2),
)
