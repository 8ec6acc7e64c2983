"""Standard error and bootstrap of AURC, against their peers.

    python -m benchmarks.intervals [--n 50000] [--replicates 1000] [--rounds 5]

Peers resample predictions and compute AURC anew for each replicate. They are timed for a few
replicates and scaled up; rows marked "(all)" are timed in full. torch-uncertainty's metric is
imported where it is installed and restated from its formula otherwise; fd-shifts is always
restated. "MB" is the peak memory of the process above its size before the call (Linux only). CPU
time of one thread.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import numpy as np
import torch

from benchmarks import restated
from benchmarks.memory import peak
from recuse import intervals

FEW = 20  # replicates that a peer is timed for


def numpy_aurc(confidence, loss) -> float:
    """The mean of the risks."""
    order = np.argsort(-confidence)
    return float(np.mean(np.cumsum(loss[order]) / np.arange(1, loss.size + 1)))


def resampled(area: Callable, confidence, loss, replicates: int) -> Callable[[], list[float]]:
    """A naive bootstrap of this AURC, of arrays or of tensors."""

    def draws():
        n = len(loss)
        if isinstance(loss, torch.Tensor):
            return torch.randint(n, (n,))
        return np.random.randint(n, size=n)  # noqa: NPY002

    def call():
        return [area(confidence[i], loss[i]) for i in (draws() for _ in range(replicates))]

    return call


def seconds(call: Callable, rounds: int) -> float:
    """Return the median CPU time of several runs, after one that compiles."""
    call()
    times = []
    for _ in range(rounds):
        start = time.process_time()
        call()
        times.append(time.process_time() - start)
    return statistics.median(times)


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--n", type=int, default=50_000)
    parser.add_argument("--replicates", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    torch.set_num_threads(1)
    rng = np.random.default_rng(0)
    confidence = rng.uniform(size=options.n).astype(np.float32)
    loss = (rng.uniform(size=options.n) < 0.3 * (1 - confidence)).astype(np.float32)
    tensors = torch.from_numpy(confidence), torch.from_numpy(loss)
    name, torch_area = restated.torch_uncertainty()
    peers: dict[str, tuple[Callable, tuple, int]] = {
        name: (torch_area, tensors, FEW),
        "numpy": (numpy_aurc, (confidence, loss), FEW),
        "fd-shifts (restated)": (restated.fd_shifts_aurc, (confidence, loss), 2),
    }

    def ours(weights: str) -> Callable:
        return lambda: intervals.bootstrap(
            confidence, loss, replicates=options.replicates, weights=weights
        )

    rows: dict[str, tuple[Callable, float]] = {
        name: (resampled(area, *data, few), options.replicates / few)
        for name, (area, data, few) in peers.items()
    }
    for weights in ("multinomial", "poisson"):
        rows[f"recuse, {weights} (all)"] = ours(weights), 1.0
    rows["recuse, influence function (all)"] = (
        lambda: intervals.standard_error(confidence, loss),
        1.0,
    )
    print(f"n = {options.n}, {int(loss.sum())} errors, {options.replicates} replicates")
    print(f"{'':40}{'ms':>10}{'ratio':>9}{'MB':>8}")
    first = None
    for name, (call, scale) in rows.items():
        ms = 1e3 * scale * seconds(call, options.rounds)
        first = first or ms
        print(f"{name:40}{ms:10.1f}{first / ms:9.0f}{peak(call) / 2**20:8.1f}", flush=True)
    errors = {
        "multinomial": ours("multinomial")().standard_error,
        "Poisson": ours("poisson")().standard_error,
        "influence": intervals.standard_error(confidence, loss),
    }
    print("standard errors:", ", ".join(f"{name} {x:.3e}" for name, x in errors.items()))


if __name__ == "__main__":
    main()
