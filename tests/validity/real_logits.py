"""`fit` on logits of trained models, over many splits: `python -m tests.validity.real_logits ZOO`.

The rows of a model's tune and test file (`python -m benchmarks.zoo`) are the population: each
draw fits on rows taken from it at random, and what its rejector does is counted over all rows.
n = rows of each split, N = rows of the population.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

import recuse as rc
from recuse.rejector import ALL, CLASS, Choice
from recuse.rejector._fit import chosen
from recuse.rejector._prepare import Prepared, prepare
from recuse.scores import predict
from recuse.selectors import select, select_by_subgroup, select_cost, select_coverage

TARGET, DELTA = 0.02, 0.05
CLASS_TARGET, COVERAGE, COSTS = 0.1, 0.8, (10, 1)
MOST_CLASSES = 10  # of a guarantee for each class: of more, too few rows each
SMOOTHINGS = ("0.0", "0.2")
TUNING: dict[str, Any] = {"objective": "aurc", "target_risk": None, "learned": True}
OTHERS = {"class": f"each class at {CLASS_TARGET}", "coverage": f"coverage {COVERAGE}"}
OTHERS |= {"cost": "mean cost, {}:{}".format(*COSTS)}


class Population(NamedTuple):
    """A model's rows."""

    logits: np.ndarray
    labels: np.ndarray
    prediction: np.ndarray
    wrong: np.ndarray


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
        name: chosen(ready._replace(by=by.get(name, ALL)), selection)
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
        options = {"subgroups": "class", "kind": "logits", "seed": 0, "allow_overlap": True}
        ready = prepare(tune, calibrate, **options, tuning=TUNING)._replace(shared=False)
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


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("zoo", type=Path)
    parser.add_argument("--rows", type=int, default=1000)
    parser.add_argument("--draws", type=int, default=200)
    parser.add_argument("--target-risk", type=float, default=TARGET)
    args = parser.parse_args()
    print("| model | error % | feasible | violations | mean coverage | mean risk % |")
    print("|---|---|---|---|---|---|")
    others = []
    for path in sorted(args.zoo.glob("*-0-tune.safetensors")):
        name = path.name.removesuffix("-0-tune.safetensors")
        data = pool(path) if name.endswith(SMOOTHINGS) else None
        if data is None:
            continue
        found = draws(data, args.rows, args.draws, args.target_risk)
        error = 100 * data.wrong.mean()
        print(f"| {name} | {error:.1f} | {row_of_risk(found['risk'])} |", flush=True)
        others.append(f"| {name} | {row_of_others(found)} |")
    print(f"\n| model | {' | '.join(OTHERS.values())} |\n|---|---|---|---|", *others, sep="\n")


if __name__ == "__main__":
    main()
