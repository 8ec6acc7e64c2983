"""The sentences of the HTML page: only what is true of this evaluation.

`m` has the attributes of `evaluation.ModelEvaluation`, `model` those of `reports.prepare.ModelData`
and `score` those of `scores.Score`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

from recuse.present.numbers import (
    area,
    confidence_level,
    count,
    exact_percent,
    expit,
    interval,
    listed,
    logit,
    number,
    p_value,
    percent,
    plural,
    points,
)
from recuse.present.run import calibrating, rows_of
from recuse.present.tuning import why_kept

SIGNIFICANT = 0.05  # two-sided p-value below which a difference is significant
AREAS = {"aurc": "AURC", "augrc": "AUGRC"}
FAMILIES = {"candidates": "the best of the norms and temperatures", "learned": "the learned score"}


# What to deploy


def lead(models: Sequence[Any], first: Any, named: bool = False) -> list[str]:
    """Say what to deploy, what is guaranteed, and what ranking by MSP would cost.

    Args:
        models: All models.
        first: The one of them to deploy, by the tuning splits. Where a model has none, its
            calibration rows are all there is to choose by, and no model is recommended.
        named: Whether it was named beforehand, and not chosen by the tuning splits.
    """
    if not named and len(models) > 1 and any(untuned(model.result) for model in models):
        return [
            "No model is recommended: all rows choose thresholds, and none is left to choose "
            "between models. Each guarantee holds for a model that was named beforehand; to choose "
            "after looking, set a tuning split aside.",
            *(_beforehand(model.result) for model in models),
        ]
    others = [m.result for m in models if m is not first]
    feasible = [m.name for m in others if m.selection.feasible]
    repaired = [m for m in others if m.repaired]
    among = 1 if named else len(models)
    sentences = [_deploy(first.result, among), _guarantee(first.result), naive(first)]
    if feasible and not first.result.selection.feasible:
        sentences.append(
            f"A threshold exists for {', '.join(feasible)}. To switch to it now, fit it on a new "
            "calibration split: the choice of the model has seen the present one."
        )
    if repaired:
        replaced = listed(dict.fromkeys(m.baseline for m in repaired))
        sentences.append(f"For {listed([m.name for m in repaired])}, {replaced} was replaced.")
    return sentences


def untuned(m: Any) -> bool:
    """Whether no rows are set aside that could choose between models."""
    return m.cut is not None and not m.cut.tuning


def _beforehand(m: Any) -> str:
    """Say what is guaranteed of a model that was named beforehand."""
    if not m.selection.feasible or m.selection.guarantee.void:
        return _deploy(m, 1)
    return f"{m.name}: accept a prediction when {rule(m)}. {_guarantee(m)}"


def _deploy(m: Any, models: int) -> str:
    most = "largest" if of_coverage(m) else "smallest"
    among = f" (of {models} models, the one with the {most} {objective(m)} on the tuning split)"
    model = m.name + among * (models > 1)
    if not m.selection.feasible:
        target = exact_percent(m.selection.guarantee.target_risk)
        return f"No threshold for {model} guarantees a risk of {target}: do not deploy it yet."
    if m.selection.guarantee.void:
        return f"Do not rely on a threshold for {model}: its guarantee is void."
    return f"Deploy {model}: accept a prediction when {rule(m)}."


def _guarantee(m: Any) -> str:
    g = m.selection.guarantee
    if not m.selection.feasible or g.void:
        return m.selection.reason
    return (
        f"With {confidence_level(g.delta)} confidence at most {exact_percent(g.target_risk)} of "
        f"accepted predictions are wrong{whose(m)}. {outcome(m)}"
    )


def whose(m: Any) -> str:
    """Say how groups count in the risk, where rows depend on each other."""
    return " (each group counts once)" if m.selection.guarantee.unit == "groups" else ""


def rule(m: Any) -> str:
    """Say when a prediction is accepted."""
    if m.each:
        of = "predicted class" if m.rejector.by == "class" else "subgroup"
        return f"{scale(m.tuned.score)} reaches the threshold of its {of}"
    return f"{scale(m.tuned.score)} ≥ {at_least(m.tuned.score, m.selection.threshold)}"


def scale(score: Any) -> str:
    """Name the quantity that a threshold is compared with."""
    if score.fitted:
        return "the learned probability of being right"
    return "MSP" if score.name == "msp" else str(score)


def at_least(score: Any, threshold: float) -> str:
    """Write a threshold: of MSP and of a learned score as a probability and its log-odds."""
    if score.name != "msp" and not score.fitted:
        return number(threshold)
    return f"{number(expit(threshold))} (log-odds {number(threshold)})"


def outcome(m: Any) -> str:
    """Say what the fitted threshold did on what was measured."""
    if not m.selection.feasible:
        return f"Without a threshold it abstains on all {count(m.n)} examples."
    if not m.accepted:
        return f"On {measured([m])} none of {count(m.n)} predictions was accepted."
    if not m.tested:
        return (
            f"Not measured: {calibrating(m)}. {percent(m.accepted / m.n)} of them were accepted "
            f"({count(m.accepted)} of {count(m.n)}), and {percent(m.errors / m.accepted)} of these "
            f"were wrong ({count(m.errors)}), an underestimate for new rows."
        )
    risk, target = m.errors / m.accepted, m.selection.guarantee.target_risk
    side = "below" if risk < target else "at" if risk == target else "above"
    return (
        f"On the test split {percent(m.accepted / m.n)} were accepted "
        f"({count(m.accepted)} of {count(m.n)}), and {percent(risk)} of these were wrong "
        f"({count(m.errors)}): {side} the target of {exact_percent(target)}."
    )


def measured(models: Iterable[Any]) -> str:
    """Name the rows that numbers are of.

    >>> from types import SimpleNamespace as Namespace
    >>> measured([Namespace(tested=True)]), measured([Namespace(tested=False)])
    ('the test split', 'the calibration rows')
    """
    tested = {m.tested for m in models}
    if len(tested) == 2:
        return "the test split, or the calibration rows where there is none"
    return "the test split" if tested == {True} else "the calibration rows"


def splits(models: Sequence[Any]) -> str:
    """Say which rows chose what, and which measured it."""
    if all("calibrate" not in m.sizes for m in models):
        return (
            "The rejector was fitted before, and nothing of this page chose it. The outcome is on "
            f"{measured(models)}."
        )
    used = {m.name: said for m in models if (said := rows_of(m)) is not None}
    cuts = dict.fromkeys(used.values())
    if len(cuts) > 1:
        cuts = [f"{name}: {said}" for name, said in used.items()]
    two = "The score was chosen on the tuning split, the threshold on the calibration split"
    said = " ".join(cuts) if cuts else f"{two}."
    return f"{said} The outcome is on {measured(models)}."


# What MSP costs


def naive(model: Any) -> str:
    """Say what ranking by MSP costs this model, or that it costs nothing."""
    m = model.result
    if m.tuned.outcome == "fixed":
        return f"{m.name} is ranked by {m.baseline}, which was fixed beforehand."
    if not m.repaired:
        return f"{m.name} is ranked by {m.baseline}: {_kept(m)}."
    better = m.gain.difference if of_coverage(m) else -m.gain.difference
    if m.tuned.outcome == "fixed_other":
        return f"{m.name} is ranked by {m.tuned.score}, which accepts more than {m.baseline}."
    seen, adopted = on_test(model), f"The tuning split replaced {m.baseline} for {m.name}"
    if math.isnan(m.gain.p_value):
        return f"{adopted}; on {measured([m])} the gain has no standard error: {seen}."
    significant = m.gain.p_value < SIGNIFICANT
    if significant and better > 0:
        return _cost(model, seen)
    verdict = "contradicts" if significant and better < 0 else "does not confirm"
    return f"{adopted}, but {measured([m])} {verdict} the gain: {seen}."


def _cost(model: Any, seen: str) -> str:
    """Say what MSP costs, where the test split confirms it."""
    m, (before, after) = model.result, model.low_risk
    ranking = f"Ranking {m.name} by {m.baseline}"
    if of_coverage(m):
        return f"{ranking} accepts fewer predictions: on {measured([m])} {seen}."
    said = f"{ranking} lets more errors through: on {measured([m])} {seen}"
    if before <= after:
        return f"{said}."
    return (
        f"{said}, and at {exact_percent(model.low_coverage)} coverage {percent(before)} of "
        f"accepted predictions are wrong, against {percent(after)}."
    )


def score(m: Any) -> str:
    """Name the chosen score, and say why it was chosen."""
    return f"{m.tuned.reason}." if m.repaired or fixed(m) else f"{m.baseline} kept: {_kept(m)}."


def fixed(m: Any) -> bool:
    """Whether scores were fixed beforehand, so that no rows chose among them."""
    return m.tuned.outcome in ("fixed", "fixed_other")


def _kept(m: Any) -> str:
    return why_kept(m.tuned.facts)


def of_coverage(m: Any) -> bool:
    """Whether the score was to increase a coverage, and not to reduce an area."""
    return m.tuned.objective not in AREAS


def objective(m: Any) -> str:
    """Name the measure that the score was to improve."""
    target = exact_percent(m.selection.guarantee.target_risk)
    return AREAS.get(m.tuned.objective, f"coverage at risk ≤ {target}")


def _scaled(m: Any) -> str:
    return objective(m) if of_coverage(m) else f"{objective(m)} ×1000"


def on_test(model: Any) -> str:
    """Give the objective with MSP and with the chosen score, and their paired difference."""
    m, write = model.result, points if of_coverage(model.result) else area
    before, after = map(percent if of_coverage(m) else area, _objectives(model))
    name = FAMILIES["learned"] if m.tuned.score.fitted else m.tuned.score
    gap = f"difference {write(m.gain.difference)}{' points' * of_coverage(m)}"
    if not math.isnan(m.gain.p_value):
        gap = f"{gap} {interval(m.gain.low, m.gain.high, write)}, {p_value(m.gain.p_value)}"
    return f"{_scaled(m)} is {before} with {m.baseline} and {after} with {name} ({gap})"


def _objectives(model: Any) -> tuple[float, float]:
    m = model.result
    if of_coverage(m):
        return model.target_coverage
    return getattr(m.before, m.tuned.objective), getattr(m.after, m.tuned.objective)


# The learned score


def explained(m: Any) -> str:
    """Say what the learned score is, and how it was tested."""
    p, (own, others) = m.tuned.score.params, _trials(m)
    first, features = "those of MSP", "features of the logits"
    if m.baseline != "MSP":
        first, features = m.baseline, "confidences"
    sign = "−" if p["intercept"] < 0 else "+"
    if classes := p.get("class_intercepts"):
        features += f" and by the predicted class ({logit(min(classes))} to {logit(max(classes))})"
    against = f"; {others}" if others else ""
    return (
        f"It estimates the log-odds of being right: {logit(p['slope'])} times {first} "
        f"{sign} {logit(abs(p['intercept']))}, and a correction by {len(p['weights'])} {features}, "
        f"shrunk by a penalty. It was fitted to the {count(m.tuned.n)} predictions of "
        "the tuning split and tested there by cross-fitting: fitted on four fifths and compared "
        f"with {m.baseline} on the remaining fifth, {own}{against}. The guarantee does not "
        "depend on this estimate: it rests on the calibration split alone. The score belongs to "
        "this model; after any new training, also on the same data, fit again."
    )


def _trials(m: Any) -> tuple[str, str]:
    """The gains of the learned score and of the fixed ones, the latter empty if none was tried."""
    said = {trial.family: _gain(m, trial) for trial in m.tuned.trials}
    return said["learned"], said.get("candidates", "")


def _gain(m: Any, trial: Any) -> str:
    """A cross-fitted gain over MSP and its standard error."""
    write, unit = (points, " points") if of_coverage(m) else (area, "")
    verb = "increases" if of_coverage(m) == (trial.gain > 0) else "reduces"
    error = write(trial.spread if math.isnan(trial.se) else trial.se)
    unsure = "" if trial.helps or trial.gain <= 0 else ", less than its standard error"
    size = f"by {write(abs(trial.gain))} ± {error}{unit}"
    return f"{FAMILIES[trial.family]} {verb} {_scaled(m)} {size}{unsure}"


def weight_note(m: Any) -> str:
    """Say how to read the table of weights."""
    p = m.tuned.score.params
    return (
        f"Before any correction, one standard deviation of {m.baseline} adds "
        f"{logit(p['slope'] * p['scale'][0])}. The features are correlated: do not read one weight "
        "alone."
    )


# Pictures


def reading(f: Any, m: Any) -> str:
    """Say what the fingerprint of one model shows, and no more.

    Args:
        f: The fingerprint, as `reports.prepare.Fingerprint`.
        m: The model.
    """
    if m.classes == 2:
        return (
            "With two classes the centred maximum logit is half the log-odds of MSP: given MSP it "
            "is the same for right and wrong predictions, and shows nothing of label smoothing."
        )
    if math.isnan(f.excess):
        return "Too few right or wrong predictions of equal MSP to compare."
    bins = len(f.wrong.msp)
    size = f" ({abs(f.excess) / f.spread:.2f} standard deviations)" if f.spread > 0 else ""
    seen = (
        f"On average, wrong predictions have a maximum logit {logit(abs(f.excess))} "
        f"{'larger' if f.excess > 0 else 'smaller'} than right ones of equal MSP{size}; it is "
        f"larger in {f.larger} of {plural(bins, 'bin')}."
    )
    return f"{seen} {_verdict(f.excess > 0 and 2 * f.larger > bins, m)}"


def _verdict(larger: bool, m: Any) -> str:
    repaired = m.repaired
    if larger and m.tuned.outcome == "fixed":
        return "No rows are set aside to tell if another score is better: no damage is claimed."
    if larger and repaired:
        return "This is the fingerprint of label smoothing, and what the repair uses."
    if larger:
        return "Yet no other score gains more than its standard error: no damage is claimed."
    if repaired:
        return "This is not the fingerprint of label smoothing: the repair has another reason."
    return "This is not the fingerprint of label smoothing."


def ceiling(smoothing: Any | None, *, drawn: bool = True) -> str:
    """Say what a fitted smoothing means for the probabilities; empty where none is significant."""
    s = smoothing
    if s is None or not s.low > 0:
        return ""
    return (
        f"The probabilities fit a smoothing of {s.value:.2f} ({s.low:.2f} to {s.high:.2f}): no "
        f"training target was above {percent(s.ceiling)}{' (dotted line)' * drawn}, and "
        f"{percent(s.above)} of the predictions are above it."
    )
