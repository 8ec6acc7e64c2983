"""All parts -> HTML.

The template escapes every value. The two scripts are allowed by their digest alone, so a
model's name could not run even if it were not escaped.
"""

from __future__ import annotations

import base64
import hashlib
import platform
from collections.abc import Mapping, Sequence
from importlib import resources
from importlib.metadata import version
from typing import Any

import jinja2
from markupsafe import Markup

from recuse._internal.files import to_json
from recuse._version import __version__
from recuse.calibration import smooth_ece
from recuse.evaluation import Evaluation
from recuse.reports import mistakes, notation, repair, words
from recuse.reports.charts import charts
from recuse.reports.datasets import colour, dash, datasets
from recuse.reports.details import Detail
from recuse.reports.explore import explore
from recuse.reports.names import isolate
from recuse.reports.notation import Table
from recuse.reports.paired import paired, paired_table
from recuse.reports.prepare import LOW_COVERAGE, ModelData, prepare
from recuse.reports.runtime import bundle
from recuse.reports.tables import (
    bin_table,
    curve_table,
    fingerprint_table,
    fitted_rows,
    histogram_table,
    split_table,
)

PACKAGES = ("numpy", "scipy", "altair", "vl-convert-python")
NOTATION = ("percent", "level", "area", "area_with_error", "interval", "p_value", "count", "prose")


def render(
    evaluation: Evaluation,
    *,
    title: str,
    lead: Sequence[str],
    tables: Sequence[Table],
    details: Mapping[str, Detail] | None,
) -> str:
    """The page as text; arguments as in `report`."""
    evaluation, details = isolate(evaluation, details or {})
    models = prepare(evaluation)
    best = words.best(models)
    sliders = explore(models, details, evaluation.target_risk, evaluation.delta)
    against = paired((best, *(m for m in models if m is not best)), details)
    scripts = [_script(bundle()), _script(_source("page.js"))]
    return (
        _environment()
        .get_template("page.html.j2")
        .render(
            words=words,
            mistakes=mistakes,
            details=details,
            scenes=[picture for detail in details.values() for picture in detail.scenes],
            explore=sliders,
            chosen=_last_curve(models, best),
            outcome_labels=_outcome_labels(bool(details), evaluation.delta),
            fitted_rows=fitted_rows(sliders, limits=bool(details)),
            paired=None if against is None else paired_table(against),
            whose=next(filter(None, (words.whose(m.result) for m in models)), ""),
            unfitted=[m.result.name for m in models if not m.result.selection.feasible],
            smooth_ece=lambda m: smooth_ece(m.result.probability, m.result.loss),
            histogram_table=histogram_table,
            repair=repair,
            learned=[m.result for m in models if m.result.tuned.score.fitted],
            swatch=swatch,
            bin_table=bin_table,
            fingerprint_table=fingerprint_table,
            title=title,
            lead=lead or words.lead(models),
            tables=tables,
            models=models,
            evaluation=evaluation,
            low_coverage=LOW_COVERAGE,
            curve_table=curve_table(models),
            split_table=split_table(models),
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


def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("recuse.reports", "."),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.policies["json.dumps_function"] = lambda data, **_: to_json(data, indent=None)
    environment.filters.update({f: getattr(notation, f) for f in NOTATION})
    return environment


def swatch(model: ModelData, stage: str) -> dict[str, Any]:
    """Colour and dash of a curve, for the legend."""
    return {
        "colour": colour(model.index),
        "dash": " ".join(map(str, dash(model, getattr(model, stage)))),
    }


def _last_curve(models: Sequence[ModelData], model: ModelData) -> int:
    """The index of the chosen score of a model among all curves."""
    return sum(len(m.curves) for m in models[: model.index + 1]) - 1


def _outcome_labels(limits: bool, delta: float) -> list[str]:
    counted = ["Curve", "Threshold", "Coverage", "Accepted", "Abstained", "Errors served", "Risk"]
    promised = [f"Limit, {notation.level(1 - delta)}", "Coverage with the target promised"]
    return counted + promised * limits


def _source(name: str) -> str:
    return resources.files("recuse.reports").joinpath(name).read_text(encoding="utf-8")


def _script(text: str) -> Markup:
    """A script that cannot end its own element."""
    return Markup(text.strip().replace("</script", "<\\/script"))


def _digest(script: str) -> str:
    """The script as a source of the content security policy."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}'"


def _assumptions(evaluation: Evaluation) -> dict[str, str]:
    """Method -> what its guarantee assumes, for the methods in use."""
    guarantees = [m.selection.guarantee for m in evaluation.models]
    return {g.method: g.assumption for g in guarantees}


def _versions() -> dict[str, str]:
    installed = {package: version(package) for package in PACKAGES}
    return {"recuse": __version__, "python": platform.python_version(), **installed}
