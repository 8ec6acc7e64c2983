"""Proper scores: smallest, in expectation, at the true probabilities.

n = examples, K = classes, ... = any trailing axes, m = n times these.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from recuse.calibration._rows import at, chunks, flat, log_total, measure, stated

if TYPE_CHECKING:
    from jaxtyping import Float
    from numpy import ndarray as Array
    from numpy.typing import ArrayLike


def nll(logits: ArrayLike, labels: ArrayLike) -> float:
    r"""Mean negative log-likelihood of the labels, in nats: $\log \sum_k e^{z_k} - z_y$.

    The cross entropy without smoothing. Infinite where a label has the logit -inf.

    Args:
        logits: Shape (n, K, ...).
        labels: Shape (n, ...), integers.

    Raises:
        InputError: Malformed input.

    >>> round(nll(np.array([[0.0, 0.0], [0.0, 0.0]]), [0, 1]), 4)
    0.6931
    """
    return measure(nll_terms(logits, labels))


def brier(logits: ArrayLike, labels: ArrayLike) -> float:
    r"""Mean of $\sum_k (\pi_k - 1\{k = y\})^2$ over the examples, 0 to 2, as Brier defined it.

    Others divide by 2 or by K, or mean `top_label_brier`. With two classes it is twice the
    score of one of the two probabilities.

    Args:
        logits: Shape (n, K, ...).
        labels: Shape (n, ...), integers.

    Raises:
        InputError: Malformed input.

    References:
        Brier, Monthly Weather Review 1950.

    >>> brier(np.array([[0.0, 0.0], [0.0, 0.0]]), [0, 1])
    0.5
    """
    return measure(brier_terms(logits, labels))


def top_label_brier(probability: ArrayLike, loss: ArrayLike) -> float:
    """Mean squared gap of the stated probability of being right and 1 or 0, 0 to 1.

    Args:
        probability: Shape (n,), in [0, 1]: the stated probability of being right.
        loss: Shape (n,), 0 or 1.

    Raises:
        InputError: Malformed input.

    >>> top_label_brier([0.5, 1.0], [0, 1])
    0.625
    """
    return measure(top_label_brier_terms(probability, loss))


def nll_terms(logits: ArrayLike, labels: ArrayLike) -> Float[Array, " m"]:
    """The negative log-likelihood of each label."""
    z, y = flat(logits, labels)
    out = np.empty(len(z))
    for part, gap, label in chunks(z, y):
        out[part] = log_total(gap) - at(gap, label)
    return out


def brier_terms(logits: ArrayLike, labels: ArrayLike) -> Float[Array, " m"]:
    """The squared distance of each example."""
    z, y = flat(logits, labels)
    out = np.empty(len(z))
    for part, gap, label in chunks(z, y):
        pi = np.exp(gap)
        pi /= pi.sum(axis=1, keepdims=True)
        out[part] = (pi**2).sum(axis=1) - 2 * at(pi, label) + 1
    return out


def top_label_brier_terms(probability: ArrayLike, loss: ArrayLike) -> Float[Array, " n"]:
    """The squared gap of each example."""
    q, right = stated(probability, loss)
    return (q - right) ** 2
