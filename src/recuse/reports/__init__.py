"""Evaluation -> one self-contained HTML page.

details    what the page needs of the splits themselves: labels, limits, names, pictures
prepare    Evaluation -> the plain data of every picture, in columns
explore    what every threshold does: the counts behind the sliders
charts     Vega-Lite specifications
tables     what is behind the charts, in figures; the errors accepted; models in pairs
pictures   thumbnails and segmented scenes
page       all of it -> HTML; its sentences are made in `present.headline` and `present.page`
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence

from recuse._internal import public
from recuse._internal.check import installed, need
from recuse._internal.files import write_text
from recuse.errors import InputError
from recuse.evaluation import Evaluation
from recuse.present.text import Table
from recuse.reports.details import Detail, details
from recuse.selectors._guarantee import ACCEPTED

__all__ = ["Detail", "Table", "details", "report"]

NEEDED = ("jinja2", "vl_convert")  # of the extra `report`


def can_report() -> bool:
    """Return whether the extra `report` is installed."""
    return all(map(installed, NEEDED))


def need_report() -> None:
    """Say in one line that the page needs the extra, before any work is done."""
    for module in NEEDED:
        need(module, "report", "the page")


@public
def report(
    evaluation: Evaluation,
    path: str | os.PathLike,
    *,
    title: str | None = None,
    lead: Sequence[str] = (),
    tables: Sequence[Table] = (),
    details: Mapping[str, Detail] | None = None,
    named: str | None = None,
) -> None:
    """Write an evaluation as one HTML file that opens without a network.

    The first screen says what to deploy, what is guaranteed and what was wrong before; the parts
    below it are for whoever checks. Curves are thinned for drawing, never for the numbers. The same
    evaluation gives the same bytes.

    Args:
        evaluation: From `recuse.evaluate`.
        path: The file to write, whole or not at all.
        title: Title of the page; names the models and the rows if None.
        lead: Sentences of the verdict in full; written from the evaluation if empty.
        tables: Further tables, shown after the table of the models.
        details: From `recuse.reports.details`: limits, classes, errors, pictures. Without them
            the page shows what the evaluation alone knows.
        named: The model that was named for deployment before anyone looked at these rows; it leads
            the page. If None, the best on the tuning split does, and no model where there is none.

    Raises:
        InputError: `path` is a folder, no model has the name `named`, or a guarantee is not about
            accepted predictions.
        MissingExtraError: The extra `report` is not installed.
    """
    need_report()
    if any(m.selection.guarantee.among != ACCEPTED for m in evaluation.models):
        raise InputError(
            "expected a guarantee of accepted predictions, since a page is about the error rate of "
            "accepted predictions, got one of all predictions (among='all')"
        )
    from recuse.reports.page import render

    options = {"title": title, "lead": lead, "tables": tables, "details": details, "named": named}
    write_text(path, render(evaluation, **options))
