"""The effect of the norm at similar MSP: the score against the maximum logit.

N = predictions, K = classes, m = points of a line.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from recuse import scores
from recuse._internal.check import check_fraction
from recuse.diagnosis import NOWHERE, Window, sliding
from recuse.plots._shared import band, legend

if TYPE_CHECKING:
    from jaxtyping import Float
    from matplotlib.axes import Axes
    from numpy import ndarray as Array
    from numpy.typing import ArrayLike

WIDTH = 0.2  # of the window, in logits
TRIM = 2  # standard deviations of the maximum logit within a bin
BINS = ((0.3, 0.35), (0.5, 0.55), (0.7, 0.75), (0.8, 0.85), (0.9, 0.95))  # of MSP
POINTS = 60
HUGE = 1e30  # beyond, the ratio is 1 in float64 for every order
CMAP, PALE = "viridis", 0.15  # the ends of the map that white and black grounds hide


class Bin(NamedTuple):
    """max(v) / ||v||_p given max(v), of predictions of similar MSP."""

    msp: tuple[float, float]
    window: Window  # over the maximum logit
    slope: float  # of the least-squares line, per unit of maximum logit; NaN where it has none


class NormalizedMax(NamedTuple):
    """All bins, and the score."""

    bins: tuple[Bin, ...]
    p: float
    center: bool


def prepare(
    logits: ArrayLike,
    *,
    p: float = 4,
    center: bool = False,
    bins: Sequence[tuple[float, float]] = BINS,
    width: float = WIDTH,
) -> NormalizedMax:
    """Return mean and spread of the normalised maximum given the maximum, in bins of MSP.

    A bin keeps the predictions whose maximum logit is within two standard deviations of the
    bin's mean, and a place of the window needs 10 of them. A prediction of equal logits has the
    infimum of the ratio, as in `scores.logit_norm`.

    Args:
        logits: Shape (n, K, ...), finite.
        p: Order of the norm, >= 1.
        center: Subtract the mean of each prediction's logits first, for both axes.
        bins: Bins of the maximum softmax probability: (low, high), low <= MSP < high.
        width: Width of the sliding window, in logits.

    Raises:
        InputError: Malformed input.

    References:
        Xia et al., 2024, figure 19 (not centred, width 0.2; their bins are not given).

    >>> z = np.random.default_rng(0).normal(3, 1, (1000, 5))
    >>> [b.slope < 0 for b in prepare(z, bins=[(0.4, 0.45)]).bins]
    [True]
    """
    msp = scores.as_probability(scores.msp(logits)).ravel()
    top = scores.max_logit(logits, center=center).ravel().astype(np.float64)
    share = _ratio(scores.logit_norm(logits, p=p, center=center).ravel().astype(np.float64), p)
    found = []
    for low, high in bins:
        low, high = (check_fraction(x, "bins", zero=True, one=True) for x in (low, high))
        inside = (msp >= low) & (msp < high)
        found.append(_bin((low, high), top[inside], share[inside], width))
    return NormalizedMax(tuple(found), p, center)


def draw(data: NormalizedMax, ax: Axes) -> None:
    """Draw a line for each bin, with mean and one standard deviation."""
    import matplotlib as mpl

    shades = mpl.colormaps[CMAP](np.linspace(PALE, 1 - PALE, len(data.bins)))
    for (msp, window, _), colour in zip(data.bins, shades):
        label = f"MSP {msp[0]:g} to {msp[1]:g}"
        band(ax, window.at, window.mean, window.sd, color=colour, label=label)
    what = "maximum logit, less the mean" if data.center else "maximum logit"
    ax.set(xlabel=what, ylabel=f"maximum over {data.p:g}-norm")
    if data.bins:
        legend(ax, fontsize="small", labelspacing=0.2)


def _bin(msp: tuple[float, float], top: Array, share: Array, width: float) -> Bin:
    if not top.size:
        return Bin(msp, NOWHERE, float("nan"))
    near = np.abs(top - top.mean()) <= TRIM * top.std()
    top, share = top[near], share[near]
    at = np.linspace(top.min(), top.max(), POINTS)
    return Bin(msp, sliding(top, share, width=width, at=at).filled, _slope(top, share))


def _slope(x: Array, y: Array) -> float:
    spread = np.sum((x - x.mean()) ** 2)
    return float(np.sum((x - x.mean()) * y) / spread) if spread > 0 else float("nan")


def _ratio(t: Float[Array, " N"], p: float) -> Float[Array, " N"]:
    """max(v) / ||v||_p of t = max(v) / ||v without its maximum||_p."""
    t = np.clip(t, -HUGE, HUGE)
    size = np.maximum(np.abs(t), 1)
    if p == np.inf:
        return t / size
    return t / size / ((np.abs(t) / size) ** p + size**-p) ** (1 / p)
