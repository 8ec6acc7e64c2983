"""A confusion matrix with a column for abstentions.

n = predictions, k = classes shown.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from recuse._internal.check import to_numpy
from recuse.errors import InputError
from recuse.plots._shared import Evaluated, check_classes, names_of, one, shown

if TYPE_CHECKING:
    from jaxtyping import Float, Int
    from matplotlib.axes import Axes
    from numpy import ndarray as Array
    from numpy.typing import ArrayLike

MOST = 15  # classes named
LARGEST = 10.0  # number in a cell, in points
DIGIT = 0.65  # width of a digit over the height of its font, generously
COLOURS = "Blues"  # darker: more of the class
DARK = 0.5  # share of a cell from which on its number is white


class Confusion(NamedTuple):
    """Labels in rows, predictions in columns; the last column counts abstentions.

    Classes that are not named share one row and one column, whose common cell also holds
    confusions among them.
    """

    classes: tuple[str, ...]
    counts: Int[Array, "k k+1"]

    @property
    def share(self) -> Float[Array, "k k+1"]:
        """Share of each row; 0 for a class without examples."""
        return self.counts / np.maximum(self.counts.sum(axis=1, keepdims=True), 1)


def prepare(
    labels: ArrayLike,
    predicted: ArrayLike,
    accept: ArrayLike,
    *,
    classes: Sequence[str] | None = None,
    most: int = MOST,
) -> Confusion:
    """Count labels and predictions of the accepted examples, and abstentions.

    Args:
        labels: Shape (n,), integers from 0.
        predicted: Shape (n,), integers from 0.
        accept: Shape (n,), booleans.
        classes: Names of all classes; their numbers if None.
        most: Number of classes to name: those with the most errors as label or prediction,
            abstentions included. The others are counted together.

    Raises:
        InputError: Malformed input, or fewer names than classes.

    >>> prepare([0, 0, 1, 1], [0, 1, 1, 0], [True, True, True, False]).counts
    array([[1, 1, 0],
           [0, 1, 1]])
    """
    y, said, a = _checked(labels, predicted, accept)
    names = names_of(classes, max(check_classes(y, "labels"), check_classes(said, "predicted")))
    wrong = np.bincount(np.concatenate([y[y != said], said[y != said]]), minlength=len(names))
    place, kept = shown(names, wrong, most)
    k = len(kept)
    cell = place[y] * (k + 1) + np.where(a, place[said], k)
    return Confusion(kept, np.bincount(cell, minlength=k * (k + 1)).reshape(k, k + 1))


def of(
    evaluation: Evaluated,
    labels: ArrayLike,
    predicted: ArrayLike,
    *,
    classes: Sequence[str] | None = None,
    most: int = MOST,
) -> Confusion:
    """Prepare the fitted threshold of a model on its test split; without one it abstains.

    Args:
        evaluation: An evaluation of one model; it keeps no labels, so they are given here.
        labels: Shape (n,), labels of the test split.
        predicted: Shape (n,), predictions of the test split.
        classes: As in `prepare`.
        most: As in `prepare`.

    Raises:
        InputError: As `prepare`, several models, or other labels than those evaluated.
    """
    m = one(evaluation)
    y, said, accept = _checked(labels, predicted, m.accept)
    if not np.array_equal(y != said, m.loss > 0):
        raise InputError("expected labels and predictions of the split evaluated, got others")
    return prepare(y, said, accept, classes=names_of(classes, m.classes), most=most)


def draw(data: Confusion, ax: Axes) -> None:
    """Draw counts over the share of their row; numbers are as large as the cells allow."""
    k, share = len(data.classes), data.share
    ax.imshow(share, cmap=COLOURS, vmin=0, vmax=1, aspect="auto", interpolation="nearest")
    cell = 72 * ax.get_window_extent().width / ax.figure.dpi / (k + 1)  # in points
    for (i, j), count in np.ndenumerate(data.counts):
        if count:
            tint, text = "white" if share[i, j] > DARK else "black", f"{count:,}"
            size = min(LARGEST, cell / (DIGIT * max(len(text), 3)))
            ax.text(j, i, text, ha="center", va="center", color=tint, fontsize=size)
    ax.axvline(k - 0.5, color="gray", linewidth=1.5)
    ax.set_xticks(range(k + 1), [*data.classes, "abstained"], parse_math=False)
    for name in ax.get_xticklabels():
        name.set(rotation=45, ha="right", rotation_mode="anchor")
    ax.set_yticks(range(k), data.classes, parse_math=False)
    ax.set(xlabel="prediction", ylabel="label")


def _checked(labels: ArrayLike, predicted: ArrayLike, accept: ArrayLike) -> tuple[Array, ...]:
    y, said, a = (to_numpy(x) for x in (labels, predicted, accept))
    if not (y.ndim == 1 and y.size and y.shape == said.shape == a.shape):
        raise InputError(
            f"expected one shape (n,) for labels, predictions and decisions, "
            f"got {y.shape}, {said.shape} and {a.shape}"
        )
    if a.dtype != bool:
        raise InputError(f"expected `accept` as booleans, got {a.dtype}")
    return y, said, a
