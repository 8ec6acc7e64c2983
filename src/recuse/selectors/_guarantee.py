"""What a threshold promises, in numbers and in words."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from decimal import ROUND_CEILING, Decimal
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from recuse._internal.check import check_confidence

if TYPE_CHECKING:
    from jaxtyping import Bool
    from numpy import ndarray as Array
    from numpy.typing import ArrayLike

SMALLEST = Decimal("1e-20")  # percent that a confidence is below 100 %, as it is shown


@dataclass(frozen=True)
class Guarantee:
    """What a threshold promises of the risk, and the counts it rests on."""

    kind: ClassVar[str] = "risk"

    target_risk: float
    delta: float
    method: str
    n: int  # calibrate examples, or groups with one example each
    accepted: int  # of them
    errors: float  # of the accepted: an integer for 0-1 losses, otherwise their summed loss
    assumption: str
    unit: str = "examples"
    void: bool = False  # fitted on data that it must not see

    @property
    def coverage(self) -> float:
        """Fraction of the calibrate split that is accepted."""
        return self.accepted / self.n

    def __str__(self) -> str:
        if self.void:
            return no_guarantee(self._seen)
        promise = (
            f"at most {percent(self.target_risk)} of accepted predictions are wrong"
            if isinstance(self.errors, int)
            else f"the mean loss of accepted predictions is at most {self.target_risk:g}"
        )
        return f"With {sure(self.delta)} confidence, {promise} ({self._seen}; {self.assumption})."

    @property
    def _seen(self) -> str:
        return counted(self.n, self.accepted, self.errors, self.unit)

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return asdict(self)


@dataclass(frozen=True)
class Selection:
    """A threshold with its guarantee; or, where `feasible` is False, why there is none."""

    threshold: float  # a float32 value; accept when confidence >= threshold; +inf if infeasible
    feasible: bool
    guarantee: Any  # Guarantee; of `select_coverage` and `select_cost`, theirs
    reason: str  # one sentence, for people; if feasible, the guarantee
    smallest_target: float | None = None  # if infeasible: what this data could have promised
    rows_needed: int | None = None  # if infeasible: calibrate rows that would probably do

    def __str__(self) -> str:
        return self.reason

    def accept(self, confidence: ArrayLike) -> Bool[Array, " n"]:
        """Which examples to accept; confidences are compared as float32, as in the fit."""
        return accept(confidence, self.threshold)

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON, where an infinite threshold becomes null."""
        return asdict(self)


def accept(confidence: ArrayLike, threshold: ArrayLike) -> Bool[Array, " n"]:
    """Confidence >= threshold, both as float32; a threshold of +inf accepts nothing at all."""
    t = np.asarray(threshold, np.float32)
    return (check_confidence(confidence).astype(np.float32) >= t) & (t < np.inf)


def counted(n: int, accepted: int, errors: float, unit: str) -> str:
    """What the calibrate split showed, in words."""
    seen = f"{accepted} of {n} calibrate {unit} accepted"
    if isinstance(errors, int):
        return f"{seen}, {errors} of them wrong"
    return f"{seen}, mean loss {errors / max(accepted, 1):.4g}"


def no_guarantee(seen: str) -> str:
    """The words for a void promise, of any kind."""
    return f"No guarantee: tune and calibrate share examples ({seen})."


def sure(delta: float) -> str:
    """The confidence of a promise in percent, never more than it has: four digits of delta.

    >>> sure(0.05), sure(0.05 / 3), sure(1e-6 / 7), sure(1e-300)
    ('95 %', '98.333 %', '99.99998571 %', '99.99999999999999999999 %')
    """
    share = max(Decimal(f"{delta:.12g}") * 100, SMALLEST)
    shown = share.quantize(Decimal(1).scaleb(share.adjusted() - 3), rounding=ROUND_CEILING)
    return f"{(100 - shown).normalize():f} %"


def percent(x: float) -> str:
    """Percent with all its digits: what is promised is never rounded to 100 %."""
    return f"{np.format_float_positional(round(100 * x, 9), trim='-')} %"
