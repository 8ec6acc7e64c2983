"""Logs of predictions and labels: .csv files of `id` and `accept`, `correct` or `truth`.

Columns that may be there besides: `group`, of rows that depend on each other; the subgroup; `time`.

b = rows of a part. `recuse predict` writes such a log.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from recuse._internal.files import csv_lines, csv_rows
from recuse.errors import DataWarning, InputError
from recuse.io._arrays import WORDS
from recuse.io._rows import of_classes
from recuse.io._tables import GROUPS, OF_CONFIDENCES
from recuse.monitor._about import NO_TIME, About
from recuse.monitor._e_process import UNKNOWN
from recuse.monitor._monitor import Monitor
from recuse.monitor._verdict import Update
from recuse.present.monitor import NO_DATES, ONE_OF_EACH
from recuse.rejector import CLASS
from recuse.selectors._guarantee import ROWS

if TYPE_CHECKING:
    from jaxtyping import Int, Shaped
    from numpy import ndarray as Array

ROWS_OF_PART = 1 << 16
ROWS_OF_DATES = 200  # a look after each of them tells the date of an alarm
OUTCOMES = WORDS | {"": UNKNOWN}
COLUMNS = ("id", "accept", "correct", "truth", "prediction")
TIME, SUBGROUP = "time", "subgroup"  # columns


class Part(NamedTuple):
    """Consecutive rows of a log."""

    ids: Shaped[Array, " b"]
    accept: Int[Array, " b"]  # 1, 0 or UNKNOWN
    loss: Int[Array, " b"]  # likewise
    lines: list[int]
    about: About


class Reading(NamedTuple):
    """Columns of a log that are read besides."""

    group: str | None = None
    by: str | None = None  # the subgroup
    time: str | None = None
    warns: bool = False  # of groups, which the monitor does not count


class Predicted(NamedTuple):
    """Predictions to compare labels with, and how both name the classes."""

    of: Mapping[str, str] = {}  # id -> prediction, of all logs
    names: Sequence[str] = ()  # of classes, which stand for their numbers


ALONE = Predicted()  # labels are compared within their own row


PLAIN = Reading()


def replay(
    monitor: Monitor,
    path: str | os.PathLike,
    predicted: Predicted = ALONE,
    by: str | None = None,
) -> Update:
    """Log the rows of a .csv file in order; rows that are already known change nothing.

    Args:
        monitor: Receives the rows in parts; after an error, load its state again.
        path: A .csv with the columns `id` and `accept`, `correct`, `truth` or several of these.
            `accept` and `correct` are true or false, 1 or 0; `truth` is the label, and right where
            it equals the `prediction` of the same row, or of the same id in `predicted`. Cells may
            be empty where nothing is known (yet). `group` is that of dependent rows, `time` an ISO
            date. Other columns, and spaces around cells, are ignored: the order is that of the
            rows, whatever their times.
        predicted: What `read_predictions` found in all logs.
        by: The column of subgroups; by default `prediction` for a rejector with thresholds by
            class, and `subgroup` otherwise.

    Raises:
        InputError: One line that names the file, the line, and what was expected.

    Warns:
        DataWarning: A column `group` has one value for several ids, but the state began without
            groups; or a `time` is no ISO date.
    """
    path, total = Path(path), Update(0, 0, 0)
    for part in parts(path, predicted, _reading(monitor, _header(path), by, path)):

        def where(row: int, lines: list[int] = part.lines) -> str:
            return f"{path}: line {lines[row]}"

        found = monitor._apply(part.ids, part.accept, part.loss, where, part.about)
        total = Update(*(a + b for a, b in zip(total, found)))
    return total


def _reading(monitor: Monitor, names: Sequence[str], by: str | None, path: Path) -> Reading:
    """Return the columns to read: those that the state has, or begins with."""
    group = next((name for name in GROUPS if name in names), None)
    began, independent = monitor._unit is not None, monitor.terms.independent
    counts = not independent and monitor._unit != ROWS
    if by is not None and by.strip().lower() not in names and "accept" in names:
        raise InputError(f"{path}: expected the column {by!r} of subgroups, got {', '.join(names)}")
    of_class = monitor.terms.by == CLASS and by is None
    wanted = "prediction" if of_class else SUBGROUP if by is None else by.strip().lower()
    tested = not began or monitor._names is not None
    if monitor.terms.order == "arrival":  # not tested, and refused where they are asked for
        tested = by is not None
    return Reading(
        group if counts else None,
        wanted if tested and wanted in names else None,
        TIME if TIME in names else None,
        warns=group is not None and not counts and not independent,
    )


def decides(path: Path, kind: str) -> bool:
    """Return whether a file has confidences for a rejector of these to decide on, not decisions."""
    if of_classes(kind):
        return False
    if path.suffix != ".csv":
        return True
    with csv_lines(path) as lines:
        names = [name.strip().lower() for name in next(lines, [])]
    return "accept" not in names and any(OF_CONFIDENCES.fullmatch(name) for name in names)


def read_predictions(paths: Sequence[Path], names: Sequence[str] = ()) -> Predicted:
    """Return the prediction of each id in these logs, if one of them needs it for its `truth`.

    Raises:
        InputError: An id with two predictions, or as `replay`.
    """
    headers = {path: _header(path) for path in paths}
    if not any("truth" in h and "prediction" not in h for h in headers.values()):
        return Predicted(names=names)
    found: dict[str, str] = {}
    for path in (path for path, header in headers.items() if "prediction" in header):
        with csv_lines(path) as lines:
            header = _names(path, next(lines, []))
            place, column = header.index("id"), header.index("prediction")
            for cells in csv_rows(path, lines, len(header)):
                name, value = cells[place].strip(), cells[column].strip()
                if value and found.setdefault(name, value) != value:
                    raise InputError(
                        f"{path}: line {lines.line_num}: expected one prediction for each id, "
                        f"got {value!r} after {found[name]!r} for {name!r}"
                    )
    return Predicted(found, names)


def parts(path: Path, predicted: Predicted = ALONE, reading: Reading = PLAIN) -> Iterator[Part]:
    """Yield the rows of a log, each checked."""
    rows_each = ROWS_OF_DATES if reading.time else ROWS_OF_PART
    with csv_lines(path) as lines:
        rows = _parsed(path, lines, predicted, reading)
        while part := list(islice(rows, rows_each)):
            ids, accept, loss, numbers, group, by, time = zip(*part)
            about = About(
                np.array(group) if reading.group else None,
                np.array(by) if reading.by else None,
                np.array(time, np.int64) if reading.time else None,
            )
            yield Part(np.array(ids), np.array(accept), np.array(loss), list(numbers), about)


def _parsed(path: Path, lines: Any, predicted: Predicted, reading: Reading) -> Iterator[tuple]:
    """Yield id, accept, loss, line number, group, subgroup and time of each row."""
    names = _names(path, next(lines, []))
    at = {name: names.index(name) for name in COLUMNS if name in names}
    cell = _cell_of(names)
    group, by, time = cell(reading.group), cell(reading.by), cell(reading.time)
    dated, once = _dates(), _warn_of_groups(path, lines, cell, names) if reading.warns else None
    for cells in csv_rows(path, lines, len(names)):
        row = {name: cells[place].strip() for name, place in at.items()}
        where = f"{path}: line {lines.line_num}"
        if not row["id"]:
            raise InputError(f"{where}: expected an `id`, got none")
        if once is not None:
            once(cells, row["id"])
        try:
            a, right = _outcome(row.get("accept", "")), _outcome(row.get("correct", ""))
            if row.get("truth"):
                right = _compared(row, right, predicted)
        except InputError as error:
            raise InputError(f"{where}: {error}") from None
        loss = UNKNOWN if right == UNKNOWN else 1 - right
        yield row["id"], a, loss, lines.line_num, group(cells), by(cells), dated(time(cells), where)


def _cell_of(names: Sequence[str]) -> Callable[[str | None], Callable[[Sequence[str]], str]]:
    """Return a function from a column to one from the cells of a row to that of the column."""

    def cell(name: str | None) -> Callable[[Sequence[str]], str]:
        if name is None:
            return lambda cells: ""
        place = names.index(name)
        return lambda cells: cells[place].strip()

    return cell


def _dates() -> Callable[[str, str], int]:
    """Return a function from an ISO date to seconds; without dates after the first that is none."""
    read = True

    def seconds(text: str, where: str) -> int:
        nonlocal read
        if not text or not read:
            return NO_TIME
        try:
            found = datetime.fromisoformat(text)
        except ValueError:
            warnings.warn(NO_DATES.format(where, text), DataWarning, stacklevel=2)
            read = False
            return NO_TIME
        return int((found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp() // 1)

    return seconds


def _warn_of_groups(path: Path, lines: Any, cell: Callable, names: Sequence[str]) -> Callable:
    """Return a function that warns once where a group has several ids."""
    of, first = cell(next(name for name in GROUPS if name in names)), {}

    def look(cells: Sequence[str], id: str) -> None:
        unit = of(cells)
        if unit and first.setdefault(unit, id) != id and None not in first:
            text = f"{path}: line {lines.line_num}: group {unit!r} has several ids; {ONE_OF_EACH}"
            warnings.warn(text, DataWarning, stacklevel=2)
            first[None] = ""

    return look


def _header(path: Path) -> list[str]:
    with csv_lines(path) as lines:
        return _names(path, next(lines, []))


def _names(path: Path, header: list[str]) -> list[str]:
    names = [name.strip().lower() for name in header]
    used = [name for name in names if name in COLUMNS]
    told = {*used} - {"id", "prediction"}
    if "id" not in used or not told or len({*used}) < len(used):
        raise InputError(
            f"{path}: expected columns `id` and `accept`, `correct`, `truth` or several, each "
            f"once, got {', '.join(names) or 'none'}"
        )
    return names


def _outcome(text: str) -> int:
    try:
        return OUTCOMES[text.lower()]
    except KeyError:
        raise InputError(f"expected 1 or 0, true or false, or nothing, got {text!r}") from None


def _compared(row: Mapping[str, str], right: int, predicted: Predicted) -> int:
    """Return 1 if the label of a row is its prediction, 0 if not."""
    prediction = row.get("prediction") or predicted.of.get(row["id"])
    if prediction is None:
        raise InputError(
            f"expected the prediction of {row['id']!r}, to compare its `truth` with, in this log "
            "or another one of this run: give the table of `recuse predict`, too"
        )
    found, label = (_class(text, predicted.names) for text in (prediction, row["truth"]))
    if isinstance(found, int) != isinstance(label, int):
        raise InputError(
            "expected `truth` and `prediction` both as numbers of classes or both as names, got "
            f"{row['truth']!r} and {prediction!r}: name the classes by --classes"
        )
    same = int(found == label)
    if right not in (UNKNOWN, same):
        raise InputError(
            f"expected `correct` of whether `truth` is the prediction, got {row['correct']!r} for "
            f"{row['truth']!r} and {prediction!r}"
        )
    return same


def _class(text: str, names: Sequence[str]) -> int | str:
    """Return the number of a class, or its name where there are no names to find it in."""
    number = text[:-2] if text.endswith(".0") else text  # a column with blanks, by pandas
    for name in (text, number):
        if name in names:
            return list(names).index(name)
    if number.isdecimal() and (not names or int(number) < len(names)):
        return int(number)
    if names:
        raise InputError(f"expected a class of --classes, or its number, got {text!r}")
    return text
