"""Names as the page shows them: whoever wrote one must not turn the sentence around it.

A name written from right to left stands in an isolate; controls of direction are spelled out.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from recuse.evaluation import Evaluation
from recuse.reports.details import Detail

if TYPE_CHECKING:
    from numpy import ndarray as Array

TURNING = re.compile("[\u202a-\u202e\u2066-\u2069]")
RIGHT_TO_LEFT = ("R", "AL", "AN")  # of Unicode's bidirectional classes


def isolated(name: str) -> str:
    r"""A name that keeps its direction to itself.

    >>> isolated("net"), isolated("net\u202e")
    ('net', 'net[U+202E]')
    """
    spelled = TURNING.sub(lambda found: f"[U+{ord(found[0]):04X}]", name)
    if not any(unicodedata.bidirectional(letter) in RIGHT_TO_LEFT for letter in spelled):
        return spelled
    return f"\u2068{spelled}\u2069"


def isolate(
    evaluation: Evaluation, details: Mapping[str, Detail]
) -> tuple[Evaluation, dict[str, Detail]]:
    """The same with every name isolated: of models, classes and populations."""
    models = tuple(replace(m, name=isolated(m.name)) for m in evaluation.models)
    found = {isolated(name): _detail(detail) for name, detail in details.items()}
    return replace(evaluation, models=models), found


def _detail(detail: Detail) -> Detail:
    return detail._replace(
        classes=tuple(map(isolated, detail.classes)), populations=_populations(detail.populations)
    )


def _populations(of: Array | None) -> Array | None:
    """Numbers stay numbers."""
    if of is None or of.dtype.kind in "biuf":
        return of
    found, place = np.unique(of, return_inverse=True)
    return np.array([isolated(str(name)) for name in found])[place.reshape(-1)]
