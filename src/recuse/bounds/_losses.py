"""Bounds for losses in [0, 1].

For their sum, the better of two tail bounds. For losses read one by one, betting against "the mean
is large".

n = independent examples, total = their summed loss, in [0, n]; to bet on, in an order that does not
depend on their losses.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from recuse._internal.bisect import bisect
from recuse._internal.check import check_fraction, first
from recuse.bounds._binomial import check_counts, check_rates, tail
from recuse.errors import InputError

if TYPE_CHECKING:
    from jaxtyping import Float
    from numpy import ndarray as Array
    from numpy.typing import ArrayLike

HALVINGS = 50  # of [0, 1]: a limit is rounded up by at most 1e-15


def betting_p_value(
    loss: ArrayLike, risk: float, *, delta: float = 0.05, seed: int | None = None
) -> float:
    r"""One over the largest capital won by betting, loss by loss, that the mean is below `risk`.

    $K_t = \prod_{i \le t} (1 - \nu_i (\ell_i - r))$ with a stake $\nu_i \in [0, 1]$ from the
    losses before i: a nonnegative supermartingale if the mean is at least `risk`, so that
    $P(\max_t K_t \ge 1/\delta) \le \delta$ (Ville). 1 for an empty sample.

    The order counts and must not depend on the losses: never by confidence or by loss. Rows
    that were stored in such an order are shuffled by `seed`.

    Args:
        loss: Shape (n,), in [0, 1].
        risk: In (0, 1).
        delta: The level that the stakes are sized for; the p-value is valid for any.
        seed: Random seed of a permutation; None bets in the order of the data.

    Raises:
        InputError: A loss outside [0, 1], a risk or a delta outside (0, 1).

    References:
        Waudby-Smith & Ramdas, JRSS B 2024; the stakes of Bates et al., J. ACM 2021, theorem 5.

    >>> round(betting_p_value([0.0, 0.1] * 50, 0.1), 4)
    0.0092
    """
    risk, delta = check_fraction(risk, "risk"), check_fraction(delta, "delta")
    l = ordered(loss, seed)
    return 1 / _largest_capital(l, _stakes(l, delta), risk)


def betting_upper(loss: ArrayLike, delta: float, *, seed: int | None = None) -> float:
    """The smallest mean that `betting_p_value` rules out at `delta`; 1 if none.

    Args:
        loss: Shape (n,), in [0, 1], in an order that does not depend on the losses.
        delta: In (0, 1).
        seed: Random seed of a permutation; None bets in the order of the data.

    Raises:
        InputError: A loss outside [0, 1], a risk or a delta outside (0, 1).

    References:
        Bates et al., J. ACM 2021, theorem 5.

    >>> round(betting_upper([0.0, 0.1] * 50, 0.05), 4)
    0.082
    """
    l, delta = ordered(loss, seed), check_fraction(delta, "delta")
    stakes = _stakes(l, delta)  # the capital does not fall as the mean in question grows
    ruled_out = lambda mean: _largest_capital(l, stakes, mean) >= 1 / delta  # noqa: E731
    return float(bisect(ruled_out, 0.0, 1.0, halvings=HALVINGS)[1])


def ordered(loss: ArrayLike, seed: int | None) -> Float[Array, " n"]:
    """Losses as float64 within [0, 1], in data order or shuffled."""
    l = np.asarray(loss, np.float64)
    bad = ~((l >= 0) & (l <= 1))
    if l.ndim != 1 or bad.any():
        got = f"{l[bad].flat[0]} at {first(bad.ravel())}" if bad.any() else f"shape {l.shape}"
        raise InputError(f"expected `loss` of shape (n,) in [0, 1], got {got}")
    return l if seed is None else np.random.default_rng(seed).permutation(l)


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


def _stakes(loss: Float[Array, " n"], delta: float) -> Float[Array, " n"]:
    """At most 1 each, from the variance of the losses before and half a loss of variance 1/4."""
    n = np.arange(1, loss.size + 1)
    mean = np.cumsum(np.r_[0.5, loss])[1:] / (n + 1)
    variance = np.cumsum(np.r_[0.25, (loss - mean) ** 2])[:-1] / n
    return np.minimum(1.0, np.sqrt(-2 * np.log(delta) / (loss.size * variance)))


def _largest_capital(loss: Float[Array, " n"], stake: Float[Array, " n"], risk: float) -> float:
    """The largest capital of a bettor who starts with 1 and stakes on losses below `risk`."""
    with np.errstate(over="ignore"):
        return float(np.cumprod(1 - stake * (loss - risk)).max(initial=1.0))


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
