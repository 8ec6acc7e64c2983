"""All classes of a row, the most probable first.

n = examples, K = classes, ... = any trailing axes (pixels).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from jaxtyping import Float, Int
    from numpy import ndarray as Array


def ranked(logits: Array) -> tuple[Int[Array, "n K ..."], Float[Array, "n K ..."]]:
    """Classes by descending logit, ties by index, and their softmax probabilities.

    Args:
        logits: Shape (n, K, ...).

    >>> order, probability = ranked(np.log([[0.25, 0.5, 0.25]]))
    >>> order.tolist(), probability.round(2).tolist()
    ([[1, 0, 2]], [[0.5, 0.25, 0.25]])
    """
    from scipy.special import softmax

    z = logits.astype(np.float64)
    order = np.argsort(-z, axis=1, kind="stable")
    return order, np.take_along_axis(softmax(z, axis=1), order, axis=1)
