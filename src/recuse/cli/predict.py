"""`recuse predict`."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from recuse._internal.check import extra
from recuse._internal.files import atomic, to_json
from recuse.cli import per, verdict, why
from recuse.cli.files import (
    check_ending,
    refuse_overwrite,
    warn_of_another_shift,
    warn_of_probabilities,
)
from recuse.cli.options import ClassNames, Force, IgnoreIndex, Json, Quiet
from recuse.errors import InputError
from recuse.io import LogitsFile, naming, open_logits
from recuse.io._reader import read_class_names
from recuse.present import terminal
from recuse.rejector import (
    ALL,
    CLASS,
    GROUP,
    RUNNERS_UP,
    Predictions,
    Rejector,
    Why,
    check_classes,
    explain,
    ranked,
)

EACH = {ALL: "all", CLASS: "each predicted class", GROUP: "each group"}
TABLES = (".csv", ".parquet", ".npz")


def predict(
    rejector_path: Annotated[
        Path, typer.Argument(metavar="REJECTOR", help="What `recuse fit` wrote.")
    ],
    file: Annotated[Path, typer.Argument(help="A logits file, with or without labels.")],
    out: Annotated[
        Path | None, typer.Option("--out", help="Table to write: .csv, .parquet or .npz.")
    ] = None,
    top: Annotated[
        int, typer.Option("--top", help="Also the next classes, up to this rank.", min=1)
    ] = 1,
    classes: ClassNames = None,
    per_: Annotated[
        Path | None,
        typer.Option("--per", metavar="FILE.csv", help="The groups of a rejector fitted with it."),
    ] = None,
    ids: Annotated[
        list[str],
        typer.Option(
            "--why",
            metavar="ID",
            help="Why this row was accepted or abstained on; the number of a row from 0 where "
            "the file has no ids. Repeatable.",
        ),
    ] = [],  # noqa: B006 - typer reads it
    ignore_index: IgnoreIndex = None,
    force: Force = False,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Label, confidence and decision for every row; with labels, also the error made.

    What came about stands beside what was promised; for thresholds of classes or groups, who is
    abstained on.
    """
    if out is not None:
        check_ending(out, *TABLES)
        refuse_overwrite(out, force, rejector_path, file, *([] if per_ is None else [per_]))
    rejector = Rejector.load(rejector_path)
    reader = open_logits(file, kind=rejector.kind, ignore_index=ignore_index)
    with terminal.working("reading", quiet=quiet):
        data = reader.read()
    warn_of_probabilities(data, rejector.kind)
    warn_of_another_shift(data, rejector.log_probs)
    if out is not None and data.logits.ndim > 2 and out.suffix.lower() != ".npz":
        raise InputError(f"{out}: expected .npz for pixel logits {data.logits.shape}")
    with naming(str(file)):
        check_classes(data.logits.shape[1], rejector.classes)
    if not 1 <= top <= data.logits.shape[1]:
        raise InputError(f"expected --top in 1..{data.logits.shape[1]}, got {top}")
    names = None if classes is None else read_class_names(classes, rejector.classes)
    groups = _groups(per_, rejector, data)
    runners_up = max(top - 1, RUNNERS_UP)
    parts = reader.by_shard(data) if len(reader.stores) > 1 else ()
    with terminal.working("deciding", quiet=quiet):
        reasons = explain(rejector, data, ids, top=runners_up, groups=groups) if ids else []
        predictions = rejector.predict(data.logits, groups)
        summary = verdict.summary_of(data, predictions, rejector, groups, parts)
        if out is not None:
            _write(out, _columns(data, predictions, top, names))
    if as_json:
        print(
            to_json(
                summary | ({"why": [_plain(w, names, rejector.by) for w in reasons]} if ids else {})
            )
        )
    elif not quiet:
        verdict.tell(summary, rejector, out)
        if rejector.by != ALL:
            verdict.tell_groups(data, predictions, rejector, groups, names)
        for reason in reasons:
            why.tell(reason, rejector, names, float(predictions.accept.mean()))


def _groups(path: Path | None, rejector: Rejector, data: LogitsFile) -> np.ndarray | None:
    """The groups of all rows, where the rejector has thresholds for groups."""
    if (path is None) != (rejector.by != GROUP):
        wanted = "--per with the groups" if path is None else "no --per"
        raise InputError(f"expected {wanted}, since its thresholds are for {EACH[rejector.by]}")
    return None if path is None else per.joined(per.read_groups_of(path), data, str(path))


def _plain(reason: Why, names: np.ndarray | None, by: str) -> dict[str, Any]:
    """The reason for JSON, with the names of classes where there are any."""
    plain = reason.to_dict()
    if names is not None:
        plain["label"] = str(names[reason.label])
        if by == CLASS:
            plain["group"] = plain["label"]
        for other in plain["runners_up"]:
            other["label"] = str(names[other["label"]])
    return plain


def _columns(
    data: LogitsFile, p: Predictions, top: int, names: np.ndarray | None
) -> dict[str, np.ndarray]:
    """The columns of the table: id, label, confidence, p_correct, accept, label_2, prob_2, ..."""
    ids = np.arange(len(data)) if data.ids is None else data.ids

    def named(label: np.ndarray) -> np.ndarray:
        return label if names is None else names[label]

    columns = {
        "id": ids,
        "label": named(p.label),
        "confidence": p.confidence,
        "p_correct": p.p_correct.astype(np.float32),
        "accept": p.accept,
    }
    if top > 1:
        order, probs = ranked(data.logits)
        for rank in range(1, top):
            columns[f"label_{rank + 1}"] = named(order[:, rank])
            columns[f"prob_{rank + 1}"] = probs[:, rank].astype(np.float32)
    return columns


def _write(path: Path, columns: Mapping[str, np.ndarray]) -> None:
    with atomic(path) as temporary:
        if path.suffix.lower() == ".npz":
            with temporary.open("wb") as handle:  # of a name, savez would change .NPZ
                np.savez(handle, **columns)  # ty: ignore[invalid-argument-type]
        elif path.suffix.lower() == ".parquet":
            pa = extra("pyarrow", "parquet", "writing .parquet")
            extra("pyarrow.parquet", "parquet", "writing .parquet").write_table(
                pa.table(dict(columns)), temporary
            )
        else:
            with temporary.open("w", newline="", encoding="utf-8") as handle:
                writer = csv.writer(handle)
                writer.writerow(columns)
                writer.writerows(zip(*(_cells(c) for c in columns.values())))


def _cells(column: np.ndarray) -> list[Any]:
    """Cells of a CSV: float32 in the shortest form that reads back the same; true and false."""
    if column.dtype == bool:
        return ["true" if x else "false" for x in column]
    return column.astype(str).tolist() if column.dtype.kind == "f" else column.tolist()
