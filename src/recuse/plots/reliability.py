"""A reliability diagram: stated against observed probability of being right.

n = predictions, b = bins that are not empty.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from recuse import calibration
from recuse._internal.check import check_bins
from recuse.calibration._measures import equal_width, rounding, stated
from recuse.errors import InputError
from recuse.plots._shared import FIRST, SHADE, Evaluated, ink, legend, one, percent
from recuse.selectors import subgroup_table

if TYPE_CHECKING:
    from jaxtyping import Float
    from matplotlib.axes import Axes
    from numpy import ndarray as Array
    from numpy.typing import ArrayLike

BINS = 15  # those of `calibration.ece`


class Diagram(NamedTuple):
    """Stated and observed rate of being right; intervals are 95 %, exact, each for itself."""

    bins: calibration.Reliability  # of those that hold predictions, as the columns below
    start: Float[Array, " b"]
    end: Float[Array, " b"]
    low: Float[Array, " b"]  # of the fraction right
    high: Float[Array, " b"]
    ece: float
    smooth_ece: float

    @property
    def share(self) -> Float[Array, " b"]:
        """Share of all predictions in each bin."""
        return self.bins.count / self.bins.count.sum()


def prepare(probability: ArrayLike, loss: ArrayLike, *, bins: int = BINS) -> Diagram:
    """Prepare `calibration.reliability` with intervals, and the binned and smooth ECE.

    The intervals assume independent predictions, and are too narrow otherwise.

    Args:
        probability: Shape (n,), in [0, 1]: the stated probability of being right.
        loss: Shape (n,), 0 or 1.
        bins: Number of equal bins of [0, 1]; the last one holds a probability of exactly 1.

    Raises:
        InputError: Malformed input.

    >>> found = prepare([1.0, 0.97, 0.5], [0, 1, 0], bins=10)
    >>> found.bins.accuracy, found.end, round(found.ece, 3)
    (array([1. , 0.5]), array([0.6, 1. ]), 0.49)
    """
    (q, right), bins = stated(probability, loss), check_bins(bins)
    index = equal_width(q, bins, rounding(probability))
    rows = subgroup_table(np.ones(q.size, bool), 1 - right, index)[1:]
    at = np.array([row.subgroup for row in rows])
    wrong = np.array([row.risk_interval for row in rows])
    return Diagram(
        calibration.reliability(probability, loss, bins=bins),
        at / bins,
        (at + 1) / bins,
        1 - wrong[:, 1],
        1 - wrong[:, 0],
        calibration.ece(probability, loss, bins=bins),
        calibration.smooth_ece(q, loss),
    )


def of(evaluation: Evaluated, *, bins: int = BINS) -> Diagram:
    """Prepare the maximum softmax probability of a model on its test split.

    Raises:
        InputError: An evaluation of several models: name one, as in evaluation["net"]; or of
            confidences outside [0, 1].
    """
    m = one(evaluation)
    if m.probability is None:
        raise InputError(f"model {m.name!r}: expected confidences in [0, 1], got others")
    return prepare(m.probability, m.loss, bins=bins)


def draw(data: Diagram, ax: Axes) -> None:
    """Draw dots with their intervals and the diagonal; bars are the share of predictions."""
    q, accuracy, _ = data.bins
    width, sides = data.end - data.start, [accuracy - data.low, data.high - accuracy]
    shares = ax.bar(data.start, data.share, width, align="edge", color=ink(ax), alpha=SHADE)
    shares.set_label("share of predictions")
    ax.plot([0, 1], [0, 1], ":", color=ink(ax), linewidth=1)
    error = f"ECE {data.ece:.3f}, smooth {data.smooth_ece:.3f}"
    ax.errorbar(q, accuracy, np.maximum(sides, 0), fmt="o-", color=FIRST, label=error)
    ax.set(xlabel="stated probability of being right", ylabel="fraction right")
    ax.set(xlim=(0, 1), ylim=(0, 1))
    percent(ax, "x", "y")
    legend(ax, loc="upper left")
