"""How often is there ever a false alarm, and how soon a true one?

    python -m tests.validity.monitoring [--streams 2000] [--accepted 10000] [--only delays]

prints the tables of docs/how-to/monitor.md. Every stream has its own calibration split, whose
threshold accepts the fraction `COVERAGE` of the population; the error rate of the accepted is
exactly the target. The monitor is looked at every `LOOK` predictions and after the last label.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cache
from typing import Any, NamedTuple

import numpy as np

from recuse import fit
from recuse.bounds import clopper_pearson_lower, clopper_pearson_upper
from recuse.monitor import FEWER, MORE, ORDERS, RISK, Monitor, Terms, risk_interval
from recuse.monitor._e_process import NOTHING, EProcess, advance
from recuse.monitor._state import FROM_TUNE, rate_limits
from recuse.rejector import Rejector, Rule
from recuse.selectors import select
from recuse.selectors._methods import THRESHOLDS

TARGET, COVERAGE, CALIBRATE, LOOK = 0.05, 0.8, 500, 2500
LATE = 2500  # predictions until a late label
NEVER = math.inf


def none(wrong, rng):
    """Labels come with their predictions."""
    return np.zeros(wrong.size)


def random(wrong, rng):
    """Delays that do not depend on the loss."""
    return rng.geometric(1 / 500, wrong.size).astype(float)


def errors_first(wrong, rng):
    """A wrong prediction is noticed at once, a right one is confirmed late."""
    return np.where(wrong, 0.0, LATE)


def errors_last(wrong, rng):
    """A right prediction is confirmed at once, a wrong one is noticed late."""
    return np.where(wrong, LATE, 0.0)


def batches(wrong, rng):
    """The labels of 1,000 predictions come together, errors first."""
    return 999.0 - np.arange(wrong.size) % 1000 + np.where(wrong, 0.25, 0.5)


def complaints(wrong, rng):
    """A wrong prediction is noticed at once, of the right ones half are never confirmed."""
    never = rng.random(wrong.size) < 0.5
    return np.where(wrong, 0.0, np.where(never, NEVER, 100.0))


DELAYS: dict[str, Callable] = {
    f.__name__.replace("_", " "): f
    for f in (none, random, errors_first, errors_last, batches, complaints)
}


@cache
def fitted() -> Rejector:
    """Any rejector; `deployed` gives it the counts of a calibration split."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 3, 2000)
    z = 3 * np.eye(3)[labels] + rng.normal(size=(2000, 3))
    return fit((z[:1000], labels[:1000]), (z[1000:], labels[1000:]), target_risk=TARGET)


def deployed(accepted: int, n: int = CALIBRATE) -> Rejector:
    counts = {"n": n, "accepted": accepted, "errors": 0, "method": "fixed_sequence"}
    guarantee = replace(fitted().guarantee, target_risk=TARGET, **counts)
    return replace(fitted(), rules=(Rule(None, fitted().threshold, guarantee),))


class Stream(NamedTuple):
    """Predictions, and when their labels come: in units of predictions."""

    accept: np.ndarray
    wrong: np.ndarray
    time: np.ndarray

    def looks_of(self, monitor: Monitor) -> Iterator[Monitor]:
        """The monitor after each look."""
        ids, n = np.arange(self.accept.size), self.accept.size
        seen = 0
        for end in [*range(LOOK, n, LOOK), n, math.inf]:
            now = ids[seen : min(end, n)]
            monitor.update(now, self.accept[now])
            came = ids[(self.time >= seen - 0.5) & (self.time < end - 0.5)]
            came = came[np.argsort(self.time[came], kind="stable")]
            monitor.label(came, self.wrong[came])
            seen = min(end, n)
            yield monitor


def stream(accepted: int, delay: Callable, rng: Any, risk: float = TARGET) -> Stream:
    n = round(accepted / COVERAGE)
    accept, wrong = rng.random(n) < COVERAGE, rng.random(n) < risk
    return Stream(accept, wrong, np.arange(n) + delay(wrong, rng))


def ever_alarmed(
    delay: Callable, order: str, delta: float, streams: int, accepted: int, seed: int = 0
) -> dict[str, float]:
    """The fraction of streams with each alarm, at any look, where nothing is wrong."""
    rng, found = np.random.default_rng(seed), dict.fromkeys((RISK, MORE, FEWER, "any"), 0)
    for _ in range(streams):
        rejector = deployed(int(rng.binomial(CALIBRATE, COVERAGE)))
        alarms: set[str] = set()
        for monitor in stream(accepted, delay, rng).looks_of(
            Monitor(rejector, delta=delta, order=order)
        ):
            alarms |= {*monitor._look()[2]}
        for name in alarms | ({"any"} if alarms else set()):
            found[name] += 1
    return {name: count / streams for name, count in found.items()}


def rate_known(level: float, streams: int, n: int, seed: int = 0) -> float:
    """False alarms of drift where the calibrate rate is taken for that of the population."""
    rng, alarms = np.random.default_rng(seed), 0
    for _ in range(streams):
        rate = rng.binomial(CALIBRATE, COVERAGE) / CALIBRATE
        accept = (rng.random(n) < COVERAGE).astype(np.int64)
        for limit, loss in ((rate, accept), (1 - rate, 1 - accept)):
            process = EProcess(limit)
            process.append(loss)
            if process.log_e >= math.log(2 / level):
                alarms += 1
                break
    return alarms / streams


def limits_missed(method: str, error_rate: Callable, n: int, draws: int) -> list[float]:
    """How often the population's acceptance rate lies outside the limits, and outside
    Clopper-Pearson's at the same level for one threshold; among those with a threshold."""
    rng, missed, feasible = np.random.default_rng(0), np.zeros(2), 0
    for _ in range(draws):
        (tc, tl), (c, l) = (
            (u.astype(np.float32), rng.random(n) < error_rate(u))
            for u in (rng.random(n), rng.random(n))
        )
        tune = (tc, tl) if method == "fixed_sequence" else None
        s = select(c, l, target_risk=TARGET, delta=0.1, method=method, tune=tune)
        if not s.feasible:
            continue
        feasible += 1
        g, rate = s.guarantee, 1 - min(max(s.threshold, 0.0), 1.0)
        tried = np.log(FROM_TUNE.get(method, n))
        ours = rate_limits(Terms("", TARGET, 0.1, "prediction", g.n, g.accepted, tried))
        plain = [
            float(f(g.accepted, g.n, 0.0125))
            for f in (clopper_pearson_lower, clopper_pearson_upper)
        ]
        missed += [not low <= rate <= high for low, high in (ours, plain)]
    return [feasible / draws, *(missed / max(feasible, 1))]


def interval_missed(risk: Callable, streams: int, accepted: int, delta: float) -> float:
    """How often the confidence sequence ever leaves out the mean risk so far."""
    rng, missed = np.random.default_rng(0), 0
    n = np.unique(np.geomspace(1, accepted, 60).astype(int))
    mean = np.cumsum(risk(np.arange(accepted) / accepted)) / np.arange(1, accepted + 1)
    for _ in range(streams):
        errors = np.cumsum(rng.random(accepted) < risk(np.arange(accepted) / accepted))
        between = (risk_interval(int(errors[k - 1]), 0, int(k), delta) for k in n)
        missed += not all(low <= mean[k - 1] <= high for k, (low, high) in zip(n, between))
    return missed / streams


def delays_until_alarm(
    rate: float, before: float, after: float, good: int, level: float, streams: int
) -> np.ndarray:
    """Losses from a change of their mean until the alarm, at a limit of `rate`.

    Of streams without a false alarm before the change.
    """
    rng, horizon = np.random.default_rng(0), 50_000
    out = np.empty(streams)
    for i in range(streams):
        change = np.r_[np.full(good, before), np.full(horizon, after)]
        errors = np.flatnonzero(rng.random(good + horizon) < change)
        low, high = 0, good + horizon
        while high - low > 1:
            middle = (low + high) // 2
            wealth = advance(NOTHING, errors[errors < middle], middle, rate)
            low, high = (low, middle) if wealth.best >= -math.log(level) else (middle, high)
        out[i] = high - good
    return out[out > 0]


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--streams", type=int, default=2000)
    parser.add_argument("--accepted", type=int, default=10_000)
    tables: dict[str, Callable] = {
        "false-alarms": lambda o: print_false_alarms(o.streams, o.accepted),
        "limits": lambda o: print_limits(o.streams // 2),
        "intervals": lambda o: print_intervals(o.streams // 4, o.accepted),
        "delays": lambda o: print_delays(o.streams // 4),
    }
    parser.add_argument("--only", choices=tables)
    options = parser.parse_args()
    for name in [options.only] if options.only else tables:
        tables[name](options)


def print_false_alarms(streams: int, accepted: int, delta: float = 0.1) -> None:
    print(f"False alarms at any time, delta = {delta:g}, {streams} streams of {accepted} accepted")
    print(f"{'labels come':15}{'order':12}{'risk':>7}{'more':>7}{'fewer':>7}{'any':>7}")
    for name, delay in DELAYS.items():
        for order in ORDERS:
            found = ever_alarmed(delay, order, delta, streams, accepted)
            row = "".join(f"{rate:7.3f}" for rate in found.values())
            print(f"{name:15}{order:12}{row}", flush=True)
    known = rate_known(delta / 2, streams, round(accepted / COVERAGE))
    print(f"drift, the calibrate rate taken for known: {known:.3f}\n", flush=True)


def print_limits(draws: int) -> None:
    print(f"Acceptance rate outside its limits (allowed: 0.025), delta = 0.1, {draws} draws")
    print(f"{'method':16}{'risk':8}{'n':>6}{'feasible':>10}{'ours':>8}{'one threshold':>15}")
    risks = {"flat": lambda u: np.full(u.shape, 0.0499), "smooth": lambda u: 0.2 * (1 - u)}
    for method in ("fixed_sequence", "random_walk"):
        for name, risk in risks.items():
            for n in (200, 1000):
                feasible, ours, plain = limits_missed(method, risk, n, draws)
                head = f"{method:16}{name:8}{n:6}"
                print(f"{head}{feasible:10.2f}{ours:8.4f}{plain:15.4f}", flush=True)


def print_intervals(streams: int, accepted: int, delta: float = 0.1) -> None:
    print(f"\nMean risk ever outside the confidence sequence, delta = {delta:g}, {streams} streams")
    risks = {
        "5 %": lambda t: np.full(t.shape, 0.05),
        "30 %": lambda t: np.full(t.shape, 0.3),
        "0 to 20 %": lambda t: 0.2 * t,
        "2 %, then 20 %": lambda t: np.where(t < 0.5, 0.02, 0.2),
    }
    for name, risk in risks.items():
        print(f"{name:15}{interval_missed(risk, streams, accepted, delta):7.3f}", flush=True)


def print_delays(streams: int, delta: float = 0.05) -> None:
    print(f"\nAccepted labels from the change until the alarm, delta = {delta:g}, target 5 %")
    print(f"{'good before':24}{'risk':>6}{'median':>8}{'mean':>8}{'90 %':>8}")
    for good, before in ((0, 0.05), (5000, 0.05), (5000, 0.025)):
        for after in (0.075, 0.1, 0.2):
            d = delays_until_alarm(TARGET, before, after, good, delta / 2, streams)
            head = f"{good} at {before:.1%}" if good else "none"
            _row(f"{head:24}{after:6.1%}", d)
    print(f"\nPredictions from a change of the acceptance rate until the alarm, delta = {delta:g}")
    print(f"{'calibrate':24}{'rate':>6}{'median':>8}{'mean':>8}{'90 %':>8}")
    for n in (500, 2000, 10_000):
        low, high = rate_limits(
            Terms("", TARGET, delta, "prediction", n, round(COVERAGE * n), np.log(THRESHOLDS))
        )
        for after in (0.7, 0.9):
            more = after > COVERAGE
            limit, before, new = (high, 0.8, after) if more else (1 - low, 0.2, 1 - after)
            d = delays_until_alarm(limit, before, new, 5000, delta / 8, streams)
            _row(f"{f'80 % of {n} ({low:.1%} to {high:.1%})':24}{after:6.0%}", d)


def _row(head: str, d: np.ndarray) -> None:
    numbers = (np.median(d), d.mean(), np.quantile(d, 0.9))
    print(head + "".join(f"{x:8.0f}" for x in numbers), flush=True)


if __name__ == "__main__":
    main()
