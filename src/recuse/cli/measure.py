"""`recuse evaluate`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import typer

from recuse._internal.files import to_json
from recuse.cli.files import scan
from recuse.cli.options import (
    Binary,
    Coverage,
    Groups,
    IgnoreIndex,
    Json,
    Multilabel,
    Probs,
    Quiet,
    Risk,
    kind_of,
    levels_of,
    scores_of,
)
from recuse.errors import InputError
from recuse.evaluation import (
    FileMeasures,
    Measures,
    Scored,
    measure_confidences,
    measure_labels,
    measure_scored,
    score_chunks,
)
from recuse.intervals import FEW_ERRORS
from recuse.io import MULTILABEL, LogitsReader, holds_confidences, read_confidences
from recuse.io._overlap import check_given_once
from recuse.io._reader import read_groups
from recuse.present import terminal
from recuse.present.numbers import area, percent
from recuse.sketch import CurveSketch, is_sketch, load

Levels = Mapping[str, tuple[float, ...]]


class Entry(NamedTuple):
    """One block of the table and one entry of the JSON."""

    title: str
    rows: dict[str, list[str]]
    plain: dict[str, Any]
    note: str = ""


def evaluate(
    files: Annotated[
        list[Path],
        typer.Argument(
            help="Labelled logits files (a folder or a quoted glob of shards is one file), "
            "sketches, or .csv and .parquet of `confidence` and `correct` or `loss`."
        ),
    ],
    score: Annotated[
        list[str],
        typer.Option("--score", help="msp (default), margin, logit_norm(p=3), ...; repeatable."),
    ] = [],  # noqa: B006  typer reads it once
    risk: Risk = [],  # noqa: B006
    coverage: Coverage = [],  # noqa: B006
    binary: Binary = False,
    probs: Probs = False,
    multilabel: Multilabel = False,
    ignore_index: IgnoreIndex = None,
    groups: Groups = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Measure how well confidence separates right from wrong predictions.

    Logits are read in chunks, so that the size of a file does not matter.
    """
    kind = kind_of(binary, probs, multilabel)
    scores, levels = scores_of(score or ["msp"], kind), levels_of(risk, coverage)
    check_given_once(files)
    entries: list[Entry] = []
    for path in files:
        if is_sketch(path):
            entries += _of_sketch(path, score and [str(s) for s in scores], levels)
        elif holds_confidences(path):
            _refuse_options(path, score, kind)
            entries.append(_of_table(path, groups, levels))
        else:
            reader, chunks = scan(
                path, kind=kind, ignore_index=ignore_index, groups=groups, quiet=quiet
            )
            entries += _of_logits(reader, score_chunks(reader, chunks, scores), levels)
    if as_json:
        print(to_json({"files": [entry.plain for entry in entries]}))
    elif not quiet:
        _show(entries, levels)


def _refuse_options(path: Path, score: list[str], kind: str) -> None:
    given = "--score" if score else f"--{kind}" if kind != "logits" else ""
    if given:
        raise InputError(f"{path}: expected logits for {given}, got a table of confidences")


def _of_table(path: Path, groups: Path | None, levels: Levels) -> Entry:
    table = read_confidences(path)
    if groups is not None and table.groups is None:
        table = replace(table, groups=read_groups(groups, len(table)))
    note = f"{path} holds confidences without logits: they can be measured, but not repaired."
    return _of_file(measure_confidences(table, **levels), note=note)


def _of_logits(reader: LogitsReader, scored: Scored, levels: Levels) -> list[Entry]:
    several = reader.kind == MULTILABEL
    found = measure_labels(scored, **levels) if several else [measure_scored(scored, **levels)]
    return [_of_file(m, len(reader.stores)) for m in found]


def _of_file(m: FileMeasures, shards: int = 1, note: str = "") -> Entry:
    several = f" ({shards} shards)" if shards > 1 else ""
    where = ", all labels" if m.label is None else f", label {m.label}"
    known = "" if m.classes is None else f", {m.classes} classes"
    if m.labels:
        known = f", {m.labels} labels" if m.label is None else ""
    title = (
        f"{m.name}{several}{where if m.labels else ''}: {m.n:,} predictions{known}, "
        f"accuracy {percent(m.accuracy, 1)}"
    )
    cells = {name: _cells(s) for name, s in m.scores.items()}
    return Entry(title, cells, m.to_dict(), " ".join(filter(None, (note, _few_errors(m)))))


def _few_errors(m: FileMeasures) -> str:
    """What the standard errors are worth where there are few errors."""
    errors = round(m.n * (1 - m.accuracy)) if m.accuracy == m.accuracy else FEW_ERRORS
    if not 0 < errors < FEW_ERRORS:
        return ""
    some = "1 error" if errors == 1 else f"{errors} errors"
    return f"{m.name} has {some}: with fewer than {FEW_ERRORS}, s.e. are too small."


def _cells(s: Measures) -> list[str]:
    return [
        *(area(x) for x in (s.aurc, s.aurc_se, s.e_aurc)),
        "-" if s.n_aurc != s.n_aurc else f"{s.n_aurc:.3f}",
        area(s.augrc),
        *(f"{100 * x:.1f}" for x in s.coverage_at_risk.values()),
        *(f"{100 * x:.2f}" for x in s.risk_at_coverage.values()),
    ]


def _of_sketch(path: Path, scores: list[str], levels: Levels) -> Iterator[Entry]:
    found = load(path)
    name = found.about.get("score", "confidence")
    if scores and scores != [name]:
        raise InputError(f"{path}: expected logits for --score, got a sketch of {name}")
    total = found if isinstance(found, CurveSketch) else found.total()
    if not total.n:
        raise InputError(f"{path}: expected a sketch of at least one prediction, got an empty one")
    if isinstance(found, CurveSketch):
        yield _of_curve(str(path), {"file": str(path)}, total, levels)
        return
    yield _of_curve(str(path), {"file": str(path), "group": None}, total, levels)
    for group, sketch in found.items():
        named = {"file": str(path), "group": group}
        yield _of_curve(f"{path}, {group}", named, sketch, levels)


def _of_curve(of: str, named: dict[str, Any], s: CurveSketch, levels: Levels) -> Entry:
    classes, name = s.about.get("classes"), s.about.get("score", "confidence")
    measures, accuracy = s.to_dict(**levels), s.accuracy()
    reason = {} if classes is not None else {"classes": "the sketch does not say"}
    reason |= {"accuracy": "losses other than 0 and 1"} if accuracy != accuracy else {}
    known = "" if classes is None else f", {classes} classes"
    title = f"{of}: a sketch of {s.n:,} predictions{known}, accuracy {percent(accuracy, 1)}"
    plain = {
        **named,
        "n": s.n,
        "classes": None if classes is None else int(classes),
        "accuracy": None if "accuracy" in reason else accuracy,
        "scores": {name: measures},
        **({"reason": reason} if reason else {}),
    }
    low, high = (area(measures[k], 4) for k in ("aurc_low", "aurc_high"))
    note = f"{of} is a sketch: its exact AURC lies between {low} and {high}."
    return Entry(title, {name: _sketch_cells(measures)}, plain, note)


def _sketch_cells(m: Mapping[str, Any]) -> list[str]:
    undefined = float("nan")
    of = {k: undefined if m[k] is None else m[k] for k in ("e_aurc", "n_aurc")}
    return [
        area(m["aurc"]),
        "-",
        area(of["e_aurc"]),
        "-" if of["n_aurc"] != of["n_aurc"] else f"{of['n_aurc']:.3f}",
        area(m["augrc"]),
        *(f"{100 * x:.1f}" for x in m["coverage_at_risk"].values()),
        *(f"{100 * x:.2f}" for x in m["risk_at_coverage"].values()),
    ]


def _show(entries: list[Entry], levels: Levels) -> None:
    header = (
        *("AURC", "s.e.", "E-AURC", "N-AURC", "AUGRC"),
        *(f"cov@{100 * r:g}%" for r in levels["risks"]),
        *(f"risk@{100 * c:g}%" for c in levels["coverages"]),
    )
    terminal.blocks(header, {entry.title: entry.rows for entry in entries})
    terminal.say(
        "AURC, s.e., E-AURC and AUGRC x 1000; smaller is better. cov@ and risk@ in percent."
    )
    for note in dict.fromkeys(entry.note for entry in entries if entry.note):
        terminal.say(note)
