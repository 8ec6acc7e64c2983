"""From a model to a held-out file: loaders, image folders, timm, weights."""

from recuse.collect._collect import collect_logits

__all__ = ["collect_logits"]
