"""`recuse fit` and `recuse predict`."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from recuse._check import InputError, extra
from recuse._files import atomic, to_json
from recuse.bounds import clopper_pearson_lower, clopper_pearson_upper
from recuse.cli import show, why
from recuse.cli.options import (
    Binary,
    Force,
    IgnoreIndex,
    Json,
    Probs,
    Quiet,
    Seed,
    kind_of,
    read,
    refuse_overwrite,
    warn_of_probabilities,
)
from recuse.io import LogitsFile, read_logits
from recuse.rejector import RUNNERS_UP, Predictions, Rejector, Why, choose, explain, ranked

Objective = Annotated[
    str,
    typer.Option(
        "--objective",
        help="What a repair is to improve on the tune file: aurc, augrc, or coverage, the "
        "largest at the target risk.",
    ),
]
Learned = Annotated[
    bool,
    typer.Option("--learned/--no-learned", help="Also try a score learned on the tune file."),
]
TABLES = (".csv", ".parquet", ".npz")


def fit(
    tune: Annotated[Path, typer.Option("--tune", help="Logits file to choose the score on.")],
    calibrate: Annotated[
        Path, typer.Option("--calibrate", help="Logits file to choose the threshold on.")
    ],
    target_risk: Annotated[
        float, typer.Option("--target-risk", help="Largest error rate of accepted predictions.")
    ],
    delta: Annotated[
        float, typer.Option("--delta", help="Probability that the promise fails.")
    ] = 0.05,
    method: Annotated[
        str,
        typer.Option(
            "--method", help="auto, fixed_sequence, random_walk, bonferroni, betting or sgr."
        ),
    ] = "auto",
    objective: Objective = "aurc",
    learned: Learned = True,
    out: Annotated[Path, typer.Option("--out", help="The rejector to write.")] = Path(
        "rejector.json"
    ),
    binary: Binary = False,
    probs: Probs = False,
    ignore_index: IgnoreIndex = None,
    groups: Annotated[
        Path | None, typer.Option("--groups", help="Groups of the calibrate file; see evaluate.")
    ] = None,
    allow_overlap: Annotated[
        bool,
        typer.Option("--allow-overlap", help="Tune and calibrate may share rows: no guarantee."),
    ] = False,
    seed: Seed = 0,
    force: Force = False,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Choose the score on one file and a threshold with a guarantee on another.

    Exit code 1 and no file where no threshold can make the promise; it says what could.
    """
    refuse_overwrite(out, force, tune, calibrate)
    kind = kind_of(binary, probs)
    tune_file = read(tune, kind=kind, ignore_index=ignore_index)
    calibrate_file = read(calibrate, kind=kind, ignore_index=ignore_index, groups=groups)
    choice = choose(
        tune_file,
        calibrate_file,
        target_risk=target_risk,
        delta=delta,
        method=method,
        objective=objective,
        learned=learned,
        seed=seed,
        kind=kind,
        allow_overlap=allow_overlap,
    )
    rejector, selection = choice.rejector, choice.selection
    if rejector is not None:
        rejector.save(out)
    if as_json:
        answer: dict[str, Any] = {
            "feasible": selection.feasible,
            "reason": selection.reason,
            "score": str(choice.tuned.score),
            "objective": choice.tuned.objective,
            "threshold": selection.threshold,
            "guarantee": selection.guarantee.to_dict(),
            "smallest_target": selection.smallest_target,
            "rows_needed": selection.rows_needed,
            "out": str(out) if rejector else None,
        }
        print(to_json(answer))
    elif not quiet:
        used = selection.guarantee.n
        if used < len(calibrate_file):
            show.say(
                f"Calibrate: one row of each of {used:,} groups, of {len(calibrate_file):,} rows."
            )
        show.say(f"Score: {choice.tuned.reason}.")
        show.say(selection.reason)
        if rejector is None and out.exists():
            show.say(f"{out} is from an earlier fit and was left as it is.")
        if rejector:
            show.say(f"Threshold {selection.threshold:.6g}, written to {out}.")
    if rejector is None:
        raise typer.Exit(1)


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
    classes: Annotated[
        Path | None, typer.Option("--classes", help="Class names, one a line.")
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
    """Label, confidence and decision for every row; with labels, also the error made."""
    rejector = Rejector.load(rejector_path)
    data = read_logits(file, kind=rejector.kind, ignore_index=ignore_index)
    warn_of_probabilities(data, rejector.kind)
    if out is not None:
        refuse_overwrite(out, force, rejector_path, file)
        if out.suffix not in TABLES:
            raise InputError(f"{out}: expected a name ending in {', '.join(TABLES)}")
        if data.logits.ndim > 2 and out.suffix != ".npz":
            raise InputError(f"{out}: expected .npz for pixel logits {data.logits.shape}")
    if data.logits.shape[1] != rejector.classes:
        raise InputError(
            f"{file}: expected logits of {rejector.classes} classes, as fitted, "
            f"got {data.logits.shape[1]}"
        )
    if not 1 <= top <= data.logits.shape[1]:
        raise InputError(f"expected --top in 1..{data.logits.shape[1]}, got {top}")
    names = _class_names(classes, rejector.classes)
    reasons = explain(rejector, data, ids, top=max(top - 1, RUNNERS_UP)) if ids else []
    predictions = rejector.predict(data.logits)
    summary = _summary(data, predictions, rejector)
    if out is not None:
        _write(out, _columns(data, predictions, top, names))
    if as_json:
        print(to_json(summary | ({"why": [_plain(w, names) for w in reasons]} if ids else {})))
    elif not quiet:
        _show(summary, rejector, out)
        for reason in reasons:
            why.tell(reason, rejector, names, float(predictions.accept.mean()))


def _plain(reason: Why, names: np.ndarray | None) -> dict[str, Any]:
    """The reason for JSON, with the names of classes where there are any."""
    plain = reason.to_dict()
    if names is not None:
        plain["label"] = str(names[reason.label])
        for other in plain["runners_up"]:
            other["label"] = str(names[other["label"]])
    return plain


def _class_names(path: Path | None, count: int) -> np.ndarray | None:
    if path is None:
        return None
    try:
        names = path.read_text(encoding="utf-8").splitlines()
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: expected class names in UTF-8") from error
    if len(names) != count:
        raise InputError(f"{path}: expected {count} class names, one a line, got {len(names)}")
    return np.array(names)


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
        if path.suffix == ".npz":
            np.savez(temporary, **columns)  # ty: ignore[invalid-argument-type]
        elif path.suffix == ".parquet":
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


def _summary(data: LogitsFile, p: Predictions, rejector: Rejector) -> dict[str, Any]:
    counted = np.ones(p.accept.shape, bool)
    if data.labels is not None and data.ignore_index is not None:
        counted = data.labels != data.ignore_index
        if not counted.any():
            raise InputError(f"{data.name}: every label is the ignored {data.ignore_index}")
    accepted = p.accept & counted
    summary: dict[str, Any] = {
        "n": int(counted.sum()),
        "accepted": int(accepted.sum()),
        "coverage": float(accepted.sum() / counted.sum()),
        "target_risk": rejector.guarantee.target_risk,
        "delta": rejector.guarantee.delta,
        "guarantee": str(rejector.guarantee),
    }
    if data.labels is not None:
        wrong = (p.label != data.labels) & counted
        errors = int((wrong & accepted).sum())
        summary |= {
            "errors": errors,
            "risk": errors / summary["accepted"] if summary["accepted"] else None,
            "risk_interval": _interval(errors, summary["accepted"], data),
            "error_without_rejector": float(wrong.sum() / counted.sum()),
            "seen_in_fit": _seen_in_fit(data, rejector),
        }
        if not summary["accepted"]:
            summary["reason"] = "risk is undefined: nothing was accepted"
    return summary


def _interval(errors: int, n: int, data: LogitsFile) -> list[float] | None:
    """The exact 95 % interval of the error rate; None where rows depend on each other."""
    if n == 0 or data.predictions().groups is not None:
        return None
    limits = (clopper_pearson_lower, clopper_pearson_upper)
    return [float(limit(errors, n, 0.025)) for limit in limits]


def _seen_in_fit(data: LogitsFile, rejector: Rejector) -> str | None:
    """Which split of the fit this file is, if any: its error is then no test."""
    digest = data.predictions().digest
    return next((k for k, split in rejector.splits.items() if split["digest"] == digest), None)


def _show(summary: Mapping[str, Any], rejector: Rejector, out: Path | None) -> None:
    show.say(
        f"{summary['accepted']:,} of {summary['n']:,} predictions accepted "
        f"({show.percent(summary['coverage'])}), {summary['n'] - summary['accepted']:,} abstained."
    )
    if summary.get("risk") is not None:
        show.say(
            f"Of the accepted, {summary['errors']:,} are wrong ({show.percent(summary['risk'])}); "
            f"without abstaining it would be {show.percent(summary['error_without_rejector'])}."
        )
    if (interval := summary.get("risk_interval")) is not None:
        target = rejector.guarantee.target_risk
        verdict = "in line with" if interval[0] <= target else "above"
        show.say(
            f"The 95 % interval of this error, {show.percent(interval[0])} to "
            f"{show.percent(interval[1])}, is {verdict} the promised {show.percent(target)}."
        )
    if summary.get("seen_in_fit"):
        show.say(f"This file is the {summary['seen_in_fit']} split of the fit: it is no test.")
    show.say(str(rejector))
    if out is not None:
        show.say(f"Written to {out}.")
