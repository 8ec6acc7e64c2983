"""The verdict on one model in at most eight lines: of `recuse run`, `recuse demo` and in Python."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from recuse.present.decisions import cut
from recuse.present.numbers import count, percent

ZEROS = "Cannot tell: probabilities of exactly 0, as of trees, tell nothing of smoothing."


class Verdict(NamedTuple):
    """What the lines are made from."""

    classes: int | None  # None of confidences
    reason: str  # of the score, without its full stop
    selection: Any  # with its guarantee, or why there is none
    target_risk: float | None  # None: not one for all
    # with n, accuracy, accepted and errors, and whether they are of a test part; None: not counted
    measured: Any = None
    cut: str | None = None  # sentence: how one file was used
    training: str | None = None  # sentence of a diagnosis
    deploy: str | None = None  # what to do with the rejector
    page: str | None = None  # path of the report
    more: str | None = None  # what else was written


def verdict_lines(v: Verdict) -> Iterator[str]:
    """Yield what a model is worth, what to deploy, what is guaranteed and where the page is."""
    of = "" if v.classes is None else f", of {count(v.classes)} classes"
    m = v.measured
    if m is None:
        yield f"Model: {v.classes} classes; accuracy not measured, since there is no test part."
    else:
        rows = f"{count(m.n)} {'test ' if m.tested else ''}predictions"
        yield f"Model: {percent(m.accuracy, 1)} of {rows} are right{of}."
    if v.training is not None:
        yield f"Training: {v.training}"
    if v.cut is not None:
        yield f"Rows: {v.cut}"
    yield f"Score: {v.reason}."
    yield f"Guarantee: {v.selection}"
    if not v.selection.feasible:
        shown = f" {v.page} shows what the score would accept." if v.page else ""
        of = "" if v.target_risk is None else f" for a target of {percent(v.target_risk)}"
        yield f"Deploy: nothing yet{of}.{shown}"
        return
    yield _measured(m)
    if v.deploy is not None:
        yield f"Deploy: {v.deploy}"
    if v.page is not None:
        yield f"Page: {v.page}{f'; {v.more}' if v.more else ''}"


def rows_of(m: Any) -> str | None:
    """Return which rows of one file do what; None of a tuning and a calibration split."""
    return None if m.cut is None else cut(m.cut, tested=m.tested)


def calibrating(m: Any) -> str:
    """Say why nothing is left to measure the error on."""
    return f"all {'other ' if m.cut is not None and m.cut.tuning else ''}rows calibrate"


def _measured(m: Any) -> str:
    """Return what was accepted, and how much of it was wrong."""
    if m is None:
        return (
            "Not measured: the error of new rows; count the errors among what is accepted of rows "
            "that fit has not seen."
        )
    answered = f"{percent(m.accepted / m.n, 1)} answered"
    everything = f"answering everything, {percent(1 - m.accuracy, 1)} would be wrong."
    rate = f"{percent(m.errors / m.accepted, 1)}" if m.accepted else ""
    if not m.tested:
        return (
            f"Not measured: the error of new rows, since {calibrating(m)}. Of the calibration "
            f"rows, {answered}, {rate} of them wrong, an underestimate; {everything}"
        )
    wrong = f"{count(m.errors)} of {count(m.accepted)}" if m.accepted else "none"
    return f"Test part: {answered}, {wrong} of them wrong{rate and f' ({rate})'}; {everything}"


def rows_of_folds(n: int, folds: int, cut: Any) -> str:
    """Return what estimators of folds are for, as sentences.

    >>> rows_of_folds(569, 5, "All choose the threshold.")
    'All 569 train the estimator; estimators of 5 folds predict them. All choose the threshold.'
    """
    return f"All {count(n)} train the estimator; estimators of {folds} folds predict them. {cut}"


def rows_used(fit: int, tune: int, calibrate: int, cut: Any) -> str:
    """Return which rows of a classifier do what, by their numbers, as sentences.

    >>> rows_used(840, 0, 560, "All 560 rows choose the threshold.")
    '840 fit the estimator, 560 are held out. All 560 rows choose the threshold.'
    >>> rows_used(0, 100, 400, None)
    '100 choose the score, 400 the threshold; none is set aside to test.'
    """
    fitted = f"{count(fit)} fit the estimator, " if fit else ""
    if cut is None:
        return (
            f"{fitted}{count(tune)} choose the score, {count(calibrate)} the threshold; none is "
            "set aside to test."
        )
    return f"{fitted}{count(calibrate)} are held out. {cut}" if fit else str(cut)
