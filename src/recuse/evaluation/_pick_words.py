"""A `Pick` in words: the table, its notes, and the sentences of the answer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from recuse.intervals import FEW_ERRORS

if TYPE_CHECKING:
    from recuse.evaluation._picked import Estimate, Pick, PickedModel, Ranking


def answer(found: Pick) -> str:
    """What to choose, in sentences."""
    first = f"Choose {found.best.name} by {found.by}."
    return " ".join(filter(None, (first, _by_aurc(found), _others(found), _collapse(found))))


def table(found: Pick) -> list[str]:
    """Two lines for each model, in 80 columns."""
    head = f"{'':12}{'AURC':>7}{'s.e.':>6}"
    head += "".join(f"{f'cov@{100 * r:g}%':>10}{'s.e.':>6}" for r in found.risks)
    lines = [head]
    for m in found.models:
        gap = "" if m.gap is None else f", training {_percent(m.gap)} above"
        lines.append(f"{m.name}: accuracy {_percent(m.accuracy)}{gap}, ECE {_percent(m.ece)}")
        lines += [_line(f"  {name}", m.ranking(name)) for name in ("MSP", "repaired")]
    return lines


def _line(name: str, ranking: Ranking) -> str:
    aurc = f"{name:12}{1000 * ranking.aurc.value:7.1f}{_cell(1000 * ranking.aurc.error):>6}"
    points = (f"{100 * c.value:10.1f}{_cell(100 * c.error):>6}" for c in ranking.coverage.values())
    return aurc + "".join(points)


def _cell(x: float) -> str:
    return "-" if np.isnan(x) else f"{x:.1f}"


def _percent(x: Estimate) -> str:
    return f"{100 * x.value:.1f} % +- {100 * x.error:.1f}"


def notes(found: Pick) -> list[str]:
    unit = "" if found.groups is None else f" in {found.groups:,} groups"
    match = "by ids" if found.matched_by == "ids" else "by position, their labels compared"
    notes = [
        f"AURC x 1000, smaller is better; cov@ in percent. {found.n:,} predictions{unit}, matched "
        f"{match}.",
        "Repaired: each half is ranked by the score that `tune` chose on the other: "
        + "; ".join(f"{m.name} {_used(m)}" for m in found.models)
        + ".",
        "Standard errors are over examples: train again with other seeds to see what training "
        "varies.",
    ]
    few = [m.name for m in found.models if m.errors < FEW_ERRORS]
    if few:
        notes.append(f"Fewer than {FEW_ERRORS} errors ({', '.join(few)}): s.e. are too small.")
    return notes


def _used(m: PickedModel) -> str:
    """By what; a fitted score is another one in each half, under one name."""
    shown = (f"{s} (fitted anew for each half)" if s.fitted else str(s) for s in m.scores)
    return " and ".join(dict.fromkeys(shown))


def _by_aurc(found: Pick) -> str:
    best, tied = found.best_by("aurc"), found.not_told_apart
    told = [r.name for r in found.comparisons.rows if r.name not in tied]
    text = f"{best.name} has the smallest AURC with the score that `tune` would deploy"
    if tied:
        text += f"; chance may explain the distance of {_and(tied)}"
    if told:
        text += f"; {_and(told)} {'is' if len(told) == 1 else 'are'} worse (5 %, Holm)"
    others = [name for name in found.front if name != best.name]
    if others:
        text += f". More accurate with a larger AURC: {_and(others)}"
    return text + "."


def _others(found: Pick) -> str:
    best, accurate = found.best_by("aurc"), found.best_by("accuracy")
    if accurate.name == best.name:
        text = f"{best.name} is the most accurate, too."
    else:
        d = accurate.accuracy.value - best.accuracy.value
        text = f"Accuracy alone would choose {accurate.name}, by {100 * d:.1f} points."
    if found.by.startswith("coverage"):
        risk = float(found.by.partition("@")[2])
        share = found.best.repaired.coverage[risk].value
        text += f" {found.best.name} covers most at {100 * risk:g} % risk: {100 * share:.1f} %."
    return text


def _collapse(found: Pick) -> str:
    """What MSP costs at the strictest risk, where the repair wins most of it back."""
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
    before = ", ".join(f"{100 * m.msp.coverage[risk].value:.1f}" for m in lost)
    after = ", ".join(f"{100 * m.repaired.coverage[risk].value:.1f}" for m in lost)
    return (
        f"Do not rank {_and([m.name for m in lost])} by MSP: at {100 * risk:g} % risk it covers "
        f"{before} % where another model covers {100 * most:.1f} %; repaired, {after} %."
    )


def _and(names: Sequence[str]) -> str:
    *most, last = names
    return f"{', '.join(most)} and {last}" if most else last
