"""Thresholds on logits of trained models: `python -m tests.validity.real_logits ZOO`.

The rows of a model's tune and test file (`python -m benchmarks.zoo`) are the population: each
draw takes rows from it at random, and what is accepted is counted over all rows. Every method of
`select` ranks them by MSP, with the half of the error rate as the target, beside `fit` on one file
of them. Then `fit` on two files, at one target for all models.
n = rows of a file, N = rows of the population.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from tests.validity.thresholds import (
    VALID,
    Cell,
    by,
    simulate,
    verdict,
)
from tests.validity.thresholds import (
    Outcome as Rates,
)

import recuse as rc
from recuse.rejector import ALL, CLASS, Choice
from recuse.rejector._fit import chosen
from recuse.rejector._prepare import Prepared, prepare
from recuse.scores import as_probability, msp, predict
from recuse.selectors import select, select_by_subgroup, select_cost, select_coverage
from recuse.selectors._methods import Splits
from recuse.tuning import tune as tune_score
from recuse.tuning._fixed import fixed_scores

TARGET, DELTA = 0.02, 0.05
CLASS_TARGET, COVERAGE, COSTS = 0.1, 0.8, (10, 1)
MOST_CLASSES = 10  # of a guarantee for each class: of more, too few rows each
SMOOTHINGS = ("0.0", "0.2")
ONE_FILE = "fit on one file"
OTHERS = {"class": f"each class at {CLASS_TARGET}", "coverage": f"coverage {COVERAGE}"}
OTHERS |= {"cost": "mean cost, {}:{}".format(*COSTS)}


class Population(NamedTuple):
    """A model's rows."""

    logits: np.ndarray
    labels: np.ndarray
    prediction: np.ndarray
    wrong: np.ndarray


class Pool(NamedTuple):
    """A finite population of confidences, drawn with replacement: its own rates are the truth."""

    confidence: np.ndarray
    wrong: np.ndarray

    def draw(self, n: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Draw i.i.d. rows."""
        row = rng.integers(len(self.wrong), size=n)
        return self.confidence[row], self.wrong[row]

    def coverage(self, threshold: Iterable[float]) -> np.ndarray:
        """Return the coverage of each threshold."""
        return np.array([(self.confidence >= t).mean() for t in threshold])

    def risk(self, threshold: Iterable[float]) -> np.ndarray:
        """Return the risk of each threshold; 0 where nothing is accepted."""
        accepted = [self.wrong[self.confidence >= t] for t in threshold]
        return np.array([l.mean() if l.size else 0.0 for l in accepted])


class Outcome(NamedTuple):
    """A fit, over the population."""

    feasible: bool
    broken: bool
    coverage: float
    risk: float


def pool(path: Path) -> Population | None:
    """All logits and labels of a model; None where rows depend on each other."""
    parts = [rc.read(p) for p in (path, path.with_name(path.name.replace("-tune", "-test")))]
    if any(part.groups is not None for part in parts):
        return None
    z, y = (np.concatenate([getattr(p, k) for p in parts]) for k in ("logits", "labels"))
    return Population(z, y, predict(z), predict(z) != y)


def models(zoo: Path) -> Iterator[tuple[str, Population]]:
    """Every task with and without smoothing, seed 0, whose rows are independent."""
    for path in sorted(zoo.glob("*-0-tune.safetensors")):
        name = path.name.removesuffix("-0-tune.safetensors")
        if name.endswith(SMOOTHINGS) and (data := pool(path)) is not None:
            yield name, data


def pools(zoo: Path) -> dict[str, Pool]:
    """The maximum softmax probability and the errors of every model."""
    return {
        name: Pool(as_probability(msp(p.logits)).astype(np.float32), p.wrong.astype(float))
        for name, p in models(zoo)
    }


def choices(ready: Prepared, target: float) -> dict[str, Choice]:
    """`choose` of every guarantee, with one score."""
    (c, wrong, _), seen = ready.held, ready.seen
    error, abstain = COSTS
    costs = {"cost_error": error, "cost_abstain": abstain}
    found: dict[str, Any] = {
        "risk": select(c, wrong, target_risk=target, delta=DELTA, tune=seen[:2]),
        "coverage": select_coverage(c, coverage=COVERAGE, delta=DELTA),
        "cost": select_cost(c, wrong, **costs, delta=DELTA, tune=seen[:2]),
    }
    if ready.tune.logits.shape[1] <= MOST_CLASSES:
        options = {"target_risk": CLASS_TARGET, "delta": DELTA, "by": CLASS, "tune": seen}
        found["class"] = select_by_subgroup(*ready.held, **options)
    by = {"class": CLASS}
    return {
        name: chosen(ready._replace(by=by.get(name, ALL)), selection, DELTA)
        for name, selection in found.items()
    }


def outcome(choice: Choice, p: Population, confidence: np.ndarray, target: float) -> Outcome:
    """What is accepted, and whether the guarantee fails."""
    if choice.rejector is None:
        return Outcome(False, False, 0.0, 0.0)
    threshold = choice.rejector.thresholds(p.prediction)
    accept = (confidence >= threshold) & (threshold < np.inf)
    risk = p.wrong[accept].mean() if accept.any() else 0.0
    return Outcome(True, broken(choice, p, accept, target), accept.mean(), risk)


def broken(choice: Choice, p: Population, accept: np.ndarray, target: float) -> bool:
    """Whether the population does what the guarantee rules out."""
    g = choice.rejector.guarantee
    if g.kind == "coverage":
        return accept.mean() < g.coverage
    if g.kind == "cost":
        spent = g.cost_error * (p.wrong & accept) + g.cost_abstain * ~accept
        return spent.mean() > g.upper
    parts = [accept & (p.prediction == k) for k in np.unique(p.prediction)]
    parts = parts if choice.rejector.by == CLASS else [accept]
    return any(p.wrong[part].mean() > g.target_risk for part in parts if part.any())


def draws(p: Population, n: int, count: int, target: float) -> dict[str, list[Outcome]]:
    """Every guarantee, fitted `count` times."""
    found: dict[str, list[Outcome]] = {}
    for seed in range(count):
        rows = np.random.default_rng(seed).choice(len(p.labels), 2 * n)  # with replacement
        tune, calibrate = ((p.logits[i], p.labels[i]) for i in (rows[:n], rows[n:]))
        options: dict[str, Any] = {"subgroups": "class", "kind": "logits", "seed": 0}
        options |= {"allow_overlap": True, "repeated_ids": "refuse", "model": None}
        ready = prepare(tune, calibrate, **options, tune_by=tune_score)._replace(shared=False)
        confidence = ready.tuned.score(p.logits)  # the rows are independent, though some are alike
        for name, choice in choices(ready, target).items():
            found.setdefault(name, []).append(outcome(choice, p, confidence, target))
    return found


def row_of_risk(found: list[Outcome]) -> str:
    feasible, violated, coverage, risk = np.array(found, dtype=float).T
    shown = f"{100 * risk[feasible > 0].mean():.2f}" if feasible.any() else "-"
    return f"{feasible.mean():.2f} | {violated.mean():.3f} | {coverage.mean():.3f} | {shown}"


def row_of_others(found: dict[str, list[Outcome]]) -> str:
    def cell(name: str) -> str:
        if name not in found:
            return ""
        _, violated, coverage, _ = np.array(found[name], dtype=float).T
        return f"{violated.mean():.3f} / {coverage.mean():.3f}"

    return " | ".join(map(cell, OTHERS))


def one_file(p: Population, n: int, count: int, target: float) -> Rates:
    """`fit` on one file of logits, `count` times."""
    fits, rng, found = Fits(p.logits, target), np.random.default_rng(12), []
    for _ in range(count):
        rows = rng.integers(len(p.labels), size=n)
        confidence, threshold = fits.widest(rows, p.wrong[rows])
        accept = confidence >= threshold
        found.append((accept.mean(), p.wrong[accept].mean() if accept.any() else 0.0))
    coverage, risk = np.array(found).T
    return Rates(np.mean(risk > target), coverage.mean())


class Fits:
    """`fit` on rows of a population below 10,000, without a rejector: scores are computed once."""

    def __init__(self, logits: np.ndarray, target: float):
        shares = fixed_scores("logits", logits.shape[1], None)
        self.confidence = [score(logits) for score in shares]
        self.choose = [by("random_walk", target, share * DELTA) for share in shares.values()]

    def widest(self, rows: np.ndarray, wrong: np.ndarray) -> tuple[np.ndarray, float]:
        """Confidences of all rows by the score that accepts most, and its threshold."""
        found = []
        for confidence, choose in zip(self.confidence, self.choose):
            threshold = choose(Splits(confidence[rows], wrong.astype(float)))
            found.append((np.sum(confidence[rows] >= threshold), confidence, threshold))
        return max(found, key=lambda one: one[0])[1:]


def print_methods(zoo: Path, n: int, count: int) -> None:
    """Every method, and a verdict over all cells."""
    cells = []
    print(f"| model | target % | {' | '.join([*VALID, ONE_FILE])} |\n|---|---|" + "---|" * 6)
    ranked = pools(zoo)
    for name, data in models(zoo):
        target = round(float(data.wrong.mean()) / 2, 4)
        methods = {method: by(method, target, DELTA) for method in VALID}
        found = simulate(ranked[name], n, methods, count, target)
        found[ONE_FILE] = one_file(data, n, count, target)
        shown = " | ".join(f"{x.violations:.3f} / {x.coverage:.2f}" for x in found.values())
        print(f"| {name} | {100 * target:.1f} | {shown} |", flush=True)
        cells += [Cell(f"{method}, {name}", x.violations) for method, x in found.items()]
    print(f"\n{verdict(cells, count, DELTA)}\n")


def main() -> None:
    """Print the tables, and whether any guarantee fails too often."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("zoo", type=Path)
    parser.add_argument("--rows", type=int, default=1000)
    parser.add_argument("--draws", type=int, default=2000, help="of one file")
    parser.add_argument("--fits", type=int, default=200, help="of two files")
    parser.add_argument("--target-risk", type=float, default=TARGET, help="of two files")
    args = parser.parse_args()
    print_methods(args.zoo, args.rows, args.draws)
    if not args.fits:
        return
    print("| model | error % | feasible | violations | mean coverage | mean risk % |")
    print("|---|---|---|---|---|---|")
    others, cells = [], []
    for name, data in models(args.zoo):
        found = draws(data, args.rows, args.fits, args.target_risk)
        error = 100 * data.wrong.mean()
        print(f"| {name} | {error:.1f} | {row_of_risk(found['risk'])} |", flush=True)
        others.append(f"| {name} | {row_of_others(found)} |")
        broken = {kind: np.mean([x.broken for x in fits]) for kind, fits in found.items()}
        cells += [Cell(f"{kind}, {name}", rate) for kind, rate in broken.items()]
    print(f"\n| model | {' | '.join(OTHERS.values())} |\n|---|---|---|---|", *others, sep="\n")
    print("\n" + verdict(cells, args.fits, DELTA))


if __name__ == "__main__":
    main()
