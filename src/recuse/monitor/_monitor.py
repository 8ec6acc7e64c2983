"""The monitor: predictions and labels in, alarms out.

b = rows that come together.

The level delta is split: half for the risk; a quarter for the two tests of the acceptance rate;
a quarter for the limits of that rate, which the calibrate split only estimates.
"""

from __future__ import annotations

import json
import math
import os
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from recuse._internal.check import check_zero_one, first, to_numpy
from recuse._internal.files import to_json, write_text
from recuse._internal.public import public
from recuse._internal.strict import checksum, once
from recuse.bounds import clopper_pearson_lower, clopper_pearson_upper
from recuse.errors import InputError
from recuse.io import check_names
from recuse.monitor._ledger import ABSTAINED, NEW, PENDING, RIGHT, WRONG, Ledger, keys_of
from recuse.monitor._state import (
    COUNTS,
    FORMAT,
    VERSION,
    Terms,
    check_form,
    check_terms,
    pack,
    pack_ids,
    unpack_errors,
    unpack_ids,
)
from recuse.monitor._track import UNKNOWN, Track
from recuse.monitor._verdict import FEWER, MORE, RISK, Verdict
from recuse.monitor._wealth import Wealth, risk_interval
from recuse.rejector import ALL, Rejector
from recuse.rejector._rejector import NAMED
from recuse.selectors import Guarantee
from recuse.selectors._methods import POINTS, THRESHOLDS

if TYPE_CHECKING:
    from jaxtyping import Int, UInt64
    from numpy import ndarray as Array
    from numpy.typing import ArrayLike

SHARES = {RISK: 1 / 2, MORE: 1 / 8, FEWER: 1 / 8}  # of delta; the rest is for `rate_limits`

FROM_TUNE = {"fixed_sequence": THRESHOLDS, "band": POINTS}  # thresholds that the tune split fixed
NEVER = "an id that was predicted before", "without `accept`"
ACCEPT = "ids that differ between predictions", "accepted in one row and not in another"
LOSS = "ids that differ between predictions", "right in one row and wrong in another"

Where = Callable[[int], str]  # row -> its name in a message


class Update(NamedTuple):
    """What rows brought; a row that told nothing new is in none but the first."""

    rows: int
    predictions: int  # seen for the first time
    labels: int  # of accepted predictions, likewise


@public
class Monitor:
    """Sequential tests of a deployed rejector, of which no look costs anything.

    Log each prediction when it is made, in that order, and each label when it comes: late, out
    of order, or never. If every accepted prediction, given all before it, is wrong with
    probability <= target_risk, and the inputs are like the calibrate split, an alarm at any time
    has probability <= delta.

    With `order="prediction"`, the tests are valid however delays depend on the losses; pending
    labels count as right. With `order="arrival"` pending ones do not count, and the test of the
    risk is valid only if neither whether nor when a label comes depends on the loss, as in an
    audit of predictions drawn at random.

    The state holds every id ever logged, so that rows may come twice: 16 bytes each in memory;
    in the file at most 13 for a text, and less than one for running numbers.

    Args:
        rejector: The deployed one; `Monitor.load` refuses a state of another. Of thresholds for
            each class or group, the risk of all accepted predictions together is tested.
        target_risk: What is tested; the rejector's target by default. One that promises a
            coverage or a cost has none.
        delta: Probability that there is ever a false alarm, of all tests together, in (0, 0.5).
        order: "prediction" or "arrival".

    References:
        Ville 1939; Waudby-Smith & Ramdas, JRSS B 2024; docs/how-to/monitor.md.

    >>> from recuse import fit
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> labels = rng.integers(0, 3, 3000)
    >>> logits = 3 * np.eye(3)[labels] + rng.normal(size=(3000, 3))
    >>> half = slice(0, 1500), slice(1500, 3000)
    >>> tune, calibrate = ((logits[s], labels[s]) for s in half)
    >>> monitor = Monitor(fit(tune, calibrate, target_risk=0.05, learned=False))
    >>> monitor.update(["a", "b", "c"], [True, True, False])
    Update(rows=3, predictions=3, labels=0)
    >>> monitor.label(["b"], [0]), monitor.alarm, monitor.verdict.pending
    (Update(rows=1, predictions=0, labels=1), False, 1)
    """

    def __init__(
        self,
        rejector: Rejector,
        *,
        target_risk: float | None = None,
        delta: float = 0.05,
        order: str = "prediction",
    ):
        target = target_of(rejector) if target_risk is None else target_risk
        counts = rejector.guarantee.n, rejector.guarantee.accepted
        tried = log_tried(rejector)
        void, digest = rejector.guarantee.void, digest_of(rejector)
        terms = Terms(digest, target, delta, order, *counts, tried, rejector.by, void)
        self._begin(check_terms(terms))

    def _begin(self, terms: Terms) -> None:
        self.terms = terms
        self._limits = rate_limits(terms)
        self._ledger = Ledger()
        self._tracks = {name: Track(rate) for name, rate in self._rates().items()}
        self._accepted = self._labelled = self._wrong = 0

    def update(self, ids: ArrayLike, accept: ArrayLike, loss: ArrayLike | None = None) -> Update:
        """Log predictions, and labels where they are known; all rows or, on an error, none.

        A row that repeats what is known changes nothing. The loss of an abstained prediction is
        not looked at.

        Args:
            ids: Shape (b,), integers or strings, one for each prediction ever made.
            accept: Shape (b,), booleans.
            loss: Shape (b,), 1 for wrong, 0 for right, NaN or None for not known yet.

        Raises:
            InputError: Malformed, or a row contradicts what is known of its id.
        """
        ids = check_ids(ids)
        a = to_numpy(accept)
        if a.shape != ids.shape or a.dtype.kind != "b":
            raise InputError(f"expected `accept` of booleans {ids.shape}, got {a.dtype} {a.shape}")
        return self._apply(ids, a.astype(np.int64), _losses(loss, ids.size), _row)

    def label(self, ids: ArrayLike, loss: ArrayLike) -> Update:
        """Log labels of predictions that are known, as in `update`."""
        ids = check_ids(ids)
        nothing = np.full(ids.size, UNKNOWN)
        return self._apply(ids, nothing, _losses(loss, ids.size), _row)

    @property
    def alarm(self) -> bool:
        """Whether there is an alarm; `verdict` says which and what to do."""
        return bool(self._evidence()[2])

    @property
    def verdict(self) -> Verdict:
        """Counts, evidence and advice."""
        log_e, limit, alarms = self._evidence()
        n = self._tracks[RISK].n
        return Verdict(
            alarms=alarms,
            n=len(self._ledger),
            accepted=self._accepted,
            labelled=self._labelled,
            errors=self._wrong,
            target_risk=self.terms.target_risk,
            delta=self.terms.delta,
            order=self.terms.order,
            by=self.terms.by,
            void=self.terms.void,
            interval=risk_interval(self._wrong, n - self._labelled, n, self.terms.delta),
            calibrate=self._limits,
            log_e=log_e,
            limit=limit,
        )

    def __str__(self) -> str:
        return str(self.verdict)

    def to_dict(self) -> dict[str, Any]:
        """Plain data, as in the file."""
        keys, held = self._ledger.whole()
        body = {
            "format": FORMAT,
            "version": VERSION,
            **self.terms._replace(by=NAMED.get(self.terms.by, self.terms.by))._asdict(),
            **dict(zip(COUNTS, (len(keys), self._accepted, self._labelled, self._wrong))),
            "tracks": {name: _track_to_dict(track) for name, track in self._tracks.items()},
            **pack_ids(keys, held),
        }
        return {**body, "checksum": checksum(body)}

    def save(self, path: str | os.PathLike) -> None:
        """Write the state as JSON, whole or not at all."""
        write_text(path, to_json(self.to_dict()) + "\n")

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Monitor:
        """The inverse of `to_dict`; strict."""
        check_form(data)
        monitor = cls.__new__(cls)
        terms = Terms(*(data[name] for name in Terms._fields))
        by = next((here for here, there in NAMED.items() if there == terms.by), terms.by)
        monitor._begin(check_terms(terms._replace(by=by)))
        _, monitor._accepted, monitor._labelled, monitor._wrong = (data[name] for name in COUNTS)
        keys, held = unpack_ids(data)
        pending = held[held >= PENDING]
        monitor._ledger.add(keys, held)
        unknown = {RISK: pending} if data["order"] == "prediction" else {}
        monitor._tracks = {
            name: _track_from_dict(data["tracks"][name], rate, unknown.get(name))
            for name, rate in monitor._rates().items()
        }
        return monitor

    @classmethod
    def load(cls, path: str | os.PathLike, rejector: Rejector | None = None) -> Monitor:
        """Read what `save` wrote; anything else, or a file changed by hand, is refused.

        Args:
            path: The state.
            rejector: If given, the state must be of this one.

        Raises:
            InputError: One line that names the file and what is wrong with it.
        """
        path = Path(path)
        try:
            text = path.read_text(encoding="utf-8")
            monitor = cls.from_dict(json.loads(text, object_pairs_hook=once))
        except InputError as error:
            raise InputError(f"{path}: {error}") from error
        except (OSError, ValueError, TypeError, KeyError, RecursionError, zlib.error) as error:
            missing = isinstance(error, FileNotFoundError)
            detail = "no such file" if missing else "another or a damaged file"
            raise InputError(f"{path}: expected the state of a monitor, got {detail}") from error
        if rejector is not None and digest_of(rejector) != monitor.terms.rejector:
            raise InputError(f"{path}: expected the state of this rejector, got that of another")
        return monitor

    def _evidence(self) -> tuple[dict[str, float], dict[str, float], tuple[str, ...]]:
        """Log e-values, the e-values that are alarms, and the alarms."""
        log_e = {name: track.log_e for name, track in self._tracks.items()}
        limit = {name: 1 / (share * self.terms.delta) for name, share in SHARES.items()}
        return log_e, limit, tuple(k for k in log_e if log_e[k] >= math.log(limit[k]))

    def _rates(self) -> dict[str, float]:
        low, high = self._limits
        return {RISK: self.terms.target_risk, MORE: high, FEWER: 1 - low}

    def _apply(self, ids: Array, accept: Array, loss: Array, where: Where) -> Update:
        """Log rows; `accept` and `loss` are 0, 1 or `UNKNOWN`. Nothing changes on an error."""
        rows = self._checked(ids, accept, loss, where)
        new = rows.order[rows.held[rows.order] == NEW]
        self._bet(rows, new)
        value = np.select([rows.known == 0, rows.known == 1], [RIGHT, WRONG], rows.held)
        self._ledger.add(rows.keys[new], value[new])
        self._ledger.set(rows.keys[rows.fresh], value[rows.fresh])
        self._accepted += int(rows.accepted[new].sum())
        self._labelled += rows.fresh.size
        self._wrong += int(rows.known[rows.fresh].sum())
        return Update(ids.size, new.size, rows.fresh.size)

    def _checked(self, ids: Array, accept: Array, loss: Array, where: Where) -> _Rows:
        """What the rows tell of each id, beside what is known; an error if that cannot be."""
        keys, start, row = np.unique(keys_of(ids), return_index=True, return_inverse=True)
        held = self._ledger.get(keys)
        accepted = np.where(held == NEW, accept[start], held != ABSTAINED)
        _refuse(start[accepted == UNKNOWN], ids, where, NEVER)
        differs = (accept != UNKNOWN) & (accept != accepted[row])
        _refuse(np.flatnonzero(differs), ids, where, ACCEPT)
        loss = np.where(accepted[row] == 1, loss, UNKNOWN)
        known = np.select([held == RIGHT, held == WRONG], [0, 1], UNKNOWN)
        labelled = np.flatnonzero((loss != UNKNOWN) & (known[row] == UNKNOWN))
        fresh, first_label = np.unique(row[labelled], return_index=True)
        came = labelled[first_label]
        known[fresh] = loss[came]
        _refuse(np.flatnonzero((loss != UNKNOWN) & (loss != known[row])), ids, where, LOSS)
        return _Rows(keys, held, accepted, known, np.argsort(start), fresh, came)

    def _bet(self, rows: _Rows, new: Array) -> None:
        """Show the tests what is new; `rows.held` of new ids becomes what the ledger keeps."""
        accepted, known = rows.accepted[new], rows.known
        self._tracks[MORE].append(accepted)
        self._tracks[FEWER].append(1 - accepted)
        risk, bets = self._tracks[RISK], new[accepted == 1]
        late = rows.fresh[rows.held[rows.fresh] >= PENDING]
        rows.held[new] = ABSTAINED
        if self.terms.order == "prediction":
            risk.settle(rows.held[late], known[late])
            rows.held[bets] = risk.append(known[bets])
        else:
            rows.held[bets] = PENDING
            risk.append(known[rows.fresh[np.argsort(rows.came)]])


class _Rows(NamedTuple):
    """Rows that agree, by id; u = ids among them, f = those labelled for the first time."""

    keys: UInt64[Array, " u"]
    held: Int[Array, " u"]  # what the ledger keeps
    accepted: Int[Array, " u"]  # 0 or 1
    known: Int[Array, " u"]  # the loss, or UNKNOWN
    order: Int[Array, " u"]  # ids by their first row
    fresh: Int[Array, " f"]
    came: Int[Array, " f"]  # the row of the first label


def _refuse(rows: Array, ids: Array, where: Where, problem: tuple[str, str]) -> None:
    """An error that names the first of the rows."""
    if rows.size:
        at, (expected, got) = int(rows.min()), problem
        raise InputError(f"{where(at)}: expected {expected}, got {str(ids[at])!r} {got}")


def _track_to_dict(track: Track) -> dict[str, Any]:
    wealth, errors = track.folded()
    return {"n": track.n, **wealth._asdict(), "size": errors.size, "errors": pack(errors)}


def _track_from_dict(data: Mapping[str, Any], rate: float, unknown: Array | None) -> Track:
    log = tuple(-math.inf if x is None else float(x) for x in data["log"])
    wealth = Wealth(data["at"], log, float(data["best"]))
    return Track(rate, wealth, data["n"], unpack_errors(data), unknown)


def rate_limits(terms: Terms) -> tuple[float, float]:
    """Limits of the acceptance rate for data like the calibrate split.

    Exact at each of the thresholds (or sets of them, one for each group) that were tried, hence
    at the one that was chosen, by Bonferroni: a choice among them by their errors does no harm.

    >>> terms = Terms("", 0.05, 0.05, "prediction", 2000, 1600, math.log(100))
    >>> low, high = rate_limits(terms)
    >>> round(low, 3), round(high, 3)
    (0.764, 0.833)
    """
    level = terms.delta * (1 - sum(SHARES.values()))
    level *= math.exp(-terms.log_tried)
    counts = terms.calibrate_accepted, terms.calibrate_n, level / 2
    return float(clopper_pearson_lower(*counts)), float(clopper_pearson_upper(*counts))


def log_tried(rejector: Rejector) -> float:
    """From how many thresholds the deployed ones were chosen on calibrate, in logarithm.

    Each group chose for itself, none being one more choice, so that the numbers of all groups
    multiply; a cost chooses on tune alone.
    """
    guarantees = [rule.guarantee for rule in rejector.rules if rule.guarantee.n]
    if guarantees[0].kind == "cost":
        return 0.0
    if rejector.by == ALL:
        return math.log(_tried(guarantees[0]))
    return sum(
        math.log(max(_tried(guarantee), guarantee.n * _ranks(guarantee)) + 1)
        for guarantee in guarantees
    )


def _tried(guarantee: Any) -> int:
    """Thresholds between the calibrate confidences themselves are as many as examples."""
    if not isinstance(guarantee, Guarantee):
        return guarantee.n
    return FROM_TUNE.get(guarantee.method, guarantee.n)


def _ranks(guarantee: Any) -> bool:
    """Whether a group may have had no tune rows, and thresholds of its own."""
    return guarantee.method == "band"


def target_of(rejector: Rejector) -> float:
    """The target risk of its promise."""
    kind = rejector.rules[0].guarantee.kind
    if kind != "risk":
        raise InputError(f"expected a target risk to test: the rejector promises a {kind}")
    return rejector.guarantee.target_risk


def digest_of(rejector: Rejector) -> str:
    """What a state knows its rejector by."""
    return rejector.to_dict()["checksum"]


def check_ids(ids: ArrayLike) -> Array:
    """Ids of shape (b,), integers or strings."""
    x = to_numpy(ids)
    return check_names(x.astype(np.int64) if x.size == 0 else x, len(np.atleast_1d(x)), "`ids`")


def _losses(loss: ArrayLike | None, n: int) -> Int[Array, " b"]:
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


def _row(i: int) -> str:
    return first(np.arange(i + 1) == i)
