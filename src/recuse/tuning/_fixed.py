"""Scores that are fixed beforehand, so that no rows are needed to choose among them."""

from __future__ import annotations

import numpy as np

from recuse.curves import aurc
from recuse.io import HeldOut
from recuse.io._rows import of_classes
from recuse.present.tuning import TuningFacts
from recuse.scores import Score, without_filler
from recuse.tuning._candidates import columns_of
from recuse.tuning._tune import MSP, Tuned, baseline_name, filler_of, order_of

NORM = Score("logit_norm", {"p": 4, "center": True})
SHARES = (0.8, 0.2)  # of delta, for MSP and the norm


def fixed_scores(kind: str, classes: int, names: tuple[str, ...] | None) -> dict[Score, float]:
    """Return the scores to try, and the share of delta that each is tested at.

    It depends on the kind of the outputs alone. Probabilities and two classes leave MSP, since a
    centered norm of two logits is constant; columns of confidences share alike.

    >>> {str(score): share for score, share in fixed_scores("logits", 10, None).items()}
    {'msp': 0.8, 'logit_norm(p=4, center=true)': 0.2}
    >>> list(fixed_scores("probs", 10, None).values())
    [1.0]
    """
    if not of_classes(kind):
        return dict.fromkeys(columns_of(names, classes), 1 / classes)
    if kind == "logits" and classes > 2:
        return dict(zip((MSP, NORM), SHARES))
    return {MSP: 1.0}


def fixed(file: HeldOut, scores: list[Score]) -> list[Tuned]:
    """Return each score as if it were chosen, with its measure on these rows."""
    filler, order = filler_of(file), order_of(file)
    z = without_filler(file.logits, filler)
    loss = file.loss.ravel().astype(np.float64)
    seen = [score(z).ravel() for score in scores]
    table = tuple((score, aurc(c, loss)) for score, c in zip(scores, seen))
    facts = TuningFacts(
        "fixed",
        "aurc",
        None,
        msp=table[0][1],
        n=loss.size,
        errors=int(loss.sum()),
        units=loss.size if file.groups is None else np.unique(file.groups).size,
        alternative=str(scores[1]) if len(scores) > 1 else None,
        baseline=baseline_name(scores[0]),
    )
    other = facts._replace(outcome="fixed_other")
    each = [facts, *(other._replace(alternative=str(score)) for score in scores[1:])]
    return [
        Tuned(score, table, said, file.digest, (), filler, order, c)
        for score, said, c in zip(scores, each, seen)
    ]
