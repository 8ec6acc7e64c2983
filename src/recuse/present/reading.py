"""How a table was read, in words."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from recuse.present.numbers import count, listed

HELD = {"logits": "logits", "probs": "probabilities", "binary": "one logit"}  # of classes


def reading_lines(file: Any, told: Any) -> Iterator[str]:
    """Yield three lines on how a table was read.

    Args:
        file: A `recuse.io.HeldOut`.
        told: A `recuse.io._tables.Told`.
    """
    form = [told.format] if told.format else []
    if told.impossible:
        null = ", null or missing" if told.gaps else ""
        form.append(f"{count(told.impossible)} outputs of impossible classes (-inf{null})")
    yield ", ".join([f"{count(len(file))} rows", *form]) + "."
    yield from held_lines(file, "" if told.declared else ", judging by their values")


def held_lines(file: Any, guessed: str = "") -> Iterator[str]:
    """Yield two lines on what a held-out file holds, and of which columns of a table.

    Args:
        file: A `recuse.io.HeldOut`.
        guessed: Follows the kind of the outputs.
    """
    k, columns = file.logits.shape[1], file.columns
    outputs = columns.get("outputs", ())
    of = f", column{'s' if len(outputs) > 1 else ''} {listed(outputs)}" if outputs else ""
    names = "" if file.class_names is None else f" ({listed(file.class_names)})"
    of_classes = file.kind in HELD
    held = "confidences, larger is more certain"
    if of_classes:
        held = f"{HELD[file.kind]}{guessed}, {k} classes{names}"
    yield f"Outputs: {held}{of}."
    used, missing = [], []
    for what in ("labels", "ids", "groups"):
        column = " ".join(columns.get(what, ()))
        right = what == "labels" and not of_classes
        if getattr(file, what) is None:
            missing.append("correct" if right else what)
        else:
            called = f"correctness{' from' if column else ''}" if right else what
            used.append(f"{called} {column}".strip())
    used += [f"subgroups {listed(file.subgroups)}"] if file.subgroups else []
    none = [f"no {' or '.join(missing)}"] if missing else []
    told = "; ".join([", ".join(used), *none] if used else none)
    yield f"{'Columns' if columns else 'Arrays'}: {told}."


def suspect_lines(file: str, suspects: Iterable[Any]) -> Iterator[str]:
    """Yield a line for each unused column that looks like ids, groups or subgroups.

    Args:
        file: Its name.
        suspects: `recuse.io._tables.Suspect`s.
    """
    for name, values, rows, use in ((*s, s.use) for s in suspects):
        seen = f"{count(values)} values in {count(rows)} rows"
        if use == "ids":
            what = f"ids (a value for each row): if it names the rows, {_say('id', 'ids', name)}"
        elif use == "subgroups":
            what = (
                f"subgroups ({seen}): for results or guarantees of each, "
                f"{_say('by', 'subgroups', name)}"
            )
        else:
            what = (
                f"groups ({seen}): if rows of one value depend on each other, "
                f"{_say('group', 'groups', name)}, or standard errors and guarantees do not hold"
            )
        yield f"{file}: column {name} is not used and looks like {what}"


def impossible_labels(of: Mapping[str, int], first: int) -> str:
    """Return that labels are of classes with the logit -inf.

    Args:
        of: Class -> times it is the label where it is impossible.
        first: The first such row.

    >>> impossible_labels({"C": 30}, 1).partition(":")[0]
    'label C is impossible (-inf) in 30 rows, the first is row 1'
    >>> impossible_labels({"C": 30, "A": 2}, 1).partition(":")[0]
    'the label, most often C (30 rows), is impossible (-inf) in 32 rows, the first is row 1'
    """
    total, top = sum(of.values()), max(of, key=of.__getitem__)
    rows = "1 row, row {}" if total == 1 else f"{count(total)} rows, the first is row {{}}"
    most = f"the label, most often {top} ({count(of[top])} rows), is"
    named = f"label {top} is" if len(of) == 1 else most
    they = "it counts as an error" if total == 1 else "they count as errors"
    return (
        f"{named} impossible (-inf) in {rows.format(first)}: {they} at every threshold; correct "
        f"the label{'s' * (total > 1)}, or the mask"
    )


def _say(option: str, argument: str, name: str) -> str:
    return f"say so by recuse import --{option} {name}, in Python {argument}={name!r}"
