"""What the data says, in sentences: only what is true of this evaluation."""

from __future__ import annotations

import math

from recuse.evaluation import ModelEvaluation
from recuse.present.tuning import why_kept
from recuse.reports import repair
from recuse.reports.details import Detail
from recuse.reports.notation import count, level, logit, number, percent, plural, prose
from recuse.reports.prepare import LOW_COVERAGE, Fingerprint, ModelData
from recuse.scores import Score, as_probability
from recuse.tuning import MSP

SIGNIFICANT = 0.05  # two-sided p-value below which a difference is significant


def lead(models: tuple[ModelData, ...]) -> list[str]:
    """What to deploy, what it promises, and what was wrong with the naive choice."""
    first = best(models)
    others = [m.result for m in models if m is not first]
    feasible = [m.name for m in others if m.selection.feasible]
    repaired = [m.name for m in others if m.repaired]
    sentences = [_deploy(first.result, len(models)), _promise(first.result), naive(first)]
    if feasible and not first.result.selection.feasible:
        sentences.append(
            f"A threshold exists for {', '.join(feasible)}; whoever turns to it now should "
            "fit it on new calibrate data, since this choice has seen the present one."
        )
    if repaired:
        sentences.append(f"MSP was replaced for {', '.join(repaired)}.")
    return sentences


def best(models: tuple[ModelData, ...]) -> ModelData:
    """The model with the best objective on the tune split."""
    return min(models, key=lambda m: _on_tune(m.result))


def _on_tune(m: ModelEvaluation) -> float:
    """The objective on the tune split, with the sign that makes the smallest the best."""
    value = next(value for score, value in m.tuned.table if score == m.tuned.score)
    return -value if repair.of_coverage(m) else value


def _deploy(m: ModelEvaluation, models: int) -> str:
    most = "largest" if repair.of_coverage(m) else "smallest"
    among = f" (of {models} models the one with the {most} {repair.objective(m)} on the tune split)"
    model = m.name + among * (models > 1)
    if not m.selection.feasible:
        target = level(m.selection.guarantee.target_risk)
        return f"No threshold for {model} can promise a risk of {target}: do not deploy it yet."
    if m.selection.guarantee.void:
        return f"Do not rely on a threshold for {model}: its guarantee is void."
    return f"Deploy {model}: accept a prediction when {rule(m)}."


def _promise(m: ModelEvaluation) -> str:
    g = m.selection.guarantee
    if not m.selection.feasible or g.void:
        return prose(str(m.selection))
    return (
        f"With {level(1 - g.delta)} confidence at most {level(g.target_risk)} of accepted "
        f"predictions are wrong{whose(m)}; {_first_lower(outcome(m))}"
    )


def whose(m: ModelEvaluation) -> str:
    """Whose risk is promised, where it is not that of any row."""
    grouped = m.selection.guarantee.unit == "groups"
    return ", for a random row of a random group" if grouped else ""


def rule(m: ModelEvaluation) -> str:
    """When a prediction is accepted."""
    return f"{scale(m.tuned.score)} ≥ {at_least(m.tuned.score, m.selection.threshold)}"


def scale(score: Score) -> str:
    """What a threshold is compared with."""
    if score.fitted:
        return "the learned probability of being right"
    return "MSP" if score == MSP else str(score)


def at_least(score: Score, threshold: float) -> str:
    """A threshold: of MSP and of a learned score as a probability and its log-odds."""
    if score != MSP and not score.fitted:
        return number(threshold)
    return f"{number(float(as_probability(threshold)))} (log-odds {number(threshold)})"


def outcome(m: ModelEvaluation) -> str:
    """What the fitted threshold did on the test split."""
    if not m.selection.feasible:
        return f"Without a threshold it abstains on all {count(m.n)} test examples."
    if not m.accepted:
        return f"On the test split none of {count(m.n)} predictions was accepted."
    risk, target = m.errors / m.accepted, m.selection.guarantee.target_risk
    side = "under" if risk < target else "at" if risk == target else "over"
    return (
        f"On the test split {percent(m.accepted / m.n)} were accepted "
        f"({count(m.accepted)} of {count(m.n)}), and {percent(risk)} of these were wrong "
        f"({count(m.errors)}): {side} the target of {level(target)}."
    )


def naive(model: ModelData) -> str:
    """What ranking by MSP costs this model, or that it costs nothing."""
    m = model.result
    if not m.repaired:
        aim = f"{'larger' if repair.of_coverage(m) else 'smaller'} {repair.objective(m)}"
        kept = f"No score has a significantly {aim} than MSP for {m.name}"
        return f"{kept}: {prose(why_kept(m.tuned.facts))}."
    better = m.gain.difference if repair.of_coverage(m) else -m.gain.difference
    seen, adopted = repair.on_test(model), f"The tune split replaced MSP for {m.name}"
    if math.isnan(m.gain.p_value):
        return f"{adopted}; on the test split the gain has no standard error: {seen}."
    significant = m.gain.p_value < SIGNIFICANT
    if significant and better > 0:
        return _cost(model, seen)
    verdict = "contradicts" if significant and better < 0 else "does not confirm"
    return f"{adopted}, but the test split {verdict} the gain: {seen}."


def _cost(model: ModelData, seen: str) -> str:
    """What MSP costs, where the test split shows it."""
    m, (before, after) = model.result, model.low_risk
    if repair.of_coverage(m):
        return f"Ranking {m.name} by MSP accepts fewer predictions: on the test split {seen}."
    said = f"Ranking {m.name} by MSP lets more errors through: on the test split {seen}"
    if before <= after:
        return f"{said}."
    return (
        f"{said}, and at {level(LOW_COVERAGE)} coverage {percent(before)} of accepted predictions "
        f"are wrong against {percent(after)}."
    )


def score(m: ModelEvaluation) -> str:
    """The chosen score, and why."""
    if m.repaired:
        return prose(f"{m.tuned.reason}.")
    return f"MSP kept: {prose(why_kept(m.tuned.facts))}."


def reading(f: Fingerprint, m: ModelEvaluation) -> str:
    """What the fingerprint of one model shows, and no more."""
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
        f"Wrong predictions have a maximum logit {logit(abs(f.excess))} "
        f"{'larger' if f.excess > 0 else 'smaller'} than right ones of equal MSP on average"
        f"{size}; it is larger in {f.larger} of {plural(bins, 'bin')}."
    )
    return f"{seen} {_verdict(f.excess > 0 and 2 * f.larger > bins, m.repaired)}"


def _verdict(larger: bool, repaired: bool) -> str:
    if larger and repaired:
        return "This is the fingerprint of label smoothing, and what the repair uses."
    if larger:
        return "Yet no other score ranks significantly better: no damage is claimed."
    if repaired:
        return (
            "This is not the fingerprint of label smoothing; the repair helps for another reason."
        )
    return "This is not the fingerprint of label smoothing."


def _first_lower(sentence: str) -> str:
    return sentence[0].lower() + sentence[1:]


def ceiling(detail: Detail | None, *, drawn: bool = True) -> str:
    """What a fitted smoothing says of the probabilities; empty where none is shown."""
    s = None if detail is None else detail.smoothing
    if s is None or not s.low > 0:
        return ""
    return (
        f"The tune split fits a smoothing of {s.value:.2f} ({s.low:.2f} to {s.high:.2f}): no "
        f"training target asked for more than {percent(s.ceiling)}{' (dotted line)' * drawn}; "
        f"{percent(s.above)} of the tune predictions are above."
    )
