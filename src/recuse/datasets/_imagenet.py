"""Outputs of a public ImageNet network."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from recuse.io import HeldOut, read

FILE = Path(__file__).with_name("imagenet_lite2.npz")


def imagenet_lite2() -> HeldOut:
    """Read the outputs of EfficientNet-Lite2 on 500 ImageNet validation photographs.

    The logits of all 1,000 classes are float16, computed by `recuse logits` with
    `timm:tf_efficientnet_lite2` at 260 pixels. The weights are Google's EfficientNet-Lite as
    packaged for timm (Apache 2.0); the file holds no weight. The photographs are 50 of each of ten
    classes (those of Imagenette), resized to 224 pixels; the file holds their labels and the names
    of their files in the ImageNet validation set, but no image. The class names are WordNet's.

    It serves to try recuse out, and to test. 500 rows are few: expect intervals of several percent.
    The rows are no sample of ImageNet: every label is one of ten classes that are hardly ever
    confused, so that all 130 errors are predictions of one of the other 990 classes. A score that
    knows the predicted class, such as the learned score of `tune`, would learn just that. Prefer
    scores that were fixed beforehand, as `fit` does below 10,000 rows.

    Returns:
        500 rows with labels, ids, class names and the name of the model.

    >>> file = imagenet_lite2()
    >>> file.logits.shape, file.ids[0].item(), file.class_names[0]
    ((500, 1000), 'n01440764/ILSVRC2012_val_00000293.JPEG', 'tench')
    >>> round(1 - float(file.loss.mean()), 2)
    0.74
    """
    return replace(read(FILE), name="imagenet_lite2")
