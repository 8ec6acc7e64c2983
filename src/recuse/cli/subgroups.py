"""`--by`: a guarantee for each predicted class, or for each subgroup of a .csv.

n = rows of a logits file. `groups` in a logits file are dependent rows, never subgroups.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from recuse._internal.csv import csv_lines, csv_rows
from recuse.errors import InputError
from recuse.io import LogitsFile
from recuse.present import terminal
from recuse.present.numbers import percent, points
from recuse.rejector import CLASS
from recuse.selectors import SubgroupRow

if TYPE_CHECKING:
    from jaxtyping import Shaped
    from numpy import ndarray as Array

LIMITS = {"coverage, 95 %": "95 %", "risk, 95 %": "95 %"}
ERRORS = ("errors", "risk", "risk, 95 %", "of all")
HELP = "class, for the predicted class, or a .csv of id and subgroup: each gets its own threshold."


def populations(by: str | None, *files: LogitsFile) -> Any:
    """What `recuse.fit` takes as `subgroups`: "class", or the subgroups of each file's rows."""
    if by is None or by == CLASS:
        return by
    subgroup_of = read_subgroups(Path(by), expected="class, or a .csv of id and subgroup")
    return tuple(joined(subgroup_of, file, by) for file in files)


def read_subgroups(path: Path, expected: str = "a .csv of id and subgroup") -> dict[str, str]:
    """The subgroup of each id, from a .csv with the header `id,<name>`."""
    try:
        with csv_lines(path) as lines:
            return _parsed(path, lines)
    except OSError as error:
        raise InputError(f"{path}: expected {expected}, got {error.strerror}") from error


def _parsed(path: Path, lines: Any) -> dict[str, str]:
    header = next(lines, [])
    if len(header) != 2 or header[0].strip().lower() != "id":
        raise InputError(f"{path}: expected the header id,<name>, got {','.join(header) or 'none'}")
    found: dict[str, str] = {}
    for name, subgroup in csv_rows(path, lines, 2):
        if not (name and subgroup):
            raise InputError(
                f"{path}: line {lines.line_num}: expected an id and a subgroup, got none"
            )
        if found.setdefault(name, subgroup) != subgroup:
            raise InputError(
                f"{path}: line {lines.line_num}: expected one subgroup for each id, "
                f"got {subgroup!r} after {found[name]!r} for {name!r}"
            )
    return found


def joined(subgroup_of: Mapping[str, str], file: LogitsFile, path: str) -> Shaped[Array, " n"]:
    """The subgroup of every row, by its id."""
    if file.ids is None:
        raise InputError(
            f"{file.name}: expected `ids` to find the subgroups of {path} by, got none"
        )
    names, index = np.unique(file.ids.astype(str), return_inverse=True)
    if missing := [name for name in names.tolist() if name not in subgroup_of]:
        raise InputError(
            f"{path}: expected a subgroup for each id of {file.name}, got none for {missing[0]!r}"
            + (f" and {len(missing) - 1:,} more" if len(missing) > 1 else "")
        )
    return np.array([subgroup_of[name] for name in names.tolist()])[index.reshape(-1)]


def tell_table(
    rows: Sequence[SubgroupRow],
    by: str,
    names: Array | None = None,
    *,
    judged: bool = True,
    intervals: bool = True,
) -> None:
    """Who is accepted: a row for all and for each subgroup, in 80 columns.

    Without labels no errors (`judged`); no `intervals` where rows depend on each other, or where
    they chose the thresholds, and then the number of accepted in their place.
    """
    cells = [_cells(row, names) for row in rows]
    left_out = {*(() if judged else ERRORS), *(("accepted",) if intervals else LIMITS)}
    kept = [name for name in cells[0] if name not in left_out]
    header = [by, *(LIMITS.get(k, k) for k in kept[1:])]
    terminal.table(header, ([row[k] for k in kept] for row in cells))


def _cells(row: SubgroupRow, names: Array | None) -> dict[str, str]:
    none = row.risk is None
    return {
        "subgroup": "all" if row.subgroup is None else name_of(row.subgroup, names),
        "n": f"{row.n:,}",
        "accepted": f"{row.accepted:,}",
        "coverage": percent(row.coverage, 1),
        "coverage, 95 %": _interval(row.coverage_interval),
        "errors": f"{row.errors:,}",
        "risk": "-" if none else percent(row.risk or 0.0, 1),
        "risk, 95 %": "-" if none else _interval(row.risk_interval),
        "of all": percent(row.error_rate, 1),
    }


def name_of(subgroup: Any, names: Array | None) -> str:
    """A subgroup, or a class by its name."""
    return str(subgroup) if names is None else str(names[subgroup])


def _interval(limits: tuple[float, float]) -> str:
    low, high = map(points, limits)
    return f"{low}-{high}"
