"""Losses in [0, 1] read one by one: betting against "the mean is large", empirical Bernstein.

n = independent examples; to bet on, in an order that does not depend on their losses.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from recuse._internal.bisect import bisect
from recuse._internal.check import check_fraction, first
from recuse.errors import InputError

if TYPE_CHECKING:
    from jaxtyping import Float
    from numpy import ndarray as Array
    from numpy.typing import ArrayLike

HALVINGS = 50  # of [0, 1]


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
    from recuse._kernels.bounds import largest_capital

    risk, delta = check_fraction(risk, "risk"), check_fraction(delta, "delta")
    return 1 / largest_capital(ordered(loss, seed), risk, float(-np.log(delta)))


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
    from recuse._kernels.bounds import largest_capital

    l, delta = ordered(loss, seed), check_fraction(delta, "delta")
    aim = float(-np.log(delta))  # the capital does not fall as the mean in question grows
    ruled_out = lambda mean: largest_capital(l, float(mean), aim) >= 1 / delta  # noqa: E731
    return float(bisect(ruled_out, 0.0, 1.0, halvings=HALVINGS)[1])


def empirical_bernstein_upper(loss: ArrayLike, delta: float) -> float:
    r"""$\bar\ell + \sqrt{2 V \ln(2/\delta)/n} + 7 \ln(2/\delta)/(3(n-1))$, at most 1.

    V is the sample variance. 1 for fewer than two examples. A closed form; `betting_upper`
    is nearly always smaller.

    Args:
        loss: Shape (n,), in [0, 1].
        delta: In (0, 1).

    Raises:
        InputError: A loss outside [0, 1], a risk or a delta outside (0, 1).

    References:
        Maurer & Pontil, COLT 2009, theorem 4.

    >>> round(empirical_bernstein_upper([0.0, 0.1] * 50, 0.05), 4)
    0.1506
    """
    l, delta = ordered(loss, None), check_fraction(delta, "delta")
    if l.size < 2:
        return 1.0
    width = np.log(2 / delta)
    slow = np.sqrt(2 * l.var(ddof=1) * width / l.size)
    return float(min(1.0, l.mean() + slow + 7 * width / (3 * (l.size - 1))))


def empirical_bernstein_p_value(loss: ArrayLike, risk: float) -> float:
    """The smallest `delta` whose `empirical_bernstein_upper` is `risk`, at most 1.

    The bound is a quadratic of sqrt(ln(2 / delta)).

    Args:
        loss: Shape (n,), in [0, 1].
        risk: In (0, 1).

    Raises:
        InputError: A loss outside [0, 1], a risk or a delta outside (0, 1).

    References:
        Maurer & Pontil, COLT 2009, theorem 4.

    >>> l = [0.0, 0.1] * 50
    >>> round(empirical_bernstein_p_value(l, empirical_bernstein_upper(l, 0.05)), 9)
    0.05
    """
    l, risk = ordered(loss, None), check_fraction(risk, "risk")
    if l.size < 2 or (gap := risk - l.mean()) <= 0:
        return 1.0
    a, b = 7 / (3 * (l.size - 1)), np.sqrt(2 * l.var(ddof=1) / l.size)
    root = (np.sqrt(b**2 + 4 * a * gap) - b) / (2 * a)
    return float(min(1.0, 2 * np.exp(-(root**2))))


def ordered(loss: ArrayLike, seed: int | None) -> Float[Array, " n"]:
    """Losses as float64 within [0, 1], in data order or shuffled."""
    l = np.asarray(loss, np.float64)
    bad = ~((l >= 0) & (l <= 1))
    if l.ndim != 1 or bad.any():
        got = f"{l[bad].flat[0]} at {first(bad.ravel())}" if bad.any() else f"shape {l.shape}"
        raise InputError(f"expected `loss` of shape (n,) in [0, 1], got {got}")
    return l if seed is None else np.random.default_rng(seed).permutation(l)
