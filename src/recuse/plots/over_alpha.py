"""Accuracy, calibration and ranking of models against the smoothing of their training.

s = seeds (or data sets), a = smoothings.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from recuse.errors import InputError
from recuse.evaluation import Estimate, Pick, PickedModel, Ranking
from recuse.plots._shared import FIRST, SECOND, legend, percent
from recuse.present.numbers import exact_percent

if TYPE_CHECKING:
    from jaxtyping import Float
    from matplotlib.axes import Axes
    from numpy import ndarray as Array

RANKINGS = ("MSP", "repaired")
LOOKS = {"MSP": (SECOND, "--", "s"), "repaired": (FIRST, "-", "o"), "": (FIRST, "-", "o")}


class Series(NamedTuple):
    """One quantity of every model under every seed, a fraction."""

    name: str  # "MSP", "repaired", or "" where it does not depend on the score
    values: Float[Array, "s a"]
    errors: Float[Array, "s a"]  # standard errors over examples; NaN where there is none


class Panel(NamedTuple):
    """The content of one chart."""

    title: str
    series: tuple[Series, ...]


class OverAlpha(NamedTuple):
    """All charts over one axis."""

    names: tuple[str, ...]  # of the models
    at: Float[Array, " a"]  # their smoothing, or their position
    numeric: bool  # whether the names are smoothings
    panels: tuple[Panel, ...]


def prepare(picks: Pick | Sequence[Pick]) -> OverAlpha:
    """Prepare the charts of one `evaluation.pick`, or of one for each seed with equal names.

    If all names are numbers, they form the axis; otherwise models are drawn side by side. The gap
    between training and held-out accuracy is shown if training logits were given.

    Raises:
        InputError: No pick, or picks of different models or risks.

    >>> import recuse
    >>> y = np.tile([0, 1, 2], 40)
    >>> z = np.eye(3)[y] + np.random.default_rng(0).normal(size=(120, 3))
    >>> found = prepare(recuse.evaluation.pick({"0.1": (z, y), "0": (2 * z, y)}))
    >>> found.at, found.numeric
    (array([0. , 0.1]), True)
    """
    picks = [picks] if isinstance(picks, Pick) else list(picks)
    if not picks:
        raise InputError("expected at least one pick, got none")
    names, risks = [m.name for m in picks[0].models], picks[0].risks
    if any([m.name for m in p.models] != names or p.risks != risks for p in picks):
        raise InputError("expected picks of the same models and risks, got different ones")
    alpha = [smoothing(name) for name in names]
    numeric = None not in alpha
    at = np.array(alpha if numeric else range(len(names)), float)
    order = np.argsort(at, kind="stable")
    panels = _panels(picks, [names[i] for i in order], risks)
    return OverAlpha(tuple(names[i] for i in order), at[order], numeric, panels)


def smoothing(name: str) -> float | None:
    """Return the number in a name, or None.

    >>> smoothing("0.1"), smoothing("resnet"), smoothing("nan")
    (0.1, None, None)
    """
    try:
        value = float(name)
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def draw(data: OverAlpha, panel: Panel, ax: Axes) -> None:
    """Draw one panel: seeds as points with standard errors, and their mean as a line."""
    for name, values, errors in panel.series:
        colour, style, marker = LOOKS[name]
        ax.plot(data.at, values.mean(axis=0), style, color=colour, label=name)
        for seed, error in zip(values, np.nan_to_num(errors)):
            dots = ax.errorbar(data.at, seed, error, fmt=marker, color=colour, markersize=4)
            dots.lines[2][0].set_linewidth(0.8)
    ax.set_xticks(data.at, data.names, parse_math=False)
    ax.set(xlabel="smoothing" if data.numeric else "", ylabel=panel.title)
    percent(ax, "y")
    if len(panel.series) > 1:
        legend(ax)


def _panels(picks: list[Pick], names: list[str], risks: tuple[float, ...]) -> tuple[Panel, ...]:
    models = [[p[name] for name in names] for p in picks]

    def series(get: Callable[[PickedModel], Estimate], name: str = "") -> Series:
        found = np.array([[get(m) for m in row] for row in models], float)
        return Series(name, found[..., 0], found[..., 1])

    def both(get: Callable[[Ranking], Estimate]) -> tuple[Series, ...]:
        return tuple(series(lambda m, s=s: get(m.ranking(s)), s) for s in RANKINGS)

    panels = [Panel("accuracy", (series(lambda m: m.accuracy),))]
    if all(m.gap for row in models for m in row):
        gap = series(lambda m: m.gap or m.accuracy)
        panels.append(Panel("training minus held-out accuracy", (gap,)))
    panels += [Panel("ECE", (series(lambda m: m.ece),)), Panel("AURC", both(lambda r: r.aurc))]
    for risk in risks:
        title = f"coverage at {exact_percent(risk)} risk"
        panels.append(Panel(title, both(lambda r, risk=risk: r.coverage[risk])))
    return tuple(panels)
