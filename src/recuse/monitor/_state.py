"""The form of a monitor's state: a JSON object, of which long columns are packed.

n = predictions.
"""

from __future__ import annotations

import base64
import math
import zlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from recuse._internal.check import check_delta, check_fraction
from recuse._internal.strict import checksum, strict
from recuse.errors import InputError
from recuse.monitor._ledger import ABSTAINED, PENDING, WRONG
from recuse.monitor._verdict import FEWER, MORE, RISK
from recuse.monitor._wealth import LIFTS
from recuse.rejector import ALL, BY

if TYPE_CHECKING:
    from jaxtyping import Int, UInt64
    from numpy import ndarray as Array

FORMAT, VERSION = "recuse.monitor", 1
ORDERS = ("prediction", "arrival")
COUNTS = ("n", "accepted", "labelled", "errors")


class Terms(NamedTuple):
    """What is tested, fixed before the first prediction."""

    rejector: str  # its digest
    target_risk: float
    delta: float
    order: str  # one of `ORDERS`
    calibrate_n: int
    calibrate_accepted: int
    log_tried: float  # logarithm of the number of thresholds (or sets of them) it chose from
    by: str = ALL  # or "class", "subgroup": whose guarantees of their own are tested together
    void: bool = False  # whether the rejector promises nothing


TERMS = dict(zip(Terms._fields, (str, float, float, str, int, int, float, str, bool)))
FIELDS: dict[str, type] = {
    "format": str,
    "version": int,
    **TERMS,
    **dict.fromkeys(COUNTS, int),
    "tracks": dict,
    "ids": str,  # differences of the keys in order, uint64
    "known": str,  # of each, int8: PENDING, ABSTAINED, RIGHT or WRONG
    "pending": str,  # positions of the pending ones among the accepted, int64
}
TRACK: dict[str, type] = {
    "n": int,
    "at": int,
    "log": list,
    "best": float,
    "size": int,
    "errors": str,
}


def check_terms(terms: Terms) -> Terms:
    """Terms of which the tests make sense."""
    if not 0 <= terms.log_tried < math.inf:
        raise InputError(f"expected `log_tried` >= 0, got {terms.log_tried}")
    if terms.order not in ORDERS:
        raise InputError(f"expected `order` {' or '.join(ORDERS)}, got {terms.order!r}")
    if terms.by not in BY:
        raise InputError(f"expected `by` {', '.join(BY)}, got {terms.by!r}")
    return terms._replace(
        target_risk=check_fraction(terms.target_risk, "target_risk"),
        delta=check_delta(terms.delta),
    )


def check_form(data: Any) -> None:
    """An error unless the data has the fields of a state and was not changed since."""
    if not isinstance(data, Mapping) or data.get("format") != FORMAT:
        raise InputError(f'expected "format": "{FORMAT}"')
    if data.get("version") != VERSION:
        raise InputError(f"expected version {VERSION}, got {data.get('version')!r}")
    strict(data, {**FIELDS, "checksum": str}, "a state")
    if data["checksum"] != checksum({k: data[k] for k in FIELDS}):
        raise InputError("its content was changed after it was saved (checksum differs)")
    strict(data["tracks"], dict.fromkeys((RISK, MORE, FEWER), dict), "`tracks`")
    for name, track in data["tracks"].items():
        strict(track, TRACK, f"track {name!r}")
        if len(track["log"]) != len(LIFTS) or not 0 <= track["at"] <= track["n"]:
            raise InputError(f"expected {len(LIFTS)} bets and 0 <= at <= n in track {name!r}")
    n, accepted, labelled, errors = (data[name] for name in COUNTS)
    if not 0 <= errors <= labelled <= accepted <= n:
        raise InputError("expected counts errors <= labelled <= accepted <= n")
    lengths = {RISK: accepted if data["order"] == "prediction" else labelled, MORE: n, FEWER: n}
    for name, track in data["tracks"].items():
        if track["n"] != lengths[name]:
            raise InputError(f"expected {lengths[name]} losses in track {name!r}, got {track['n']}")


def pack(column: Array) -> str:
    """A column of integers as text: little-endian, compressed, base64."""
    raw = np.ascontiguousarray(column, column.dtype.newbyteorder("<")).tobytes()
    return base64.b64encode(zlib.compress(raw, 6)).decode("ascii")


def unpack(text: str, dtype: type, size: int) -> Array:
    """The inverse of `pack`, of a column of known length."""
    little = np.dtype(dtype).newbyteorder("<")
    room = size * little.itemsize
    raw = zlib.decompressobj().decompress(base64.b64decode(text, validate=True), room + 1)
    if len(raw) != room:
        raise InputError(f"expected a column of {size} numbers, got another length")
    return np.frombuffer(raw, little).astype(dtype)


def _check_known(data: Mapping[str, Any], held: Int[Array, " n"]) -> None:
    """What is known of each id must be what was counted."""
    counted = [(held != ABSTAINED).sum(), (held < ABSTAINED).sum(), (held == WRONG).sum()]
    for name, count in zip(COUNTS[1:], counted):
        if data[name] != count:
            raise InputError(f"expected {count} {name}, as the ids say, got {data[name]}")


def unpack_errors(track: Mapping[str, Any]) -> Int[Array, " u"]:
    """The places of a track's errors behind the settled ones."""
    errors = unpack(track["errors"], np.int64, track["size"])
    places = np.r_[track["at"] - 1, errors, track["n"]]
    if (np.diff(places) <= 0).any():
        raise InputError("expected errors in order, in the part that is not settled")
    return errors


def pack_ids(keys: UInt64[Array, " n"], held: Int[Array, " n"]) -> dict[str, str]:
    """What a ledger holds, as the fields `ids`, `known` and `pending`."""
    return {
        "ids": pack(np.diff(keys, prepend=np.uint64(0))),
        "known": pack(np.minimum(held, PENDING).astype(np.int8)),
        "pending": pack(held[held >= PENDING]),
    }


def unpack_ids(data: Mapping[str, Any]) -> tuple[UInt64[Array, " n"], Int[Array, " n"]]:
    """The inverse of `pack_ids`."""
    steps = unpack(data["ids"], np.uint64, data["n"])
    held = unpack(data["known"], np.int8, data["n"]).astype(np.int64)
    pending = held == PENDING
    held[pending] = unpack(data["pending"], np.int64, int(pending.sum()))
    if (steps[1:] == 0).any() or (held < WRONG).any() or (held >= max(data["accepted"], 1)).any():
        raise InputError("expected ids that differ, each with a place or an outcome")
    _check_known(data, held)
    return np.cumsum(steps, dtype=np.uint64), held
