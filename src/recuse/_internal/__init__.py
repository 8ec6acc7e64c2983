"""Checks of arguments, files and progress, for the packages of recuse alone."""

from __future__ import annotations

from typing import TypeVar

T = TypeVar("T")


def public(thing: T) -> T:
    """Name `recuse` as the module of a function or class that it exports.

    Tracebacks, `help` and pickles then say `recuse.fit`, and files move freely below it.
    """
    thing.__module__ = "recuse"
    return thing
