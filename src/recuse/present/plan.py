"""How many rows to label, in words.

A plan is the dataclass of `rejector`; here only its fields are read.
"""

from __future__ import annotations

from typing import Any

from recuse.present.numbers import about, confidence_level, count, exact_percent, percent, plural
from recuse.present.text import score_name

MOST = 10**8  # beyond it, no number of rows is named
TOP = 0.01  # the most confident predictions, whose risk tells why none is


def label_plan(p: Any) -> str:
    """Return the rows, the coverage and what they rest on, a line each."""
    return "\n".join((*(_rows(p) if p.feasible else _none(p)), _basis(p)))


def _rows(p: Any) -> tuple[str, str]:
    return (
        f"{_number(p)}: in four of five draws, `fit` then finds a threshold for {_goal(p)}.",
        f"Expect it to accept {_share(p.coverage)} of predictions{_more(p)}. At least "
        f"{count(p.error_free_rows)} {p.unit} must be accepted, more if any is wrong.",
    )


def _number(p: Any) -> str:
    """Return how many rows: others than those of a file, unless it has enough of them."""
    if p.labelled is not None and p.labelled >= p.rows:
        enough = f"About {about(p.rows)} {p.unit} are enough"
        return f"{enough}, and these are {count(p.labelled)}"
    other = "" if p.labelled is None else "other "
    tuning = f", {exact_percent(p.tuning)} of them to choose the score" if p.tuning else ""
    return f"Label about {about(p.rows)} {other}{p.unit}{tuning}"


def _more(p: Any) -> str:
    """Return what more rows accept, where that is more."""
    if _share(p.coverage) == _share(p.largest_coverage):
        return ""
    each = ", ".join(f"{_share(coverage)} with {about(rows)}" for rows, coverage in p.more)
    return f"; {each}, never more than {_share(p.largest_coverage)}"


def _none(p: Any) -> tuple[str]:
    top = (1 - p.accuracy) * TOP ** ((1 - p.accuracy) / p.aurc - 1)
    return (
        f"Infeasible: no number of {p.unit} up to {count(MOST)} gives a threshold for {_goal(p)}, "
        f"since {percent(top)} of the most confident {exact_percent(TOP)} are wrong. It takes a "
        "score that ranks better, a better model, or a larger target.",
    )


def _goal(p: Any) -> str:
    sure = confidence_level(p.delta)
    return f"a risk of {exact_percent(p.target_risk)} with {sure} confidence"


def _basis(p: Any) -> str:
    """Return whence the two numbers come, and how far the rows depend on what is assumed."""
    high = "no number" if p.high is None else f"about {about(p.high)}"
    top = "the risk levels off among the most confident"
    if p.labelled is None:
        numbers = f"accuracy {exact_percent(p.accuracy)}, AURC {p.aurc:.4g}"
        more = f"; {high} if {top}" if p.feasible and p.high != p.rows else ""
        return f"Assumed: {numbers}, and a risk that is a power law of the coverage{more}."
    errors = f"{plural(p.errors, 'error')} in {count(p.labelled)} {p.unit}"
    seen = f"{errors}, ranked by {score_name(p.score)}"
    if p.low is None:
        return f"From {seen}; most resamples of them are infeasible."
    return f"From {seen}; resamples of them name {about(p.low)} and more, and {high} if {top}."


def _share(coverage: float) -> str:
    return percent(coverage, 0 if coverage >= 0.1 else 1)
