"""Models over seeds in words and figures: for `recuse train`, and for pages of results."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from recuse.evaluation import (
    RISKS,
    Change,
    ModelEvaluation,
    ModelOverSeeds,
    OverSeeds,
    Source,
    SourceRow,
    Spread,
    measure_mixture,
    score_sources,
)
from recuse.io import LogitsFile
from recuse.present.numbers import percent
from recuse.recipes import SHIFT, Model, logits_of
from recuse.scores import Score
from recuse.tuning import MSP

LOW = RISKS[0]
TENTH = 0.1  # coverage
TEST = "test"
HEADER = (
    "model",
    "accuracy",
    "AURC x 1000, MSP",
    "AURC x 1000, chosen",
    f"coverage at {percent(LOW, 0)} risk, MSP",
    "chosen",
    "chosen score",
)


def table(found: OverSeeds) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """One row a model: means over seeds, and standard deviations where there are several."""
    return HEADER, [_row(model) for model in found.models]


def caption(found: OverSeeds) -> str:
    """What the numbers are of."""
    n = f"Test split, {found.evaluations[0].models[0].n:,} predictions"
    if len(found.seeds) == 1:
        return f"{n}, seed {found.seeds[0]}"
    return f"{n}; mean and standard deviation of {len(found.seeds)} seeds"


def story(found: OverSeeds) -> list[str]:
    """What the loss did to the ranking, and what the repair did, model by model."""
    first = found.models[0].name
    sentences = []
    for model in found.models:
        if model.damage is not None:
            sentences.append(_damage(model, found[first]))
        sentences.append(_repair(model, first))
    return sentences


def by_source(
    models: Sequence[Model], found: OverSeeds, kind: str
) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """`source_table` of the first seed's models; all of them have logits of another source."""
    seed = found.seeds[0]
    first = logits_of([m for m in models if m.seed == seed], kind, (TEST, SHIFT))[seed]
    files = {name: (splits[TEST], splits[SHIFT]) for name, splits in first.items()}
    return source_table(files, {m.name: m.tuned.score for m in found.evaluations[0].models})


def source_table(
    files: Mapping[str, tuple[LogitsFile, LogitsFile]], scores: Mapping[str, Score]
) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """What a tenth of both sources together is made of, model by model: the table of figure 8.

    Args:
        files: Model -> its logits on the test split, and on the other source.
        scores: Model -> the score that was chosen for it; MSP is always shown.
    """
    rows = []
    for name, (test, shift) in files.items():
        shown = list(dict.fromkeys([MSP, scores[name]]))
        mixture = score_sources({TEST: Source(test), SHIFT: Source(shift)}, shown)
        for score in shown:
            measured = measure_mixture(mixture, str(score), coverages=[TENTH])
            point = measured.points[0]
            rows.append((name, str(score), *_counts(point[TEST]), *_counts(point[SHIFT])))
    of = [f"{what}, {source}" for source in (TEST, SHIFT) for what in ("accepted", "wrong", "%")]
    return ("model", "score", *of), rows


def _counts(row: SourceRow) -> tuple[str, str, str]:
    risk = "-" if row.risk is None else f"{100 * row.risk:.1f}"
    return f"{row.accepted:,.0f}", f"{row.errors:,.0f}", risk


def plain_model(m: ModelEvaluation) -> dict[str, Any]:
    """One model for --json."""
    return {
        "accuracy": m.accuracy,
        "score": str(m.tuned.score),
        "reason": m.tuned.reason,
        "before": m.before.to_dict(),
        "after": m.after.to_dict(),
        "feasible": m.selection.feasible,
    }


def plain(found: OverSeeds) -> dict[str, Any]:
    """For --json: every number of every seed."""
    return {
        "seeds": list(found.seeds),
        "models": {
            model.name: [plain_model(m) | {"promise": m.selection.reason} for m in model.models]
            for model in found.models
        },
    }


def _row(model: ModelOverSeeds) -> tuple[str, ...]:
    def cell(value: Callable[[ModelEvaluation], float], scale: float, digits: int) -> str:
        return spread(model.spread(lambda m: scale * value(m)), digits)

    return (
        model.name,
        cell(lambda m: m.accuracy, 100, 2),
        cell(lambda m: m.before.aurc, 1000, 1),
        cell(lambda m: m.after.aurc, 1000, 1),
        cell(lambda m: m.before.coverage_at_risk[LOW], 100, 1),
        cell(lambda m: m.after.coverage_at_risk[LOW], 100, 1),
        chosen(model),
    )


def spread(s: Spread, digits: int) -> str:
    """Mean, and standard deviation if there is one; a dash where there is no number."""
    mean = "-" if s.mean != s.mean else f"{s.mean:.{digits}f}"
    return mean if s.deviation != s.deviation else f"{mean} ± {s.deviation:.{digits}f}"


def chosen(model: ModelOverSeeds) -> str:
    """The scores chosen over the seeds."""
    if len(model.scores) == 1:
        return model.scores[0][0]
    return ", ".join(f"{count} x {name}" for name, count in model.scores)


def _damage(model: ModelOverSeeds, first: ModelOverSeeds) -> str:
    gain = 100 * (model.spread(lambda m: m.accuracy).mean - first.spread(lambda m: m.accuracy).mean)
    return (
        f"{model.name} against {first.name}: accuracy {gain:+.2f} points; "
        f"{_change(model.damage, 'AURC with MSP', len(model.models))}."
    )


def _repair(model: ModelOverSeeds, first: str) -> str:
    n = len(model.models)
    if not model.adopted:
        kept = f"{model.name}: MSP was kept{_of(n)}"
        return f"{kept}; no other score was significantly better on the tuning split."
    sentence = (
        f"{model.name}: a repair was adopted{_of(model.adopted, n)}; "
        f"{_change(model.repair, 'AURC on the test split', n)}"
    )
    relative = np.nan if model.left is None else model.left.relative.mean
    if np.isnan(relative):
        return f"{sentence}."
    side = "above" if relative > 0 else "below"
    return f"{sentence}, which leaves it {percent(abs(relative), 1)} {side} {first} with MSP."


def _change(change: Change | None, what: str, seeds: int) -> str:
    """How much, in which direction, and in how many seeds beyond chance."""
    assert change is not None
    relative = change.relative.mean
    if np.isnan(relative):
        return f"no relative change of {what}, which is 0 where nothing is wrong"
    up = relative > 0
    same = change.worse if up else change.better
    clear = change.clearly_worse if up else change.clearly_better
    verb = "raised" if up else "lowered"
    if seeds == 1:
        beyond = "beyond" if clear else "within"
        return f"{what} {verb} by {percent(abs(relative), 1)}, {beyond} its 95 % interval"
    return (
        f"{what} {verb} by {percent(abs(relative), 1)} on average, in {same} of {seeds} seeds, "
        f"beyond the 95 % interval in {clear}"
    )


def _of(count: int, total: int | None = None) -> str:
    """In how many seeds, where there are several."""
    total = total or count
    return "" if total == 1 else f" in {count} of {total} seeds"
