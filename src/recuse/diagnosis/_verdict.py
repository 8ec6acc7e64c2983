"""The rule from evidence to verdict, and its words.

Two questions decide: do the probabilities stop short of the labels, as smoothing makes them
(level), and do the wrong logits lie together (shape)? The rule and its limits were chosen on
the development models of `python -m benchmarks.diagnosis` and are judged there on others.
"""

from __future__ import annotations

import math

from recuse.diagnosis._shape import Shape
from recuse.diagnosis._smoothing import Smoothing
from recuse.present.tuning import effect, why_kept
from recuse.tuning import Tuned
from recuse.tuning._tune import FEWEST_UNITS

SMOOTHING, NO_SMOOTHING, CANNOT_TELL = "label smoothing", "no label smoothing", "cannot tell"
VERDICTS = (SMOOTHING, NO_SMOOTHING, CANNOT_TELL)

ONE_SIDED = 1.645  # 95 % of a normal
LEAST = 0.015  # a fitted smoothing is soft if its lower bound exceeds this,
LEAST_BY_CLASS = 0.03  # or this if it was fitted by class
MOST = 0.4  # more is hardly ever trained with, and is what underfitting or a rescaling looks like
EXCLUDED = 0.05  # without smoothing the upper bound must lie below this
OVERFITTED = -0.25  # so far below 0, probabilities are too extreme to show a smoothing


def verdict(s: Smoothing, shape: Shape, num_classes: int, units: int) -> tuple[str, str]:
    """One of `VERDICTS`, and why in one sentence.

    Args:
        s: The level: the fitted smoothing.
        shape: Of the logits.
        num_classes: K.
        units: Independent rows, or groups.
    """
    if units < FEWEST_UNITS:
        return CANNOT_TELL, f"too few independent rows to judge ({units}, of {FEWEST_UNITS} needed)"
    if math.isnan(s.value):
        return CANNOT_TELL, "the logits say nothing about the labels"
    if shape.tight and (soft_by_scale(s) or soft_by_class(s)):
        return _of_both(s, num_classes)
    return _of_level(s, num_classes) if soft_by_scale(s) else _of_neither(s, shape, num_classes)


def soft_by_scale(s: Smoothing) -> bool:
    """Whether the probabilities are shown to stop short of the labels."""
    return s.by_scale - ONE_SIDED * s.by_scale_error > LEAST


def soft_by_class(s: Smoothing) -> bool:
    """Whether those of two classes are, by the frequencies of the classes."""
    if s.by_class is None or s.by_class_error is None or s.value != s.by_class:
        return False
    return s.by_class - ONE_SIDED * s.by_class_error > LEAST_BY_CLASS


def _of_both(s: Smoothing, num_classes: int) -> tuple[str, str]:
    size = f"the probabilities fit a smoothing of {s.value:.2f}"
    if s.value > MOST:
        return CANNOT_TELL, f"{size}, more than is used: rescaled logits or an underfitted model"
    return SMOOTHING, f"{size}, and {_together(num_classes)}"


def _of_level(s: Smoothing, num_classes: int) -> tuple[str, str]:
    return CANNOT_TELL, (
        f"the probabilities fit a smoothing of {s.by_scale:.2f}, but {_not_together(num_classes)}: "
        "too few epochs, strong regularisation or rescaled logits look like this"
    )


def _of_neither(s: Smoothing, shape: Shape, num_classes: int) -> tuple[str, str]:
    size = f"the probabilities show no smoothing (by scale: {s.by_scale:.2f})"
    if shape.value < shape.doubt:
        return CANNOT_TELL, (
            f"{size}, but {_together(num_classes)}: overfitting or rescaled logits can hide a "
            "smoothing, and long training with weight decay has this shape too"
        )
    if s.by_scale < OVERFITTED:
        return CANNOT_TELL, f"{size}, but the model is so overfitted that it would hide one"
    if s.by_scale + ONE_SIDED * s.by_scale_error > EXCLUDED:
        return CANNOT_TELL, f"{size}, but the rows are too few to exclude one of {EXCLUDED}"
    return NO_SMOOTHING, f"{size}, and {_not_together(num_classes)}"


def _together(num_classes: int) -> str:
    if num_classes == 2:
        return "the gaps between the two logits pile up"
    return "the low logits lie close together"


def _not_together(num_classes: int) -> str:
    if num_classes == 2:
        return "the gaps between the two logits do not pile up"
    return "the low logits do not lie close together"


def recommendation(found: str, tuned: Tuned, kind: str = "logits") -> str:
    """What to do: the score is the tuner's choice, whatever the verdict."""
    if tuned.repaired:
        score, how = tuned.score, ""
        if score.fitted:
            score, how = f"the {score.name} score", " `recuse fit` fits it and stores it."
        return f"Rank by {score}, not by MSP: it {effect(tuned.facts, 'this file')}.{how}"
    kept = f"Rank by MSP: {why_kept(tuned.facts, 'this file')}."
    if found == SMOOTHING and kind == "probs":
        return f"{kept} Save the logits and ask again: after smoothing they often rank better."
    if found == SMOOTHING:
        return (
            f"{kept} Ask again with more rows; if abstaining matters, train once without "
            "smoothing and compare the two by `recuse compare`."
        )
    if found == NO_SMOOTHING:
        return f"{kept} No repair helps significantly on these rows."
    return f"{kept} Look up how the model was trained; the logits alone do not say."
