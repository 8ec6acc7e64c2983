"""State of a monitor: its terms, its ledger of predictions, and the file that holds both.

n = predictions known, b = ids looked up together.

The file is a JSON object in which long columns are packed. An id that is a whole number of at
most 18 digits is its own key; any other is represented by 63 bits of its BLAKE2 digest, so two of
ten million different texts share a key with probability 5e-6.
"""

from __future__ import annotations

import base64
import math
import zlib
from collections.abc import Mapping
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from recuse._internal.check import check_delta, check_fraction
from recuse._internal.files import checksum, strict
from recuse.bounds._binomial import limits
from recuse.errors import InputError
from recuse.monitor._e_process import LIFTS
from recuse.monitor._verdict import Counts
from recuse.rejector import ALL, BY, CLASS, SUBGROUP, Rejector
from recuse.selectors import Guarantee
from recuse.selectors._guarantee import ACCEPTED, ALL_PREDICTIONS, GROUPS, ROWS
from recuse.selectors._methods import POINTS, THRESHOLDS

if TYPE_CHECKING:
    from jaxtyping import Int, UInt64
    from numpy import ndarray as Array

RISK, MORE, FEWER = "risk", "more accepted", "fewer accepted"  # the three tests
SHARES = {RISK: 1 / 2, MORE: 1 / 8, FEWER: 1 / 8}  # of delta; the rest is for `rate_limits`
OF_SUBGROUPS = 1 / 2  # of the share of the risk, where subgroups are tested
WINDOW = 100  # predictions within which the rows of a group count
FROM_TUNE = {"fixed_sequence": THRESHOLDS, "band": POINTS}  # thresholds fixed on the tuning split

FORMAT, VERSION = "recuse.monitor", 3
ORDERS = ("prediction", "arrival")
COUNTS = ("n", "accepted", "labelled", "errors")

PENDING, ABSTAINED, RIGHT, WRONG, NEW = 0, -1, -2, -3, -4  # >= 0: position of a pending label
DIGITS = 18
TEXT = 1 << 63  # the bit that distinguishes digests from numbers


class Tested(NamedTuple):
    """A subgroup of the rejector: its target, and its counts in the calibration split."""

    name: int | str
    target_risk: float
    n: int
    accepted: int  # 0: nothing is ever accepted, and there is nothing to test
    errors: float

    @property
    def counts(self) -> Counts:
        """Counts, all of them labelled."""
        return Counts(self.n, self.accepted, self.accepted, self.errors)


class Terms(NamedTuple):
    """What is tested, fixed before the first prediction."""

    rejector: str  # its digest
    target_risk: float
    delta: float
    order: str  # one of `ORDERS`
    calibrate_n: int
    calibrate_accepted: int
    log_tried: float  # log of the number of thresholds (or sets of them) that were candidates
    by: str = ALL  # or "class", "subgroup": the rejector has a guarantee for each
    void: bool = False  # whether the guarantee is void
    independent: bool = False  # rows count as independent, whatever groups there are
    window: int = WINDOW  # predictions, from the first row of a group on, in which its rows count
    calibrate_errors: float | None = None  # of the accepted; None: not known
    of_groups: bool = False  # the guarantee counts groups
    rules: tuple[Tested, ...] = ()  # of the rejector's classes or subgroups
    misses: bool = False  # whether the rejector limits misses, which no test watches
    guaranteed: str = RISK  # kind of its guarantee; "all": of accepted errors among all predictions


TERMS = dict(zip(Terms._fields, (str, float, float, str, int, int, float, str, bool)))
FIELDS: dict[str, type] = {
    "format": str,
    "version": int,
    **TERMS,
    **dict.fromkeys(COUNTS, int),
    "e_processes": dict,
    "ids": str,  # differences of the sorted keys, uint64
    "known": str,  # for each id, int8: PENDING, ABSTAINED, RIGHT or WRONG
    "pending": str,  # positions of pending labels among the accepted, int64
}
# Fields of version 3, and their values in the states of earlier ones
LATER: dict[str, Any] = {
    **{name: Terms._field_defaults[name] for name in Terms._fields[len(TERMS) :]},
    "unit": None,  # "rows" or "groups", from the first prediction on
    "subgroups": None,  # names, in the order of their numbers, where they are tested
    "units": None,  # the evidence of `Units`, in place of the e-processes
    "first_time": None,  # of a prediction, in seconds since 1970
    "last_time": None,  # of a row
    "recent": [],  # counts of the last predictions
    "alarmed": {},  # alarm -> predictions, and the last time, when it was first seen
    "earlier": [],  # what is kept of the states of earlier rejectors
}
E_PROCESS: dict[str, type] = {
    "n": int,
    "at": int,
    "log": list,
    "best": float,
    "size": int,
    "errors": str,
}


def terms_of(
    rejector: Rejector,
    target_risk: float | None,
    delta: float,
    order: str,
    independent: bool = False,
    window: int = WINDOW,
) -> Terms:
    """Terms for a rejector, checked."""
    digest = digest_of(rejector)
    each: list[Any] = [rule.guarantee for rule in rejector.rules]
    if not all(isinstance(getattr(g, "errors", 0), int) for g in each):
        raise InputError(OF_LOSSES)
    target = target_of(rejector) if target_risk is None else target_risk
    known = all(hasattr(g, "errors") for g in each)
    return check_terms(
        Terms(
            digest,
            target,
            delta,
            order,
            sum(g.n for g in each),
            sum(g.accepted for g in each),
            log_tried(rejector),
            rejector.by,
            rejector.guarantee.void,
            independent,
            window,
            float(sum(g.errors for g in each)) if known else None,
            each[0].unit == GROUPS,
            () if rejector.by == ALL else _tested(rejector, target_risk),
            bool(rejector.misses),
            each[0].kind if _among(each[0]) == ACCEPTED else ALL_PREDICTIONS,
        )
    )


def _tested(rejector: Rejector, target_risk: float | None) -> tuple[Tested, ...]:
    """Subgroups of a rejector, each with its own target unless one is given."""
    names = rejector.class_names if rejector.by == CLASS else None
    found = []
    for k, rule in enumerate(rejector.rules):
        name: Any = rule.subgroup if names is None else names[k]
        g: Any = rule.guarantee
        target = g.target_risk if target_risk is None else target_risk
        found.append(Tested(name, float(target), g.n, g.accepted, float(g.errors)))
    return tuple(found)


def check_terms(terms: Terms) -> Terms:
    """Return the terms, or raise if the tests make no sense with them."""
    if not 0 <= terms.log_tried < math.inf:
        raise InputError(f"expected `log_tried` >= 0, got {terms.log_tried}")
    if terms.order not in ORDERS:
        raise InputError(f"expected `order` {' or '.join(ORDERS)}, got {terms.order!r}")
    if terms.by not in BY:
        raise InputError(f"expected `by` {', '.join(BY)}, got {terms.by!r}")
    if not (type(terms.window) is int and terms.window > 0):
        raise InputError(f"expected `window` of predictions, an integer > 0, got {terms.window!r}")
    return terms._replace(
        target_risk=check_fraction(terms.target_risk, "target_risk"),
        delta=check_delta(terms.delta),
    )


def rate_limits(terms: Terms) -> tuple[float, float]:
    """Confidence limits of the acceptance rate for data like the calibration split.

    They are exact at each threshold (or set of thresholds, one for each subgroup) that was tried,
    with Bonferroni over all of them. So they hold at the chosen one, however it was chosen.

    >>> terms = Terms("", 0.05, 0.05, "prediction", 2000, 1600, math.log(100))
    >>> low, high = rate_limits(terms)
    >>> round(low, 3), round(high, 3)
    (0.764, 0.833)
    """
    level = terms.delta * (1 - sum(SHARES.values()))
    level *= math.exp(-terms.log_tried)
    return limits(terms.calibrate_accepted, terms.calibrate_n, level)


def log_tried(rejector: Rejector) -> float:
    """Log of the number of thresholds among which the calibration split chose.

    Each subgroup chooses for itself, with "no threshold" as one more choice, so the numbers of
    all subgroups multiply. Costs choose on the tuning split alone. Where it also chose the score,
    the thresholds have the share of the level that this has of delta: they count 1 / share times.
    """
    guarantees = [rule.guarantee for rule in rejector.rules if rule.guarantee.n]
    if guarantees[0].kind in ("cost", "mean_cost"):
        return 0.0
    scores = -math.log(getattr(guarantees[0], "share", 1.0))
    if rejector.by == ALL:
        return math.log(_tried(guarantees[0])) + scores
    return sum(math.log(_tried_alone(guarantee) + 1) for guarantee in guarantees) + scores


def _tried(guarantee: Any) -> int:
    """Number of thresholds; that of the rows where their confidences are the thresholds."""
    if not isinstance(guarantee, Guarantee):
        return guarantee.n
    return FROM_TUNE.get(guarantee.method, guarantee.n)


def _tried_alone(guarantee: Any) -> int:
    """The same for a subgroup: without tuning rows, "band" tries its calibration confidences."""
    return max(_tried(guarantee), guarantee.n if guarantee.method == "band" else 0)


OF_LOSSES = (
    "expected a rejector of right and wrong predictions: this one limits a mean loss, which no "
    "test watches; collect outcomes and evaluate it on them by `recuse predict`"
)
OTHERS = {
    **{"coverage": "a coverage", "cost": "a cost", "misses": "a share of misses"},
    "mean_cost": "a mean cost, which no test watches: with a target, the error rate of accepted "
    "predictions and the share accepted are watched",
}


def target_of(rejector: Rejector) -> float:
    """Target risk of the guarantee, where it is about accepted predictions.

    Of several, the largest: what is guaranteed for each subgroup keeps it for all together.
    """
    each: list[Any] = [rule.guarantee for rule in rejector.rules]
    for guarantee in each:
        if _among(guarantee) != ACCEPTED:
            raise InputError(
                "expected a target risk of accepted predictions to test: the guarantee of this "
                "rejector is for the share of all predictions that are accepted and wrong; give one"
            )
        if guarantee.kind != "risk":
            raise InputError(
                "expected a target risk to test: the guarantee of this rejector is for "
                f"{OTHERS[guarantee.kind]}"
            )
    return max(guarantee.target_risk for guarantee in each)


def _among(guarantee: Any) -> str:
    """Return of which predictions a target is a share."""
    return getattr(guarantee, "among", ACCEPTED)


def digest_of(rejector: Rejector) -> str:
    """Digest of all that decides: the score, the thresholds, and what they were calibrated on."""
    if not isinstance(rejector, Rejector):
        raise InputError(
            "expected a Rejector, which `recuse.fit` and `Rejector.load` return, got "
            f"{type(rejector).__name__}"
        )
    rules = [
        [rule.subgroup, float(rule.threshold).hex(), rule.guarantee.n, rule.guarantee.accepted]
        for rule in rejector.rules
    ]
    names = {"classes": rejector.classes, "kind": rejector.kind, "by": rejector.by}
    return checksum({"score": rejector.score.to_dict(), "rules": rules, **names})


def keys_of(ids: Array) -> UInt64[Array, " b"]:
    """Return a key for each id; a number and its decimal text are the same id.

    >>> bool(keys_of(np.array([17]))[0] == keys_of(np.array(["17"]))[0])
    True
    """
    if ids.dtype.kind in "iu" and ids.size and ids.min() >= 0 and ids.max() < 10**DIGITS:
        return ids.astype(np.uint64)
    return np.fromiter(map(_key, ids.astype(str).tolist()), np.uint64, ids.size)


def _key(text: str) -> int:
    if text.isascii() and text.isdecimal() and len(text) <= DIGITS and str(int(text)) == text:
        return int(text)
    hashed = blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(hashed) | TEXT


class Ledger:
    """Map from keys to outcomes, 16 bytes an entry.

    It consists of sorted runs, each at least twice as long as the next. A lookup takes
    O(log^2 n), and n entries take O(n log^2 n) to add, in batches of any size.
    """

    def __init__(self) -> None:
        self._runs: list[tuple[Array, Array]] = []

    def __len__(self) -> int:
        return sum(keys.size for keys, _ in self._runs)

    def get(self, keys: UInt64[Array, " b"]) -> Int[Array, " b"]:
        """Return the outcome of each key; `NEW` where there is none."""
        out = np.full(keys.size, NEW, np.int64)
        for (_, values), (hit, at) in zip(self._runs, self._find(keys)):
            out[hit] = values[at]
        return out

    def set(self, keys: UInt64[Array, " b"], values: Int[Array, " b"]) -> None:
        """Replace the outcomes of known keys."""
        for (_, held), (hit, at) in zip(self._runs, self._find(keys)):
            held[at] = values[hit]

    def add(self, keys: UInt64[Array, " b"], values: Int[Array, " b"]) -> None:
        """Add new keys, each once."""
        if not keys.size:
            return
        self._runs.append(_sorted(keys, values))
        while len(self._runs) > 1 and self._runs[-2][0].size < 2 * self._runs[-1][0].size:
            self._merge()

    def whole(self) -> tuple[UInt64[Array, " n"], Int[Array, " n"]]:
        """Return all keys in order, and the outcome of each."""
        while len(self._runs) > 1:
            self._merge()
        return self._runs[0] if self._runs else (np.empty(0, np.uint64), np.empty(0, np.int64))

    def _merge(self) -> None:
        (a, x), (b, y) = self._runs.pop(), self._runs.pop()
        self._runs.append(_sorted(np.concatenate([a, b]), np.concatenate([x, y])))

    def _find(self, keys: Array) -> list[tuple[Array, Array]]:
        """For each run, which of the keys it holds, and where in the run."""
        found = []
        for held, _ in self._runs:
            at = np.minimum(np.searchsorted(held, keys), held.size - 1)
            hit = np.flatnonzero(held[at] == keys)
            found.append((hit, at[hit]))
        return found


def _sorted(keys: Array, values: Array) -> tuple[Array, Array]:
    order = np.argsort(keys, kind="stable")
    return keys[order], values[order]


def read_form(data: Any) -> dict[str, Any]:
    """Check the fields of a state and its checksum; return it in the form of this version."""
    if not isinstance(data, Mapping) or data.get("format") != FORMAT:
        raise InputError(f'expected "format": "{FORMAT}"')
    version = data.get("version")
    if version not in (1, 2, VERSION):
        raise InputError(f"expected version {VERSION}, got {version!r}")
    names = {"e_processes": "tracks"} if version == 1 else {}
    fields = {names.get(k, k): v for k, v in FIELDS.items()} | {"checksum": str}
    if version == VERSION:
        fields |= _types_of_later(data)
    strict(data, fields, "a state")
    if data["checksum"] != checksum({k: v for k, v in data.items() if k != "checksum"}):
        raise InputError("its content was changed after it was saved (checksum differs)")
    later = {name: data.get(name, value) for name, value in LATER.items()}
    data = {name: data[names.get(name, name)] for name in FIELDS} | later
    if version == 1 and data["by"] == "group":
        data["by"] = SUBGROUP
    data["rules"] = tuple(Tested(*rule) for rule in data["rules"])
    if data["units"] is None:
        data["unit"] = ROWS if data["n"] else data["unit"]
        _check_e_processes(data)
    elif not data["errors"] <= data["labelled"] <= data["accepted"] <= data["n"]:
        raise InputError("expected counts errors <= labelled <= accepted <= n")
    return data


def _types_of_later(data: Mapping[str, Any]) -> dict[str, type]:
    """Return the types of the later fields; those that may be null as they are."""
    found: dict[str, type] = dict(
        zip(LATER, (bool, int, float, bool, list, bool, str, str, list, dict, int, int))
    )
    found |= {"recent": list, "alarmed": dict, "earlier": list}
    null = [name for name, value in LATER.items() if value is None and data.get(name) is None]
    return found | dict.fromkeys(null, type(None))


def _check_e_processes(data: Mapping[str, Any]) -> None:
    """The e-processes must have the lengths that the counts say."""
    found = data["e_processes"]
    strict(found, dict.fromkeys((RISK, MORE, FEWER), dict), "`e_processes`")
    for name, e in found.items():
        strict(e, E_PROCESS, f"e-process {name!r}")
        if len(e["log"]) != len(LIFTS) or not 0 <= e["at"] <= e["n"]:
            raise InputError(f"expected {len(LIFTS)} bets and 0 <= at <= n in e-process {name!r}")
    n, accepted, labelled, errors = (data[name] for name in COUNTS)
    if not 0 <= errors <= labelled <= accepted <= n:
        raise InputError("expected counts errors <= labelled <= accepted <= n")
    lengths = {RISK: accepted if data["order"] == "prediction" else labelled, MORE: n, FEWER: n}
    for name, e in found.items():
        if e["n"] != lengths[name]:
            expected = f"{lengths[name]} losses in e-process {name!r}"
            raise InputError(f"expected {expected}, got {e['n']}")


def pack(column: Array) -> str:
    """Write a column of integers as text: little-endian, compressed, base64."""
    raw = np.ascontiguousarray(column, column.dtype.newbyteorder("<")).tobytes()
    return base64.b64encode(zlib.compress(raw, 6)).decode("ascii")


def unpack(text: str, dtype: type, size: int) -> Array:
    """Invert `pack`, for a column of known length."""
    little = np.dtype(dtype).newbyteorder("<")
    room = size * little.itemsize
    raw = zlib.decompressobj().decompress(base64.b64decode(text, validate=True), room + 1)
    if len(raw) != room:
        raise InputError(f"expected a column of {size} numbers, got another length")
    return np.frombuffer(raw, little).astype(dtype)


def _check_known(data: Mapping[str, Any], held: Int[Array, " n"]) -> None:
    """The outcomes of the ids must agree with the counts."""
    counted = [(held != ABSTAINED).sum(), (held < ABSTAINED).sum(), (held == WRONG).sum()]
    for name, count in zip(COUNTS[1:], counted):
        if data[name] != count:
            raise InputError(f"expected {count} {name}, as the ids say, got {data[name]}")


def unpack_errors(e: Mapping[str, Any]) -> Int[Array, " u"]:
    """Positions of the errors in the part of an e-process that is not settled."""
    errors = unpack(e["errors"], np.int64, e["size"])
    places = np.r_[e["at"] - 1, errors, e["n"]]
    if (np.diff(places) <= 0).any():
        raise InputError("expected errors in order, in the part that is not settled")
    return errors


def pack_ids(keys: UInt64[Array, " n"], held: Int[Array, " n"]) -> dict[str, str]:
    """Write the content of a ledger as the fields `ids`, `known` and `pending`."""
    return {
        "ids": pack(np.diff(keys, prepend=np.uint64(0))),
        "known": pack(np.minimum(held, PENDING).astype(np.int8)),
        "pending": pack(held[held >= PENDING]),
    }


def unpack_ids(data: Mapping[str, Any]) -> tuple[UInt64[Array, " n"], Int[Array, " n"]]:
    """Invert `pack_ids`."""
    steps = unpack(data["ids"], np.uint64, data["n"])
    held = unpack(data["known"], np.int8, data["n"]).astype(np.int64)
    pending = held == PENDING
    held[pending] = unpack(data["pending"], np.int64, int(pending.sum()))
    most = max(data["accepted"], 1) if data["units"] is None else np.iinfo(np.int64).max
    if (steps[1:] == 0).any() or (held < WRONG).any() or (held >= most).any():
        raise InputError("expected ids that differ, each with a place or an outcome")
    _check_known(data, held)
    return np.cumsum(steps, dtype=np.uint64), held
