"""Convert the formulas of the site to MathML, which browsers draw without scripts."""

import html
import re

from latex2mathml.converter import convert
from mkdocs.exceptions import PluginError

INLINE = re.compile(r'<span class="arithmatex">\\\((.*?)\\\)</span>', re.DOTALL)
DISPLAY = re.compile(r'<div class="arithmatex">\s*\\\[(.*?)\\\]\s*</div>', re.DOTALL)


def on_page_content(content: str, **_: object) -> str:
    """Convert every formula that arithmatex marked."""
    content = INLINE.sub(lambda m: drawn(m[1], "inline"), content)
    return DISPLAY.sub(lambda m: drawn(m[1], "block"), content)


def drawn(formula: str, display: str) -> str:
    """Convert to MathML; unknown commands would be shown as source."""
    found = convert(html.unescape(formula), display=display)
    if ">\\" in found:
        raise PluginError(f"no MathML for {formula}")
    return found
