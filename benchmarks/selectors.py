"""Violations and mean coverage of thresholds: ours, MAPIE's and Geifman's.

    python -m benchmarks.selectors [--draws 200] [--sizes 500,2000] [--zoo zoo]

Every method gets the same 2 n rows of each draw: n to tune and n to calibrate, or all of them to
calibrate if it needs no tuning split. The populations are those of `tests.validity`, whose risks
are known, at a target of 5 %. With `--zoo`, there are also the logits of trained models
(`python -m benchmarks.zoo`), with smoothing 0 and 0.2. The tuning and the test file of a task are
pooled and rows are drawn from the pool with replacement, so that the risk of the pool is the truth;
the target is half of its error rate. Delta is 0.1.

A peer that keeps the guarantee and accepts clearly more on average than one of ours is printed as
an exception. MAPIE is skipped, with a message, if it is not installed.

n = rows of a split.
"""

from __future__ import annotations

import argparse
import itertools
import math
import warnings
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from scipy.special import bdtr
from tests.validity.thresholds import POPULATIONS

import recuse as rc
from recuse.scores import as_probability, msp, predict
from recuse.selectors import select, thresholds_between

TARGET, DELTA = 0.05, 0.1
NAMES = ("flat", "smooth", "steep", "bad top", "most confident wrong", "accurate", "saturated")
SMOOTHINGS = ("0.0", "0.2")
BETAS = 200  # of the split sequence of MAPIE; its default of 1,000 takes five times as long
Split = tuple[np.ndarray, np.ndarray]  # confidence in [0, 1] and 0-1 loss
Method = Callable[[float, Split, Split], float]  # target, tune, calibrate -> threshold
Found = dict[str, tuple[float, np.ndarray]]  # violations, coverage of each draw


class Pool(NamedTuple):
    """A finite population, drawn with replacement: its own rates are the truth."""

    confidence: np.ndarray
    loss: np.ndarray

    def draw(self, n: int, rng: np.random.Generator) -> Split:
        """Draw i.i.d. rows."""
        row = rng.integers(len(self.loss), size=n)
        return self.confidence[row], self.loss[row]

    def coverage(self, threshold: Iterable[float]) -> np.ndarray:
        """Return the coverage of each threshold."""
        return np.array([(self.confidence >= t).mean() for t in threshold])

    def risk(self, threshold: Iterable[float]) -> np.ndarray:
        """Return the risk of each threshold; 0 where nothing is accepted."""
        accepted = [self.loss[self.confidence >= t] for t in threshold]
        return np.array([l.mean() if l.size else 0.0 for l in accepted])


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


def mapie(
    target: float, calibrate: Split, method: str, grid: np.ndarray | None, tune: Split | None
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


def ours(target: float, calibrate: Split, method: str, tune: Split | None = None) -> float:
    """Return the threshold of `select`."""
    options: dict[str, Any] = {"target_risk": target, "delta": DELTA, "method": method}
    return select(*calibrate, tune=tune, **options).threshold


def both(tune: Split, calibrate: Split) -> Split:
    """Concatenate two splits."""
    return np.r_[tune[0], calibrate[0]], np.r_[tune[1], calibrate[1]]


def on_tune(tune: Split) -> np.ndarray:
    """Return 100 thresholds at quantiles of the tuning split: a finer grid than MAPIE's default."""
    return np.clip(thresholds_between(tune[0].astype(np.float32), 100), 0, 1).astype(float)[::-1]


OURS: dict[str, Method] = {
    "fixed sequence": lambda r, t, c: ours(r, c, "fixed_sequence", t),
    "random walk": lambda r, t, c: ours(r, both(t, c), "random_walk"),
}
GEIFMAN: dict[str, Method] = {"Geifman's SGR": lambda r, t, c: geifman(r, both(t, c))}
MAPIE: dict[str, Method] = {
    "MAPIE": lambda r, t, c: mapie(r, both(t, c), "bonferroni_holm", None, None),
    "MAPIE, tune grid": lambda r, t, c: mapie(r, c, "bonferroni_holm", on_tune(t), None),
    "MAPIE, split sequence": lambda r, t, c: mapie(r, c, "split_fixed_sequence", on_tune(t), t),
}


def zoo(folder: Path) -> dict[str, Pool]:
    """Read every task with and without smoothing, seed 0, ranked by MSP."""
    pools = {}
    for tune in sorted(folder.glob("*-0-tune.safetensors")):
        name = tune.name.removesuffix("-0-tune.safetensors")
        parts = [rc.read(p) for p in (tune, tune.with_name(f"{name}-0-test.safetensors"))]
        if any(part.groups is not None for part in parts) or not name.endswith(SMOOTHINGS):
            continue  # dependent rows
        c = np.concatenate([as_probability(msp(p.logits)).ravel() for p in parts])
        l = np.concatenate([(predict(p.logits) != p.labels).astype(float).ravel() for p in parts])
        pools[name] = Pool(c, l)
    return pools


def measure(
    population: Any, target: float, n: int, methods: dict[str, Method], draws: int, seed: int = 5
) -> Found:
    """Run every method on the same draws."""
    rng = np.random.default_rng(seed)
    pairs = [(population.draw(n, rng), population.draw(n, rng)) for _ in range(draws)]
    found = {}
    for name, method in methods.items():
        t = np.array([method(target, *pair) for pair in pairs])
        found[name] = (float((population.risk(t) > target).mean()), population.coverage(t))
    return found


def better(found: Found, draws: int) -> list[str]:
    """List peers above one of ours by two standard errors of the difference, paired over draws."""
    allowed = DELTA + 2.6 * (DELTA * (1 - DELTA) / draws) ** 0.5
    lines = []
    for peer, mine in itertools.product([name for name in found if name not in OURS], OURS):
        violations, coverage = found[peer]
        gap = coverage - found[mine][1]
        if violations <= allowed and gap.mean() > max(2 * gap.std() / draws**0.5, 1e-3):
            means = f"{coverage.mean():.3f} against {found[mine][1].mean():.3f}"
            lines.append(f"{peer} accepts {means} of our {mine}")
    return lines


def installed() -> dict[str, Method]:
    """Return all methods, with MAPIE's if it is installed."""
    try:
        import mapie as _  # noqa: F401
    except ImportError:
        print("MAPIE is not installed: skipped.\n")
        return OURS | GEIFMAN
    return OURS | GEIFMAN | MAPIE


def main() -> None:
    """Print the table, and the exceptions."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--draws", type=int, default=200)
    parser.add_argument("--sizes", default="500,2000")
    parser.add_argument("--zoo", type=Path)
    options = parser.parse_args()
    methods = installed()
    cases: list[tuple[str, Any, float]] = [(name, POPULATIONS[name], TARGET) for name in NAMES]
    for name, pool in (zoo(options.zoo) if options.zoo else {}).items():
        cases.append((name, pool, round(float(pool.loss.mean()) / 2, 4)))
    print("| population | target | n | " + " | ".join(methods) + " |")
    print("|---|---|---|" + "---|" * len(methods))
    exceptions = []
    for name, population, target in cases:
        for n in map(int, options.sizes.split(",")):
            found = measure(population, target, n, methods, options.draws)
            cells = " | ".join(f"{v:.3f} / {c.mean():.3f}" for v, c in found.values())
            print(f"| {name} | {target:g} | {n:,} | {cells} |", flush=True)
            exceptions += [f"{name}, n = {n:,}: {line}" for line in better(found, options.draws)]
    print("\nPeers that keep the guarantee and accept clearly more:")
    print("\n".join(f"- {line}" for line in exceptions or ["none"]))


if __name__ == "__main__":
    main()
