"""Decisions on a file, counted, beside what was guaranteed.

n = predictions that are not ignored.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from recuse.bounds import clopper_pearson_interval
from recuse.errors import InputError
from recuse.io import LogitsFile
from recuse.rejector._rejector import Predictions, Rejector
from recuse.rejector._rules import ALL, SUBGROUP, spread
from recuse.selectors import SubgroupRow, subgroup_table
from recuse.selectors._goals import cost_interval

if TYPE_CHECKING:
    from numpy import ndarray as Array

Interval = tuple[float, float]


@dataclass(frozen=True)
class Summary:
    """Counts and exact 95 % intervals; None where there are no labels or rows are dependent."""

    guarantee: Any
    delta: float
    by: str
    n: int
    accepted: int
    independent: bool  # whether rows are, so that there are intervals
    coverage_interval: Interval | None
    labelled: bool
    errors: int | None = None  # of the accepted
    risk: float | None = None  # None, too, if nothing is accepted
    risk_interval: Interval | None = None
    error_without_rejector: float | None = None
    cost: float | None = None  # of a guaranteed cost: the mean one
    cost_interval: Interval | None = None
    seen_in_fit: str | None = None  # "tune" or "calibrate": the split that a file is
    seen_file: str | None = None  # its name
    table: tuple[SubgroupRow, ...] = ()  # of rules for classes or subgroups
    unknown: tuple[str, ...] = ()  # subgroups without calibration rows

    @property
    def coverage(self) -> float:
        """Fraction accepted."""
        return self.accepted / self.n

    @property
    def compared(self) -> tuple[Interval, float] | None:
        """The interval of what is guaranteed, and the guaranteed number; None if there is none."""
        g = self.guarantee
        interval = getattr(self, f"{g.kind}_interval")
        if g.void or interval is None:
            return None
        level = {"risk": "target_risk", "coverage": "coverage", "cost": "upper"}[g.kind]
        return interval, getattr(g, level)

    @property
    def kept(self) -> bool | None:
        """Whether the interval is in line with the guarantee; None if nothing is compared."""
        if self.compared is None:
            return None
        (low, high), level = self.compared
        return high >= level if self.guarantee.kind == "coverage" else low <= level

    @property
    def above(self) -> list[Any]:
        """Subgroups whose risk interval lies above the guaranteed risk."""
        target = self.guarantee.target_risk
        return [row.subgroup for row in self.table[1:] if row.risk_interval[0] > target]

    def to_dict(self) -> dict[str, Any]:
        """Return plain data for JSON."""
        names = ["n", "accepted", "coverage", "coverage_interval", "delta"]
        if self.labelled:
            names += ["errors", "risk", "risk_interval", "error_without_rejector"]
            names += ["seen_in_fit", "seen_file"]
            names += ["cost", "cost_interval"] if self.guarantee.kind == "cost" else []
        plain: dict[str, Any] = {name: getattr(self, name) for name in names}
        plain |= {
            "statement": str(self.guarantee),
            "guarantee": {"kind": self.guarantee.kind, **self.guarantee.to_dict()},
        }
        if self.guarantee.kind == "risk":
            plain["target_risk"] = self.guarantee.target_risk
        if self.labelled and not self.accepted:
            plain["reason"] = "risk is undefined: nothing was accepted"
        if self.by != ALL:
            plain["subgroups"] = [row._asdict() for row in self.table]
        return plain


def summarize(
    file: LogitsFile,
    predictions: Predictions,
    rejector: Rejector,
    subgroups: Array | None = None,
    shards: Sequence[LogitsFile] = (),
) -> Summary:
    """Count the decisions on a file, with its errors where it has labels.

    Args:
        file: Rows with or without labels.
        predictions: Of its rows, by the rejector.
        rejector: With the guarantee to compare with.
        subgroups: Shape (n,), as in `Rejector.predict`.
        shards: Parts of the file, one of which may be a split of the fit.

    Raises:
        InputError: Every label is ignored.
    """
    counted = _counted(file, predictions)
    accepted = predictions.accept & counted
    n, taken = int(counted.sum()), int(accepted.sum())
    independent = file.predictions().groups is None

    def interval(k: int, n: int) -> Interval | None:
        return clopper_pearson_interval(k, n) if n and independent else None

    found: dict[str, Any] = {
        "guarantee": rejector.guarantee,
        "delta": rejector.delta,
        "by": rejector.by,
        "n": n,
        "accepted": taken,
        "independent": independent,
        "coverage_interval": interval(taken, n),
        "labelled": file.labels is not None,
    }
    wrong = np.zeros(predictions.accept.shape, bool)
    if file.labels is not None:
        wrong = (predictions.prediction != file.labels) & counted
        errors = int((wrong & accepted).sum())
        found |= {
            "errors": errors,
            "risk": errors / taken if taken else None,
            "risk_interval": interval(errors, taken),
            "error_without_rejector": float(wrong.sum() / n),
            **_seen_in_fit((file, *shards), rejector),
        }
        if rejector.guarantee.kind == "cost":
            found |= _cost(rejector.guarantee, n, taken, errors, independent)
    if rejector.by != ALL:
        by_class = predictions.prediction
        of = by_class if subgroups is None else spread(subgroups, by_class.shape)
        loss = wrong[counted].astype(float)
        found["table"] = subgroup_table(predictions.accept[counted], loss, of[counted])
    if rejector.by == SUBGROUP:
        known = {rule.subgroup for rule in rejector.rules}
        rows = found["table"][1:]
        found["unknown"] = tuple(str(r.subgroup) for r in rows if r.subgroup not in known)
    return Summary(**found)


def _counted(file: LogitsFile, p: Predictions) -> Array:
    """Return which predictions are not to be ignored."""
    if file.labels is None or file.ignore_index is None:
        return np.ones(p.accept.shape, bool)
    counted = file.labels != file.ignore_index
    if not counted.any():
        raise InputError(f"{file.name}: every label is the ignored {file.ignore_index}")
    return counted


def _cost(g: Any, n: int, accepted: int, errors: int, independent: bool) -> dict[str, Any]:
    """Return the observed mean cost, and its interval where rows are independent."""
    spent = errors * g.cost_error + (n - accepted) * g.cost_abstain
    interval = cost_interval(g, n, accepted, errors) if independent else None
    return {"cost": spent / n, "cost_interval": interval}


def _seen_in_fit(files: Sequence[LogitsFile], rejector: Rejector) -> dict[str, str | None]:
    """Return which split of the fit a file is, if any: its error is then no unbiased test."""
    splits = {split["digest"]: name for name, split in rejector.splits.items()}
    for file in files:
        if (name := splits.get(file.predictions().digest)) is not None:
            return {"seen_in_fit": name, "seen_file": file.name}
    return {}
