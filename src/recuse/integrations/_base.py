"""The classes of other packages that ours extend."""

from __future__ import annotations

import importlib
from typing import Any

from recuse._internal.check import extra


def base_class(module: str, name: str, extra_name: str) -> Any:
    """The class to extend; where it is not installed, one that says so when it is made.

    >>> class Logger(base_class("no_such_package", "Callback", "train")): ...
    >>> Logger()
    Traceback (most recent call last):
    recuse.MissingExtraError: Logger needs no_such_package: pip install 'recuse[train]'
    """
    try:
        return getattr(importlib.import_module(module), name)
    except ImportError:

        class Missing:
            def __new__(cls, *args, **kwargs):
                return extra(module, extra_name, cls.__name__)

        return Missing
