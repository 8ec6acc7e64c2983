"""The same models with several seeds.

S = seeds.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from recuse.errors import InputError
from recuse.evaluation._model import ModelEvaluation
from recuse.evaluation._models import Evaluation, evaluate
from recuse.intervals import Comparison, compare
from recuse.io import HeldOut

Splits = Mapping[str, HeldOut]  # tune, calibrate and test of one model


class Spread(NamedTuple):
    """A number over seeds."""

    mean: float
    deviation: float  # standard deviation over seeds; NaN of one seed

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        """Return the spread of one number a seed."""
        deviation = np.std(values, ddof=1) if len(values) > 1 else np.nan
        return cls(float(np.mean(values)), float(deviation))


class Change(NamedTuple):
    """A paired change of AURC over seeds; positive is worse."""

    relative: Spread  # to the area it is a change of; NaN where that is 0
    worse: int  # seeds; where the score is the same, neither worse nor better
    better: int
    clearly_worse: int  # significantly at 5 %, over examples
    clearly_better: int

    @classmethod
    def of(cls, changes: Sequence[Comparison], areas: Sequence[float]) -> Change:
        """Return the change from one comparison a seed, relative to an area each."""
        return cls(
            Spread.of([c.difference / area if area else np.nan for c, area in zip(changes, areas)]),
            sum(c.difference > 0 for c in changes),
            sum(c.difference < 0 for c in changes),
            sum(c.low > 0 for c in changes),
            sum(c.high < 0 for c in changes),
        )


@dataclass(frozen=True, eq=False)
class ModelOverSeeds:
    """One model with S seeds, compared with the first model."""

    name: str
    models: tuple[ModelEvaluation, ...]  # one a seed
    damage: Change | None  # AURC of MSP, against that of the first model; None of itself
    repair: Change  # AURC of the chosen score, against that of MSP
    left: Change | None  # AURC of the chosen score, against that of the first model

    @property
    def adopted(self) -> int:
        """Seeds in which another score than MSP was chosen."""
        return sum(m.repaired for m in self.models)

    @property
    def scores(self) -> tuple[tuple[str, int], ...]:
        """The scores chosen and how often, the most frequent first."""
        return tuple(Counter(str(m.tuned.score) for m in self.models).most_common())

    def spread(self, value: Callable[[ModelEvaluation], float]) -> Spread:
        """A number of each seed's model, over seeds."""
        return Spread.of([value(m) for m in self.models])


@dataclass(frozen=True, eq=False)
class OverSeeds:
    """All models with all seeds."""

    seeds: tuple[int, ...]
    evaluations: tuple[Evaluation, ...]  # one a seed
    models: tuple[ModelOverSeeds, ...]

    def __getitem__(self, name: str) -> ModelOverSeeds:
        return next(m for m in self.models if m.name == name)

    def to_dict(self) -> dict[str, Any]:
        """Return every number of every seed as plain data for JSON."""
        return {
            "seeds": list(self.seeds),
            "models": {model.name: list(map(_plain, model.models)) for model in self.models},
        }


def _plain(m: ModelEvaluation) -> dict[str, Any]:
    return {
        "accuracy": m.accuracy,
        "score": str(m.tuned.score),
        "reason": m.tuned.reason,
        "before": m.before.to_dict(),
        "after": m.after.to_dict(),
        "feasible": m.selection.feasible,
        "guarantee": m.selection.reason,
        "coverage": m.accepted / m.n,
        "risk": m.errors / m.accepted if m.accepted else None,
    }


def over_seeds(runs: Mapping[int, Mapping[str, Splits]], **options: Any) -> OverSeeds:
    """Evaluate every model of every seed, and compare each with the first one of its seed.

    Args:
        runs: Seed -> model -> the files of its three splits. Models of a seed have the same
            rows, and all seeds the same models.
        options: Options of `evaluate`, all but its seed, which is that of the run.

    Raises:
        InputError: No seed, seeds with other models, models of a seed with other test rows, or
            as `evaluate` and `compare`.
    """
    names = list(next(iter(runs.values()), {}))
    if not names or any(list(models) != names for models in runs.values()):
        raise InputError("expected seeds with the same models, at least one of each")
    for seed, models in runs.items():
        _check_same_rows(seed, {name: splits["test"] for name, splits in models.items()})
    found = {seed: evaluate(models, seed=seed, **options) for seed, models in runs.items()}
    groups = [models[names[0]]["test"].predictions().groups for models in runs.values()]
    evaluations = tuple(found.values())
    models = tuple(_over_seeds(name, names[0], evaluations, groups) for name in names)
    return OverSeeds(tuple(found), evaluations, models)


def _check_same_rows(seed: int, tests: Mapping[str, HeldOut]) -> None:
    """Models that are compared row by row have the same rows."""
    first, *others = tests
    for name in others:
        for field in ("labels", "ids"):
            pair = [getattr(tests[n], field) for n in (first, name)]
            if not any(a is None for a in pair) and not np.array_equal(*pair):
                raise InputError(
                    f"expected {first} and {name} on the same test rows, "
                    f"got other {field} in seed {seed}"
                )


def _over_seeds(
    name: str, first: str, evaluations: Sequence[Evaluation], groups: Sequence[Any]
) -> ModelOverSeeds:
    models = tuple(e[name] for e in evaluations)
    plain = tuple(e[first] for e in evaluations)
    areas = [m.before.aurc for m in plain]

    def against_first(confidence: Callable[[ModelEvaluation], Any]) -> Change | None:
        if name == first:
            return None
        changes = [
            compare(confidence(m), m.loss, p.msp, p.loss, groups=g)
            for m, p, g in zip(models, plain, groups)
        ]
        return Change.of(changes, areas)

    return ModelOverSeeds(
        name,
        models,
        damage=against_first(lambda m: m.msp),
        repair=Change.of([m.repair for m in models], [m.before.aurc for m in models]),
        left=against_first(lambda m: m.confidence),
    )
