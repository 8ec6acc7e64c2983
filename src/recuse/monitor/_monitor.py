"""The monitor: predictions and labels in, alarms out.

b = rows that come together.

The level delta is split: half for the risk, a quarter for the two tests of the acceptance rate,
and a quarter for the limits of that rate, which the calibration split only estimates. Where
subgroups are tested, they share half of what the risk has.
"""

from __future__ import annotations

import json
import math
import os
import warnings
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from recuse._internal import public
from recuse._internal.check import first, to_numpy
from recuse._internal.files import checksum, once, to_json, write_text
from recuse.errors import DataWarning, InputError
from recuse.monitor._about import (
    NO_TIME,
    NOTHING,
    About,
    at,
    check_ids,
    iso,
    losses_of,
    missing,
    times_of,
)
from recuse.monitor._e_process import UNKNOWN, EProcess, Wealth, risk_interval
from recuse.monitor._recent import Recent
from recuse.monitor._state import (
    ABSTAINED,
    COUNTS,
    FEWER,
    FORMAT,
    MORE,
    NEW,
    OF_SUBGROUPS,
    PENDING,
    RIGHT,
    RISK,
    SHARES,
    VERSION,
    WINDOW,
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
from recuse.monitor._subgroups import codes_of, name_of, tested, tests_of
from recuse.monitor._units import BITS, LATE, Facts, Units
from recuse.monitor._verdict import Counts, Seen, Update, Verdict
from recuse.present import monitor as words
from recuse.rejector import Rejector
from recuse.selectors._guarantee import GROUPS, ROWS

if TYPE_CHECKING:
    from jaxtyping import Int, UInt64
    from numpy import ndarray as Array
    from numpy.typing import ArrayLike

NEVER = "an id that was predicted before", "without `accept`"
ACCEPT = "ids that differ between predictions", "accepted in one row and not in another"
LOSS = "ids that differ between predictions", "right in one row and wrong in another"
GROUP = "ids that differ between predictions", "in two groups"
OF_SUBGROUP = "ids that differ between predictions", "in two subgroups"
NO_GROUP = "the `group` of each new prediction, as in the first rows", "without one"
NO_SUBGROUP = "the subgroup of each new prediction, as in the first rows", "without one"
NOT_OF_RULES = "accepted predictions in subgroups of the rejector", "in another one"
MOST = np.iinfo(np.int64).max

Where = Callable[[int], str]  # row -> its name in a message


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

    Rows of one group depend on each other: told its `groups`, the monitor counts each once, by
    the mean of its rows. Told the `subgroups`, it tests the risk of each, besides that of all; the
    probability `delta` is that of any false alarm.

    The state holds every id ever logged, so rows may be repeated. An id takes 16 bytes in memory;
    in the file, a text takes at most 13 bytes and a running number less than one.

    Args:
        rejector: The deployed rejector; `Monitor.load` refuses a state of another one.
        target_risk: Risk of accepted predictions to test, in all subgroups; the target of the
            rejector, or of each of its rules, by default. A guarantee of a coverage or a cost has
            no target risk, and one with `among="all"` has another.
        delta: Probability that any test ever raises a false alarm, in (0, 0.5).
        order: "prediction" or "arrival".
        independent: Count rows as independent although the rejector was fitted on groups, as
            where one row of each group is logged.
        window: Predictions, from the first of a group on, within which its rows count. Later ones
            are not tested.
        after: The monitor of the rejector that this one replaces; its alarms are kept.

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
        independent: bool = False,
        window: int = WINDOW,
        after: Monitor | None = None,
    ):
        self._begin(terms_of(rejector, target_risk, delta, order, independent, window))
        if after is not None:
            self._earlier = (*after._earlier, after._kept(self.terms.rejector))

    def _begin(self, terms: Terms) -> None:
        self.terms = terms
        self._limits = rate_limits(terms)
        self._ledger = Ledger()
        self._e_processes = {name: EProcess(rate) for name, rate in self._rates().items()}
        self._accepted = self._labelled = self._wrong = 0
        self._unit: str | None = None  # "rows" or "groups", from the first prediction on
        self._units: Units | None = None  # where there are groups or subgroups
        self._names: list[int | str] | None = None  # of subgroups
        self._first_time = self._last_time = None
        self._recent = Recent()
        self._alarmed: dict[str, list[Any]] = {}
        self._earlier: tuple[dict[str, Any], ...] = ()

    def update(
        self,
        ids: ArrayLike,
        accept: ArrayLike,
        loss: ArrayLike | None = None,
        *,
        groups: ArrayLike | None = None,
        subgroups: ArrayLike | None = None,
        times: ArrayLike | None = None,
    ) -> Update:
        """Log predictions, and labels where they are known; on an error, no row is logged.

        A repeated row changes nothing. The loss of an abstained prediction is ignored. The first
        predictions say whether there are groups and subgroups; the others are like them.

        Args:
            ids: Shape (b,), integers or strings, unique among all predictions ever made.
            accept: Shape (b,), booleans.
            loss: Shape (b,), 1 for wrong, 0 for right, NaN or None for not known yet.
            groups: Shape (b,), integers or strings: rows of one group depend on each other.
            subgroups: Shape (b,), the predicted class or the subgroup where the rejector has a
                threshold for each, or any other function of the input. Not with
                `order="arrival"`.
            times: Shape (b,), of anything that NumPy reads as `datetime64[s]`.

        Raises:
            InputError: Malformed, a row contradicts an earlier one with the same id, or the
                rejector was fitted on groups and there are none. The group and subgroup of an id
                are compared within one call, and later as long as its label is pending.
        """
        ids = check_ids(ids)
        a = to_numpy(accept)
        if a.shape != ids.shape or a.dtype.kind != "b":
            raise InputError(f"expected `accept` of booleans {ids.shape}, got {a.dtype} {a.shape}")
        about = About(
            None if groups is None else check_ids(groups, ids.size, "`groups`"),
            None if subgroups is None else check_ids(subgroups, ids.size, "`subgroups`"),
            None if times is None else times_of(times, ids.size),
        )
        about = about if ids.size else NOTHING  # no row says nothing about columns
        return self._apply(ids, a.astype(np.int64), losses_of(loss, ids.size), _row, about)

    def label(self, ids: ArrayLike, loss: ArrayLike) -> Update:
        """Log labels of earlier predictions, as in `update`."""
        ids = check_ids(ids)
        nothing = np.full(ids.size, UNKNOWN)
        return self._apply(ids, nothing, losses_of(loss, ids.size), _row)

    @property
    def alarm(self) -> bool:
        """Whether there is an alarm; `verdict` says which and what to do."""
        return bool(self._look()[2])

    @property
    def verdict(self) -> Verdict:
        """Counts, evidence and advice."""
        log_e, limit, alarms = self._look()
        terms, grouped = self.terms, self._unit == GROUPS
        n = self._accepted if self._units else self._e_processes[RISK].n
        interval = risk_interval(self._wrong, n - self._labelled, n, terms.delta)
        counts = terms.calibrate_n, terms.calibrate_accepted, terms.calibrate_accepted
        units = self._units or Units(1)
        return Verdict(
            alarms=alarms,
            n=len(self._ledger),
            accepted=self._accepted,
            labelled=self._labelled,
            errors=self._wrong,
            target_risk=terms.target_risk,
            delta=terms.delta,
            order=terms.order,
            by=terms.by,
            void=terms.void,
            misses=terms.misses,
            guaranteed=terms.guaranteed,
            interval=None if grouped else interval,
            calibrate=self._limits,
            log_e=log_e,
            limit=limit,
            at_fit=Counts(*counts, terms.calibrate_errors),
            recent=Counts(*self._recent.total()),
            groups=units.units if grouped else None,
            open_groups=units.open if grouped else 0,
            late_rows=units.late,
            subgroups=tests_of(terms, self._names, self._units, log_e, limit),
            period=self._period,
            seen={
                k: Seen(at, None if time is None else iso(time))
                for k, (at, time) in self._alarmed.items()
            },
            earlier=self._earlier,
        )

    def __str__(self) -> str:
        return str(self.verdict)

    def to_dict(self) -> dict[str, Any]:
        """Plain data, as in the file."""
        self._look()
        keys, held = self._ledger.whole()
        e_processes = {} if self._units else self._e_processes
        body = {
            "format": FORMAT,
            "version": VERSION,
            **self.terms._asdict(),
            **dict(zip(COUNTS, (len(keys), self._accepted, self._labelled, self._wrong))),
            "e_processes": {name: _to_dict(e) for name, e in e_processes.items()},
            **pack_ids(keys, held),
            "rules": [list(rule) for rule in self.terms.rules],
            "unit": self._unit,
            "subgroups": self._names,
            "units": None if self._units is None else self._units.to_dict(),
            "first_time": self._first_time,
            "last_time": self._last_time,
            "recent": self._recent.blocks.tolist(),
            "alarmed": self._alarmed,
            "earlier": list(self._earlier),
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
        monitor._ledger.add(keys, held)
        monitor._unit, monitor._names = data["unit"], data["subgroups"]
        monitor._first_time, monitor._last_time = data["first_time"], data["last_time"]
        monitor._recent = Recent(data["n"], data["recent"])
        monitor._alarmed = {name: list(seen) for name, seen in data["alarmed"].items()}
        monitor._earlier = tuple(data["earlier"])
        if data["units"] is not None:
            monitor._units = Units.from_dict(data["units"], monitor._window)
            if monitor._units.n != data["n"]:
                raise InputError(f"expected units of {data['n']} predictions")
            return monitor
        unknown = {RISK: held[held >= PENDING]} if data["order"] == "prediction" else {}
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
            if (
                rejector.rules[0].guarantee.unit == GROUPS
                and monitor._unit == ROWS
                and not monitor.terms.independent
            ):
                text = f"the guarantee of this rejector counts groups; {words.ONE_OF_EACH}"
                warnings.warn(text, DataWarning, stacklevel=2)
        return monitor

    def _look(self) -> tuple[dict[str, float], dict[str, float], tuple[str, ...]]:
        """Return log e-values, the e-values from which there is an alarm, and the alarms.

        An alarm that is new is noted with its time.
        """
        log_e, limit = self._evidence()
        alarms = tuple(k for k in log_e if log_e[k] >= math.log(limit[k]))
        for name in alarms:
            self._alarmed.setdefault(name, [len(self._ledger), self._last_time])
        return log_e, limit, alarms

    def _evidence(self) -> tuple[dict[str, float], dict[str, float]]:
        """Return the log e-values of all tests, and the e-values from which there is an alarm."""
        delta, targets = self.terms.delta, tested(self.terms, self._names)
        limit = {name: 1 / (share * delta) for name, share in SHARES.items()}
        if self._units is None:
            return {name: e.log_e for name, e in self._e_processes.items()}, limit
        rates = self._rates() | {code: target for code, (target, _) in targets.items()}
        found = self._units.log_e(rates)
        log_e = {name: found[name] for name in SHARES}
        if targets:
            limit[RISK] /= 1 - OF_SUBGROUPS
        for code, (_, weight) in targets.items():
            name = name_of(self._names, code)
            log_e[name] = found[code]
            limit[name] = 1 / (SHARES[RISK] * OF_SUBGROUPS * weight * delta)
        return log_e, limit

    def _kept(self, successor: str) -> dict[str, Any]:
        """Return what the state of a new rejector keeps of this one."""
        if self.terms.rejector == successor:
            raise InputError("expected `after` of an earlier rejector, got a state of the same one")
        v = self.verdict
        seen = {name: {"n": seen.n, "time": seen.time} for name, seen in (v.seen or {}).items()}
        counts = {name: getattr(v, name) for name in (*COUNTS, "target_risk", "delta")}
        return {"rejector": self.terms.rejector, "alarms": seen, **counts}

    @property
    def _period(self) -> tuple[str, str] | None:
        known = self._first_time is not None and self._last_time is not None
        return (iso(self._first_time), iso(self._last_time)) if known else None

    @property
    def _window(self) -> int:
        return self.terms.window if self._unit == GROUPS else 1

    def _rates(self) -> dict[str, float]:
        low, high = self._limits
        return {RISK: self.terms.target_risk, MORE: high, FEWER: 1 - low}

    def _apply(
        self, ids: Array, accept: Array, loss: Array, where: Where, about: About = NOTHING
    ) -> Update:
        """Log rows; `accept` and `loss` are 0, 1 or `UNKNOWN`. Nothing changes on an error."""
        rows = self._checked(ids, accept, loss, where)
        new = rows.order[rows.held[rows.order] == NEW]
        facts = self._facts(rows, new, about, ids, where)
        if facts is None:
            self._bet(rows, new)
        else:
            self._bet_on_units(rows, new, facts)
        self._count_recent(rows)
        value = np.select([rows.known == 0, rows.known == 1], [RIGHT, WRONG], rows.held)
        known = rows.known[rows.fresh]
        self._ledger.add(rows.keys[new], value[new])
        self._ledger.set(rows.keys[rows.fresh], value[rows.fresh])
        self._accepted += int(rows.accepted[new].sum())
        self._labelled += rows.fresh.size
        self._wrong += int(known.sum())
        self._note_times(about.times, rows.start[new])
        return Update(ids.size, new.size, rows.fresh.size)

    def _facts(
        self, rows: _Rows, new: Array, about: About, ids: Array, where: Where
    ) -> Facts | None:
        """Return what units need to know of new rows; None where rows count as they are."""
        start, accepted = rows.start[new], rows.accepted[new]
        unit, names = self._form(about, start, where)
        keys, code = None, np.zeros(new.size, np.int64)
        if unit == GROUPS and new.size:
            _refuse(start[missing(about.groups, start)], ids, where, NO_GROUP)
            keys = keys_of(at(about.groups, start))
        if names is not None and new.size:
            _refuse(start[missing(about.subgroups, start)], ids, where, NO_SUBGROUP)
            code, names = codes_of(at(about.subgroups, start), names, self.terms)
            unknown = (code >= len(self.terms.rules)) & bool(self.terms.rules)
            _refuse(start[unknown & (accepted == 1)], ids, where, NOT_OF_RULES)
        self._refuse_moves(rows, about, unit == GROUPS, names, ids, where)
        self._unit, self._names = unit, names
        if self._units is None and (unit == GROUPS or names is not None):
            self._units = Units(self._window)
        if self._units is None:
            return None
        return Facts(keys, code, accepted, np.where(accepted == 1, rows.known[new], UNKNOWN))

    def _refuse_moves(
        self, rows: _Rows, about: About, grouped: bool, names: Any, ids: Array, where: Where
    ) -> None:
        """Raise if an id is in another group or subgroup than before.

        What is known of it is in its first row if it is new, and in its place while its label is
        pending; otherwise nothing is.
        """
        held, start = rows.held[rows.row], rows.start[rows.row]
        new, pending = held == NEW, held >= PENDING
        again = np.flatnonzero(pending | (new & (start != np.arange(ids.size))))
        if grouped and (i := again[~missing(about.groups, again)]).size:
            keys, place = keys_of(at(about.groups, i)), held[i] >> BITS
            known = place if self._units is None else self._units.groups.get(keys)
            moved = (place != LATE) & (known != place)
            first = keys_of(at(about.groups, start[i]))
            _refuse(i[np.where(new[i], keys != first, moved)], ids, where, GROUP)
        if names is not None and (i := again[~missing(about.subgroups, again)]).size:
            told, _ = codes_of(at(about.subgroups, np.r_[i, start[i]]), names, self.terms)
            code, first = np.split(told, 2)
            known = np.where(new[i], first, held[i] & ((1 << BITS) - 1))
            _refuse(i[code != known], ids, where, OF_SUBGROUP)

    def _form(
        self, about: About, start: Array, where: Where
    ) -> tuple[str | None, list[int | str] | None]:
        """Return what a unit is, and the names of subgroups, as the first rows say."""
        unit, names, terms = self._unit, self._names, self.terms
        in_order = terms.order == "prediction"
        if about.subgroups is not None and not in_order:
            raise InputError(words.NO_SUBGROUPS_OF_ARRIVAL)
        if unit is None and start.size:
            unit = ROWS if about.groups is None or terms.independent else GROUPS
            if unit == ROWS and terms.of_groups and not terms.independent:
                raise InputError(words.NO_GROUPS.format(where(int(start.min()))))
            if about.subgroups is not None:
                names = [rule.name for rule in terms.rules]
        elif about.subgroups is not None and names is None:
            raise InputError("expected no `subgroups`: the first predictions had none")
        if unit == GROUPS and not in_order:
            raise InputError(words.NO_ARRIVAL)
        if unit == ROWS and about.groups is not None and not terms.independent:
            raise InputError("expected no `groups`: the first predictions had none")
        return unit, names

    def _count_recent(self, rows: _Rows) -> None:
        """Count new labels among the last predictions; in the order of arrival, where they came."""
        place, known = rows.held[rows.fresh], rows.known[rows.fresh]
        if self._units is not None:
            inside = place >> BITS != LATE
            place, known = place[inside] >> BITS, known[inside]
        self._recent.label(
            np.full_like(place, MOST) if self.terms.order == "arrival" else place, known
        )

    def _note_times(self, times: Array | None, new: Array) -> None:
        """Extend the period that is covered; look, so that an alarm has its time."""
        if times is None:
            return
        told, begun = times[times != NO_TIME], times[new][times[new] != NO_TIME]
        if begun.size:
            known = [] if self._first_time is None else [self._first_time]
            self._first_time = min([int(begun.min()), *known])
        if told.size and self._first_time is not None:
            self._last_time = max(int(told.max()), self._last_time or self._first_time)
            self._look()

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
        return _Rows(keys, start, row, held, accepted, known, np.argsort(start), fresh, came)

    def _bet(self, rows: _Rows, new: Array) -> None:
        """Pass new rows to the tests; set `rows.held` of new ids to what the ledger keeps."""
        accepted, known = rows.accepted[new], rows.known
        self._recent.add(self._accepted + np.cumsum(accepted) - accepted, accepted)
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

    def _bet_on_units(self, rows: _Rows, new: Array, facts: Facts) -> None:
        """The same, where rows come in groups or belong to subgroups."""
        units: Any = self._units
        before = units.units
        late = rows.fresh[rows.held[rows.fresh] >= PENDING]
        units.settle(rows.held[late], rows.known[late])
        place, unit = units.append(facts)
        begun = np.maximum.accumulate(np.r_[before - 1, unit])[:-1] + 1
        self._recent.add(begun, facts.accepted, unit)
        rows.held[new] = np.where(facts.accepted == 1, place, ABSTAINED)


class _Rows(NamedTuple):
    """Consistent rows by id; b = rows, u = ids, f = ids labelled for the first time."""

    keys: UInt64[Array, " u"]
    start: Int[Array, " u"]  # first row
    row: Int[Array, " b"]  # the place of its id
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


def _seen(n: int, time: int | None) -> Seen:
    return Seen(n, None if time is None else iso(time))


def _row(i: int) -> str:
    return first(np.arange(i + 1) == i)
