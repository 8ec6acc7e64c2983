"""From a model to a held-out file.

`collect_logits` runs a model over a loader. `recuse logits` runs a model of timm, or of a function
of yours, over a folder of images. `recuse.collect.networks` has networks of published experiments.
"""

from recuse.collect._collect import collect_logits

__all__ = ["collect_logits"]
