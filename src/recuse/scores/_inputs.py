"""Other ways in and out: probabilities, one-column heads, and log-odds as people read them.

n = examples, K = classes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from recuse._internal.check import check_logits, first, is_floating, to_numpy
from recuse.errors import InputError
from recuse.scores._functions import energy

if TYPE_CHECKING:
    from jaxtyping import Float
    from numpy import ndarray as Array
    from numpy.typing import ArrayLike


LOG_PROBS = 1e-3  # of logsumexp from 0, beside what rounding to a narrow dtype does
ULPS = 4  # of 1: the rounding of a logarithm down to -8
FIRST = 64  # rows that settle the matter for nearly all logits


def as_probability(log_odds: ArrayLike) -> Float[Array, ...]:
    """The probability that has these log-odds; how `msp` is shown to people.

    >>> as_probability([0.0])
    array([0.5])
    """
    from scipy.special import expit

    return expit(np.asarray(log_odds, dtype=np.float64))


def from_probs(probs: ArrayLike) -> Float[Array, "n K ..."]:
    """Logits of given probabilities: their logarithm, in float64.

    The logarithm has lost the shift that `max_logit`, `energy` and the uncentred
    `logit_norm` use, and a zero leaves the norm undefined: only the scores of
    `SOFTMAX_FAMILY` are meaningful on the result.

    Raises:
        InputError: A value lies outside [0, 1], or a row does not sum to 1 within 1 %.

    >>> from recuse.scores import msp
    >>> msp(from_probs(np.array([[0.75, 0.25]]))).round(4)
    array([1.0986], dtype=float32)
    """
    q = to_numpy(probs)
    if not is_floating(q.dtype) or q.ndim < 2:
        raise InputError(
            f"expected `probs` of a floating dtype and shape (n, K, ...), got {q.dtype} {q.shape}"
        )
    q = q.astype(np.float64)
    bad = ~((q >= 0) & (q <= 1)).all(axis=1) | ~(np.abs(q.sum(axis=1) - 1) <= 0.01)
    if bad.any():
        rows = bad.reshape(len(q), -1).any(axis=1)
        z = np.moveaxis(q, 1, -1)[bad][0]
        raise InputError(
            f"expected `probs` in [0, 1] with rows that sum to 1, got {z.min():.4g} to "
            f"{z.max():.4g} with the sum {z.sum():.4g} at {first(rows)}; logits? leave out --probs"
        )
    with np.errstate(divide="ignore"):
        return np.log(q)


def from_binary(logit: ArrayLike) -> Float[Array, "n 2 ..."]:
    """Two-class logits (0, z) of a one-column head: (n,) or (n, 1, ...) -> (n, 2, ...).

    >>> from_binary(np.array([[1.5]]))
    array([[0. , 1.5]])
    """
    z = to_numpy(logit)
    z = z[:, None] if z.ndim == 1 else z
    if z.ndim < 2 or z.shape[1] != 1:
        raise InputError(f"expected a binary head of shape (n,) or (n, 1, ...), got {z.shape}")
    return np.concatenate([np.zeros_like(z), z], axis=1)


def are_log_probs(logits: ArrayLike) -> bool:
    """Whether logsumexp is 0 in every row: a log-softmax, which has lost the shift of the logits.

    Only scores that are `Score.shift_invariant` are the same for logits and their log-softmax.

    >>> z = np.array([[2.0, 0.0, 1.0], [0.0, 3.0, 1.0]])
    >>> are_log_probs(z), are_log_probs(z - np.log(np.exp(z).sum(axis=1, keepdims=True)))
    (False, True)
    """
    import ml_dtypes

    z = check_logits(logits)
    tolerance = max(LOG_PROBS, ULPS * float(ml_dtypes.finfo(z.dtype).eps))
    return all(bool((np.abs(energy(part)) < tolerance).all()) for part in (z[:FIRST], z))
