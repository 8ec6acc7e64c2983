"""Coverage and risk of each class, with exact intervals.

n = predictions, g = classes shown.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from recuse._internal.check import check_groups, check_loss, check_zero_one, to_numpy
from recuse.plots._shared import (
    Evaluated,
    check_classes,
    ink,
    legend,
    names_of,
    one,
    percent,
    shown,
)
from recuse.present.numbers import percent as percent_text
from recuse.selectors import SubgroupRow, subgroup_table

if TYPE_CHECKING:
    from jaxtyping import Float
    from matplotlib.axes import Axes
    from numpy import ndarray as Array
    from numpy.typing import ArrayLike

MOST = 25  # classes named
MARGIN = 0.03  # of the axis on both sides, so that dots at its ends are whole


class Rates(NamedTuple):
    """One rate of each class; intervals are 95 %, exact, each for itself."""

    title: str  # "coverage" or "risk"
    classes: tuple[str, ...]
    value: Float[Array, " g"]  # NaN: of nothing
    low: Float[Array, " g"]
    high: Float[Array, " g"]
    overall: float  # of all predictions; NaN: of nothing


class PerClass(NamedTuple):
    """Coverage and risk of each class."""

    coverage: Rates
    risk: Rates  # of the accepted


def prepare(
    accept: ArrayLike,
    loss: ArrayLike,
    groups: ArrayLike,
    *,
    classes: Sequence[str] | None = None,
    most: int = MOST,
) -> PerClass:
    """Prepare `selectors.subgroup_table` by label, by prediction, or by other subgroups.

    Args:
        accept: Shape (n,), booleans.
        loss: Shape (n,), 0 or 1.
        groups: Shape (n,): labels, predictions, or text such as hospitals.
        classes: Names, where `groups` are the numbers 0, 1, ... of classes.
        most: Number of classes to name: those with the most errors, abstentions included. The
            others are counted together.

    Raises:
        InputError: Malformed input, or fewer names than classes.

    >>> found = prepare([True, True, False, False], [0, 1, 0, 0], ["a", "a", "a", "b"])
    >>> found.risk.classes, found.risk.value, found.risk.overall
    (('a', 'b'), array([0.5, nan]), 0.5)
    """
    g = to_numpy(groups)
    l = check_zero_one(check_loss(loss, g.size), what="counts of errors")
    code, found = check_groups(g, l.size), np.unique(g)
    names = [str(x) for x in found]
    if classes is not None:
        every = names_of(classes, check_classes(found, "groups"))
        names = [every[i] for i in found]
    place, kept = shown(names, np.bincount(code, l), most)
    rows = subgroup_table(accept, l, place[code])
    return PerClass(*(_rates(title, rows, kept) for title in ("coverage", "risk")))


def of(
    evaluation: Evaluated,
    groups: ArrayLike,
    *,
    classes: Sequence[str] | None = None,
    most: int = MOST,
) -> PerClass:
    """Prepare the fitted threshold of a model on its test split; without one it abstains.

    Args:
        evaluation: Of one model; it keeps no labels, hence `groups`.
        groups: Shape (n,), of the test split, as in `prepare`.
        classes: As in `prepare`.
        most: As in `prepare`.

    Raises:
        InputError: As `prepare`, or several models.
    """
    m = one(evaluation)
    return prepare(m.accept, m.loss, groups, classes=classes, most=most)


def draw(data: Rates, ax: Axes) -> None:
    """Draw a dot and an interval for each class; the dashed line is all predictions together."""
    y, some = np.arange(len(data.classes)), ~np.isnan(data.value)
    sides = np.array([data.value - data.low, data.high - data.value])[:, some]
    ax.errorbar(data.value[some], y[some], xerr=np.maximum(sides, 0), fmt="o", label="each, 95 %")
    if not np.isnan(data.overall):
        ax.axvline(
            data.overall,
            color=ink(ax),
            linestyle="--",
            label=f"all, {percent_text(data.overall, 1)}",
        )
    for i in y[~some]:
        ax.text(0, i, "  nothing accepted", va="center", fontsize="small", color=ink(ax))
    ax.set_yticks(y, data.classes, parse_math=False)
    ax.set(xlabel=data.title, ylabel="class", ylim=(len(y) - 0.5, -0.5))
    right = 1.0 if data.title == "coverage" or not some.any() else data.high[some].max()
    ax.set_xlim(-MARGIN * right, (1 + MARGIN) * right)
    percent(ax, "x")
    legend(ax)


def _rates(title: str, rows: tuple[SubgroupRow, ...], classes: tuple[str, ...]) -> Rates:
    overall, *values = [np.nan if (r := getattr(row, title)) is None else r for row in rows]
    low, high = np.array([getattr(row, f"{title}_interval") for row in rows[1:]]).T
    return Rates(title, classes, np.array(values), low, high, overall)
