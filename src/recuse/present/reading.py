"""How a table was read, in words."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from recuse.present.numbers import count, listed

HELD = {"logits": "logits", "probs": "probabilities", "binary": "one logit"}  # of classes


def reading_lines(file: Any, told: Any) -> Iterator[str]:
    """Yield three lines on how a table was read.

    Args:
        file: A `recuse.io.HeldOut`.
        told: A `recuse.io._tables.Told`.
    """
    n, k = len(file), file.logits.shape[1]
    yield f"{count(n)} rows" + (f", {told.format}" if told.format else "") + "."
    names = "" if file.class_names is None else f" ({listed(file.class_names)})"
    guessed = "" if told.declared else ", judging by their values"
    columns = "column" if len(told.outputs) == 1 else "columns"
    if file.kind in HELD:
        held, truth = f"{HELD[file.kind]}{guessed}, {k} classes{names}", "labels"
    else:
        held, truth = "confidences, larger is more certain", "correctness from"
    yield f"Outputs: {held}, {columns} {listed(told.outputs)}."
    rest = {truth: told.labels, "ids": told.ids, "groups": told.groups}
    used = [f"{what} {name}" for what, name in rest.items() if name is not None]
    used += [f"subgroups {listed(file.subgroups)}"] if file.subgroups else []
    missing = ["correct" if " " in what else what for what, x in rest.items() if x is None]
    none = [f"no {' or '.join(missing)}"] if missing else []
    yield f"Columns: {'; '.join([', '.join(used), *none] if used else none)}."


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


def _say(option: str, argument: str, name: str) -> str:
    return f"say so by recuse import --{option} {name}, in Python {argument}={name!r}"
