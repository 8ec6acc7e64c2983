"""Do the numbers of a promise agree with each other? What a loaded file is asked.

n = calibrate examples.

A checksum shows that a file is what was saved, not that what was saved is true. Each method
deploys a threshold only where a test of the recorded counts passed; so the test is done again.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from typing import Any

from recuse._check import InputError
from recuse._json import strict
from recuse.bounds import binomial_p_value
from recuse.selectors import Guarantee, walk_level
from recuse.selectors._methods import METHODS, RANKS

COUNTS: dict[str, type] = {
    "target_risk": float,
    "delta": float,
    "method": str,
    "n": int,
    "accepted": int,
    "errors": int,
    "assumption": str,
    "unit": str,
    "void": bool,
}
UNITS = ("examples", "groups")
DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
ROUNDING = 1e-9  # relative: another machine's last bits of a p-value
LONGEST_WALK = 5000  # steps whose level is computed at once; longer walks have a smaller one
WALK_ROUNDING = 0.01  # of the logarithm of a walk's level, which is found by halving


def read_guarantee(data: Any) -> Guarantee:
    """The guarantee of these fields, if its counts pass the test that they claim to have passed."""
    strict(data, COUNTS, "`guarantee`")
    g = Guarantee(**data)
    if not (0 < g.target_risk < 1 and 0 < g.delta < 0.5 and 0 <= g.errors <= g.accepted <= g.n > 0):
        raise InputError("expected `guarantee` with fractions, and counts errors <= accepted <= n")
    if g.method not in METHODS or g.unit not in UNITS:
        raise InputError(f"expected `guarantee` of a known method and unit, got {g.method!r}")
    p, level = LEVELS.get(g.method, _fixed)(g)
    if p > level * (1 + ROUNDING):
        raise InputError(
            f"its counts do not support its promise: {g.errors} errors among {g.accepted} accepted "
            f"have a p-value of {p:.3g} for a risk of {g.target_risk:g}, where {g.method} needs "
            f"{level:.3g}"
        )
    return g


def check_splits(splits: Any, guarantee: Guarantee) -> None:
    """What the splits say must be what the guarantee counted."""
    strict(splits, {"tune": dict, "calibrate": dict}, "`splits`")
    strict(splits["tune"], {"n": int, "digest": str}, "split 'tune'")
    strict(splits["calibrate"], {"n": int, "used": int, "digest": str}, "split 'calibrate'")
    tune, calibrate = splits["tune"], splits["calibrate"]
    for split in (tune, calibrate):
        if split["n"] < 1 or not DIGEST.fullmatch(split["digest"]):
            raise InputError("expected splits with `n` >= 1 and a `digest` of sha256")
    used, n = calibrate["used"], calibrate["n"]
    if used != guarantee.n or used > n or (guarantee.unit == "examples" and used != n):
        raise InputError(
            f"expected the calibrate split to be the {guarantee.n} {guarantee.unit} of the "
            f"guarantee, got {used} of {n} rows"
        )
    if tune["digest"] == calibrate["digest"] and not guarantee.void:
        raise InputError("tune and calibrate are the same data, and the guarantee is not void")


def _p_value(g: Guarantee) -> float:
    return float(binomial_p_value(g.errors, g.accepted, g.target_risk))


def _fixed(g: Guarantee) -> tuple[float, float]:
    """Each test at full delta."""
    return _p_value(g), g.delta


def _bonferroni(g: Guarantee) -> tuple[float, float]:
    return _p_value(g), g.delta / RANKS


def _sgr(g: Guarantee) -> tuple[float, float]:
    return _p_value(g), g.delta / max(1, math.ceil(math.log2(g.n)))


def _walk(g: Guarantee) -> tuple[float, float]:
    """The level falls with the length: what passed a long walk passes a shorter one's level."""
    level = walk_level(min(g.n, LONGEST_WALK), g.target_risk, g.delta)
    return _p_value(g), level * (1 + WALK_ROUNDING) if g.n > LONGEST_WALK else level


def _betting(g: Guarantee) -> tuple[float, float]:
    """What was won depends on the order of the errors; it is no more than if each cost nothing.

    A stake is at most 1, so that a right prediction multiplies the capital by 1 + risk at most.
    """
    return (1 + g.target_risk) ** -(g.accepted - g.errors), g.delta


LEVELS: Mapping[str, Callable[[Guarantee], tuple[float, float]]] = {
    "bonferroni": _bonferroni,
    "sgr": _sgr,
    "random_walk": _walk,
    "betting": _betting,
}
