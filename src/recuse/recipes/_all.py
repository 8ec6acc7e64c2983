"""The recipes by name. Reading the list loads neither torch nor data."""

from __future__ import annotations

from recuse.errors import InputError
from recuse.recipes import (
    _tables,
    camvid_deeplab,
    cifar10_resnet20,
    cifar100_densenet,
    cityscapes_deeplabv3plus,
    digits_noisy,
    digits_pairs,
    imagenet_resnet50,
    imagenet_vit_s16_sam,
    imdb_lstm,
)
from recuse.recipes._recipe import Recipe

TABLES = [
    _tables.recipe(*about, two=two)
    for about in (
        (
            "bank-marketing-mlp",
            "MLP on Bank Marketing",
            "bank-full.csv",
            _tables.bank,
            "the column `duration`, known only after the call, is left out; ",
        ),
        (
            "online-shoppers-mlp",
            "MLP on Online Shoppers",
            "online_shoppers_intention.csv",
            _tables.shoppers,
        ),
    )
    for two in (False, True)
]
RECIPES: dict[str, Recipe] = {
    recipe.name: recipe
    for recipe in (
        digits_noisy.RECIPE,
        digits_pairs.RECIPE,
        cifar10_resnet20.RECIPE,
        cifar100_densenet.RECIPE,
        imagenet_resnet50.RECIPE,
        imagenet_vit_s16_sam.RECIPE,
        cityscapes_deeplabv3plus.RECIPE,
        camvid_deeplab.RECIPE,
        *TABLES,
        imdb_lstm.RECIPE,
    )
}


def recipe_named(name: str) -> Recipe:
    """The recipe of this name.

    Raises:
        InputError: There is none.
    """
    if name not in RECIPES:
        raise InputError(f"expected a recipe of {', '.join(RECIPES)}, got {name!r}")
    return RECIPES[name]
