"""The errors of one segmented scene, by the rank of their confidence.

H x W = pixels.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from recuse._internal.check import check_confidence, to_numpy
from recuse.errors import InputError
from recuse.evaluation._pick import mid_ranks
from recuse.present.numbers import percent

if TYPE_CHECKING:
    from jaxtyping import Bool, Float
    from matplotlib.axes import Axes
    from numpy import ndarray as Array
    from numpy.typing import ArrayLike

RIGHT, VOID = "0.85", "1.0"  # greys
COLOURS = "YlOrRd"  # darker: more certain of an error


class Scene(NamedTuple):
    """The errors and their ranks."""

    rank: Float[Array, "H W"]  # fraction of labelled pixels less certain than this error, else NaN
    counted: Bool[Array, "H W"]  # has a label

    @property
    def wrong(self) -> Bool[Array, "H W"]:
        """The errors."""
        return ~np.isnan(self.rank)


def prepare(
    confidence: ArrayLike,
    predicted: ArrayLike,
    labels: ArrayLike,
    *,
    ignore_index: int | None = None,
) -> Scene:
    """Return the rank of each wrong pixel among the labelled pixels of the scene.

    Ties have their mean rank. Nearly every threshold accepts an error with a rank near 1.

    Args:
        confidence: Shape (H, W); larger is more certain.
        predicted: Shape (H, W), classes.
        labels: Shape (H, W).
        ignore_index: The label of void pixels.

    Raises:
        InputError: Shapes that differ, or no labelled pixel.

    References:
        Xia et al., 2024, figures 6 and 10.

    >>> prepare([[3.0, 2.0], [1.0, 0.0]], [[0, 1], [0, 1]], [[1, 1], [1, 9]], ignore_index=9).rank
    array([[0.83333333,        nan],
           [0.16666667,        nan]])
    """
    c, k, y = (to_numpy(x) for x in (confidence, predicted, labels))
    if c.ndim != 2 or not c.shape == k.shape == y.shape:
        raise InputError(
            f"expected one (H, W) for confidence, classes and labels, "
            f"got {c.shape}, {k.shape} and {y.shape}"
        )
    counted = np.ones(y.shape, bool) if ignore_index is None else y != ignore_index
    if not counted.any():
        raise InputError("expected a scene with at least one labelled pixel, got none")
    rank = np.full(y.shape, np.nan)
    rank[counted] = mid_ranks(check_confidence(c[counted]))
    return Scene(np.where(k != y, rank, np.nan), counted)


def draw(data: Scene, ax: Axes) -> None:
    """Draw errors from pale (uncertain) to dark (confident); right pixels are grey, void white.

    For a colour bar, use `ax.figure.colorbar(ax.images[-1])`.
    """
    from matplotlib.colors import ListedColormap

    ground = np.where(data.counted, 0.0, 1.0)
    ax.imshow(ground, cmap=ListedColormap([RIGHT, VOID]), vmin=0, vmax=1, interpolation="nearest")
    ax.imshow(data.rank, cmap=COLOURS, vmin=0, vmax=1, interpolation="nearest")
    ax.set(xticks=[], yticks=[])
    wrong = data.wrong.sum() / data.counted.sum()
    certain = np.nanmean(data.rank) if data.wrong.any() else float("nan")
    ax.set_title(f"{percent(wrong, 1)} wrong, mean rank {certain:.2f}", fontsize="medium")
