"""Models against each other, on the same test examples."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from recuse.intervals import AURC, Comparisons, compare_all
from recuse.reports.details import Detail
from recuse.reports.notation import Table, area, interval, p_value
from recuse.reports.prepare import ModelData


def paired(models: tuple[ModelData, ...], details: Mapping[str, Detail]) -> Comparisons | None:
    """AURC of each chosen score against that of the first model; None unless examples agree."""
    if len(models) < 2 or not same_examples([details.get(m.result.name) for m in models]):
        return None
    scored = {m.result.name: (m.result.confidence, m.result.loss) for m in models}
    first = models[0].result.name
    return compare_all(scored, baseline=first, measure=AURC, groups=details[first].groups)


def same_examples(details: list[Detail | None]) -> bool:
    """Whether the test splits hold the same labels and ids, row by row."""
    known = [d for d in details if d is not None]
    if len(known) < len(details):
        return False
    first = known[0]
    return all(
        np.array_equal(d.labels, first.labels)
        and (d.ids is None or first.ids is None or np.array_equal(d.ids, first.ids))
        for d in known
    )


def paired_table(found: Comparisons) -> Table:
    """One row for each model but the first."""
    rows = [
        (
            f"{row.name} − {found.baseline}",
            area(row.value),
            area(row.comparison.difference),
            interval(row.comparison),
            p_value(row.comparison.p_value),
            p_value(row.p_adjusted),
        )
        for row in found.rows
    ]
    caption = (
        f"AURC ×1000 of the chosen scores, paired on the same test examples; {found.baseline} has "
        f"{area(found.value)}. P-values are two-sided, the last corrected for all rows by Holm"
    )
    return Table(caption, ("Models", "AURC", "Difference", "95 % interval", "p", "p (Holm)"), rows)
