"""Penultimate features of three classes on the plane through their templates.

n = predictions. `recuse.diagnosis.project` prepares the points.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from recuse.diagnosis import Projection, project
from recuse.plots._shared import ink, legend

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["draw", "prepare"]

prepare = project


def draw(data: Projection, ax: Axes, *, names: Sequence[str] = ("0", "1", "2")) -> None:
    """Draw a dot for each prediction, coloured by its class, and a cross at each template.

    References:
        Müller, Kornblith & Hinton, NeurIPS 2019, figure 1.
    """
    for i, name in enumerate(names):
        x, y = data.points[data.labels == i].T
        (drawn,) = ax.plot(x, y, ".", markersize=2, alpha=0.5, label=name)
        ax.plot(*data.templates[i], "X", color=drawn.get_color(), markeredgecolor=ink(ax))
    ax.set(xlabel="along the first two templates", ylabel="across")
    ax.set_aspect("equal", "datalim")
    for line in legend(ax, markerscale=4, frameon=False, labelcolor=ink(ax)).get_lines():
        line.set_alpha(1.0)
