"""`recuse evaluate` and `recuse compare`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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
    Scored,
    compare_scored,
    matched,
    measure_sketch,
)
from recuse.evaluation._scored import default_scores, measure_labels, measure_scored, score_chunks
from recuse.evaluation._shards import needs_logits
from recuse.intervals._interval import FEW_ERRORS
from recuse.io import LogitsReader
from recuse.io._checked import MULTILABEL
from recuse.io._overlap import check_given_once
from recuse.io._rows import LOSSES, of_classes
from recuse.present import measures as words
from recuse.present import terminal
from recuse.scores import Score
from recuse.sketch import is_sketch, load

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
            help="Labelled held-out files or tables (a folder or a quoted glob of shards is one "
            "file), also of `confidence` and `correct` or `loss`; or sketches."
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

    Logits are read in chunks, so files may be larger than memory.
    """
    kind = kind_of(binary, probs, multilabel)
    scores, levels = scores_of(score or ["msp"], kind), levels_of(risk, coverage)
    check_given_once(files)
    entries: list[Entry] = []
    for path in files:
        if is_sketch(path):
            entries += _of_sketch(path, score and [str(s) for s in scores], levels)
        else:
            reader, chunks = scan(
                path, kind=kind, ignore_index=ignore_index, groups=groups, quiet=quiet
            )
            found = score_chunks(reader, chunks, _scores(reader, score, scores))
            entries += _of_outputs(reader, found, levels)
    if as_json:
        print(to_json({"files": [entry.plain for entry in entries]}))
    elif not quiet:
        _show(entries, levels)


def _scores(reader: LogitsReader, asked: Sequence[Any], scores: Sequence[Score]) -> Sequence[Score]:
    """Return the scores to measure: of confidences, which have no others, each column."""
    if of_classes(reader.kind):
        return scores
    if any(asked):
        raise InputError(needs_logits(reader.name, "--score"))
    return default_scores(reader)


def _of_outputs(reader: LogitsReader, scored: Scored, levels: Levels) -> list[Entry]:
    several = reader.kind == MULTILABEL
    found = measure_labels(scored, **levels) if several else [measure_scored(scored, **levels)]
    note = words.losses_note(reader.name) if reader.kind == LOSSES else ""
    return [_of_file(m, len(reader.stores), note) for m in found]


def _of_file(m: FileMeasures, shards: int = 1, note: str = "") -> Entry:
    cells = {name: words.measures_cells(s) for name, s in m.scores.items()}
    notes = " ".join(filter(None, (note, words.few_errors_note(m, FEW_ERRORS))))
    return Entry(words.file_title(m, shards), cells, m.to_dict(), notes)


def _of_sketch(path: Path, scores: list[str], levels: Levels) -> list[Entry]:
    found = load(path)
    name = found.about.get("score", "confidence")
    if scores and scores != [name]:
        raise InputError(f"{path}: expected logits for --score, got a sketch of {name}")
    return [
        Entry(
            words.sketch_title(m),
            {m.score: words.sketch_cells(m.measures)},
            m.to_dict(),
            words.sketch_note(m),
        )
        for m in measure_sketch(found, str(path), **levels)
    ]


def _show(entries: list[Entry], levels: Levels) -> None:
    header = words.measures_header(levels["risks"], levels["coverages"])
    terminal.blocks(header, {entry.title: entry.rows for entry in entries})
    for note in (*words.MEASURES_NOTES, *dict.fromkeys(e.note for e in entries if e.note)):
        terminal.say(note)


def compare(
    a: Annotated[Path, typer.Argument(help="A labelled held-out file, or a table of confidences.")],
    b: Annotated[
        Path | None,
        typer.Argument(
            help="The same examples by another model; without it, two scores of A are compared."
        ),
    ] = None,
    score: Annotated[
        str | None, typer.Option("--score", help="msp (default), margin, logit_norm(p=3), ...")
    ] = None,
    score_b: Annotated[
        str | None, typer.Option("--score-b", help="The score of B, if it differs.")
    ] = None,
    binary: Binary = False,
    probs: Probs = False,
    multilabel: Multilabel = False,
    ignore_index: IgnoreIndex = None,
    groups: Groups = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Compare how well two models, or two scores, rank right before wrong predictions.

    Rows are matched by `ids` if both files have them; otherwise the labels must be equal row by
    row. Negative differences of AURC favour A.
    """
    if b is None and score_b is None:
        raise InputError("expected two files, or one file and --score-b")
    options = {
        "kind": kind_of(binary, probs, multilabel),
        "ignore_index": ignore_index,
        "groups": groups,
        "quiet": quiet,
    }
    if b is None:
        scored = _scored(a, [score, score_b], **options)
        one, other, by = scored, scored, "file"
    else:
        one, other = _scored(a, [score], **options), _scored(b, [score_b or score], **options)
        other, by = matched(one, other)
    score, score_b = next(iter(one.confidence)), list(other.confidence)[-1]
    found = compare_scored(one, other, score, score_b, matched_by=by)
    if as_json:
        print(to_json(found.to_dict()))
    elif not quiet:
        terminal.say(words.compared_sentence(found))
        terminal.table(words.COMPARED_HEADER, words.compared_rows(found))
        for note in words.compared_notes(found):
            terminal.say(note)


def _scored(path: Path, specs: list[str | None], *, groups: Path | None, **options: Any) -> Scored:
    scores = scores_of([",".join(spec or "msp" for spec in specs)], options["kind"])
    if len(scores) != len(specs):
        raise InputError(f"expected one score for each side, got {', '.join(map(str, scores))}")
    reader, chunks = scan(path, groups=groups, **options)
    of_file = _scores(reader, specs, scores)[: len(scores)]
    return score_chunks(reader, chunks, of_file, keep=True)
