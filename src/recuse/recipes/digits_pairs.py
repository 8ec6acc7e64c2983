"""Two handwritten digits side by side: a hundred classes, seconds of training, no data to get.

An experiment of our own. Training images are clean and half of the held-out ones noisy, so that
there are errors to abstain on. Unshuffled batches, wrong labels and similar classes are studied on
it: `--order sorted`, `--label-noise`, `--only`.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from recuse.recipes._recipe import Recipe, cosine, torch_optimizer

if TYPE_CHECKING:
    from torch import nn

    from recuse.recipes.data import Parts


def load(folder: Path | None, *, seed: int, **options: Any) -> Parts:
    """Pairs of the digits inside scikit-learn; no folder is read."""
    from recuse.recipes.data import digits_pairs

    return digits_pairs.load(seed=seed, **{k: v for k, v in options.items() if v is not None})


def network(parts: Parts) -> nn.Module:
    """Two hidden layers of 512."""
    from recuse.recipes.networks import mlp

    return mlp((128, 512, 512, parts.classes))


RECIPE = Recipe(
    name="digits-pairs",
    title="MLP on pairs of digits, 100 classes",
    data="",
    load=load,
    network=network,
    optimizer=partial(torch_optimizer, name="AdamW", lr=1e-3, weight_decay=1e-4),
    schedule=cosine,
    epochs=20,
    batch=128,
    cost="10 to 25 s a model on one core",
    reference="none: an experiment of our own",
    source="our own",
    options={"label_noise": 0.0, "classes": None},
)
