"""What the figures share: a line with its band, axes in percent.

m = points of a line.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jaxtyping import Float
    from matplotlib.axes import Axes
    from matplotlib.legend import Legend
    from numpy import ndarray as Array

FIRST, SECOND = "C0", "C1"  # colours of the style in use
STYLES = ("-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1)))  # for readers who see no colours
SHADE = 0.2  # opacity of a band


def band(
    ax: Axes,
    x: Float[Array, " m"],
    mean: Float[Array, " m"],
    sd: Float[Array, " m"],
    **line: Any,
) -> None:
    """A line of means, shaded by one standard deviation on both sides."""
    (drawn,) = ax.plot(x, mean, **line)
    ax.fill_between(x, mean - sd, mean + sd, color=drawn.get_color(), alpha=SHADE, linewidth=0)


def percent(ax: Axes, *axes: str) -> None:
    """Fractions as percent on the named axes, x or y."""
    from matplotlib.ticker import PercentFormatter

    for name in axes:
        getattr(ax, f"{name}axis").set_major_formatter(PercentFormatter(1.0, decimals=None))


def legend(ax: Axes, **options: Any) -> Legend:
    """A legend of names as they are written: a dollar begins no formula.

    The best place is looked for among all that is drawn, so name one by `loc` where that may be
    much.
    """
    drawn = ax.legend(**{"loc": "best", **options})
    for name in drawn.get_texts():
        name.set_parse_math(False)
    return drawn


def ink(ax: Axes) -> Any:
    """The colour of text in the style of the axes."""
    return ax.xaxis.label.get_color()
