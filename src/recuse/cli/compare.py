"""`recuse compare`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer

from recuse._internal.files import to_json
from recuse.cli.files import scan
from recuse.cli.options import (
    Binary,
    Groups,
    IgnoreIndex,
    Json,
    Multilabel,
    Probs,
    Quiet,
    kind_of,
    scores_of,
)
from recuse.errors import InputError
from recuse.evaluation import Scored, compare_scored, matched
from recuse.evaluation._scored import of_confidences, score_chunks
from recuse.io import read_confidences
from recuse.io._confidences import holds_confidences
from recuse.io._reader import read_groups
from recuse.present import files as words
from recuse.present import terminal


def compare(
    a: Annotated[Path, typer.Argument(help="Labelled logits, or a table of confidences.")],
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
    if not holds_confidences(path):
        scores = scores_of([",".join(spec or "msp" for spec in specs)], options["kind"])
        if len(scores) != len(specs):
            raise InputError(f"expected one score for each side, got {', '.join(map(str, scores))}")
        reader, chunks = scan(path, groups=groups, **options)
        return score_chunks(reader, chunks, scores, keep=True)
    given = "--score" if any(specs) else f"--{options['kind']}"
    if given != "--logits":
        raise InputError(f"{path}: expected logits for {given}, got a table of confidences")
    table = read_confidences(path)
    if groups is not None and table.groups is None:
        table = replace(table, groups=read_groups(groups, len(table)))
    return of_confidences(table)
