"""Confidences of images, from their logits alone.

n = images, K = classes, C = classes that count, P = pixels of an image.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from recuse._internal.check import check_fraction, check_logits
from recuse.errors import InputError
from recuse.scores import as_probability, msp, predict

if TYPE_CHECKING:
    from jaxtyping import Float, Float32, Int
    from numpy import ndarray as Array
    from numpy.typing import ArrayLike


def soft_dice(logits: ArrayLike, *, classes: Sequence[int] | None = None) -> Float32[Array, " n"]:
    r"""Soft Dice of the predicted masks and the softmax, the mean over the predicted classes.

    $\frac{1}{|\hat K|} \sum_{k \in \hat K} \frac{2 \sum_{i: \hat y_i = k} \pi_{ik}}
    {\sum_i \pi_{ik} + |\{i : \hat y_i = k\}|}$, where $\hat K$ are the classes that at least one
    pixel of the image is predicted as. Were the probabilities right and the pixels independent, it
    would be close to the expected Dice.

    The paper has a background and one foreground: `classes=(1,)` of two. The mean over predicted
    classes is our extension to several.

    Args:
        logits: Shape (n, K, ...).
        classes: Those that count, such as all but the background; None: all. An image
            without a pixel that is predicted as one of them gets 0.

    Raises:
        InputError: Malformed logits or classes.

    References:
        Borges, Zamparo & Silva, 2024, arXiv 2402.10665.

    >>> z = np.zeros((1, 2, 1, 4))
    >>> z[0, 1, 0, :2], z[0, 0, 0, 2:] = 2, 2
    >>> soft_dice(z).round(4)
    array([0.8808], dtype=float32)
    """
    z, pixels = check_images(logits)
    counted = check_classes(classes, z.shape[1])
    return np.array([_soft_dice(image, counted) for image in pixels(z)], np.float32)


def _soft_dice(image: Float[Array, "K P"], counted: Int[Array, " C"]) -> float:
    """Soft Dice of one image."""
    z = image.astype(np.float64)
    p = np.exp(z - z.max(axis=0))
    p /= p.sum(axis=0)
    label = predict(image[None])[0]
    inside = np.bincount(label, p[label, np.arange(label.size)], minlength=len(z))
    size = np.bincount(label, minlength=len(z))
    found = counted[size[counted] > 0]
    if not found.size:
        return 0.0
    return float((2 * inside[found] / (p[found].sum(axis=1) + size[found])).mean())


def mean_msp(logits: ArrayLike) -> Float32[Array, " n"]:
    """Mean over pixels of the maximum softmax probability.

    Args:
        logits: Shape (n, K, ...).

    Raises:
        InputError: Malformed logits.

    >>> mean_msp(np.zeros((1, 4, 2, 2)))
    array([0.25], dtype=float32)
    """
    z, pixels = check_images(logits)
    return np.array([as_probability(msp(i[None])).mean() for i in pixels(z)], np.float32)


def quantile_msp(logits: ArrayLike, *, q: float = 0.05) -> Float32[Array, " n"]:
    """Log-odds of the maximum softmax probability at a lower quantile of the pixels.

    It is that of a pixel: the largest value that at least 1 - q of the pixels reach.

    Args:
        logits: Shape (n, K, ...).
        q: Which quantile, in (0, 1).

    Raises:
        InputError: Malformed logits, or `q` out of range.

    >>> z = np.zeros((1, 2, 1, 4))
    >>> z[0, 1, 0] = [1, 2, 3, 4]
    >>> quantile_msp(z, q=0.5)
    array([2.], dtype=float32)
    """
    check_fraction(q, "q")
    z, pixels = check_images(logits)
    at = lambda x: np.quantile(x, q, method="lower")  # noqa: E731
    return np.array([at(msp(image[None])[0]) for image in pixels(z)], np.float32)


def check_images(logits: ArrayLike) -> tuple[Array, Callable[[Array], Any]]:
    """Return logits (n, K, ...) with pixels, and what yields (K, P) of each image."""
    z = check_logits(logits)
    if z.ndim < 3:
        raise InputError(f"expected `logits` of images, shape (n, K, H, W), got {z.shape}")
    return z, lambda z: (image.reshape(len(image), -1) for image in z)


def check_classes(classes: Sequence[int] | None, known: int) -> Int[Array, " C"]:
    """Return the classes that count."""
    if classes is None:
        return np.arange(known)
    found = np.asarray(classes)
    good = found.ndim == 1 and found.size > 0 and found.dtype.kind in "iu"
    if not good or len(set(found.tolist())) < found.size or found.min() < 0 or found.max() >= known:
        raise InputError(f"expected distinct `classes` in 0..{known - 1}, got {classes!r}")
    return found


CONFIDENCES: dict[str, Callable[..., Any]] = {
    f.__name__: f for f in (soft_dice, mean_msp, quantile_msp)
}
