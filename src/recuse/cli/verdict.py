"""What `recuse predict` found, counted, beside what was promised."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from recuse.bounds import clopper_pearson_lower, clopper_pearson_upper
from recuse.cli.subgroups import name_of, tell_table
from recuse.errors import InputError
from recuse.io import LogitsFile
from recuse.present import terminal
from recuse.present.numbers import percent
from recuse.rejector import ALL, CLASS, Predictions, Rejector, spread
from recuse.selectors import SubgroupRow, subgroup_table
from recuse.selectors._cost import cost_interval

if TYPE_CHECKING:
    from numpy import ndarray as Array


def summary_of(
    data: LogitsFile,
    p: Predictions,
    rejector: Rejector,
    subgroups: Array | None,
    parts: Sequence[LogitsFile] = (),
) -> dict[str, Any]:
    """Counts, intervals where rows are independent, and the promise; `parts` are its shards."""
    counted = _counted(data, p)
    accepted = p.accept & counted
    n, taken = int(counted.sum()), int(accepted.sum())
    alone = data.predictions().groups is None
    guarantee = rejector.guarantee
    summary: dict[str, Any] = {
        "n": n,
        "accepted": taken,
        "coverage": taken / n,
        "coverage_interval": _interval(taken, n, alone),
        "delta": rejector.delta,
        "statement": str(guarantee),
        "guarantee": {"kind": guarantee.kind, **guarantee.to_dict()},
    }
    if guarantee.kind == "risk":
        summary["target_risk"] = guarantee.target_risk
    if data.labels is not None:
        wrong = (p.prediction != data.labels) & counted
        errors = int((wrong & accepted).sum())
        summary |= {
            "errors": errors,
            "risk": errors / taken if taken else None,
            "risk_interval": _interval(errors, taken, alone),
            "error_without_rejector": float(wrong.sum() / n),
            **_seen_in_fit((data, *parts), rejector),
        }
        if guarantee.kind == "cost":
            summary |= _cost(guarantee, n, taken, errors, alone)
        if not taken:
            summary["reason"] = "risk is undefined: nothing was accepted"
    if rejector.by != ALL:
        summary["subgroups"] = [row._asdict() for row in table_of(data, p, rejector, subgroups)]
    return summary


def table_of(
    data: LogitsFile, p: Predictions, rejector: Rejector, subgroups: Array | None
) -> tuple[SubgroupRow, ...]:
    """Coverage and error by group; errors are 0 where there are no labels."""
    of = p.prediction if subgroups is None else spread(subgroups, p.prediction.shape)
    wrong = np.zeros(p.prediction.shape) if data.labels is None else p.prediction != data.labels
    counted = _counted(data, p)
    return subgroup_table(p.accept[counted], wrong[counted].astype(float), of[counted])


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


def _cost(guarantee: Any, n: int, accepted: int, errors: int, alone: bool) -> dict[str, Any]:
    """The mean cost that came about, and its interval where rows are independent."""
    spent = errors * guarantee.cost_error + (n - accepted) * guarantee.cost_abstain
    interval = list(cost_interval(guarantee, n, accepted, errors)) if alone else None
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


def _compared(summary: Mapping[str, Any], guarantee: Any) -> str | None:
    """What was promised beside what came about; None without labels, or with dependent rows."""
    if guarantee.void:
        return None
    what = {"risk": "error", "coverage": "coverage", "cost": "mean cost"}[guarantee.kind]
    interval = summary.get(f"{guarantee.kind}_interval")
    if interval is None:
        return None
    if guarantee.kind == "coverage":
        held, broken, level = interval[1] >= guarantee.coverage, "below", guarantee.coverage
    elif guarantee.kind == "cost":
        held, broken, level = interval[0] <= guarantee.upper, "above", guarantee.upper
    else:
        held, broken, level = interval[0] <= guarantee.target_risk, "above", guarantee.target_risk
    low, high, level = (_number(x, guarantee.kind) for x in (*interval, level))
    verdict = "in line with" if held else broken
    of = f" ({summary['cost']:.4g})" if guarantee.kind == "cost" else ""
    return (
        f"The 95 % interval of this {what}{of}, {low} to {high}, is {verdict} the promised {level}."
    )


def _number(x: float, kind: str) -> str:
    return f"{x:.4g}" if kind == "cost" else percent(x, 1)


def _tell_broken(rows: tuple[SubgroupRow, ...], target: float, names: Array | None) -> None:
    """Subgroups whose own interval is above what was promised to each."""
    above = [name_of(r.subgroup, names) for r in rows[1:] if r.risk_interval[0] > target]
    found = f"those of {', '.join(above)} are" if above else "none is"
    terminal.say(f"Of the intervals of each risk, {found} above the promised {percent(target, 1)}.")


def tell_subgroups(
    data: LogitsFile,
    p: Predictions,
    rejector: Rejector,
    subgroups: Array | None,
    names: Array | None,
) -> None:
    """Who is accepted, and to which subgroups nothing was promised."""
    rows = table_of(data, p, rejector, subgroups)
    named = names if rejector.by == CLASS else None
    alone = data.predictions().groups is None
    tell_table(rows, rejector.by, named, judged=data.labels is not None, intervals=alone)
    if alone and data.labels is not None:
        _tell_broken(rows, rejector.guarantee.target_risk, named)
    if rejector.by == CLASS:
        return
    known = {rule.subgroup for rule in rejector.rules}
    if new := [str(row.subgroup) for row in rows[1:] if row.subgroup not in known]:
        terminal.say(f"Not in the calibrate split, so always abstained on: {', '.join(new)}.")
