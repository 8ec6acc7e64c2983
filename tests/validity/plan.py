"""Do as many rows as `recuse.plan` names pass, and do they accept what it says?

    python -m tests.validity.plan [--draws 400] [--zoo FOLDER]

prints the tables of docs/how-to/plan.md. In every population the error rate at rank u (0 = most
confident) is known, and with it the accuracy, the AURC, and by simulation the fewest rows of which
`fit` finds a threshold in four draws of five, as it uses one file: below 10,000 rows a walk at the
share of MSP, from there on a fixed sequence after a tuning part.

n = rows of a file.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

import recuse as rc
from recuse import plan
from recuse.present.numbers import exact_percent
from recuse.rejector import LabelPlan
from recuse.rejector._cut import ENOUGH, tuning_for_risk
from recuse.selectors._methods import METHODS, Splits
from recuse.selectors._walk import walk
from recuse.tuning._fixed import SHARES

DELTA, DRAWS, POWER = 0.05, 400, 0.8
FACTOR = 2.5  # within which a plan should be
TARGETS = (0.01, 0.02, 0.05, 0.1)
FILES = (("steeper, 10 %", 0.05), ("slow, 10 %", 0.05), ("steep, 20 %", 0.02), ("logistic", 0.02))
FEWEST, MOST = 30, 200_000  # rows that are tried
STEP = 1.05  # to so much the needed rows are found
AT_ONCE = 2_000_000  # rows of draws that are simulated together


def power_law(error: float, rise: float) -> Callable:
    """The error rate whose risk is error * coverage ** (rise - 1)."""
    return lambda u: np.minimum(error * rise * u ** (rise - 1), 1)


def above(floor: float, rate: Callable) -> Callable:
    """A share of wrong labels everywhere, and a rate on top."""
    return lambda u: np.minimum(floor + rate(u), 1)


def step(at: float, low: float, high: float) -> Callable:
    return lambda u: np.where(u < at, low, high)


def logistic(start: float, slope: float) -> Callable:
    return lambda u: 1 / (1 + np.exp(-start - slope * u))


POPULATIONS = {
    "slow, 10 %": power_law(0.1, 2),
    "slow, 20 %": power_law(0.2, 2),
    "medium, 10 %": power_law(0.1, 3),
    "steep, 5 %": power_law(0.05, 4),
    "steep, 20 %": power_law(0.2, 4),
    "steeper, 10 %": power_law(0.1, 5),
    "many errors": power_law(0.3, 3),
    "logistic": logistic(-6.5, 6),
    "logistic, steep": logistic(-8, 10),
    "half easy": step(0.5, 0.004, 0.2),
    "most easy": step(0.7, 0.01, 0.3),
    "wrong labels": above(0.005, power_law(0.095, 4)),
}
RANKS = (np.arange(100_000) + 0.5) / 100_000


class Truth(NamedTuple):
    """What is known of a population."""

    accuracy: float
    aurc: float


def truth(rate: Callable) -> Truth:
    risk = np.cumsum(rate(RANKS)) / np.arange(1, RANKS.size + 1)
    return Truth(1 - float(risk[-1]), float(risk.mean()))


def accepted(rate: Callable, n: int, target: float, draws: int, seed: int = 0) -> np.ndarray:
    """Coverage of the threshold of a file of n rows in each draw; 0 where there is none."""
    by = by_sequence if tuning_for_risk(n, alone=False) else by_walk
    return np.concatenate(list(by(rate, n, target, draws, np.random.default_rng(seed))))


def by_walk(rate, n, target, draws, rng) -> Iterator[np.ndarray]:
    """All rows calibrate, at the share of MSP: many draws at once, without ties."""
    found = walk(n, target, SHARES[0] * DELTA)
    rank = np.arange(1, n + 1)
    for start in range(0, draws, size := max(1, AT_ONCE // n)):
        u = np.sort(rng.uniform(size=(min(size, draws - start), n)), axis=1)
        errors = np.cumsum(rng.uniform(size=u.shape) < rate(u), axis=1)
        passed = found.passes(np.broadcast_to(rank, errors.shape), errors)
        end = np.array([found.chained(row) for row in errors])
        passed |= (rank >= found.first) & (rank <= end[:, None])
        yield np.where(passed, rank, 0).max(axis=1) / n


def by_sequence(rate, n, target, draws, rng) -> Iterator[np.ndarray]:
    """A fifth of the rows says where to begin."""
    tuning = round(n * tuning_for_risk(n, alone=False))
    for _ in range(draws):
        u = rng.uniform(size=n).astype(np.float32)
        wrong = (rng.uniform(size=n) < rate(u)).astype(float)
        splits = Splits(-u[tuning:], wrong[tuning:], (-u[:tuning], wrong[:tuning]))
        of = METHODS["fixed_sequence"].plan(splits, target, DELTA)
        at = of.choose(target)
        yield np.array([0.0 if at is None else of.held.accepted[at] / (n - tuning)])


def needed(rate: Callable, target: float, draws: int) -> float:
    """The fewest rows that pass in four draws of five; inf if more than are tried."""

    def enough(n: int) -> bool:
        return bool((accepted(rate, n, target, draws, seed=n) > 0).mean() >= POWER)

    low, high = (FEWEST, ENOUGH - 1) if enough(ENOUGH - 1) else (ENOUGH, MOST)
    if not enough(high):
        return np.inf
    while high / low > STEP:
        middle = round((low * high) ** 0.5)
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high


class OfFiles(NamedTuple):
    """Plans from small files, beside the plan from the accuracy and the AURC that they estimate."""

    ratio: float  # median
    within: float  # how often the plan is within a factor of 2.5 of the needed rows
    held: float  # how often the needed rows are between its ends
    width: float  # of these, the upper over the lower; median


def of_files(rate: Callable, n: int, target: float, rows: float, draws: int) -> OfFiles:
    rng = np.random.default_rng(n)
    exact = plan(**truth(rate)._asdict(), target_risk=target, delta=DELTA).rows
    found = []
    for _ in range(draws):
        u = rng.uniform(size=n)
        wrong = rng.uniform(size=n) < rate(u)
        # as logits of three classes, of which MSP is -u in its order
        logits = np.c_[2 - u, np.zeros(n), np.zeros(n)]
        one = plan((logits, wrong.astype(int)), target_risk=target, delta=DELTA)
        found.append([np.inf if x is None else x for x in (one.rows, one.low, one.high)])
    named, low, high = np.array(found).T
    return OfFiles(
        float(np.median(named / exact)),
        float(np.mean((named > rows / FACTOR) & (named < FACTOR * rows))),
        float(np.mean((low <= rows) & (rows <= high))),
        float(np.median(high / low)),
    )


def print_plans(populations: dict[str, Callable], draws: int) -> None:
    """Rows, planned and needed, and the coverage to expect of them."""
    wide = " | ".join(map(exact_percent, TARGETS))
    head = f"| population | accuracy | AURC | {wide} |\n|{'---|' * (3 + len(TARGETS))}"
    print(f"Rows, planned (if the risk levels off) / needed:\n\n{head}")
    lines, ratios = [], []
    for name, rate in populations.items():
        known = truth(rate)
        of = f"| {name} | {known.accuracy:.3f} | {known.aurc:.4f} |"
        found = [plan(**known._asdict(), target_risk=target, delta=DELTA) for target in TARGETS]
        rows = [needed(rate, target, draws) for target in TARGETS]
        ratios += [p.rows / n for p, n in zip(found, rows) if p.feasible and n < np.inf]
        cells = [f"{shown(p.rows)} ({shown(p.high)}) / {shown(n)}" for p, n in zip(found, rows)]
        print(of, " | ".join(cells), "|", flush=True)
        lines.append(f"{of} {' | '.join(covered(rate, p, draws) for p in found)} |")
    inside = sum(1 / FACTOR < ratio < FACTOR for ratio in ratios)
    mean = np.exp(np.mean(np.log(ratios)))
    print(f"\nWithin a factor of {FACTOR}: {inside} of {len(ratios)}; mean ratio {mean:.2f}")
    print("\nCoverage, expected / median, with the planned rows; with five times as many:\n")
    print(head, *lines, sep="\n")


def shown(rows: float | None) -> str:
    return "none" if rows in (None, np.inf) else f"{rows:,}"


def covered(rate: Callable, found: LabelPlan, draws: int) -> str:
    """The coverage to expect and the median one, of the planned rows and of five times as many."""
    each = [(found.rows, found.coverage), *found.more[-1:]] if found.feasible else []
    cells = []
    for n, expected in each:
        if n > MOST:
            break
        seen = np.median(accepted(rate, n, found.target_risk, draws if n < ENOUGH else draws // 4))
        cells.append(f"{expected:.2f} / {seen:.2f}")
    return "; ".join(cells)


def print_files(draws: int) -> None:
    """Plans from small files."""
    head = "population | target | rows | plan / that of the truth | within 2.5 of the need | "
    print(f"\n| {head}need between the ends | ends, ratio |\n|{'---|' * 7}")
    for name, target in FILES:
        rate = POPULATIONS[name]
        rows = needed(rate, target, draws)
        for n in (100, 300, 1000):
            f = of_files(rate, n, target, rows, max(draws // 4, 2))
            cells = f"{f.ratio:.2f} | {f.within:.2f} | {f.held:.2f} | {f.width:.1f}"
            print(f"| {name} | {exact_percent(target)} | {n:,} | {cells} |", flush=True)


def models(zoo: Path) -> dict[str, Callable]:
    """Error rates by the rank of MSP among all rows of a model (`python -m benchmarks.zoo`)."""
    found = {}
    for path in sorted(zoo.glob("*-0.[02]-0-tune.safetensors")):  # smoothings 0 and 0.2, one seed
        parts = [rc.read(p) for p in (path, path.with_name(path.name.replace("-tune", "-test")))]
        if all(part.groups is None for part in parts):
            z, y = (np.concatenate([getattr(p, k) for p in parts]) for k in ("logits", "labels"))
            wrong = (rc.scores.predict(z) != y)[np.argsort(-rc.scores.msp(z), kind="stable")]
            found[path.name.removesuffix("-0-tune.safetensors")] = of_rows(wrong.astype(float))
    return found


def of_rows(wrong: np.ndarray) -> Callable:
    """Rows drawn with replacement, by their rank."""
    return lambda u: wrong[np.minimum((u * wrong.size).astype(int), wrong.size - 1)]


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--draws", type=int, default=DRAWS)
    parser.add_argument("--zoo", type=Path, help="Folder of trained models, in place of the rest.")
    given = parser.parse_args()
    if given.zoo is not None:
        print_plans(models(given.zoo), given.draws)
        return
    print_plans(POPULATIONS, given.draws)
    print_files(given.draws)


if __name__ == "__main__":
    main()
