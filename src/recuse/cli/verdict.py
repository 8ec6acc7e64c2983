"""What `recuse predict` found, counted, beside what was promised."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from recuse.bounds import clopper_pearson_lower, clopper_pearson_upper
from recuse.cli import per
from recuse.errors import InputError
from recuse.io import LogitsFile
from recuse.present import terminal
from recuse.present.numbers import percent
from recuse.rejector import ALL, CLASS, Predictions, Rejector, spread
from recuse.selectors import GroupRow, who_is_accepted
from recuse.selectors._cost import cost_interval

if TYPE_CHECKING:
    from numpy import ndarray as Array


def summary_of(
    data: LogitsFile,
    p: Predictions,
    rejector: Rejector,
    groups: Array | None,
    parts: Sequence[LogitsFile] = (),
) -> dict[str, Any]:
    """Counts, intervals where rows are independent, and the promise; `parts` are its shards."""
    counted = _counted(data, p)
    accepted = p.accept & counted
    n, taken = int(counted.sum()), int(accepted.sum())
    alone = data.predictions().groups is None
    promise = rejector.guarantee
    summary: dict[str, Any] = {
        "n": n,
        "accepted": taken,
        "coverage": taken / n,
        "coverage_interval": _interval(taken, n, alone),
        "delta": rejector.delta,
        "guarantee": str(promise),
        "promise": {"kind": promise.kind, **promise.to_dict()},
    }
    if promise.kind == "risk":
        summary["target_risk"] = promise.target_risk
    if data.labels is not None:
        wrong = (p.label != data.labels) & counted
        errors = int((wrong & accepted).sum())
        summary |= {
            "errors": errors,
            "risk": errors / taken if taken else None,
            "risk_interval": _interval(errors, taken, alone),
            "error_without_rejector": float(wrong.sum() / n),
            **_seen_in_fit((data, *parts), rejector),
        }
        if promise.kind == "cost":
            summary |= _cost(promise, n, taken, errors, alone)
        if not taken:
            summary["reason"] = "risk is undefined: nothing was accepted"
    if rejector.by != ALL:
        summary["groups"] = [row._asdict() for row in table_of(data, p, rejector, groups)]
    return summary


def table_of(
    data: LogitsFile, p: Predictions, rejector: Rejector, groups: Array | None
) -> tuple[GroupRow, ...]:
    """Coverage and error by group; errors are 0 where there are no labels."""
    of = p.label if groups is None else spread(groups, p.label.shape)
    wrong = np.zeros(p.label.shape) if data.labels is None else p.label != data.labels
    counted = _counted(data, p)
    return who_is_accepted(p.accept[counted], wrong[counted].astype(float), of[counted])


def _counted(data: LogitsFile, p: Predictions) -> Array:
    """Predictions that are not to be ignored."""
    if data.labels is None or data.ignore_index is None:
        return np.ones(p.accept.shape, bool)
    counted = data.labels != data.ignore_index
    if not counted.any():
        raise InputError(f"{data.name}: every label is the ignored {data.ignore_index}")
    return counted


def _interval(k: int, n: int, alone: bool) -> list[float] | None:
    """The exact 95 % interval of a rate; None where rows depend on each other."""
    if n == 0 or not alone:
        return None
    limits = (clopper_pearson_lower, clopper_pearson_upper)
    return [float(limit(k, n, 0.025)) for limit in limits]


def _cost(promise: Any, n: int, accepted: int, errors: int, alone: bool) -> dict[str, Any]:
    """The mean cost that came about, and its interval where rows are independent."""
    spent = errors * promise.cost_error + (n - accepted) * promise.cost_abstain
    interval = list(cost_interval(promise, n, accepted, errors)) if alone else None
    return {"cost": spent / n, "cost_interval": interval}


def _seen_in_fit(files: Sequence[LogitsFile], rejector: Rejector) -> dict[str, str | None]:
    """Which split of the fit a file is, if any, and which file: its error is then no test."""
    splits = {split["digest"]: name for name, split in rejector.splits.items()}
    for file in files:
        if (name := splits.get(file.predictions().digest)) is not None:
            return {"seen_in_fit": name, "seen_file": file.name}
    return {"seen_in_fit": None, "seen_file": None}


def tell(summary: Mapping[str, Any], rejector: Rejector, out: Path | None) -> None:
    """The summary in words."""
    terminal.say(
        f"{summary['accepted']:,} of {summary['n']:,} predictions accepted "
        f"({percent(summary['coverage'], 1)}), {summary['n'] - summary['accepted']:,} abstained."
    )
    if summary.get("risk") is not None:
        terminal.say(
            f"Of the accepted, {summary['errors']:,} are wrong ({percent(summary['risk'], 1)}); "
            f"without abstaining it would be {percent(summary['error_without_rejector'], 1)}."
        )
    if (sentence := _compared(summary, rejector.guarantee)) is not None:
        terminal.say(sentence)
    if summary.get("seen_in_fit"):
        name, split = summary["seen_file"], summary["seen_in_fit"]
        terminal.say(f"{name} is the {split} split of the fit: it is no test.")
    terminal.say(str(rejector))
    if out is not None:
        terminal.say(f"Written to {out}.")


def _compared(summary: Mapping[str, Any], promise: Any) -> str | None:
    """What was promised beside what came about; None without labels, or with dependent rows."""
    if promise.void:
        return None
    what = {"risk": "error", "coverage": "coverage", "cost": "mean cost"}[promise.kind]
    interval = summary.get(f"{promise.kind}_interval")
    if interval is None:
        return None
    if promise.kind == "coverage":
        held, broken, level = interval[1] >= promise.coverage, "below", promise.coverage
    elif promise.kind == "cost":
        held, broken, level = interval[0] <= promise.upper, "above", promise.upper
    else:
        held, broken, level = interval[0] <= promise.target_risk, "above", promise.target_risk
    low, high, level = (_number(x, promise.kind) for x in (*interval, level))
    verdict = "in line with" if held else broken
    of = f" ({summary['cost']:.4g})" if promise.kind == "cost" else ""
    return (
        f"The 95 % interval of this {what}{of}, {low} to {high}, is {verdict} the promised {level}."
    )


def _number(x: float, kind: str) -> str:
    return f"{x:.4g}" if kind == "cost" else percent(x, 1)


def _tell_broken(rows: tuple[GroupRow, ...], target: float, names: Array | None) -> None:
    """Groups whose own interval is above what was promised to each."""
    above = [per.name_of(r.group, names) for r in rows[1:] if r.risk_interval[0] > target]
    found = f"those of {', '.join(above)} are" if above else "none is"
    terminal.say(f"Of the intervals of each risk, {found} above the promised {percent(target, 1)}.")


def tell_groups(
    data: LogitsFile,
    p: Predictions,
    rejector: Rejector,
    groups: Array | None,
    names: Array | None,
) -> None:
    """Who is accepted, and to which groups nothing was promised."""
    rows = table_of(data, p, rejector, groups)
    named = names if rejector.by == CLASS else None
    alone = data.predictions().groups is None
    per.tell(rows, rejector.by, named, judged=data.labels is not None, intervals=alone)
    if alone and data.labels is not None:
        _tell_broken(rows, rejector.guarantee.target_risk, named)
    if rejector.by == CLASS:
        return
    known = {rule.of for rule in rejector.rules}
    if new := [str(row.group) for row in rows[1:] if row.group not in known]:
        terminal.say(f"Not in the calibrate split, so always abstained on: {', '.join(new)}.")
