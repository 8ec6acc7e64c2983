"""The verdict of `recuse run`, in at most eight lines."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from recuse.present.numbers import count, percent


def verdict_lines(m: Any, damage: Any, target_risk: float, out: str) -> Iterator[str]:
    """Yield what one model is worth, what to deploy, what is guaranteed and where the page is.

    Args:
        m: A `recuse.evaluation.ModelEvaluation`.
        damage: A `recuse.diagnosis.Diagnosis` of its tuning split; None of confidences.
        target_risk: Largest error rate of accepted predictions.
        out: Folder that was written.
    """
    right = percent(m.accuracy, 1)
    classes = "" if damage is None else f", of {m.classes} classes"
    yield f"Model: {right} of {count(m.n)} test predictions are right{classes}."
    if damage is not None:
        yield f"Training: {damage.sentence}"
    yield f"Score: {m.tuned.reason}."
    yield f"Guarantee: {m.selection}"
    if m.rejector is None:
        yield (
            f"Deploy: nothing yet, at a target of {percent(target_risk)}. {out}/report.html shows "
            "what the score would accept."
        )
        return
    share = percent(m.accepted / m.n, 1)
    wrong = f"{count(m.errors)} of {count(m.accepted)}" if m.accepted else "none"
    rate = f" ({percent(m.errors / m.accepted, 1)})" if m.accepted else ""
    yield (
        f"Test part: {share} answered, {wrong} of them wrong{rate}; answering everything, "
        f"{percent(1 - m.accuracy, 1)} would be wrong."
    )
    yield f"Deploy: recuse predict {out}/rejector.json NEW_OUTPUTS --out decisions.csv"
    yield f"Page: {out}/report.html; parts for later: tune.npz, calibrate.npz, test.npz in {out}"
