"""Tables: bank marketing, online shoppers, or any file of separated values with a header.

| part | rows |
|---|---|
| test | 80 %, as in the published experiments |
| train, tune, calibrate | 10, 5 and 5 % |

The public code of the ICLR version trains on 20 % and tests on 80 %; one half of these 20 % is held
out here. Columns of numbers are standardised and columns of words become one column for each word,
both as the training rows say: a word that they lack is zeros, a number that is constant there is 0.
A column is one of numbers if all its values are; one of numbers with a few others among them (`NA`)
is refused, unless it is named as one of words. Spaces around a value do not count.

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
NAMED = 5  # classes that a message shows
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
    """A column of a table from the others.

    Args:
        path: Text with a header, separated by commas or semicolons.
        seed: Of the split.
        target: The column to predict.
        drop: Columns to leave out.
        words: Columns of numbers that are names, such as codes.
        shares: Of the rows in train, tune and calibrate; the test part has the others.
        classes: How many different targets there have to be; two or more by default.

    Returns:
        Rows whose ids are their places in the file, from 0.

    Raises:
        InputError: The file or a column is missing, a row has another length, a target is empty,
            too few rows, other classes, a column of numbers with others among them.
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
        raise InputError(f"{path}: expected rows enough for each part, got {n}")
    used = {name: column for name, column in columns.items() if name not in drop}
    for name in used.keys() - set(words):
        _check_numbers(used[name], f"{path}: expected numbers in {name}")
    coded = [encoded(c, rows[0], words=name in words) for name, c in used.items()]
    x = torch.tensor(np.concatenate(coded, axis=1), dtype=torch.float32)
    parts = [Part(Rows(x[i], torch.from_numpy(y[i])), i) for i in rows]
    return Parts(*parts, classes=len(names), names=tuple(map(str, names)))


def read(path: Path) -> dict[str, Column]:
    """The columns of a file as words."""
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
    """Numbers standardised, words one-hot, by the training rows alone.

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
    """The column as finite numbers, if it is one of them."""
    value = np.array([_number(cell) for cell in column])
    return value if np.isfinite(value).all() else None


def _number(cell: str) -> float:
    """NaN where it is none."""
    try:
        return float(cell)
    except ValueError:
        return np.nan


def _check_numbers(column: Column, expected: str) -> None:
    """Refuse a few other values among numbers, which would make names of all of them."""
    other = ~np.isfinite([_number(cell) for cell in column])
    if 0 < other.sum() < len(column) / 2:
        row = int(other.argmax())
        raise InputError(f"{expected}, got {str(column[row])!r} in row {row + 1}")


def _file(folder: Path | str | None, names: Sequence[str], source: str) -> Path:
    """The first of the files that the folder, or `tabular` in it, holds; or the file itself."""
    expected = " or ".join(names)
    folder = home(folder, "tabular", expected=expected, source=source)
    if folder.is_file():
        return folder
    there = [folder / name for name in names if (folder / name).is_file()]
    return found((there or [folder / names[0]])[0], expected=expected, source=source)
