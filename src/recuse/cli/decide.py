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
from recuse.cli import per, show, verdict, why
from recuse.cli.options import (
    Binary,
    Force,
    IgnoreIndex,
    Json,
    Probs,
    Quiet,
    Seed,
    check_ending,
    kind_of,
    numbers,
    read_whole,
    refuse_overwrite,
    warn_of_probabilities,
)
from recuse.io import LogitsFile, read_logits
from recuse.rejector import (
    ALL,
    CLASS,
    GROUP,
    RUNNERS_UP,
    Choice,
    Predictions,
    Rejector,
    Why,
    choose,
    explain,
    fit_several,
    ranked,
)
from recuse.selectors import GroupSelection

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
PLURALS = {CLASS: "predicted classes", GROUP: "groups"}
EACH = {ALL: "all", CLASS: "each predicted class", GROUP: "each group"}
REASONS = 2  # classes or groups without a threshold of which it is told why
TABLES = (".csv", ".parquet", ".npz")


def fit(
    tune: Annotated[Path, typer.Option("--tune", help="Logits file to choose the score on.")],
    calibrate: Annotated[
        Path, typer.Option("--calibrate", help="Logits file to choose the threshold on.")
    ],
    target_risk: Annotated[
        str | None,
        typer.Option(
            "--target-risk",
            help="Largest error rate of accepted predictions; or several, 0.01,0.05, whose "
            "promises hold all at once, each in a file of its own.",
        ),
    ] = None,
    coverage: Annotated[
        float | None,
        typer.Option("--coverage", help="Instead: smallest fraction of predictions to accept."),
    ] = None,
    cost: Annotated[
        str | None,
        typer.Option("--cost", help="Instead: cost of an error and of an abstention, as 10:1."),
    ] = None,
    per_: Annotated[
        str | None, typer.Option("--per", metavar="class|FILE.csv", help=per.HELP)
    ] = None,
    delta: Annotated[
        float, typer.Option("--delta", help="Probability that the promise fails.")
    ] = 0.05,
    method: Annotated[
        str,
        typer.Option(
            "--method", help="auto, fixed_sequence, random_walk, bonferroni, band or sgr."
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

    Promised is an error rate, a coverage or a mean cost. Exit code 1 and no file where no
    threshold can make the promise; it says what could. Several error rates hold all at once.
    """
    check_ending(out, ".json")
    targets = numbers([target_risk or ""], (), "target-risk")
    promised = _promised(targets, coverage, cost, per_)
    outs = _outs(out, targets)
    for path in outs:
        refuse_overwrite(path, force, tune, calibrate, *_paths(per_))
    kind = kind_of(binary, probs)
    files = (
        read_whole(tune, kind=kind, ignore_index=ignore_index),
        read_whole(calibrate, kind=kind, ignore_index=ignore_index, groups=groups),
    )
    options: dict[str, Any] = {
        "delta": delta,
        "method": method,
        "objective": objective,
        "learned": learned,
        "seed": seed,
        "kind": kind,
        "allow_overlap": allow_overlap,
    }
    with show.working("choosing the score and the threshold", quiet=quiet):
        if len(targets) > 1:
            choices = fit_several(*files, target_risks=targets, **options)
        else:
            choices = (choose(*files, **promised, per=per.populations(per_, *files), **options),)
    for choice, path in zip(choices, outs):
        if choice.rejector is not None:
            choice.rejector.save(path)
    if as_json:
        answers = [_answer(choice, path) for choice, path in zip(choices, outs)]
        print(to_json(answers[0] if len(answers) == 1 else {"delta": delta, "fits": answers}))
    elif not quiet:
        _tell_fit(choices, outs, len(files[1].predictions()))
    if any(choice.rejector is None for choice in choices):
        raise typer.Exit(1)


def _promised(
    targets: tuple[float, ...], coverage: float | None, cost: str | None, per_: str | None
) -> dict[str, Any]:
    """The one promise that is asked for, as `choose` takes it."""
    given = {"--target-risk": targets or None, "--coverage": coverage, "--cost": cost}
    names = [name for name, value in given.items() if value is not None]
    if len(names) != 1:
        got = " and ".join(names) or "none"
        raise InputError(f"expected one of --target-risk, --coverage and --cost, got {got}")
    if per_ is not None and len(targets) != 1:
        raise InputError(f"expected --per with one --target-risk, got {', '.join(names)}")
    if targets:
        return {"target_risk": targets[0]}
    return {"coverage": coverage} if cost is None else {"cost": _cost(cost)}


def _cost(text: str) -> tuple[float, float]:
    """Of an error and of an abstention, from 10:1."""
    try:
        error, abstain = map(float, text.split(":"))
    except ValueError:
        raise InputError(
            f"expected --cost of an error and an abstention, such as 10:1, got {text!r}"
        ) from None
    return error, abstain


def _outs(out: Path, targets: tuple[float, ...]) -> list[Path]:
    """One file, or for each of several targets one with the target in its name."""
    if len(targets) < 2:
        return [out]
    return [out.with_name(f"{out.stem}-{target:.12g}{out.suffix}") for target in targets]


def _paths(per_: str | None) -> list[Path]:
    return [] if per_ in (None, CLASS) else [Path(str(per_))]


def _answer(choice: Choice, out: Path) -> dict[str, Any]:
    """A fit for programs."""
    s, promise = choice.selection, choice.selection.guarantee
    answer: dict[str, Any] = {
        "feasible": s.feasible,
        "reason": s.reason,
        "score": str(choice.tuned.score),
        "objective": choice.tuned.objective,
        "guarantee": {"kind": promise.kind, **promise.to_dict()},
        "out": str(out) if choice.rejector else None,
    }
    if isinstance(s, GroupSelection):
        rules = [{"of": name, **chosen.to_dict()} for name, chosen in s.selections.items()]
        return answer | {"by": s.by, "rules": rules, "groups": [row._asdict() for row in s.table]}
    names = ("threshold", "smallest_target", "rows_needed")
    return answer | {name: getattr(s, name) for name in names}


def _tell_fit(choices: tuple[Choice, ...], outs: list[Path], rows: int) -> None:
    used = choices[0].selection.guarantee.n
    if used < rows:
        show.say(f"Calibrate: one row of each of {used:,} groups, of {rows:,} rows.")
    show.say(f"Score: {choices[0].tuned.reason}.")
    for choice, out in zip(choices, outs):
        selection, rejector = choice.selection, choice.rejector
        show.say(selection.reason)
        if isinstance(selection, GroupSelection):
            per.tell(selection.table, selection.by, intervals=False)
        if rejector is None and out.exists():
            show.say(f"{out} is from an earlier fit and was left as it is.")
        if rejector:
            _tell_abstained(rejector, out)
            show.say(f"{_threshold(rejector)}, written to {out}.")


def _tell_abstained(rejector: Rejector, out: Path) -> None:
    """Why classes or groups have no threshold: the first few."""
    without = [rule for rule in rejector.rules if rule.reason and rule.of is not None]
    for rule in without[:REASONS]:
        show.say(f"{rule.of}: {rule.reason}")
    if len(without) > REASONS:
        show.say(f"The reasons of {len(without) - REASONS:,} more are in {out}.")


def _threshold(rejector: Rejector) -> str:
    if rejector.by != ALL:
        accepting = sum(rule.threshold < np.inf for rule in rejector.rules)
        return f"Thresholds of {accepting:,} of {len(rejector.rules):,} {PLURALS[rejector.by]}"
    if rejector.threshold == np.inf:
        return "No threshold, since abstaining always is cheapest"
    return f"Threshold {rejector.threshold:.6g}"


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
    data = read_logits(file, kind=rejector.kind, ignore_index=ignore_index)
    warn_of_probabilities(data, rejector.kind)
    if out is not None and data.logits.ndim > 2 and out.suffix.lower() != ".npz":
        raise InputError(f"{out}: expected .npz for pixel logits {data.logits.shape}")
    if data.logits.shape[1] != rejector.classes:
        raise InputError(
            f"{file}: expected logits of {rejector.classes} classes, as fitted, "
            f"got {data.logits.shape[1]}"
        )
    if not 1 <= top <= data.logits.shape[1]:
        raise InputError(f"expected --top in 1..{data.logits.shape[1]}, got {top}")
    names = _class_names(classes, rejector.classes)
    groups = _groups(per_, rejector, data)
    runners_up = max(top - 1, RUNNERS_UP)
    reasons = explain(rejector, data, ids, top=runners_up, groups=groups) if ids else []
    predictions = rejector.predict(data.logits, groups)
    summary = verdict.summary_of(data, predictions, rejector, groups)
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
