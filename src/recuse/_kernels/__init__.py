"""Every numba loop, one idea a file. Import them inside functions, where `repays` says so.

numba is the extra `fast`. Without it NumPy does the same, or torch.
"""

import sys
from functools import cache

START = 2.0  # seconds of CPU until numba has started and loaded a compiled loop


_spent = 0.0  # seconds of NumPy so far, in this process


def repays(seconds: float) -> bool:
    """Return whether loops of numba are worth their start in place of so many seconds of NumPy.

    They are where numba is loaded already; never where it is not installed. Else from when NumPy
    has been given as many seconds as the start takes: whatever follows, that is at most twice the
    least. Both ways give the same values, to the last bits.
    """
    global _spent
    if sys.modules.get("numba") is not None:
        return True
    _spent += seconds
    return _spent > START and installed()


def foresee(seconds: float) -> None:
    """Start numba now if what follows would take so many seconds of NumPy, and its start less."""
    if seconds > START:
        installed()


@cache
def installed() -> bool:
    """Return whether numba can be imported: one that does not fit NumPy or llvmlite fails."""
    try:
        import numba  # noqa: F401
    except Exception:
        return False
    return True
