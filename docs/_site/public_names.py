"""Fail the build if a public name is missing from the reference."""

import ast
import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.exceptions import PluginError

DIRECTIVE = re.compile(r"^::: (recuse[\w.]*)$", re.MULTILINE)
PLACE = re.compile(r'id="(recuse\.[\w.]+)"')


def on_post_build(config: MkDocsConfig) -> None:
    """Check that every function and class of `__all__` has an anchor (constants may share one)."""
    pages = Path(config.docs_dir, "api").glob("*.md")
    modules = {m for page in pages for m in DIRECTIVE.findall(page.read_text(encoding="utf-8"))}
    built = Path(config.site_dir, "api").glob("*.html")
    places = {p for page in built for p in PLACE.findall(page.read_text(encoding="utf-8"))}
    names = {f"{module}.{name}" for module in modules for name in public(module)}
    if missing := sorted(names - places - modules):
        raise PluginError(f"not in the reference: {', '.join(missing)}")


def public(module: str) -> list[str]:
    """Names in its `__all__` without constants; empty if it is not a module."""
    path = Path("src", *module.split("."))
    path = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    body = ast.parse(path.read_text(encoding="utf-8")).body if path.exists() else []
    named = [
        n for n in body if isinstance(n, ast.Assign) and ast.unparse(n.targets[0]) == "__all__"
    ]
    listed = [name for n in named for name in ast.literal_eval(n.value)]
    return [name for name in listed if not name.isupper()]
