"""What is told of rows, besides their ids and decisions.

b = rows that come together, r = some of them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from recuse._internal.check import check_zero_one, to_numpy
from recuse.errors import InputError
from recuse.io._arrays import as_column
from recuse.io._checked import check_names
from recuse.monitor._e_process import UNKNOWN

if TYPE_CHECKING:
    from jaxtyping import Bool, Int, Shaped
    from numpy import ndarray as Array
    from numpy.typing import ArrayLike

NO_TIME = np.iinfo(np.int64).min  # as NaT


class About(NamedTuple):
    """Columns that may be there; an empty text where a row is not told."""

    groups: Shaped[Array, " b"] | None = None
    subgroups: Shaped[Array, " b"] | None = None
    times: Int[Array, " b"] | None = None  # seconds since 1970, or `NO_TIME`


NOTHING = About()


def check_ids(ids: ArrayLike, n: int | None = None, where: str = "`ids`") -> Array:
    """Ids, or other names, of shape (b,), integers or strings."""
    x = as_column(ids)
    size = len(np.atleast_1d(x)) if n is None else n
    return check_names(x.astype(np.int64) if x.size == 0 else x, size, where)


def losses_of(loss: ArrayLike | None, n: int) -> Int[Array, " b"]:
    """0, 1, or `UNKNOWN` for NaN and None."""
    if loss is None:
        return np.full(n, UNKNOWN)
    try:
        l = to_numpy(loss).astype(np.float64)
    except (TypeError, ValueError):
        raise InputError("expected `loss` of numbers, NaN or None") from None
    if l.shape != (n,):
        raise InputError(f"expected `loss` of shape ({n},), got {l.shape}")
    known = ~np.isnan(l)
    check_zero_one(np.where(known, l, 0), what="the monitor")
    return np.where(known, l, UNKNOWN).astype(np.int64)


def times_of(times: ArrayLike, n: int) -> Int[Array, " b"]:
    """Seconds since 1970, or `NO_TIME`."""
    try:
        found = np.asarray(as_column(times), "datetime64[s]")
    except (TypeError, ValueError) as error:
        raise InputError(f"expected `times` of ISO dates, got {error}") from None
    if found.shape != (n,):
        raise InputError(f"expected `times` of shape ({n},), got {found.shape}")
    return found.astype(np.int64)


def iso(seconds: int) -> str:
    """Return a time as text; of midnight, the date alone.

    >>> iso(86_400), iso(86_401)
    ('1970-01-02', '1970-01-02T00:00:01')
    """
    return str(np.datetime64(seconds, "s")).removesuffix("T00:00:00")


def at(names: Shaped[Array, " b"] | None, rows: Int[Array, " r"]) -> Shaped[Array, " r"]:
    """Return what is told of some rows."""
    return np.full(rows.size, "") if names is None else names[rows]


def missing(names: Shaped[Array, " b"] | None, rows: Int[Array, " r"]) -> Bool[Array, " r"]:
    """Return which of some rows are not told."""
    return at(names, rows).astype(str) == ""
