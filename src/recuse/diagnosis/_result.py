"""What `diagnose` returns.

n = predictions, K = classes.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, is_dataclass
from typing import Any

from recuse.diagnosis._geometry import Geometry
from recuse.diagnosis._max_logit import Gradient, MaxLogit
from recuse.diagnosis._shape import Shape
from recuse.diagnosis._smoothing import Smoothing
from recuse.tuning import Tuned


@dataclass(frozen=True)
class Diagnosis:
    """The verdict, why, what to do, and the evidence."""

    verdict: str  # one of `VERDICTS`
    reason: str  # one clause, for people
    recommendation: str
    n: int
    classes: int
    errors: int
    smoothing: Smoothing
    shape: Shape
    max_logit: MaxLogit | None  # None with fewer than 10 errors, or if MSP fixes the maximum
    gradient: Gradient | None  # None likewise
    repair: Tuned
    msp_aurc: float
    geometry: Geometry | None  # None without features

    @property
    def gain(self) -> float:
        """The cross-fitted gain of the repair, relative to the AURC of MSP; NaN if not judged."""
        return self.repair.gain / self.msp_aurc if self._judged else float("nan")

    @property
    def gain_se(self) -> float:
        """The standard error of `gain`."""
        return self.repair.gain_se / self.msp_aurc if self._judged else float("nan")

    @property
    def _judged(self) -> bool:
        return self.repair.gain_se > 0 and self.msp_aurc > 0

    @property
    def sentence(self) -> str:
        """Verdict and reason."""
        return f"{self.verdict[0].upper()}{self.verdict[1:]}: {self.reason}."

    @property
    def digest(self) -> str:
        """Of the data."""
        return self.repair.digest

    def __str__(self) -> str:
        return f"{self.sentence} {self.recommendation}"

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON; what is undefined is NaN, which `_files.to_json` writes as null."""
        evidence = ("smoothing", "shape", "max_logit", "gradient", "geometry")
        head = ("verdict", "reason", "recommendation", "n", "classes", "errors")
        return {
            **{name: getattr(self, name) for name in head},
            **{name: _plain(getattr(self, name)) for name in evidence},
            "repair": {
                **self.repair.to_dict(),
                "msp_aurc": self.msp_aurc,
                "relative_gain": self.gain,
                "relative_gain_se": self.gain_se,
            },
            "undefined": self._undefined(),
        }

    def _undefined(self) -> dict[str, str]:
        """Why evidence is missing."""
        few = f"{self.errors} of {self.n} predictions are wrong, or MSP fixes the maximum logit"
        why = {
            "max_logit": few if self.max_logit is None else None,
            "gradient": few if self.gradient is None else None,
            "geometry": "no features were given" if self.geometry is None else None,
            "ceiling_log_odds": "no ceiling" if not self.smoothing.value > 0 else None,
            "by_class": "the classes are about equally frequent"
            if self.smoothing.by_class is None
            else None,
            "relative_gain": None if self._judged else self.repair.reason,
        }
        return {name: reason for name, reason in why.items() if reason}


def _plain(value: Any) -> Any:
    """Nested results as dictionaries of lists and numbers; NamedTuples too."""
    if is_dataclass(value) and not isinstance(value, type):
        return {f.name: _plain(getattr(value, f.name)) for f in fields(value)}
    if hasattr(value, "_asdict"):
        return {key: _plain(v) for key, v in value._asdict().items()}
    if isinstance(value, tuple):
        return list(value)
    return value.tolist() if hasattr(value, "tolist") else value
