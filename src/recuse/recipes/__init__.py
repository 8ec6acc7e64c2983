"""Training recipes: one short file for each published experiment, over one small trainer.

| | |
|---|---|
| `RECIPES` | every `Recipe` by name: what is trained, on what, how |
| `run` | train every loss with every seed; other commands read the logits that it saves |
| `models_of` | the trained models in the folder of a run |
| `data` | data sets, in the layouts in which people have them |
| `networks` | the networks of the recipes |
| `sam` | sharpness-aware minimisation, for any training loop |
| `digits` | the training of `recuse demo`: small models side by side, in seconds |

Importing this package loads neither torch nor data.
"""

from recuse.errors import InputError
from recuse.recipes import (
    camvid_deeplab,
    cifar10_resnet20,
    cifar100_densenet,
    cityscapes_deeplabv3plus,
    digits_noisy,
    digits_pairs,
    imagenet_resnet50,
    imagenet_vit_s16_sam,
    imdb_lstm,
    tables_mlp,
)
from recuse.recipes._models import Model, models_of
from recuse.recipes._recipe import Recipe, Settings, Variant, variants
from recuse.recipes._run import run

__all__ = [
    "RECIPES",
    "Model",
    "Recipe",
    "Settings",
    "Variant",
    "models_of",
    "recipe_named",
    "run",
    "variants",
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
        *tables_mlp.RECIPES,
        imdb_lstm.RECIPE,
    )
}


def recipe_named(name: str) -> Recipe:
    """Return the recipe of this name.

    Raises:
        InputError: There is none.
    """
    if name not in RECIPES:
        raise InputError(f"expected a recipe of {', '.join(RECIPES)}, got {name!r}")
    return RECIPES[name]
