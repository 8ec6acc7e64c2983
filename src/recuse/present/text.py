"""Tables as plain text, typographic signs of the HTML page, and names that keep their direction."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

SCORES = {
    "msp": "MSP",
    "learned": "the learned score",
    "combination": "the combination of confidences",
}


class Table(NamedTuple):
    """A table of plain strings; its first column names the rows."""

    caption: str
    header: Sequence[str]
    rows: Sequence[Sequence[str]]


def score_name(score: Any) -> str:
    """Name a score in a sentence.

    >>> score_name("msp"), score_name("logit_norm(p=4, center=true)")
    ('MSP', 'logit_norm(p=4, center=true)')
    """
    return SCORES.get(str(score), str(score))


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
    r"""Return the lines of a common header, and under each title its aligned rows.

    >>> head, lines = block_lines(["AURC", "risk\n(%)"], {"net": {"msp": ["8.1", "20.0"]}})
    >>> print(head, *lines["net"], sep="\n")
               risk
          AURC  (%)
      msp  8.1 20.0
    """
    names = [name.split("\n") for name in header]
    tall = max(map(len, names), default=1)
    heads = [["", *line] for line in zip(*([""] * (tall - len(name)) + name for name in names))]
    rows = [[f"  {name}", *cells] for block in blocks.values() for name, cells in block.items()]
    lines = text_table(heads[0], [*heads[1:], *rows], gap=1).split("\n")
    at = iter(lines[tall:])
    return "\n".join(lines[:tall]), {
        title: [next(at) for _ in block] for title, block in blocks.items()
    }


SPACE = "\u00a0"  # keeps a number and its unit on one line
SIGNS = (
    (re.compile(r"\+-"), "±"),
    (re.compile(r"(?<![\w.=/-])-(?=\d|inf\b)"), "−"),
    (re.compile(r"(?<![\w.=/-])inf\b"), "∞"),
    (re.compile(r"(?<=\d) %"), f"{SPACE}%"),
    (re.compile(r"\bp ([<=]) (?=\d)"), rf"p{SPACE}\1{SPACE}"),
    (re.compile(r"(?<=,) (?=[−\d.∞]+\]$)"), SPACE),
    (re.compile(r"^-$|(?<=^p )-$"), "–"),
)
TURNING = re.compile("[\u202a-\u202e\u2066-\u2069]")
RIGHT_TO_LEFT = ("R", "AL", "AN")  # of Unicode's bidirectional classes


def typeset(text: str) -> str:
    r"""Return the text with a minus, a plus-minus, an infinity and a dash as such.

    Numbers stay on one line with their units. Hyphens within words and scores are left alone.

    >>> typeset("-0.5 +- 0.1"), typeset("-inf"), typeset("logit_norm(p=inf)"), typeset("-")
    ('−0.5 ± 0.1', '−∞', 'logit_norm(p=inf)', '–')
    >>> typeset("5 % of cross-entropy-2")
    '5\xa0% of cross-entropy-2'
    """
    for sign, shown in SIGNS:
        text = sign.sub(shown, text)
    return text


def isolated(name: str) -> str:
    r"""Return a name that cannot turn the direction of the sentence around it.

    A name written from right to left stands in an isolate; controls of direction are spelled out.

    >>> isolated("net"), isolated("net\u202e")
    ('net', 'net[U+202E]')
    """
    spelled = TURNING.sub(lambda found: f"[U+{ord(found[0]):04X}]", name)
    if not any(unicodedata.bidirectional(letter) in RIGHT_TO_LEFT for letter in spelled):
        return spelled
    return f"\u2068{spelled}\u2069"
