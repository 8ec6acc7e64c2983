"""Tune and calibrate splits, in the form that fitting needs.

n = rows, K = classes, ... = any trailing axes (pixels), N = predictions, u = groups of them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from recuse._internal.check import check_labels, check_logits
from recuse.io import LogitsFile
from recuse.io._checked import check_file
from recuse.io._overlap import fingerprints

if TYPE_CHECKING:
    from jaxtyping import Int, Shaped
    from numpy import ndarray as Array

Data = tuple[Any, Any] | LogitsFile  # logits and labels


def as_file(data: Data, name: str) -> LogitsFile:
    """One row a prediction, whichever way the data came."""
    return whole(data, name).predictions()


def whole(data: Data, name: str) -> LogitsFile:
    """The rows as they came, checked, with labels."""
    if isinstance(data, (tuple, list)) and len(data) == 2:
        z = check_logits(data[0], where=f"{name} logits")
        return LogitsFile(z, check_labels(data[1], z, where=f"{name} labels"), name=name)
    file = check_file(data, name)
    file.labelled()
    return file


def rows_of_predictions(file: LogitsFile) -> Int[Array, " N"]:
    """The row of the file that each of its `predictions` comes from."""
    row = np.arange(len(file))
    if file.labels is None:
        return row
    row = spread(row, file.labels.shape)
    return row.reshape(-1) if file.ignore_index is None else row[file.labels != file.ignore_index]


def spread(of_row: Shaped[Array, " n"], shape: tuple[int, ...]) -> Shaped[Array, "n ..."]:
    """What each row has, for each of its pixels."""
    return np.broadcast_to(of_row.reshape(-1, *[1] * (len(shape) - 1)), shape)


def one_of_each(file: LogitsFile, seed: int) -> LogitsFile:
    """One random row of each group; which one does not depend on the order of the rows."""
    return file.rows(index_of_one(file, seed))


def index_of_one(file: LogitsFile, seed: int) -> Int[Array, " u"]:
    """The rows that `one_of_each` keeps."""
    if file.groups is None:
        return np.arange(len(file))
    code = np.unique(file.groups, return_inverse=True)[1].reshape(-1)
    names = () if file.ids is None else (file.ids,)
    order = np.lexsort((fingerprints(file), *names, code))
    start = np.flatnonzero(np.diff(code[order], prepend=-1))
    size = np.diff(np.r_[start, code.size])
    pick = start + np.floor(np.random.default_rng(seed).uniform(size=size.size) * size).astype(int)
    return order[pick]
