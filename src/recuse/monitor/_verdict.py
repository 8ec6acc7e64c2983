"""What a monitor has to say: counts, evidence and advice."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

RISK, MORE, FEWER = "risk", "more accepted", "fewer accepted"
ADVICE = {
    RISK: "The error rate of accepted predictions is above the target. Stop using accepted "
    "predictions without review; look at the newest errors and at what changed in the inputs; "
    "then fit a new rejector on data like today's and start a new state.",
    MORE: "More predictions are accepted than for data like the calibrate split, so the inputs "
    "have changed and the promise does not cover them. Have a sample of newly accepted "
    "predictions labelled at once; if inputs are to stay so, fit a new rejector on them.",
    FEWER: "Fewer predictions are accepted than for data like the calibrate split, so the inputs "
    "have changed and the promise does not cover them. Check how they are made and prepared; if "
    "they are to stay so, fit a new rejector on them.",
}
NO_PROMISE = (
    "The rejector promises nothing, since tune and calibrate share examples: its target and its "
    "acceptance rate are tested all the same."
)
POOLED = {"class": "predicted class", "subgroup": "subgroup"}


@dataclass(frozen=True)
class Verdict:
    """Alarm or not, and why. An alarm stays: it is for this rejector and its state."""

    alarms: tuple[str, ...]  # among `RISK`, `MORE`, `FEWER`
    n: int  # predictions
    accepted: int
    labelled: int  # of the accepted
    errors: int  # of the labelled
    target_risk: float
    delta: float  # of all tests together
    order: str  # "prediction" or "arrival"
    interval: tuple[float, float]  # of the mean risk, at all times together, 1 - delta
    calibrate: tuple[float, float]  # limits of the acceptance rate for data like calibrate
    log_e: dict[str, float]  # log e-value of each test, the largest so far
    limit: dict[str, float]  # the e-value that is an alarm
    void: bool = False  # the rejector promises nothing: its splits share examples
    by: str = "all"  # or "class", "subgroup": whose guarantees of their own are tested together

    @property
    def alarm(self) -> bool:
        """Whether any test refuses."""
        return bool(self.alarms)

    @property
    def pending(self) -> int:
        """Accepted predictions without a label."""
        return self.accepted - self.labelled

    @property
    def risk(self) -> float:
        """Errors of the labelled; NaN if there are none."""
        return self.errors / self.labelled if self.labelled else math.nan

    @property
    def coverage(self) -> float:
        """Fraction accepted; NaN without predictions."""
        return self.accepted / self.n if self.n else math.nan

    @property
    def e_value(self) -> dict[str, float]:
        """The e-values, as far as a float goes."""
        return {name: math.exp(min(log, 700.0)) for name, log in self.log_e.items()}

    @property
    def advice(self) -> tuple[str, ...]:
        """What each alarm asks for."""
        return tuple(ADVICE[name] for name in self.alarms)

    @property
    def sentence(self) -> str:
        """The verdict in one line."""
        return f"Alarm: {', '.join(self.alarms)}." if self.alarms else "No alarm."

    @property
    def scope(self) -> str | None:
        """What the tests leave out of a promise, or that there is none; None if nothing."""
        said = []
        if self.void:
            said.append(NO_PROMISE)
        if self.by in POOLED:
            said.append(
                "The error rate tested is that of all accepted predictions together: that of one "
                f"{POOLED[self.by]} alone may be above the target without an alarm."
            )
        return " ".join(said) or None

    def __str__(self) -> str:
        return " ".join((self.sentence, *self.advice, *([self.scope] if self.scope else [])))

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON; what is undefined is NaN, which `_files.to_json` writes as null."""
        names = ("alarm", "pending", "risk", "coverage", "e_value", "advice", "sentence", "scope")
        out = asdict(self) | {name: getattr(self, name) for name in names}
        reason = "no label is known" if not self.labelled else None
        return out if reason is None else out | {"reason": f"risk is undefined: {reason}"}
