"""Data sets of the recipes, each read from a folder into four disjoint parts.

| module | what | where from |
|---|---|---|
| `digits_pairs` | two digits side by side, 100 classes; held-out half noisy | scikit-learn |
| `cifar` | CIFAR-10 and CIFAR-100: parquet, Python batches, or a tree of images | a folder |
| `image_folder` | ImageNet and trees like it, decoded as they are needed | a folder |
| `cityscapes` | road scenes, 19 classes, decoded as they are needed | a folder |
| `camvid` | road scenes of four videos, 11 classes | a folder |
| `tables` | bank marketing, online shoppers, any table of one file | a file |
| `imdb` | reviews of films, liked or not | a folder |
| `sketch` | images as drawings of their edges: a shift of the source | other images |

Each has a function `load`, which returns `Parts`; nothing is downloaded.
"""

from recuse._internal.check import extra

extra("torch", "train", "recuse.recipes.data")

from recuse.recipes.data._parts import Part, Parts, Rows, collate, digest_of  # noqa: E402

__all__ = ["Part", "Parts", "Rows", "collate", "digest_of"]
