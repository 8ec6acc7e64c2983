"""Re-check of a guarantee that was read from a file: do its numbers agree with each other?

n = calibration rows.

A checksum shows that a file is what was saved, not that what was saved is true. Each guarantee
follows from the recorded counts by a test, a rank or a bet, which is done again here. What
"betting" wins depends on the order of the losses, so these are recorded.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from recuse._internal.files import strict
from recuse.bounds import binomial_p_value
from recuse.errors import InputError
from recuse.selectors._costs import mean_cost_upper
from recuse.selectors._goals import check_costs, cost_upper, fails_at
from recuse.selectors._guarantee import (
    ACCEPTED,
    ALL_PREDICTIONS,
    GROUPS,
    IID_GROUPS,
    IID_ROWS,
    OUT_OF_FOLD,
    UNITS,
    AnyGuarantee,
    CostGuarantee,
    CoverageGuarantee,
    Guarantee,
    Infeasible,
    MeanCostGuarantee,
    MissesOnly,
    MissGuarantee,
)
from recuse.selectors._joint import METHODS_AMONG
from recuse.selectors._methods import POINTS, ROUNDING
from recuse.selectors._select import methods_among

ALIKE: dict[str, type] = {  # fields of every kind
    "kind": str,
    "delta": float,
    "n": int,
    "accepted": int,
    "assumptions": list,
    "unit": str,
    "void": bool,
}
RISK: dict[str, type] = {
    "target_risk": float,
    "method": str,
    "errors": int,
    "simultaneous": int,
    "points": type(None),
}
MISS: dict[str, type] = {"label": int, "target": float, "delta": float, "n": int, "missed": int}
COVERAGE: dict[str, type] = {"coverage": float, "rank": int}
COST: dict[str, type] = {
    "cost_error": float,
    "cost_abstain": float,
    "upper": float,
    "stake": float,
    "errors": int,
}
MEAN_COST: dict[str, type] = dict.fromkeys(
    ("upper", "spent", "answering", "abstaining", "largest"), float
)
OPTIONAL: dict[str, type] = {  # of `Infeasible`
    "smallest_target": float,
    "rows_needed": int,
    "error_free_rows": int,
    "note": str,
    "no_estimate": str,
}
NUMBERS = ("smallest_target", "rows_needed", "error_free_rows")
FLAGS = ("tuning_rows_too", "of_file", "hopeless", "reliable")
UNSUPPORTED = "its counts do not support its guarantee"


def read_guarantee(data: Any, *, abstains: bool) -> AnyGuarantee:
    """Return the guarantee of these fields, if it follows from its counts.

    Args:
        data: As in the file.
        abstains: Whether it stands beside no threshold: nothing is accepted, and no test passed.
    """
    kind = data.get("kind") if isinstance(data, dict) else None
    if not isinstance(kind, str) or kind not in READERS:
        raise InputError(f"expected `guarantee` of a kind among {', '.join(READERS)}, got {kind!r}")
    g = READERS[kind](data, abstains)
    if abstains and g.accepted:
        raise InputError(f"expected nothing accepted without a threshold, got {g.accepted}")
    return g


def read_infeasible(data: Any) -> Infeasible:
    """Return why there is no threshold, from fields of the right types."""
    given: Any = data if isinstance(data, dict) else {}
    data: Any = {"no_estimate": None, **given} if given else data  # not in all files
    none = {name: type(None) for name in OPTIONAL if given.get(name, 0) is None}
    none |= {"no_estimate": type(None)} if given.get("no_estimate") is None else {}
    strict(data, {**OPTIONAL, **dict.fromkeys(FLAGS, bool), **none}, "`infeasible`")
    if not all(0 < data[name] < math.inf for name in NUMBERS if data[name] is not None):
        raise InputError("expected `infeasible` with positive numbers")
    return Infeasible(**data)


def check_method(method: str, among: str = ACCEPTED) -> None:
    """Refuse what is no method of `select`."""
    known = methods_among(among)
    if method != "auto" and method not in known:
        of = "" if among == ACCEPTED else f" with among={among!r}"
        raise InputError(f"expected `method` auto, {', '.join(known)}{of}, got {method!r}")


def _fields(data: Any, own: Mapping[str, type], besides: tuple[str, ...] = ()) -> dict[str, Any]:
    """Return the fields, typed, with counts that can be and the assumptions of the method."""
    doubts = {"ungrouped": list} if "ungrouped" in data else {}
    strict(data, {**ALIKE, **own, **doubts}, "`guarantee`")
    fields = {name: value for name, value in data.items() if name != "kind"}
    if doubts:
        names = fields["ungrouped"]
        if not (names and all(isinstance(x, str) for x in names)) or data["unit"] == GROUPS:
            raise InputError("expected `ungrouped` columns, of a guarantee that counts rows")
        fields["ungrouped"] = tuple(names)
    if data["unit"] not in UNITS:
        raise InputError(f"expected `guarantee` of a known unit, got {data['unit']!r}")
    expected = (IID_GROUPS if data["unit"] == GROUPS else IID_ROWS, *besides)
    assumed = tuple(data["assumptions"])
    if assumed not in (expected, (*expected, OUT_OF_FOLD)):
        got = ", ".join(map(str, data["assumptions"]))
        raise InputError(f"expected the assumptions {', '.join(expected)}, got {got or 'none'}")
    shares = [data[name] for name in ("target_risk", "coverage") if name in data]
    counts = (0, data.get("errors", 0), data["accepted"], data["n"])
    rise = all(a <= b for a, b in pairwise(counts))
    if not (all(0 < s < 1 for s in shares) and 0 < data["delta"] < 0.5 and rise):
        raise InputError("expected `guarantee` with fractions, and counts errors <= accepted <= n")
    return fields | {"assumptions": assumed}


def _risk(data: Any, abstains: bool) -> Guarantee:
    """Each method deploys a threshold only where a test of its counts passed."""
    method, among = data.get("method"), data.get("among", ACCEPTED)
    if "among" in data and among != ALL_PREDICTIONS:
        raise InputError(f"expected `among` {ALL_PREDICTIONS}, or none, got {among!r}")
    methods = METHODS_AMONG[among]
    recheck = methods[method].recheck if isinstance(method, str) and method in methods else None
    if recheck is None:
        raise InputError(f"expected `guarantee` of a known method, got {method!r}")
    own = RISK | ({"points": int} if method == "band" else {})
    own |= {"errors": float} if method == "betting" else {}
    rare = {"share": float, "among": str, "bets": str}
    own |= {name: kind for name, kind in rare.items() if name in data}
    g = Guarantee(**_fields(data, own, methods[method].assumptions))
    if not 0 < g.share <= 1:
        raise InputError(f"expected a `share` of delta in (0, 1], got {g.share:g}")
    if g.points not in (None, POINTS):
        raise InputError(f"expected a band of {POINTS} points, got {g.points}")
    if not (g.simultaneous >= 1 and g.simultaneous * g.delta < 0.5):
        raise InputError(f"expected a number of `simultaneous` guarantees, got {g.simultaneous}")
    if abstains:
        return g
    p, level = recheck(g) if g.n else (1.0, 0.0)
    if p > level * (1 + ROUNDING):
        raise InputError(
            f"{UNSUPPORTED}: {g.errors} errors among {_units(g)} have a p-value of "
            f"{p:.3g} for a risk of {g.target_risk:g}, where {method} needs {level:.3g}"
        )
    return g


def _units(g: Guarantee) -> str:
    """Return what the errors are counted among."""
    return f"{g.accepted} accepted" if g.among == ACCEPTED else f"{g.n} {g.unit}"


def _coverage(data: Any, abstains: bool) -> CoverageGuarantee:
    """The smallest rank that falls short with probability <= delta; all, where there is none."""
    everything = isinstance(data.get("rank", 0), type(None))
    g = CoverageGuarantee(**_fields(data, COVERAGE | ({"rank": type(None)} if everything else {})))
    rank = g.n + 1 if g.rank is None else g.rank
    fits = 1 <= rank <= g.n + everything and g.accepted >= min(rank, g.n) > 0
    if not (fits and (everything or _fails(rank, g) <= g.delta * (1 + ROUNDING))):
        raise InputError(
            f"{UNSUPPORTED}: {g.accepted} of {g.n} accepted at rank {g.rank} do not make a "
            f"coverage of {g.coverage:g}"
        )
    if rank > 1 and _fails(rank - 1, g) <= g.delta * (1 - ROUNDING):
        raise InputError(f"expected the smallest rank of a coverage {g.coverage:g}, got {g.rank}")
    if abstains:
        raise InputError("expected a threshold beside a guaranteed coverage, got none")
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
        raise InputError(f"{UNSUPPORTED}: they limit the mean cost by {again:.6g}, got {g.upper}")
    return g


def _misses_only(data: Any, abstains: bool) -> MissesOnly:
    """Counts of a threshold; `read_misses` tests the limits beside it."""
    own = {"errors": int} | ({"share": float} if "share" in data else {})
    g = MissesOnly(**_fields(data, own))
    if not 0 < g.share <= 1:
        raise InputError(f"expected a `share` of delta in (0, 1], got {g.share:g}")
    if abstains:
        raise InputError("expected a threshold beside limits of misses, got none")
    return g


def read_misses(rows: list[Any], share: float, names: Sequence[str]) -> tuple[MissGuarantee, ...]:
    """Return the limits of misses of these fields, if they follow from their counts.

    Args:
        rows: As in the file; none where misses are not limited.
        share: Of delta, of the score.
        names: Of all classes.
    """
    found = []
    for row in rows:
        strict(row, MISS, "`misses`")
        if not 0 <= row["label"] < len(names):
            raise InputError(f"expected `misses` of a class in 0..{len(names) - 1}")
        m = MissGuarantee(name=names[row["label"]], **row)
        fractions = 0 < m.target < 1 and 0 < m.delta < 0.5
        if not (fractions and 0 <= m.missed <= m.n):
            raise InputError("expected `misses` with fractions, and counts missed <= n")
        p = float(binomial_p_value(m.missed, m.n, m.target))
        if p > share * m.delta * (1 + ROUNDING):
            raise InputError(
                f"{UNSUPPORTED}: {m.missed} missed of {m.n} of true class {m.name} have a p-value "
                f"of {p:.3g} for a share of {m.target:g}"
            )
        found.append(m)
    if len({m.label for m in found}) < len(found):
        raise InputError("expected `misses` once for each class")
    return tuple(found)


def _mean_cost(data: Any, abstains: bool) -> MeanCostGuarantee:
    """The limit follows from the summed cost."""
    g = MeanCostGuarantee(**_fields(data, MEAN_COST))
    if abstains:
        raise InputError("expected a threshold beside a guaranteed mean cost, got none")
    sums = (g.spent, g.answering, g.abstaining)
    most = g.n * g.largest * (1 + ROUNDING)
    if not (g.n and 0 < g.largest < math.inf and all(0 <= x <= most for x in sums)):
        raise InputError("expected summed costs of calibration rows, at most the largest of each")
    again = float(mean_cost_upper(g.spent, g.n, g.largest, g.delta))
    if not abs(g.upper - again) <= ROUNDING * again:
        raise InputError(f"{UNSUPPORTED}: they limit the mean cost by {again:.6g}, got {g.upper}")
    one = {g.n: g.answering, 0: g.abstaining}.get(g.accepted, g.spent)
    if one != g.spent:
        raise InputError(f"{UNSUPPORTED}: {g.accepted} of {g.n} accepted cost {one:.6g}")
    return g


READERS: Mapping[str, Callable[[Any, bool], AnyGuarantee]] = {
    "risk": _risk,
    "coverage": _coverage,
    "cost": _cost,
    "misses": _misses_only,
    "mean_cost": _mean_cost,
}
