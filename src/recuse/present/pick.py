"""A `Pick` in words: the table, its notes, and the sentences of the answer.

`found` has the attributes of `evaluation.Pick`, `m` those of one of its models, and `d` is the
distance of a model from the best.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from recuse.present.numbers import (
    UNDEFINED,
    area,
    count,
    exact_percent,
    listed,
    percent,
    plural,
    points,
    tight_percent,
)
from recuse.present.text import block_lines


def text(found: Any, few_errors: int) -> str:
    """Return the table, its notes and the answer; with fewer errors, standard errors are small."""
    return "\n".join([*table(found), *notes(found, few_errors), "", answer(found)])


def answer(found: Any) -> str:
    """Say which model to choose, and how sure that is."""
    by = "AURC" if found.criterion == "aurc" else found.criterion
    first = f"Choose {found.best.name} by {by}."
    parts = (first, _best(found, found.criterion), _others(found), _collapse(found))
    return " ".join(filter(None, parts))


def table(found: Any) -> list[str]:
    """Return a title and two rows for each model, in 80 columns."""
    levels = [x for r in found.risks for x in (f"cov@{tight_percent(r)}", "s.e.")]
    blocks = {
        m.name: {name: _cells(m.ranking(name)) for name in (m.baseline, "repaired")}
        for m in found.models
    }
    head, lines = block_lines(["AURC", "s.e.", *levels], blocks)
    out = [head]
    for m in found.models:
        ece = f", ECE {_rate(m.ece)}" if m.ece.value == m.ece.value else ""
        out += [f"{m.name}: accuracy {_rate(m.accuracy)}{_gap(m)}{ece}"]
        out += lines[m.name]
    return out


def _cells(ranking: Any) -> list[str]:
    covered = [points(x) for estimate in ranking.coverage.values() for x in estimate]
    return [*map(area, ranking.aurc), *covered]


def _rate(x: Any) -> str:
    return f"{percent(x.value, 1)} +- {points(x.error)}"


def _gap(m: Any) -> str:
    """The training accuracy, where it is known, relative to the held-out one."""
    if m.gap is None:
        return ""
    side = "above" if m.gap.value >= 0 else "below"
    return f", training {points(abs(m.gap.value))} +- {points(m.gap.error)} points {side}"


def notes(found: Any, few_errors: int) -> list[str]:
    """Return what the numbers are, and what to be careful about."""
    unit = "" if found.groups is None else f" in {plural(found.groups, 'group')}"
    match = "by ids" if found.matched_by == "ids" else "by position with equal labels"
    used = "; ".join(f"{m.name}: {_used(m)}" for m in found.models)
    out = [
        f"AURC x 1000, smaller is better; cov@ in percent. {count(found.n)} predictions{unit}, "
        f"matched {match}.",
        f"Repaired: each half is ranked by the score that `tune` chose on the other half ({used}).",
        "Standard errors are over examples; train with other seeds to see how training varies.",
    ]
    out += [
        f"{name} and {first} have the same confidence and the same errors in every row: are they "
        "two models?"
        for name, first in found.same.items()
    ]
    if few := [m.name for m in found.models if m.errors < few_errors]:
        out.append(f"Fewer than {few_errors} errors ({', '.join(few)}): s.e. are too small.")
    return out


def _used(m: Any) -> str:
    """The scores of the two halves; a fitted score is fitted for each half, under one name."""
    shown = (f"{s} (fitted anew for each half)" if s.fitted else str(s) for s in m.scores)
    return " and ".join(dict.fromkeys(shown))


def _best(found: Any, by: str) -> str:
    """Name the best model by a criterion, and the models that it is not significantly ahead of."""
    best, others = found.best_by(by), found.behind(by)
    behind = [d for d in others if d.value and not d.significant]
    said = {
        "equal to it: {}": [d.name for d in others if not d.value],
        "not significantly ahead of {}": [_lead(d, by) for d in behind if d.p_holm == d.p_holm],
        "no test of its lead over {}": [_lead(d, by) for d in behind if d.p_holm != d.p_holm],
        "significantly worse (5 %, Holm): {}": [_lead(d, by) for d in others if d.significant],
    }
    clauses = [words.format(_all(names)) for words, names in said.items() if names]
    return "; ".join([f"{best.name} {_claim(best, by)}", *clauses]) + "."


def _claim(best: Any, by: str) -> str:
    if by == "aurc":
        return "has the smallest AURC with the score that `tune` would deploy"
    if by == "accuracy":
        return f"is the most accurate ({percent(best.accuracy.value, 1)})"
    risk = float(by.partition("@")[2])
    share = percent(best.repaired.coverage[risk].value, 1)
    return f"has the largest coverage at {exact_percent(risk)} risk ({share})"


def _lead(d: Any, by: str) -> str:
    """Another model, and by how much it is behind."""
    sign, unit, write = (1, " in AURC x 1000", area) if by == "aurc" else (-1, " points", points)
    low, high = sorted((sign * d.low, sign * d.high))
    between = f"95 % interval {write(low)} to {write(high)}"
    if write(low) == UNDEFINED:
        between = "without a standard error"
    return f"{d.name} ({write(abs(d.value))}{unit}, {between})"


def _others(found: Any) -> str:
    """Say what other criteria would choose."""
    aurc, accurate = found.best_by("aurc"), found.best_by("accuracy")
    said = [] if found.criterion == "aurc" else [_best(found, "aurc")]
    if others := [name for name in found.front if _trades(found[name], aurc)]:
        said.append(f"More accurate with a larger AURC: {_all(others)}.")
    if accurate.name == aurc.name and found.criterion != "accuracy":
        said.append(f"{aurc.name} is also the most accurate.")
    elif found.criterion != "accuracy":
        lead = next(_lead(d, "accuracy") for d in found.behind("accuracy") if d.name == aurc.name)
        said.append(f"By accuracy alone the choice would be {accurate.name}, ahead of {lead}.")
    return " ".join(said)


def _trades(m: Any, best: Any) -> bool:
    """Whether a model is more accurate than the one of the smallest AURC, for a larger AURC."""
    larger = m.repaired.aurc.value > best.repaired.aurc.value
    return larger and m.accuracy.value > best.accuracy.value


def _collapse(found: Any) -> str:
    """Warn of MSP where it loses most of the coverage at the strictest risk."""
    if not found.risks:
        return ""
    risk = min(found.risks)
    most = max(m.msp.coverage[risk].value for m in found.models)
    lost = [
        m
        for m in found.models
        if m.msp.coverage[risk].value < most / 2
        and m.repaired.coverage[risk].value > 2 * m.msp.coverage[risk].value
    ]
    if not lost:
        return ""
    before, after = (
        _all([percent(m.ranking(name).coverage[risk].value, 1) for m in lost])
        for name in ("MSP", "repaired")
    )
    names, first, share = _all([m.name for m in lost]), lost[0].baseline, percent(most, 1)
    return (
        f"Do not rank {names} by {first}: at {exact_percent(risk)} risk its coverage is {before}, "
        f"against {share} of another model; repaired it is {after}."
    )


def _all(names: Sequence[str]) -> str:
    return listed(names, len(names))
