"""Text for the HTML page: typographic signs, and names that keep their direction to themselves."""

from __future__ import annotations

import re
import unicodedata

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
