"""Exact AURC of float32 confidences and 0-1 losses, against its peers.

    python -m benchmarks.curves [--sizes 50000,1000000,10000000,100000000] [--rounds 5]

torch-uncertainty is imported where it is installed (`make bench`). Otherwise, and
for FixSelectiveClassification and fd-shifts, the peer is restated from its source. "memory"
is the peak over what was there before the call, in bytes a prediction (Linux only).
Confidences have both signs, as log-odds do; 15 % of the predictions are wrong.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import numpy as np
import torch

import recuse as rc
from benchmarks.memory import peak
from recuse.curves import conventions

try:
    from benchmarks import peers
except ImportError:
    peers = None

WRONG = 0.15
SLOW = 2_000_000  # beyond, a loop in Python is not waited for


def torch_restated(confidence, loss):
    """torch-uncertainty's AURC: argsort, cumulated errors, trapezoids."""
    errors = torch.from_numpy(loss).float()[torch.from_numpy(confidence).argsort(descending=True)]
    n = len(errors)
    steps = torch.arange(1, n + 1)
    risk = errors.cumsum(0) / steps.float()
    return float(torch.trapezoid(risk, steps / n) / (1 - 1 / n))


def fix_restated(confidence, loss):
    """FixSelectiveClassification's AURC: sort with indices, cumulated risk, sklearn's auc."""
    _, order = torch.from_numpy(confidence).sort(descending=True)
    risk = torch.from_numpy(loss).float()[order]
    n = len(risk)
    coverage = (1 + torch.arange(n)) / n
    risks = risk.cumsum(0) / n / coverage
    return float(np.trapezoid(np.r_[0.0, risks.numpy()], np.r_[0.0, coverage.numpy()]))


def fd_shifts_restated(confidence, loss):
    """fd-shifts: a loop in Python over the sorted examples."""
    order = np.argsort(confidence)
    c, residuals = confidence[order], loss[order].astype(float)
    covered, total = len(c), sum(residuals)
    coverages, risks = [1.0], [total / covered]
    for i in range(len(c) - 1):
        covered -= 1
        total -= residuals[i]
        if c[i] != c[i + 1]:
            coverages.append(covered / len(c))
            risks.append(total / covered)
    return -1000 * np.trapezoid([*risks, risks[-1]], [*coverages, 0.0])


def programs(n: int) -> dict[str, tuple[Callable, Callable]]:
    """Name -> the program, and ours that has the same value; the first is what ratios are of."""
    first = {"torch-uncertainty (restated)": torch_restated}
    if peers is not None:
        first = {"torch-uncertainty": lambda c, l: peers.torch_uncertainty("AURC", c, l)}
    table = {name: (f, conventions.torch_uncertainty_aurc) for name, f in first.items()}
    table["FixSelectiveClassification (restated)"] = fix_restated, conventions.trapezoid_aurc
    if n <= SLOW:
        table["fd-shifts (restated)"] = fd_shifts_restated, conventions.fd_shifts_aurc
    return table | {"ours": (rc.aurc, rc.aurc)}


def measure(n: int, rounds: int) -> None:
    """Print the rows of one size."""
    rng = np.random.default_rng(0)
    loss = rng.random(n, dtype=np.float32) < WRONG
    confidence = 4 * rng.standard_normal(n, dtype=np.float32) + 3 - 3 * loss
    confidence = confidence.astype(np.float32)
    rng.shuffle(confidence[: n // 100])  # some confident errors
    print(f"\n{n:,} predictions")
    print(f"{'':40}{'ms':>10}{'speedup':>9}{'memory':>8}{'apart by':>10}")
    first = None
    for name, (program, same) in programs(n).items():
        value = program(confidence, loss)  # compiles, too
        memory = peak(lambda p=program: p(confidence, loss)) / n
        seconds = []
        for _ in range(rounds if n < 1e7 else 2):
            start = time.perf_counter()
            program(confidence, loss)
            seconds.append(time.perf_counter() - start)
        median = statistics.median(seconds)
        first = first or median
        apart = "" if same is program else f"{abs(value - same(confidence, loss)):10.0e}"
        line = f"{name:40}{1e3 * median:10.2f}{first / median:9.1f}{memory:8.1f}{apart}"
        print(line, flush=True)


def main() -> None:
    """Print a table for each size."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", default="50000,1000000,10000000,100000000")
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    torch.set_num_threads(1)
    for size in options.sizes.split(","):
        measure(int(size), options.rounds)


if __name__ == "__main__":
    main()
