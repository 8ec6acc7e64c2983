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
from benchmarks import restated
from benchmarks.memory import peak
from recuse.curves import conventions

WRONG = 0.15
SLOW = 2_000_000  # beyond, a loop in Python is not waited for


def programs(n: int) -> dict[str, tuple[Callable, Callable]]:
    """Name -> the program, and ours that has the same value; the first is what ratios are of."""
    name, first = restated.torch_uncertainty()
    table: dict[str, tuple[Callable, Callable]] = {
        name: (on_tensors(first), conventions.torch_uncertainty_aurc),
        "FixSelectiveClassification (restated)": (
            on_tensors(restated.fix_aurc),
            conventions.trapezoid_aurc,
        ),
    }
    if n <= SLOW:
        table["fd-shifts (restated)"] = restated.fd_shifts_aurc, conventions.fd_shifts_aurc
    return table | {"ours": (rc.aurc, rc.aurc)}


def on_tensors(program: Callable) -> Callable:
    """For arrays; the tensors share their memory, but for the losses as float32."""
    return lambda c, l: program(torch.from_numpy(c), torch.from_numpy(l).float())


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
