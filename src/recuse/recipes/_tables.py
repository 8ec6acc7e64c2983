"""What the two tables share: an MLP of 4d and 2d hidden units and one logit, or two.

Settings of the public code of the ICLR version: the preprint has no tables.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from recuse.errors import InputError
from recuse.recipes._recipe import BINARY, CLASSES, WHOLE_BATCHES, Recipe
from recuse.recipes._schedules import constant

if TYPE_CHECKING:
    from torch import nn
    from torch.optim import Optimizer

    from recuse.recipes.data import Parts

SMOOTHINGS = (0.0, 0.2, 0.4, 0.6)


def bank(folder: Path | None, *, seed: int) -> Parts:
    """Bank Marketing."""
    from recuse.recipes.data import tables

    return tables.bank(folder, seed=seed)


def shoppers(folder: Path | None, *, seed: int) -> Parts:
    """Online shoppers' intention."""
    from recuse.recipes.data import tables

    return tables.shoppers(folder, seed=seed)


def one_logit(parts: Parts) -> nn.Module:
    """4d, 2d, 1."""
    return _mlp(parts, 1)


def two_logits(parts: Parts) -> nn.Module:
    """4d, 2d, 2."""
    return _mlp(parts, 2)


def adam(model: nn.Module) -> Optimizer:
    """Adam."""
    from torch.optim import Adam

    return Adam(model.parameters(), lr=1e-3)


def recipe(
    name: str, title: str, data: str, load, differs: str = "", *, two: bool = False
) -> Recipe:
    """One table, with one logit or two."""
    differs += "two logits, for one; " if two else ""
    return Recipe(
        name=f"{name}-two-logits" if two else name,
        title=f"{title}, {'two logits' if two else 'one logit'}",
        data=data,
        load=load,
        network=two_logits if two else one_logit,
        optimizer=adam,
        schedule=constant,
        epochs=10,
        batch=128,
        cost="about 5 s a model on one core",
        reference="none: figures of the ICLR 2025 version",
        source="public code of the ICLR 2025 version",
        differs=(
            f"{differs}trained on 10 % of the rows, for 20 %: the other half is held out to tune "
            f"and calibrate; {WHOLE_BATCHES}"
        ),
        smoothings=SMOOTHINGS,
        output=CLASSES if two else BINARY,
    )


def _mlp(parts: Parts, logits: int) -> nn.Module:
    from recuse.recipes.networks import mlp

    x, _ = parts.train.data[0]
    if x.ndim != 1:
        raise InputError(f"expected rows of features, got inputs of shape {tuple(x.shape)}")
    return mlp((len(x), 4 * len(x), 2 * len(x), logits))
