"""What recuse raises: malformed input, a missing extra, a guarantee that no threshold can give."""

from __future__ import annotations

from typing import Any


class InputError(ValueError):
    """The caller's input is malformed; the message is one line and says how."""


class MissingExtraError(ImportError):
    """An optional dependency is not installed; the message names the extra."""


class InfeasibleError(ValueError):
    """No threshold meets the target; `selection` says why, and what would be feasible."""

    def __init__(self, selection: Any):
        super().__init__(selection.reason)
        self.selection = selection
