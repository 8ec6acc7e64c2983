"""Prepare docstrings for the site: fence examples, turn comments beside fields into docstrings."""

import re
from typing import Any

import griffe

EXAMPLE = re.compile(r"^>>> .*(?:\n.+)*", re.MULTILINE)  # until the next empty line


class Examples(griffe.Extension):
    """Fence every doctest in a docstring; use a comment beside a field as its docstring."""

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        """Process one module, class, function or attribute."""
        if obj.docstring and "```" not in obj.docstring.value:
            obj.docstring.value = EXAMPLE.sub(r"```pycon\n\g<0>\n```", obj.docstring.value)

    def on_class_members(self, *, cls: griffe.Class, **_: Any) -> None:
        """Leave out undocumented methods with two underscores."""
        for name, member in list(cls.members.items()):
            if name.startswith("__") and name != "__init__" and not member.docstring:
                del cls.members[name]

    def on_attribute(self, *, attr: griffe.Attribute, **_: Any) -> None:
        """Process one field or constant."""
        if not attr.docstring and (comment := beside(attr)):
            attr.docstring = griffe.Docstring(comment, lineno=attr.lineno, parent=attr)


def beside(attr: griffe.Attribute) -> str:
    """Comment at the end of the defining line, or an empty string."""
    if not isinstance(attr.filepath, list) and attr.endlineno:
        line = attr.filepath.read_text(encoding="utf-8").splitlines()[attr.endlineno - 1]
        return line.partition("  # ")[2].removeprefix("noqa").strip()
    return ""
