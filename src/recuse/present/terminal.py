"""Printing on a terminal: text, tables and progress, with one console for each stream."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence, Sized
from contextlib import contextmanager
from typing import Any, TypeVar

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from recuse._internal.check import installed
from recuse.present.text import block_lines

PIPE_WIDTH = 160  # columns of a table that goes into a file or a pipe
LONG = 1 << 26  # bytes to read that deserve a bar

Part = TypeVar("Part", bound=Sized)
Item = TypeVar("Item")


def console(*, stderr: bool = False) -> Console:
    """A console that does not wrap tables where nobody sees a terminal."""
    screen = Console(stderr=stderr, highlight=False)
    if screen.is_terminal:
        return screen
    return Console(stderr=stderr, highlight=False, width=PIPE_WIDTH)


def say(text: str = "") -> None:
    """Print plain text: no markup, wrapped at the terminal's width."""
    console().print(escape(text), soft_wrap=not console().is_terminal)


def grid(header: Sequence[str], rows: Iterable[Sequence[str]], **options: Any) -> Table:
    """Return a table; the first column is text, the others are numbers."""
    out = Table(**options)
    for i, name in enumerate(header):
        out.add_column(escape(name), justify="left" if i == 0 else "right", overflow="fold")
    for row in rows:
        out.add_row(*(escape(cell) for cell in row))
    return out


def table(header: Sequence[str], rows: Iterable[Sequence[str]], *, title: str = "") -> None:
    """Print a table; the first column is text, the others are numbers."""
    options = {"title": escape(title) or None, "title_justify": "left", "title_style": "bold"}
    console().print(grid(header, rows, **options))


def blocks(header: Sequence[str], rows: Mapping[str, Mapping[str, Sequence[str]]]) -> None:
    """Print one header, then under each title its rows: name and cells. Fits 80 columns."""
    head, blocks_of = block_lines(header, rows)
    screen = console()
    screen.print(head, markup=False, style="bold", soft_wrap=True)
    for title, lines in blocks_of.items():
        screen.print(title, markup=False)
        for line in lines:
            screen.print(line, markup=False, soft_wrap=True)


def progress(
    parts: Iterable[Part], total: int, nbytes: int, label: str, *, quiet: bool = False
) -> Iterator[Part]:
    """The parts, with a bar of their rows on stderr if that is a terminal and it takes long."""
    screen = console(stderr=True)
    if quiet or nbytes < LONG or not screen.is_terminal:
        yield from parts
        return
    from rich.progress import Progress

    with Progress(console=screen, transient=True) as bar:
        task = bar.add_task(escape(label), total=total)
        for part in parts:
            yield part
            bar.advance(task, len(part))


@contextmanager
def working(what: str, *, quiet: bool = False) -> Generator[None]:
    """What takes long, and for how long already, on stderr if that is a terminal."""
    screen = console(stderr=True)
    if quiet or not screen.is_terminal:
        yield
        return
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    columns = SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn()
    with Progress(*columns, console=screen, transient=True) as bar:
        bar.add_task(escape(what), total=None)
        yield


def bar(items: Iterable[Item], label: str, *, show: bool = True) -> Iterable[Item]:
    """Return the items, and show on stderr how many of them are done."""
    from rich.progress import track

    screen = Console(stderr=True)
    try:
        total = len(items)  # ty: ignore[invalid-argument-type]
    except TypeError:  # a generator
        total = None
    # without ipywidgets, rich would print a warning in place of the bar
    seen = show and (screen.is_terminal or (screen.is_jupyter and installed("ipywidgets")))
    return track(
        items, description=label, total=total, console=screen, transient=True, disable=not seen
    )
