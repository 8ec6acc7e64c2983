"""From held-out logits and labels alone: was this model trained with label smoothing?

n = predictions (rows times any trailing axes), K = classes, m = places of a window,
D = features.
Every piece of evidence is a number with its uncertainty; the verdict is a fixed rule on two of
them, the fitted smoothing and the shape of the logits (`verdict`), whose error rates were measured:
docs/how-to/diagnose.md.
"""

from recuse.diagnosis._diagnose import diagnose
from recuse.diagnosis._geometry import Geometry, Projection, geometry, project
from recuse.diagnosis._max_logit import Gradient, MaxLogit
from recuse.diagnosis._result import Diagnosis
from recuse.diagnosis._shape import Shape
from recuse.diagnosis._smoothing import Smoothing, ceiling, ceiling_log_odds
from recuse.diagnosis._verdict import CANNOT_TELL, NO_SMOOTHING, SMOOTHING, VERDICTS, verdict
from recuse.diagnosis._windows import NOWHERE, Window, Windows, sliding, windows

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
    "geometry",
    "project",
    "sliding",
    "verdict",
    "windows",
]
