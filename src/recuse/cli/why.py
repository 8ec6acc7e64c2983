"""The words of `recuse predict --why`."""

from __future__ import annotations

import numpy as np

from recuse.present import terminal
from recuse.present.numbers import percent
from recuse.rejector import CLASS, Rejector, Why

LOWERING = 3  # contributions that are named


def tell(why: Why, rejector: Rejector, names: np.ndarray | None, accepted: float) -> None:
    """One decision in words; `accepted` is the fraction of the file that is."""
    verdict = "accepted" if why.accept else "abstained"
    terminal.say(
        f"{why.id}: {verdict}. Class {_named(why.label, names)}, softmax {_p(why.probability)}."
    )
    for sentence in (
        _against_the_threshold(why, rejector, names),
        _chance(why),
        f"{percent(why.less_certain, 1)} of the file are less certain; "
        f"{percent(accepted, 1)} are accepted.",
        _runners_up(why, names),
        _lowering(why),
    ):
        if sentence:
            terminal.say(f"  {sentence}")


def _against_the_threshold(why: Why, rejector: Rejector, names: np.ndarray | None) -> str:
    whose = _whose(why, rejector, names)
    if why.threshold == np.inf:
        return (
            f"Confidence {why.confidence:.6g} ({rejector.score}); nothing{whose} is accepted, "
            "whatever its confidence."
        )
    side = "above" if why.margin > 0 else "below" if why.margin < 0 else "exactly at"
    gap = f" by {abs(why.margin):.3g}" if why.margin else ""
    return (
        f"Confidence {why.confidence:.6g} ({rejector.score}) is {side} the threshold "
        f"{why.threshold:.6g}{whose}{gap}."
    )


def _whose(why: Why, rejector: Rejector, names: np.ndarray | None) -> str:
    """Of which class or group the threshold is; nothing where it is for all."""
    if why.group is None:
        return ""
    if rejector.by == CLASS:
        return f" of class {_named(why.label, names)}"
    return f" of group {why.group}"


def _chance(why: Why) -> str:
    right = f"Right with a probability of about {_p(why.p_correct)}, by the tune split"
    if why.p_at_threshold is None:
        return f"{right}."
    return f"{right}; of about {_p(why.p_at_threshold)} at the threshold."


def _runners_up(why: Why, names: np.ndarray | None) -> str:
    others = ", ".join(f"{_named(k, names)} ({_p(p)})" for k, p in why.runners_up)
    return f"Next: {others}." if others else ""


def _lowering(why: Why) -> str:
    if why.average is None:
        return ""
    average = f"An average tune prediction has {why.average:.3g}"
    parts = ", ".join(f"{name} {share:+.3g}" for name, share in why.lowering[:LOWERING])
    return f"{average}; what lowers this one most: {parts}." if parts else f"{average}."


def _named(label: int, names: np.ndarray | None) -> str:
    return str(label) if names is None else str(names[label])


def _p(x: float) -> str:
    return percent(x, 1)
