"""recuse: know when your classifier should step aside.

Importing it loads nothing else, not even NumPy: every name below is imported when it is first used.
"""

from __future__ import annotations

import importlib.util
import pkgutil
from typing import TYPE_CHECKING, Any

from recuse._version import __version__

if TYPE_CHECKING:
    from recuse import (
        bounds,
        calibration,
        curves,
        datasets,
        evaluation,
        export,
        images,
        integrations,
        intervals,
        io,
        losses,
        plots,
        recipes,
        scores,
        selectors,
    )
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
    from recuse.evaluation import evaluate, run
    from recuse.io import from_arrays, from_frame, read, write_logits
    from recuse.losses import targets
    from recuse.monitor import Monitor
    from recuse.rejector import Rejector, fit, plan
    from recuse.reports import report
    from recuse.selectors import select
    from recuse.sketch import CurveSketch
    from recuse.tuning import tune

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
    "datasets",
    "diagnose",
    "e_aurc",
    "evaluate",
    "evaluation",
    "export",
    "fit",
    "from_arrays",
    "from_frame",
    "images",
    "integrations",
    "intervals",
    "io",
    "losses",
    "n_aurc",
    "plan",
    "plots",
    "read",
    "recipes",
    "report",
    "risk_at_coverage",
    "risk_coverage",
    "run",
    "scores",
    "select",
    "selectors",
    "targets",
    "tune",
    "write_logits",
]

_HOME = {  # packages of the names that are no packages themselves
    "CurveSketch": "sketch",
    "InfeasibleError": "errors",
    "InputError": "errors",
    "MissingExtraError": "errors",
    "Monitor": "monitor",
    "Rejector": "rejector",
    "augrc": "curves",
    "aurc": "curves",
    "collect_logits": "collect",
    "coverage_at_risk": "curves",
    "diagnose": "diagnosis",
    "e_aurc": "curves",
    "evaluate": "evaluation",
    "fit": "rejector",
    "from_arrays": "io",
    "from_frame": "io",
    "n_aurc": "curves",
    "plan": "rejector",
    "read": "io",
    "report": "reports",
    "risk_at_coverage": "curves",
    "risk_coverage": "curves",
    "run": "evaluation",
    "select": "selectors",
    "targets": "losses",
    "tune": "tuning",
    "write_logits": "io",
}


def __getattr__(name: str) -> Any:
    if name in _HOME:
        value = getattr(importlib.import_module(f"recuse.{_HOME[name]}"), name)
    elif not name.startswith("_") and importlib.util.find_spec(f"recuse.{name}"):
        value = importlib.import_module(f"recuse.{name}")
    else:
        raise AttributeError(f"module 'recuse' has no attribute {name!r}")
    globals()[name] = value  # asked once
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOME, *(m.name for m in pkgutil.iter_modules(__path__))})
