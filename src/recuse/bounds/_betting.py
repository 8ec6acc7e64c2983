"""Losses in [0, 1] read one by one: the capital of a bettor against "the mean is large".

n = independent examples, in an order that does not depend on their losses.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from recuse._internal.check import first
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
        seed: Of a permutation; None bets in the order of the data.

    Raises:
        InputError: A loss outside [0, 1].

    References:
        Waudby-Smith & Ramdas, JRSS B 2024; the stakes of Bates et al., J. ACM 2021, theorem 5.

    >>> round(betting_p_value([0.0, 0.1] * 50, 0.1), 4)
    0.0092
    """
    from recuse._kernels.bounds import largest_capital

    return 1 / largest_capital(ordered(loss, seed), float(risk), float(-np.log(delta)))


def betting_upper(loss: ArrayLike, delta: float, *, seed: int | None = None) -> float:
    """The smallest mean that `betting_p_value` rules out at `delta`; 1 if none.

    Args:
        loss: Shape (n,), in [0, 1], in an order that does not depend on the losses.
        delta: In (0, 1).
        seed: Of a permutation; None bets in the order of the data.

    Raises:
        InputError: A loss outside [0, 1].

    References:
        Bates et al., J. ACM 2021, theorem 5.

    >>> round(betting_upper([0.0, 0.1] * 50, 0.05), 4)
    0.082
    """
    from recuse._kernels.bounds import largest_capital

    l, aim = ordered(loss, seed), float(-np.log(delta))
    low, high = 0.0, 1.0  # the capital does not fall as the mean in question grows
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        out = largest_capital(l, middle, aim) >= 1 / delta
        low, high = (low, middle) if out else (middle, high)
    return high


def ordered(loss: ArrayLike, seed: int | None) -> Float[Array, " n"]:
    """Losses as float64 within [0, 1], in data order or shuffled."""
    l = np.asarray(loss, np.float64)
    bad = ~((l >= 0) & (l <= 1))
    if l.ndim != 1 or bad.any():
        got = f"{l[bad].flat[0]} at {first(bad.ravel())}" if bad.any() else f"shape {l.shape}"
        raise InputError(f"expected `loss` of shape (n,) in [0, 1], got {got}")
    return l if seed is None else np.random.default_rng(seed).permutation(l)
