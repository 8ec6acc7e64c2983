"""Verdicts: plain data, which `present` puts into words."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

from recuse.present import monitor as words


class Update(NamedTuple):
    """How much of some rows was new; a repeated row counts in the first field only."""

    rows: int
    predictions: int  # new ones
    labels: int  # new ones, of accepted predictions


@dataclass(frozen=True)
class Counts:
    """Counts of predictions."""

    n: int
    accepted: int
    labelled: int  # of the accepted
    errors: float | None  # wrong ones of the labelled; None: not known

    @property
    def coverage(self) -> float:
        """Fraction accepted; NaN without predictions."""
        return self.accepted / self.n if self.n else math.nan

    @property
    def risk(self) -> float:
        """Error rate of the labelled; NaN if there are none."""
        return math.nan if self.errors is None or not self.labelled else self.errors / self.labelled

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return asdict(self) | {"coverage": self.coverage, "risk": self.risk}


@dataclass(frozen=True)
class SubgroupTest:
    """A subgroup: counts so far, those of the calibration split, and the test of its risk."""

    subgroup: int | str
    so_far: Counts
    at_fit: Counts | None  # None: the rejector does not know this subgroup
    target_risk: float
    log_e: float  # largest so far
    limit: float  # e-value from which there is an alarm; infinite: nothing to test
    alarm: bool

    @property
    def e_value(self) -> float:
        """E-value, capped where a float ends."""
        return math.exp(min(self.log_e, 700.0))

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return {
            "subgroup": self.subgroup,
            **self.so_far.to_dict(),
            "at_fit": None if self.at_fit is None else self.at_fit.to_dict(),
            "target_risk": self.target_risk,
            "expected_errors": self.target_risk * self.so_far.labelled,
            "log_e": self.log_e,
            "e_value": self.e_value,
            "limit": self.limit,
            "alarm": self.alarm,
        }


@dataclass(frozen=True)
class Seen:
    """When an alarm was first seen."""

    n: int  # predictions so far
    time: str | None  # the last one of the rows so far, ISO


@dataclass(frozen=True)
class Verdict:
    """Alarm or not, and the evidence. An alarm stays for this rejector and its state."""

    alarms: tuple[str, ...]  # among `RISK`, `MORE`, `FEWER` and "risk of " a subgroup
    n: int  # predictions
    accepted: int
    labelled: int  # of the accepted
    errors: int  # wrong ones of the labelled
    target_risk: float
    delta: float  # of all tests together
    order: str  # "prediction" or "arrival"
    # of the mean risk, anytime-valid, at level 1 - delta; None: not known of groups
    interval: tuple[float, float] | None
    # limits of the acceptance rate for data like the calibration split
    calibrate: tuple[float, float]
    log_e: dict[str, float]  # largest log e-value so far of each test
    limit: dict[str, float]  # e-value from which there is an alarm
    at_fit: Counts  # of the calibration split
    recent: Counts  # of the last 1,000 predictions or somewhat fewer
    void: bool = False  # the guarantee is void: the splits share examples
    by: str = "all"  # or "class", "subgroup": whose guarantees are tested
    misses: bool = False  # the rejector limits misses, which no test watches
    # kind of its guarantee; "all": of accepted errors among all predictions
    guaranteed: str = "risk"
    groups: int | None = None  # groups of rows so far; None: rows count as independent
    open_groups: int = 0  # whose rows still come; they are not tested yet
    late_rows: int = 0  # that came too long after the first of their group: not tested
    subgroups: tuple[SubgroupTest, ...] = ()
    period: tuple[str, str] | None = None  # first and last time, ISO
    seen: dict[str, Seen] | None = None  # alarm -> when it was first seen
    earlier: tuple[dict[str, Any], ...] = ()  # alarms and counts of rejectors before this one

    @property
    def alarm(self) -> bool:
        """Whether any test rejects."""
        return bool(self.alarms)

    @property
    def pending(self) -> int:
        """Accepted predictions without a label."""
        return self.accepted - self.labelled

    @property
    def risk(self) -> float:
        """Error rate of the labelled; NaN if there are none."""
        return self.errors / self.labelled if self.labelled else math.nan

    @property
    def coverage(self) -> float:
        """Fraction accepted; NaN without predictions."""
        return self.accepted / self.n if self.n else math.nan

    @property
    def e_value(self) -> dict[str, float]:
        """E-value of each test, capped where a float ends."""
        return {name: math.exp(min(log, 700.0)) for name, log in self.log_e.items()}

    @property
    def advice(self) -> tuple[str, ...]:
        """What to do now, if there is an alarm."""
        return words.advice(self)

    @property
    def sentence(self) -> str:
        """The verdict in one line."""
        return words.sentence(self)

    @property
    def scope(self) -> str | None:
        """What the tests do not cover; None if they cover the guarantee."""
        return words.scope(self)

    def __str__(self) -> str:
        return " ".join((self.sentence, *self.advice, *([self.scope] if self.scope else [])))

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON, with NaN for undefined numbers."""
        names = ("alarm", "pending", "risk", "coverage", "e_value", "advice", "sentence", "scope")
        out = asdict(self) | {name: getattr(self, name) for name in names}
        out |= {name: getattr(self, name).to_dict() for name in ("at_fit", "recent")}
        out["subgroups"] = [test.to_dict() for test in self.subgroups]
        out["expected_errors"] = self.target_risk * self.labelled
        return out if self.labelled else out | {"reason": words.NO_RISK}
