"""Decisions on a file: counted, beside what was guaranteed, and explained one by one.

n = rows or predictions that are not ignored, K = classes, r = rows asked for, f = features of a
learned score.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from recuse._internal.files import hashes
from recuse.bounds import clopper_pearson_interval, hoeffding_bentkus_upper
from recuse.errors import InputError
from recuse.io import HeldOut
from recuse.io._overlap import share_of_sample
from recuse.io._rows import LOSSES, refuse_confidences
from recuse.rejector._misses import MissCount, count_misses
from recuse.rejector._model import ModelChange
from recuse.rejector._prepare import index_of_one
from recuse.rejector._rejector import Predictions, Rejector, row_samples_of
from recuse.rejector._rules import ALL, CLASS, SUBGROUP, spread
from recuse.scores import FEATURES, Score, features, predict, without_filler
from recuse.scores._costs import EXPECTED_COST, cost_table, expected_costs
from recuse.selectors import SubgroupRow, subgroup_table
from recuse.selectors._costs import mean_cost_interval, paid
from recuse.selectors._goals import cost_interval
from recuse.selectors._guarantee import ACCEPTED, ALL_PREDICTIONS, GROUPS

if TYPE_CHECKING:
    from jaxtyping import Float, Int
    from numpy import ndarray as Array
    from numpy.typing import ArrayLike

Interval = tuple[float, float]
COSTS = ("cost", "mean_cost")  # kinds of a guarantee
CHANGED = 1e-6  # p-value from which on another coverage than in calibration is no chance
POINTS, FACTOR = 0.1, 2.0  # and it matters: by so much coverage, or so many times as many


@dataclass(frozen=True)
class CoverageChange:
    """What is accepted of a file beside what was accepted of the calibration split.

    Both count independent units: rows, or one row of each group. Where calibration had groups and
    the file has none, its rows count as groups of the size that calibration had.
    """

    accepted: int
    n: int
    calibrated_accepted: int
    calibrated_n: int
    subgroup: int | str | None = None  # the one that differs most, where there are subgroups
    compared: int = 1  # subgroups

    @property
    def coverage(self) -> float:
        """Fraction of the file that is accepted."""
        return self.accepted / self.n

    @property
    def calibrated(self) -> float:
        """Fraction of the calibration split that was accepted."""
        return self.calibrated_accepted / self.calibrated_n

    @property
    def p_value(self) -> float:
        """Two-sided exact p-value of equal coverages, times the number of comparisons."""
        one = _fisher(self.accepted, self.n, self.calibrated_accepted, self.calibrated_n)
        return min(1.0, self.compared * one)

    @property
    def changed(self) -> bool:
        """Whether coverage differs by chance in less than 1e-6 of files, and so that it matters."""
        a, b = self.coverage, self.calibrated
        pairs = ((a, b), (1 - a, 1 - b))  # of the accepted, of the abstained
        matters = abs(a - b) >= POINTS or any(max(p) >= FACTOR * min(p) for p in pairs if max(p))
        return matters and self.p_value < CHANGED

    def to_dict(self) -> dict[str, Any]:
        """Return plain data for JSON."""
        names = ("coverage", "calibrated", "p_value", "changed")
        return asdict(self) | {name: getattr(self, name) for name in names}


@dataclass(frozen=True)
class Summary:
    """Counts and exact 95 % intervals; None where there are no labels or rows are dependent.

    Where the guarantee counts groups, intervals are those of one random row of each group.
    """

    guarantee: Any
    statement: str  # all that is guaranteed, in words
    delta: float
    by: str
    n: int
    accepted: int
    independent: bool  # whether rows are
    coverage_interval: Interval | None
    labelled: bool
    errors: float | None = None  # of the accepted: an integer, or a float, their summed loss
    risk: float | None = None  # None, too, if nothing is accepted
    risk_interval: Interval | None = None
    joint_interval: Interval | None = None  # of the share accepted and wrong, where guaranteed
    misses: tuple[MissCount, ...] = ()  # of classes whose misses are limited
    error_without_rejector: float | None = None
    cost: float | None = None  # of a guaranteed (mean) cost: that of these rows
    cost_interval: Interval | None = None
    seen_in_fit: str | None = None  # "tune" or "calibrate": the split that a file is
    seen_file: str | None = None  # its name
    seen_share: float | None = None  # of a sample of the split: less than the whole, or resaved
    table: tuple[SubgroupRow, ...] = ()  # of rules for classes or subgroups
    unknown: tuple[str, ...] = ()  # subgroups without calibration rows
    groups: int | None = None  # of dependent rows
    one_of_each: tuple[int, int] | None = None  # accepted, and errors, of one row of each group
    change: CoverageChange | None = None  # None if no subgroup of calibration is in the file
    model_changes: tuple[ModelChange, ...] = ()  # from the outputs of the model of the fit

    @property
    def coverage(self) -> float:
        """Fraction accepted."""
        return self.accepted / self.n

    @property
    def joint(self) -> bool:
        """Whether the share of all predictions that are accepted and wrong is guaranteed."""
        return getattr(self.guarantee, "among", ACCEPTED) == ALL_PREDICTIONS

    @property
    def compared(self) -> tuple[Interval, float] | None:
        """The interval of what is guaranteed, and the guaranteed number; None if there is none."""
        g = self.guarantee
        if g.kind == "misses":
            return None
        of = {"mean_cost": "cost"}.get(g.kind, g.kind)
        interval = self.joint_interval if self.joint else getattr(self, f"{of}_interval")
        if g.void or interval is None:
            return None
        level = {"risk": "target_risk", "coverage": "coverage"}.get(g.kind, "upper")
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
        """Subgroups whose risk interval lies above the risk that is guaranteed for them."""
        g = self.guarantee

        def target(row: SubgroupRow) -> float:
            return g.each[row.subgroup].target_risk if row.subgroup in g.each else g.target_risk

        def lowest(row: SubgroupRow) -> float:
            of_all = clopper_pearson_interval(row.errors, row.n)
            return (of_all if self.joint else row.risk_interval)[0]

        return [row.subgroup for row in self.table[1:] if lowest(row) > target(row)]

    def to_dict(self) -> dict[str, Any]:
        """Return plain data for JSON."""
        names = ["n", "accepted", "coverage", "coverage_interval", "delta", "groups"]
        names += ["one_of_each"] if self.one_of_each is not None else []
        if self.labelled:
            names += ["errors", "risk", "risk_interval", "error_without_rejector"]
            names += ["cost", "cost_interval"] if self.guarantee.kind in COSTS else []
            names += ["joint_interval"] if self.joint else []
        names += ["seen_in_fit", "seen_file", "seen_share"]
        plain: dict[str, Any] = {name: getattr(self, name) for name in names}
        if self.misses:
            plain["misses"] = [count._asdict() for count in self.misses]
        plain |= {
            "statement": self.statement,
            "guarantee": {"kind": self.guarantee.kind, **self.guarantee.to_dict()},
        }
        plain["model_changes"] = [change._asdict() for change in self.model_changes]
        plain["change"] = None if self.change is None else self.change.to_dict()
        if self.guarantee.kind == "risk":
            plain["target_risk"] = self.guarantee.target_risk
        if self.labelled and not self.accepted:
            plain["reason"] = "risk is undefined: nothing was accepted"
        if self.by != ALL:
            plain["subgroups"] = [row._asdict() for row in self.table]
        return plain


def summarize(
    file: HeldOut,
    predictions: Predictions,
    rejector: Rejector,
    subgroups: Array | None = None,
    shards: Sequence[HeldOut] = (),
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
    file = rejector._in_order(file)
    counted = _counted(file, predictions)
    accepted = predictions.accept & counted
    n, taken = int(counted.sum()), int(accepted.sum())
    wrong, real = np.zeros(predictions.accept.shape, bool), file.kind == LOSSES
    total: Any = (lambda x: float(x.sum())) if real else (lambda x: int(x.sum()))
    if file.labels is not None:
        wrong = file.labels if real else (predictions.prediction != file.labels) & counted
    units = _units(file)
    one, of_each = None, (n, taken, total(wrong * accepted))
    if units is not None:
        outcomes = np.stack([predictions.accept[counted], wrong[counted]], axis=1)
        one = index_of_one(HeldOut(outcomes * 1.0, groups=units), 0)
        took, failed = outcomes[one].T
        of_each = (len(one), int(took.sum()), total(took * failed))
    whole = rejector.guarantee
    certain = units is None or whole.unit == GROUPS  # what is guaranteed has an interval

    def interval(k: Any, n: int) -> Interval | None:
        of = clopper_pearson_interval if isinstance(k, int) else _interval_of_losses
        return of(k, n) if n and certain else None

    found: dict[str, Any] = {
        "guarantee": whole,
        "statement": rejector.statement,
        "delta": rejector.delta,
        "by": rejector.by,
        "n": n,
        "accepted": taken,
        "independent": units is None,
        "groups": None if one is None else len(one),
        "one_of_each": of_each[1:] if one is not None and certain else None,
        "coverage_interval": interval(of_each[1], of_each[0]),
        "labelled": file.labels is not None,
    }
    if file.labels is not None:
        errors = total(wrong * accepted)
        found |= {
            "errors": errors,
            "risk": errors / taken if taken else None,
            "risk_interval": interval(of_each[2], of_each[1]),
            "error_without_rejector": float(wrong.sum() / n),
        }
        if getattr(whole, "among", ACCEPTED) == ALL_PREDICTIONS:
            found["joint_interval"] = interval(of_each[2], of_each[0])
        if not real:
            used = one if units is not None else np.arange(n)
            given = file.labels[counted], wrong[counted], accepted[counted]
            found["misses"] = count_misses(rejector.misses, *given, used if certain else None)
        if whole.kind == "cost" and not real:
            found |= _cost(whole, (n, taken, errors), of_each if certain else None)
        if whole.kind == "mean_cost":
            costs = _paid(file, predictions, rejector.score)[counted]
            found |= _mean_cost(whole, costs, costs if one is None else costs[one], certain)
    if rejector.by != ALL:
        by_class = predictions.prediction
        of = by_class if subgroups is None else spread(subgroups, by_class.shape)
        loss = wrong[counted].astype(float)
        found["table"] = subgroup_table(predictions.accept[counted], loss, of[counted])
    if rejector.by == SUBGROUP:
        known = {rule.subgroup for rule in rejector.rules}
        rows = found["table"][1:]
        found["unknown"] = tuple(str(r.subgroup) for r in rows if r.subgroup not in known)
    found |= seen_in_fit((file, *shards), rejector)
    found["change"] = _change(file, predictions.accept[counted], one, rejector, subgroups)
    found["model_changes"] = rejector.model_changes(file)
    return Summary(**found)


def _interval_of_losses(total: float, n: int) -> Interval:
    """Return 95 % limits of a mean loss in [0, 1], by Hoeffding-Bentkus."""
    low, high = hoeffding_bentkus_upper([n - total, total], n, 0.025)
    return 1 - float(low), float(high)


def _units(file: HeldOut) -> Array | None:
    """Return the group of each prediction that counts: also the id, where ids are repeated."""
    flat = file.predictions()
    if flat.groups is not None or flat.ids is None:
        return flat.groups
    names = hashes(flat.ids)
    return names if np.unique(names).size < len(names) else None


def _change(
    file: HeldOut,
    accept: Array,
    one: Array | None,
    rejector: Rejector,
    subgroups: Array | None,
) -> CoverageChange | None:
    """Compare coverage with that of calibration: in all, or in the subgroup that differs most."""
    of = None
    if rejector.by == SUBGROUP:
        of = spread(np.asarray(subgroups), file.logits.shape[:1] + file.logits.shape[2:])
        if file.labels is not None and file.ignore_index is not None:
            of = of[file.labels != file.ignore_index]
        of = of.reshape(-1)
    if one is not None:
        accept, of = accept[one], None if of is None else of[one]
    calibrate = rejector.splits["calibrate"]
    size = calibrate["n"] / calibrate["used"] if one is None else 1.0  # rows of a unit
    found = []
    for here, rules in _strata(rejector, of):
        rows = accept if here is None else accept[here]
        k, n = int(rows.sum()), rows.size
        m = sum(rule.guarantee.n for rule in rules)
        taken = sum(rule.guarantee.accepted for rule in rules if rule.threshold < np.inf)
        if n and m:
            name = None if here is None else rules[0].subgroup
            units_of = max(1, round(n / size))
            found.append(CoverageChange(round(k / n * units_of), units_of, taken, m, name))
    if not found:
        return None
    first = min(found, key=lambda change: (not change.changed, change.p_value))
    return replace(first, compared=len(found))


def _strata(rejector: Rejector, of: Array | None) -> list[tuple[Array | None, tuple[Any, ...]]]:
    """Return which rows are compared with which rules."""
    if of is None:
        return [(None, rejector.rules)]
    return [(of == rule.subgroup, (rule,)) for rule in rejector.rules]


def _fisher(k: int, n: int, l: int, m: int) -> float:
    """Return the two-sided p-value that k of n and l of m have one probability: twice a tail."""
    from scipy.special import betaln

    if m > n:
        k, n, l, m = l, m, k, n
    total = k + l
    x = np.arange(max(0, total - n), min(m, total) + 1, dtype=np.float64)  # of the smaller sample

    def choose(a: Any, b: Any) -> Any:
        return -np.log(a + 1) - betaln(a - b + 1, b + 1)

    p = np.exp(choose(m, x) + choose(n, total - x) - choose(n + m, total))
    return float(min(1.0, 2 * min(p[x <= l].sum(), p[x >= l].sum())))


def _counted(file: HeldOut, p: Predictions) -> Array:
    """Return which predictions are not to be ignored."""
    if file.labels is None or file.ignore_index is None:
        return np.ones(p.accept.shape, bool)
    counted = file.labels != file.ignore_index
    if not counted.any():
        raise InputError(f"{file.name}: every label is the ignored {file.ignore_index}")
    return counted


def _cost(g: Any, counts: tuple[int, ...], units: tuple[int, ...] | None) -> dict[str, Any]:
    """Return the observed mean cost, and its interval by counts of independent units."""
    n, accepted, errors = counts
    spent = errors * g.cost_error + (n - accepted) * g.cost_abstain
    interval = None if units is None else cost_interval(g, *units)
    return {"cost": spent / n, "cost_interval": interval}


def _paid(file: HeldOut, p: Predictions, score: Score) -> Float[Array, "n ..."]:
    """Return the cost of each decision; that of an ignored label says nothing."""
    table = cost_table(score.params["costs"])
    known = np.clip(file.labelled()[1], 0, len(table) - 1)
    return paid(table, known, p.prediction, p.accept)


def _mean_cost(g: Any, costs: Array, of_units: Array, certain: bool) -> dict[str, Any]:
    """Return the observed mean cost, and its interval by the costs of independent units."""
    n, spent = of_units.size, float(of_units.sum())
    interval = mean_cost_interval(spent, n, g.largest) if n and certain else None
    return {"cost": float(costs.mean()), "cost_interval": interval}


def seen_in_fit(files: Sequence[HeldOut], rejector: Rejector) -> dict[str, Any]:
    """Return which split of the fit a file is or holds, if any: it is then no unbiased test."""
    splits = {split["digest"]: name for name, split in rejector.splits.items()}
    flat = [file.predictions() for file in files]
    for file in flat:
        if (name := splits.get(file.digest)) is not None:
            return {"seen_in_fit": name, "seen_file": file.name}
    shares = {
        name: share_of_sample(row_samples_of(split), split["n"], flat[0])
        for name, split in rejector.splits.items()
    }
    name = max(sorted(shares), key=shares.__getitem__)
    if not shares[name]:
        return {}
    return {"seen_in_fit": name, "seen_file": flat[0].name, "seen_share": shares[name]}


RUNNERS_UP = 2  # classes that are named after the predicted one


@dataclass(frozen=True)
class Explanation:
    """One decision, and what it rests on."""

    id: int | str
    row: int
    accept: bool
    prediction: int
    probability: float  # of the prediction, by the softmax; by costs, at its temperature
    confidence: float
    threshold: float  # its own; +inf: always abstained on
    by: str  # what thresholds are for: all, class or subgroup
    subgroup: int | str | None  # predicted class or subgroup with this threshold; None: all
    p_correct: float  # estimated probability of being right
    p_at_threshold: float | None  # the same for one that is just accepted; None: none is
    less_certain: float  # fraction of the file with a smaller confidence
    runners_up: tuple[tuple[int, float], ...]  # class and probability
    average: float | None  # a learned score of an average tuning prediction; None of other scores
    contributions: tuple[tuple[str, float], ...]  # with `average` they sum to the confidence
    # expected, of the prediction and of abstaining; None of decisions that go by no costs
    costs: tuple[float, float] | None = None

    @property
    def margin(self) -> float:
        """Confidence above its threshold, in units of the score; negative where abstained."""
        return self.confidence - self.threshold

    @property
    def lowering(self) -> tuple[tuple[str, float], ...]:
        """The contributions below zero, the lowest first."""
        return tuple(sorted((c for c in self.contributions if c[1] < 0), key=lambda c: c[1]))

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        plain = asdict(self) | {"margin": self.margin}
        plain["runners_up"] = [{"prediction": k, "probability": p} for k, p in self.runners_up]
        plain["contributions"] = dict(self.contributions)
        return plain


def explain(
    rejector: Rejector,
    file: HeldOut,
    ids: Sequence[int | str],
    *,
    top: int = RUNNERS_UP,
    subgroups: ArrayLike | None = None,
) -> list[Explanation]:
    """Explain single decisions, among all rows of the file.

    A learned score is a sum, so each feature has a share: by how much it raises or lowers the
    score from that of an average tuning prediction. Features that are alike share what they know:
    two large contributions of opposite sign may say little, their sum says what counts.

    Args:
        rejector: Whose decisions.
        file: Rows of one prediction each, of the model that the rejector was fitted for.
        ids: Of `file.ids`, compared as text; where there are none, numbers of rows from 0. An id
            that several rows have stands for all of them.
        top: How many classes to name after the predicted one.
        subgroups: Shape (n,), as in `Rejector.predict`.

    Raises:
        InputError: An id that no row has, or logits of pixels.

    >>> import recuse
    >>> z = np.random.default_rng(0).normal(size=(800, 3)) * 4
    >>> rejector = recuse.fit((z[:400], z[:400].argmax(1)), (z[400:], z[400:].argmax(1)),
    ...                       target_risk=0.05)
    >>> found, = explain(rejector, HeldOut(z), [5])
    >>> found.row, found.accept, found.prediction == int(z[5].argmax()), len(found.runners_up)
    (5, True, True, 2)
    """
    if file.logits.ndim > 2:
        raise InputError(
            f"{file.name}: expected rows of one prediction each, got {file.logits.shape}"
        )
    refuse_confidences(rejector.kind, "nothing but the threshold explains a decision")
    file = rejector._in_order(file)
    found = rejector._decide(file, subgroups)
    threshold = np.broadcast_to(
        rejector.thresholds(found.prediction, subgroups), found.prediction.shape
    )
    of = {CLASS: found.prediction, SUBGROUP: subgroups}.get(rejector.by)
    rows = np.array([row for name in ids for row in _rows_of(file, name)], dtype=int)
    z = without_filler(file.logits[rows], rejector.filler)
    order, probability = ranked(z, rejector.score)
    expected = (
        expected_costs(z, **rejector.score.params) if rejector.score.name == EXPECTED_COST else None
    )
    at = rejector.isotonic_map(threshold[rows])
    average, shares = contributions(rejector.score, z)
    return [
        Explanation(
            id=int(row) if file.ids is None else file.ids[row].item(),
            row=int(row),
            accept=bool(found.accept[row]),
            prediction=int(found.prediction[row]),
            probability=float(probability[i, 0]),
            confidence=float(found.confidence[row]),
            threshold=float(threshold[row]),
            by=rejector.by,
            subgroup=None if of is None else np.asarray(of)[row].item(),
            p_correct=float(found.p_correct[row]),
            p_at_threshold=float(at[i]) if expected is None and threshold[row] < np.inf else None,
            less_certain=float((found.confidence < found.confidence[row]).mean()),
            runners_up=tuple(zip(order[i, 1 : top + 1].tolist(), probability[i, 1:].tolist())),
            average=average,
            contributions=tuple(zip((*FEATURES, "predicted class"), shares[i].tolist())),
            costs=None if expected is None else (expected[i, order[i, 0]], expected[i, -1]),
        )
        for i, row in enumerate(rows)
    ]


def ranked(
    logits: Array, score: Score | None = None
) -> tuple[Int[Array, "n K ..."], Float[Array, "n K ..."]]:
    """Classes by descending logit, ties by index, and their softmax probabilities.

    Args:
        logits: Shape (n, K, ...).
        score: Of the rejector. By costs, the cheapest class is first, and probabilities are those
            at its temperature.

    >>> order, probability = ranked(np.log([[0.25, 0.5, 0.25]]))
    >>> order.tolist(), probability.round(2).tolist()
    ([[1, 0, 2]], [[0.5, 0.25, 0.25]])
    """
    from scipy.special import softmax

    z, dear = logits.astype(np.float64), -logits.astype(np.float64)
    if score is not None and score.name == EXPECTED_COST:
        rows = np.moveaxis(z, 1, -1)
        expected = expected_costs(rows.reshape(-1, rows.shape[-1]), **score.params)[:, :-1]
        dear = np.moveaxis(expected.reshape(rows.shape), -1, 1)
        z = z / score.params["temperature"]
    order = np.argsort(dear, axis=1, kind="stable")
    return order, np.take_along_axis(softmax(z, axis=1), order, axis=1)


def contributions(score: Score, logits: Array) -> tuple[float | None, Float[Array, "r f"]]:
    """Return the learned score of an average tuning row, and what each feature adds to it.

    The line through the log-odds of MSP counts with the first feature, which they are.
    """
    if score.name != "learned":
        return None, np.empty((len(logits), 0))
    p, x = score.params, features(logits)
    own = p.get("class_intercepts")
    names = ("weights", "center", "scale", "low", "high")
    weights, center, scale, low, high = (np.array(p[name], np.float64) for name in names)
    shares = weights * (np.clip(x, low, high) - center) / scale
    shares[:, 0] += p["slope"] * (x[:, 0] - center[0])
    if own:
        shares = np.column_stack([shares, np.array(own)[predict(logits)]])
    return p["slope"] * center[0] + p["intercept"], shares


def _rows_of(file: HeldOut, name: int | str) -> list[int]:
    """The rows of an id."""
    if file.ids is None:
        rows = [int(name)] if str(name).isdecimal() and int(name) < len(file) else []
        known = f"a row in 0..{len(file) - 1}, since there are no `ids`"
    else:
        rows = np.flatnonzero(file.ids.astype(str) == str(name)).tolist()
        known = f"one of its `ids`, such as {file.ids[0]}"
    if not rows:
        raise InputError(f"{file.name}: expected {known}, got {str(name)!r}")
    return rows
