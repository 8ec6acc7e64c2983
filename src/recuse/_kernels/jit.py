"""numba's `njit`, cached on disk where there is a place for it.

numba refuses to compile with a cache where it can write neither beside the code nor in a home,
as in a read-only container. There the loops are compiled anew by each process.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numba


def njit(**options: Any) -> Callable[[Callable], Any]:
    """`numba.njit(cache=True, **options)`, or without the cache where none can be kept."""

    def decorate(function: Callable) -> Any:
        try:
            return numba.njit(cache=True, **options)(function)
        except RuntimeError:  # "cannot cache function: no locator available"
            return numba.njit(**options)(function)

    return decorate
