"""Bank Marketing and Online Shoppers: an MLP with 4d and 2d hidden units and one logit, or two.

Settings of the public code of the ICLR version; the preprint has no tables.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from recuse.errors import InputError
from recuse.recipes._recipe import (
    BINARY,
    CLASSES,
    WHOLE_BATCHES,
    Recipe,
    constant,
    load_data,
    torch_optimizer,
)

if TYPE_CHECKING:
    from torch import nn

    from recuse.recipes.data import Parts


def one_logit(parts: Parts) -> nn.Module:
    """Widths d, 4d, 2d, 1."""
    return _mlp(parts, 1)


def two_logits(parts: Parts) -> nn.Module:
    """Widths d, 4d, 2d, 2."""
    return _mlp(parts, 2)


def _mlp(parts: Parts, logits: int) -> nn.Module:
    from recuse.recipes.networks import mlp

    x, _ = parts.train.data[0]
    if x.ndim != 1:
        raise InputError(f"expected rows of features, got inputs of shape {tuple(x.shape)}")
    return mlp((len(x), 4 * len(x), 2 * len(x), logits))


def _recipe(name: str, title: str, data: str, source: str, differs: str, *, two: bool) -> Recipe:
    return Recipe(
        name=f"{name}-two-logits" if two else name,
        title=f"{title}, {'two logits' if two else 'one logit'}",
        data=data,
        load=partial(load_data, source=source),
        network=two_logits if two else one_logit,
        optimizer=partial(torch_optimizer, name="Adam", lr=1e-3),
        schedule=constant,
        epochs=10,
        batch=128,
        cost="about 5 s a model on one core",
        reference="none: figures of the ICLR 2025 version",
        source="public code of the ICLR 2025 version",
        differs=(
            f"{differs}{'two logits instead of one; ' if two else ''}"
            "trained on 10 % of the rows instead of 20 %: the other half is held out to tune "
            f"and calibrate; {WHOLE_BATCHES}"
        ),
        smoothings=(0.0, 0.2, 0.4, 0.6),
        output=CLASSES if two else BINARY,
    )


RECIPES = [
    _recipe(*about, two=two)
    for about in (
        (
            "bank-marketing-mlp",
            "MLP on Bank Marketing",
            "bank-full.csv",
            "tables.bank",
            "the column `duration`, known only after the call, is left out; ",
        ),
        (
            "online-shoppers-mlp",
            "MLP on Online Shoppers",
            "online_shoppers_intention.csv",
            "tables.shoppers",
            "",
        ),
    )
    for two in (False, True)
]
