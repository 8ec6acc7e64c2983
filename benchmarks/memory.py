"""How much memory a call needs (Linux only)."""

from __future__ import annotations

import ctypes
import gc
from collections.abc import Callable
from pathlib import Path


def peak(call: Callable[[], object]) -> float:
    """Bytes of resident memory that the call needs at its peak; NaN where unknown."""

    def status(field):
        lines = Path("/proc/self/status").read_text().splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(field))

    try:
        gc.collect()
        ctypes.CDLL("libc.so.6").malloc_trim(0)  # what was freed is given back
        Path("/proc/self/clear_refs").write_text("5")  # the peak is now what is in use
        before = status("VmRSS")
        result = call()
        highest = status("VmHWM")
        del result
    except (OSError, AttributeError, StopIteration):
        return float("nan")
    return highest - before
