"""Axes of matplotlib, and the curves that results draw of themselves.

k = points of a curve.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from recuse._internal.check import extra

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.legend import Legend


def axes(ax: Axes | None) -> Axes:
    """Return the given axes, or new ones of `pyplot`."""
    return extra("matplotlib.pyplot", "plots", "a plot").subplots()[1] if ax is None else ax


def percent(ax: Axes, *axes: str) -> None:
    """Show fractions as percent on the named axes, x or y."""
    from matplotlib.ticker import PercentFormatter

    for name in axes:
        getattr(ax, f"{name}axis").set_major_formatter(PercentFormatter(1.0, decimals=None))


def legend(ax: Axes, **options: Any) -> Legend:
    """Add a legend of names as they are written: a dollar begins no formula.

    The best place is found among all that is drawn, which takes time: where much may be drawn, name
    a place by `loc`.
    """
    drawn = ax.legend(**{"loc": "best", **options})
    for name in drawn.get_texts():
        name.set_parse_math(False)
    return drawn


def coverage_and_risk(ax: Axes) -> None:
    """Name the axes of risk against coverage, both in percent."""
    ax.set(xlabel="coverage", ylabel="risk", xlim=(0, 1))
    percent(ax, "x", "y")


def draw_curves(curves: Mapping[str, Any], ax: Axes | None) -> Axes:
    """Draw curves of `coverage` (k,) and `risk` (k,) by name, and return the axes."""
    ax = axes(ax)
    for name, curve in curves.items():
        ax.plot(curve.coverage, curve.risk, label=name)
    coverage_and_risk(ax)
    ax.set_ylim(bottom=0)
    if any(curves):
        legend(ax, loc="upper left")
    return ax
