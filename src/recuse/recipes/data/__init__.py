"""Data sets of the recipes, each read from a folder into four disjoint parts.

| module | data | where from |
|---|---|---|
| `digits_pairs` | two digits side by side, 100 classes; held-out half noisy | scikit-learn |
| `cifar` | CIFAR-10 and CIFAR-100: parquet, Python batches, or a tree of images | a folder |
| `image_folder` | ImageNet and trees like it, decoded on demand | a folder |
| `cityscapes` | road scenes, 19 classes, decoded on demand | a folder |
| `camvid` | road scenes of four videos, 11 classes | a folder |
| `tables` | bank marketing, online shoppers, any table in one file | a file |
| `imdb` | film reviews, positive or negative | a folder |

Each has a function `load` that returns `Parts`; nothing is downloaded. `images` has augmentation,
and drawings of edges as a shift of the source.
"""

from recuse._internal.check import extra

extra("torch", "train", "recuse.recipes.data")

from recuse.recipes.data._parts import Part, Parts, Rows  # noqa: E402

__all__ = ["Part", "Parts", "Rows"]
