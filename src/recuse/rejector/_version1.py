"""Rejectors that version 0.1 saved, in the form of version 2.

Version 1 wrote assumptions as sentences; the sentences below are all that it knew. The checksum
is that of the file as it was written, and monitors keep knowing the rejector by it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from recuse._internal.files import checksum, strict
from recuse.errors import InputError
from recuse.selectors._guarantee import IID_GROUPS, IID_ROWS, Infeasible
from recuse.selectors._methods import METHODS, POINTS

FIELDS: dict[str, type] = {
    "format": str,
    "version": int,
    "score": dict,
    "reason": str,
    "by": str,
    "delta": float,
    "rules": list,
    "classes": int,
    "kind": str,
    "p_correct": dict,
    "splits": dict,
}
RULE = ("of", "threshold", "threshold_hex", "reason", "promise")
NAMES = {"all": "all", "class": "class", "group": "subgroup"}
ROWS = "calibrate rows are independent draws from the deployment population"
GROUPS = (
    "groups are independent draws from the deployment population, one random row of each was "
    "used, and the promise is for a random row of a random group"
)
BESIDES = {  # what each method added
    "random_walk": ", and the error rate does not fall as the confidence falls",
    "band": "; valid for all 50 thresholds of a band at once",
    "sgr": "; as published: its adaptive search has no proof by a union bound",
}
UNITS = {"examples": ("rows", ROWS, IID_ROWS), "groups": ("groups", GROUPS, IID_GROUPS)}
SEVERAL = re.compile(r"; (\d{1,6}) such promises hold at once with [\d.]+ % confidence")


def upgraded(data: Mapping[str, Any]) -> dict[str, Any]:
    """Return the file in the form of version 2; refuse one that version 0.1 did not write."""
    strict(data, {**FIELDS, "checksum": str}, "a rejector")
    if data["checksum"] != checksum({name: data[name] for name in FIELDS}):
        raise InputError("its content was changed after it was saved (checksum differs)")
    if data["by"] not in NAMES:
        raise InputError(f"expected `by` {', '.join(NAMES)}, got {data['by']!r}")
    kept = ("format", "score", "delta", "classes", "kind", "p_correct", "splits")
    return {
        **{name: data[name] for name in kept},
        "version": 2,
        "tuning": data["reason"],
        "by": NAMES[data["by"]],
        "rules": [_rule(rule) for rule in data["rules"]],
        "version_1": data["checksum"],
    }


def _rule(rule: Any) -> dict[str, Any]:
    if not isinstance(rule, dict) or sorted(rule) != sorted(RULE):
        raise InputError(f"expected a rule with the fields {', '.join(RULE)}")
    guarantee = _guarantee(rule["promise"])
    says_why = isinstance(rule["reason"], str) and guarantee["kind"] == "risk"
    if (rule["reason"] is None) != (rule["threshold"] is not None):
        raise InputError("expected a `reason` of a rule without a threshold, and only there")
    return {
        "subgroup": rule["of"],
        "threshold": rule["threshold"],
        "threshold_hex": rule["threshold_hex"],
        "infeasible": asdict(Infeasible(note=rule["reason"])) if says_why else None,
        "guarantee": guarantee,
    }


def _guarantee(data: Any) -> dict[str, Any]:
    """Return the fields with flags in place of the sentence."""
    if not isinstance(data, dict) or not isinstance(data.get("assumption"), str):
        raise InputError("expected a `promise` with its `assumption`")
    fields = {name: value for name, value in data.items() if name != "assumption"}
    if data.get("unit") not in UNITS:
        raise InputError(f"expected `promise` of a known unit, got {data.get('unit')!r}")
    fields["unit"], said, iid = UNITS[data["unit"]]
    if data.get("kind") != "risk":
        _expect(data["assumption"], said)
        return fields | {"assumptions": [iid]}
    method = data.get("method")
    if not isinstance(method, str) or method not in METHODS:
        raise InputError(f"expected `promise` of a known method, got {method!r}")
    said += BESIDES.get(method, "")
    rest = data["assumption"].removeprefix(said)
    several = SEVERAL.fullmatch(rest)
    _expect(data["assumption"], said + (rest if several else ""))
    return fields | {
        "assumptions": [iid, *METHODS[method].assumptions],
        "simultaneous": int(several[1]) if several else 1,
        "points": POINTS if method == "band" else None,
    }


def _expect(got: str, expected: str) -> None:
    if got != expected:
        raise InputError(f"expected the assumption {expected!r}, got {got!r}")
