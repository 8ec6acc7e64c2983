"""Shared by the figures: lines and axes, names of classes, and models of an evaluation.

n = predictions, m = points of a line, K = classes, k = classes shown.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from recuse.errors import InputError
from recuse.evaluation import Evaluation, ModelEvaluation
from recuse.present.picture import axes as axes
from recuse.present.picture import legend as legend
from recuse.present.picture import percent as percent
from recuse.tuning import MSP

if TYPE_CHECKING:
    from jaxtyping import Float, Int, Real
    from matplotlib.axes import Axes
    from numpy import ndarray as Array

    from recuse.scores import Score

FIRST, SECOND = "C0", "C1"  # colours of the style in use
STYLES = ("-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1)))  # for readers who see no colours
SHADE = 0.2  # opacity of a band
OTHERS = "{} others together"

Evaluated = Evaluation | ModelEvaluation


def band(
    ax: Axes,
    x: Float[Array, " m"],
    mean: Float[Array, " m"],
    sd: Float[Array, " m"],
    **line: Any,
) -> None:
    """Draw a line of means, shaded by one standard deviation on both sides."""
    (drawn,) = ax.plot(x, mean, **line)
    ax.fill_between(x, mean - sd, mean + sd, color=drawn.get_color(), alpha=SHADE, linewidth=0)


def ink(ax: Axes) -> Any:
    """Return the colour of text in the style of the axes."""
    return ax.xaxis.label.get_color()


def shown(
    names: Sequence[str], errors: Real[Array, " K"], most: int
) -> tuple[Int[Array, " K"], tuple[str, ...]]:
    """Return the place of each class among those shown, and their names.

    The `most` classes with the most errors keep their order (the first of equals is kept); the
    others share the last place, unless it would hold a single one.

    >>> shown(["a", "b", "c", "d"], np.array([0, 5, 1, 7]), 2)
    (array([2, 0, 2, 1]), ('b', 'd', '2 others together'))
    """
    if not most >= 1:
        raise InputError(f"expected `most` >= 1, got {most}")
    if len(names) <= most + 1:
        return np.arange(len(names)), tuple(names)
    kept = np.sort(np.argsort(-np.asarray(errors), kind="stable")[:most])
    place = np.full(len(names), most)
    place[kept] = np.arange(most)
    return place, (*(names[i] for i in kept), OTHERS.format(len(names) - most))


def names_of(classes: Sequence[str] | None, number: int) -> tuple[str, ...]:
    """Return the names of at least so many classes; their numbers if None."""
    if classes is None:
        return tuple(map(str, range(number)))
    if len(classes) < number:
        raise InputError(f"expected names of {number} classes or more, got {len(classes)}")
    return tuple(map(str, classes))


def check_classes(x: Array, name: str) -> int:
    """Check class indices, and return how many classes there must be."""
    if x.dtype.kind not in "iu" or x.min() < 0:
        raise InputError(f"expected `{name}` as integers >= 0, got {x.dtype} from {x.min()}")
    return 1 + int(x.max())


def several(evaluation: Evaluated) -> tuple[ModelEvaluation, ...]:
    """Return all models of an evaluation, or the one given."""
    if isinstance(evaluation, ModelEvaluation):
        return (evaluation,)
    if isinstance(evaluation, Evaluation):
        return evaluation.models
    raise InputError(
        f"expected an Evaluation or one of its models, got {type(evaluation).__name__}"
    )


def one(evaluation: Evaluated) -> ModelEvaluation:
    """Return the model of a figure that shows a single one."""
    models = several(evaluation)
    if len(models) != 1:
        raise InputError(
            f"expected one model, such as evaluation[{models[0].name!r}], "
            f"got {', '.join(m.name for m in models)}"
        )
    return models[0]


def threshold(m: ModelEvaluation) -> float | None:
    """Return the fitted threshold; None if there is none."""
    return m.threshold


def named(score: Score) -> str:
    """Return the name of a score and its unit, if it has one."""
    if score.fitted:
        return f"{score.name}, log-odds of being right"
    return "MSP, log-odds" if score == MSP else str(score)
