"""All parts -> HTML.

The template escapes every value. The two scripts are allowed by their digest alone, so a
model's name could not run even if it were not escaped.
"""

from __future__ import annotations

import base64
import hashlib
import platform
from collections.abc import Sequence
from importlib import resources
from importlib.metadata import version
from typing import Any

import jinja2
from markupsafe import Markup

from recuse._files import to_json
from recuse._version import __version__
from recuse.evaluation import Evaluation
from recuse.report import notation, repair, words
from recuse.report.charts import charts
from recuse.report.datasets import colour, dash, datasets
from recuse.report.notation import Table
from recuse.report.prepare import LOW_COVERAGE, ModelData, prepare
from recuse.report.runtime import bundle
from recuse.report.tables import bin_table, curve_table, fingerprint_table, split_table

PACKAGES = ("numpy", "scipy", "altair", "vl-convert-python")
NOTATION = ("percent", "level", "area", "area_with_error", "interval", "p_value", "count", "prose")


def render(
    evaluation: Evaluation, *, title: str, lead: Sequence[str], tables: Sequence[Table]
) -> str:
    """The page as text; arguments as in `report`."""
    models = prepare(evaluation)
    scripts = [_script(bundle()), _script(_source("page.js"))]
    return (
        _environment()
        .get_template("page.html.j2")
        .render(
            words=words,
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
                "datasets": datasets(models, evaluation.target_risk),
                "charts": charts(models, evaluation.target_risk),
            },
        )
    )


def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("recuse.report", "."),
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


def _source(name: str) -> str:
    return resources.files("recuse.report").joinpath(name).read_text(encoding="utf-8")


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
