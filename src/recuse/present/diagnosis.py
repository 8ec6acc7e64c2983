"""A diagnosis in words, and its evidence as the rows of a table.

`d` is a `recuse.diagnosis.Diagnosis`.
"""

from __future__ import annotations

import math
from typing import Any

from recuse.present.numbers import area, count, percent
from recuse.present.tuning import effect, why_kept

EVIDENCE = ("evidence", "value", "95 % interval", "compare with")
THIS_FILE = "this file"

Row = tuple[str, str, str, str]


def sentence(d: Any) -> str:
    """Return the verdict and its reason."""
    return f"{d.verdict[0].upper()}{d.verdict[1:]}: {reason(d)}."


def reason(d: Any) -> str:
    """Return the reason for the verdict as a clause."""
    s, two = d.smoothing, d.classes == 2
    tight = (
        "the gaps between the two logits pile up" if two else "the low logits lie close together"
    )
    spread = (
        "the gaps between the two logits do not pile up"
        if two
        else "the low logits do not lie close together"
    )
    none = f"the probabilities show no smoothing (by scale: {s.by_scale:z.2f})"
    match d.finding:
        case "few_rows":
            return (
                f"too few independent rows or groups ({count(d.units)}, at least {d.needed} needed)"
            )
        case "class_order":
            return str(d.repair.class_order)
        case "no_signal":
            return "the logits carry no information about the labels"
        case "level_and_shape":
            return f"the probabilities fit a smoothing of {s.value:.2f}, and {tight}"
        case "too_much":
            return (
                f"the probabilities fit a smoothing of {s.value:.2f}, more than is ever used; "
                "rescaled logits or an underfitted model look like this"
            )
        case "level_only":
            return (
                f"the probabilities fit a smoothing of {s.by_scale:.2f}, but {spread}; "
                "too few epochs, strong regularization or rescaled logits look like this"
            )
        case "shape_only":
            return (
                f"{none}, but {tight}; overfitting or rescaled logits can hide a smoothing, "
                "and long training with weight decay has the same shape"
            )
        case "overfitted":
            return f"{none}, but the model is so overfitted that it would hide one"
        case "imprecise":
            return f"{none}, but there are too few rows to rule out one of {d.ruled_out:g}"
    return (
        f"{none}, and {'the shape of the logits alone does not tell' if d.shape.tight else spread}"
    )


def recommendation(d: Any) -> str:
    """Return what to do: the score is the choice of `tune`, whatever the verdict."""
    if d.finding == "class_order":
        return "Ask again when labels and outputs have one order."
    facts, score = d.repair.facts, d.repair.score
    if d.repair.repaired:
        name = f"the {score.name} score" if score.fitted else score
        return (
            f"Rank by {name}, not by MSP: it {effect(facts, THIS_FILE)}. Averaged over all "
            f"coverages, {area(facts.gain)} fewer of 1,000 accepted predictions are wrong. To "
            "deploy it, give these rows to `recuse fit --tune`, and others to `--calibrate`: given "
            "one file, `recuse fit` compares scores on a part of its rows or, below 10,000, on "
            "none, and may choose another."
        )
    kept = f"Rank by MSP: {why_kept(facts, THIS_FILE)}."
    if d.verdict == "no label smoothing":
        return f"{kept} No repair gains more than its standard error."
    if d.verdict != "label smoothing":
        return f"{kept} Look up how the model was trained; the logits alone do not tell."
    if d.kind == "probs":
        return f"{kept} Save the logits and ask again: after smoothing they often rank better."
    return (
        f"{kept} Ask again with more rows. If abstention matters, train once without smoothing "
        "and compare the two models with `recuse compare`."
    )


def undefined(d: Any) -> dict[str, str]:
    """Return why evidence is missing, by its name."""
    few = f"{d.errors} of {d.n} predictions are wrong, or MSP determines the maximum logit"
    reasons = {
        "max_logit": few if d.max_logit is None else None,
        "gradient": few if d.gradient is None else None,
        "geometry": "no features were given" if d.geometry is None else None,
        "ceiling_log_odds": None if d.smoothing.value > 0 else "there is no ceiling",
        "by_class": "the classes are about equally frequent"
        if d.smoothing.by_class is None
        else None,
        "relative_gain": d.repair.reason if math.isnan(d.gain) else None,
    }
    return {name: text for name, text in reasons.items() if text}


def evidence(d: Any) -> list[Row]:
    """Return the rows under the header `EVIDENCE`."""
    rows = [*_level(d.smoothing)]
    rows.append((d.shape.measure, f"{d.shape.value:.3f}", "", f"smoothing: < {d.shape.limit:.3f}"))
    if d.max_logit is not None:
        rows += _maximum(d.max_logit, d.gradient)
    rows.append(_repair(d))
    return rows if d.geometry is None else [*rows, *_distances(d.geometry)]


def _level(s: Any) -> list[Row]:
    other = "sampling error alone" if s.value == s.by_scale else f"by scale: {s.by_scale:.3f}"
    fitted = ("fitted smoothing", f"{s.value:.3f}", _interval(s), other)
    if not s.value > 0:
        return [fitted]
    return [fitted, ("above its ceiling", percent(s.above, 1), "", f"ceiling: {s.ceiling:.3f}")]


def _maximum(m: Any, g: Any) -> list[Row]:
    relative = f"{m.relative:.2f} sd, at equal MSP"
    return [
        ("max logit, wrong - right", f"{m.difference:.3f}", _interval(m), relative),
        ("P_error per logit", f"{g.slope:.3f}", _interval(g), "smoothing: > 0"),
    ]


def _repair(d: Any) -> Row:
    name = "AURC reduction by a repair"
    if math.isnan(d.gain):
        return name, "-", "", "not compared"
    return name, percent(d.gain, 1), f"± {percent(d.gain_se, 1)} (s.e.)", "cross-fitted"


def _distances(g: Any) -> list[Row]:
    own, others = "squared distance to own template", "variation over the others"
    return [
        (own, f"{g.own_right:.3g}", "", f"right; wrong: {g.own_wrong:.3g}"),
        (others, f"{g.spread_right:.3f}", "", f"right; wrong: {g.spread_wrong:.3f}"),
    ]


def _interval(x: Any) -> str:
    return f"{x.low:.3f} to {x.high:.3f}"
