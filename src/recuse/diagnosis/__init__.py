"""Was this model trained with label smoothing? An answer from held-out logits and labels alone.

n = predictions (rows times any trailing axes), K = classes, m = positions of a window,
D = features.
Every piece of evidence is a number with its uncertainty. The verdict is a fixed rule on two of
them, the fitted smoothing and the shape of the logits (`verdict`); its measured error rates are in
docs/how-to/diagnose.md.
"""

from recuse.diagnosis._diagnose import Diagnosis, diagnose
from recuse.diagnosis._geometry import Geometry, Projection, project
from recuse.diagnosis._max_logit import (
    NOWHERE,
    Gradient,
    MaxLogit,
    Window,
    Windows,
    sliding,
    windows,
)
from recuse.diagnosis._smoothing import (
    CANNOT_TELL,
    NO_SMOOTHING,
    SMOOTHING,
    VERDICTS,
    Shape,
    Smoothing,
    ceiling,
    ceiling_log_odds,
    verdict,
)

__all__ = [
    "CANNOT_TELL",
    "NOWHERE",
    "NO_SMOOTHING",
    "SMOOTHING",
    "VERDICTS",
    "Diagnosis",
    "Geometry",
    "Gradient",
    "MaxLogit",
    "Projection",
    "Shape",
    "Smoothing",
    "Window",
    "Windows",
    "ceiling",
    "ceiling_log_odds",
    "diagnose",
    "project",
    "sliding",
    "verdict",
    "windows",
]
