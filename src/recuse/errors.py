"""Errors that recuse raises."""

from __future__ import annotations

from typing import Any


class InputError(ValueError):
    """The input is malformed; the message says in one line what was expected and what came."""

    __module__ = "recuse"


class DataWarning(UserWarning):
    """The data may not be what a guarantee rests on; the command line says it in one line."""

    __module__ = "recuse.errors"


class MissingExtraError(ImportError):
    """An optional dependency is not installed; the message names the extra to install."""

    __module__ = "recuse"


class InfeasibleError(ValueError):
    """No threshold meets the target; `selection` says why, and which targets are feasible."""

    __module__ = "recuse"

    def __init__(self, selection: Any):
        super().__init__(selection.reason)
        self.selection = selection

    def __reduce__(self) -> tuple[type, tuple[Any]]:
        return type(self), (self.selection,)  # from another process: as it was made
