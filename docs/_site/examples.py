"""Docstrings as pages: examples become code, comments beside fields become their words."""

import re
from typing import Any

import griffe

EXAMPLE = re.compile(r"^>>> .*(?:\n.+)*", re.MULTILINE)  # until the next empty line


class Examples(griffe.Extension):
    """Fences every doctest in a docstring; a comment beside a field is its docstring."""

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        """Of one module, class, function or attribute."""
        if obj.docstring and "```" not in obj.docstring.value:
            obj.docstring.value = EXAMPLE.sub(r"```pycon\n\g<0>\n```", obj.docstring.value)

    def on_class_members(self, *, cls: griffe.Class, **_: Any) -> None:
        """Methods with two underscores are left out where they say nothing."""
        for name, member in list(cls.members.items()):
            if name.startswith("__") and name != "__init__" and not member.docstring:
                del cls.members[name]

    def on_attribute(self, *, attr: griffe.Attribute, **_: Any) -> None:
        """Of one field or constant."""
        if not attr.docstring and (comment := beside(attr)):
            attr.docstring = griffe.Docstring(comment, lineno=attr.lineno, parent=attr)


def beside(attr: griffe.Attribute) -> str:
    """The comment at the end of the line on which it is defined, or nothing."""
    if not isinstance(attr.filepath, list) and attr.endlineno:
        line = attr.filepath.read_text(encoding="utf-8").splitlines()[attr.endlineno - 1]
        return line.partition("  # ")[2].removeprefix("noqa").strip()
    return ""
