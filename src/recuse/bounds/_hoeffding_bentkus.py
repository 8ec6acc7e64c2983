"""Losses in [0, 1] that are summed: the better of two tail bounds.

n = independent examples, total = their summed loss, in [0, n].
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from recuse._internal.bisect import bisect
from recuse._internal.check import check_fraction
from recuse.bounds._binomial import check_counts, check_rates, tail
from recuse.errors import InputError

if TYPE_CHECKING:
    from jaxtyping import Float
    from numpy import ndarray as Array
    from numpy.typing import ArrayLike

HALVINGS = 50  # of [0, 1]: the limit is rounded up by at most 1e-15


def kl_hoeffding_p_value(total: ArrayLike, n: ArrayLike, risk: ArrayLike) -> Float[Array, ...]:
    r"""Hoeffding's bound in its sharper form, $e^{-n\,kl(\min(\bar\ell, r), r)}$.

    kl is the divergence of two Bernoulli variables. 1 where the mean reaches `risk`.

    Args:
        total: Summed loss, 0 <= total <= n.
        n: Examples, integers.
        risk: In (0, 1).

    Raises:
        InputError: Sums or counts that cannot be, or a risk outside (0, 1).

    References:
        Hoeffding, JASA 1963, theorem 1.

    >>> round(float(kl_hoeffding_p_value(0, 59, 0.05)), 4)
    0.0485
    """
    return _hoeffding(*_check_sums(total, n), check_rates(risk, "risk"))


def hoeffding_bentkus_p_value(total: ArrayLike, n: ArrayLike, risk: ArrayLike) -> Float[Array, ...]:
    r"""The smaller of Hoeffding's and Bentkus's bound on P(so small a sum).

    $\min(e^{-n\,kl(\bar\ell, r)},\; e\,P(\mathrm{Bin}(n, r) \le \lceil n \bar\ell \rceil))$.
    The ceiling is part of the theorem: it holds at integers. Valid for the null "the mean
    is at least `risk`" and independent losses in [0, 1].

    Args:
        total: Summed loss, not its mean: n times a rounded mean can pass over an integer.
        n: Examples, integers.
        risk: In (0, 1).

    Raises:
        InputError: Sums or counts that cannot be, or a risk outside (0, 1).

    References:
        Bentkus, Ann. Probab. 2004; Bates et al., J. ACM 2021, section 3.1.1.

    >>> round(float(hoeffding_bentkus_p_value(2.5, 150, 0.05)), 4)
    0.0963
    """
    return _smaller(*_check_sums(total, n), check_rates(risk, "risk"))


def hoeffding_bentkus_upper(total: ArrayLike, n: ArrayLike, delta: float) -> Float[Array, ...]:
    """The smallest mean that `hoeffding_bentkus_p_value` rules out at `delta`; 1 if none.

    References:
        Bates et al., J. ACM 2021, theorem 4.

    >>> round(float(hoeffding_bentkus_upper(2.5, 150, 0.05)), 4)
    0.056
    """
    total, n = np.broadcast_arrays(*_check_sums(total, n))
    delta = check_fraction(delta, "delta")

    def ruled_out(mean: Any) -> Any:
        return _smaller(total, n, mean) <= delta

    return bisect(ruled_out, np.zeros(n.shape), np.ones(n.shape), halvings=HALVINGS)[1]


def _smaller(total: Any, n: Any, risk: Any) -> Float[Array, ...]:
    bentkus = np.e * tail(np.ceil(total), n, risk)
    return np.minimum(np.minimum(bentkus, _hoeffding(total, n, risk)), 1.0)


def _hoeffding(total: Any, n: Any, risk: Any) -> Float[Array, ...]:
    from scipy.special import xlog1py, xlogy

    mean = np.minimum(total / np.maximum(n, 1), risk)
    right = xlogy(mean, mean) + xlog1py(1 - mean, -mean)
    divergence = right - xlogy(mean, risk) - xlog1py(1 - mean, -np.asarray(risk))
    return np.exp(-n * np.maximum(divergence, 0))


def _check_sums(total: ArrayLike, n: ArrayLike) -> tuple[Float[Array, ...], Float[Array, ...]]:
    """Return summed losses and examples as float64, 0 <= total <= n."""
    t, n = np.asarray(total), check_counts(0, n)[1]
    if t.dtype.kind not in "iuf" or not ((t >= 0) & (t <= n)).all():
        raise InputError(f"expected sums of losses in [0, 1], 0 <= total <= n, got {total!r:.60}")
    return t.astype(np.float64), n.astype(np.float64)
