"""What each predicted class adds to the log-odds of being right, shrunk towards nothing.

n = examples, K = classes, v = prior variances.

How many predictions of a class are wrong differs from class to class, and the features of the
learned score do not say which class it is. The intercepts are normal with an unknown variance: the
fits for several variances, 0 among them, are averaged with weights exp(-held-out log loss).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from recuse.scores import as_probability
from recuse.tuning._log_loss import log_loss, shares

if TYPE_CHECKING:
    from jaxtyping import Bool, Float, Int
    from numpy import ndarray as Array

VARIANCES = (0.0, 0.03, 0.1, 0.3, 1.0, 3.0)  # of the intercepts, in squared log-odds
STEPS = 12  # of Newton's method
LONGEST = 1.0  # step
DIGITS = 4  # of an intercept, after the point


def class_intercepts(
    log_odds: Float[Array, " n"],
    right: Bool[Array, " n"],
    predicted: Int[Array, " n"],
    classes: int,
    fold: Int[Array, " n"],
) -> tuple[float, ...]:
    """Return the intercept of each of K classes; () if none differs from 0.

    Args:
        log_odds: Shape (n,), of being right, of rows that they were not fitted to.
        right: Shape (n,), whether the prediction is right.
        predicted: Shape (n,), the predicted classes in 0..K-1.
        classes: K.
        fold: Shape (n,), the fold of each row, held out to weigh the variances.
    """
    loss = np.zeros(len(VARIANCES))
    for f in np.unique(fold):
        held = fold == f
        if not held.all():
            found = shrunken(log_odds[~held], right[~held], predicted[~held], classes)
            moved = log_odds[held, None] + found[predicted[held]]
            loss += log_loss(moved, right[held, None]).sum(axis=0)
    found = shrunken(log_odds, right, predicted, classes) @ shares(loss)
    found = np.round(found, DIGITS) + 0.0  # no negative zero
    return tuple(found.tolist()) if found.any() else ()


def shrunken(
    log_odds: Float[Array, " n"],
    right: Bool[Array, " n"],
    predicted: Int[Array, " n"],
    classes: int,
) -> Float[Array, "K v"]:
    """Return the most probable intercepts under each prior variance."""
    found = np.zeros((classes, len(VARIANCES)))
    for intercept, variance in zip(found.T[1:], VARIANCES[1:]):
        for _ in range(STEPS):
            p = as_probability(log_odds + intercept[predicted])
            slope = np.bincount(predicted, p - right, classes) + intercept / variance
            bend = np.bincount(predicted, p * (1 - p), classes) + 1 / variance
            intercept -= np.clip(slope / bend, -LONGEST, LONGEST)
    return found
