"""Labels that name few of the classes, which a score with class intercepts learns.

n = examples, K = classes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from jaxtyping import Int
    from numpy import ndarray as Array


def errors_beyond(
    predicted: Int[Array, " n"], labels: Int[Array, " n"], classes: int
) -> int | None:
    """Count the predictions of classes that no label names, all of which are wrong.

    None unless labels name at most half as many classes as they could, and most errors are such
    predictions.

    >>> errors_beyond(np.array([0, 1, 7, 8]), np.array([0, 1, 0, 1]), 10)
    2
    >>> errors_beyond(np.array([0, 1, 2, 3]), np.array([0, 1, 2, 4]), 5) is None
    True
    """
    named = np.unique(labels)
    beyond = int((~np.isin(predicted, named)).sum())
    errors = int((predicted != labels).sum())
    few = 2 * named.size <= min(labels.size, classes)
    return beyond if few and 2 * beyond > errors else None
