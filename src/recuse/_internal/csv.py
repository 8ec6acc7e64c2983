"""CSV tables: a header, and rows of as many cells; errors name the line."""

from __future__ import annotations

import csv
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from recuse.errors import InputError


@contextmanager
def csv_lines(path: Path) -> Generator[Any]:
    """Open the lines of a .csv, which know their number as `line_num`."""
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            yield csv.reader(file, strict=True)
    except (csv.Error, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read as csv in UTF-8 ({error})") from error


def csv_rows(path: Path, lines: Any, width: int) -> Iterator[list[str]]:
    """Yield rows of the right number of cells; blank lines are skipped."""
    for cells in lines:
        if len(cells) == width:
            yield cells
        elif cells:
            raise InputError(
                f"{path}: line {lines.line_num}: expected {width} cells, got {len(cells)}"
            )
