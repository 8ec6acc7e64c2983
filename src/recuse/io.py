"""Logits files: read, write, split.

A file holds `logits` (n, K) or (n, K, H, W), `labels` (n,) or (n, H, W), and optionally
`groups` (n,) (rows of one group are not independent: replicates of an image, frames of a
film) and `ids` (n,). Formats: .safetensors and .npz. No pickle is ever read or written.

n = rows of the file, K = classes, N = predictions: n, or n * H * W.
"""

from __future__ import annotations

import os
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from recuse import scores
from recuse._check import (
    InputError,
    check_groups,
    check_labels,
    check_logits,
    first,
    to_numpy,
)
from recuse._files import atomic, digest

if TYPE_CHECKING:
    from numpy import ndarray as Array
    from numpy.typing import ArrayLike

FORMATS = (".safetensors", ".npz")
FIELDS = ("logits", "labels", "groups", "ids")
KINDS = ("logits", "binary", "probs")


@dataclass(frozen=True, eq=False)
class LogitsFile:
    """What one logits file holds, checked."""

    logits: Array  # (n, K) or (n, K, H, W)
    labels: Array | None = None  # (n,) or (n, H, W)
    groups: Array | None = None  # (n,)
    ids: Array | None = None  # (n,)
    name: str = "`logits`"  # for messages
    ignore_index: int | None = None  # the label of predictions that do not count

    def __len__(self) -> int:
        return len(self.logits)

    @cached_property
    def digest(self) -> str:
        """Of logits and labels."""
        return digest(*(a for a in (self.logits, self.labels) if a is not None))

    def rows(self, index: Array) -> LogitsFile:
        """The rows of an index or mask."""
        picked = {f: None if (a := getattr(self, f)) is None else a[index] for f in FIELDS}
        return replace(self, **picked)

    def predictions(self) -> LogitsFile:
        """One row a prediction: (N, K), labels (N,), without the ignored ones.

        The pixels of one image are not independent: where the file has no groups, each
        image becomes one, named by its id or else by its content.
        """
        flat = self
        if self.logits.ndim > 2:
            pixels = self.logits[0, 0].size
            z = np.moveaxis(self.logits, 1, -1).reshape(-1, self.logits.shape[1])
            y = None if self.labels is None else self.labels.reshape(-1)
            groups = next(g for g in (self.groups, self.ids, self._contents()) if g is not None)
            flat = replace(self, logits=z, labels=y, groups=np.repeat(groups, pixels), ids=None)
        if self.ignore_index is None or flat.labels is None:
            return flat
        kept = flat.labels != self.ignore_index
        if not kept.any():
            raise InputError(f"{self.name}: every label is the ignored {self.ignore_index}")
        return replace(flat.rows(kept), ignore_index=None)

    def _contents(self) -> Array:
        """A number for each row that only an equal row shares, in this or another file."""
        return np.array([int(digest(row.astype(np.float64))[7:22], 16) for row in self.logits])

    def labelled(self) -> tuple[Array, Array]:
        """Logits and labels; an error where there are no labels."""
        if self.labels is None:
            raise InputError(f"{self.name}: expected `labels`, got logits alone")
        return self.logits, self.labels


def read_logits(
    path: str | os.PathLike, *, kind: str = "logits", ignore_index: int | None = None
) -> LogitsFile:
    """Read a logits file and check all of it.

    Args:
        path: A .safetensors or .npz file.
        kind: What `logits` in the file holds: "logits"; "binary", a one-column head; or
            "probs", probabilities. Never guessed.
        ignore_index: The label of predictions without one (void pixels).

    Raises:
        InputError: One line that names the file, what was expected and what came.
    """
    path = Path(path)
    fields = _read_fields(path)
    if "logits" not in fields:
        found = ", ".join(sorted(fields)) or "nothing"
        raise InputError(f"{path}: expected an array `logits`, got {found}")
    unknown = sorted(set(fields) - set(FIELDS))
    if unknown:
        raise InputError(f"{path}: expected arrays {', '.join(FIELDS)}, got {', '.join(unknown)}")
    return _checked(fields, str(path), kind, ignore_index)


def write_logits(
    path: str | os.PathLike,
    logits: ArrayLike,
    labels: ArrayLike | None = None,
    *,
    groups: ArrayLike | None = None,
    ids: ArrayLike | None = None,
    kind: str = "logits",
    ignore_index: int | None = None,
) -> LogitsFile:
    """Write a logits file, whole or not at all.

    Args:
        path: Ends in .safetensors or .npz.
        logits: Shape (n, K, ...), floating; another `kind` as in `read_logits`.
        labels: Shape (n, ...), integers.
        groups: Shape (n,), integers; strings in .npz only.
        ids: Likewise.
        kind: As in `read_logits`.
        ignore_index: A label outside 0..K-1 that is allowed.

    Raises:
        InputError: Malformed arrays, or a format that cannot hold them.
    """
    path = check_suffix(path)
    given = {"logits": logits, "labels": labels, "groups": groups, "ids": ids}
    fields = {k: np.ascontiguousarray(to_numpy(v)) for k, v in given.items() if v is not None}
    checked = _checked(fields, str(path), kind, ignore_index)
    if path.suffix == ".safetensors":
        strings = [k for k, v in fields.items() if v.dtype.kind in "US"]
        if strings:
            raise InputError(f"{path}: safetensors holds no strings ({strings[0]}); write .npz")
        from safetensors.numpy import save_file

        with atomic(path) as temporary:
            save_file(fields, temporary)
    else:
        if fields["logits"].dtype.name == "bfloat16":
            raise InputError(f"{path}: npz holds no bfloat16; write .safetensors")
        with atomic(path) as temporary:
            np.savez(temporary, **fields)  # ty: ignore[invalid-argument-type]
    return checked


def split_rows(
    file: LogitsFile, parts: Mapping[str, float], *, seed: int = 0
) -> dict[str, LogitsFile]:
    """Cut a file into disjoint parts at random, by group where it has groups.

    Args:
        file: What `read_logits` returns.
        parts: Name -> fraction; the fractions sum to 1.
        seed: Of the permutation.

    Raises:
        InputError: Fractions that do not sum to 1, or a part that would be empty.
    """
    total = sum(parts.values())
    if not (all(share > 0 for share in parts.values()) and abs(total - 1) <= 1e-9):
        raise InputError(f"expected parts > 0 that sum to 1, got {dict(parts)} (sum {total:g})")
    code = np.arange(len(file)) if file.groups is None else check_groups(file.groups, len(file))
    units = int(code.max()) + 1
    cuts = np.round(np.cumsum([0.0, *parts.values()]) * units).astype(int)
    place = np.random.default_rng(seed).permutation(units)[code]
    out = {}
    for name, low, high in zip(parts, cuts[:-1], cuts[1:]):
        inside = (place >= low) & (place < high)
        if not inside.any():
            raise InputError(f"{file.name}: part {name!r} would be empty ({units} units to cut)")
        out[name] = file.rows(inside)
    return out


def check_suffix(path: str | os.PathLike) -> Path:
    """The path of a logits file, by its name."""
    path = Path(path)
    if path.suffix not in FORMATS:
        raise InputError(
            f"{path}: expected a file ending in {' or '.join(FORMATS)}, as write_logits makes it"
        )
    return path


def check_names(names: Array, n: int, where: str) -> Array:
    """Groups or ids: integers or strings of shape (n,); bytes become strings."""
    if names.shape != (n,):
        raise InputError(f"expected {where} of shape ({n},), got {names.shape}")
    if names.dtype.kind not in "iuUS":
        raise InputError(f"expected {where} of an integer or string dtype, got {names.dtype}")
    return np.char.decode(names, "utf-8", "replace") if names.dtype.kind == "S" else names


def _read_fields(path: Path) -> dict[str, Array]:
    check_suffix(path)
    if path.is_dir():
        raise InputError(f"{path}: expected a file, got a folder")
    if not path.is_file():
        raise InputError(f"{path}: no such file")
    if path.stat().st_size == 0:
        raise InputError(f"{path}: expected a logits file, got an empty file")
    try:
        if path.suffix == ".safetensors":
            from safetensors.numpy import load_file

            return load_file(path)
        with path.open("rb") as handle, np.load(handle, allow_pickle=False) as archive:
            return {name: archive[name] for name in archive.files}
    except Exception as error:  # whatever the parser of a damaged file raises
        detail = str(error).splitlines()[0] if str(error) else type(error).__name__
        if "allow_pickle" in detail:
            detail = "damaged, or it holds Python objects, which are never unpickled"
        raise InputError(f"{path}: cannot be read as {path.suffix[1:]} ({detail})") from error


def _checked(
    fields: Mapping[str, Any], name: str, kind: str, ignore_index: int | None
) -> LogitsFile:
    if kind not in KINDS:
        raise InputError(f"expected `kind` among {', '.join(KINDS)}, got {kind!r}")
    with _naming(name):
        z = _check_values(fields["logits"], kind)
        labels = fields.get("labels")
        if labels is not None:
            labels = _check_labels(labels, z, ignore_index)
        groups, ids = (
            None if key not in fields else check_names(fields[key], len(z), f"`{key}`")
            for key in ("groups", "ids")
        )
    return LogitsFile(z, labels, groups, ids, name, ignore_index)


@contextmanager
def _naming(name: str) -> Generator[None]:
    """Put the name of the file before what is wrong with it."""
    try:
        yield
    except InputError as error:
        raise InputError(f"{name}: {error}") from error


def _check_values(z: Array, kind: str) -> Array:
    """Logits (n, K, ...) of what the file holds."""
    if z.size == 0:
        raise InputError(f"expected at least one row of `logits`, got shape {z.shape}")
    if kind == "probs":
        return scores.from_probs(z)
    z = check_logits(scores.from_binary(z) if kind == "binary" else z)
    infinite = np.isneginf(z.astype(np.float32) if z.dtype.name == "bfloat16" else z)
    if infinite.any():
        rows = infinite.reshape(len(z), -1).any(axis=1)
        raise InputError(f"expected finite `logits`, got -inf at {first(rows)}")
    return z


def _check_labels(labels: Array, z: Array, ignore_index: int | None) -> Array:
    if ignore_index is None or labels.dtype.kind not in "iu":
        return check_labels(labels, z)
    check_labels(np.where(labels == ignore_index, 0, labels), z)
    return labels
