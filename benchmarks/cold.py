"""Seconds of CPU to the first answer of each call and command, each in a fresh process.

    python -m benchmarks.cold [--rows 10000] [--classes 10]

prints one row for each: with an empty cache of numba, with what that run left in it, and without
numba. Imports count; the calls of Python make their data by NumPy, which counts, too.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

import recuse as rc

GOAL = 1.5  # seconds, without torch
DATA = """
rng = np.random.default_rng(0)
y = rng.integers(0, {classes}, {rows})
z = rng.normal(size=(y.size, {classes})).astype("float32")
z[np.arange(y.size), y] += rng.gamma(2.0, 1.5, y.size).astype("float32")
c = z.max(axis=1)
l = z.argmax(axis=1) != y
t, k = slice(0, y.size // 2), slice(y.size // 2, None)
thirds = [(z[i::3], y[i::3]) for i in range(3)]
"""
CALLS = (
    "rc.aurc(c, l)",
    "rc.risk_coverage(c, l)",
    "rc.coverage_at_risk(c, l, 0.05)",
    "rc.scores.msp(z)",
    "rc.select(c, l, target_risk=0.1)",
    "rc.select(c[k], l[k], target_risk=0.1, tune=(c[t], l[t]))",
    "rc.bounds.betting_upper(l, 0.05)",
    "rc.intervals.interval(c, l)",
    "rc.intervals.bootstrap(c, l).percentile()",
    "rc.calibration.ece(1 / (1 + np.exp(-rc.scores.msp(z))), l)",
    "rc.CurveSketch().update(c, l).aurc()",
    "rc.tune(z, y)",
    "rc.diagnose(z, y)",
    "rc.fit((z[t], y[t]), (z[k], y[k]), target_risk=0.1).predict(z)",
    "rc.evaluate({'net': dict(zip(('tune', 'calibrate', 'test'), thirds))})",
)
COMMANDS = (
    "--version",
    "--help",
    "import tune.npz --out again.npz",
    "split tune.npz --parts a=0.5,b=0.5 --out parts",
    "evaluate tune.npz",
    "compare tune.npz --score msp --score-b margin",
    "sketch tune.npz --out sketch.npz",
    "diagnose tune.npz",
    "fit --tune tune.npz --calibrate calibrate.npz --target-risk 0.1 --out rejector.json",
    "predict rejector.json tune.npz",
    "report --model ours=. --out page.html",
    "run tune.npz --target-risk 0.1 --out all",
)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=10_000)
    parser.add_argument("--classes", type=int, default=10)
    options = parser.parse_args()
    data = DATA.format(**vars(options))
    scope = {"np": np}
    exec(data, scope)
    print(f"| {options.rows:,} x {options.classes} | empty cache | warm cache | without numba |")
    print("|---|---|---|---|")
    for call in CALLS:
        show(call, f"import numpy as np, recuse as rc\n{data}\n{call}", scope)
    for command in COMMANDS:
        code = "import sys; sys.argv[1:] = {!r}; from recuse.cli import main; main()"
        show(f"recuse {command}", code.format(command.split()), scope)


def show(name: str, code: str, scope: dict) -> None:
    """Print the row of a call or command."""
    with TemporaryDirectory() as cache:
        blocked = "import sys; sys.modules['numba'] = None\n" + code
        found = [seconds(run, cache, scope) for run in (code, code, blocked)]
    late = " (late)" if max(found) > GOAL else ""
    print(f"| `{name}`{late} | {' | '.join(f'{s:.2f}' for s in found)} |", flush=True)


def seconds(code: str, cache: str, scope: dict) -> float:
    """Return the CPU time of code in a process and a folder of its own."""
    env = os.environ | {"NUMBA_CACHE_DIR": cache, "OMP_NUM_THREADS": "1"}
    with TemporaryDirectory() as folder:
        for name, (z, y) in zip(("tune", "calibrate", "test"), scope["thirds"]):
            rc.write_logits(Path(folder, f"{name}.npz"), z, y)
        if "rejector.json tune" in code.replace("', '", " "):
            held = (rc.read(Path(folder, name)) for name in ("tune.npz", "calibrate.npz"))
            rc.fit(*held, target_risk=0.1).save(Path(folder, "rejector.json"))
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        done = subprocess.run(
            [sys.executable, "-c", code], cwd=folder, env=env, capture_output=True, text=True
        )
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode:
        raise SystemExit(f"{code}\n{done.stderr}")
    return after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime


if __name__ == "__main__":
    main()
