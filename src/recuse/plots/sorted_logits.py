"""Contribution of the logits by rank: v, v^p and exp v.

N = predictions, K = classes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from recuse._internal.check import check_logits
from recuse.errors import InputError
from recuse.plots._shared import band

if TYPE_CHECKING:
    from jaxtyping import Float
    from matplotlib.axes import Axes
    from numpy import ndarray as Array
    from numpy.typing import ArrayLike

MANY = 20  # ranks; beyond, the axis is logarithmic


class ByRank(NamedTuple):
    """Mean and standard deviation over the predictions with this rank, highest rank first.

    A class that is impossible in its row (-inf) has no rank there.
    """

    name: str
    mean: Float[Array, " k"]  # k <= K, the most possible classes of a row
    sd: Float[Array, " k"]


class SortedLogits(NamedTuple):
    """The logits, their powers, and what the softmax makes of them."""

    logits: ByRank
    power: ByRank
    exponential: ByRank


def prepare(logits: ArrayLike, *, p: int = 5, center: bool = False) -> SortedLogits:
    """Return mean and spread over predictions of the sorted logits.

    Args:
        logits: Shape (n, K, ...).
        p: The power, a positive integer; odd ones keep the sign of a logit.
        center: Subtract the mean of each prediction's logits first.

    Raises:
        InputError: Malformed input, or a power or exponential beyond float64.

    References:
        Xia et al., 2024, figure 18 (p = 5, not centred).

    >>> prepare(np.array([[1.0, 3.0], [4.0, 2.0]]), p=2).power.mean
    array([12.5,  2.5])
    """
    if p != int(p) or p < 1:
        raise InputError(f"expected `p` as an integer >= 1, got {p}")
    z = check_logits(logits)
    z = np.sort(np.moveaxis(z, 1, -1).reshape(-1, z.shape[1]), axis=1)[:, ::-1]
    there = z > -np.inf
    total = np.where(there, z, np.zeros((), z.dtype)).sum(axis=1, dtype=np.float64)
    shift = total / there.sum(axis=1).clip(1) if center else np.zeros(len(z))
    columns = (
        column[has].astype(np.float64) - shift[has]
        for column, has in zip(z.T, there.T)
        if has.any()
    )
    with np.errstate(over="ignore", invalid="ignore"):
        found = [[(f.mean(), f.std()) for f in (v, v ** int(p), np.exp(v))] for v in columns]
    (a, b, c), names = np.moveaxis(np.array(found), 0, -1), ("v", f"v^{p}", "exp v")
    out = SortedLogits(*(ByRank(name, *moments) for name, moments in zip(names, (a, b, c))))
    for name, mean, sd in out:
        if not np.isfinite([mean, sd]).all():
            raise InputError(f"expected logits whose {name} is a finite number, got others")
    return out


def draw(data: ByRank, ax: Axes) -> None:
    """Draw one of the three against the rank."""
    rank = np.arange(1, data.mean.size + 1)
    band(ax, rank, data.mean, data.sd)
    ax.axhline(0, color="gray", linewidth=0.5)
    ax.set(xlabel="rank of the logit", ylabel=f"{data.name}, mean and s.d.")
    if rank.size > MANY:
        ax.set_xscale("log")
