"""`recuse monitor`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from recuse._internal.files import to_json
from recuse.cli.files import DECLARE, opened, refuse_overwrite, warn, warn_of_probabilities
from recuse.cli.options import ClassNames, Json, Quiet
from recuse.errors import InputError
from recuse.io._tables import class_names_of
from recuse.monitor import Monitor, Update, Verdict, replay
from recuse.monitor._log import Predicted, decides, read_predictions
from recuse.present import monitor as words
from recuse.present import terminal
from recuse.rejector import Rejector


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
            "these with ids, and decides on it.",
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
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Test whether the guarantee of a deployed rejector still holds.

    Log predictions, and later their labels. Exit code 1 on an alarm. Rows that are already known
    change nothing, so a log may grow and be given again. On an error the state is unchanged.
    """
    logs = log or []
    refuse_overwrite(state, True, rejector, *logs, *([classes] if classes else []))
    given = {"target_risk": target_risk, "delta": delta, "order": order}
    loaded = Rejector.load(rejector)
    monitor = _opened(state, loaded, given, bool(logs))
    names = () if classes is None else class_names_of(classes, loaded.classes)
    predicted = read_predictions([p for p in logs if not decides(p, loaded.kind)], names)
    updates = {str(path): _replayed(monitor, loaded, path, predicted) for path in logs}
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


def _replayed(monitor: Monitor, rejector: Rejector, path: Path, predicted: Predicted) -> Update:
    """Log a file: the decisions of a log, or those of the rejector on confidences."""
    if not decides(path, rejector.kind):
        return replay(monitor, path, predicted)
    reader = opened(path, kind=rejector.kind, pending=True)
    file, known = reader.read(), reader.known
    warn_of_probabilities(file if known is None else replace(file, labels=None), DECLARE)
    if file.ids is None:
        raise InputError(f"{path}: expected `id`, which tells predictions apart, got none")
    if file.groups is not None and np.unique(file.groups).size < np.unique(file.ids).size:
        warn(f"{path}: groups have several ids; {words.ONE_OF_EACH}")
    loss = None if file.labels is None else file.loss
    if loss is not None and known is not None:
        loss = np.where(known, loss, np.nan)
    return monitor.update(file.ids, rejector.predict(file).accept, loss)


def _opened(path: Path, rejector: Rejector, given: dict[str, Any], may_begin: bool) -> Monitor:
    """Load the state, or begin a new one; what is tested cannot change."""
    given = {name: value for name, value in given.items() if value is not None}
    if not path.exists() and may_begin:
        return Monitor(rejector, **given)
    monitor = Monitor.load(path, rejector)
    for name, value in given.items():
        if value != (held := getattr(monitor.terms, name)):
            option = name.replace("_", "-")
            raise InputError(
                f"{path}: expected --{option} {held}, as in the first run, got {value}"
            )
    return monitor


def _show(v: Verdict, updates: dict[str, Update]) -> None:
    for name, update in updates.items():
        terminal.say(words.news(name, update))
    for line in words.summary(v):
        terminal.say(line)
    terminal.table(words.TESTS, words.tests(v))
