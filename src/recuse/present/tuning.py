"""The outcome of tuning in words: the score that was adopted, or why MSP was kept."""

from __future__ import annotations

from typing import Literal, NamedTuple

from recuse.present.numbers import count, exact_percent, percent, plural, points
from recuse.present.text import score_name

Outcome = Literal[
    "adopted",  # the alternative replaces MSP
    "not_significant",  # it is better than MSP, but not by enough
    "no_gain",  # it is worse
    # nothing was compared:
    "probabilities",  # logarithms of probabilities, and no candidate was given
    "two_classes",  # no norm is tried for two classes, and no score was learned
    "one_confidence",  # one column of confidences
    "no_candidates",
    "few_errors",  # or few right predictions
    "few_rows",
    # scores that were fixed beforehand: no row was set aside to choose among them
    "fixed",  # MSP, alone or because it accepts most
    "fixed_other",  # the alternative accepts more
    # decisions by costs, under probabilities at a temperature:
    "costs",  # fitted to the tuning rows
    "costs_as_given",  # 1, since no tuning row is wrong
]


class TuningFacts(NamedTuple):
    """Why a score was chosen, as plain data for JSON."""

    outcome: Outcome
    objective: str  # "aurc", "augrc" or "coverage"; "cost" of always answering
    target_risk: float | None  # of the objective "coverage"
    msp: float  # the objective under MSP
    n: int  # predictions of the tuning split
    errors: int  # wrong ones
    units: int  # independent rows or groups
    needed: int | None = None  # errors and right predictions, or rows, that a comparison needs
    alternative: str | None = None  # the best score but MSP; None if nothing was compared
    gain: float | None = None  # its cross-fitted gain over MSP, in units of the objective
    gain_se: float | None = None  # standard error of the gain
    baseline: str = "MSP"  # or the first column of confidences; in all of the above
    # errors of classes that no label names, where they are most and the alternative learned it
    beyond: int | None = None


NAMED = 5  # classes
LEAST = 0.0005  # change of an area, relative to MSP, that one decimal of a percentage shows
TUNING_SPLIT = "the tuning split"
COSTS = {
    "costs": "softmax at the temperature that fits {n:,} tuning rows best",
    "costs_as_given": "softmax as it is: no temperature fits {n:,} tuning rows of which none is "
    "wrong",
}


def sentence(facts: TuningFacts, data: str = TUNING_SPLIT) -> str:
    """Return the outcome as one sentence without its full stop.

    >>> found = ("aurc", None, 0.05, 500, 60, 500, None, "entropy", 0.0006, 0.00105)
    >>> sentence(TuningFacts("not_significant", *found))
    'Kept MSP: the best alternative, entropy, reduces AURC by 1.2 % (standard error 2.1 %)'
    >>> sentence(TuningFacts("adopted", *found))
    'entropy reduces AURC by 1.2 % (standard error 2.1 %), cross-fitted on the tuning split'
    >>> sentence(TuningFacts("adopted", *found)._replace(gain=2e-5, gain_se=1e-5))
    'entropy reduces AURC by 0.04 % (standard error 0.02 %), cross-fitted on the tuning split'
    >>> sentence(TuningFacts("fixed", *found))
    'MSP rather than entropy; both were fixed beforehand'
    """
    if facts.outcome == "adopted":
        name = alternative(facts)
        return f"{'The' if name[:4] == 'the ' else name[:3]}{name[3:]} {effect(facts, data)}"
    if facts.outcome in ("fixed", "fixed_other"):
        return _fixed(facts)
    if facts.outcome in COSTS:
        return f"The cheapest answer, under the {COSTS[facts.outcome].format(n=facts.n)}"
    return f"Kept {facts.baseline}: {why_kept(facts, data)}"


def _fixed(facts: TuningFacts) -> str:
    """Name the score that is deployed among those that were fixed beforehand."""
    baseline, other = facts.baseline, facts.alternative
    if other is None:
        return f"{baseline}, fixed beforehand"
    one, rest = (baseline, other) if facts.outcome == "fixed" else (other, baseline)
    if one.startswith("confidence"):
        return f"{one} rather than another column; all were fixed beforehand"
    return f"{one} rather than {rest}; both were fixed beforehand"


def alternative(facts: TuningFacts) -> str:
    """Name the best alternative to the baseline."""
    return score_name(facts.alternative)


def masked_note(where: str, filler: float, never: list[int], some: float) -> str:
    """Return what counts as a mask: classes that are `never` possible, and a share of the rows."""
    said = f"{where}: values of {filler:.4g} or less stand for masked classes and count as -inf"
    if never:
        named = ", ".join(map(str, never[:NAMED])) + (", ..." if len(never) > NAMED else "")
        said += f": {'class' if len(never) == 1 else 'classes'} {named} in every row"
    if some > 0:
        said += f"{', and' if never else ':'} others in {percent(some, 1)} of the rows"
    return f"{said}; mask by -inf to say so"


def class_order_note(
    output: dict[int, int], agreement: float, accuracy: float, reordered: float
) -> str:
    """Return how the labels seem to be ordered, and what that does to the accuracy."""
    shifts = {label - place for label, place in output.items()}
    share = f"in {percent(agreement)} of {'the' if reordered == agreement else 'their'} rows"
    if len(output) > 2 and len(shifts) == 1:
        (by,) = shifts
        match = f"label k matches output k {'-' if by > 0 else '+'} {abs(by)} {share}"
        said = f"labels look shifted by {'one' if abs(by) == 1 else abs(by)}: {match}"
    else:
        pairs = [f"label {label} matches output {place}" for label, place in output.items()]
        more = ", ..." if len(pairs) > NAMED else ""
        what = "swapped" if len(output) == 2 else "in another order than the outputs"
        said = f"labels look {what}: {', '.join(pairs[:NAMED])}{more} {share}"
    return (
        f"{said}; the accuracy is {percent(accuracy, 1)}, and {percent(reordered, 1)} in that "
        "order: reorder the labels or the columns"
    )


def why_kept(facts: TuningFacts, data: str = TUNING_SPLIT) -> str:
    """Return the reason to keep the baseline as a clause."""
    match facts.outcome:
        case "probabilities":
            return "other scores need logits, and these are probabilities"
        case "two_classes":
            return "with two classes no norm is tried (centered, it is constant)"
        case "one_confidence":
            return "it is the only confidence"
        case "no_candidates":
            return "there is no candidate to compare with"
        case "few_errors":
            return (
                f"{count(facts.errors)} of {plural(facts.n, 'prediction')} in {data} are wrong, "
                f"and a comparison needs at least {facts.needed} wrong and {facts.needed} right"
            )
        case "few_rows":
            return (
                f"{data} has {count(facts.units)} independent rows or groups, "
                f"and a comparison needs at least {facts.needed}"
            )
    return f"the best alternative, {alternative(facts)}, {_change(facts)}"


def effect(facts: TuningFacts, data: str = TUNING_SPLIT) -> str:
    """Return what the alternative does to the objective, as a predicate."""
    said = f"{_change(facts)}, cross-fitted on {data}"
    if facts.beyond is None:
        return said
    return (
        f"{said}; {count(facts.beyond)} of {count(facts.errors)} errors are predictions of classes "
        "that no label names, and the gain holds only where labels are of the same classes"
    )


def _change(facts: TuningFacts) -> str:
    """Return the change of the objective: of an area relative to MSP, of a coverage in points."""
    gain, error = facts.gain or 0.0, facts.gain_se or 0.0
    verb = "increases" if (facts.objective == "coverage") == (gain > 0) else "reduces"
    if facts.target_risk is not None:
        name = f"coverage at {exact_percent(facts.target_risk)} risk"
        return f"{verb} {name} by {points(abs(gain))} points (standard error {points(error)})"
    size, error = abs(gain) / facts.msp, error / facts.msp
    name, digits = facts.objective.upper(), 1 if min(size, error) >= LEAST else 2
    return f"{verb} {name} by {percent(size, digits)} (standard error {percent(error, digits)})"
