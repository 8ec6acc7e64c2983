"""What one file of labelled rows gives: thresholds of ours, zugzwang's, MAPIE's and Geifman's.

    python -m benchmarks.selectors [--draws 100] [--sizes 100,1000] [--zoo zoo]

Every method gets the same n rows of each draw: all of them to calibrate, or a half to tune and a
half to calibrate if it needs a tuning split. The populations are those of `tests.validity`, whose
risks are known, at a target of 5 %. With `--zoo`, there are also the logits of trained models
(`python -m benchmarks.zoo`) with smoothing 0 and 0.2 and 1,000 rows each, drawn with replacement
from the rows of the model, so that their risk is the truth; the target is half of its error rate.
Delta is 0.05.

A peer that keeps the guarantee and accepts clearly more on average than `fit` is printed as an
exception. Peers that are not installed are skipped, with a message.

n = rows of a file.
"""

from __future__ import annotations

import argparse
import importlib.util
import math
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from scipy.special import bdtr
from scipy.stats import binom
from tests.validity.real_logits import pools
from tests.validity.thresholds import FALSE_ALARM, POPULATIONS, thresholds_alone

from recuse.selectors import select, thresholds_between

TARGET, DELTA = 0.05, 0.05
OF_MODELS = 1000  # rows of a file
BETAS = 100  # of the split sequence of MAPIE; its default of 1,000 takes ten times as long
Split = tuple[np.ndarray, np.ndarray]  # confidence in [0, 1] and 0-1 loss
Method = Callable[[float, Split], float]  # target, rows -> threshold


class Outcome(NamedTuple):
    """A method over all draws."""

    coverage: np.ndarray  # of each draw
    feasible: float  # fraction of draws with a threshold
    violations: float  # fraction of draws whose risk is above the target

    def __str__(self) -> str:
        return f"{self.coverage.mean():.3f} / {self.feasible:.2f} / {self.violations:.3f}"


def geifman(target: float, calibrate: Split) -> float:
    """Restate `risk_control.bound` of selective_deep_learning, without its split.

    It counts int(m * risk) errors, splits ties by index and always returns a threshold; if the
    bound of the threshold is above the target, this counts as infeasible here.
    """
    kappa, residuals = calibrate
    m, order = len(residuals), np.argsort(kappa)
    low, high = 0, m - 1
    steps = math.ceil(math.log2(m))
    for _ in range(steps + 1):
        middle = math.ceil((low + high) / 2)
        rows = order[middle:]
        bound = _bound(DELTA / steps, len(rows), residuals[rows].mean())
        low, high = (middle, high) if bound > target else (low, middle)
    return float(kappa[order[middle]]) if bound <= target else np.inf


def _bound(delta: float, m: int, risk: float) -> float:
    """Restate its inversion of the binomial tail, with int() and a tolerance of 1e-7."""
    a, c = risk, 1.0
    b = (a + c) / 2
    for _ in range(200):
        value = bdtr(int(m * risk), m, b) - delta
        if abs(value) <= 1e-7 or (a == c == 1.0):
            break
        a, c = (b, c) if value > 0 else (a, b)
        b = (a + c) / 2
    return b


def zugzwang(target: float, calibrate: Split) -> float:
    """Apply zugzwang's default certificate, of the risk of the accepted."""
    from zugzwang.core import UncertifiableRiskError, certify_threshold

    try:
        return certify_threshold(*calibrate, risk=target, delta=DELTA, method="sgr").threshold
    except UncertifiableRiskError:
        return np.inf


def mapie(
    target: float,
    calibrate: Split,
    method: str,
    grid: np.ndarray | None = None,
    tune: Split | None = None,
) -> float:
    """Apply MAPIE's binary controller of precision, with "the prediction is right" as the label."""
    from mapie.risk_control import BinaryClassificationController

    options: dict[str, Any] = {} if grid is None else {"list_predict_params": grid}
    controller = BinaryClassificationController(
        lambda x: np.c_[1 - x[:, 0], x[:, 0]],
        "precision",
        target_level=1 - target,
        confidence_level=1 - DELTA,
        fwer_method=method,
        **options,
    )
    with warnings.catch_warnings():  # it warns where nothing is valid
        warnings.simplefilter("ignore")
        if tune is not None:
            learn = {"beta_grid": np.logspace(-25, 0, BETAS), "binary": True}
            controller.learn_fixed_sequence_order(tune[0][:, None], 1 - tune[1], **learn)
        controller.calibrate(calibrate[0][:, None], 1 - calibrate[1])
    best = controller.best_predict_param
    return np.inf if best is None else float(np.ravel(best)[0])


def ours(method: str, halved: bool = False) -> Method:
    """Return the threshold of `select`."""

    def choose(target: float, rows: Split) -> float:
        tune, calibrate = halves(rows) if halved else (None, rows)
        options: dict[str, Any] = {"target_risk": target, "delta": DELTA, "method": method}
        return select(*calibrate, tune=tune, **options).threshold

    return choose


def halves(rows: Split) -> tuple[Split, Split]:
    """Cut a file, whose rows are in no order, into a tuning and a calibration split."""
    half = len(rows[0]) // 2
    return (rows[0][:half], rows[1][:half]), (rows[0][half:], rows[1][half:])


def mapie_sequence(target: float, rows: Split) -> float:
    """Apply MAPIE's split fixed sequence, over thresholds at quantiles of the tuning split."""
    tune, calibrate = halves(rows)
    return mapie(target, calibrate, "split_fixed_sequence", on_tune(tune), tune)


def on_tune(tune: Split) -> np.ndarray:
    """Return 100 thresholds at quantiles of the tuning split: a finer grid than MAPIE's default."""
    return np.clip(thresholds_between(tune[0].astype(np.float32), 100), 0, 1).astype(float)[::-1]


FIT = "fit"  # of one file of confidences: all rows calibrate (tests/test_bench_selectors.py)
OURS: dict[str, Method] = {
    FIT: ours("auto"),
    "fixed sequence": ours("fixed_sequence", halved=True),
    "bonferroni": ours("bonferroni"),
    "sgr": ours("sgr"),
}
GEIFMAN: dict[str, Method] = {"Geifman's SGR": geifman}
ZUGZWANG: dict[str, Method] = {"zugzwang": zugzwang}
MAPIE: dict[str, Method] = {
    "MAPIE": lambda r, rows: mapie(r, rows, "bonferroni_holm"),  # its default
    "MAPIE, Bonferroni": lambda r, rows: mapie(r, rows, "bonferroni"),
    "MAPIE, split sequence": mapie_sequence,
}


@thresholds_alone
def measure(
    population: Any, target: float, n: int, methods: dict[str, Method], draws: int, seed: int = 5
) -> dict[str, Outcome]:
    """Run every method on the same draws."""
    rng = np.random.default_rng(seed)
    files = [population.draw(n, rng) for _ in range(draws)]
    found = {}
    for name, method in methods.items():
        t = np.array([method(target, rows) for rows in files])
        broken = float(np.mean(population.risk(t) > target))
        found[name] = Outcome(population.coverage(t), float(np.isfinite(t).mean()), broken)
    return found


def keeps(violations: float, draws: int, cells: int = 1) -> bool:
    """Whether so many violations can be chance, by an exact binomial test at .01 over all cells."""
    return binom.sf(round(violations * draws) - 1, draws, DELTA) > FALSE_ALARM / cells


def better(found: dict[str, Outcome], draws: int) -> list[str]:
    """List peers above `fit` by two standard errors of the difference, paired over draws."""
    lines, fit = [], found[FIT].coverage
    for peer in found.keys() - OURS:
        gap = found[peer].coverage - fit
        clear = gap.mean() > max(2 * gap.std() / draws**0.5, 1e-3)
        if clear and keeps(found[peer].violations, draws):
            lines.append(
                f"{peer} accepts {found[peer].coverage.mean():.3f} against {fit.mean():.3f}"
            )
    return sorted(lines)


def installed() -> dict[str, Method]:
    """Return all methods, with those of the peers that are installed."""
    methods = OURS | GEIFMAN
    for package, peers in {"zugzwang": ZUGZWANG, "mapie": MAPIE}.items():
        if importlib.util.find_spec(package) is None:
            print(f"{package} is not installed: skipped.\n")
        else:
            methods |= peers
    return methods


def summary(found: dict[str, dict[str, dict[str, Outcome]]], draws: int) -> None:
    """Print each method over the populations of each size, and over the models.

    Args:
        found: Column -> population -> method -> outcome.
        draws: Number of draws.
    """
    cells = [
        (column, population, method, outcome)
        for column, of in found.items()
        for population, row in of.items()
        for method, outcome in row.items()
    ]
    print(f"\n| method | {' | '.join(found)} | beyond delta |\n|---|" + "---|" * (len(found) + 1))
    for method in dict.fromkeys(m for _, _, m, _ in cells):
        row = []
        for of in found.values():
            at = [each[method] for each in of.values()]
            coverage = np.mean([x.coverage.mean() for x in at])
            worst = max(x.violations for x in at)
            feasible = np.mean([x.feasible for x in at])
            row.append(f"{coverage:.3f} / {feasible:.2f} / {worst:.2f}")
        beyond = [
            f"{population}, {column}"
            for column, population, m, x in cells
            if m == method and not keeps(x.violations, draws, len(cells))
        ]
        print(f"| {method} | {' | '.join(row)} | {'; '.join(beyond) or 'none'} |")


def main() -> None:
    """Print the tables, and the exceptions."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--draws", type=int, default=100)
    parser.add_argument("--sizes", default="100,1000")
    parser.add_argument("--zoo", type=Path)
    options = parser.parse_args()
    methods, sizes = installed(), [int(n) for n in options.sizes.split(",")]
    cases: list[tuple[str, str, Any, float, int]] = [
        (f"n = {n:,}", name, population, TARGET, n)
        for name, population in POPULATIONS.items()
        for n in sizes
    ]
    for name, pool in (pools(options.zoo) if options.zoo else {}).items():
        target = round(float(pool.wrong.mean()) / 2, 4)
        cases.append((f"models, n = {OF_MODELS:,}", name, pool, target, OF_MODELS))
    print("| population | target | n | " + " | ".join(methods) + " |")
    print("|---|---|---|" + "---|" * len(methods))
    every: dict[str, dict[str, dict[str, Outcome]]] = {}
    exceptions = []
    for column, name, population, target, n in cases:
        found = measure(population, target, n, methods, options.draws)
        cells = " | ".join(map(str, found.values()))
        print(f"| {name} | {target:g} | {n:,} | {cells} |", flush=True)
        exceptions += [f"{name}, n = {n:,}: {line}" for line in better(found, options.draws)]
        every.setdefault(column, {})[name] = found
    summary(every, options.draws)
    print("\nPeers that keep the guarantee and accept clearly more than `fit`:")
    print("\n".join(f"- {line}" for line in exceptions or ["none"]))


if __name__ == "__main__":
    main()
