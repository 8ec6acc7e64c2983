"""Writing held-out files and tables of decisions, whole or not at all; reading subgroups from .csv.

n = rows, K = classes.
"""

from __future__ import annotations

import csv
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np

from recuse._internal import public
from recuse._internal.check import extra, to_numpy
from recuse._internal.files import atomic, atomic_folder, csv_lines, csv_rows
from recuse.errors import InputError
from recuse.io._checked import (
    Form,
    check_forms,
    check_kind,
    check_values,
    naming,
    refuse_losses,
)
from recuse.io._reader import LogitsReader
from recuse.io._rows import FIELDS, SUBGROUP, About, HeldOut
from recuse.io._stores import ABOUT, FORMATS

if TYPE_CHECKING:
    from jaxtyping import Shaped
    from numpy import ndarray as Array
    from numpy.typing import ArrayLike

ROWS_AT_ONCE = 10_000  # of a CSV, turned into text
ROW_GROUP = 1 << 26  # bytes of logits in a row group of .parquet
SINGULAR = {"labels": "label", "groups": "group", "ids": "id"}  # columns of .parquet


@public
def write_logits(
    path: str | os.PathLike,
    logits: ArrayLike | HeldOut | LogitsReader,
    labels: ArrayLike | None = None,
    *,
    groups: ArrayLike | None = None,
    ids: ArrayLike | None = None,
    subgroups: Mapping[str, ArrayLike] | None = None,
    kind: str | None = None,
    class_names: Sequence[str] | None = None,
    ignore_index: int | None = None,
    model: str | None = None,
) -> HeldOut:
    """Write a held-out file, whole or not at all.

    The file keeps `kind`, `class_names`, `ignore_index` and `model`, so that they are said once.

    Args:
        path: Ends in .safetensors, .npz or .parquet; without an ending, a folder of .npy.
        logits: Shape (n, K, ...), floating; another `kind` as in `open_logits`. Or a `HeldOut`,
            or what `open_logits` returns, whose other fields are then not given again.
        labels: Shape (n, ...), integers; of confidences 1 where the answer is right, else 0.
        groups: Shape (n,), integers, or strings where the format is not .safetensors.
        ids: Shape (n,), as `groups`.
        subgroups: Name -> shape (n,), as `groups`.
        kind: Input kind, as in `open_logits`; if None, the file does not say.
        class_names: Names of the K classes, or of C confidences, in the order of the columns.
        ignore_index: Label outside 0..K-1 that is allowed (void pixels).
        model: Name of the model, such as that of a checkpoint; a rejector warns of another one.

    Raises:
        InputError: Malformed arrays, or a format that cannot hold them.
        MissingExtraError: .parquet without pyarrow.
    """
    path = check_suffix(path)
    given: dict[str, Any] = {"logits": logits, "labels": labels, "groups": groups, "ids": ids}
    of, names = dict(subgroups or {}), None if class_names is None else tuple(class_names)
    kind = None if kind is None else check_kind(kind)
    about = About(kind, names, tuple(of), ignore_index, model=model)
    if isinstance(logits, LogitsReader):
        logits = logits.read()
    if isinstance(logits, HeldOut):
        if any(x is not None for x in (labels, groups, ids, subgroups, class_names, model)):
            raise InputError("expected a HeldOut alone, or arrays, got both")
        about, of = refuse_losses(logits).about, dict(logits.subgroups)
        given = {k: getattr(logits, k) for k in FIELDS} | {"logits": logits.outputs}
    given |= zip(about.fields[len(FIELDS) :], of.values())
    fields = {k: _plain(to_numpy(v)) for k, v in given.items() if v is not None}
    with naming(str(path)):
        checked = check_writable(path, fields, about)
    WRITERS[path.suffix](path, fields, about.to_json())
    return checked


def check_writable(path: Path, fields: Mapping[str, Array], about: About) -> HeldOut:
    """Return checked rows; refuse what the format of a path cannot hold."""
    check_forms({k: Form(v.shape, v.dtype) for k, v in fields.items()}, about)
    checked = check_values(fields, about, str(path))
    _refuse_format(path.suffix, fields)
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


def _write_safetensors(path: Path, fields: dict[str, Array], about: str) -> None:
    from safetensors.numpy import save_file

    with atomic(path) as temporary:
        save_file(fields, temporary, metadata={ABOUT: about})


def _write_npz(path: Path, fields: dict[str, Array], about: str) -> None:
    with atomic(path) as temporary:
        np.savez(temporary, **fields, **{ABOUT: np.array(about)})  # ty: ignore[invalid-argument-type]


def _write_folder(path: Path, fields: dict[str, Array], about: str) -> None:
    ours = {f"{ABOUT}.json", *(f"{field}.npy" for field in FIELDS)}
    found = {p.name for p in path.iterdir()} if path.is_dir() else set()
    if others := sorted(name for name in found - ours if not name.startswith(SUBGROUP)):
        raise InputError(f"{path}: expected a folder of {', '.join(sorted(ours))}, got {others[0]}")
    with atomic_folder(path) as temporary:
        for field, array in fields.items():
            np.save(temporary / f"{field}.npy", array, allow_pickle=False)
        (temporary / f"{ABOUT}.json").write_text(about, encoding="utf-8")


def _write_parquet(path: Path, fields: dict[str, Array], about: str) -> None:
    pa = extra("pyarrow", "parquet", "writing .parquet")
    parquet = extra("pyarrow.parquet", "parquet", "writing .parquet")
    columns = {SINGULAR.get(field, field): _column(pa, array) for field, array in fields.items()}
    z = fields["logits"]
    rows = max(1, ROW_GROUP * len(z) // z.nbytes)
    with atomic(path) as temporary:
        table = pa.table(columns).replace_schema_metadata({ABOUT: about})
        parquet.write_table(table, temporary, row_group_size=rows)


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


TABLES = (".csv", ".parquet", ".npz")


def write_table(path: Path, columns: Mapping[str, Array]) -> None:
    """Write columns of equal length, whole or not at all."""
    with atomic(path) as temporary:
        if path.suffix.lower() == ".npz":
            with temporary.open("wb") as handle:  # given a name, savez would change .NPZ
                np.savez(handle, **columns)  # ty: ignore[invalid-argument-type]
        elif path.suffix.lower() == ".parquet":
            pa = extra("pyarrow", "parquet", "writing .parquet")
            extra("pyarrow.parquet", "parquet", "writing .parquet").write_table(
                pa.table(dict(columns)), temporary
            )
        else:
            with temporary.open("w", newline="", encoding="utf-8") as handle:
                write_csv(handle, columns)


def write_csv(handle: IO[str], columns: Mapping[str, Array]) -> None:
    """Write columns of equal length as rows, below their names."""
    writer = csv.writer(handle)
    writer.writerow(columns)
    for start in range(0, len(next(iter(columns.values()))), ROWS_AT_ONCE):
        some = (_cells(c[start : start + ROWS_AT_ONCE]) for c in columns.values())
        writer.writerows(zip(*some))


def _cells(column: Array) -> list[Any]:
    """Return cells of a CSV: float32 in the shortest form that reads back the same; true, false."""
    if column.dtype == bool:
        return ["true" if x else "false" for x in column]
    return column.astype(str).tolist() if column.dtype.kind == "f" else column.tolist()


def read_subgroups(path: Path, expected: str = "a .csv of id and subgroup") -> dict[str, str]:
    """Return the subgroup of each id, from a .csv with the header `id,<name>`."""
    try:
        with csv_lines(path) as lines:
            return _parsed(path, lines)
    except OSError as error:
        missing = isinstance(error, FileNotFoundError)
        found = "; there is none of this name" if missing else f", got {error.strerror}"
        raise InputError(f"{path}: expected {expected}{found}") from error


def _parsed(path: Path, lines: Any) -> dict[str, str]:
    header = next(lines, [])
    if len(header) != 2 or header[0].strip().lower() != "id":
        raise InputError(f"{path}: expected the header id,<name>, got {','.join(header) or 'none'}")
    found: dict[str, str] = {}
    for name, subgroup in csv_rows(path, lines, 2):
        where = f"{path}: line {lines.line_num}"
        if not (name.strip() and subgroup.strip()):
            raise InputError(f"{where}: expected an id and a subgroup, got none")
        if found.setdefault(name, subgroup) != subgroup:
            raise InputError(
                f"{where}: expected one subgroup for each id, "
                f"got {subgroup!r} after {found[name]!r} for {name!r}"
            )
    return found


def joined(subgroup_of: Mapping[str, str], file: HeldOut, path: str) -> Shaped[Array, " n"]:
    """Return the subgroup of every row, by its id."""
    if file.ids is None:
        raise InputError(
            f"{file.name}: expected `ids` to find the subgroups of {path} by, got none"
        )
    names, index = np.unique(file.ids.astype(str), return_inverse=True)
    if missing := [name for name in names.tolist() if name not in subgroup_of]:
        raise InputError(
            f"{path}: expected a subgroup for each id of {file.name}, got none for {missing[0]!r}"
            + (f" and {len(missing) - 1:,} more" if len(missing) > 1 else "")
        )
    return np.array([subgroup_of[name] for name in names.tolist()])[index.reshape(-1)]
