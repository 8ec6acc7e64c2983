"""Peak memory of a call (Linux only)."""

from __future__ import annotations

import ctypes
import gc
from collections.abc import Callable
from pathlib import Path


def peak(call: Callable[[], object]) -> float:
    """Return the bytes of resident memory that a call adds at its peak; NaN if unknown."""

    def status(field):
        lines = Path("/proc/self/status").read_text().splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(field))

    try:
        gc.collect()
        ctypes.CDLL("libc.so.6").malloc_trim(0)  # return freed memory
        Path("/proc/self/clear_refs").write_text("5")  # reset the peak to the current use
        before = status("VmRSS")
        result = call()
        highest = status("VmHWM")
        del result
    except (OSError, AttributeError, StopIteration):
        return float("nan")
    return highest - before
