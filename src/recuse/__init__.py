"""recuse: know when your classifier should step aside.

Importing it loads NumPy and nothing heavier: torch, numba, scipy and the plotting library
are imported by the functions that need them; the modules of `_ON_FIRST_USE` when they are named.
"""

from __future__ import annotations

import importlib
from typing import Any

from recuse import (
    bounds,
    calibration,
    curves,
    evaluation,
    intervals,
    io,
    scores,
    selectors,
)
from recuse._version import __version__
from recuse.collect import collect_logits
from recuse.curves import (
    augrc,
    aurc,
    coverage_at_risk,
    e_aurc,
    n_aurc,
    risk_at_coverage,
    risk_coverage,
)
from recuse.diagnosis import diagnose
from recuse.errors import InfeasibleError, InputError, MissingExtraError
from recuse.evaluation import evaluate
from recuse.io import read_logits, write_logits
from recuse.monitor import Monitor
from recuse.rejector import Rejector, fit
from recuse.reports import report
from recuse.selectors import select
from recuse.sketch import CurveSketch
from recuse.tuning import tune

_ON_FIRST_USE = {
    name: f"recuse.{name}" for name in ("export", "integrations", "losses", "plots", "recipes")
} | {"targets": "recuse.losses.targets"}

__all__ = [
    "CurveSketch",
    "InfeasibleError",
    "InputError",
    "MissingExtraError",
    "Monitor",
    "Rejector",
    "__version__",
    "augrc",
    "aurc",
    "bounds",
    "calibration",
    "collect_logits",
    "coverage_at_risk",
    "curves",
    "diagnose",
    "e_aurc",
    "evaluate",
    "evaluation",
    "export",
    "fit",
    "integrations",
    "intervals",
    "io",
    "losses",
    "n_aurc",
    "plots",
    "read_logits",
    "recipes",
    "report",
    "risk_at_coverage",
    "risk_coverage",
    "scores",
    "select",
    "selectors",
    "targets",
    "tune",
    "write_logits",
]


def __getattr__(name: str) -> Any:
    if name in _ON_FIRST_USE:
        return importlib.import_module(_ON_FIRST_USE[name])
    raise AttributeError(f"module 'recuse' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *_ON_FIRST_USE})
