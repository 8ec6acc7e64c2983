"""The trace of label smoothing: maximum logit given MSP, of right and wrong predictions.

N = predictions, K = classes, m = points of a line.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from recuse import scores
from recuse._internal.check import check_labels, check_logits
from recuse.diagnosis import Window, Windows, windows
from recuse.errors import InputError
from recuse.plots._shared import FIRST, SECOND, Evaluated, band, legend, one

if TYPE_CHECKING:
    from jaxtyping import Bool, Float
    from matplotlib.axes import Axes
    from numpy import ndarray as Array
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
    """Return mean and spread of the maximum logit in a window that slides over MSP.

    Args:
        logits: Shape (n, K, ...).
        labels: Shape (n, ...).
        center: Subtract the mean of each prediction's logits, which the softmax ignores.
        width: Width of the window, in probability.

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
    return MaxLogit(*_windows(msp, top, wrong, width), center)


def of(evaluation: Evaluated, *, width: float = WIDTH) -> MaxLogit:
    """Prepare the centred maximum logit of a model on its test split.

    Predictions with a logit of -inf (a probability of 0) have none and are left out.

    Raises:
        InputError: An evaluation of several models: name one, as in evaluation["net"]; or of a
            model without a finite maximum logit.
    """
    m = one(evaluation)
    finite = np.isfinite(m.max_logit)
    if not finite.any():
        raise InputError(f"model {m.name!r}: expected finite logits, got none")
    msp, top, wrong = (x[finite] for x in (scores.as_probability(m.msp), m.max_logit, m.loss > 0))
    return MaxLogit(*_windows(msp, top, wrong, width), center=True)


def draw(data: MaxLogit, ax: Axes) -> None:
    """Draw two lines with their bands."""
    kinds = (("right", data.right, FIRST, "-"), ("wrong", data.wrong, SECOND, "--"))
    for name, window, colour, style in kinds:
        band(ax, *window[:3], color=colour, linestyle=style, label=name)
    what = "maximum logit, less the mean" if data.center else "maximum logit"
    ax.set(xlabel="maximum softmax probability", ylabel=what)
    legend(ax)


def _windows(
    msp: Float[Array, " N"], top: Float[Array, " N"], wrong: Bool[Array, " N"], width: float
) -> Windows:
    """Return windows at evenly spaced places, from the least to the most confident."""
    return windows(msp, top, wrong, width=width, at=np.linspace(msp.min(), msp.max(), POINTS))
