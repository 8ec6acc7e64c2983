"""The sketch of many predictions, against the exact area as torch-uncertainty computes it.

    python -m benchmarks.sketch [--n 10000000 --n 100000000] [--rounds 5] [--no-peer]

One thread, CPU time. Confidences are float32 log-odds, losses booleans, some 8 % of them true.
"sketch" is `CurveSketch.update` of all of them in one call (what is timed includes its checks);
"in batches" the same in batches of 100,000. "width" is that of the certified interval of AURC,
"error" the distance of the estimate from the exact `recuse.aurc`. "from logits" is what a
worker does with a shard: read, check, score, count.

torch-uncertainty is imported where it is installed, and else restated from its formula: an
argsort, a cumulative sum and trapezoids over the rejection rate.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from benchmarks.restated import torch_uncertainty
from recuse import CurveSketch, aurc, write_logits
from recuse.evaluation._shards import Plan
from recuse.sketch._bins import SCALES

BATCH = 100_000


def predictions(n: int) -> tuple[np.ndarray, np.ndarray]:
    """Log-odds, and errors that become rare as they grow."""
    rng = np.random.default_rng(0)
    confidence = rng.standard_gamma(2.0, n, np.float32)
    confidence *= 3
    confidence -= 1
    wrong = rng.random(n, np.float32) < 1 / (1 + np.exp(0.8 * confidence + 0.5))
    return confidence, wrong


def whole(confidence: np.ndarray, wrong: np.ndarray, scale: str = "log_odds") -> CurveSketch:
    """In one call."""
    return CurveSketch(scale).update(confidence, wrong)


def batches(confidence: np.ndarray, wrong: np.ndarray) -> CurveSketch:
    """As they come from a file."""
    sketch = CurveSketch()
    for i in range(0, len(confidence), BATCH):
        sketch.update(confidence[i : i + BATCH], wrong[i : i + BATCH])
    return sketch


def seconds(call: Callable[[], object], rounds: int) -> float:
    """The median CPU time of several runs."""
    taken = []
    for _ in range(rounds):
        start = time.process_time()
        call()
        taken.append(time.process_time() - start)
    return statistics.median(taken)


def file_size(sketch: CurveSketch) -> int:
    """Bytes on disk."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "s.npz"
        sketch.save(path)
        return path.stat().st_size


def measure(n: int, rounds: int, with_peer: bool) -> None:
    """Print what `n` predictions cost."""
    confidence, wrong = predictions(n)
    c, l = torch.from_numpy(confidence), torch.from_numpy(wrong).float()
    print(f"\n{n:,} predictions, {wrong.mean():.1%} wrong")
    print(f"{'':30}{'ms':>10}{'ns each':>9}{'speedup':>9}")
    name, torch_area = torch_uncertainty()
    first = seconds(lambda: torch_area(c, l), min(rounds, 3 if n < 5e7 else 1)) if with_peer else 0
    table = {
        "recuse.aurc (exact)": lambda: aurc(confidence, wrong),
        "sketch": lambda: whole(confidence, wrong),
        "sketch, in batches": lambda: batches(confidence, wrong),
        "sketch, scale float": lambda: whole(confidence, wrong, "float"),
    }
    rows = {name: first} | {k: seconds(call, rounds) for k, call in table.items()}
    for k, t in rows.items():
        ratio = f"{first / t:9.0f}" if first else ""
        print(f"{k:30}{1e3 * t:10.1f}{1e9 * t / n:9.2f}{ratio}", flush=True)
    exact = aurc(confidence, wrong)
    print(f"\nexact AURC {exact:.9f}")
    print(f"{'scale':12}{'width':>10}{'error':>10}{'file KB':>9}{'query ms':>10}")
    for scale in ("log_odds", "float"):
        sketch = whole(confidence, wrong, scale)
        found, taken = sketch.aurc(), seconds(sketch.aurc, 5)
        print(
            f"{scale:12}{found.high - found.low:10.1e}{abs(found.value - exact):10.1e}"
            f"{file_size(sketch) / 1e3:9.0f}{1e3 * taken:10.0f}"
        )
        assert found.low <= exact <= found.high


def from_logits(classes: int, rounds: int) -> None:
    """Print what a prediction of `classes` logits costs, from a file to a sketch."""
    n = 20_000_000 // classes
    rng = np.random.default_rng(0)
    logits, labels = rng.standard_normal((n, classes), np.float32), rng.integers(0, classes, n)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "shard.safetensors"
        write_logits(path, logits, labels)
        Plan().sketch(path)  # compiles
        taken = seconds(lambda: Plan().sketch(path), rounds)
    print(f"from logits of {classes:,} classes: {1e9 * taken / n:,.0f} ns a prediction")


def main() -> None:
    """Print a table for each number of predictions."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--n", type=int, action="append")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--no-peer", action="store_true", help="leave out torch")
    options = parser.parse_args()
    torch.set_num_threads(1)
    state = SCALES["log_odds"].size * 8
    print(f"one thread; {state // 1024} KB of 64-bit counts for each of the two loss classes")
    whole(*predictions(100_000))  # compiles
    whole(*predictions(100_000), "float")
    aurc(*predictions(100_000))
    for n in options.n or (10_000_000, 100_000_000):
        measure(n, options.rounds, not options.no_peer)
    print()
    for classes in (10, 100, 1000):
        from_logits(classes, options.rounds)


if __name__ == "__main__":
    main()
