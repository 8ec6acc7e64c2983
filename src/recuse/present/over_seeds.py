"""Models over seeds, in words and tables: for `recuse demo`, `recuse train` and pages of results.

`found` is an `OverSeeds` of recuse.evaluation, `model` one of its models.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from recuse.present.numbers import UNDEFINED, area, percent, points
from recuse.present.text import Table
from recuse.present.tuning import why_kept

KEPT = "no gain on the tuning split exceeded its standard error"
HEADER = ("model", "accuracy", "AURC x 1000, MSP", "AURC x 1000, chosen")


def network(n: int, level: float, before: float, after: float) -> list[str]:
    """Say what a norm of the logits gains on the network that ships.

    Args:
        n: Its predictions.
        level: An error rate of the answers.
        before: The share that is answered at it, by MSP.
        after: The same by the norm.

    >>> network(500, 0.05, 0.462, 0.552)[0][-59:]
    'answers 46.2 % by its softmax, and 55.2 % after the repair.'
    """
    return [
        f"A public ImageNet network, trained with label smoothing, on {n} photographs: at "
        f"{percent(level, 0)} wrong answers it answers {percent(before)} by its softmax, and "
        f"{percent(after)} after the repair.",
        "(recuse example --out held-out.npz writes its outputs.) Now the same experiment under "
        "control: a small network on handwritten digits, trained with and without label smoothing.",
    ]


def by_model(found: Any, title: str = "") -> Table:
    """Return one row a model: means over seeds, and standard deviations of several seeds."""
    low = _lowest(found.models[0], "coverage_at_risk")
    header = (*HEADER, f"coverage at {percent(low, 0)} risk, MSP", "chosen", "chosen score")
    said = f"{title}. {caption(found)}" if title else caption(found)
    return Table(said, header, [_row(model, low) for model in found.models])


def by_measure(found: Any, note: str) -> Table:
    """Return one row a measure of two models: means over seeds, and their difference."""
    target = found.evaluations[0].target_risk
    low = _lowest(found.models[0], "risk_at_coverage")

    def row(
        name: str, value: Callable[[Any], float], shown: Callable[[float], str]
    ) -> Sequence[str]:
        first, second = (model.spread(value).mean for model in found.models)
        sign = "+" if second > first else ""
        return name, shown(first), shown(second), sign + shown(second - first)

    tenths, hundredths = partial(percent, digits=1), partial(percent, digits=2)
    risk, coverage = f"risk at {percent(low, 0)} coverage", f"coverage at {percent(target, 0)} risk"
    rows = [
        row("accuracy", lambda m: m.accuracy, tenths),
        row("AURC x 1000, MSP", lambda m: m.before.aurc, area),
        row("AURC x 1000, chosen score", lambda m: m.after.aurc, area),
        ("chosen score", *map(chosen, found.models), ""),
        row(f"{risk}, MSP", lambda m: m.before.risk_at_coverage[low], hundredths),
        row(f"{risk}, chosen", lambda m: m.after.risk_at_coverage[low], hundredths),
        row(f"{coverage}, MSP", lambda m: m.before.coverage_at_risk[target], tenths),
        row(f"{coverage}, chosen", lambda m: m.after.coverage_at_risk[target], tenths),
    ]
    n = f"{found.evaluations[0].models[0].n:,} predictions"
    seeds = f"mean of {len(found.seeds)} seeds" if len(found.seeds) > 1 else _seed(found)
    said = f"Test split, {n} ({note}), {seeds}; differences are of unrounded values"
    return Table(said, ("", *(model.name for model in found.models), "difference"), rows)


def caption(found: Any) -> str:
    """Return which split, how many predictions and which seeds the numbers are of."""
    n = f"Test split, {found.evaluations[0].models[0].n:,} predictions"
    if len(found.seeds) == 1:
        return f"{n}, {_seed(found)}"
    return f"{n}; mean and standard deviation of {len(found.seeds)} seeds"


def story(found: Any) -> list[str]:
    """Return what the loss did to the ranking and what the repair did, model by model."""
    first = found.models[0].name
    sentences = []
    for model in found.models:
        if model.damage is not None:
            sentences.append(_damage(model, found[first]))
        sentences.append(_repair(model, first))
    return sentences


def all_pixels(model: str, seed: int, n: int, areas: Mapping[str, Any]) -> str:
    """Return the certified area of every labelled pixel, score by score."""
    said = ", ".join(
        f"{area(found.value, 2)} (between {area(found.low, 2)} and {area(found.high, 2)}) with "
        f"{score.partition('(')[0]}"
        for score, found in areas.items()
    )
    return f"{model}, seed {seed}, all {n:,} test pixels: AURC x 1000 is {said}."


def shared_coverage(rows: Sequence[Any], title: str = "") -> Table:
    """Return one row a model and score: accepted and wrong of each source."""
    sources = rows[0].sources
    of = [f"{what}, {source}" for source in sources for what in ("accepted", "wrong", "%")]
    cells = [
        (row.model, row.score, *(cell for one in row.sources.values() for cell in _counts(one)))
        for row in rows
    ]
    return Table(title, ("model", "score", *of), cells)


def spread(s: Any, digits: int) -> str:
    """Return the mean, with the standard deviation if there is one."""
    mean = UNDEFINED if s.mean != s.mean else f"{s.mean:.{digits}f}"
    return mean if s.deviation != s.deviation else f"{mean} ± {s.deviation:.{digits}f}"


def chosen(model: Any) -> str:
    """Return the scores chosen over the seeds, the most frequent first."""
    if len(model.scores) == 1:
        return model.scores[0][0]
    return ", ".join(f"{count} x {name}" for name, count in model.scores)


def _lowest(model: Any, points: str) -> float:
    return min(getattr(model.models[0].before, points))


def _seed(found: Any) -> str:
    return f"seed {found.seeds[0]}"


def _counts(row: Any) -> tuple[str, str, str]:
    risk = UNDEFINED if row.risk is None else points(row.risk)
    return f"{row.accepted:,.0f}", f"{row.errors:,.0f}", risk


def _row(model: Any, low: float) -> tuple[str, ...]:
    def cell(value: Callable[[Any], float], scale: float, digits: int) -> str:
        return spread(model.spread(lambda m: scale * value(m)), digits)

    return (
        model.name,
        cell(lambda m: m.accuracy, 100, 2),
        cell(lambda m: m.before.aurc, 1000, 1),
        cell(lambda m: m.after.aurc, 1000, 1),
        cell(lambda m: m.before.coverage_at_risk[low], 100, 1),
        cell(lambda m: m.after.coverage_at_risk[low], 100, 1),
        chosen(model),
    )


def _damage(model: Any, first: Any) -> str:
    gain = 100 * (model.spread(lambda m: m.accuracy).mean - first.spread(lambda m: m.accuracy).mean)
    return (
        f"{model.name} against {first.name}: accuracy {gain:+.2f} points; "
        f"{_change(model.damage, 'AURC with MSP', len(model.models))}."
    )


def _repair(model: Any, first: str) -> str:
    n = len(model.models)
    if not model.adopted:
        return f"{model.name}: MSP was kept{_of(n)}; {_why_kept(model)}."
    sentence = (
        f"{model.name}: a repair was adopted{_of(model.adopted, n)}; "
        f"{_change(model.repair, 'AURC on the test split', n)}"
    )
    if model.left is None or (relative := model.left.relative.mean) != relative:
        return f"{sentence}."
    side = "above" if relative > 0 else "below"
    return f"{sentence}, which leaves it {percent(abs(relative), 1)} {side} {first} with MSP."


def _why_kept(model: Any) -> str:
    """Return that no gain was enough, or why nothing was compared."""
    facts = [one.tuned.facts for one in model.models]
    skipped = [f for f in facts if f.alternative is None]
    if len(skipped) == len(facts):
        return why_kept(facts[0])
    return f"{KEPT} (in {len(skipped)} seeds nothing was compared)" if skipped else KEPT


def _change(change: Any, what: str, seeds: int) -> str:
    """Return how much, in which direction, and in how many seeds significantly."""
    relative = change.relative.mean
    if relative != relative:
        return f"no relative change of {what}, which is 0 where nothing is wrong"
    up = relative > 0
    same = change.worse if up else change.better
    clear = change.clearly_worse if up else change.clearly_better
    verb = "raised" if up else "lowered"
    if seeds == 1:
        found = "significant" if clear else "not significant"
        return f"{what} {verb} by {percent(abs(relative), 1)} ({found} at 5 %)"
    return (
        f"{what} {verb} by {percent(abs(relative), 1)} on average, in {same} of {seeds} seeds "
        f"(significant at 5 % in {clear})"
    )


def _of(count: int, total: int | None = None) -> str:
    """Return in how many seeds, where there are several."""
    total = total or count
    return "" if total == 1 else f" in {count} of {total} seeds"
