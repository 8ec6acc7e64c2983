"""Do two splits share examples? By ids, by groups, or else by identical rows.

n = rows of a file.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from recuse.io import LogitsFile

if TYPE_CHECKING:
    from numpy import ndarray as Array

SHARED_ROWS = 0.01  # of the smaller split that may also stand in the other, beyond chance
HASH_FACTOR = np.uint64(0x9E3779B97F4A7C15)  # odd: multiplication loses nothing
CHANCE = 5  # standard deviations of the number of rows that agree by chance


def overlap(a: LogitsFile, b: LogitsFile) -> str | None:
    """What two splits have in common, in words; None if they look disjoint."""
    if a.digest == b.digest:
        return "the same data twice"
    keys = [
        (name, getattr(a, name), getattr(b, name))
        for name in ("ids", "groups")
        if getattr(a, name) is not None and getattr(b, name) is not None
    ]
    for name, x, y in keys:
        both = np.intersect1d(x, y)
        if both.size:
            return f"{both.size} {name} in both, such as {both[0]}"
    if keys:
        return None
    return _shared_rows(fingerprints(a), fingerprints(b))


def _shared_rows(a: Array, b: Array) -> str | None:
    """Rows in both files, beyond those that agree by chance as often as inside each file."""
    code = np.unique(np.r_[a, b], return_inverse=True)[1].reshape(-1)
    x, y = (np.bincount(c, minlength=code.max() + 1) * 1.0 for c in np.split(code, [a.size]))
    pairs = a.size * (a.size - 1) + b.size * (b.size - 1)
    chance = (x @ (x - 1) + y @ (y - 1)) / max(pairs, 1) * a.size * b.size
    excess = x @ y - chance
    if excess <= SHARED_ROWS * min(a.size, b.size) + CHANCE * np.sqrt(chance):
        return None
    return f"{excess:,.0f} identical rows in both"


def fingerprints(file: LogitsFile) -> Array:
    """A hash of the logits and label of each row: equal rows have equal ones in any file."""
    out = np.zeros(len(file), np.uint64)
    for column in (*file.logits.T, *([] if file.labels is None else [file.labels])):
        bits = (column.astype(np.float64) + 0.0).view(np.uint64)
        out = (out ^ bits ^ (bits >> 32)) * HASH_FACTOR
        out ^= out >> 29
    return out
