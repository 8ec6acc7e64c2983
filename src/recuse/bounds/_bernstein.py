"""Losses in [0, 1] of which mean and variance are used: empirical Bernstein.

n = independent examples.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from recuse.bounds._betting import ordered

if TYPE_CHECKING:
    from numpy.typing import ArrayLike


def empirical_bernstein_upper(loss: ArrayLike, delta: float) -> float:
    r"""$\bar\ell + \sqrt{2 V \ln(2/\delta)/n} + 7 \ln(2/\delta)/(3(n-1))$, at most 1.

    V is the sample variance. 1 for fewer than two examples. A closed form; `betting_upper`
    is nearly always smaller.

    Args:
        loss: Shape (n,), in [0, 1].
        delta: In (0, 1).

    Raises:
        InputError: A loss outside [0, 1].

    References:
        Maurer & Pontil, COLT 2009, theorem 4.

    >>> round(empirical_bernstein_upper([0.0, 0.1] * 50, 0.05), 4)
    0.1506
    """
    l = ordered(loss, None)
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
        InputError: A loss outside [0, 1].

    References:
        Maurer & Pontil, COLT 2009, theorem 4.

    >>> l = [0.0, 0.1] * 50
    >>> round(empirical_bernstein_p_value(l, empirical_bernstein_upper(l, 0.05)), 9)
    0.05
    """
    l = ordered(loss, None)
    if l.size < 2 or (gap := risk - l.mean()) <= 0:
        return 1.0
    a, b = 7 / (3 * (l.size - 1)), np.sqrt(2 * l.var(ddof=1) / l.size)
    root = (np.sqrt(b**2 + 4 * a * gap) - b) / (2 * a)
    return float(min(1.0, 2 * np.exp(-(root**2))))
