"""All parts -> HTML, with the JavaScript that draws the charts.

The template escapes every value. The two scripts are allowed by their digest alone, so a
model's name could not run even if it were not escaped.
"""

from __future__ import annotations

import base64
import hashlib
import os
import platform
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from importlib import resources
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jinja2
import numpy as np
from markupsafe import Markup

from recuse._internal.files import to_json, write_text
from recuse._version import __version__
from recuse.calibration import smooth_ece
from recuse.errors import InputError
from recuse.evaluation import Evaluation
from recuse.io._rows import of_classes
from recuse.present import headline as headlines
from recuse.present import numbers
from recuse.present import page as words
from recuse.present.guarantee import assumptions
from recuse.present.text import Table, isolated, typeset
from recuse.reports import tables as grids
from recuse.reports.charts import charts
from recuse.reports.details import Detail
from recuse.reports.explore import explore
from recuse.reports.prepare import ModelData, best, colour, dash, datasets, prepare

if TYPE_CHECKING:
    from numpy import ndarray as Array

PACKAGES = ("numpy", "scipy", "vl-convert-python")
NUMBERS = ("percent", "exact_percent", "confidence_level", "area", "p_value", "count")


def render(
    evaluation: Evaluation,
    *,
    title: str | None,
    lead: Sequence[str],
    tables: Sequence[Table],
    details: Mapping[str, Detail] | None,
    named: str | None,
) -> str:
    """Return the page as text; arguments as in `report`."""
    at = None if named is None else evaluation.models.index(evaluation[named])
    evaluation, details = isolate(evaluation, details or {})
    models = prepare(evaluation)
    first = best(models) if at is None else models[at]
    sliders = explore(models, details, evaluation.target_risk, evaluation.delta)
    against = grids.paired((first, *(m for m in models if m is not first)), details)
    scripts = [_script(bundle()), _script(_source("page.js"))]
    return (
        _environment()
        .get_template("page.html.j2")
        .render(
            title=title or headlines.title([m.result for m in models]),
            headline=headline(models, first, details, named is not None),
            lead=lead or words.lead(models, first, named is not None),
            tables=tables,
            evaluation=evaluation,
            models=models,
            details=details,
            words=words,
            grids=grids,
            swatch=swatch,
            smooth_ece=lambda m: smooth_ece(m.result.probability, m.result.loss),
            scenes=[picture for detail in details.values() for picture in detail.scenes],
            explore=sliders,
            chosen=_last_curve(models, first),
            outcome_labels=_outcome_labels(bool(details), evaluation.delta),
            fitted_rows=grids.fitted_rows(sliders, limits=bool(details)),
            base=numbers.listed(dict.fromkeys(m.result.baseline for m in models)),
            measured=words.measured(m.result for m in models),
            splits=words.splits([m.result for m in models]),
            of_classes=[m for m in models if of_classes(m.result.kind)],
            stated=[m for m in models if m.reliability is not None],
            paired=None if against is None else grids.paired_table(against),
            whose=next(filter(None, (words.whose(m.result) for m in models)), ""),
            unfitted=[m.result.name for m in models if not m.result.selection.feasible],
            fixed=[m for m in models if words.fixed(m.result)],
            tuned=[m for m in models if not words.fixed(m.result)],
            learned=[m.result for m in models if m.result.tuned.score.fitted],
            assumptions=_assumptions(evaluation),
            versions=_versions(),
            style=Markup(_source("style.css")),
            scripts=scripts,
            digests=" ".join(map(_digest, scripts)),
            data={
                "datasets": datasets(models, evaluation.target_risk, details),
                "charts": charts(models, evaluation.target_risk, details),
                "explore": sliders,
            },
        )
    )


def headline(
    models: tuple[ModelData, ...], first: ModelData, details: Mapping[str, Detail], named: bool
) -> headlines.Headline:
    """Return the answers of the first screen; if no rows can choose, only a named model leads."""
    untuned = not named and len(models) > 1 and any(words.untuned(m.result) for m in models)
    detail = details.get(first.result.name)
    smoothing = None if detail is None else detail.smoothing
    return headlines.headline(models, None if untuned else first, smoothing)


def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("recuse.reports", "."),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.policies["json.dumps_function"] = lambda data, **_: to_json(data, indent=None)
    filters = {name: getattr(numbers, name) for name in NUMBERS}
    filters |= {
        "with_error": _area_with_error,
        "interval": lambda c: numbers.interval(c.low, c.high),
    }
    environment.filters.update({name: _set(write) for name, write in filters.items()})
    environment.filters["typeset"] = _set(str)
    return environment


def _set(write: Callable[..., str]) -> Callable[..., str]:
    """A filter of the template: what `write` returns, typeset."""
    return lambda *args: typeset(write(*args))


def _area_with_error(x: float, standard_error: float) -> str:
    return numbers.with_error(numbers.area(x), numbers.area(standard_error))


def swatch(model: ModelData, stage: str) -> dict[str, Any]:
    """Return colour and dash of a curve for the legend."""
    return {
        "colour": colour(model.index),
        "dash": " ".join(map(str, dash(model, getattr(model, stage)))),
    }


def _last_curve(models: Sequence[ModelData], model: ModelData) -> int:
    """Return the index of the chosen score of a model among all curves."""
    return sum(len(m.curves) for m in models[: model.index + 1]) - 1


def _outcome_labels(limits: bool, delta: float) -> list[str]:
    counted = ["Curve", "Threshold", "Coverage", "Accepted", "Abstained", "Errors accepted", "Risk"]
    limited = [f"Limit, {numbers.confidence_level(delta)}", "Coverage with the target guaranteed"]
    return counted + limited * limits


def _source(name: str) -> str:
    return resources.files("recuse.reports").joinpath(name).read_text(encoding="utf-8")


def _script(text: str) -> Markup:
    """Return a script that cannot end its own element."""
    return Markup(text.strip().replace("</script", "<\\/script"))


def _digest(script: str) -> str:
    """Return the script as a source of the content security policy."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}'"


def _assumptions(evaluation: Evaluation) -> dict[str, str]:
    """Method -> what its guarantee assumes, for the methods in use."""
    whole = [m.selection.guarantee for m in evaluation.models]
    each = [g for w in whole for g in getattr(w, "each", {None: w}).values()]
    return {g.method: assumptions(g) for g in each}


def _versions() -> dict[str, str]:
    installed = {package: version(package) for package in PACKAGES}
    return {"recuse": __version__, "python": platform.python_version(), **installed}


def bundle() -> str:
    """The script that defines `vegaEmbed`: Vega, Vega-Lite and vega-embed, without eval.

    It depends only on the version of vl-convert, takes seconds to make, and is kept in the user's
    cache folder.
    """
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    cached = home / "recuse" / f"vega-{version('vl-convert-python')}.js"
    with suppress(OSError):
        return cached.read_text(encoding="utf-8")
    import vl_convert

    script = vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;")
    with suppress(OSError, InputError):  # a read-only home costs time, not the report
        write_text(cached, script)
    return script


def isolate(
    evaluation: Evaluation, details: Mapping[str, Detail]
) -> tuple[Evaluation, dict[str, Detail]]:
    """Return both with every name isolated: of models, classes and subgroups."""
    models = tuple(replace(m, name=isolated(m.name)) for m in evaluation.models)
    found = {isolated(name): _detail(detail) for name, detail in details.items()}
    return replace(evaluation, models=models), found


def _detail(detail: Detail) -> Detail:
    return detail._replace(
        classes=tuple(map(isolated, detail.classes)), subgroups=_subgroups(detail.subgroups)
    )


def _subgroups(of: Array | None) -> Array | None:
    """Numbers stay numbers."""
    if of is None or of.dtype.kind in "biuf":
        return of
    found, place = np.unique(of, return_inverse=True)
    return np.array([isolated(str(name)) for name in found])[place.reshape(-1)]
