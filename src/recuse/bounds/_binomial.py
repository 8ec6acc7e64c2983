"""Errors that are counted: exact binomial tails.

n = independent examples, k = errors among them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from recuse._internal.check import check_fraction
from recuse.errors import InputError

if TYPE_CHECKING:
    from jaxtyping import Float, Int
    from numpy import ndarray as Array
    from numpy.typing import ArrayLike


def binomial_p_value(k: ArrayLike, n: ArrayLike, risk: ArrayLike) -> Float[Array, ...]:
    r"""P(Bin(n, risk) <= k): small when so few errors speak against a risk above `risk`.

    Valid for the null "the risk is at least `risk`". 1 where n is 0.

    Args:
        k: Errors, integers, 0 <= k <= n.
        n: Examples, integers.
        risk: In (0, 1).

    Raises:
        InputError: Counts that cannot be, or a risk outside (0, 1).

    >>> round(float(binomial_p_value(0, 59, 0.05)), 4)
    0.0485
    """
    return tail(*check_counts(k, n), check_rates(risk, "risk"))


def clopper_pearson_upper(k: ArrayLike, n: ArrayLike, delta: float) -> Float[Array, ...]:
    r"""The exact upper confidence limit of a binomial rate: holds with probability >= 1 - delta.

    The largest risk r with P(Bin(n, r) <= k) >= delta; 1 where k = n or n = 0.

    Args:
        k: Errors, integers, 0 <= k <= n.
        n: Examples, integers.
        delta: In (0, 1).

    Raises:
        InputError: Counts that cannot be, or a delta outside (0, 1).

    References:
        Clopper & Pearson, Biometrika 1934.

    >>> round(float(clopper_pearson_upper(15, 22, 0.05)), 4)
    0.8401
    """
    return upper(*check_counts(k, n), check_fraction(delta, "delta"))


def clopper_pearson_lower(k: ArrayLike, n: ArrayLike, delta: float) -> Float[Array, ...]:
    """The exact lower confidence limit of a binomial rate; 0 where k = 0.

    >>> round(float(clopper_pearson_lower(59, 59, 0.05)), 4)
    0.9505
    """
    k, n = check_counts(k, n)
    return 1 - upper(n - k, n, check_fraction(delta, "delta"))


def clopper_pearson_interval(k: int, n: int, delta: float = 0.05) -> tuple[float, float]:
    """The exact two-sided confidence interval of a binomial rate; (0, 1) where n is 0.

    >>> tuple(round(limit, 4) for limit in clopper_pearson_interval(15, 22))
    (0.4513, 0.8614)
    """
    check_counts(k, n)
    return limits(k, n, check_fraction(delta, "delta"))


def smallest_error_free_sample(risk: float, delta: float) -> int:
    """The number of accepted examples that, without one error, show a risk below `risk`.

    A float's range limits it: risks below about 1e-305 need more.

    >>> smallest_error_free_sample(0.05, 0.05)
    59
    """
    risk, delta = check_fraction(risk, "risk"), check_fraction(delta, "delta")
    with np.errstate(over="ignore"):
        rows = np.divide(np.log(delta), np.log1p(-risk))
    return int(np.ceil(min(rows, np.finfo(np.float64).max)))


def tail(k: Any, n: Any, risk: Any) -> Float[Array, ...]:
    """Return `binomial_p_value` without checks, for real k and n too."""
    from scipy.special import betainc

    k, n = np.broadcast_arrays(np.asarray(k, float), np.asarray(n, float))
    return np.where(k >= n, 1.0, betainc(np.maximum(n - k, 1), k + 1, 1 - risk))


def upper(k: Any, n: Any, delta: Any) -> Float[Array, ...]:
    """Return `clopper_pearson_upper` without checks, for real k and n too."""
    from scipy.special import betaincinv

    k, n = np.broadcast_arrays(np.asarray(k, float), np.asarray(n, float))
    above = k >= n
    inside = betaincinv(np.where(above, 1, k + 1), np.where(above, 1, n - k), 1 - delta)
    return np.where(above, 1.0, inside)


def limits(k: float, n: float, delta: float) -> tuple[float, float]:
    """Return `clopper_pearson_interval` without checks, for real k and n too."""
    return 1 - float(upper(n - k, n, delta / 2)), float(upper(k, n, delta / 2))


def check_counts(k: ArrayLike, n: ArrayLike) -> tuple[Int[Array, ...], Int[Array, ...]]:
    """Return errors and examples as integers, 0 <= k <= n."""
    k, n = np.broadcast_arrays(_integers(k, "k"), _integers(n, "n"))
    if not ((k >= 0) & (k <= n)).all():
        bad = np.flatnonzero((k < 0) | (k > n))[0]
        raise InputError(f"expected counts 0 <= k <= n, got k = {k.flat[bad]}, n = {n.flat[bad]}")
    return k, n


def _integers(x: ArrayLike, name: str) -> Int[Array, ...]:
    a = np.asarray(x)
    if a.dtype.kind in "iu":
        return a
    if a.dtype.kind == "f" and (np.isfinite(a) & (a == np.round(a))).all():
        return a
    raise InputError(f"expected `{name}` of integers, got {x!r:.60}")


def check_rates(x: ArrayLike, name: str) -> Float[Array, ...]:
    """Return numbers inside (0, 1) as float64."""
    a = np.asarray(x)
    if a.dtype.kind not in "iuf" or not ((a > 0) & (a < 1)).all():
        raise InputError(f"expected `{name}` in (0, 1), got {x!r:.60}")
    return a.astype(np.float64)
