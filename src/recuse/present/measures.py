"""Words about measures: intervals with their cautions, and tables of comparisons."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from recuse.present.tables import text_table

CAUTIONS = {
    "no_errors": "no errors: no interval",
    "not_moved": "no example changes it: no interval",
    "all_accepted": "all predictions meet this risk: no standard error",
    "none_accepted": "no threshold meets this risk: no standard error",
    "flat_risk": "the risk does not rise at the threshold: no standard error",
}


def caution(code: str | None, errors: float, few: int) -> str | None:
    """Say why not to rely on an interval.

    >>> caution("few_errors", 10.0, 20)
    'only 10 errors: intervals from fewer than 20 are too narrow'
    """
    if code == "few_errors":
        count = f"{errors:.3g} error{'s' * (errors != 1)}"
        return f"only {count}: intervals from fewer than {few} are too narrow"
    return CAUTIONS[code] if code else None


def interval(name: str, low: float, value: float, high: float, note: str | None) -> str:
    """Return a measure, its interval and a note on one line."""
    return f"{name} {value:.4g} [{low:.4g}, {high:.4g}]{f' ({note})' if note else ''}"


def comparisons(measure: str, baseline: str, value: float, rows: Iterable[Any]) -> str:
    """Return a table of named comparisons with a baseline.

    A row has `name`, `value`, `p_adjusted` and a `comparison` of `difference`, `low` and `high`.
    """
    lines = [(baseline, f"{value:.4g}", "", "", "")]
    for row in rows:
        d = row.comparison
        between = f"[{d.low:.3g}, {d.high:.3g}]"
        numbers = f"{row.value:.4g}", f"{d.difference:.3g}", between, f"{row.p_adjusted:.2g}"
        lines.append((row.name, *numbers))
    return text_table(("", measure, "difference", "95 % interval", "p (Holm)"), lines)


def temperature(
    value: float, error: float, bound: str | None, n: int, before: float, after: float
) -> str:
    """Return a fitted temperature on one line."""
    note = f"(its {bound} bound)" if bound else f"+- {error:.3f}"
    return f"T = {value:.3f} {note} from {n:,} labels: NLL {before:.4f} becomes {after:.4f}"
