"""The words of `recuse predict --explain`."""

from __future__ import annotations

import numpy as np

from recuse.present import terminal
from recuse.present.numbers import percent
from recuse.rejector import CLASS, Explanation, Rejector

LOWERING = 3  # contributions that are named


def tell(e: Explanation, rejector: Rejector, names: np.ndarray | None, accepted: float) -> None:
    """One decision in words; `accepted` is the fraction of the file that is."""
    verdict = "accepted" if e.accept else "abstained"
    terminal.say(
        f"{e.id}: {verdict}. Class {_named(e.prediction, names)}, softmax {_p(e.probability)}."
    )
    for sentence in (
        _against_the_threshold(e, rejector, names),
        _chance(e),
        f"{percent(e.less_certain, 1)} of the file are less certain; "
        f"{percent(accepted, 1)} are accepted.",
        _runners_up(e, names),
        _lowering(e),
    ):
        if sentence:
            terminal.say(f"  {sentence}")


def _against_the_threshold(e: Explanation, rejector: Rejector, names: np.ndarray | None) -> str:
    whose = _whose(e, rejector, names)
    if e.threshold == np.inf:
        return (
            f"Confidence {e.confidence:.6g} ({rejector.score}); nothing{whose} is accepted, "
            "whatever its confidence."
        )
    side = "above" if e.margin > 0 else "below" if e.margin < 0 else "exactly at"
    gap = f" by {abs(e.margin):.3g}" if e.margin else ""
    return (
        f"Confidence {e.confidence:.6g} ({rejector.score}) is {side} the threshold "
        f"{e.threshold:.6g}{whose}{gap}."
    )


def _whose(e: Explanation, rejector: Rejector, names: np.ndarray | None) -> str:
    """Of which class or group the threshold is; nothing where it is for all."""
    if e.subgroup is None:
        return ""
    if rejector.by == CLASS:
        return f" of class {_named(e.prediction, names)}"
    return f" of subgroup {e.subgroup}"


def _chance(e: Explanation) -> str:
    right = f"Right with a probability of about {_p(e.p_correct)}, by the tune split"
    if e.p_at_threshold is None:
        return f"{right}."
    return f"{right}; of about {_p(e.p_at_threshold)} at the threshold."


def _runners_up(e: Explanation, names: np.ndarray | None) -> str:
    others = ", ".join(f"{_named(k, names)} ({_p(p)})" for k, p in e.runners_up)
    return f"Next: {others}." if others else ""


def _lowering(e: Explanation) -> str:
    if e.average is None:
        return ""
    average = f"An average tune prediction has {e.average:.3g}"
    parts = ", ".join(f"{name} {share:+.3g}" for name, share in e.lowering[:LOWERING])
    return f"{average}; what lowers this one most: {parts}." if parts else f"{average}."


def _named(label: int, names: np.ndarray | None) -> str:
    return str(label) if names is None else str(names[label])


def _p(x: float) -> str:
    return percent(x, 1)
