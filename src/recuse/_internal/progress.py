"""A progress bar on a terminal and in a notebook; nothing is shown elsewhere."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeVar

T = TypeVar("T")


def bar(items: Iterable[T], label: str, *, show: bool = True) -> Iterable[T]:
    """Return the items, and show on stderr how many of them are done."""
    from rich.console import Console
    from rich.progress import track

    screen = Console(stderr=True)
    try:
        total = len(items)  # ty: ignore[invalid-argument-type]
    except TypeError:  # a generator
        total = None
    seen = show and (screen.is_terminal or screen.is_jupyter)
    return track(
        items, description=label, total=total, console=screen, transient=True, disable=not seen
    )
