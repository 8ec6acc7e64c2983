"""Losses of images in [0, 1]; void pixels do not count.

n = images, K = classes, C = classes that count.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from recuse._internal.check import check_labels_form, first, to_numpy
from recuse.errors import InputError
from recuse.images._confidences import check_classes, check_images
from recuse.scores import predict

if TYPE_CHECKING:
    from jaxtyping import Float, Int
    from numpy import ndarray as Array
    from numpy.typing import ArrayLike

IGNORED = -100  # the label that PyTorch does not count


class Areas(NamedTuple):
    """Pixels of each class in each image, void left out."""

    predicted: Int[Array, "n K"]
    labelled: Int[Array, "n K"]
    both: Int[Array, "n K"]


def dice_loss(
    logits: ArrayLike,
    labels: ArrayLike,
    *,
    classes: Sequence[int] | None = None,
    ignore_index: int | None = IGNORED,
) -> Float[Array, " n"]:
    r"""1 - Dice, the mean over the classes that the image has, labelled or predicted.

    Dice of class k is $2 |A_k \cap B_k| / (|A_k| + |B_k|)$ for the pixels $A_k$ predicted as k and
    $B_k$ labelled k. The loss is 0 where neither has any of the classes that count.

    Args:
        logits: Shape (n, K, ...).
        labels: Shape (n, ...).
        classes: Those that count, such as all but the background; None: all.
        ignore_index: The label of void pixels, which do not count.

    Raises:
        InputError: Malformed input, or an image of void pixels alone.

    >>> z = np.zeros((1, 2, 1, 4))
    >>> z[0, 1, 0, :2] = 1
    >>> float(dice_loss(z, [[[1, 1, 1, 0]]], classes=(1,)).round(4)[0])
    0.2
    """
    a = areas(logits, labels, ignore_index)
    return _one_minus(2 * a.both, a.predicted + a.labelled, classes)


def iou_loss(
    logits: ArrayLike,
    labels: ArrayLike,
    *,
    classes: Sequence[int] | None = None,
    ignore_index: int | None = IGNORED,
) -> Float[Array, " n"]:
    r"""1 - IoU, the mean over the classes that the image has, labelled or predicted.

    IoU of class k is $|A_k \cap B_k| / |A_k \cup B_k|$. Of one image: the usual mean IoU of a data
    set divides sums over all its images.

    Args:
        logits: As in `dice_loss`.
        labels: As in `dice_loss`.
        classes: As in `dice_loss`.
        ignore_index: As in `dice_loss`.

    Raises:
        InputError: As `dice_loss`.

    >>> z = np.zeros((1, 2, 1, 4))
    >>> z[0, 1, 0, :2] = 1
    >>> float(iou_loss(z, [[[1, 1, 1, 0]]], classes=(1,)).round(4)[0])
    0.3333
    """
    a = areas(logits, labels, ignore_index)
    return _one_minus(a.both, a.predicted + a.labelled - a.both, classes)


def pixel_error(
    logits: ArrayLike, labels: ArrayLike, *, ignore_index: int | None = IGNORED
) -> Float[Array, " n"]:
    """Share of the pixels that are wrong.

    Args:
        logits: As in `dice_loss`.
        labels: As in `dice_loss`.
        ignore_index: As in `dice_loss`.

    Raises:
        InputError: As `dice_loss`.

    >>> pixel_error(np.eye(2)[None, :, None], [[[0, 0]]])
    array([0.5])
    """
    a = areas(logits, labels, ignore_index)
    return 1 - a.both.sum(axis=1) / a.labelled.sum(axis=1)


def areas(logits: ArrayLike, labels: ArrayLike, ignore_index: int | None) -> Areas:
    """Count the pixels of each class."""
    z, pixels = check_images(logits)
    y = to_numpy(labels)
    check_labels_form(y.shape, y.dtype, z.shape)
    void = np.zeros(y.shape, bool) if ignore_index is None else y == ignore_index
    images = np.arange(len(z))
    bad = _of_images(~void & ((y < 0) | (y >= z.shape[1]))).any(axis=1)
    if bad.any():
        raise InputError(f"expected `labels` in 0..{z.shape[1] - 1}, got others, {first(bad)}")
    if (empty := _of_images(void).all(axis=1)).any():
        raise InputError(f"expected an image with labels, got void pixels alone, {first(empty)}")
    found = np.zeros((3, len(z), z.shape[1]), np.int64)
    for i, image, label, kept in zip(images, pixels(z), _of_images(y), ~_of_images(void)):
        guess, label = predict(image[None])[0][kept], label[kept]
        for counts, of in zip(found, (guess, label, label[guess == label])):
            counts[i] = np.bincount(of, minlength=z.shape[1])
    return Areas(*found)


def _one_minus(
    part: Int[Array, "n K"], whole: Int[Array, "n K"], classes: Sequence[int] | None
) -> Float[Array, " n"]:
    """Return 1 - the mean of part / whole over the classes that count and whose whole is not 0."""
    counted = check_classes(classes, whole.shape[1])
    part, whole = part[:, counted], whole[:, counted]
    there = whole > 0
    each = np.where(there, 1 - part / np.maximum(whole, 1), 0)
    return each.sum(axis=1) / np.maximum(there.sum(axis=1), 1)


def _of_images(x: Array) -> Array:
    return x.reshape(len(x), -1)


LOSSES: dict[str, Callable[..., Any]] = {f.__name__: f for f in (dice_loss, iou_loss, pixel_error)}
