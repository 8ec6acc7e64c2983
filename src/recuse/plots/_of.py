"""An evaluation, or one of its models, for the figures that are drawn `of` it.

n = predictions of a test split.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from recuse.errors import InputError
from recuse.evaluation import Evaluation, ModelEvaluation
from recuse.tuning import MSP

if TYPE_CHECKING:
    from recuse.scores import Score

Evaluated = Evaluation | ModelEvaluation


def several(evaluation: Evaluated) -> tuple[ModelEvaluation, ...]:
    """All models of an evaluation; or the one that is given."""
    if isinstance(evaluation, ModelEvaluation):
        return (evaluation,)
    if isinstance(evaluation, Evaluation):
        return evaluation.models
    raise InputError(
        f"expected an Evaluation or one of its models, got {type(evaluation).__name__}"
    )


def one(evaluation: Evaluated) -> ModelEvaluation:
    """The model of a figure that shows a single one."""
    models = several(evaluation)
    if len(models) != 1:
        raise InputError(
            f"expected one model, such as evaluation[{models[0].name!r}], "
            f"got {', '.join(m.name for m in models)}"
        )
    return models[0]


def threshold(m: ModelEvaluation) -> float | None:
    """The fitted one; None if there is none."""
    return m.selection.threshold if m.selection.feasible else None


def named(score: Score) -> str:
    """A score and, where it has one, its unit."""
    if score.fitted:
        return f"{score.name}, log-odds of being right"
    return "MSP, log-odds" if score == MSP else str(score)
