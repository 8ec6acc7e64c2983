"""Five subgroups, rows in groups: how often is there ever a false alarm, how soon a true one?

    python -m tests.validity.monitor_groups [--streams 2000] [--only false-alarms]

prints the tables of docs/how-to/monitor.md. Groups have 1 to 30 rows that depend on each other and
come among those of others. A row drawn from a group is wrong, if it is accepted, with exactly the
target risk. Every stream has its own calibration split of one row of each group.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from tests.validity.monitoring import DELAYS, TARGET, fitted

from recuse.monitor import FEWER, MORE, RISK, Monitor
from recuse.rejector import Rejector, Rule

SHARES = np.array([0.4, 0.3, 0.15, 0.1, 0.05])  # of the subgroups
NAMES = np.array(list("ABCDE"))
SIZE, GROUPS, CALIBRATE = 30, 400, 1000
SPREAD = 60  # predictions over which the rows of a group come
ALONE = 3000  # rows, where they are independent
CONCENTRATION = 0.5  # of the error rates of groups: a correlation of 2/3 between rows


class Stream(NamedTuple):
    """Predictions in their order."""

    group: np.ndarray
    subgroup: np.ndarray  # codes
    accept: np.ndarray
    wrong: np.ndarray


class Groups(NamedTuple):
    """What groups are like: of each, rows, the chance to be accepted, and to be wrong if so."""

    rows: np.ndarray
    coverage: np.ndarray
    risk: np.ndarray


def alike(n, rng):
    """The error rate of a group depends neither on its rows nor on their acceptance."""
    return Groups(rng.integers(1, SIZE + 1, n), np.full(n, 0.8), _risk(np.full(n, TARGET), rng))


def large_harder(n, rng):
    """Groups of more than 15 rows err at 9 %, smaller ones at 1 %."""
    rows = rng.integers(1, SIZE + 1, n)
    return Groups(rows, np.full(n, 0.8), _risk(np.where(rows > SIZE // 2, 0.09, 0.01), rng))


def hard_abstain(n, rng):
    """Half of the groups are accepted at 30 % and err at 14 %, the others at 90 % and 2 %."""
    hard = rng.random(n) < 0.5
    mean = _risk(np.where(hard, 0.14, 0.02), rng)
    return Groups(rng.integers(1, SIZE + 1, n), np.where(hard, 0.3, 0.9), mean)


def single(n, rng):
    """Independent rows."""
    return Groups(np.ones(n, int), np.full(n, 0.8), np.full(n, TARGET))


KINDS: dict[str, Callable] = {
    f.__name__.replace("_", " "): f for f in (single, alike, large_harder, hard_abstain)
}


def _risk(mean, rng):
    return rng.beta(CONCENTRATION * mean, CONCENTRATION * (1 - mean))


def stream(groups: Groups, rng: np.random.Generator, *, by_row: bool) -> Stream:
    """Rows of groups, those of neighbours mixed; subgroups are of rows or of groups."""
    n = groups.rows.size
    of = np.repeat(np.arange(n), groups.rows)
    came = np.cumsum(groups.rows) - groups.rows
    when = came[of] + SPREAD * rng.random(of.size) * (groups.rows.max() > 1)
    of = of[np.argsort(when, kind="stable")]
    code = rng.choice(SHARES.size, of.size if by_row else n, p=SHARES)
    accept = rng.random(of.size) < groups.coverage[of]
    wrong = rng.random(of.size) < groups.risk[of]
    return Stream(of, code if by_row else code[of], accept, wrong)


def deployed(coverage: float, rng: np.random.Generator) -> Rejector:
    """A rejector with five rules, of a calibration split of this population."""
    rules = []
    for name, n in zip(NAMES.tolist(), rng.multinomial(CALIBRATE, SHARES).tolist()):
        counts = {"n": n, "accepted": int(rng.binomial(n, coverage)), "errors": 0}
        told = {"target_risk": TARGET, "unit": "groups", "method": "fixed_sequence", **counts}
        rules.append(Rule(name, fitted().threshold, replace(fitted().guarantee, **told)))
    return replace(fitted(), rules=tuple(rules), by="subgroup")


def alarms_of(s: Stream, monitor: Monitor, delay: Callable, looks: int, rng, *, grouped=True):
    """All alarms at any look, of predictions and labels as they come."""
    n, ids = s.group.size, np.arange(s.group.size)
    time = ids + delay(s.wrong, rng)
    ends = [*np.linspace(0, n, looks + 1).astype(int)[1:].tolist(), np.inf]
    found, seen = set(), 0
    for end in ends:
        now = ids[seen : min(end, n)]
        rest = {"groups": s.group[now]} if grouped else {}
        monitor.update(now, s.accept[now], subgroups=NAMES[s.subgroup[now]], **rest)
        came = ids[(time >= seen - 0.5) & (time < end - 0.5)]
        monitor.label(came, s.wrong[came])
        seen = min(end, n)
        found |= {*monitor._look()[2]}
    return found


def false_alarms(
    kind: str, delay: str, delta: float, streams: int, *, how: str = "groups", by_row: bool = False
) -> dict[str, float]:
    """The fraction of streams with each kind of alarm, where every alarm is false.

    `how` is "groups", "rows" (groups are not told), or "accepted": the bet of a group is on the
    mean loss of its accepted rows.
    """
    rng, found = np.random.default_rng(0), dict.fromkeys(("any", RISK, "subgroup", "coverage"), 0)
    for _ in range(streams):
        groups = KINDS[kind](ALONE if kind == "single" else GROUPS, rng)
        s = stream(groups, rng, by_row=by_row)
        coverage = 0.6 if kind == "hard abstain" else 0.8
        options = {"delta": delta, "independent": how == "rows"}
        if how == "accepted":  # the abstained rows of a group are left out
            kept = np.flatnonzero(s.accept)
            s = Stream(*(column[kept] for column in s))
        monitor = Monitor(deployed(coverage, rng), **options)
        alarms = alarms_of(s, monitor, DELAYS[delay], 2, rng, grouped=how != "rows")
        drift = {MORE, FEWER} & alarms if how != "accepted" else set()
        alarms -= {MORE, FEWER}
        subgroup = alarms - {RISK}
        for name, there in zip(found, (alarms | drift, {RISK} & alarms, subgroup, drift)):
            found[name] += bool(there)
    return {name: count / streams for name, count in found.items()}


def delays(
    bad: str, risk: float, streams: int, *, good: int = 300, horizon: int = 3000, delta=0.05
) -> tuple[np.ndarray, np.ndarray, float]:
    """Groups from a change until an alarm of the risk, with the tests of subgroups and without.

    Before the change, groups err at half of the target; after it, those of the subgroups `bad` err
    at `risk`. Also how often the first alarm names none but subgroups that changed.
    """
    rng, found, right = np.random.default_rng(0), [], 0
    for _ in range(streams):
        n = good + horizon
        code = rng.choice(SHARES.size, n, p=SHARES)
        changed = np.isin(NAMES[code], list(bad)) & (np.arange(n) >= good)
        rows, mean = rng.integers(1, SIZE + 1, n), np.where(changed, risk, TARGET / 2)
        s = stream(Groups(rows, np.full(n, 0.8), _risk(mean, rng)), rng, by_row=False)
        s = s._replace(subgroup=code[s.group])
        rejector = deployed(0.8, rng)
        took, first = [], set()
        for told in (True, False):
            monitor, at, look = Monitor(rejector, delta=delta), 0, 20
            for last in range(good, n, look):
                end = int(np.searchsorted(np.maximum.accumulate(s.group), last, side="right"))
                now = np.arange(at, end)
                rest = {"subgroups": NAMES[s.subgroup[now]]} if told else {}
                monitor.update(now, s.accept[now], s.wrong[now], groups=s.group[now], **rest)
                at, alarms = end, {*monitor._look()[2]} - {MORE, FEWER}
                if alarms:
                    break
            took.append(last - good)
            first = alarms if told else first
        found.append(took)
        right += bool(first) and first <= {RISK, *(f"risk of {name}" for name in bad)}
    told, pooled = np.array(found).T
    return told, pooled, right / streams


def print_false_alarms(streams: int, delta: float = 0.1) -> None:
    """Print how often each kind of alarm is false."""
    print(f"False alarms at any time, delta = {delta:g}, {streams} streams, five subgroups")
    head = f"{'groups':14}{'labels come':15}{'subgroups of':14}{'counted by':12}"
    print(f"{head}{'any':>7}{'risk':>7}{'of one':>8}{'coverage':>10}")
    cells = [("single", delay, True, "groups") for delay in ("none", "errors first")]
    for kind in [*KINDS][1:]:
        cells += [(kind, delay, False, "groups") for delay in ("none", "errors first", "batches")]
        cells.append((kind, "errors first", True, "groups"))
    others = [(kind, "none", False, how) for kind in [*KINDS][1:] for how in ("rows", "accepted")]
    for kind, delay, by_row, how in cells + others:
        found = false_alarms(kind, delay, delta, streams, how=how, by_row=by_row)
        head = f"{kind:14}{delay:15}{'rows' if by_row else 'groups':14}{how:12}"
        numbers = "{any:7.3f}{risk:7.3f}{subgroup:8.3f}{coverage:10.3f}".format(**found)
        print(head + numbers, flush=True)


def print_delays(streams: int, delta: float = 0.05) -> None:
    """Print how soon a change is found."""
    print(
        f"\nGroups from the change until the alarm, delta = {delta:g}, target 5 %, 300 good groups"
    )
    print(f"{'':24}{'with subgroups':>22}{'all together':>22}")
    names = f"{'changed':14}{'risk':>10}", *[f"{'median':>14}{'90 %':>8}"] * 2
    print("".join(names) + f"{'named right':>13}")
    for bad in ("ABCDE", "A", "C"):
        for risk in (0.1, 0.2, 0.4):
            told, pooled, right = delays(bad, risk, streams, delta=delta)
            numbers = "".join(f"{_at(d, 0.5):>14}{_at(d, 0.9):>8}" for d in (told, pooled))
            name = "all" if len(bad) > 1 else f"{bad} ({SHARES[NAMES.tolist().index(bad)]:.0%})"
            print(f"{name:14}{risk:10.0%}{numbers}{right:13.2f}", flush=True)


def _at(delays: np.ndarray, share: float) -> str:
    found = float(np.quantile(delays, share, method="higher"))
    return f"{found:.0f}" if found < 2980 else "> 2980"


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--streams", type=int, default=2000)
    parser.add_argument("--only", choices=("false-alarms", "delays"))
    options = parser.parse_args()
    if options.only != "delays":
        print_false_alarms(options.streams)
    if options.only != "false-alarms":
        print_delays(options.streams // 20)


if __name__ == "__main__":
    main()
