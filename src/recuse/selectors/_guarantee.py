"""Guarantees, selections and why there is none: plain data, which `present` puts into words."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from recuse._internal.check import check_confidence
from recuse.present import glance
from recuse.present import guarantee as words

if TYPE_CHECKING:
    from jaxtyping import Bool
    from numpy import ndarray as Array
    from numpy.typing import ArrayLike

ROWS, GROUPS = UNITS = ("rows", "groups")  # that are counted: rows, or groups by one row of each
ACCEPTED, ALL_PREDICTIONS = AMONG = ("accepted", "all")  # of which a target risk is a share
# Assumptions of a guarantee
IID_ROWS = "iid_rows"  # calibration rows are i.i.d. samples from the deployment distribution
IID_GROUPS = "iid_groups"  # groups are; one random row of each was used
GROUP_MEANS = "group_means"  # groups are; each counts once, by the mean of its rows
OUT_OF_FOLD = "out_of_fold"  # rows that models of folds predicted stand for those of a model of all
ADAPTIVE_SEARCH_UNPROVED = "adaptive_search_unproved"  # no union bound proves it


@dataclass(frozen=True)
class Guarantee:
    """P(risk > target_risk) <= delta, and the counts that show it.

    The risk is the share of wrong predictions among the accepted ones or, with `among="all"`, the
    share of all predictions that are accepted and wrong.
    """

    kind: ClassVar[str] = "risk"

    target_risk: float
    delta: float
    method: str
    n: int  # calibration rows, or groups with one row each
    accepted: int  # of them
    errors: float  # of the accepted: an integer for 0-1 losses, otherwise their summed loss
    assumptions: tuple[str, ...] = (IID_ROWS,)
    unit: str = ROWS  # or "groups"
    simultaneous: int = 1  # guarantees that hold at once, with confidence 1 - delta * simultaneous
    points: int | None = None  # of the band it was read from: thresholds whose limits hold at once
    void: bool = False  # fitted on data that must not be used for it
    ungrouped: tuple[str, ...] = ()  # columns that repeat, though rows are taken as independent
    share: float = 1.0  # of delta, of this score among several that were fixed beforehand
    among: str = ACCEPTED  # or "all"
    bets: str = field(default="", repr=False)  # of betting: the losses bet on, in their order

    @property
    def coverage(self) -> float:
        """Fraction of the calibration split that is accepted."""
        return self.accepted / self.n

    @property
    def spent(self) -> float:
        """What its test may spend of delta."""
        return self.share * self.delta

    def __str__(self) -> str:
        return words.sentence(self)

    def to_dict(self) -> dict[str, Any]:
        """Return plain data for JSON."""
        return plain(self)


@dataclass(frozen=True)
class AverageGuarantee:
    """E[loss of a prediction, 0 where it abstains] <= target_risk, over calibration splits too."""

    kind: ClassVar[str] = "average"
    among: ClassVar[str] = ALL_PREDICTIONS

    target_risk: float
    n: int  # calibration rows
    accepted: int  # of them
    errors: float  # of the accepted: an integer for 0-1 losses, otherwise their summed loss
    assumptions: tuple[str, ...] = (IID_ROWS,)
    unit: str = ROWS

    def __str__(self) -> str:
        return words.average_sentence(self)

    def to_dict(self) -> dict[str, Any]:
        """Return plain data for JSON."""
        return plain(self)


@dataclass(frozen=True)
class CoverageGuarantee:
    """P(fraction accepted < coverage) <= delta; it says nothing about the risk."""

    kind: ClassVar[str] = "coverage"

    coverage: float  # guaranteed
    delta: float
    n: int  # calibration rows, or groups with one row each
    accepted: int  # of them
    rank: int | None  # of the threshold, from above; None if everything is accepted
    assumptions: tuple[str, ...] = (IID_ROWS,)
    unit: str = ROWS
    void: bool = False
    ungrouped: tuple[str, ...] = ()

    def __str__(self) -> str:
        return words.sentence(self)

    def to_dict(self) -> dict[str, Any]:
        """Return plain data for JSON."""
        return plain(self)


@dataclass(frozen=True)
class CostGuarantee:
    """P(mean cost of a prediction > upper) <= delta; each number follows from the counts."""

    kind: ClassVar[str] = "cost"

    cost_error: float
    cost_abstain: float
    upper: float | None  # of the mean cost; None: nothing is guaranteed
    stake: float | None  # of the bets behind `upper`, in (0, 1], fixed by the tuning split
    delta: float
    n: int  # calibration rows, or groups with one row each
    accepted: int  # of them
    errors: int  # of the accepted
    assumptions: tuple[str, ...] = (IID_ROWS,)
    unit: str = ROWS
    void: bool = False
    ungrouped: tuple[str, ...] = ()

    @property
    def cost(self) -> float:
        """Mean cost of a calibration row."""
        spent = self.errors * self.cost_error + (self.n - self.accepted) * self.cost_abstain
        return spent / self.n

    def __str__(self) -> str:
        return words.sentence(self)

    def to_dict(self) -> dict[str, Any]:
        """Return plain data for JSON."""
        return plain(self)


@dataclass(frozen=True)
class MeanCostGuarantee:
    """P(mean cost of a prediction, abstentions included, > upper) <= delta, from summed costs."""

    kind: ClassVar[str] = "mean_cost"

    upper: float  # in the unit of the costs
    delta: float
    n: int  # calibration rows, or groups with one row each
    accepted: int  # of them
    spent: float  # summed cost of the decisions on them
    answering: float  # the same if every row were answered
    abstaining: float  # the same if none were
    largest: float  # cost that a decision can have
    assumptions: tuple[str, ...] = (IID_ROWS,)
    unit: str = ROWS
    void: bool = False
    ungrouped: tuple[str, ...] = ()

    @property
    def cost(self) -> float:
        """Mean cost of a calibration row."""
        return self.spent / self.n

    def __str__(self) -> str:
        return words.sentence(self)

    def to_dict(self) -> dict[str, Any]:
        """Return plain data for JSON."""
        return plain(self)


@dataclass(frozen=True)
class MissGuarantee:
    """P(share of a true class that is answered with another class > target) <= delta.

    An example that is abstained on is not missed.
    """

    kind: ClassVar[str] = "misses"

    label: int  # the true class
    name: str  # its name, or its index as text
    target: float
    delta: float  # of this guarantee alone
    n: int  # calibration rows of the class, or groups whose row is
    missed: int  # of them: accepted, and another class predicted

    def to_dict(self) -> dict[str, Any]:
        """Return plain data for JSON."""
        return {name: value for name, value in asdict(self).items() if name != "name"}


@dataclass(frozen=True)
class MissesOnly:
    """Counts of a threshold for which nothing but limits of misses is guaranteed."""

    kind: ClassVar[str] = "misses"

    delta: float  # of all limits together
    n: int  # calibration rows, or groups with one row each
    accepted: int  # of them
    errors: int  # of the accepted
    assumptions: tuple[str, ...] = (IID_ROWS,)
    unit: str = ROWS
    void: bool = False
    ungrouped: tuple[str, ...] = ()
    share: float = 1.0  # of delta, of this score among several that were fixed beforehand

    def __str__(self) -> str:
        return words.sentence(self)

    def to_dict(self) -> dict[str, Any]:
        """Return plain data for JSON."""
        return plain(self)


def plain(guarantee: Any) -> dict[str, Any]:
    """Return fields for JSON, rare ones only where they say something."""
    fields: dict[str, Any] = asdict(guarantee) | {"assumptions": list(guarantee.assumptions)}
    usual = {"ungrouped": (), "share": 1.0, "among": ACCEPTED, "bets": ""}
    rare = {name: fields.pop(name) for name in usual if name in fields}
    said = {name: value for name, value in rare.items() if value != usual[name]}
    return fields | {k: list(v) if isinstance(v, tuple) else v for k, v in said.items()}


AnyGuarantee = Guarantee | CoverageGuarantee | CostGuarantee | MeanCostGuarantee | MissesOnly


@dataclass(frozen=True)
class Infeasible:
    """Why no threshold has the guarantee, and what would be feasible."""

    smallest_target: float | None = None  # that this data would have passed; None: none
    rows_needed: int | None = None  # calibration rows that would probably be enough
    tuning_rows_too: bool = False  # and as many tuning rows besides
    of_file: bool = False  # or rows of one file, of which `fit` may take some to tune
    error_free_rows: int | None = None  # accepted without an error, that pass one test
    hopeless: bool = False  # the risk is above the target at every threshold
    reliable: bool = False  # the smallest target holds as it is: it is the limit of a band
    note: str | None = None  # the sentence that version 0.1 wrote instead
    # of no `rows_needed`: "groups", "misses", "losses", "above" the target, or "enough" as it is
    no_estimate: str | None = None


@dataclass(frozen=True)
class InfeasibleMisses:
    """Why the misses of a class cannot be limited to the target, and what would be feasible."""

    name: str  # of the class
    target: float
    delta: float
    n: int  # calibration rows of the class
    error_free_rows: int  # of the class, that pass if none is missed
    smallest_target: float | None  # that this data would have passed; None: none
    rows_needed: ClassVar[None] = None


@dataclass(frozen=True, repr=False)
class Selection(glance.AtAGlance):
    """A threshold with its guarantee; or, where `feasible` is False, why there is none."""

    threshold: float  # a float32 value; accept when confidence >= threshold; +inf if infeasible
    guarantee: Any  # Guarantee; of `select_coverage`, `select_cost`, `select_on_average`, theirs
    # why there is none; of misses `InfeasibleMisses`, which has the same `smallest_target`
    infeasible: Any = None
    misses: tuple[Any, ...] = ()  # a `MissGuarantee` for each class whose misses are limited

    @property
    def feasible(self) -> bool:
        """Whether there is a threshold with this guarantee."""
        return self.infeasible is None

    @property
    def smallest_target(self) -> float | None:
        """If infeasible, the smallest target risk that this data would have passed."""
        return None if self.infeasible is None else self.infeasible.smallest_target

    @property
    def rows_needed(self) -> int | None:
        """If infeasible, the calibration rows that would probably be enough.

        After `fit` on one file, the rows of a file.
        """
        return None if self.infeasible is None else self.infeasible.rows_needed

    @property
    def reason(self) -> str:
        """The guarantee in one sentence; if infeasible, why and what would be feasible."""
        return words.outcome(self.guarantee, self.infeasible, self.misses)

    def __str__(self) -> str:
        return self.reason

    def _card(self) -> glance.Card:
        return glance.selection(self)

    def accept(self, confidence: ArrayLike) -> Bool[Array, " n"]:
        """Return which examples to accept; confidences are compared as float32, as in the fit."""
        return accept(confidence, self.threshold)

    def to_dict(self) -> dict[str, Any]:
        """Return plain data for JSON, where an infinite threshold becomes null."""
        infeasible = None if self.infeasible is None else asdict(self.infeasible)
        guarantee = {"kind": self.guarantee.kind, **self.guarantee.to_dict()}
        body = {
            "feasible": self.feasible,
            "threshold": self.threshold,
            "guarantee": guarantee,
            "infeasible": infeasible,
        }
        return body | ({"misses": [m.to_dict() for m in self.misses]} if self.misses else {})


def accept(confidence: ArrayLike, threshold: ArrayLike) -> Bool[Array, " n"]:
    """Return confidence >= threshold, both as float32; +inf accepts nothing at all."""
    t = np.asarray(threshold, np.float32)
    return (check_confidence(confidence).astype(np.float32) >= t) & (t < np.inf)
