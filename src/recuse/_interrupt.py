"""Ctrl-C in the first moments of the command line, while it imports: exit code 130, no traceback.

Python imports the package before any function of it can catch an interruption, so this acts by
being imported, as the first module of `recuse`. A program that imports recuse is left alone.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Sequence

INTERRUPTED = 130  # 128 + SIGINT
TERMINATED = 143  # 128 + SIGTERM


def quiet_while_importing() -> None:
    """End at once by Ctrl-C, until `as_usual`; only where this process is the command line."""
    if runs_recuse(sys.orig_argv) and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, lambda *_: os._exit(INTERRUPTED))


def as_usual() -> None:
    """Ctrl-C raises KeyboardInterrupt, and what was begun is cleaned up."""
    if runs_recuse(sys.orig_argv) and callable(signal.getsignal(signal.SIGINT)):
        signal.signal(signal.SIGINT, signal.default_int_handler)


def runs_recuse(arguments: Sequence[str]) -> bool:
    """Whether a process with these arguments, the interpreter's first, is `recuse`.

    >>> runs_recuse(["python", "/usr/bin/recuse", "demo"]), runs_recuse(["python", "train.py"])
    (True, False)
    >>> runs_recuse(["python", "-I", "-m", "recuse"]), runs_recuse(["python", "-m", "pytest"])
    (True, False)
    """
    rest = list(arguments[1:])
    while rest and rest[0].startswith("-") and rest[0] != "-m":
        rest = rest[2:] if rest[0] in ("-W", "-X") else rest[1:]
    if rest[:1] == ["-m"]:
        return rest[1:2] == ["recuse"]
    return bool(rest) and os.path.basename(rest[0]) in ("recuse", "recuse.exe")


quiet_while_importing()
