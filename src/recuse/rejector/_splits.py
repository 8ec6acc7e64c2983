"""Tune and calibrate splits, in the form that fitting needs.

n = rows, K = classes, ... = any trailing axes (pixels), N = predictions.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from recuse._check import check_labels, check_logits
from recuse.io import LogitsFile
from recuse.overlap import fingerprints

Data = tuple[Any, Any] | LogitsFile  # logits and labels


def as_file(data: Data, name: str) -> LogitsFile:
    """One row a prediction, whichever way the data came."""
    if not isinstance(data, LogitsFile):
        z = check_logits(data[0], where=f"{name} logits")
        data = LogitsFile(z, check_labels(data[1], z, where=f"{name} labels"), name=name)
    data.labelled()
    return data.predictions()


def one_of_each(file: LogitsFile, seed: int) -> LogitsFile:
    """One random row of each group; which one does not depend on the order of the rows."""
    if file.groups is None:
        return file
    code = np.unique(file.groups, return_inverse=True)[1].reshape(-1)
    names = () if file.ids is None else (file.ids,)
    order = np.lexsort((fingerprints(file), *names, code))
    start = np.flatnonzero(np.diff(code[order], prepend=-1))
    size = np.diff(np.r_[start, code.size])
    pick = start + np.floor(np.random.default_rng(seed).uniform(size=size.size) * size).astype(int)
    return file.rows(order[pick])
