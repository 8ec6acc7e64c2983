"""What the extra `fast` gains: seconds of CPU of calls with numba and without, on one thread.

    python -m benchmarks.loops [WORDS ...]

prints one row for each call whose name holds one of the words: the first in a process where numba
is installed, the first without it, and a later one with numba loaded, and without. Each is the
least of three processes.
"""

from __future__ import annotations

import os
import subprocess
import sys

CURVE = """
c = rng.normal(size={}).astype("float32")
l = rng.random(c.size) < 1 / (1 + np.exp(2 + c))
"""
LOGITS = "z = 3 * rng.standard_normal(({}, {}), dtype=np.float32)"
LABELLED = """
y = rng.integers(0, 100, 20_000)
z = rng.standard_normal((y.size, 100), dtype=np.float32)
z[np.arange(y.size), y] += rng.normal(4, 2, y.size)
"""
LOSS = """
import torch
torch.set_num_threads(1)
z, y = torch.randn(4096, 1000, requires_grad=True), torch.randint(1000, (4096,))
"""
CALLS = (
    *((f"aurc, {n:,}", CURVE.format(n), "rc.aurc(c, l)") for n in (10**4, 10**6, 10**7)),
    ("sketch, 10,000,000", CURVE.format(10**7), "rc.CurveSketch().update(c, l)"),
    ("bootstrap, 50,000", CURVE.format(50_000), "rc.intervals.bootstrap(c, l)"),
    ("bootstrap, 1,000,000", CURVE.format(10**6), "rc.intervals.bootstrap(c, l, replicates=200)"),
    *(
        (f"{name}, {n:,} x {k:,}", LOGITS.format(n, k), f"rc.scores.{name}(z)")
        for n, k in ((50_000, 1000), (10**6, 10))
        for name in ("msp", "entropy", "logit_norm")
    ),
    ("tune, 20,000 x 100", LABELLED, "rc.tune(z, y)"),
    ("loss, 4,096 x 1,000", LOSS, "rc.losses.smoothed_cross_entropy(z, y, 0.1).backward()"),
)
CODE = """
import sys, time
{first}
import numpy as np, recuse as rc
rng = np.random.default_rng(0)
{data}
for _ in range(3):
    start = time.process_time()
    {call}
    print(time.process_time() - start)
"""


def main() -> None:
    """Print the table."""
    print("| call | first, numba installed | first, without | numba loaded | without |")
    print("|---|---|---|---|---|")
    for name, data, call in CALLS:
        if not sys.argv[1:] or any(word in name for word in sys.argv[1:]):
            first, _ = seconds("", data, call)
            alone, later = seconds("sys.modules['numba'] = None", data, call)
            _, loaded = seconds("import numba", data, call)
            print(
                f"| {name} | {first:.3f} | {alone:.3f} | {loaded:.3f} | {later:.3f} |", flush=True
            )


def seconds(first: str, data: str, call: str) -> tuple[float, float]:
    """Return the CPU time of the first call and the least of a later one."""
    code = CODE.format(first=first, data=data, call=call)
    env = os.environ | {"OMP_NUM_THREADS": "1"}
    runs = []
    for _ in range(3):
        done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True)
        if done.returncode:
            raise SystemExit(f"{code}\n{done.stderr}")
        runs.append([float(line) for line in done.stdout.split()])
    return min(run[0] for run in runs), min(min(run[1:]) for run in runs)


if __name__ == "__main__":
    main()
