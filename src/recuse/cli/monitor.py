"""`recuse monitor`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from recuse._internal.files import to_json
from recuse.cli.files import (
    DECLARE,
    by_columns,
    opened,
    refuse_overwrite,
    subgroups_of,
    warn_of_probabilities,
)
from recuse.cli.options import ClassNames, Json, Quiet
from recuse.errors import InputError
from recuse.io._stores import FORMATS
from recuse.io._tables import class_names_of
from recuse.monitor import Monitor, Update, replay
from recuse.monitor._log import Predicted, decides, read_predictions
from recuse.present import monitor as words
from recuse.present import terminal
from recuse.rejector import SUBGROUP, Rejector


def monitor_(
    rejector: Annotated[
        Path,
        typer.Argument(metavar="REJECTOR", help="The deployed rejector, written by `recuse fit`."),
    ],
    state: Annotated[
        Path,
        typer.Option(
            "--state", help="State of the monitor; created on the first run, then updated."
        ),
    ],
    log: Annotated[
        list[Path] | None,
        typer.Option(
            "--log",
            help="A .csv with the columns id and accept or correct (true or false), or truth: the "
            "label, which is compared with the prediction of the same id in this or another log. "
            "correct and truth may be empty, or follow in a later row or file. Repeatable. Without "
            "a log, only the verdict is printed. A rejector of confidences also takes a file of "
            "these with ids, and decides on it. A column group says which rows depend on each "
            "other, and time, an ISO date, when they came.",
        ),
    ] = None,
    by: Annotated[
        str | None,
        typer.Option(
            "--by",
            metavar="COLUMN",
            help="Column of the log with subgroups, each of which is tested. [default: subgroup, "
            "or the prediction where the rejector has a threshold for each class]",
        ),
    ] = None,
    classes: ClassNames = None,
    target_risk: Annotated[
        float | None,
        typer.Option(
            "--target-risk",
            help="Error rate of accepted predictions to test; the rejector's target by default. "
            "Required if its guarantee is for a coverage, a cost or all predictions.",
        ),
    ] = None,
    delta: Annotated[
        float | None,
        typer.Option(
            "--delta", help="Probability that there is ever a false alarm. [default: 0.05]"
        ),
    ] = None,
    order: Annotated[
        str | None,
        typer.Option(
            "--order",
            help="prediction (default), or arrival: count only labels that have arrived. Valid if "
            "neither whether nor when a label arrives depends on the loss.",
        ),
    ] = None,
    independent: Annotated[
        bool,
        typer.Option(
            "--independent",
            help="Take all rows as independent, although the rejector was fitted on groups or the "
            "log has some; as where it has one row of each group.",
        ),
    ] = False,
    window: Annotated[
        int | None,
        typer.Option(
            "--window",
            help="Predictions, from the first of a group on, within which its rows count. "
            "[default: 100]",
        ),
    ] = None,
    after: Annotated[
        Path | None,
        typer.Option(
            "--after", help="State of the rejector that this one replaces; its alarms are kept."
        ),
    ] = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Test whether the guarantee of a deployed rejector still holds.

    A log such as outcomes.csv has a row for each prediction and the columns id (unique), accept
    (true or false) and correct (true, false, or empty while the label is not known).

    Log predictions, and later their labels. Exit code 1 on an alarm. Rows that are already known
    change nothing, so a log may grow and be given again. On an error the state is unchanged.
    Rows of one group count once, and each subgroup is tested.
    """
    logs = log or []
    refuse_overwrite(state, True, rejector, *logs, *(x for x in (classes, after) if x))
    given = {"target_risk": target_risk, "delta": delta, "order": order, "window": window}
    given |= {"independent": independent or None}
    loaded = Rejector.load(rejector)
    monitor = _opened(state, loaded, given, bool(logs), after)
    names = () if classes is None else class_names_of(classes, loaded.classes)
    _refuse_arrays([p for p in logs if not decides(p, loaded.kind)])
    predicted = read_predictions([p for p in logs if not decides(p, loaded.kind)], names)
    updates = {str(path): _replayed(monitor, loaded, path, predicted, by) for path in logs}
    verdict = monitor.verdict
    if logs:
        monitor.save(state)
    if as_json:
        news = {name: update._asdict() for name, update in updates.items()}
        print(to_json({**verdict.to_dict(), "logs": news}))
    elif not quiet:
        if updates:
            terminal.say(words.news(updates))
        for line in words.summary(verdict, state.name):
            terminal.say(line)
    if verdict.alarm:
        raise typer.Exit(1)


def _refuse_arrays(logs: list[Path]) -> None:
    """Say what a log is where another file is given."""
    for path in logs:
        if path.suffix.lower() in (*FORMATS, ".npy", ".json") or path.is_dir():
            got = "a folder" if path.is_dir() else f"a {path.suffix} file"
            raise InputError(f"{path}: expected a log, {words.LOG}, got {got}")


def _replayed(
    monitor: Monitor, rejector: Rejector, path: Path, predicted: Predicted, by: str | None
) -> Update:
    """Log a file: the decisions of a log, or those of the rejector on confidences."""
    if not decides(path, rejector.kind):
        return replay(monitor, path, predicted, by)
    reader = opened(path, kind=rejector.kind, pending=True, subgroups=by_columns(by))
    file, known = reader.read(), reader.known
    warn_of_probabilities(file if known is None else replace(file, labels=None), DECLARE)
    if file.ids is None:
        raise InputError(f"{path}: expected `id`, which tells predictions apart, got none")
    subgroups = None if by is None else subgroups_of(by, file)
    accept = rejector.predict(file, subgroups if rejector.by == SUBGROUP else None).accept
    loss = None if file.labels is None else file.loss
    if loss is not None and known is not None:
        loss = np.where(known, loss, np.nan)
    if rejector.by == SUBGROUP and monitor.terms.order == "arrival":
        subgroups = None  # told to decide, not to be tested
    return monitor.update(file.ids, accept, loss, groups=file.groups, subgroups=subgroups)


def _opened(
    path: Path, rejector: Rejector, given: dict[str, Any], may_begin: bool, after: Path | None
) -> Monitor:
    """Load the state, or begin a new one; what is tested cannot change."""
    given = {name: value for name, value in given.items() if value is not None}
    if not path.exists() and may_begin:
        return Monitor(rejector, **given, after=None if after is None else Monitor.load(after))
    monitor = Monitor.load(path, rejector)
    for name, value in given.items():
        if value != (held := getattr(monitor.terms, name)):
            option = f"--{name.replace('_', '-')}"
            wanted = f"no {option}" if value is True else f"{option} {held}"
            raise InputError(f"{path}: expected {wanted}, as in the first run, got {value}")
    return monitor
