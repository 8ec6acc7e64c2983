"""Evaluation -> one self-contained HTML page.

details    what the page needs of the splits themselves
prepare    Evaluation -> the plain data of every picture
explore    what every threshold does: the counts behind the sliders
mistakes   the confusion matrix, the most confident errors
paired     models against each other
datasets   plain data -> the columns that the page holds
charts     Vega-Lite specifications; bin_charts those over bins of MSP
words      what the data says, in sentences
repair     what the score was chosen for, and the learned score, in words and figures
tables     what stands behind the pictures, in figures
notation   how a number is written
names      how a name is written
pictures   thumbnails and segmented scenes
runtime    the JavaScript that draws the charts, inlined once
page       all of it -> HTML
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence

from recuse._internal.files import write_text
from recuse.evaluation import Evaluation
from recuse.reports.details import Detail, details
from recuse.reports.notation import Table

__all__ = ["Detail", "Table", "details", "report"]


def report(
    evaluation: Evaluation,
    path: str | os.PathLike,
    *,
    title: str = "Selective classification report",
    lead: Sequence[str] = (),
    tables: Sequence[Table] = (),
    details: Mapping[str, Detail] | None = None,
) -> None:
    """Write an evaluation as one HTML file that opens without a network.

    The answer first, then the numbers, then the pictures. Curves are thinned for drawing,
    never for the numbers. The same evaluation gives the same bytes.

    Args:
        evaluation: From `recuse.evaluate`.
        path: The file to write, whole or not at all.
        title: Of the page.
        lead: Plain sentences shown first; written from the evaluation if empty.
        tables: Further tables, shown after that of the models.
        details: From `recuse.reports.details`: limits, classes, errors, pictures. Without them
            the page shows what the evaluation alone knows.

    Raises:
        InputError: `path` is a folder.
    """
    from recuse.reports.page import render

    write_text(path, render(evaluation, title=title, lead=lead, tables=tables, details=details))
