"""Decisions of a rejector in words.

Counts beside the guarantee, subgroups, single rows; and the check of an exported file, where `p` is
a `recuse.export.Parity`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from recuse.present.guarantee import target_of_each
from recuse.present.numbers import (
    count,
    exact_percent,
    expit,
    listed,
    number,
    percent,
    points,
)
from recuse.present.text import score_name

LIMITS = {"coverage, 95 %": "95 %", "risk, 95 %": "95 %"}
ALL_ACCEPTED = "risk, all\naccepted"  # two lines, for 80 columns
ERRORS = ("errors", "risk", "risk, 95 %", ALL_ACCEPTED)
QUANTITY = {
    **{"risk": "error", "coverage": "coverage", "misses": "misses"},
    **{"cost": "mean cost", "mean_cost": "mean cost"},
}
COSTS = ("cost", "mean_cost")
JOINT = "share of all predictions"
USE = {"tune": "tuning", "calibrate": "calibration"}
ASSUMED = "out_of_fold"  # instead of guaranteed
LOWERING = 3  # contributions that are named

Names = Any  # of classes, by index; or None


def summary_lines(s: Any) -> Iterable[str]:
    """Yield the counts of a `Summary`, and how they compare with the guarantee."""
    yield (
        f"{s.accepted:,} of {s.n:,} predictions accepted ({percent(s.coverage, 1)}), "
        f"{s.n - s.accepted:,} abstained."
    )
    if isinstance(s.errors, float) and s.risk is not None:
        yield (
            f"Mean loss of the accepted {s.risk:.4g}; without abstaining it would be "
            f"{s.error_without_rejector:.4g}."
        )
    elif s.risk is not None:
        wrong = f"{s.errors:,} {'is' if s.errors == 1 else 'are'} wrong ({percent(s.risk, 1)})"
        of_all = f", {percent(s.errors / s.n, 1)} of all predictions" if s.joint else ""
        yield (
            f"Of the accepted, {wrong}{of_all}; without abstaining it would be "
            f"{percent(s.error_without_rejector, 1)}."
        )
    if s.compared is not None:
        yield _compared(s)
    elif s.groups is not None and s.one_of_each is None and not s.guarantee.void:
        yield (
            f"The rows are of {s.groups:,} groups, and rows of a group depend on each other: there "
            f"is no interval of the {_quantity(s)}, since the guarantee counts rows."
        )
    yield from (_misses(count, s.guarantee) for count in s.misses)
    if s.change is not None and s.change.changed:
        yield _changed(s.change)
    if s.seen_in_fit:
        yield _seen(s)


def _compared(s: Any) -> str:
    """Return how the observed interval compares with the guaranteed number."""
    kind, (interval, level) = s.guarantee.kind, s.compared
    plain = kind in COSTS or isinstance(s.errors, float)
    low, high, level = (f"{x:.4g}" if plain else percent(x, 1) for x in (*interval, level))
    side = "in line with" if s.kept else "below" if kind == "coverage" else "above"
    value = f" ({s.cost:.4g})" if kind in COSTS else ""
    said = "assumed" if ASSUMED in s.guarantee.assumptions else "guaranteed"
    if s.one_of_each is not None:
        accepted, errors = s.one_of_each
        wrong = f", {errors:,} of them wrong" if s.labelled else ""
        if isinstance(errors, float):
            wrong = f", their mean loss {errors / max(accepted, 1):.4g}"
        return (
            f"Of one random row of each of {s.groups:,} groups, {accepted:,} are accepted{wrong}: "
            f"the 95 % interval of this {_quantity(s)}, {low} to {high}, is {side} the "
            f"{said} {level}."
        )
    return (
        f"The 95 % interval of this {_quantity(s)}{value}, {low} to {high}, is {side} the "
        f"{said} {level}."
    )


def _misses(c: Any, g: Any) -> str:
    """Return how many of a true class are answered with another, and how that compares."""
    share = f" ({percent(c.missed / c.n, 1)})" if c.n else ""
    said = f"Of true class {c.name}, {c.missed:,} of {c.n:,}{share} are answered with another class"
    if c.n:
        said += f" (without abstaining {percent(c.without_rejector / c.n, 1)})"
    if g.void or c.interval is None or not c.n:
        return f"{said}."
    low, high = (percent(x, 1) for x in c.interval)
    side = "in line with" if c.interval[0] <= c.target else "above"
    level = f"{'assumed' if ASSUMED in g.assumptions else 'guaranteed'} {exact_percent(c.target)}"
    return f"{said}: the 95 % interval, {low} to {high}, is {side} the {level}."


def _quantity(s: Any) -> str:
    if isinstance(s.errors, float) and s.guarantee.kind == "risk":
        return "mean loss"
    return JOINT if s.joint else QUANTITY[s.guarantee.kind]


def _seen(s: Any) -> str:
    """Return that a file was used in the fit, or holds rows that were."""
    use = USE[s.seen_in_fit]
    if s.seen_share is None:
        return f"{s.seen_file} was used for {use}, so this is not an unbiased test."
    return (
        f"{s.seen_file} holds rows that were used for {use} (about {percent(s.seen_share)} of "
        "these), so the accepted share and the error rate here are not an unbiased test."
    )


def _changed(c: Any) -> str:
    """Return that a file is accepted far more or less often than the calibration split was."""
    whose = "" if c.subgroup is None else f" of subgroup {c.subgroup}"
    often = "more" if c.coverage > c.calibrated else "fewer"
    return (
        f"Far {often}{whose} are accepted than in calibration ({percent(c.coverage)} against "
        f"{percent(c.calibrated)}; by chance in less than 1 of a million files): the inputs, the "
        "model or the form of its outputs have changed, and the guarantee may not hold."
    )


QUANTITIES = {
    "spread": "standard deviation of a row of logits",
    "mean": "mean of a row of logits",
    "maximum": "maximum logit",
    "logsumexp": "log-sum-exp of a row of logits",
}
EITHER = "either the inputs have changed, or"


def model_lines(where: str, s: Any, odd_form: bool = False) -> Iterable[str]:
    """Yield what `Summary.model_changes` say, but for what its coverage or the form says already.

    With `odd_form`, it was said that the file holds something else than logits.
    """
    told = odd_form or (s.change is not None and s.change.changed)
    changes = (c for c in s.model_changes if not (told and c.what in QUANTITIES))
    yield from (model_changed(where, c) for c in changes)


def reordered(where: str, classes: Sequence[str]) -> str:
    """Return that predictions count the classes in another order than the labels of a file."""
    return (
        f"{where}: its classes are in another order than in the fit: predictions are indices of "
        f"{listed(classes)}, and its labels are not"
    )


def model_changed(where: str, change: Any) -> str:
    """Return a `ModelChange` in one sentence."""
    if change.what == "name":
        return (
            f"{where}: outputs of {change.found}, but the rejector was fitted to those of "
            f"{change.expected}: its guarantee does not hold; fit again for this model"
        )
    if change.what == "runner_up":
        return (
            f"{where}: the usual runner-up of the predicted class comes second in "
            f"{percent(change.found)} of the rows, in calibration in {percent(change.expected)}: "
            f"{EITHER} the columns are in another order or of another model, and the guarantee "
            "may not hold"
        )
    low, high = change.expected
    side = "below" if change.found < low else "above"
    return (
        f"{where}: the {QUANTITIES[change.what]} is {change.found:.3g} in the median, {side} "
        f"that of 99 % of the calibration rows ({low:.3g} to {high:.3g}): {EITHER} these "
        "are outputs of another model or in another form, such as another temperature, and the "
        "guarantee may not hold"
    )


def subgroup_lines(s: Any, names: Names = None) -> Iterable[str]:
    """Yield which subgroups of a `Summary` exceed the guaranteed risk, and which are unknown."""
    if s.independent and s.labelled:
        above = ", ".join(name_of(subgroup, names) for subgroup in s.above)
        differ = target_of_each(s.guarantee)
        level = f"guaranteed {percent(s.guarantee.target_risk, 1)}"
        level = level if differ is None else f"guarantee of its class ({differ})"
        what = "Intervals of the share of all predictions" if s.joint else "Risk intervals"
        yield f"{what} above the {level}: {above or 'none'}."
    if s.unknown:
        yield f"Not in the calibration split, so always abstained on: {', '.join(s.unknown)}."


def subgroup_cells(
    rows: Sequence[Any], by: str, names: Names = None, *, errors: bool = True, limits: bool = True
) -> tuple[list[str], list[list[str]]]:
    """Return the header and the rows of a table of subgroups, in 80 columns.

    Args:
        rows: `SubgroupRow`s.
        by: What the first column holds.
        names: Names of classes.
        errors: Whether there are labels to count errors by.
        limits: Whether to show intervals: not where rows depend on each other or chose the
            thresholds; the number of accepted stands in their place.
    """
    cells = [_cells(row, names) for row in rows]
    left_out = {*(() if errors else ERRORS), *(("accepted",) if limits else LIMITS)}
    kept = [name for name in cells[0] if name not in left_out]
    header = [by, *(LIMITS.get(k, k) for k in kept[1:])]
    return header, [[row[k] for k in kept] for row in cells]


def _cells(row: Any, names: Names) -> dict[str, str]:
    none = row.risk is None
    return {
        "subgroup": "all" if row.subgroup is None else name_of(row.subgroup, names),
        "n": f"{row.n:,}",
        "accepted": f"{row.accepted:,}",
        "coverage": percent(row.coverage, 1),
        "coverage, 95 %": _interval(row.coverage_interval),
        "errors": f"{row.errors:,}",
        "risk": "-" if none else percent(row.risk, 1),
        "risk, 95 %": "-" if none else _interval(row.risk_interval),
        ALL_ACCEPTED: percent(row.error_rate, 1),
    }


def explanation_lines(e: Any, score: Any, names: Names, accepted: float) -> Iterable[str]:
    """Yield one decision in words.

    Args:
        e: An `Explanation`.
        score: The score of the rejector.
        names: Names of classes.
        accepted: Fraction of the file that is accepted.
    """
    verdict = "accepted" if e.accept else "abstained"
    name = name_of(e.prediction, names)
    of = "softmax" if e.costs is None else "probability"
    yield f"{e.id}: {verdict}. Class {name}, {of} {percent(e.probability, 1)}."
    if e.costs is None:
        yield from _by_threshold(e, score, names)
    else:
        yield f"  {_by_costs(*e.costs)}"
    yield (
        f"  {percent(e.less_certain, 1)} of the file are less certain; "
        f"{percent(accepted, 1)} are accepted."
    )
    if e.runners_up:
        others = (f"{name_of(k, names)} ({percent(p, 1)})" for k, p in e.runners_up)
        yield f"  Next: {', '.join(others)}."
    if e.average is not None:
        parts = ", ".join(f"{name} {share:+.3g}" for name, share in e.lowering[:LOWERING])
        lowered = f"; what lowers this one most: {parts}" if parts else ""
        yield f"  An average tuning prediction has {e.average:.3g}{lowered}."


def _by_threshold(e: Any, score: Any, names: Names) -> Iterable[str]:
    yield f"  {_against_the_threshold(e, score, names)}"
    right = f"Right with a probability of about {percent(e.p_correct, 1)}, by the rows of the fit"
    at = (
        ""
        if e.p_at_threshold is None
        else f"; about {percent(e.p_at_threshold, 1)} at the threshold"
    )
    yield f"  {right}{at}."


def _by_costs(answering: float, abstaining: float) -> str:
    said = f"Expected cost of this answer {answering:.4g}, of abstaining {abstaining:.4g}"
    if answering == abstaining:
        return f"{said}: equal, so it is answered."
    cheaper = "answering" if answering < abstaining else "abstaining"
    return f"{said}: {cheaper} saves {abs(answering - abstaining):.3g}."


def _against_the_threshold(e: Any, score: Any, names: Names) -> str:
    whose = {
        "all": "",
        "class": f" of class {name_of(e.prediction, names)}",
        "subgroup": f" of subgroup {e.subgroup}",
    }[e.by]
    confidence = f"Confidence {e.confidence:.6g} ({score_name(score)})"
    if e.p_at_threshold is None:
        return f"{confidence}; nothing{whose} is accepted, whatever its confidence."
    side = "above" if e.margin > 0 else "below" if e.margin < 0 else "exactly at"
    gap = f" by {abs(e.margin):.3g}" if e.margin else ""
    return f"{confidence} is {side} the threshold {e.threshold:.6g}{whose}{gap}."


def name_of(subgroup: Any, names: Names = None) -> str:
    """Return a subgroup, or a class by its name."""
    return str(subgroup) if names is None else str(names[subgroup])


def by_costs(score: Any) -> str:
    """Return the rule of decisions by costs."""
    return (
        "Predict the class of the smallest expected cost, under probabilities at temperature "
        f"{score.params['temperature']:.4g}; abstain where that costs less."
    )


def threshold(score: Any, value: float) -> str:
    """Write a threshold in the unit of the confidence; of log-odds also as a probability."""
    if score.name != "msp" and not score.fitted:
        return f"{value:.6g}"
    return f"{value:.6g} (log-odds of a probability of {number(expit(value))})"


def _interval(limits: tuple[float, float]) -> str:
    low, high = map(points, limits)
    return f"{low}-{high}"


def parity(p: Any) -> str:
    """Return how often the file decides differently."""
    return (
        f"{count(p.decisions)} of {count(p.predictions)} decisions differ from those of recuse on "
        f"the same logits; the logits differ from PyTorch's by at most {p.logits:.1g}, which "
        f"changes {count(p.changed)} decisions."
    )


def exported(out: object, rejector: object, p: Any, inputs: str) -> list[str]:
    """Return what was written and how it was checked, as lines."""
    lines = [
        f"Written to {out}: logits, label, confidence, accept, p_correct.",
        str(rejector),
        f"Checked in onnxruntime on {inputs} inputs: {parity(p)}",
    ]
    if p.changed:
        lines.append("If that matters, collect logits from the file itself and fit on them.")
    return lines


def cut(found: Any, *, tested: bool = False) -> str:
    """Return which rows of one file do what, by the rule, as one sentence.

    Args:
        found: A `Cut`.
        tested: Whether another file tests.

    >>> from types import SimpleNamespace as Namespace
    >>> cut(Namespace(units=3000, unit="rows", tuning=0.0))
    'All 3,000 rows choose the threshold; none is set aside to tune a score or to test.'
    >>> cut(Namespace(units=3000, unit="rows", tuning=0.0), tested=True)
    'All 3,000 rows choose the threshold; none is set aside to tune a score.'
    >>> cut(Namespace(units=20000, unit="rows", tuning=0.2, costs=False, losses=False))
    'Of 20,000 rows, 20 % choose the score and 80 % the threshold; none is set aside to test.'
    """
    number, aside = f"{found.units:,} {found.unit}", "none is set aside to"
    if found.tuning:
        rest = exact_percent(1 - found.tuning)
        first, second = _uses(found)
        share = f"{exact_percent(found.tuning)} {first} and {rest} {second}"
        return f"Of {number}, {share}{'' if tested else f'; {aside} test'}."
    uses = "tune a score" if tested else "tune a score or to test"
    return f"All {number} choose the threshold; {aside} {uses}."


def _uses(found: Any) -> tuple[str, str]:
    """Return what the tuning rows of one file do, and what the others do."""
    if found.costs:
        return "fit the temperature", "the limit of the mean cost"
    if found.losses:
        return "say which thresholds to test", "test them"
    return "choose the score", "the threshold"


def beside_diagnose(found: Any) -> str:
    """Say why `recuse diagnose` may name another score than `recuse fit` of the same file."""
    here = f"{exact_percent(found.tuning)} of them" if found.tuning else "none"
    return (
        f"The score: `recuse diagnose` compares scores on all rows, this fit on {here}; to deploy "
        "another that it names, give rows to --tune and others to --calibrate."
    )
