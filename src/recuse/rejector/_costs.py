"""Decisions by costs: the matrix as users write it, and what `fit` makes of it.

n = rows, K = classes.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from recuse._internal.check import to_numpy
from recuse._internal.files import csv_lines, csv_rows
from recuse.calibration import fit_temperature
from recuse.errors import InputError
from recuse.io import HeldOut
from recuse.io._rows import refuse_confidences
from recuse.present.numbers import listed
from recuse.present.tuning import TuningFacts
from recuse.scores import Score, without_filler
from recuse.scores._costs import EXPECTED_COST, LARGEST, cost_table
from recuse.scores._score import decided
from recuse.selectors import Selection
from recuse.selectors._costs import THRESHOLD, certify_costs, paid
from recuse.tuning._class_order import warn_of_class_order
from recuse.tuning._tune import MSP, Tuned, filler_of, order_of, warn_of_filler

if TYPE_CHECKING:
    from jaxtyping import Float
    from numpy import ndarray as Array

ABSTAIN, LABEL = "abstain", "label"
TOLERANCE = 1e-9  # of the largest cost


def read_costs(path: Path) -> dict[str, dict[str, float]]:
    """Return label -> answer -> cost of a .csv: the classes and `abstain` in its header.

    The first column names the label of each row. `costs_of` checks the names.

    Raises:
        InputError: Not such a table, a name twice, or a cell that is no number.
    """
    found: dict[str, dict[str, float]] = {}
    try:
        with csv_lines(path) as lines:
            header = [name.strip() for name in next(lines, [])]
            if len(set(header)) < len(header) or ABSTAIN not in header[1:]:
                got = ", ".join(header) or "none"
                raise InputError(
                    f"{path}: expected the columns `{LABEL}`, each class once and `{ABSTAIN}`, "
                    f"got {got}"
                )
            for cells in csv_rows(path, lines, len(header)):
                label, *costs = (cell.strip() for cell in cells)
                if label in found:
                    raise InputError(f"{path}: expected one row of each label, got {label!r} twice")
                found[label] = {k: _number(path, label, k, x) for k, x in zip(header[1:], costs)}
    except OSError as error:
        raise InputError(f"{path}: expected a table of costs, got {error.strerror}") from error
    return found


def _number(path: Path, label: str, answer: str, text: str) -> float:
    try:
        return float(text)
    except ValueError:
        where = f"{path}: label {label!r}, {answer!r}"
        raise InputError(f"{where}: expected a cost as a number, got {text!r}") from None


def costs_of(given: Any, classes: int, names: tuple[str, ...] | None) -> Float[Array, "K actions"]:
    """Return the costs, a row for each label: of each answer in their order, then of abstaining.

    Args:
        given: Label -> answer -> cost, with the answer "abstain", or an array (K, K + 1).
        classes: K.
        names: Of the classes; their numbers where there are none.

    Raises:
        InputError: Not of these classes, negative or not finite, or abstaining is never or always
            cheaper.

    >>> costs = {"healthy": {"healthy": 0, "sick": 1, "abstain": 0.3},
    ...          "sick": {"healthy": 10, "sick": 0, "abstain": 0.3}}
    >>> costs_of(costs, 2, ("sick", "healthy"))
    array([[ 0. , 10. ,  0.3],
           [ 1. ,  0. ,  0.3]])
    """
    table = _by_names(given, classes, names) if isinstance(given, Mapping) else to_numpy(given)
    if table.shape != (classes, classes + 1) or table.dtype.kind not in "iuf":
        raise InputError(
            f"expected `costs` of numbers ({classes}, {classes + 1}), a row for each label and "
            f"abstaining in the last column, got {table.dtype} {table.shape}"
        )
    table = table.astype(np.float64)
    if not (np.all(table >= 0) and 1 / LARGEST <= table.max() <= LARGEST):
        bad = table[~((table >= 0) & (table <= LARGEST))]
        got = f"{bad[0]:g}" if bad.size else f"{table.max():g} as the largest"
        raise InputError(f"expected `costs` that are finite, >= 0 and not all 0, got {got}")
    _check_abstaining(table)
    return table


def _by_names(given: Mapping, classes: int, names: tuple[str, ...] | None) -> Array:
    """Return the costs in the order of the classes, which have names or are given by number."""
    rows = {str(label): row for label, row in given.items()}
    numbers = [str(k) for k in range(classes)]
    by_number = names is None or (set(rows) == set(numbers) != set(names))
    wanted = numbers if by_number else list(names)
    _check_names("a row for each label", rows, wanted, named=names is not None)
    table = []
    for label in wanted:
        if not isinstance(rows[label], Mapping):
            raise InputError(f"expected `costs` of label {label!r} by answer, got {rows[label]!r}")
        row = {str(answer): cost for answer, cost in rows[label].items()}
        _check_names(f"of label {label!r} each answer", row, [*wanted, ABSTAIN], named=True)
        table.append([row[answer] for answer in (*wanted, ABSTAIN)])
    return np.array(table)


def _check_names(what: str, got: Mapping, wanted: list[str], *, named: bool) -> None:
    """Require these names, in any order."""
    if set(got) != set(wanted) or len(set(wanted)) < len(wanted):
        hint = "" if named else ", since the file does not name its classes"
        raise InputError(
            f"expected `costs` with {what} ({listed(wanted)}){hint}, got {listed(got)}"
        )


def _check_abstaining(costs: Float[Array, "K actions"]) -> None:
    """Refuse costs under which abstaining is always the cheapest, or never."""
    from scipy.optimize import linprog

    excess = costs[:, -1:] - costs[:, :-1]  # of abstaining, over each answer
    if (excess < 0).all():
        raise InputError(
            "expected an answer that costs less than abstaining for some label, got none: "
            "abstaining would always be cheaper"
        )
    # probabilities of the labels under which abstaining saves most: minimize t >= every excess
    classes = len(costs)
    found = linprog(
        np.r_[np.zeros(classes), 1.0],
        A_ub=np.c_[excess.T / costs.max(), -np.ones(classes)],
        b_ub=np.zeros(classes),
        A_eq=[np.r_[np.ones(classes), 0.0]],
        b_eq=[1.0],
        bounds=[(0, None)] * classes + [(None, None)],
    )
    if found.fun > -TOLERANCE:
        raise InputError(
            "expected abstaining that is cheaper than every answer for some probabilities of the "
            "labels, got none: it would never be chosen"
        )


def tune_by_costs(file: HeldOut, costs: Any, names: tuple[str, ...] | None) -> Tuned:
    """Return the score `expected_cost`, at the temperature that fits these rows best.

    Where every prediction is right, no temperature does, and it stays 1. Rows whose label is
    impossible (-inf) say nothing of a temperature, and are left out.
    """
    refuse_confidences(file.kind, "costs are of classes")
    table = costs_of(costs, file.logits.shape[1], names)
    filler, order = filler_of(file), order_of(file)
    z = without_filler(file.logits, filler)
    if filler is not None:
        warn_of_filler(file.name, z, filler)
    if order is not None:
        warn_of_class_order(file.name, order)
    labels = file.labelled()[1]
    possible = np.isfinite(z[np.arange(len(z)), labels].astype(np.float64))
    fitted = fit_temperature(z[possible], labels[possible])
    fits = fitted.bound != "lower"
    temperature = fitted.value if fits else 1.0
    score = Score(
        EXPECTED_COST, {"temperature": temperature, "costs": tuple(table.ravel().tolist())}
    )
    answered = np.ones(len(file), bool)
    before = float(paid(table, labels, file.predicted, answered).mean())
    facts = TuningFacts(
        "costs" if fits else "costs_as_given",
        "cost",
        None,
        msp=before,
        n=len(file),
        errors=int(file.loss.sum()),
        units=len(file) if file.groups is None else np.unique(file.groups).size,
    )
    return Tuned(score, ((MSP, before),), facts, file.digest, (), filler, order)


def select_by_costs(tuned: Tuned, used: HeldOut, delta: float) -> Selection:
    """Limit the mean cost of the decisions on calibration rows, one of each group."""
    prediction, confidence, _ = decided(tuned.masked(used.logits), tuned.score)
    table = cost_table(tuned.score.params["costs"])
    return certify_costs(table, used.labelled()[1], prediction, confidence >= THRESHOLD, delta)
