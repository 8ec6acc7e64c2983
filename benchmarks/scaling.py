"""Seconds of CPU and bytes a row of curves, sketches, decisions, intervals and comparisons.

    python -m benchmarks.scaling [--rows 10000,100000,1000000,10000000,100000000] [--rounds 3]

One thread. Each measurement is made in a process of its own. It runs the call once for 20,000
rows, so that numba is loaded and its loops are compiled, and then `rounds` times (once beyond CHUNK
rows): the least is printed, and in nanoseconds a row. "B/row" is the peak of the memory that a run
adds to what was there before, its input included (Linux only). `--no-numba` measures NumPy alone.

Confidences are float32 log-odds, some 8 % of the predictions are wrong; `compare` is given a second
score of the same predictions. `predict` decides on float32 logits of 10 classes: more rows than
CHUNK are decided a chunk at a time, as a user would from a file, and B/row is that of a chunk.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Callable

import numpy as np

import recuse as rc
from benchmarks.memory import peak

WARM = 20_000  # rows
CLASSES = 10
CHUNK = 10_000_000  # rows of logits: 400 MB
ROWS = "10000,100000,1000000,10000000,100000000"


def predictions(n: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Two confidences of the same predictions, and errors that become rare as they grow."""
    rng = np.random.default_rng(0)
    confidence = rng.standard_gamma(2.0, n, np.float32)
    confidence *= 3
    confidence -= 1
    noise = rng.random(n, np.float32)
    wrong = noise < 1 / (1 + np.exp(0.8 * confidence + 0.5))
    noise += confidence
    return confidence, noise, wrong


def logits(n: int) -> tuple[np.ndarray, np.ndarray]:
    """Logits of a fair classifier, and labels."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, CLASSES, n)
    z = rng.standard_normal((n, CLASSES), np.float32)
    z[np.arange(n), labels] += rng.standard_gamma(2.0, n, np.float32) * 2
    return z, labels


def ranked(call: Callable) -> Callable[[int], Callable[[], object]]:
    """A call of confidence and loss, for n rows."""

    def of(n: int) -> Callable[[], object]:
        confidence, _, wrong = predictions(n)
        return lambda: call(confidence, wrong)

    return of


def paired(n: int) -> Callable[[], object]:
    """`compare` of n rows."""
    first, second, wrong = predictions(n)
    return lambda: rc.intervals.compare(first, wrong, second, wrong)


def decided(n: int) -> Callable[[], object]:
    """`Rejector.predict` of n rows."""
    z, y = logits(WARM)
    half = WARM // 2
    rejector = rc.fit((z[:half], y[:half]), (z[half:], y[half:]), target_risk=0.1)
    rows = logits(n)[0]
    return lambda: rejector.predict(rows)


CALLS: dict[str, Callable[[int], Callable[[], object]]] = {
    "aurc": ranked(rc.aurc),
    "CurveSketch.update": ranked(lambda c, l: rc.CurveSketch().update(c, l)),
    "Rejector.predict": decided,
    "interval": ranked(rc.intervals.interval),
    "compare": paired,
}


def measure(name: str, n: int, rounds: int) -> tuple[float, float]:
    """Return seconds, and bytes a row."""
    chunks = max(1, n // CHUNK) if name == "Rejector.predict" else 1
    CALLS[name](WARM)()
    call = CALLS[name](n // chunks)
    size = peak(call) * chunks / n
    seconds = []
    for _ in range(rounds if n <= CHUNK else 1):
        start = time.process_time()
        for _ in range(chunks):
            call()
        seconds.append(time.process_time() - start)
    return min(seconds), size


def in_process(name: str, n: int, rounds: int, *flags: str) -> tuple[float, float]:
    """Return what `measure` does, in a process of its own."""
    program = [sys.executable, "-m", "benchmarks.scaling", "--one", name, str(n)]
    threads = {f"{library}_NUM_THREADS": "1" for library in ("OMP", "OPENBLAS", "MKL", "NUMBA")}
    done = subprocess.run(
        [*program, "--rounds", str(rounds), *flags],
        env=os.environ | threads,
        check=True,
        capture_output=True,
        text=True,
    )
    seconds, size = map(float, done.stdout.split())
    return seconds, size


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", default=ROWS)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--no-numba", action="store_true")
    parser.add_argument("--one", nargs=2, metavar=("CALL", "ROWS"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        if options.no_numba:
            sys.modules["numba"] = None  # type: ignore[assignment]
        else:
            import numba  # noqa: F401
        print(*measure(options.one[0], int(options.one[1]), options.rounds))
        return
    flags = ["--no-numba"] * options.no_numba
    print(f"{'':20}{'rows':>12}{'seconds':>10}{'ns/row':>8}{'B/row':>7}")
    for name in CALLS:
        for n in map(int, options.rows.split(",")):
            seconds, size = in_process(name, n, options.rounds, *flags)
            print(f"{name:20}{n:12,}{seconds:10.4f}{1e9 * seconds / n:8.1f}{size:7.1f}", flush=True)


if __name__ == "__main__":
    main()
