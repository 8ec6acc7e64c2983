"""What the score was chosen for, and the learned score, in words and figures.

f = features of the learned score.
"""

from __future__ import annotations

import math

from recuse.evaluation import ModelEvaluation
from recuse.reports.notation import (
    Table,
    area,
    count,
    interval,
    level,
    logit,
    p_value,
    percent,
    points,
)
from recuse.reports.prepare import ModelData
from recuse.scores import FEATURES
from recuse.tuning import Trial

AREAS = {"aurc": "AURC", "augrc": "AUGRC"}
FAMILIES = {"candidates": "the best of the norms and temperatures", "learned": "the learned score"}


def of_coverage(m: ModelEvaluation) -> bool:
    """Whether the score was to raise a coverage, and not to lower an area."""
    return m.tuned.objective not in AREAS


def objective(m: ModelEvaluation) -> str:
    """What the score was to improve."""
    target = level(m.selection.guarantee.target_risk)
    return AREAS.get(m.tuned.objective, f"coverage at risk ≤ {target}")


def on_test(model: ModelData) -> str:
    """The objective with MSP and with the chosen score, and their paired difference."""
    m, write = model.result, points if of_coverage(model.result) else area
    before, after = map(percent if of_coverage(m) else area, _objectives(model))
    name = FAMILIES["learned"] if m.tuned.score.fitted else m.tuned.score
    gap = f"difference {write(m.gain.difference)}{' points' * of_coverage(m)}"
    if not math.isnan(m.gain.p_value):
        gap = f"{gap} {interval(m.gain, write)}, {p_value(m.gain.p_value)}"
    return f"{_scaled(m)} is {before} with MSP and {after} with {name} ({gap})"


def _objectives(model: ModelData) -> tuple[float, float]:
    m = model.result
    if of_coverage(m):
        return model.target_coverage
    return getattr(m.before, m.tuned.objective), getattr(m.after, m.tuned.objective)


def explained(m: ModelEvaluation) -> str:
    """What a learned score is, and how it was judged."""
    p, (own, others) = m.tuned.score.params, _trials(m)
    sign = "−" if p["intercept"] < 0 else "+"
    against = f"; {others}" if others else ""
    return (
        f"It estimates the log-odds of being right: {logit(p['slope'])} times those of MSP "
        f"{sign} {logit(abs(p['intercept']))}, and a correction by {len(FEATURES)} features of the "
        f"logits, kept small by a penalty. It was fitted to the {count(m.tuned.n)} predictions of "
        "the tune split and judged by cross-fitting there, fitted on four fifths and compared "
        f"with MSP on the fifth: {own}{against}. The promise rests on counts of the calibrate "
        "split, not on this estimate. It belongs to this model as it is: trained again, even on "
        "the same data, the model needs a new fit."
    )


def _trials(m: ModelEvaluation) -> tuple[str, str]:
    """The gains of the learned score and of the fixed ones, the latter empty if none was tried."""
    said = {trial.family: _gain(m, trial) for trial in m.tuned.trials}
    return said["learned"], said.get("candidates", "")


def _gain(m: ModelEvaluation, trial: Trial) -> str:
    """A cross-fitted gain over MSP and its standard error."""
    write, unit = (points, " points") if of_coverage(m) else (area, "")
    verb = "increases" if of_coverage(m) == (trial.gain > 0) else "reduces"
    error = write(trial.spread if math.isnan(trial.se) else trial.se)
    unsure = "" if trial.beats_msp() or trial.gain <= 0 else ", which is not significant"
    size = f"by {write(abs(trial.gain))} ± {error}{unit}"
    return f"{FAMILIES[trial.family]} {verb} {_scaled(m)} {size}{unsure}"


def _scaled(m: ModelEvaluation) -> str:
    return objective(m) if of_coverage(m) else f"{objective(m)} ×1000"


def weight_table(m: ModelEvaluation) -> Table:
    """The weights of the features, largest first."""
    ranked = sorted(zip(FEATURES, m.tuned.score.params["weights"]), key=lambda row: -abs(row[1]))
    caption = "Correction of the log-odds for one standard deviation of each feature"
    return Table(caption, ("Feature", "Weight"), [(name, logit(w)) for name, w in ranked])


def weight_note(m: ModelEvaluation) -> str:
    """How to read `weight_table`."""
    p = m.tuned.score.params
    return (
        "Before any correction, one standard deviation of MSP adds "
        f"{logit(p['slope'] * p['scale'][0])}. The features depend on each other: read the weights "
        "together, none alone."
    )
