"""The monitor: predictions and labels in, alarms out.

b = rows that come together.

The level delta is split: half for the risk, a quarter for the two tests of the acceptance rate,
and a quarter for the limits of that rate, which the calibration split only estimates.
"""

from __future__ import annotations

import json
import math
import os
import warnings
import zlib
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from recuse._internal import public
from recuse._internal.check import check_zero_one, first, to_numpy
from recuse._internal.files import checksum, once, to_json, write_text
from recuse.errors import DataWarning, InputError
from recuse.io._arrays import as_column
from recuse.io._checked import check_names
from recuse.monitor._e_process import UNKNOWN, EProcess, Wealth, risk_interval
from recuse.monitor._state import (
    ABSTAINED,
    COUNTS,
    FEWER,
    FORMAT,
    MORE,
    NEW,
    PENDING,
    RIGHT,
    RISK,
    SHARES,
    VERSION,
    WRONG,
    Ledger,
    Terms,
    check_terms,
    digest_of,
    keys_of,
    pack,
    pack_ids,
    rate_limits,
    read_form,
    terms_of,
    unpack_errors,
    unpack_ids,
)
from recuse.present import monitor as words
from recuse.rejector import Rejector
from recuse.selectors._guarantee import GROUPS

if TYPE_CHECKING:
    from jaxtyping import Int, UInt64
    from numpy import ndarray as Array
    from numpy.typing import ArrayLike

NEVER = "an id that was predicted before", "without `accept`"
ACCEPT = "ids that differ between predictions", "accepted in one row and not in another"
LOSS = "ids that differ between predictions", "right in one row and wrong in another"

Where = Callable[[int], str]  # row -> its name in a message


class Update(NamedTuple):
    """How much of some rows was new; a repeated row counts in the first field only."""

    rows: int
    predictions: int  # new ones
    labels: int  # new ones, of accepted predictions


@dataclass(frozen=True)
class Verdict:
    """Alarm or not, and the evidence. An alarm stays for this rejector and its state."""

    alarms: tuple[str, ...]  # among `RISK`, `MORE`, `FEWER`
    n: int  # predictions
    accepted: int
    labelled: int  # of the accepted
    errors: int  # wrong ones of the labelled
    target_risk: float
    delta: float  # of all tests together
    order: str  # "prediction" or "arrival"
    interval: tuple[float, float]  # of the mean risk, anytime-valid, at level 1 - delta
    # limits of the acceptance rate for data like the calibration split
    calibrate: tuple[float, float]
    log_e: dict[str, float]  # largest log e-value so far of each test
    limit: dict[str, float]  # e-value from which there is an alarm
    void: bool = False  # the guarantee is void: the splits share examples
    by: str = "all"  # or "class", "subgroup": whose guarantees are tested together

    @property
    def alarm(self) -> bool:
        """Whether any test rejects."""
        return bool(self.alarms)

    @property
    def pending(self) -> int:
        """Accepted predictions without a label."""
        return self.accepted - self.labelled

    @property
    def risk(self) -> float:
        """Error rate of the labelled; NaN if there are none."""
        return self.errors / self.labelled if self.labelled else math.nan

    @property
    def coverage(self) -> float:
        """Fraction accepted; NaN without predictions."""
        return self.accepted / self.n if self.n else math.nan

    @property
    def e_value(self) -> dict[str, float]:
        """E-value of each test, capped where a float ends."""
        return {name: math.exp(min(log, 700.0)) for name, log in self.log_e.items()}

    @property
    def advice(self) -> tuple[str, ...]:
        """What to do about each alarm."""
        return words.advice(self.alarms)

    @property
    def sentence(self) -> str:
        """The verdict in one line."""
        return words.sentence(self.alarms)

    @property
    def scope(self) -> str | None:
        """What the tests do not cover; None if they cover the guarantee."""
        return words.scope(void=self.void, by=self.by)

    def __str__(self) -> str:
        return " ".join((self.sentence, *self.advice, *([self.scope] if self.scope else [])))

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON, with NaN for undefined numbers."""
        names = ("alarm", "pending", "risk", "coverage", "e_value", "advice", "sentence", "scope")
        out = asdict(self) | {name: getattr(self, name) for name in names}
        return out if self.labelled else out | {"reason": words.NO_RISK}


@public
class Monitor:
    """Anytime-valid tests of a deployed rejector: look as often as you like.

    Log each prediction when it is made, in that order, and each label when it arrives: late, out
    of order, or never. If every accepted prediction, given all before it, is wrong with
    probability <= target_risk, and the inputs are like the calibration split, then there is ever
    an alarm with probability <= delta.

    With `order="prediction"`, the tests are valid however delays depend on the losses; pending
    labels count as right. With `order="arrival"`, pending labels do not count, and the test of
    the risk is valid only if neither whether nor when a label arrives depends on the loss, as in
    an audit of randomly drawn predictions.

    The state holds every id ever logged, so rows may be repeated. An id takes 16 bytes in memory;
    in the file, a text takes at most 13 bytes and a running number less than one.

    Args:
        rejector: The deployed rejector; `Monitor.load` refuses a state of another one. With
            thresholds for each class or subgroup, the risk of all accepted predictions together
            is tested.
        target_risk: Risk of accepted predictions to test; the rejector's target by default. A
            guarantee of a coverage or a cost has no target risk, and one with `among="all"` has
            another.
        delta: Probability that any test ever raises a false alarm, in (0, 0.5).
        order: "prediction" or "arrival".

    Warns:
        DataWarning: The guarantee counts groups, of which only one row each may be logged.

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
        self._begin(terms_of(rejector, target_risk, delta, order))
        _warn_of_groups(rejector)

    def _begin(self, terms: Terms) -> None:
        self.terms = terms
        self._limits = rate_limits(terms)
        self._ledger = Ledger()
        self._e_processes = {name: EProcess(rate) for name, rate in self._rates().items()}
        self._accepted = self._labelled = self._wrong = 0

    def update(self, ids: ArrayLike, accept: ArrayLike, loss: ArrayLike | None = None) -> Update:
        """Log predictions, and labels where they are known; on an error, no row is logged.

        A repeated row changes nothing. The loss of an abstained prediction is ignored.

        Args:
            ids: Shape (b,), integers or strings, unique among all predictions ever made.
            accept: Shape (b,), booleans.
            loss: Shape (b,), 1 for wrong, 0 for right, NaN or None for not known yet.

        Raises:
            InputError: Malformed, or a row contradicts an earlier one with the same id.
        """
        ids = check_ids(ids)
        a = to_numpy(accept)
        if a.shape != ids.shape or a.dtype.kind != "b":
            raise InputError(f"expected `accept` of booleans {ids.shape}, got {a.dtype} {a.shape}")
        return self._apply(ids, a.astype(np.int64), _losses(loss, ids.size), _row)

    def label(self, ids: ArrayLike, loss: ArrayLike) -> Update:
        """Log labels of earlier predictions, as in `update`."""
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
        n = self._e_processes[RISK].n
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
            **self.terms._asdict(),
            **dict(zip(COUNTS, (len(keys), self._accepted, self._labelled, self._wrong))),
            "e_processes": {name: _to_dict(e) for name, e in self._e_processes.items()},
            **pack_ids(keys, held),
        }
        return {**body, "checksum": checksum(body)}

    def save(self, path: str | os.PathLike) -> None:
        """Write the state as JSON, whole or not at all."""
        write_text(path, to_json(self.to_dict()) + "\n")

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Monitor:
        """Invert `to_dict`; strict."""
        data = read_form(data)
        monitor = cls.__new__(cls)
        monitor._begin(check_terms(Terms(*(data[name] for name in Terms._fields))))
        _, monitor._accepted, monitor._labelled, monitor._wrong = (data[name] for name in COUNTS)
        keys, held = unpack_ids(data)
        pending = held[held >= PENDING]
        monitor._ledger.add(keys, held)
        unknown = {RISK: pending} if data["order"] == "prediction" else {}
        monitor._e_processes = {
            name: _from_dict(data["e_processes"][name], rate, unknown.get(name))
            for name, rate in monitor._rates().items()
        }
        return monitor

    @classmethod
    def load(cls, path: str | os.PathLike, rejector: Rejector | None = None) -> Monitor:
        """Read a file of `save`; refuse anything else, and files changed by hand.

        Args:
            path: The state.
            rejector: If given, the state must belong to this rejector.

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
        if rejector is not None:
            digest, known = digest_of(rejector), monitor.terms.rejector
            if known not in (digest, rejector.version_1):
                raise InputError(f"{path}: expected the state of this rejector, got another one's")
            monitor.terms = monitor.terms._replace(rejector=digest)
            _warn_of_groups(rejector)
        return monitor

    def _evidence(self) -> tuple[dict[str, float], dict[str, float], tuple[str, ...]]:
        """Return the log e-values, the e-values from which there is an alarm, and the alarms."""
        log_e = {name: e.log_e for name, e in self._e_processes.items()}
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
        """Combine the rows with what is known of each id; raise if they contradict it."""
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
        """Pass new rows to the tests; set `rows.held` of new ids to what the ledger keeps."""
        accepted, known = rows.accepted[new], rows.known
        self._e_processes[MORE].append(accepted)
        self._e_processes[FEWER].append(1 - accepted)
        risk, bets = self._e_processes[RISK], new[accepted == 1]
        late = rows.fresh[rows.held[rows.fresh] >= PENDING]
        rows.held[new] = ABSTAINED
        if self.terms.order == "prediction":
            risk.settle(rows.held[late], known[late])
            rows.held[bets] = risk.append(known[bets])
        else:
            rows.held[bets] = PENDING
            risk.append(known[rows.fresh[np.argsort(rows.came)]])


class _Rows(NamedTuple):
    """Consistent rows by id; u = ids, f = ids labelled for the first time."""

    keys: UInt64[Array, " u"]
    held: Int[Array, " u"]  # what the ledger keeps
    accepted: Int[Array, " u"]  # 0 or 1
    known: Int[Array, " u"]  # the loss, or UNKNOWN
    order: Int[Array, " u"]  # ids in the order of their first row
    fresh: Int[Array, " f"]
    came: Int[Array, " f"]  # row of the first label


def _refuse(rows: Array, ids: Array, where: Where, problem: tuple[str, str]) -> None:
    """Raise an error that names the first of the rows."""
    if rows.size:
        at, (expected, got) = int(rows.min()), problem
        raise InputError(f"{where(at)}: expected {expected}, got {str(ids[at])!r} {got}")


def _to_dict(e: EProcess) -> dict[str, Any]:
    wealth, errors = e.folded()
    return {"n": e.n, **wealth._asdict(), "size": errors.size, "errors": pack(errors)}


def _from_dict(data: Mapping[str, Any], rate: float, unknown: Array | None) -> EProcess:
    log = tuple(-math.inf if x is None else float(x) for x in data["log"])
    wealth = Wealth(data["at"], log, float(data["best"]))
    return EProcess(rate, wealth, data["n"], unpack_errors(data), unknown)


def _warn_of_groups(rejector: Rejector) -> None:
    """Warn that rows of one group are dependent, which the tests cannot see."""
    if rejector.guarantee.unit == GROUPS:
        text = f"the guarantee of this rejector counts groups; {words.ONE_OF_EACH}"
        warnings.warn(text, DataWarning, stacklevel=3)


def check_ids(ids: ArrayLike) -> Array:
    """Ids of shape (b,), integers or strings."""
    x = as_column(ids)
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
