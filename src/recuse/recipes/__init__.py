"""Training recipes: one short file for each published experiment, over a small shared trainer.

    recipe     what is trained on what; `RECIPES` has them by name
    data       data sets in the layouts that people have
    networks   small networks; `vision` has the larger ones
    run        every loss with every seed, into folders of logits that all else reads

`digits` is the demo's own training, without the trainer.
"""

from recuse.recipes._all import RECIPES, recipe_named
from recuse.recipes._further import shifted, sketches
from recuse.recipes._losses import LOSSES, Variant, variants
from recuse.recipes._models import SHIFT, SPLITS, Model, comparable, describe, logits_of, models_of
from recuse.recipes._recipe import PIXELS, Recipe
from recuse.recipes._run import run
from recuse.recipes._settings import ORDERS, TERMINATED, Settings, is_helper, started

__all__ = [
    "LOSSES",
    "ORDERS",
    "PIXELS",
    "RECIPES",
    "SHIFT",
    "SPLITS",
    "TERMINATED",
    "Model",
    "Recipe",
    "Settings",
    "Variant",
    "comparable",
    "describe",
    "is_helper",
    "logits_of",
    "models_of",
    "recipe_named",
    "run",
    "shifted",
    "sketches",
    "started",
    "variants",
]
