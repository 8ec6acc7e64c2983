"""Tables: bank marketing, online shoppers, or any file of separated values with a header.

| part | rows |
|---|---|
| test | 80 %, as in the published experiments |
| train, tune, calibrate | 10, 5 and 5 % |

The public code of the ICLR version trains on 20 % and tests on 80 %; one half of the 20 % is held
out here. Numeric columns are standardised, and categorical columns are one-hot encoded, both by the
training rows: a category that they lack becomes zeros, a column that is constant there becomes 0.
A column is numeric if all its values are numbers. A column of numbers with a few other values
(`NA`) is refused, unless it is named as categorical. Spaces around a value are ignored.

    x (n, d) float32    y (n,), classes in the order of their sorted names

References:
    Moro, Cortez & Rita, Decision Support Systems 2014 (bank marketing); Sakar, Polat, Katircioglu
    & Kastro, Neural Computing and Applications 2019 (online shoppers).
"""

from __future__ import annotations

import csv
import io
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from recuse.errors import InputError
from recuse.recipes.data._parts import Part, Parts, Rows, found, home, split

if TYPE_CHECKING:
    from jaxtyping import Float64, Int64, Shaped

    Column = Shaped[np.ndarray, " n"]

SHARES = (0.1, 0.05, 0.05)  # of all rows: train, tune, calibrate
BANK = ("bank-full.csv", "bank-additional-full.csv")
SHOPPERS = ("online_shoppers_intention.csv",)
NAMED = 5  # classes shown in a message
UCI = "it is in the UCI machine learning repository, https://archive.ics.uci.edu/dataset"


def bank(folder: Path | str | None, seed: int = 0) -> Parts:
    """Does a client subscribe? `bank-full.csv` or `bank-additional-full.csv`, either separator.

    The column `duration` is left out: it is known only after the call.
    """
    path = _file(folder, BANK, f"{UCI}/222")
    return load(path, seed, target="y", drop=("duration",), classes=2)


def shoppers(folder: Path | str | None, seed: int = 0) -> Parts:
    """Does a visit end in a purchase? `online_shoppers_intention.csv`; its codes are words."""
    words = ("OperatingSystems", "Browser", "Region", "TrafficType")
    path = _file(folder, SHOPPERS, f"{UCI}/468")
    return load(path, seed, target="Revenue", words=words, classes=2)


def load(
    path: Path | str,
    seed: int = 0,
    *,
    target: str,
    drop: Collection[str] = (),
    words: Collection[str] = (),
    shares: Sequence[float] = SHARES,
    classes: int | None = None,
) -> Parts:
    """Load a table to predict one column from the others.

    Args:
        path: Text with a header, separated by commas or semicolons.
        seed: Seed of the split.
        target: The column to predict.
        drop: Columns to leave out.
        words: Numeric columns to treat as categorical, such as codes.
        shares: Shares of the rows to train, tune and calibrate; the rest is the test part.
        classes: Required number of classes; two or more by default.

    Returns:
        Rows whose ids are their positions in the file, from 0.

    Raises:
        InputError: The file or a column is missing, a row has another length, a target is empty,
            there are too few rows, the classes differ, or a numeric column has other values.
    """
    columns = read(Path(path))
    for name in (target, *drop, *words):
        if name not in columns:
            raise InputError(f"{path}: expected a column {name}, got {', '.join(columns)}")
    names, y = np.unique(columns.pop(target), return_inverse=True)
    if len(names) < 2 or "" in names:
        raise InputError(f"{path}: expected two or more classes in {target} and none empty")
    if classes is not None and len(names) != classes:
        shown = ", ".join(names[:NAMED])
        raise InputError(f"{path}: expected {classes} classes in {target}, got {shown}")
    n = len(y)
    rows = split(np.arange(n), [round(share * n) for share in shares], seed)
    if not all(map(len, rows)):
        raise InputError(f"{path}: expected enough rows for each part, got {n}")
    used = {name: column for name, column in columns.items() if name not in drop}
    for name in used.keys() - set(words):
        _check_numbers(used[name], f"{path}: expected numbers in {name}")
    coded = [encoded(c, rows[0], words=name in words) for name, c in used.items()]
    x = torch.tensor(np.concatenate(coded, axis=1), dtype=torch.float32)
    parts = [Part(Rows(x[i], torch.from_numpy(y[i])), i) for i in rows]
    return Parts(*parts, classes=len(names), names=tuple(map(str, names)))


def read(path: Path) -> dict[str, Column]:
    """Read the columns of a file as strings."""
    found(path, expected=f"a table at {path}", source="a file of separated values with a header")
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: expected a text file in UTF-8, got {error}") from error
    header = text.split("\n", 1)[0]
    separator = ";" if header.count(";") > header.count(",") else ","
    try:
        rows = csv.reader(io.StringIO(text), delimiter=separator)
        table = [[cell.strip() for cell in row] for row in rows if row]
    except csv.Error as error:
        raise InputError(f"{path}: expected separated values, got a {error}") from error
    for number, row in enumerate(table):
        if len(row) != len(table[0]):
            raise InputError(
                f"{path}: expected {len(table[0])} values, got {len(row)} in row {number}"
            )
    if len(table) < 2 or len(set(table[0])) != len(table[0]):
        raise InputError(f"{path}: expected a header of different names and rows below it")
    return dict(zip(table[0], np.array(table[1:]).T))


def encoded(
    column: Column, train: Int64[np.ndarray, " t"], *, words: bool = False
) -> Float64[np.ndarray, "n columns"]:
    """Standardise numbers or one-hot encode categories, by the training rows only.

    >>> encoded(np.array(["1", "3", "7"]), np.array([0, 1])).T
    array([[-1.,  1.,  5.]])
    >>> encoded(np.array(["a", "b", "c"]), np.array([0, 1])).T
    array([[1., 0., 0.],
           [0., 1., 0.]])
    """
    value = None if words else numbers(column)
    if value is None:
        return (column[:, None] == np.unique(column[train])).astype(np.float64)
    spread = value[train].std()
    return ((value - value[train].mean()) / (spread if spread > 0 else np.inf))[:, None]


def numbers(column: Column) -> Float64[np.ndarray, " n"] | None:
    """Return the column as finite numbers, or None if it is not numeric."""
    value = np.array([_number(cell) for cell in column])
    return value if np.isfinite(value).all() else None


def _number(cell: str) -> float:
    try:
        return float(cell)
    except ValueError:
        return np.nan


def _check_numbers(column: Column, expected: str) -> None:
    """Refuse a few other values among numbers, which would turn the column into categories."""
    other = ~np.isfinite([_number(cell) for cell in column])
    if 0 < other.sum() < len(column) / 2:
        row = int(other.argmax())
        raise InputError(f"{expected}, got {str(column[row])!r} in row {row + 1}")


def _file(folder: Path | str | None, names: Sequence[str], source: str) -> Path:
    """Return the first of these files in the folder or in `tabular`, or the file itself."""
    expected = " or ".join(names)
    folder = home(folder, "tabular", expected=expected, source=source)
    if folder.is_file():
        return folder
    there = [folder / name for name in names if (folder / name).is_file()]
    return found((there or [folder / names[0]])[0], expected=expected, source=source)
