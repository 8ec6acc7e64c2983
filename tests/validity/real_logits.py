"""`fit` on logits of trained models, over many splits: `python -m tests.validity.real_logits ZOO`.

The rows of a model's tune and test file (`python -m benchmarks.zoo`) are the population: each
draw fits on rows taken from it at random, and the risk of what its rejector accepts is that over
all rows. n = rows of each split.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

import recuse as rc
from recuse.rejector import choose
from recuse.scores import predict

TARGET, DELTA = 0.02, 0.05
SMOOTHINGS = ("0.0", "0.2")


def pool(path: Path) -> tuple[np.ndarray, np.ndarray] | None:
    """All logits and labels of a model; None where rows depend on each other."""
    parts = [rc.read_logits(p) for p in (path, path.with_name(path.name.replace("-tune", "-test")))]
    if any(part.groups is not None for part in parts):
        return None
    return np.concatenate([p.logits for p in parts]), np.concatenate([p.labels for p in parts])


def draws(z: np.ndarray, y: np.ndarray, n: int, count: int, target: float) -> list[tuple]:
    """Feasible, coverage and risk of each fit, over the population."""
    wrong, out = predict(z) != y, []
    for seed in range(count):
        rows = np.random.default_rng(seed).choice(len(y), 2 * n)  # with replacement: independent
        tune, calibrate = ((z[i], y[i]) for i in (rows[:n], rows[n:]))
        rejector = choose(
            tune, calibrate, target_risk=target, delta=DELTA, allow_overlap=True
        ).rejector
        accept = np.zeros(len(y), bool) if rejector is None else rejector.predict(z).accept
        risk = wrong[accept].mean() if accept.any() else 0.0
        out.append((rejector is not None, accept.mean(), risk))
    return out


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("zoo", type=Path)
    parser.add_argument("--rows", type=int, default=1000)
    parser.add_argument("--draws", type=int, default=200)
    parser.add_argument("--target-risk", type=float, default=TARGET)
    args = parser.parse_args()
    print("| model | error % | feasible | violations | mean coverage | mean risk % |")
    print("|---|---|---|---|---|---|")
    for path in sorted(args.zoo.glob("*-0-tune.safetensors")):
        name = path.name.removesuffix("-0-tune.safetensors")
        data = pool(path) if name.endswith(SMOOTHINGS) else None
        if data is None:
            continue
        found = draws(*data, args.rows, args.draws, args.target_risk)
        feasible, coverage, risk = np.array(found, dtype=float).T
        shown = risk[feasible > 0].mean() if feasible.any() else np.nan
        error = (predict(data[0]) != data[1]).mean()
        print(
            f"| {name} | {100 * error:.1f} | {feasible.mean():.2f} "
            f"| {(risk > args.target_risk).mean():.3f} | {coverage.mean():.3f} "
            f"| {100 * shown:.2f} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
