"""Formulas of the site as MathML, which browsers draw themselves: no script, no other host."""

import html
import re

from latex2mathml.converter import convert
from mkdocs.exceptions import PluginError

INLINE = re.compile(r'<span class="arithmatex">\\\((.*?)\\\)</span>', re.DOTALL)
DISPLAY = re.compile(r'<div class="arithmatex">\s*\\\[(.*?)\\\]\s*</div>', re.DOTALL)


def on_page_content(content: str, **_: object) -> str:
    """Every formula that arithmatex marked, converted."""
    content = INLINE.sub(lambda m: drawn(m[1], "inline"), content)
    return DISPLAY.sub(lambda m: drawn(m[1], "block"), content)


def drawn(formula: str, display: str) -> str:
    """MathML; a command that the converter does not know would be shown as it is written."""
    found = convert(html.unescape(formula), display=display)
    if ">\\" in found:
        raise PluginError(f"no MathML for {formula}")
    return found
