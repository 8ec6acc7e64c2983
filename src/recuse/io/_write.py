"""Writing held-out files: every format, whole or not at all.

n = rows, K = classes.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from recuse._internal.check import extra, to_numpy
from recuse._internal.files import atomic, atomic_folder
from recuse._internal.public import public
from recuse.errors import InputError
from recuse.io._checked import Form, check_forms, check_kind, check_values, naming
from recuse.io._rows import FIELDS, LogitsFile
from recuse.io._stores import FORMATS

if TYPE_CHECKING:
    from numpy import ndarray as Array
    from numpy.typing import ArrayLike

ROW_GROUP = 1 << 26  # bytes of logits in a row group of .parquet
SINGULAR = {"labels": "label", "groups": "group", "ids": "id"}  # columns of .parquet


@public
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
    """Write a held-out file, whole or not at all.

    Args:
        path: Ends in .safetensors, .npz or .parquet; without an ending, a folder of .npy.
        logits: Shape (n, K, ...), floating; another `kind` as in `open_logits`.
        labels: Shape (n, ...), integers.
        groups: Shape (n,), integers, or strings where the format is not .safetensors.
        ids: Shape (n,), as `groups`.
        kind: Input kind, as in `open_logits`.
        ignore_index: Label outside 0..K-1 that is allowed (void pixels).

    Raises:
        InputError: Malformed arrays, or a format that cannot hold them.
        MissingExtraError: .parquet without pyarrow.
    """
    path = check_suffix(path)
    given = {"logits": logits, "labels": labels, "groups": groups, "ids": ids}
    fields = {k: _plain(to_numpy(v)) for k, v in given.items() if v is not None}
    with naming(str(path)):
        check_forms({k: Form(v.shape, v.dtype) for k, v in fields.items()}, check_kind(kind))
        checked = check_values(fields, kind, str(path), ignore_index)
        _refuse_format(path.suffix, fields)
    WRITERS[path.suffix](path, fields)
    return checked


def check_suffix(path: str | os.PathLike) -> Path:
    """Return the path of a held-out file to write; refuse an unknown ending."""
    path = Path(path)
    if path.suffix not in WRITERS or not path.name:
        raise InputError(
            f"{path}: expected a file ending in {' or '.join(FORMATS)}, "
            "or a name without an ending for a folder of .npy"
        )
    return path


def _plain(array: Array) -> Array:
    native = array if array.dtype.isnative else array.astype(array.dtype.newbyteorder("="))
    return np.ascontiguousarray(native) if native.ndim else native


def _refuse_format(suffix: str, fields: Mapping[str, Array]) -> None:
    strings = [k for k, v in fields.items() if v.dtype.kind in "US"]
    if suffix == ".safetensors" and strings:
        raise InputError(f"safetensors holds no strings ({strings[0]}); write .npz or .parquet")
    if suffix != ".safetensors" and fields["logits"].dtype.name == "bfloat16":
        raise InputError(f"{suffix[1:] or 'npy'} holds no bfloat16; write .safetensors")
    if suffix == ".parquet" and fields["logits"].ndim > 2:
        shape = fields["logits"].shape
        raise InputError(f"parquet holds rows of classes, got logits of shape {shape}; write .npz")


def _write_safetensors(path: Path, fields: dict[str, Array]) -> None:
    from safetensors.numpy import save_file

    with atomic(path) as temporary:
        save_file(fields, temporary)


def _write_npz(path: Path, fields: dict[str, Array]) -> None:
    with atomic(path) as temporary:
        np.savez(temporary, **fields)  # ty: ignore[invalid-argument-type]


def _write_folder(path: Path, fields: dict[str, Array]) -> None:
    ours = {f"{field}.npy" for field in FIELDS}
    if path.is_dir() and (others := sorted({p.name for p in path.iterdir()} - ours)):
        raise InputError(f"{path}: expected a folder of {', '.join(sorted(ours))}, got {others[0]}")
    with atomic_folder(path) as temporary:
        for field, array in fields.items():
            np.save(temporary / f"{field}.npy", array, allow_pickle=False)


def _write_parquet(path: Path, fields: dict[str, Array]) -> None:
    pa = extra("pyarrow", "parquet", "writing .parquet")
    parquet = extra("pyarrow.parquet", "parquet", "writing .parquet")
    columns = {SINGULAR.get(field, field): _column(pa, array) for field, array in fields.items()}
    z = fields["logits"]
    rows = max(1, ROW_GROUP * len(z) // z.nbytes)
    with atomic(path) as temporary:
        parquet.write_table(pa.table(columns), temporary, row_group_size=rows)


def _column(pa: Any, array: Array) -> Any:
    array = np.char.decode(array, "utf-8", "replace") if array.dtype.kind == "S" else array
    if array.ndim == 1:
        return pa.array(array)
    return pa.FixedSizeListArray.from_arrays(pa.array(array.reshape(-1)), array.shape[1])


WRITERS = {
    ".safetensors": _write_safetensors,
    ".npz": _write_npz,
    ".parquet": _write_parquet,
    "": _write_folder,
}
