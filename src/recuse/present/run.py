"""The verdict on one model in at most eight lines: of `recuse run`, `recuse demo` and in Python."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from recuse.present.numbers import count, percent

ZEROS = "Cannot tell: probabilities of exactly 0, as of trees, tell nothing of smoothing."


class Verdict(NamedTuple):
    """What the lines are made from."""

    classes: int | None  # None of confidences
    reason: str  # of the score, without its full stop
    selection: Any  # with its guarantee, or why there is none
    target_risk: float
    test: Any = None  # with n, accuracy, accepted and errors; None if there is no test part
    training: str | None = None  # sentence of a diagnosis
    deploy: str | None = None  # what to do with the rejector
    page: str | None = None  # path of the report
    more: str | None = None  # what else was written


def verdict_lines(v: Verdict) -> Iterator[str]:
    """Yield what a model is worth, what to deploy, what is guaranteed and where the page is."""
    of = "" if v.classes is None else f", of {v.classes} classes"
    if v.test is None:
        yield f"Model: {v.classes} classes; accuracy not measured, since there is no test part."
    else:
        right = f"{percent(v.test.accuracy, 1)} of {count(v.test.n)} test predictions are right"
        yield f"Model: {right}{of}."
    if v.training is not None:
        yield f"Training: {v.training}"
    yield f"Score: {v.reason}."
    yield f"Guarantee: {v.selection}"
    if not v.selection.feasible:
        shown = f" {v.page} shows what the score would accept." if v.page else ""
        yield f"Deploy: nothing yet for a target of {percent(v.target_risk)}.{shown}"
        return
    yield f"Test part: {_tested(v.test)}"
    if v.deploy is not None:
        yield f"Deploy: {v.deploy}"
    if v.page is not None:
        yield f"Page: {v.page}{f'; {v.more}' if v.more else ''}"


def _tested(test: Any) -> str:
    """Return what was accepted of the test part, and how much of it was wrong."""
    if test is None:
        return (
            "not measured; count the errors among what is accepted of rows that fit has not seen."
        )
    wrong = f"{count(test.errors)} of {count(test.accepted)}" if test.accepted else "none"
    rate = f" ({percent(test.errors / test.accepted, 1)})" if test.accepted else ""
    return (
        f"{percent(test.accepted / test.n, 1)} answered, {wrong} of them wrong{rate}; answering "
        f"everything, {percent(1 - test.accuracy, 1)} would be wrong."
    )
