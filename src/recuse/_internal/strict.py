"""What every strict file of ours needs: known fields of known types, and a checksum."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np

from recuse._internal.files import digest, to_json
from recuse.errors import InputError


def strict(data: Any, types: Mapping[str, type], what: str) -> None:
    """An error unless `data` has exactly these fields, of these types."""
    if not isinstance(data, dict):
        raise InputError(f"expected {what} to be an object, got {type(data).__name__}")
    odd = sorted(set(data) ^ set(types))
    if odd:
        raise InputError(f"{'unknown' if odd[0] in data else 'missing'} field {odd[0]!r} of {what}")
    for key, kind in types.items():
        given = type(data[key])
        if given is not kind and (given, kind) != (int, float):
            raise InputError(f"expected `{key}` of {what}: {kind.__name__}, got {given.__name__}")


def checksum(body: Mapping[str, Any]) -> str:
    """A digest of plain data, whatever the order of its fields."""
    canonical = json.dumps(json.loads(to_json(body)), sort_keys=True)
    return digest(np.frombuffer(canonical.encode(), np.uint8))


def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """The object of these fields, for `json.loads`; an error where a field stands twice."""
    fields = dict(pairs)
    if len(fields) < len(pairs):
        raise ValueError("a field stands twice")
    return fields
