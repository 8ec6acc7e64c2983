"""`recuse compare`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import numpy as np
import typer

from recuse import intervals
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
from recuse.evaluation import Scored, matched, of_confidences, score_chunks
from recuse.intervals import Comparison
from recuse.io import holds_confidences, read_confidences
from recuse.io._reader import read_groups
from recuse.present import terminal
from recuse.present.numbers import area, percent

LEVEL = 0.05  # of the test that the sentence reports
NO_ERROR = "the difference has no standard error"


class Side(NamedTuple):
    """One of the two: what was measured, under which score."""

    scored: Scored
    score: str

    @property
    def rows(self) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
        """Confidence, loss and groups."""
        return self.scored.predictions(self.score)


def compare(
    a: Annotated[Path, typer.Argument(help="Labelled logits, or a table of confidences.")],
    b: Annotated[
        Path | None,
        typer.Argument(help="The same examples, by another model; without it, two scores of A."),
    ] = None,
    score: Annotated[
        str | None, typer.Option("--score", help="msp (default), margin, logit_norm(p=3), ...")
    ] = None,
    score_b: Annotated[
        str | None, typer.Option("--score-b", help="The score of B, if it is another.")
    ] = None,
    binary: Binary = False,
    probs: Probs = False,
    multilabel: Multilabel = False,
    ignore_index: IgnoreIndex = None,
    groups: Groups = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Is one model, or one score, better at ranking right before wrong? A paired comparison.

    Rows are matched by `ids` where both files have them; else their labels must be equal row by
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
    sides = Side(one, next(iter(one.confidence))), Side(other, list(other.confidence)[-1])
    _report(sides, by, as_json, quiet)


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


def _report(sides: tuple[Side, Side], by: str, as_json: bool, quiet: bool) -> None:
    (confidence, loss, groups), (confidence_b, loss_b, groups_b) = (side.rows for side in sides)
    groups = groups_b if groups is None else groups
    found = intervals.compare(confidence, loss, confidence_b, loss_b, groups=groups)
    if as_json:
        print(to_json(_plain(sides, found, by, groups)))
    elif not quiet:
        same = np.array_equal(confidence, confidence_b) and np.array_equal(loss, loss_b)
        terminal.say(_sentence(_names(sides), found, len(loss), same=same))
        _table(sides, found)
        if by == "rows":
            terminal.say(_matched_by_position(sides[0]))
        if groups is not None:
            terminal.say(
                f"Rows that share one of {len(np.unique(groups)):,} groups count as dependent."
            )


def _plain(
    sides: tuple[Side, Side], found: Comparison, by: str, groups: np.ndarray | None
) -> dict[str, Any]:
    out: dict[str, Any] = {
        name: {
            "file": side.scored.name,
            "score": side.score,
            "classes": side.scored.classes,
            **_measures(side),
        }
        for name, side in zip("ab", sides)
    }
    out |= {
        "n": len(sides[0].rows[1]),
        "matched_by": by,
        "groups": None if groups is None else len(np.unique(groups)),
        "measure": "aurc",
        "difference": found.difference,
        "standard_error": found.standard_error,
        "low": found.low,
        "high": found.high,
        "p_value": found.p_value,
    }
    reason = {
        "groups": None if groups is not None else "rows are independent of each other",
        "p_value": None if np.isfinite(found.p_value) else NO_ERROR,
        "classes": None if all(s.scored.classes for s in sides) else "a table does not say",
    }
    reason = {key: why for key, why in reason.items() if why}
    return {**out, "reason": reason} if reason else out


def _measures(side: Side) -> dict[str, float]:
    confidence, loss, _ = side.rows
    return {
        "accuracy": float(1 - loss.mean()) if np.isin(loss, (0, 1)).all() else float("nan"),
        "aurc": intervals.AURC.value(confidence, loss),
        "augrc": intervals.AUGRC.value(confidence, loss),
    }


def _matched_by_position(side: Side) -> str:
    """What is not known where the files do not both have ids."""
    labels = side.scored.labels
    note = "Rows were matched by their position, and only their labels were compared"
    if labels is not None and labels.ndim == 1 and (np.diff(labels) >= 0).all():
        note += (
            ". These are sorted, so that another order within a class would go unnoticed: "
            "save `ids` in both files"
        )
    return note + "."


def _names(sides: tuple[Side, Side]) -> tuple[str, str]:
    """What tells the two apart: the file, the score, or both."""
    (a, score_a), (b, score_b) = ((side.scored.name, side.score) for side in sides)
    if a == b and score_a != score_b:
        return score_a, score_b
    if Path(a).name != Path(b).name:
        a, b = Path(a).name, Path(b).name
    return (a, b) if score_a == score_b else (f"{score_a} of {a}", f"{score_b} of {b}")


def _sentence(names: tuple[str, str], d: Comparison, n: int, *, same: bool) -> str:
    """The answer, for somebody who has never seen a risk-coverage curve."""
    if same:
        return (
            f"{names[0]} and {names[1]} have the same confidence and the same errors in each of "
            f"these {n:,} predictions."
        )
    if d.difference == 0 and d.standard_error == 0:
        return f"{names[0]} and {names[1]} rank these {n:,} predictions equally well."
    if not d.p_value < LEVEL:
        chance = "" if np.isnan(d.p_value) else f" (p = {_p(d.p_value)})"
        return (
            f"On these {n:,} predictions no difference between {names[0]} and {names[1]} can be "
            f"told from chance{chance}."
        )
    better, worse = names if d.difference < 0 else names[::-1]
    low, high = sorted(abs(x) for x in (d.low, d.high))
    return (
        f"{better} is better than {worse} at accepting the right predictions first: its error "
        f"rate, averaged over all coverages (AURC), is lower by {_points(abs(d.difference))} "
        f"percentage points (95 % interval {_points(low)} to {_points(high)}). Were both equally "
        f"good, so large a difference would be seen with probability {_p(d.p_value)}."
    )


def _points(x: float) -> str:
    return f"{100 * x:.2f}"


def _p(p: float) -> str:
    return "below 0.0001" if p < 0.0001 else f"{p:.2g}"


def _table(sides: tuple[Side, Side], d: Comparison) -> None:
    found = [_measures(side) for side in sides]
    rows = [
        (
            f"{letter}: {name}",
            percent(m["accuracy"], 1),
            area(m["aurc"], 2),
            area(m["augrc"], 2),
        )
        for letter, name, m in zip("AB", _names(sides), found)
    ]
    between = f"{area(d.low, 2)} to {area(d.high, 2)}"
    rows.append(("A - B (95 % interval)", "", f"{area(d.difference, 2)} ({between})", ""))
    terminal.table(("", "accuracy", "AURC", "AUGRC"), rows)
    terminal.say("AURC and AUGRC x 1000; smaller is better.")
