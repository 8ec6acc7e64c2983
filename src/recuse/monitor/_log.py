"""Logs of predictions and labels: .csv files of `id` and `accept`, `correct` or both.

b = rows of a part. `recuse predict` writes such a log.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from recuse._internal.files import csv_lines, csv_rows
from recuse.errors import InputError
from recuse.io._confidences import EXPECTED, WORDS
from recuse.monitor._e_process import UNKNOWN
from recuse.monitor._monitor import Monitor, Update

if TYPE_CHECKING:
    from jaxtyping import Int, Shaped
    from numpy import ndarray as Array

ROWS = 1 << 16  # of a part
OUTCOMES = {word: int(value) for word, value in WORDS.items()} | {"": UNKNOWN}


class Part(NamedTuple):
    """Consecutive rows of a log."""

    ids: Shaped[Array, " b"]
    accept: Int[Array, " b"]  # 1, 0 or UNKNOWN
    loss: Int[Array, " b"]  # likewise
    lines: list[int]


def replay(monitor: Monitor, path: str | os.PathLike) -> Update:
    """Log the rows of a .csv file in order; rows that are already known change nothing.

    Args:
        monitor: Receives the rows in parts; after an error, load its state again.
        path: A .csv with the columns `id` and `accept`, `correct` or both. Each cell is true or
            false, 1 or 0, or empty where it is not known (yet). Other columns and spaces around
            cells are ignored.

    Raises:
        InputError: One line that names the file, the line, and what was expected.
    """
    path, total = Path(path), Update(0, 0, 0)
    for part in parts(path):

        def where(row: int, lines: list[int] = part.lines) -> str:
            return f"{path}: line {lines[row]}"

        found = monitor._apply(part.ids, part.accept, part.loss, where)
        total = Update(*(a + b for a, b in zip(total, found)))
    return total


def parts(path: Path) -> Iterator[Part]:
    """Yield the rows of a log, each checked."""
    with csv_lines(path) as lines:
        rows = _parsed(path, lines)
        while part := list(islice(rows, ROWS)):
            ids, accept, loss, numbers = zip(*part)
            yield Part(np.array(ids), np.array(accept), np.array(loss), list(numbers))


def _parsed(path: Path, lines: Any) -> Iterator[tuple[str, int, int, int]]:
    """Yield id, accept, loss and line number of each row."""
    names = _names(path, next(lines, []))
    place = names.index("id")
    accept, correct = (names.index(k) if k in names else None for k in ("accept", "correct"))
    for cells in csv_rows(path, lines, len(names)):
        name = cells[place].strip()
        if not name:
            raise InputError(f"{path}: line {lines.line_num}: expected an `id`, got none")
        a = _outcome(cells, accept, path, lines)
        right = _outcome(cells, correct, path, lines)
        yield name, a, UNKNOWN if right == UNKNOWN else 1 - right, lines.line_num


def _names(path: Path, header: list[str]) -> list[str]:
    names = [name.strip().lower() for name in header]
    used = [name for name in names if name in ("id", "accept", "correct")]
    if "id" not in used or len(used) < 2 or len({*used}) < len(used):
        raise InputError(
            f"{path}: expected columns `id` and `accept`, `correct` or both, each once, "
            f"got {', '.join(names) or 'none'}"
        )
    return names


def _outcome(cells: list[str], place: int | None, path: Path, lines: Any) -> int:
    text = "" if place is None else cells[place]
    try:
        return OUTCOMES[text.strip().lower()]
    except KeyError:
        raise InputError(
            f"{path}: line {lines.line_num}: expected {EXPECTED['correct']}, or nothing, "
            f"got {text!r}"
        ) from None
