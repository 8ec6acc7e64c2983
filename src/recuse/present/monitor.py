"""The verdict of a monitor in words, and its table.

`v` is a `recuse.monitor.Verdict`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from recuse.present.numbers import (
    UNDEFINED,
    confidence_level,
    count,
    exact_percent,
    listed,
    percent,
    plural,
)

RISK_OF = "risk of {}"
CHANGES = {
    "risk": "The error rate of accepted predictions is above the target: ",
    "more accepted": "More predictions are accepted than for data like the calibration split: ",
    "fewer accepted": "Fewer predictions are accepted than for data like the calibration split: ",
}
OF_SUBGROUP = "The error rate of accepted predictions of {} is above the target: "
REVIEW = "Review accepted predictions{} by hand, and label {}."
NOW = {
    "more accepted": "Label a sample of the accepted predictions.",
    "fewer accepted": "Check how the inputs are made and prepared.",
}
REFIT = (
    "If the inputs will stay like this, label a random sample of all rows{since} (at the last fit: "
    "{size}), fit a new rejector, and begin its state {after}."
)
NO_RISK = "risk is undefined: no label is known"
NO_GROUPS = (
    "{}: expected the `group` of each prediction (patient, document), since the rejector was "
    "fitted on groups; if the log has one row of each group, say so by --independent, in Python "
    "independent=True"
)
NO_ARRIVAL = (
    "expected predictions without groups in the order of arrival: draw one row of each group for "
    "the audit, and leave the groups out or say --independent, in Python independent=True"
)
NO_SUBGROUPS_OF_ARRIVAL = (
    "expected predictions without subgroups in the order of arrival, in which only all together "
    "are tested: leave them out, or begin a state of the order of prediction"
)
ONE_OF_EACH = (
    "rows of one group depend on each other: begin a new state with the groups, or most alarms may "
    "be false"
)
NO_DATES = "{}: expected `time` as an ISO date, such as 2026-07-01, got {!r}: no times are shown"
LOG = (
    "a .csv with the columns `id` and `accept`, `correct` or `truth`, such as the decisions.csv of "
    "`recuse predict`"
)
POOLED = {"class": "predicted class", "subgroup": "subgroup"}
NOT_TESTED = {
    "all": "the share of all predictions that are accepted and wrong",
    "cost": "a mean cost",
    "mean_cost": "a mean cost",
}
HEADER = ("", "so far", "expected", "at fit", "last {}", "e-value")
SHOWN = 3  # subgroups in the table; with an alarm, one
GAP = 2  # spaces between columns


def sentence(v: Any) -> str:
    """Return the verdict in one line.

    The date is that of the first look with an alarm.
    """
    if not v.alarm and v.late_rows:
        late = f"{count(v.late_rows)} of {plural(v.n, 'row')}"
        return f"No alarm, but {late} came too long after the first of their group to be tested."
    if not v.alarm:
        return "No alarm."
    first = min((v.seen[name] for name in v.alarms), key=lambda seen: seen.n)
    seen = f" (seen on {first.time})" if first.time else ""
    return f"Alarm{seen}: {', '.join(v.alarms)}."


def advice(v: Any) -> tuple[str, ...]:
    """Return what changed and what to do about it; nothing without an alarm."""
    if not v.alarm:
        return ()
    found = [CHANGES[name] + _observed(v, name) for name in v.alarms if name in CHANGES]
    for test in v.subgroups:
        if test.alarm:
            wrong = _errors(test.so_far, test.target_risk)
            found.append(OF_SUBGROUP.format(test.subgroup) + wrong)
    return (*found, *next_steps(v, "with after="))


def _observed(v: Any, alarm: str) -> str:
    if alarm == "risk":
        return _errors(v, v.target_risk)
    low, high = (percent(x, 1) for x in v.calibrate)
    share = f"{count(v.accepted)} of {count(v.n)} ({percent(v.coverage, 1)})"
    return f"{share}, expected {low} to {high}."


def _errors(counts: Any, target_risk: float) -> str:
    most = f"{target_risk * counts.labelled:,.1f}"
    return f"{count(counts.errors)} of {count(counts.labelled)} are wrong, at most {most} expected."


def next_steps(v: Any, after: str) -> tuple[str, ...]:
    """Return what to do now, and how to go on with a new rejector."""
    of = [str(test.subgroup) for test in v.subgroups if test.alarm]
    now = [NOW[name] for name in NOW if name in v.alarms]
    if of or "risk" in v.alarms:
        where = "" if "risk" in v.alarms else f" of {listed(of, 3)}"
        now = [REVIEW.format(where, _to_label(v, of)), *now]
    first = min((v.seen[name] for name in v.alarms), key=lambda seen: seen.n)
    since = f" since {first.time}" if first.time else ""
    refit = REFIT.format(since=since, size=count(v.at_fit.n), after=after)
    return " ".join(now), refit


def _to_label(v: Any, of: Sequence[str]) -> str:
    """Return which rows to label: the pending ones, of the subgroups with an alarm first."""
    pending = sum(t.so_far.accepted - t.so_far.labelled for t in v.subgroups if t.alarm)
    if of and pending:
        return f"the {count(pending)} pending ones of {listed(of, 3)} first"
    return f"the {count(v.pending)} pending ones" if v.pending else "the next ones at once"


def scope(v: Any) -> str | None:
    """Return what the tests do not cover, or None."""
    found = []
    if v.void:
        found.append(
            "The rejector guarantees nothing, since its tuning and calibration splits share "
            "examples. Its target and its acceptance rate are tested all the same."
        )
    if v.guaranteed in NOT_TESTED:
        found.append(
            "What is tested is the error rate of accepted predictions, which is not what was "
            f"guaranteed: {NOT_TESTED[v.guaranteed]}."
        )
    if v.misses:
        found.append(
            "Misses are not watched: collect outcomes, those of abstained rows too, and run "
            "`recuse predict` on them."
        )
    if v.by in POOLED and not v.subgroups:
        found.append(
            "The test is about the error rate of all accepted predictions together: that of a "
            f"single {POOLED[v.by]} may be above the target without an alarm."
        )
    return " ".join(found) or None


def news(updates: Mapping[str, Any]) -> str:
    """Return what the logs added, in one line."""
    rows, predictions, labels = (sum(column) for column in zip(*updates.values()))
    return (
        f"{listed(updates, 3)}: {count(rows)} rows, {count(predictions)} new predictions, "
        f"{count(labels)} new labels of accepted ones."
    )


def summary(v: Any, state: str) -> list[str]:
    """Return the verdict, what is observed and expected, and what to do, in at most seven lines.

    `state` names its file. Without an alarm, there is more to say.
    """
    lines = [f"{v.sentence} {_covered(v)}", *aligned(_header(v), _rows(v))]
    if v.alarm:
        return [*lines, *next_steps(v, f"with --state NEW --after {state}")]
    told = [_open(v), _interval(v), v.scope, _earlier(v)]
    return [*lines, *(line for line in told if line)]


def _covered(v: Any) -> str:
    groups = "" if v.groups is None else f" of {plural(v.groups, 'group')}"
    period = "" if v.period is None else f", {v.period[0]} to {v.period[1]}"
    return f"{plural(v.n, 'prediction')}{groups}{period}."


def _header(v: Any) -> tuple[str, ...]:
    return tuple(name.format(count(v.recent.n)) for name in HEADER)


def _rows(v: Any) -> list[tuple[str, ...]]:
    """Return the rows of the table: accepted, wrong, and the subgroups closest to an alarm."""
    low, high = v.calibrate
    side = max(("more accepted", "fewer accepted"), key=lambda name: v.log_e[name])
    accepted = (
        "accepted",
        f"{count(v.accepted)}/{count(v.n)} ({percent(v.coverage, 1)})",
        f"{100 * low:.1f} to {percent(high, 1)}",
        percent(v.at_fit.coverage, 1),
        percent(v.recent.coverage, 1),
        _evidence(v.e_value[side], v.limit[side]),
    )
    wrong = ("wrong", *_wrong(v, v.target_risk), percent(v.at_fit.risk, 1))
    rows = [
        accepted,
        (*wrong, percent(v.recent.risk, 1), _evidence(v.e_value["risk"], v.limit["risk"])),
    ]
    tested = [test for test in v.subgroups if math.isfinite(test.limit)]
    tested.sort(key=lambda test: math.log(test.limit) - test.log_e)
    for test in tested[: 1 if v.alarm else SHOWN]:
        fit = UNDEFINED if test.at_fit is None else percent(test.at_fit.risk, 1)
        of = f"wrong of {test.subgroup}", *_wrong(test.so_far, test.target_risk), fit
        rows.append((*of, UNDEFINED, _evidence(test.e_value, test.limit)))
    return rows


def _wrong(counts: Any, target: float) -> tuple[str, str]:
    """Return the errors of the labelled, and the most that is expected."""
    return (
        f"{count(counts.errors)}/{count(counts.labelled)} ({percent(counts.risk, 1)})",
        f"<= {target * counts.labelled:,.1f} ({exact_percent(target)})",
    )


def _evidence(e_value: float, limit: float) -> str:
    return f"{e_value:.3g}/{limit:.4g}"


def aligned(header: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """Return a table as lines; the first column is text.

    >>> aligned(("", "n"), [("rows", "12"), ("groups", "3")])
    ['         n', 'rows    12', 'groups   3']
    """
    cells = [list(header), *map(list, rows)]
    width = [max(map(len, column)) for column in zip(*cells)]
    return [
        "".join([row[0].ljust(width[0]), *(c.rjust(w + GAP) for c, w in zip(row[1:], width[1:]))])
        for row in cells
    ]


def _open(v: Any) -> str:
    """Return what does not count, or not yet."""
    found = []
    if v.pending:
        in_order = v.order == "prediction"
        one = "counts as right in the test" if in_order else "is left out"
        more = "count as right in the test" if in_order else "are left out"
        said = f"label is pending and {one}" if v.pending == 1 else f"labels are pending and {more}"
        found.append(f"{count(v.pending)} {said}.")
    if v.open_groups:
        found.append(f"{plural(v.open_groups, 'group')} may get more rows and will count then.")
    if v.late_rows and v.alarm:  # without one the first sentence says it
        found.append(
            f"{plural(v.late_rows, 'row')} came too long after the first of their group to count."
        )
    return " ".join(found)


def _interval(v: Any) -> str | None:
    if v.interval is None:
        return None
    low, high = (percent(x, 1) for x in v.interval)
    return (
        f"The risk is between {low} and {high} with {confidence_level(v.delta)} confidence at all "
        "times."
    )


def _earlier(v: Any) -> str | None:
    """Return the alarms of the rejector before this one."""
    told = [kept for kept in v.earlier if kept["alarms"]]
    if not told:
        return None
    alarms = told[-1]["alarms"].items()
    named = [f"{name} ({seen['time']})" if seen["time"] else name for name, seen in alarms]
    return f"Alarms of an earlier rejector: {', '.join(named)}."
