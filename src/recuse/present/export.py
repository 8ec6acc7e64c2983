"""The check of an exported file in words; `p` is a `recuse.export.Parity`."""

from __future__ import annotations

from typing import Any

from recuse.present.numbers import count


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
