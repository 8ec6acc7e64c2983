"""Subgroups: their numbers, their share of the level, and their tests.

b = rows that come together. The numbers of the rejector's rules are their places; subgroups that
the rejector does not know follow in the order in which they appear.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from recuse.errors import InputError
from recuse.monitor._state import Terms
from recuse.monitor._verdict import Counts, SubgroupTest
from recuse.present import monitor as words
from recuse.rejector import CLASS

if TYPE_CHECKING:
    from jaxtyping import Int, Shaped
    from numpy import ndarray as Array

Names = Sequence[int | str]


def codes_of(
    told: Shaped[Array, " b"], names: Names, terms: Terms
) -> tuple[Int[Array, " b"], list[int | str]]:
    """Return the number of each subgroup, and all names, with new ones at the end.

    A predicted class is an integer, or a text: its name, or its number where that is no name;
    as "1.0", too, which pandas makes of a column of numbers with blanks.
    """
    classes = len(terms.rules)
    if terms.by == CLASS and told.dtype.kind in "iu":
        if told.size and not 0 <= int(told.min()) <= int(told.max()) < classes:
            raise InputError(f"expected `subgroups` of predicted classes in 0..{classes - 1}")
        return told.astype(np.int64), [*names]
    found = {str(k): k for k in range(classes)} if terms.by == CLASS else {}
    found |= {str(name): code for code, name in enumerate(names)}
    if terms.by == CLASS:
        found = {f"{name}.0": k for name, k in found.items() if name.isdecimal()} | found
    values, first, row = np.unique(told.astype(str), return_index=True, return_inverse=True)
    fresh = [name for name in values[np.argsort(first)].tolist() if name not in found]
    found |= {name: len(names) + i for i, name in enumerate(fresh)}
    return np.array([found[name] for name in values.tolist()], np.int64)[row], [*names, *fresh]


def tested(terms: Terms, names: Names | None) -> dict[int, tuple[float, float]]:
    """Return the target of each subgroup that is tested, and its weight; weights sum to <= 1.

    Those of the rejector weigh alike. Of others it is not known beforehand how many there will
    be: the j-th to appear has the weight 1 / (j (j + 1)).

    >>> terms = Terms("", 0.05, 0.05, "prediction", 2000, 1600, 0.0)
    >>> tested(terms, ["A", "B"])
    {0: (0.05, 0.5), 1: (0.05, 0.16666666666666666)}
    """
    if names is None:
        return {}
    if not terms.rules:
        return {k: (terms.target_risk, 1 / ((k + 1) * (k + 2))) for k in range(len(names))}
    rules = {k: rule for k, rule in enumerate(terms.rules) if rule.accepted}
    return {k: (rule.target_risk, 1 / len(rules)) for k, rule in rules.items()}


def name_of(names: Names | None, code: int) -> str:
    """Return the name of the test of a subgroup."""
    return words.RISK_OF.format((names or ())[code])


def tests_of(
    terms: Terms,
    names: Names | None,
    units: Any,
    log_e: Mapping[str, float],
    limit: Mapping[str, float],
) -> tuple[SubgroupTest, ...]:
    """Return the counts and the test of each subgroup."""
    counts = np.zeros((len(names or ()), 4), np.int64)
    if len(counts):
        counts[: len(units.counts)] = units.counts
    found = []
    for k, so_far in enumerate(counts.tolist()):
        rule, name = terms.rules[k] if k < len(terms.rules) else None, name_of(names, k)
        found.append(
            SubgroupTest(
                (names or ())[k],
                Counts(*so_far),
                None if rule is None else rule.counts,
                terms.target_risk if rule is None else rule.target_risk,
                log_e.get(name, 0.0),
                limit.get(name, math.inf),
                name in log_e and log_e[name] >= math.log(limit[name]),
            )
        )
    return tuple(found)
