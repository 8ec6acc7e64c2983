"""Tables as plain data and as plain text."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple


class Table(NamedTuple):
    """A table of plain strings; its first column names the rows."""

    caption: str
    header: Sequence[str]
    rows: Sequence[Sequence[str]]


def text_table(header: Sequence[str], rows: Iterable[Sequence[str]], gap: int = 2) -> str:
    """Return lines of aligned columns: the first to the left, the others to the right.

    >>> print(text_table(["model", "AURC"], [["net", "8.1"], ["net, repaired", "7.0"]]))
    model          AURC
    net             8.1
    net, repaired   7.0
    """
    lines = [header, *rows]
    first, *others = (max(map(len, column)) for column in zip(*lines))
    return "\n".join(
        (name.ljust(first) + "".join(map(str.rjust, cells, (gap + w for w in others)))).rstrip()
        for name, *cells in lines
    )


def block_lines(
    header: Sequence[str], blocks: Mapping[str, Mapping[str, Sequence[str]]]
) -> tuple[str, dict[str, list[str]]]:
    """Return the line of a common header, and under each title its aligned rows."""
    rows = [["", *header]]
    rows += [[f"  {name}", *cells] for block in blocks.values() for name, cells in block.items()]
    head, *lines = text_table(rows[0], rows[1:], gap=1).split("\n")
    at = iter(lines)
    return head, {title: [next(at) for _ in block] for title, block in blocks.items()}
