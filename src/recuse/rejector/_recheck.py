"""Do the numbers of a promise agree with each other? What a loaded file is asked.

n = calibrate examples.

A checksum shows that a file is what was saved, not that what was saved is true. Each promise
follows from the recorded counts by a test, a rank or a bet; so that is done again. What "betting"
wins depends on the order of the rows, so no rejector promises by it.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from itertools import pairwise
from typing import Any

import numpy as np

from recuse._internal.files import strict
from recuse.bounds import binomial_p_value
from recuse.errors import InputError
from recuse.selectors import CostGuarantee, CoverageGuarantee, Guarantee, walk_level
from recuse.selectors._cost import check_costs, cost_upper
from recuse.selectors._coverage import fails_at
from recuse.selectors._methods import (
    ASSUMPTIONS,
    INDEPENDENT,
    LONGEST_WALK,
    METHODS,
    POINTS,
    RANKS,
)
from recuse.selectors._several import together

AnyGuarantee = Guarantee | CoverageGuarantee | CostGuarantee

ALIKE: dict[str, type] = {  # fields of every kind
    "kind": str,
    "delta": float,
    "n": int,
    "accepted": int,
    "assumption": str,
    "unit": str,
    "void": bool,
}
RISK: dict[str, type] = {"target_risk": float, "method": str, "errors": int}
COVERAGE: dict[str, type] = {"coverage": float, "rank": int}
COST: dict[str, type] = {
    "cost_error": float,
    "cost_abstain": float,
    "upper": float,
    "stake": float,
    "errors": int,
}
COUNTING = tuple(m for m in METHODS if m != "betting")  # their promises follow from counts
UNITS = ("examples", "groups")
DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
ROUNDING = 1e-9  # relative: another machine's last bits
QUICK_WALK = 50_000  # steps whose level is soon found
ROWS_OF_GROUPS = (
    "groups are independent draws from the deployment population, one random row of each was "
    "used, and the promise is for a random row of a random group"
)
SEVERAL = re.compile(r"; (\d{1,6}) such promises")


def read_guarantee(data: Any, *, abstains: bool) -> AnyGuarantee:
    """The promise of these fields, if its counts give it.

    Args:
        data: As in the file.
        abstains: Whether it stands beside no threshold: nothing is accepted, and no test passed.
    """
    kind = data.get("kind") if isinstance(data, dict) else None
    if not isinstance(kind, str) or kind not in READERS:
        raise InputError(f"expected `promise` of a kind among {', '.join(READERS)}, got {kind!r}")
    guarantee = READERS[kind](data, abstains)
    _check_assumption(guarantee)
    if abstains and guarantee.accepted:
        raise InputError(f"expected nothing accepted without a threshold, got {guarantee.accepted}")
    return guarantee


def _check_assumption(guarantee: AnyGuarantee) -> None:
    """In the words of its method and unit, and of the targets that it shares delta with."""
    alone = ASSUMPTIONS[guarantee.method] if isinstance(guarantee, Guarantee) else INDEPENDENT
    if guarantee.unit == "groups":
        alone = alone.replace(INDEPENDENT, ROWS_OF_GROUPS)
    found = SEVERAL.match(guarantee.assumption.removeprefix(alone))
    count = int(found[1]) if found and isinstance(guarantee, Guarantee) else 1
    shared = together(count, guarantee.delta * count) if guarantee.delta * count < 0.5 else ""
    if guarantee.assumption != alone + shared:
        raise InputError(f"expected the assumption {alone!r}, got {guarantee.assumption!r}")


def check_method(method: str) -> None:
    """A method of `select` whose promise a file can show."""
    if method != "auto" and method not in COUNTING:
        raise InputError(f"expected `method` auto, {', '.join(COUNTING)}, got {method!r}")


def check_splits(splits: Any, guarantees: tuple[AnyGuarantee, ...]) -> None:
    """What the splits say must be what the promises counted."""
    strict(splits, {"tune": dict, "calibrate": dict}, "`splits`")
    strict(splits["tune"], {"n": int, "digest": str, "log_probs": bool}, "split 'tune'")
    strict(splits["calibrate"], {"n": int, "used": int, "digest": str}, "split 'calibrate'")
    tune, calibrate = splits["tune"], splits["calibrate"]
    for split in (tune, calibrate):
        if split["n"] < 1 or not DIGEST.fullmatch(split["digest"]):
            raise InputError("expected splits with `n` >= 1 and a `digest` of sha256")
    used, n = calibrate["used"], calibrate["n"]
    counted, unit = sum(p.n for p in guarantees), guarantees[0].unit
    if used != counted or used > n or (unit == "examples" and used != n):
        raise InputError(
            f"expected the calibrate split to be the {counted} {unit} of the promise, "
            f"got {used} of {n} rows"
        )
    if tune["digest"] == calibrate["digest"] and not guarantees[0].void:
        raise InputError("tune and calibrate are the same data, and the promise is not void")


def _fields(data: Any, own: Mapping[str, type]) -> dict[str, Any]:
    """The fields, typed, with counts that can be."""
    strict(data, {**ALIKE, **own}, "`promise`")
    fields = {name: value for name, value in data.items() if name != "kind"}
    if data["unit"] not in UNITS:
        raise InputError(f"expected `promise` of a known method and unit, got {data['unit']!r}")
    shares = [data[name] for name in ("target_risk", "coverage") if name in data]
    counts = (0, data.get("errors", 0), data["accepted"], data["n"])
    if not (all(0 < s < 1 for s in shares) and 0 < data["delta"] < 0.5 and _rise(counts)):
        raise InputError("expected `promise` with fractions, and counts errors <= accepted <= n")
    return fields


def _rise(counts: tuple[int, ...]) -> bool:
    return all(a <= b for a, b in pairwise(counts))


def _risk(data: Any, abstains: bool) -> Guarantee:
    """Each method deploys a threshold only where a test of its counts passed."""
    g = Guarantee(**_fields(data, RISK))
    if g.method not in COUNTING:
        raise InputError(f"expected `promise` of a known method and unit, got {g.method!r}")
    if abstains:
        return g
    p, level = LEVELS.get(g.method, _fixed)(g) if g.n else (1.0, 0.0)
    if p > level * (1 + ROUNDING):
        raise InputError(
            f"its counts do not support its promise: {g.errors} errors among {g.accepted} accepted "
            f"have a p-value of {p:.3g} for a risk of {g.target_risk:g}, where {g.method} needs "
            f"{level:.3g}"
        )
    return g


def _coverage(data: Any, abstains: bool) -> CoverageGuarantee:
    """The smallest rank that falls short with probability <= delta; all, where there is none."""
    everything = isinstance(data.get("rank", 0), type(None))
    g = CoverageGuarantee(**_fields(data, COVERAGE | ({"rank": type(None)} if everything else {})))
    rank = g.n + 1 if g.rank is None else g.rank
    fits = 1 <= rank <= g.n + everything and g.accepted >= min(rank, g.n) > 0
    if not (fits and (everything or _fails(rank, g) <= g.delta * (1 + ROUNDING))):
        raise InputError(
            f"its counts do not support its promise: {g.accepted} of {g.n} accepted at rank "
            f"{g.rank} do not make a coverage of {g.coverage:g}"
        )
    if rank > 1 and _fails(rank - 1, g) <= g.delta * (1 - ROUNDING):
        raise InputError(f"expected the smallest rank of a coverage {g.coverage:g}, got {g.rank}")
    if abstains:
        raise InputError("expected a threshold beside a promised coverage, got none")
    return g


def _fails(rank: int, g: CoverageGuarantee) -> float:
    return float(fails_at(np.array(rank), g.n, g.coverage))


def _cost(data: Any, abstains: bool) -> CostGuarantee:
    """The limit follows from counts and stake."""
    g = CostGuarantee(**_fields(data, COST))
    check_costs(g.cost_error, g.cost_abstain)
    if not (g.n and g.stake is not None and 0 < g.stake <= 1):
        raise InputError(f"expected a `stake` above 0, at most 1, got {g.stake}")
    again = cost_upper(g)
    if g.upper is None or not abs(g.upper - again) <= ROUNDING * again:
        raise InputError(
            f"its counts do not support its promise: they limit the mean cost by {again:.6g}, "
            f"got {g.upper}"
        )
    return g


READERS: Mapping[str, Callable[[Any, bool], AnyGuarantee]] = {
    "risk": _risk,
    "coverage": _coverage,
    "cost": _cost,
}


def _p_value(g: Guarantee) -> float:
    return float(binomial_p_value(g.errors, g.accepted, g.target_risk))


def _fixed(g: Guarantee) -> tuple[float, float]:
    """Each test at full delta."""
    return _p_value(g), g.delta


def _bonferroni(g: Guarantee) -> tuple[float, float]:
    return _p_value(g), g.delta / RANKS


def _band(g: Guarantee) -> tuple[float, float]:
    return _p_value(g), g.delta / POINTS


def _sgr(g: Guarantee) -> tuple[float, float]:
    return _p_value(g), g.delta / max(1, math.ceil(math.log2(g.n)))


def _walk(g: Guarantee) -> tuple[float, float]:
    """A long walk is asked how often it passes at its own p-value, which takes no search."""
    from recuse._kernels.bounds import crossing_probability, walk_boundary

    if g.n > LONGEST_WALK:
        raise InputError(f"expected at most {LONGEST_WALK:,} rows for random_walk, got {g.n:,}")
    if g.n <= QUICK_WALK:
        return _p_value(g), walk_level(g.n, g.target_risk, g.delta)
    boundary = walk_boundary(g.n, g.target_risk, _p_value(g) * (1 + ROUNDING))
    return float(crossing_probability(boundary, g.target_risk)), g.delta


LEVELS: Mapping[str, Callable[[Guarantee], tuple[float, float]]] = {
    "bonferroni": _bonferroni,
    "band": _band,
    "sgr": _sgr,
    "random_walk": _walk,
}
