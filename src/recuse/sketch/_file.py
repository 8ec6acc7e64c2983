"""Sketches in a file: a compressed .npz without pickle, of the bins that are not empty.

s = sketches, r = their filled bins, one sketch after the other. Arrays: `end` (s,), where each
sketch ends; `bin`, `right`, `wrong`, `part` (r,); `meta`, JSON in UTF-8; and, where the rows had
ids, `ids`, the smallest of their hashes in order.
"""

from __future__ import annotations

import json
import os
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from recuse._internal.files import atomic, to_json
from recuse.errors import InputError
from recuse.sketch._bins import BITS, SCALES

if TYPE_CHECKING:
    from jaxtyping import Int
    from numpy import ndarray as Array

FORMAT, VERSION = "recuse.sketch", 2
SUFFIX = ".npz"
META: dict[str, type] = {
    "format": str,
    "version": int,
    "scale": str,
    "about": dict,
    "subgroups": list,
    "n": list,
    "general": list,
    "rounded": list,
}
ARRAYS = ("end", "bin", "right", "wrong", "part")
LARGEST = 1 << 32  # bytes that the arrays of a file may unpack to


class State(NamedTuple):
    """State of a sketch, as a file keeps it."""

    scale: str
    about: dict[str, str]
    bins: Int[Array, " r"]  # those that are not empty
    pairs: Int[Array, "r 2"]
    part: Int[Array, " r"] | None  # of losses other than 0 and 1
    rounded: tuple[int, int]


States = Mapping[Any, State]  # by subgroup, a name or number; None where there are none


def check_path(path: str | os.PathLike) -> Path:
    """Refuse a path whose name does not end as that of a sketch."""
    if Path(path).suffix != SUFFIX:
        raise InputError(f"{path}: expected a name ending in {SUFFIX} for a sketch")
    return Path(path)


def is_sketch(path: str | os.PathLike) -> bool:
    """Return whether a file is a sketch, by the names of its arrays; `read` checks the rest."""
    if Path(path).suffix != SUFFIX or not Path(path).is_file():
        return False
    try:
        with zipfile.ZipFile(path) as archive:
            return {"bin.npy", "meta.npy"} <= {*archive.namelist()}
    except (zipfile.BadZipFile, OSError):
        return False


def write(path: str | os.PathLike, states: States, ids: Array) -> None:
    """Write sketches of one scale, whole or not at all."""
    check_path(path)
    every = list(states.values())
    pairs = np.concatenate([s.pairs for s in every])
    parts = [np.zeros(s.bins.size, np.int64) if s.part is None else s.part for s in every]
    arrays = {
        "end": np.cumsum([s.bins.size for s in every]),
        "bin": np.concatenate([s.bins for s in every]),
        "right": pairs[:, 0],
        "wrong": pairs[:, 1],
        "part": np.concatenate(parts),
    }
    meta = {
        "format": FORMAT,
        "version": VERSION,
        "scale": every[0].scale,
        "about": every[0].about,
        "subgroups": list(states),
        "n": [int(s.pairs.sum()) for s in every],
        "general": [s.part is not None for s in every],
        "rounded": [s.rounded for s in every],
    }
    text = np.frombuffer(to_json(meta, indent=None).encode(), np.uint8)
    packed = {name: x.astype(np.min_scalar_type(x.max(initial=0))) for name, x in arrays.items()}
    packed |= {"ids": ids} if ids.size else {}
    with atomic(path) as temporary:
        np.savez_compressed(temporary, meta=text, **packed)  # ty: ignore[invalid-argument-type]


def read(path: str | os.PathLike) -> tuple[dict[Any, State], Array]:
    """Read the states and the ids that `write` wrote; anything else is refused.

    Raises:
        InputError: One line that names the file and what is wrong with it.
    """
    path = Path(path)
    if not path.is_file():
        found = "a folder" if path.is_dir() else "no such file"
        raise InputError(f"{path}: expected a sketch, got {found}")
    try:
        with zipfile.ZipFile(path) as archive:
            if sum(member.file_size for member in archive.infolist()) > LARGEST:
                raise InputError("it unpacks to more than a sketch can hold")
        with np.load(path, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
        ids = _ids(arrays.pop("ids", np.empty(0, np.uint64)))
        return _states(arrays), ids
    except InputError as error:
        raise InputError(f"{path}: expected a sketch: {error}") from error
    except Exception as error:  # whatever the parser of a damaged file raises
        raise InputError(f"{path}: expected a sketch, got another or a damaged file") from error


def _ids(ids: Array) -> Array:
    if ids.ndim != 1 or ids.dtype != np.uint64 or (ids[1:] <= ids[:-1]).any():
        raise InputError("expected `ids` of increasing hashes")
    return ids


def _states(arrays: dict[str, np.ndarray]) -> dict[Any, State]:
    if set(arrays) != {"meta", *ARRAYS}:
        raise InputError(f"expected arrays meta, {', '.join(ARRAYS)}, got {', '.join(arrays)}")
    meta = _meta(json.loads(arrays["meta"].tobytes().decode()))
    end, bins, right, wrong, part = (_integers(arrays, name) for name in ARRAYS)
    count = len(meta["subgroups"])
    if not (end.size == count > 0 and bins.size == right.size == wrong.size == part.size):
        raise InputError("its arrays differ in length")
    if end[-1] != bins.size or (np.diff(end, prepend=0) < 0).any():
        raise InputError("its subgroups do not cover its bins")
    out = {}
    for i, rows in enumerate(np.split(np.arange(bins.size), end[:-1])):
        columns = bins[rows], right[rows], wrong[rows], part[rows]
        out[meta["subgroups"][i]] = _state(meta, i, *columns)
    return out


def _state(meta: dict, i: int, bins: Any, right: Any, wrong: Any, part: Any) -> State:
    general, rounded, n = meta["general"][i], meta["rounded"][i], meta["n"][i]
    if bins.size and (bins[-1] >= SCALES[meta["scale"]].size or (np.diff(bins) <= 0).any()):
        raise InputError("its bins are not increasing, or beyond its scale")
    if (right + wrong == 0).any() or (part >> BITS).any() or (part[right == 0] > 0).any():
        raise InputError("its losses exceed its predictions")
    if part.any() and not general:
        raise InputError("its losses are 0 and 1, and are not")
    if right.sum(dtype=object) + wrong.sum(dtype=object) != n:
        raise InputError(f"expected {n} predictions in its bins")
    if not (len(rounded) == 2 and all(type(x) is int and 0 <= x <= n for x in rounded)):
        raise InputError("expected `rounded` counts between 0 and n")
    pairs = np.stack([right, wrong], axis=1)
    part = part if general else None
    return State(meta["scale"], meta["about"], bins, pairs, part, tuple(rounded))


def _integers(arrays: dict[str, np.ndarray], name: str) -> np.ndarray:
    """Return a column of counts, which files hold in the smallest unsigned type."""
    x = arrays[name]
    if x.ndim != 1 or x.dtype.kind != "u" or (x.size and x.max() > np.iinfo(np.int64).max):
        raise InputError(f"expected `{name}` of shape (r,), unsigned, got {x.dtype} {x.shape}")
    return x.astype(np.int64)


def _meta(meta: Any) -> dict[str, Any]:
    if not isinstance(meta, dict) or meta.get("format") != FORMAT:
        raise InputError(f'expected "format": "{FORMAT}"')
    if meta.get("version") == 1:
        meta = _from_version_1(meta)
    if meta.get("version") != VERSION:
        raise InputError(f"expected version 1 or {VERSION}, got {meta.get('version')!r}")
    if set(meta) != set(META) or any(type(meta[k]) is not kind for k, kind in META.items()):
        raise InputError(f"expected fields {', '.join(META)}, got {', '.join(map(str, meta))}")
    if meta["scale"] not in SCALES:
        raise InputError(f"expected a scale among {', '.join(SCALES)}, got {meta['scale']!r}")
    names, about = meta["subgroups"], meta["about"]
    named = names == [None] or all(type(g) in (str, int) for g in names)
    if not named or len(set(names)) != len(names):
        raise InputError("expected `subgroups` of names that differ")
    if not all(type(x) is str for x in (*about, *about.values())):
        raise InputError("expected `about` of strings")
    columns = {"n": int, "general": bool, "rounded": list}
    for name, kind in columns.items():
        if len(meta[name]) != len(names) or any(type(x) is not kind for x in meta[name]):
            raise InputError(f"expected `{name}` of one value a subgroup")
    return meta


def _from_version_1(meta: dict[str, Any]) -> dict[str, Any]:
    """Return the fields under their names of today."""
    meta = {**meta, "version": VERSION, "subgroups": meta.get("groups")}
    meta.pop("groups", None)
    about = meta.get("about")
    if isinstance(about, dict) and "per" in about:
        per = about["per"]
        about = {k: x for k, x in about.items() if k != "per"}
        meta["about"] = {**about, "by": "groups" if per == "group" else per}
    return meta
