"""Losses in [0, 1] of which only the sum is used: the better of two tail bounds.

n = independent examples, total = their summed loss, in [0, n].
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from recuse.bounds._binomial import binomial_p_value

if TYPE_CHECKING:
    from jaxtyping import Float
    from numpy import ndarray as Array
    from numpy.typing import ArrayLike

HALVINGS = 50  # of [0, 1]: the limit is rounded up by at most 1e-15


def kl_hoeffding_p_value(
    total: ArrayLike, n: ArrayLike, risk: Float[Array, ...] | float
) -> Float[Array, ...]:
    r"""Hoeffding's bound in its sharper form, $e^{-n\,kl(\min(\bar\ell, r), r)}$.

    kl is the divergence of two Bernoulli variables. 1 where the mean reaches `risk`.

    References:
        Hoeffding, JASA 1963, theorem 1.

    >>> round(float(kl_hoeffding_p_value(0, 59, 0.05)), 4)
    0.0485
    """
    from scipy.special import xlog1py, xlogy

    n = np.asarray(n, float)
    mean = np.minimum(np.asarray(total, float) / np.maximum(n, 1), risk)
    right = xlogy(mean, mean) + xlog1py(1 - mean, -mean)
    divergence = right - xlogy(mean, risk) - xlog1py(1 - mean, -np.asarray(risk))
    return np.exp(-n * np.maximum(divergence, 0))


def hoeffding_bentkus_p_value(
    total: ArrayLike, n: ArrayLike, risk: Float[Array, ...] | float
) -> Float[Array, ...]:
    r"""The smaller of Hoeffding's and Bentkus's bound on P(so small a sum).

    $\min(e^{-n\,kl(\bar\ell, r)},\; e\,P(\mathrm{Bin}(n, r) \le \lceil n \bar\ell \rceil))$.
    The ceiling is part of the theorem: it holds at integers. Valid for the null "the mean
    is at least `risk`" and independent losses in [0, 1].

    Args:
        total: Summed loss, not its mean: n times a rounded mean can pass over an integer.
        n: Examples.
        risk: In (0, 1).

    References:
        Bentkus, Ann. Probab. 2004; Bates et al., J. ACM 2021, section 3.1.1.

    >>> round(float(hoeffding_bentkus_p_value(2.5, 150, 0.05)), 4)
    0.0963
    """
    bentkus = np.e * binomial_p_value(np.ceil(np.asarray(total, float)), n, risk)
    return np.minimum(np.minimum(bentkus, kl_hoeffding_p_value(total, n, risk)), 1.0)


def hoeffding_bentkus_upper(total: ArrayLike, n: ArrayLike, delta: float) -> Float[Array, ...]:
    """The smallest mean that `hoeffding_bentkus_p_value` rules out at `delta`; 1 if none.

    References:
        Bates et al., J. ACM 2021, theorem 4.

    >>> round(float(hoeffding_bentkus_upper(2.5, 150, 0.05)), 4)
    0.056
    """
    total, n = np.broadcast_arrays(np.asarray(total, float), np.asarray(n, float))
    low, high = np.zeros(n.shape), np.ones(n.shape)
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        out = hoeffding_bentkus_p_value(total, n, middle) <= delta
        low, high = np.where(out, low, middle), np.where(out, middle, high)
    return high
