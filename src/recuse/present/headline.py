"""The first screen of the HTML page: what to deploy, what is guaranteed, what was wrong before.

`m` has the attributes of `evaluation.ModelEvaluation`, `model` those of
`reports.prepare.ModelData`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

from recuse.present.numbers import (
    UNDEFINED,
    about,
    confidence_level,
    count,
    exact_percent,
    listed,
    percent,
)
from recuse.present.text import Table

THOUSAND = 1000  # answers, of which the errors are counted
LISTED = 3  # subgroups that the verdict names
SIGNIFICANT = 0.05  # two-sided p-value below which a difference is significant


class Figure(NamedTuple):
    """A large number, what it counts, and what it would be if every case were answered."""

    value: str
    label: str
    always: str = ""


class Headline(NamedTuple):
    """What the first screen says."""

    verdict: str
    good: bool  # whether something can be deployed
    figures: tuple[Figure, ...]
    change: str  # what was wrong before, and what the chosen score makes of it
    others: Table | None  # the models that are not in the verdict
    each: Table | None = None  # the figures of each predicted class or subgroup with a threshold


def title(models: Sequence[Any]) -> str:
    """Name the models and the data.

    >>> from types import SimpleNamespace as Namespace
    >>> m = Namespace(name="net", n=2000, classes=10, kind="logits", tested=True)
    >>> title([m])
    'net on 2,000 test predictions of 10 classes'
    """
    m = models[0]
    alike = len({(x.n, x.classes, x.tested) for x in models}) == 1
    rows = f" on {count(m.n)} {'test predictions' if m.tested else 'predictions'}" if alike else ""
    classes = f" of {count(m.classes)} classes" if rows and m.kind != "confidences" else ""
    return f"{listed([x.name for x in models])}{rows}{classes}"


def headline(models: Sequence[Any], first: Any | None, smoothing: Any | None = None) -> Headline:
    """Return the answers of the first screen.

    Args:
        models: All models.
        first: The one of them to deploy; None where the rows cannot choose between models.
        smoothing: The fitted label smoothing of `first`, if known.
    """
    if first is None:
        return Headline(
            "These rows cannot choose between the models: each has a guarantee of its own, which "
            "holds for the model that you named beforehand.",
            any(model.result.selection.feasible for model in models),
            (),
            "",
            _others(models),
        )
    m, rest = first.result, [model for model in models if model is not first]
    return Headline(
        _verdict(m),
        m.selection.feasible and not m.selection.guarantee.void,
        (*_figures_of(m), *(_missed(c) for c in m.misses if not m.selection.guarantee.void)),
        _change(first, smoothing),
        _others(rest) if rest else None,
        _each(m) if m.each else None,
    )


def _verdict(m: Any) -> str:
    g = m.selection.guarantee
    if not m.selection.feasible:
        return (
            f"Do not deploy {m.name} yet: no threshold guarantees that at most "
            f"{exact_percent(g.target_risk)} of {_whose(g)} wrong."
        )
    if g.void:
        return f"Do not deploy {m.name}: its guarantee is void."
    if m.each:
        return f"Deploy {m.name}: it answers {_ends(m)} and abstains on the rest."
    return f"Deploy {m.name}: it answers {percent(m.accepted / m.n)} and abstains on the rest."


def _ends(m: Any) -> str:
    """Say how much of each subgroup is answered; of many, the least and the most."""
    by_class = m.rejector.by == "class"
    of, many = ("what it calls ", "predicted classes") if by_class else ("", "subgroups")
    shares = {part.name: part.accepted / part.n for part in m.each if part.n}
    if len(shares) <= LISTED:
        return listed(f"{percent(share)} of {of}{name}" for name, share in shares.items())
    low, high = min(shares.values()), max(shares.values())
    return f"{percent(low)} to {percent(high)} of each of {len(shares)} {many}"


def _each(m: Any) -> Table:
    """Return the three figures of each predicted class or subgroup."""
    rows = []
    for part in m.each:
        g = part.guarantee
        wrong = percent(part.errors / part.accepted) if part.accepted else UNDEFINED
        limit = f"≤ {exact_percent(g.target_risk)}" if g.accepted else "always abstains"
        answered = percent(part.accepted / part.n) if part.n else UNDEFINED
        rows.append((part.name, count(part.n), answered, wrong, limit))
    of = "Predicted as" if m.rejector.by == "class" else "Subgroup"
    rows_of = "test predictions" if m.tested else "the rows that chose the thresholds"
    level = confidence_level(m.selection.guarantee.delta)
    caption = f"Of {rows_of}; all limits hold at once with {level} confidence"
    return Table(caption, (of, "Cases", "Answered", "Of these wrong", "Guaranteed"), rows)


def _whose(g: Any) -> str:
    return "all cases are answered and" if g.among == "all" else "its answers are"


def _figures(m: Any) -> tuple[Figure, ...]:
    """Return what is answered, what was wrong, and what is guaranteed."""
    g = m.selection.guarantee
    everything = percent(1 - m.accuracy)
    rows = "test predictions" if m.tested else "predictions"
    answered = Figure(percent(m.accepted / m.n), f"of {count(m.n)} {rows} answered", "100 %")
    limit = "none" if g.void else f"≤ {exact_percent(g.target_risk)}"
    label = f"wrong {_of(g)}, guaranteed with {confidence_level(g.delta)} confidence"
    return answered, _wrong(m, everything), Figure(limit, label, "no guarantee")


def _figures_of(m: Any) -> tuple[Figure, ...]:
    if m.each:
        return ()
    return _figures(m) if m.selection.feasible else _missing(m)


def _missed(c: Any) -> Figure:
    """Return how many of a true class are answered with another one."""
    label = (
        f"of {count(c.n)} of true class {c.name} answered with another class; guaranteed with "
        f"{confidence_level(c.delta)} confidence: ≤ {exact_percent(c.target)}"
    )
    if not c.n:
        return Figure(UNDEFINED, label)
    return Figure(percent(c.missed / c.n), label, percent(c.without_rejector / c.n))


def _of(g: Any) -> str:
    return "of all cases" if g.among == "all" else "of the answers"


def _wrong(m: Any, everything: str) -> Figure:
    g = m.selection.guarantee
    among = m.n if g.among == "all" else m.accepted
    rate = percent(m.errors / among) if among else UNDEFINED
    if m.tested:
        return Figure(rate, f"{_of(g)} wrong, on the test split", everything)
    label = f"all rows calibrate. Of the accepted ones {rate} were wrong, an underestimate"
    return Figure("not measured", label, everything)


def _missing(m: Any) -> tuple[Figure, ...]:
    """Return what could be guaranteed instead, and with how many rows."""
    found, g = m.selection, m.selection.guarantee
    smallest, rows = found.smallest_target, found.rows_needed
    shown = []
    if smallest is not None:
        label = "is the smallest error rate that these rows would have guaranteed"
        shown.append(Figure(exact_percent(smallest), label))
    if rows is not None:
        label = f"calibration rows, estimated, would be enough for {exact_percent(g.target_risk)}"
        shown.append(Figure(about(rows), label))
    return (*shown, Figure(percent(1 - m.accuracy), "wrong if every case is answered"))


def _change(model: Any, smoothing: Any | None) -> str:
    """Say what was wrong before, as errors of a thousand answers."""
    m = model.result
    if m.tuned.outcome == "fixed":
        other = m.tuned.facts.alternative
        tried = "no other score was tried" if other is None else f"{other} does not accept more"
        return f"Ranked by {m.baseline}, which was fixed beforehand; {tried}."
    if not m.repaired:
        return f"No repair: no score that was tried ranks clearly better than {m.baseline}."
    cause = doubt = ""
    if smoothing is not None and smoothing.low > 0:
        cause = "Its probabilities are as label smoothing leaves them. "
    place, coverage = "at the same coverage", m.accepted / m.n
    if not m.accepted:
        place, coverage = f"at {exact_percent(model.low_coverage)} coverage", model.low_coverage
    before, after = _of_thousand(model, coverage)
    same = ""
    if before <= after and m.accepted:
        there = f"is {after} either way" if before == after else f"was {before}, now {after}"
        same = f"; at the coverage deployed it {there}"
        place = f"at {exact_percent(model.low_coverage)} coverage"
        before, after = _of_thousand(model, model.low_coverage)
    if not math.isnan(m.gain.p_value) and m.gain.p_value >= SIGNIFICANT:
        doubt = " The difference over all coverages is not significant."
    return (
        f"{cause}Before the repair {before} of {count(THOUSAND)} answers {place} were wrong, now "
        f"{after}{same}.{doubt}"
    )


def _of_thousand(model: Any, coverage: float) -> tuple[int, int]:
    """Return how many of a thousand answers are wrong before and after the repair."""
    before, after = (round(THOUSAND * _risk(curve.whole, coverage)) for curve in model.curves)
    return before, after


def _risk(whole: Any, coverage: float) -> float:
    """Return the risk at the smallest reachable coverage that is as large."""
    at = min(int((whole.coverage < coverage).sum()), len(whole.risk) - 1)
    return float(whole.risk[at])


def _others(models: Sequence[Any]) -> Table:
    """Return the same three figures of other models."""
    rows = []
    for m in (model.result for model in models):
        g, found = m.selection.guarantee, m.selection.feasible and not m.selection.guarantee.void
        limit = f"≤ {exact_percent(g.target_risk)}" if found else "no guarantee"
        wrong = percent(m.errors / m.accepted) if m.accepted else UNDEFINED
        wrong = wrong if m.tested else "not measured"
        rows.append((m.name, percent(m.accepted / m.n), wrong, limit))
    return Table("Other models", ("Model", "Answered", "Wrong", "Guaranteed"), rows)
