"""A held-out file of any size, and the peak memory of a command on it."""

from __future__ import annotations

import subprocess
import sys

import numpy as np

BLOCK = 5000  # rows made at a time
LIMIT = 500  # MB, beside five bytes a row

# ru_maxrss would count what this process had before the other began
MEASURE = """
import sys
from recuse import cli
try:
    cli.main()
finally:
    with open("/proc/self/status") as status:
        print(next(line for line in status if line.startswith("VmHWM")), file=sys.stderr)
"""


def folder(path, n, classes):
    """logits.npy (n, classes) float32 and labels.npy, written block by block."""
    path.mkdir()
    rng = np.random.default_rng(0)
    labels = rng.integers(0, classes, n)
    noise = rng.normal(size=(BLOCK, classes)).astype(np.float32)
    with (path / "logits.npy").open("wb") as file:
        header = {"shape": (n, classes), "fortran_order": False, "descr": "<f4"}
        np.lib.format.write_array_header_1_0(file, header)
        for start in range(0, n, BLOCK):
            y = labels[start : start + BLOCK]
            z = noise[: y.size].copy()
            z[np.arange(y.size), y] += rng.uniform(0, 6, y.size)
            z.tofile(file)
    np.save(path / "labels.npy", labels)
    return path


def peak(*arguments):
    """Exit code, stdout, stderr, and the most MB that the command held at once (Linux)."""
    done = subprocess.run(
        [sys.executable, "-c", MEASURE, *map(str, arguments)], capture_output=True, text=True
    )
    megabytes = int(done.stderr.split("VmHWM:")[1].split()[0]) / 1000
    return done.returncode, done.stdout, done.stderr, megabytes
