"""Numbers that are given for classes, by name or by index.

K = classes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from recuse._internal.check import check_fraction, is_number
from recuse.errors import InputError
from recuse.present.numbers import listed


def by_index(
    given: Mapping[Any, Any], classes: int, names: Sequence[str] | None, what: str
) -> dict[int, float]:
    """Return a fraction for each class that is given, by the index of the class.

    Args:
        given: Class -> fraction in (0, 1). An integer is the index of a class, a text its name; a
            text of digits that is no name is an index, too.
        classes: K.
        names: Of the classes; None: indices alone.
        what: The argument.

    Raises:
        InputError: An unknown class, one that is given twice, or a fraction out of range.

    >>> by_index({"sick": 0.02, 0: 0.01}, 2, ("healthy", "sick"), "target_risk")
    {1: 0.02, 0: 0.01}
    """
    found: dict[int, float] = {}
    for name, fraction in given.items():
        k = _index(name, classes, names, what)
        if k in found:
            raise InputError(f"expected each class once in `{what}`, got {name!r} twice")
        found[k] = check_fraction(fraction, what)
    return found


def of_every_class(
    given: Mapping[Any, Any], classes: int, names: Sequence[str] | None, what: str
) -> dict[int, float]:
    """Return a fraction for every class, as `by_index`.

    Raises:
        InputError: As `by_index`, or a class without one.
    """
    found = by_index(given, classes, names, what)
    if missing := [k for k in range(classes) if k not in found]:
        named = [str(k if names is None else names[k]) for k in missing[:3]]
        more = ["..."] * (len(missing) > len(named))
        raise InputError(
            f"expected `{what}` for each of {classes} predicted classes, got none for "
            f"{listed(named + more)}"
        )
    return found


def _index(name: Any, classes: int, names: Sequence[str] | None, what: str) -> int:
    """Return the index of a class."""
    if names is not None and name in names:
        return list(names).index(name)
    if isinstance(name, str) and name.isascii() and name.isdecimal():
        name = int(name)
    if is_number(name) and isinstance(name, (int, np.integer)) and 0 <= name < classes:
        return int(name)
    known = f"indices in 0..{classes - 1}" if names is None else f"{listed(names[:5])}"
    raise InputError(f"expected `{what}` of classes, {known}, got {name!r}")
