"""Errors that are counted: exact binomial tails.

n = independent examples, k = errors among them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from jaxtyping import Float
    from numpy import ndarray as Array
    from numpy.typing import ArrayLike


def binomial_p_value(
    k: ArrayLike, n: ArrayLike, risk: Float[Array, ...] | float
) -> Float[Array, ...]:
    r"""P(Bin(n, risk) <= k): small when so few errors speak against a risk above `risk`.

    Valid for the null "the risk is at least `risk`". 1 where n is 0.

    Args:
        k: Errors, integers, 0 <= k <= n.
        n: Examples.
        risk: In (0, 1).

    >>> round(float(binomial_p_value(0, 59, 0.05)), 4)
    0.0485
    """
    from scipy.special import betainc

    k, n = np.broadcast_arrays(np.asarray(k, float), np.asarray(n, float))
    return np.where(k >= n, 1.0, betainc(np.maximum(n - k, 1), k + 1, 1 - risk))


def clopper_pearson_upper(k: ArrayLike, n: ArrayLike, delta: float) -> Float[Array, ...]:
    r"""The exact upper confidence limit of a binomial rate: holds with probability >= 1 - delta.

    The largest risk r with P(Bin(n, r) <= k) >= delta; 1 where k = n or n = 0.

    References:
        Clopper & Pearson, Biometrika 1934.

    >>> round(float(clopper_pearson_upper(15, 22, 0.05)), 4)
    0.8401
    """
    from scipy.special import betaincinv

    k, n = np.broadcast_arrays(np.asarray(k), np.asarray(n))
    inside = betaincinv(np.minimum(k + 1.0, np.maximum(n, 1)), np.maximum(n - k, 1.0), 1 - delta)
    return np.where(k >= n, 1.0, inside)


def clopper_pearson_lower(k: ArrayLike, n: ArrayLike, delta: float) -> Float[Array, ...]:
    """The exact lower confidence limit of a binomial rate; 0 where k = 0.

    >>> round(float(clopper_pearson_lower(59, 59, 0.05)), 4)
    0.9505
    """
    k, n = np.broadcast_arrays(np.asarray(k), np.asarray(n))
    return 1 - clopper_pearson_upper(n - k, n, delta)


def smallest_error_free_sample(risk: float, delta: float) -> int:
    """How many accepted examples without one error show that the risk is below `risk`.

    A float's range limits it: risks below about 1e-305 need more.

    >>> smallest_error_free_sample(0.05, 0.05)
    59
    """
    with np.errstate(over="ignore"):
        rows = np.divide(np.log(delta), np.log1p(-risk))
    return int(np.ceil(min(rows, np.finfo(np.float64).max)))
