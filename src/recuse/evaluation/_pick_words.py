"""A `Pick` in words: the table, its notes, and the sentences of the answer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from recuse.intervals import FEW_ERRORS

LEVEL = 0.05  # of the test that tells a model from the best

if TYPE_CHECKING:
    from recuse.evaluation._picked import Distance, Estimate, Pick, PickedModel, Ranking


def answer(found: Pick) -> str:
    """What to choose, in sentences."""
    by = "AURC" if found.by == "aurc" else found.by
    first = f"Choose {found.best.name} by {by}."
    parts = (first, _best(found, found.by), _others(found), _collapse(found))
    return " ".join(filter(None, parts))


def table(found: Pick) -> list[str]:
    """Two lines for each model, in 80 columns."""
    head = f"{'':12}{'AURC':>7}{'s.e.':>6}"
    head += "".join(f"{f'cov@{100 * r:g}%':>10}{'s.e.':>6}" for r in found.risks)
    lines = [head]
    for m in found.models:
        lines.append(f"{m.name}: accuracy {_percent(m.accuracy)}{_gap(m)}, ECE {_percent(m.ece)}")
        lines += [_line(f"  {name}", m.ranking(name)) for name in ("MSP", "repaired")]
    return lines


def _gap(m: PickedModel) -> str:
    """The training accuracy, where it is known, from that of the examples."""
    if m.gap is None:
        return ""
    side = "above" if m.gap.value >= 0 else "below"
    return f", training {100 * abs(m.gap.value):.1f} +- {100 * m.gap.error:.1f} points {side}"


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
    notes += [
        f"{name} and {first} have the same confidence and the same errors in every row: are they "
        "two models?"
        for name, first in found.same.items()
    ]
    few = [m.name for m in found.models if m.errors < FEW_ERRORS]
    if few:
        notes.append(f"Fewer than {FEW_ERRORS} errors ({', '.join(few)}): s.e. are too small.")
    return notes


def _used(m: PickedModel) -> str:
    """By what; a fitted score is another one in each half, under one name."""
    shown = (f"{s} (fitted anew for each half)" if s.fitted else str(s) for s in m.scores)
    return " and ".join(dict.fromkeys(shown))


def _best(found: Pick, by: str) -> str:
    """Who is the best by a criterion, and what chance may have to do with it."""
    best, behind = found.best_by(by), [d for d in found.behind(by) if d.value]
    groups = {
        "equal to it: {}": [d.name for d in found.behind(by) if not d.value],
        "chance may explain its lead over {}": [_lead(d, by) for d in behind if d.p_holm >= LEVEL],
        "nothing says what chance has to do with its lead over {}": [
            _lead(d, by) for d in behind if np.isnan(d.p_holm)
        ],
        "worse (5 %, Holm): {}": [_lead(d, by) for d in behind if d.told],
    }
    said = [words.format(_and(names)) for words, names in groups.items() if names]
    return "; ".join([f"{best.name} {_claim(best, by)}", *said]) + "."


def _claim(best: PickedModel, by: str) -> str:
    if by == "aurc":
        return "has the smallest AURC with the score that `tune` would deploy"
    if by == "accuracy":
        return f"is the most accurate ({100 * best.accuracy.value:.1f} %)"
    risk = _risk_of(by)
    share = best.repaired.coverage[risk].value
    return f"covers most at {100 * risk:g} % risk ({100 * share:.1f} %)"


def _lead(d: Distance, by: str) -> str:
    """Another model, and by how much it is behind."""
    sign, unit, scale = (1, " in AURC x 1000", 1000) if by == "aurc" else (-1, " points", 100)
    size = f"{scale * abs(d.value):.1f}{unit}"
    return f"{d.name} ({size}, {_between(sorted((sign * d.low, sign * d.high)), scale)})"


def _between(ends: Sequence[float], scale: float) -> str:
    low, high = (scale * x for x in ends)
    if np.isnan(low):
        return "without a standard error"
    return f"95 % interval {low:.1f} to {high:.1f}"


def _risk_of(by: str) -> float:
    return float(by.partition("@")[2])


def _others(found: Pick) -> str:
    """What other criteria would choose."""
    aurc, accurate = found.best_by("aurc"), found.best_by("accuracy")
    said = [] if found.by == "aurc" else [_best(found, "aurc")]
    others = [name for name in found.front if _trades(found[name], aurc)]
    if others:
        said.append(f"More accurate with a larger AURC: {_and(others)}.")
    if accurate.name == aurc.name and found.by != "accuracy":
        said.append(f"{aurc.name} is the most accurate, too.")
    elif found.by != "accuracy":
        lead = next(_lead(d, "accuracy") for d in found.behind("accuracy") if d.name == aurc.name)
        said.append(f"Accuracy alone would choose {accurate.name}, ahead of {lead}.")
    return " ".join(said)


def _trades(m: PickedModel, best: PickedModel) -> bool:
    """Whether a model is more accurate than the one of the smallest AURC, for a larger AURC."""
    larger = m.repaired.aurc.value > best.repaired.aurc.value
    return larger and m.accuracy.value > best.accuracy.value


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
    before, after = (
        _and([f"{100 * m.ranking(name).coverage[risk].value:.1f}" for m in lost])
        for name in ("MSP", "repaired")
    )
    return (
        f"Do not rank {_and([m.name for m in lost])} by MSP: at {100 * risk:g} % risk that accepts "
        f"{before} %, where another model covers {100 * most:.1f} %; repaired, {after} %."
    )


def _and(names: Sequence[str]) -> str:
    *most, last = names
    return f"{', '.join(most)} and {last}" if most else last
