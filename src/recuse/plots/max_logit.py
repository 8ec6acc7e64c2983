"""The trace of label smoothing: maximum logit given MSP, of right and of wrong predictions.

N = predictions, K = classes, m = points of a line.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from recuse import scores
from recuse._check import check_labels, check_logits
from recuse.diagnose import Window, windows
from recuse.plots._draw import FIRST, SECOND, band

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from numpy.typing import ArrayLike

WIDTH = 0.05  # of the window, in probability
POINTS = 100


class MaxLogit(NamedTuple):
    """Maximum logit given MSP; a place of a window holds 10 predictions or more."""

    right: Window
    wrong: Window
    center: bool


def prepare(
    logits: ArrayLike, labels: ArrayLike, *, center: bool = True, width: float = WIDTH
) -> MaxLogit:
    """Mean and spread of the maximum logit in a window that slides over MSP.

    Args:
        logits: Shape (n, K, ...).
        labels: Shape (n, ...).
        center: Subtract the mean of each prediction's logits, which the softmax ignores.
        width: Of the window, in probability.

    Raises:
        InputError: Malformed input.

    References:
        Xia et al., 2024, figure 9 right (width 0.05).

    >>> z = np.random.default_rng(0).normal(size=(1000, 5))
    >>> prepare(z, z[:, :4].argmax(axis=1)).right.count.max() > 100
    np.True_
    """
    z = check_logits(logits)
    wrong = (scores.predict(z) != check_labels(labels, z)).ravel()
    msp = scores.as_probability(scores.msp(z)).ravel()
    top = scores.max_logit(z, center=center).ravel()
    at = np.linspace(msp.min(), msp.max(), POINTS)
    return MaxLogit(*windows(msp, top, wrong, width=width, at=at), center)


def draw(data: MaxLogit, ax: Axes) -> None:
    """Two lines with their bands."""
    kinds = (("right", data.right, FIRST, "-"), ("wrong", data.wrong, SECOND, "--"))
    for name, window, colour, style in kinds:
        band(ax, *window[:3], color=colour, linestyle=style, label=name)
    what = "maximum logit, less the mean" if data.center else "maximum logit"
    ax.set(xlabel="maximum softmax probability", ylabel=what)
    ax.legend()
