"""`recuse monitor`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from recuse._internal.files import to_json
from recuse.cli.files import refuse_overwrite
from recuse.cli.options import Json, Quiet
from recuse.errors import InputError
from recuse.monitor import FEWER, MORE, RISK, Monitor, Update, Verdict, replay
from recuse.present import terminal
from recuse.present.numbers import percent
from recuse.rejector import Rejector
from recuse.selectors._guarantee import sure

TESTS = {
    RISK: "error rate of the accepted is above the target",
    MORE: "more is accepted than in calibrate",
    FEWER: "less is accepted than in calibrate",
}


def monitor_(
    rejector: Annotated[
        Path, typer.Argument(metavar="REJECTOR", help="What `recuse fit` wrote, as deployed.")
    ],
    state: Annotated[
        Path, typer.Option("--state", help="What is known; made at first, then updated.")
    ],
    log: Annotated[
        list[Path] | None,
        typer.Option(
            "--log",
            help="A .csv of id and accept, correct or both, true or false; correct may be empty "
            "or come in a later row or file. Repeatable. Without one the verdict is printed.",
        ),
    ] = None,
    target_risk: Annotated[
        float | None,
        typer.Option(
            "--target-risk",
            help="Error rate to test; the rejector's target if absent, which one of a coverage or "
            "a cost does not have.",
        ),
    ] = None,
    delta: Annotated[
        float | None,
        typer.Option("--delta", help="Probability that there is ever a false alarm.  [0.05]"),
    ] = None,
    order: Annotated[
        str | None,
        typer.Option(
            "--order",
            help="prediction (the default), or arrival: only labels that came are counted; valid "
            "if neither whether nor when a label comes depends on the loss.",
        ),
    ] = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Does a deployed rejector still keep its promise? Log predictions, later their labels.

    Exit code 1 at an alarm. Rows that are known already change nothing, so a log may grow and be
    given again; on an error the state is left as it was.
    """
    logs = log or []
    refuse_overwrite(state, True, rejector, *logs)
    given = {"target_risk": target_risk, "delta": delta, "order": order}
    monitor = _opened(state, Rejector.load(rejector), given, bool(logs))
    updates = {str(path): replay(monitor, path) for path in logs}
    verdict = monitor.verdict
    if logs:
        monitor.save(state)
    if as_json:
        news = {name: update._asdict() for name, update in updates.items()}
        print(to_json({**verdict.to_dict(), "logs": news}))
    elif not quiet:
        _show(verdict, updates)
    if verdict.alarm:
        raise typer.Exit(1)


def _opened(path: Path, rejector: Rejector, given: dict[str, Any], may_begin: bool) -> Monitor:
    """The monitor of a state that is there, or a new one; what is tested cannot change."""
    given = {name: value for name, value in given.items() if value is not None}
    if not path.exists() and may_begin:
        return Monitor(rejector, **given)
    monitor = Monitor.load(path, rejector)
    for name, value in given.items():
        if value != (held := getattr(monitor.terms, name)):
            option = name.replace("_", "-")
            raise InputError(f"{path}: expected --{option} {held}, as it began, got {value}")
    return monitor


def _show(v: Verdict, updates: dict[str, Update]) -> None:
    for name, update in updates.items():
        terminal.say(
            f"{name}: {update.rows:,} rows, {update.predictions:,} new predictions, "
            f"{update.labels:,} new labels of accepted ones."
        )
    terminal.say(str(v))
    low, high = (percent(x, 1) for x in v.calibrate)
    terminal.say(
        f"Accepted {v.accepted:,} of {v.n:,} predictions ({percent(v.coverage, 1)}); "
        f"data like calibrate: {low} to {high}."
    )
    low, high = (percent(x, 1) for x in v.interval)
    terminal.say(
        f"Of {v.labelled:,} labelled {v.errors:,} are wrong ({percent(v.risk, 1)}); the risk is "
        f"between {low} and {high} with {sure(v.delta)} confidence at all times, "
        f"the target {percent(v.target_risk, 1)}."
    )
    if v.pending:
        counted = "count as right in the test" if v.order == "prediction" else "are left out"
        terminal.say(f"{v.pending:,} labels are pending and {counted}.")
    terminal.table(
        ("is there evidence that ...", "e-value", "alarm at"),
        [(TESTS[k], f"{v.e_value[k]:.3g}", f"{v.limit[k]:.4g}") for k in v.limit],
    )
