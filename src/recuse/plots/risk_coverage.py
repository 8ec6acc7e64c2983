"""Risk against coverage of several rankings, with their thresholds.

n = predictions, k = points of a drawn curve.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from recuse import curves
from recuse._internal.check import check_confidence, check_loss
from recuse.curves import RiskCoverage
from recuse.errors import InputError
from recuse.plots._shared import STYLES, Evaluated, axes, legend, several
from recuse.plots._shared import threshold as fitted
from recuse.present.numbers import area
from recuse.present.picture import coverage_and_risk

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from numpy.typing import ArrayLike

POINTS = 400


class Point(NamedTuple):
    """Coverage and risk of a threshold."""

    coverage: float
    risk: float


class Curve(NamedTuple):
    """One ranking; `points` is thinned for drawing, `aurc` is of all predictions."""

    name: str
    aurc: float
    points: RiskCoverage
    at_threshold: Point | None  # None without a threshold, or if it accepts nothing


def prepare(
    models: Mapping[str, tuple[ArrayLike, ArrayLike]],
    *,
    thresholds: Mapping[str, float] | None = None,
    points: int = POINTS,
) -> tuple[Curve, ...]:
    """Prepare a curve for each model, both ends exact.

    Args:
        models: Name -> (confidence, loss), each (n,).
        thresholds: Name -> threshold, to draw a point: confidence >= threshold is accepted.
        points: Largest number of points of a curve, dense at low coverage.

    Raises:
        InputError: Malformed input, or a threshold of no model.

    >>> (curve,) = prepare({"MSP": ([0.9, 0.8, 0.7], [0, 1, 0])}, thresholds={"MSP": 0.8})
    >>> curve.at_threshold
    Point(coverage=0.6666666666666666, risk=0.5)
    """
    thresholds = thresholds or {}
    if unknown := set(thresholds) - set(models):
        raise InputError(f"expected thresholds of {', '.join(models)}, got one of {min(unknown)!r}")
    return tuple(
        Curve(
            name,
            curves.aurc(c, l),
            curves.thin(curves.risk_coverage(c, l), points),
            _reached(c, l, thresholds.get(name, np.inf)),
        )
        for name, (c, l) in models.items()
    )


def of(evaluation: Evaluated, *, points: int = POINTS) -> tuple[Curve, ...]:
    """Prepare the curves of all models on their test splits: MSP, and the chosen score.

    The point is the fitted threshold of the chosen score.

    >>> import recuse
    >>> rng = np.random.default_rng(0)
    >>> y = rng.integers(0, 3, (3, 200))
    >>> parts = [(2 * np.eye(3)[labels] + rng.normal(size=(200, 3)), labels) for labels in y]
    >>> splits = dict(zip(("tune", "calibrate", "test"), parts))
    >>> [curve.name for curve in of(recuse.evaluate({"net": splits}))]
    ['net, MSP']
    """
    models, thresholds = {}, {}
    for m in several(evaluation):
        name = f"{m.name}, {m.baseline}"
        models[name] = m.msp, m.loss
        if m.repaired:
            name = f"{m.name}, {m.tuned.score}"
            models[name] = m.confidence, m.loss
        if (threshold := fitted(m)) is not None:
            thresholds[name] = threshold
    return prepare(models, thresholds=thresholds, points=points)


def draw(data: tuple[Curve, ...], ax: Axes, *, log: bool = False) -> None:
    """Draw a line for each ranking; with a logarithmic risk it starts at the first error."""
    for i, curve in enumerate(data):
        coverage, risk = curve.points.coverage, curve.points.risk
        risk = np.where(risk > 0, risk, np.nan) if log else risk
        label = f"{curve.name} (AURC {area(curve.aurc)} / 1000)"
        (line,) = ax.plot(coverage, risk, linestyle=STYLES[i % len(STYLES)], label=label)
        if (point := curve.at_threshold) and (point.risk > 0 or not log):
            ax.plot(*point, "o", color=line.get_color())
    coverage_and_risk(ax)
    if log:
        ax.set_yscale("log")
    else:
        ax.set_ylim(bottom=0)
    legend(ax, loc="lower right" if log else "upper left")


def curve(confidence: ArrayLike, loss: ArrayLike, ax: Axes | None = None) -> Axes:
    """Draw the risk-coverage curve of one ranking, with its AURC, and return the axes.

    Args:
        confidence: Shape (n,). Larger is more certain.
        loss: Shape (n,), >= 0; whether each prediction is wrong.
        ax: Matplotlib axes; new ones of `pyplot` if None.

    Raises:
        InputError: Malformed input.
        MissingExtraError: The extra `plots` is not installed.

    >>> from matplotlib.figure import Figure
    >>> curve([0.9, 0.8, 0.7], [0, 1, 0], Figure().subplots()).get_xlabel()
    'coverage'
    """
    ax = axes(ax)
    draw(prepare({"confidence": (confidence, loss)}), ax)
    return ax


def _reached(confidence: ArrayLike, loss: ArrayLike, threshold: float) -> Point | None:
    c = check_confidence(confidence)
    accept = c >= float(threshold)
    if not accept.any() or threshold == np.inf:
        return None
    return Point(float(accept.mean()), float(check_loss(loss, c.size)[accept].mean()))
