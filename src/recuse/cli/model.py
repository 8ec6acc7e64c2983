"""`path.py:function`: a function of the user that returns a model."""

from __future__ import annotations

import sys
from collections.abc import Callable
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import ModuleType
from typing import Any

from recuse.errors import InputError


def load_function(spec: str, *, name: str = "--model") -> Callable[[], Any]:
    """The function of `path.py:function`; the file runs, as a script of its own would.

    `name` is what the command calls it.
    """
    file, _, function = spec.rpartition(":")
    path = Path(file)
    if path.suffix != ".py" or not function.isidentifier():
        raise InputError(f"expected {name} path.py:function, got {spec!r}")
    if not path.is_file():
        raise InputError(f"{path}: no such file")
    loader = SourceFileLoader(f"_model_{path.stem}", str(path.absolute()))
    module = sys.modules[loader.name] = ModuleType(loader.name)
    module.__file__ = loader.path
    sys.path.insert(0, str(path.parent.absolute()))
    _users(spec, loader.exec_module, module)
    if not callable(getattr(module, function, None)):
        raise InputError(f"{path}: expected a function {function!r}, got none")
    return lambda: _users(spec, getattr(module, function))


def _users(spec: str, call: Callable[..., Any], *arguments: Any) -> Any:
    """Call the user's code; what it raises is one line, its own exit included."""
    try:
        return call(*arguments)
    except (Exception, SystemExit) as error:
        reason = " ".join(str(error).split())
        raise InputError(f"{spec} raised {type(error).__name__}: {reason}") from error
