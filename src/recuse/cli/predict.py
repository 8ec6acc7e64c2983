"""`recuse predict`."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from recuse._internal.files import to_json
from recuse.cli.files import (
    by_columns,
    check_ending,
    opened,
    refuse_overwrite,
    subgroups_of,
    warn,
    warn_of_another_shift,
    warn_of_labels,
    warn_of_probabilities,
)
from recuse.cli.options import ClassNames, Force, IgnoreIndex, Json, Quiet
from recuse.errors import InputError
from recuse.io import HeldOut
from recuse.io._rows import of_classes, refuse_confidences
from recuse.io._tables import PREDICTION, class_names_of
from recuse.io._write import TABLES, write_csv, write_table
from recuse.present import decisions, terminal
from recuse.present.numbers import count, listed
from recuse.rejector import (
    ALL,
    CLASS,
    RUNNERS_UP,
    SUBGROUP,
    Explanation,
    Predictions,
    Rejector,
    Summary,
    explain,
    ranked,
    summarize,
)
from recuse.scores import without_filler

STDOUT = Path("-")
EACH = {ALL: "all", CLASS: "each predicted class", SUBGROUP: "each subgroup"}


def predict(
    rejector_path: Annotated[
        Path, typer.Argument(metavar="REJECTOR", help="What `recuse fit` wrote.")
    ],
    file: Annotated[
        Path, typer.Argument(help="A held-out file or a table, with or without labels.")
    ],
    out: Annotated[
        Path | None,
        typer.Option(
            "--out", help="Table to write: .csv, .parquet or .npz; - writes CSV to stdout, alone."
        ),
    ] = None,
    top: Annotated[
        int, typer.Option("--top", help="Also the next classes, up to this rank.", min=1)
    ] = 1,
    classes: ClassNames = None,
    by: Annotated[
        str | None,
        typer.Option(
            "--by",
            metavar="COLUMN|FILE.csv",
            help="The subgroups of a rejector fitted with --by: a column of the file, or a .csv.",
        ),
    ] = None,
    ids: Annotated[
        list[str],
        typer.Option(
            "--explain",
            metavar="ID",
            help="Explain the decision on this row; the number of a row from 0 where "
            "the file has no ids. Repeatable.",
        ),
    ] = [],  # noqa: B006 - typer reads it
    ignore_index: IgnoreIndex = None,
    force: Force = False,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Decide on every row of a file; with labels, also count the errors.

    The observed error, coverage or cost is compared with the guarantee. With thresholds for
    classes or subgroups, a table shows the coverage and the risk of each.
    """
    if top > 1 and out is None and not ids:
        raise InputError(f"expected --out or --explain with --top {top}: the table has the classes")
    if out == STDOUT:
        if as_json or ids:
            raise InputError("expected --out - without --json and --explain: stdout has the table")
        quiet = True
    elif out is not None:
        check_ending(out, *TABLES)
        refuse_overwrite(out, force, rejector_path, file, *([] if by is None else [Path(by)]))
    rejector = Rejector.load(rejector_path)
    options: dict[str, Any] = {"kind": rejector.kind, "ignore_index": ignore_index}
    options["subgroups"] = by_columns(by)
    reader = opened(file, classes=rejector.class_names, quiet=quiet, pending=True, **options)
    if rejector.class_names and not reader.named:
        held = "classes" if of_classes(rejector.kind) else "confidences"
        warn(
            f"{file}: the rejector knows its {held} ({listed(rejector.class_names)}), and the "
            "file does not name them: their order cannot be checked"
        )
    with terminal.working("reading", quiet=quiet):
        data = reader.read()
    if (known := reader.known) is not None:
        none = f"{count(int((~known).sum()))} of {count(len(data))} rows have no label yet"
        warn(f"{file}: {none}: errors are not counted")
        data = replace(data, labels=None)
    data = rejector._own(data)  # refuses outputs of another kind, before anything is said of them
    warn_of_labels(data)
    odd_form = warn_of_probabilities(data)
    odd_form |= warn_of_another_shift(data, rejector.log_probs)
    if out is not None and data.logits.ndim > 2 and out.suffix.lower() != ".npz":
        raise InputError(f"{out}: expected .npz for several predictions a row, {data.logits.shape}")
    if top > 1:
        refuse_confidences(rejector.kind, "there are no next classes for --top")
    if not 1 <= top <= data.logits.shape[1]:
        raise InputError(f"expected --top in 1..{data.logits.shape[1]}, got {top}")
    names = _class_names(classes, rejector, data)
    subgroups = _subgroups(by, rejector, data)
    runners_up = max(top - 1, RUNNERS_UP)
    parts = reader.by_shard(data) if len(reader.stores) > 1 else ()
    with terminal.working("deciding", quiet=quiet):
        reasons = explain(rejector, data, ids, top=runners_up, subgroups=subgroups) if ids else []
        predictions = rejector._decide(data, subgroups)
        summary = summarize(data, predictions, rejector, subgroups, parts)
        columns: dict[str, np.ndarray] = {}
        if out is not None:
            columns = _columns(data, predictions, top, names, rejector) | _context(data, subgroups)
        if out is not None and out != STDOUT:
            write_table(out, columns)
    for line in decisions.model_lines(str(file), summary, odd_form):
        warn(line)
    if out == STDOUT:
        write_csv(sys.stdout, columns)
    if as_json:
        told = [_plain(reason, names) for reason in reasons]
        print(to_json(summary.to_dict() | ({"explanations": told} if ids else {})))
    elif not quiet:
        _tell(summary, rejector, out, names)
        for reason in reasons:
            accepted = float(predictions.accept.mean())
            for line in decisions.explanation_lines(reason, rejector.score, names, accepted):
                terminal.say(line)


def _class_names(path: Path | None, rejector: Rejector, data: HeldOut) -> np.ndarray | None:
    """Return the names of the classes: of --classes, of the rejector, or of the file."""
    if not of_classes(rejector.kind):
        return None
    if path is not None:
        return np.array(class_names_of(path, rejector.classes))
    names = rejector.class_names or data.class_names
    return None if names is None else np.array(names)


def _tell(summary: Summary, rejector: Rejector, out: Path | None, names: np.ndarray | None) -> None:
    for line in decisions.summary_lines(summary):
        terminal.say(line)
    terminal.say(str(rejector))
    if out is not None:
        terminal.say(f"Written to {out}.")
    if rejector.by == ALL:
        return
    named = names if rejector.by == CLASS else None
    options = {"errors": summary.labelled, "limits": summary.independent}
    terminal.table(*decisions.subgroup_cells(summary.table, rejector.by, named, **options))
    for line in decisions.subgroup_lines(summary, named):
        terminal.say(line)


def _subgroups(by: str | None, rejector: Rejector, data: HeldOut) -> np.ndarray | None:
    """The subgroup of every row, where the rejector has thresholds for subgroups."""
    if (by is None) != (rejector.by != SUBGROUP):
        wanted = "--by with the subgroups" if by is None else "no --by"
        raise InputError(f"expected {wanted}, since its thresholds are for {EACH[rejector.by]}")
    return None if by is None else subgroups_of(by, data)


def _plain(reason: Explanation, names: np.ndarray | None) -> dict[str, Any]:
    """The reason for JSON, with the names of classes where there are any."""
    plain = reason.to_dict()
    if names is not None:
        plain["prediction"] = str(names[reason.prediction])
        if reason.by == CLASS:
            plain["subgroup"] = plain["prediction"]
        for other in plain["runners_up"]:
            other["prediction"] = str(names[other["prediction"]])
    return plain


def _columns(
    data: HeldOut, p: Predictions, top: int, names: np.ndarray | None, rejector: Rejector
) -> dict[str, np.ndarray]:
    """Columns of the table: id, prediction, confidence, p_correct, accept, prediction_2, ..."""
    ids = np.arange(len(data)) if data.ids is None else data.ids

    def named(label: np.ndarray) -> np.ndarray:
        return label if names is None else names[label]

    # of confidences, what their table says
    claim = named(p.prediction) if of_classes(data.kind) else data.subgroups.get(PREDICTION)
    columns = {
        "id": ids,
        **({} if claim is None else {"prediction": claim}),
        "confidence": p.confidence,
        "p_correct": p.p_correct.astype(np.float32),
        "accept": p.accept,
    }
    if top > 1:
        order, probs = ranked(without_filler(data.logits, rejector.filler), rejector.score)
        for rank in range(1, top):
            columns[f"prediction_{rank + 1}"] = named(order[:, rank])
            columns[f"prob_{rank + 1}"] = probs[:, rank].astype(np.float32)
    return columns


def _context(data: HeldOut, subgroups: np.ndarray | None) -> dict[str, np.ndarray]:
    """Return the group and the subgroup of each row, which a monitor of the decisions needs."""
    told = {"group": data.groups, "subgroup": subgroups}
    return {name: of for name, of in told.items() if of is not None}
