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
    if p.cause == "few_errors":
        return _unknown(p)
    if p.asked is not None:
        return f"{_expected(p)}\n{_basis(p)}"
    return "\n".join((*(_rows(p) if p.feasible else _none(p)), _basis(p)))


def _rows(p: Any) -> tuple[str, str]:
    return (
        f"{_number(p)}.",
        f"Expect it to accept {_share(p.coverage)} of predictions{_with_fewer(p)}{_more(p)}. In "
        f"any file at least {count(p.error_free_rows)} {p.unit} must be accepted, more in a larger "
        "one or if any is wrong.",
    )


def _number(p: Any) -> str:
    """Return how many rows: others than those of a file, unless it has enough of them."""
    found = f"`fit` then finds a threshold for {_goal(p)}"
    if p.labelled is not None and p.labelled >= p.rows:
        enough = f"About {about(p.rows)} {p.unit} are enough, and these are {count(p.labelled)}"
        return f"{enough}: in four of five draws, {found}{_if_it_levels_off(p)}"
    other = "" if p.labelled is None else "other "
    tuning = f", {exact_percent(p.tuning)} of them to choose the score" if p.tuning else ""
    if p.high is None:
        return (
            f"Label at least about {about(p.rows)} {other}{p.unit}{tuning}: in four of five draws, "
            f"{found}{_if_it_levels_off(p)}"
        )
    if not _apart(p):
        label = f"Label about {about(p.rows)} {other}{p.unit}{tuning}"
        return f"{label}: in four of five draws, {found}"
    return (
        f"Label between about {about(p.rows)} and {about(p.high)} {other}{p.unit}{tuning}: in four "
        f"of five draws, {found}, with the larger number even if the risk levels off among the "
        "most confident"
    )


def _apart(p: Any) -> bool:
    """Return whether the larger number of rows differs from the smaller one as it is shown."""
    return p.high is None or about(p.high) != about(p.rows)


def _if_it_levels_off(p: Any) -> str:
    if not _apart(p):
        return ""
    high = "no number is enough" if p.high is None else f"it takes about {about(p.high)}"
    return f"; if the risk levels off among the most confident, {high}"


def _with_fewer(p: Any) -> str:
    two = p.high is not None and _apart(p) and not (p.labelled and p.labelled >= p.rows)
    return f" with about {about(p.rows)}" if two else ""


def _expected(p: Any) -> str:
    """Return the coverage to expect of a number of rows, at the target and at two near it."""
    each = [f"{_between(low, high)} at a risk of {exact_percent(t)}" for t, low, high in p.expected]
    asked = next(i for i, (t, *_) in enumerate(p.expected) if t == p.target_risk)
    level = confidence_level(p.delta)
    said = (
        f"With {count(p.asked)} {p.unit}, expect `fit` to accept {each.pop(asked)} "
        f"with {level} confidence; {', '.join(each)}."
    )
    apart = any(_share(low) != _share(high) for _, low, high in p.expected)
    smaller = " The smaller share is for a risk that levels off among the most confident."
    return said + smaller * apart


def _between(low: float, high: float) -> str:
    if not high:
        return "nothing"
    shown = [_share(x) if x else "nothing" for x in (low, high)]
    return (shown[0] if shown[0] == shown[1] else " to ".join(shown)) + " of predictions"


def _unknown(p: Any) -> str:
    return (
        f"These {count(p.labelled)} {p.unit} cannot tell: {plural(p.errors, 'error')} among them "
        "are too few to say how the risk falls with the confidence. Label more of them, or give "
        "accuracy and AURC from elsewhere. In any file at least "
        f"{count(p.error_free_rows)} {p.unit} must be accepted for {_goal(p)}."
    )


def _more(p: Any) -> str:
    """Return what more rows accept, where that is more."""
    if _share(p.coverage) == _share(p.largest_coverage):
        return ""
    each = ", ".join(f"{_share(coverage)} with {about(rows)}" for rows, coverage in p.more)
    return f"; {each}, never more than {_share(p.largest_coverage)}"


def _none(p: Any) -> tuple[str]:
    if p.cause == "above":
        return (
            f"Infeasible: the risk of these {p.unit} is above the target of "
            f"{exact_percent(p.target_risk)} at every threshold: more data will not help. It takes "
            "a score that ranks better, a better model, or a larger target.",
        )
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
    if p.labelled is None:
        numbers = f"accuracy {exact_percent(p.accuracy)}, AURC {p.aurc:.4g}"
        return f"Assumed: {numbers}, and a risk that is a power law of the coverage."
    errors = f"{plural(p.errors, 'error')} in {count(p.labelled)} {p.unit}"
    seen = f"{errors}, ranked by {score_name(p.score)}"
    if p.cause == "above" or p.asked is not None:
        return f"From {seen}."
    if p.low is None:
        return f"From {seen}; most resamples of them are infeasible."
    high = "no number" if p.high is None else f"about {about(p.high)}"
    top = "the risk levels off among the most confident"
    return f"From {seen}; resamples of them name {about(p.low)} and more, and {high} if {top}."


def _share(coverage: float) -> str:
    return percent(coverage, 0 if coverage >= 0.1 else 1)
