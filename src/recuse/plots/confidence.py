"""Histograms of the confidence of right and wrong predictions, with the threshold.

n = predictions, b = bins.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from recuse._internal.check import check_bins, check_confidence, check_loss
from recuse.plots._shared import FIRST, SECOND, Evaluated, ink, legend, named, one
from recuse.plots._shared import threshold as fitted

if TYPE_CHECKING:
    from jaxtyping import Float, Int
    from matplotlib.axes import Axes
    from numpy import ndarray as Array
    from numpy.typing import ArrayLike

BINS = 40
TAIL = 0.002  # of each end, in its outermost bin


class Confidence(NamedTuple):
    """Right and wrong predictions in equal bins of confidence; the outermost are open."""

    edge: Float[Array, " b+1"]
    right: Int[Array, " b"]
    wrong: Int[Array, " b"]
    threshold: float | None  # None: there is none
    score: str  # name of the confidence, with its unit


def prepare(
    confidence: ArrayLike,
    loss: ArrayLike,
    *,
    threshold: float | None = None,
    score: str = "confidence",
    bins: int = BINS,
) -> Confidence:
    """Count right (no loss) and wrong predictions in bins of confidence.

    Bins divide the range between the 0.2 % and 99.8 % quantiles equally; confidences beyond, also
    infinite ones, count in the outermost bins. A bin includes its lower edge.

    Args:
        confidence: Shape (n,); larger is more certain.
        loss: Shape (n,); wrong where it is above 0.
        threshold: A threshold to mark: confidence >= threshold is accepted.
        score: Name of the confidence.
        bins: Number of bins.

    Raises:
        InputError: Malformed input.

    >>> found = prepare([0.0, 1.0, 1.0], [1, 0, 0], bins=4)
    >>> found.right, found.wrong
    (array([0, 0, 0, 2]), array([1, 0, 0, 0]))
    """
    c = check_confidence(confidence).astype(np.float64)
    wrong, bins = check_loss(loss, c.size) > 0, check_bins(bins)
    finite = c[np.isfinite(c)]
    low, high = np.quantile(finite, [TAIL, 1 - TAIL]) if finite.size else (0.0, 0.0)
    edge = np.linspace(low, high if high > low else low + 1, bins + 1)
    bin = np.searchsorted(edge[1:-1], c, side="right")
    right, wrong = (np.bincount(bin[rows], minlength=bins) for rows in (~wrong, wrong))
    return Confidence(edge, right, wrong, threshold, score)


def of(evaluation: Evaluated, *, bins: int = BINS) -> Confidence:
    """Prepare the chosen score of a model on its test split, with the fitted threshold.

    Raises:
        InputError: An evaluation of several models: name one, as in evaluation["net"].
    """
    m = one(evaluation)
    score = named(m.tuned.score)
    return prepare(m.confidence, m.loss, threshold=fitted(m), score=score, bins=bins)


def draw(data: Confidence, ax: Axes) -> None:
    """Draw shares of right predictions upwards and of wrong ones downwards."""
    from matplotlib.ticker import FuncFormatter

    kinds = (("right", data.right, FIRST, 1), ("wrong", data.wrong, SECOND, -1))
    for name, count, colour, sign in kinds:
        share, label = sign * count / max(count.sum(), 1), f"{name}, {count.sum():,}"
        ax.bar(data.edge[:-1], share, np.diff(data.edge), align="edge", color=colour, label=label)
    ax.axhline(0, color=ink(ax), linewidth=0.8)
    if data.threshold is not None and np.isfinite(data.threshold):
        ax.axvline(data.threshold, color=ink(ax), linestyle=":", label="threshold")
    ax.set_xlabel(data.score, parse_math=False)
    ax.set_ylabel("share of wrong  |  of right")
    ax.yaxis.set_major_formatter(FuncFormatter(lambda share, _: f"{abs(100 * share):.3g}%"))
    legend(ax, loc="lower right")
