"""The most confident errors of one model, and the confidence of others on the same examples.

n = examples, M = models, k = errors shown.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from recuse._internal.check import check_confidence, check_loss, to_numpy
from recuse.errors import InputError
from recuse.evaluation._pick import mid_ranks
from recuse.plots._shared import ink, percent

if TYPE_CHECKING:
    from jaxtyping import Bool, Float
    from matplotlib.axes import Axes
    from numpy import ndarray as Array
    from numpy.typing import ArrayLike

Predictions = tuple["ArrayLike", "ArrayLike"]  # confidence (n,), 0-1 loss (n,)


class Errors(NamedTuple):
    """A table: a row for each error, the most confident first, a column for each model."""

    ids: Array  # (k,)
    models: tuple[str, ...]
    uncertainty: Float[Array, "k M"]  # percentile as a fraction: 0 = the most certain of all
    wrong: Bool[Array, "k M"]
    of: str  # the model whose errors these are


def prepare(
    models: Mapping[str, Predictions],
    *,
    of: str,
    count: int = 20,
    ids: ArrayLike | None = None,
    shared: bool = True,
) -> Errors:
    """Return percentiles of uncertainty for the most confident errors of one model.

    The percentile is the fraction of all examples of which the model is more confident, plus half
    of those of which it is equally confident (mid-rank). Ties of `of` keep the order of the input.

    The choice favours `of`: under any other model, even a copy trained again, the same errors look
    less confident on average. Compare both choices of `of`.

    Args:
        models: Name -> (confidence, loss), of the same examples in the same order.
        of: The model whose errors are taken.
        count: Largest number of errors.
        ids: Shape (n,), names of the examples; their positions if None.
        shared: Take only examples that all models get wrong.

    Raises:
        InputError: Malformed input, or `of` is not a model.

    References:
        Xia et al., 2024, figure 5.

    >>> loss = [0, 1, 0, 1]
    >>> found = prepare({"a": ([4, 3, 2, 1], loss), "b": ([3, 1, 2, 4], loss)}, of="a", count=1)
    >>> found.ids, found.uncertainty
    (array([1]), array([[0.375, 0.875]]))
    """
    if of not in models:
        raise InputError(f"expected `of` among {', '.join(models)}, got {of!r}")
    if not count >= 1:
        raise InputError(f"expected `count` >= 1, got {count}")
    n = len(to_numpy(models[of][1]))
    certain = {name: _checked(name, pair, n) for name, pair in models.items()}
    losses = np.stack([l > 0 for _, l in certain.values()], axis=1)
    mine, loss = certain[of]
    rows = np.flatnonzero(losses.all(axis=1) if shared else loss > 0)
    rows = rows[np.argsort(-mine[rows], kind="stable")][:count]
    names = np.arange(n) if ids is None else to_numpy(ids)
    if names.shape != (n,):
        raise InputError(f"expected `ids` of shape ({n},), got {names.shape}")
    ranks = [1 - mid_ranks(c)[rows] for c, _ in certain.values()]
    return Errors(names[rows], tuple(models), np.stack(ranks, axis=1), losses[rows], of)


def draw(data: Errors, ax: Axes) -> None:
    """Draw a line for each error across the models; full dots are wrong, empty ones right."""
    place = np.arange(len(data.models))
    ax.plot(place, data.uncertainty.T, color="gray", linewidth=0.8, alpha=0.6)
    for i, dots in zip(place, data.uncertainty.T):
        wrong = data.wrong[:, i]
        (drawn,) = ax.plot(np.full(wrong.sum(), i), dots[wrong], "o", markersize=4)
        right = np.full((~wrong).sum(), i), dots[~wrong]
        ax.plot(*right, "o", markersize=4, fillstyle="none", color=drawn.get_color())
    if len(data.ids):
        ax.plot(place, np.median(data.uncertainty, axis=0), "_", markersize=24, color=ink(ax))
    ax.set_xticks(place, data.models, parse_math=False)
    ax.set(ylabel="percentile of uncertainty", xlim=(-0.4, len(place) - 0.6))
    title = f"the {len(data.ids)} most confident errors of {data.of}"
    ax.set_title(title, fontsize="medium", parse_math=False)
    percent(ax, "y")


def _checked(name: str, pair: Predictions, n: int) -> tuple[Array, Array]:
    c = check_confidence(pair[0], where=f"confidence of {name!r}")
    if c.size != n:
        raise InputError(f"expected the same examples of all models, got {c.size} of {name!r}")
    return c, check_loss(pair[1], n, where=f"loss of {name!r}")
