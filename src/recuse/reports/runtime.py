"""The JavaScript that draws the charts: Vega, Vega-Lite and vega-embed in one script.

The bundle depends only on the version of vl-convert, takes seconds to make, and is kept in
the user's cache folder.
"""

from __future__ import annotations

import os
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path

from recuse._internal.files import write_text
from recuse.errors import InputError


def bundle() -> str:
    """The script that defines `vegaEmbed`, with its expression interpreter: it needs no eval."""
    import vl_convert

    cached = _cache() / f"vega-{version('vl-convert-python')}.js"
    with suppress(OSError):
        return cached.read_text(encoding="utf-8")
    script = vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;")
    with suppress(OSError, InputError):  # a read-only home costs time, not the report
        write_text(cached, script)
    return script


def _cache() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "recuse"
