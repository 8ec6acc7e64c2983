"""The artifact: score, threshold and guarantee in one JSON file that maps logits to decisions.

n = examples, K = classes, ... = any trailing axes (pixels), b = knots of the map to p_correct.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from recuse._check import InputError, check_fraction, check_labels, check_logits
from recuse._files import digest, to_json, write_text
from recuse.curves import TieGroups, tie_groups
from recuse.io import KINDS, LogitsFile
from recuse.overlap import fingerprints, overlap
from recuse.scores import Score, predict
from recuse.selectors import Guarantee, Selection, select
from recuse.tune import Tuned, tune

if TYPE_CHECKING:
    from jaxtyping import Bool, Float, Float32, Int
    from numpy import ndarray as Array
    from numpy.typing import ArrayLike

Data = tuple[Any, Any] | LogitsFile  # logits and labels
FORMAT, VERSION = "recuse.rejector", 1
FIELDS: dict[str, type] = {
    "format": str,
    "version": int,
    "score": dict,
    "reason": str,
    "threshold": str,
    "threshold_hex": str,
    "guarantee": dict,
    "classes": int,
    "kind": str,
    "p_correct": dict,
    "splits": dict,
}
COUNTS: dict[str, type] = {
    "target_risk": float,
    "delta": float,
    "method": str,
    "n": int,
    "accepted": int,
    "errors": int,
    "assumption": str,
    "unit": str,
    "void": bool,
}
KNOT_ROWS = 25  # at least so many tune examples stand behind a knot of p_correct


class Infeasible(ValueError):
    """No threshold can make the promise; `selection` says why and what could."""

    def __init__(self, selection: Selection):
        super().__init__(selection.reason)
        self.selection = selection


class Choice(NamedTuple):
    """What tune and calibrate led to."""

    tuned: Tuned
    selection: Selection
    rejector: Rejector | None  # None if no threshold can make the promise


class Predictions(NamedTuple):
    """Decisions of a rejector, one for each example (or pixel)."""

    label: Int[Array, "n ..."]
    confidence: Float32[Array, "n ..."]  # the ranking score, in its own unit
    accept: Bool[Array, "n ..."]  # confidence >= threshold
    p_correct: Float[Array, "n ..."]  # estimated probability of being right


class Knots(NamedTuple):
    """A monotone piecewise linear map from confidence to the probability of being right."""

    confidence: tuple[float, ...]  # increasing
    probability: tuple[float, ...]  # not decreasing

    def __call__(self, confidence: Array) -> Float[Array, ...]:
        """Interpolate; constant beyond the ends."""
        return np.interp(confidence.astype(np.float64), self.confidence, self.probability)

    def valid(self) -> bool:
        """Whether both columns are finite, as long, and rise."""
        if not all(
            type(x) is float and np.isfinite(x) for x in (*self.confidence, *self.probability)
        ):
            return False
        c, p = np.array(self.confidence), np.array(self.probability)
        rises = bool(np.all(np.diff(c) >= 0) and np.all(np.diff(p) >= 0))
        return c.size == p.size > 0 and rises and p[0] > 0 and p[-1] < 1


@dataclass(frozen=True)
class Rejector:
    """A score, a threshold and what it promises; made by `fit`, saved as JSON.

    `predict` accepts where the confidence, computed on the one decision path of `scores`,
    is at least the threshold.
    """

    score: Score
    threshold: float  # a float32 value
    guarantee: Guarantee
    classes: int
    knots: Knots = field(repr=False)
    reason: str  # why this score
    splits: Mapping[str, Mapping[str, Any]]  # name -> n and digest of the data it saw
    kind: str = "logits"  # what files hold: logits, binary or probs

    def predict(self, logits: ArrayLike) -> Predictions:
        """Label, confidence, decision and probability of being right for every example.

        Args:
            logits: Shape (n, K, ...), of the model that this rejector was fitted for.

        Raises:
            InputError: Malformed logits, or another number of classes.
        """
        z = check_logits(logits)
        if z.shape[1] != self.classes:
            raise InputError(
                f"expected logits of {self.classes} classes, as fitted, got {z.shape[1]}"
            )
        confidence = self.score(z)
        accept = confidence >= np.float32(self.threshold)
        return Predictions(predict(z), confidence, accept, self.knots(confidence))

    def __str__(self) -> str:
        return f"Accept when {self.score} >= {self.threshold:.6g}. {self.guarantee}"

    def to_dict(self) -> dict[str, Any]:
        """Plain data, as in the file."""
        body = {
            "format": FORMAT,
            "version": VERSION,
            "score": self.score.to_dict(),
            "reason": self.reason,
            "threshold": repr(float(self.threshold)),
            "threshold_hex": float(self.threshold).hex(),
            "guarantee": self.guarantee.to_dict(),
            "classes": self.classes,
            "kind": self.kind,
            "p_correct": {
                "confidence": list(self.knots.confidence),
                "probability": list(self.knots.probability),
            },
            "splits": {name: dict(split) for name, split in self.splits.items()},
        }
        return {**body, "checksum": _checksum(body)}

    def save(self, path: str | os.PathLike) -> None:
        """Write the JSON file, whole or not at all."""
        write_text(path, to_json(self.to_dict()) + "\n")

    @classmethod
    def load(cls, path: str | os.PathLike) -> Rejector:
        """Read what `save` wrote; anything else, or a file changed by hand, is refused.

        Raises:
            InputError: One line that names the file and what is wrong with it.
        """
        path = Path(path)
        try:
            data = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError, RecursionError) as error:
            detail = "no such file" if isinstance(error, FileNotFoundError) else "no JSON"
            raise InputError(f"{path}: expected a rejector, got {detail}") from error
        try:
            return cls.from_dict(data)
        except InputError as error:
            raise InputError(f"{path}: {error}") from error
        except (ValueError, TypeError, ArithmeticError, RecursionError) as error:
            raise InputError(f"{path}: expected a rejector, got a malformed one") from error

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Rejector:
        """The inverse of `to_dict`; strict."""
        if not isinstance(data, Mapping) or data.get("format") != FORMAT:
            raise InputError(f'expected "format": "{FORMAT}"')
        if data.get("version") != VERSION:
            raise InputError(f"expected version {VERSION}, got {data.get('version')!r}")
        _strict(data, {**FIELDS, "checksum": str}, "a rejector")
        if data["checksum"] != _checksum({k: data[k] for k in FIELDS}):
            raise InputError("its content was changed after it was saved (checksum differs)")
        _strict(data["score"], {"name": str, "params": dict}, "`score`")
        _strict(data["p_correct"], {"confidence": list, "probability": list}, "`p_correct`")
        score = Score.from_dict(data["score"])
        score(np.zeros((1, 2)))  # refuses values that its parameters cannot take
        knots = Knots(*(tuple(data["p_correct"][name]) for name in Knots._fields))
        if data["classes"] < 2 or data["kind"] not in KINDS or not knots.valid():
            raise InputError("expected `classes` >= 2, a known `kind` and increasing `p_correct`")
        for name, split in data["splits"].items():
            used = {"used": int} if "used" in split else {}
            _strict(split, {"n": int, **used, "digest": str}, f"split {name!r}")
        return cls(
            score,
            _threshold(data["threshold"], data["threshold_hex"]),
            _guarantee(data["guarantee"]),
            data["classes"],
            knots,
            data["reason"],
            data["splits"],
            data["kind"],
        )


def fit(
    tune: Data,
    calibrate: Data,
    *,
    target_risk: float,
    delta: float = 0.05,
    method: str = "auto",
    objective: str = "aurc",
    learned: bool = True,
    seed: int = 0,
    kind: str = "logits",
    allow_overlap: bool = False,
) -> Rejector:
    """Choose the score on `tune` and the threshold on `calibrate`: the deployable artifact.

    Where the calibrate data has groups, one row of each is used, drawn with `seed`: rows
    of one group are not independent, and the promise is about independent predictions.

    Args:
        tune: Logits (n, K, ...) and labels (n, ...), or a `LogitsFile`; not training data.
        calibrate: Likewise, of other examples from the population of the deployment.
        target_risk: The largest error rate of accepted predictions, in (0, 1).
        delta: The probability that the promise fails, in (0, 1).
        method: As in `select`.
        objective: What a repair is to improve on `tune`: "aurc", "augrc", or "coverage", the
            largest at `target_risk`.
        learned: Whether to try the learned score, as in `tune`.
        seed: Of the folds in `tune` and of the rows taken from groups.
        kind: What the files hold, recorded for `predict`: "logits", "binary" or "probs".
        allow_overlap: Fit although tune and calibrate share examples; the guarantee is void.

    Raises:
        Infeasible: No threshold can make the promise; it says what could be promised.
        InputError: Malformed input, or tune and calibrate share examples.

    References:
        `recuse.tune` and `recuse.selectors`, which do the two steps.
    """
    choice = choose(
        tune,
        calibrate,
        target_risk=target_risk,
        delta=delta,
        method=method,
        objective=objective,
        learned=learned,
        seed=seed,
        kind=kind,
        allow_overlap=allow_overlap,
    )
    if choice.rejector is None:
        raise Infeasible(choice.selection)
    return choice.rejector


def choose(
    tune: Data,
    calibrate: Data,
    *,
    target_risk: float,
    delta: float = 0.05,
    method: str = "auto",
    objective: str = "aurc",
    learned: bool = True,
    seed: int = 0,
    kind: str = "logits",
    allow_overlap: bool = False,
) -> Choice:
    """`fit` with everything it found out on the way; infeasible is an answer, not an error."""
    check_fraction(target_risk, "target_risk")
    t, c = as_file(tune, "tune"), as_file(calibrate, "calibrate")
    if t.logits.shape[1] != c.logits.shape[1]:
        raise InputError(
            f"expected tune and calibrate of the same number of classes, "
            f"got {t.logits.shape[1]} and {c.logits.shape[1]}"
        )
    shared = overlap(t, c)
    if shared and not allow_overlap:
        raise InputError(f"expected disjoint tune and calibrate splits, got {shared}")
    tuned = _tune(t, kind, objective=objective, target_risk=target_risk, learned=learned, seed=seed)
    tune_confidence, tune_loss = tuned.score(t.logits), predict(t.logits) != t.labels
    one = _one_of_each(c, seed)
    selection = select(
        tuned.score(one.logits),
        predict(one.logits) != one.labels,
        target_risk=target_risk,
        delta=delta,
        method=method,
        tune=(tune_confidence, tune_loss),
    )
    if c.groups is not None:
        selection = _by_group(selection)
    if not selection.feasible:
        return Choice(tuned, selection, None)
    if shared:
        void = replace(selection.guarantee, void=True)
        selection = replace(selection, guarantee=void, reason=str(void))
    rejector = Rejector(
        score=tuned.score,
        threshold=selection.threshold,
        guarantee=selection.guarantee,
        classes=c.logits.shape[1],
        knots=_fit_knots(tune_confidence, ~tune_loss),
        reason=tuned.reason,
        splits={
            "tune": {"n": len(t), "digest": t.digest},
            "calibrate": {"n": len(c), "used": len(one), "digest": c.digest},
        },
        kind=kind,
    )
    return Choice(tuned, selection, rejector)


def _by_group(selection: Selection) -> Selection:
    """The promise of a fit on one row of each group, in words that say so."""
    guarantee = replace(
        selection.guarantee,
        unit="groups",
        assumption="groups are independent draws from the deployment population, one random row "
        "of each was used, and the promise is for a random row of a random group",
    )
    reason = str(guarantee) if selection.feasible else selection.reason
    return replace(selection, guarantee=guarantee, reason=reason)


def _tune(file: LogitsFile, kind: str, **options: Any) -> Tuned:
    logits, labels = file.labelled()
    if kind == "probs":  # norms and features need logits
        options |= {"candidates": (), "learned": False}
    return tune(logits, labels, groups=file.groups, **options)


def as_file(data: Data, name: str) -> LogitsFile:
    """One row a prediction, whichever way the data came."""
    if not isinstance(data, LogitsFile):
        z = check_logits(data[0], where=f"{name} logits")
        data = LogitsFile(z, check_labels(data[1], z, where=f"{name} labels"), name=name)
    data.labelled()
    return data.predictions()


def _one_of_each(file: LogitsFile, seed: int) -> LogitsFile:
    """One random row of each group; which one does not depend on the order of the rows."""
    if file.groups is None:
        return file
    code = np.unique(file.groups, return_inverse=True)[1].reshape(-1)
    names = () if file.ids is None else (file.ids,)
    order = np.lexsort((fingerprints(file), *names, code))
    start = np.flatnonzero(np.diff(code[order], prepend=-1))
    size = np.diff(np.r_[start, code.size])
    pick = start + np.floor(np.random.default_rng(seed).uniform(size=size.size) * size).astype(int)
    return file.rows(order[pick])


def _fit_knots(confidence: Array, correct: Array) -> Knots:
    """Isotonic regression of being right on confidence, over bins of neighbours.

    Each bin counts half a success and half a failure more, so that no probability is 0 or 1.
    """
    from scipy.optimize import isotonic_regression

    group = TieGroups(*(column[::-1] for column in tie_groups(confidence, correct)))
    last = max(group.count.sum() // KNOT_ROWS - 1, 0)  # a short last bin joins its neighbour
    bin = np.minimum((np.cumsum(group.count) - 1) // KNOT_ROWS, last)
    start = np.flatnonzero(np.diff(bin, prepend=-1))
    count = np.add.reduceat(group.count, start).astype(np.float64)
    rate = (np.add.reduceat(group.loss, start) + 0.5) / (count + 1)
    finite = np.nan_to_num(group.confidence).astype(np.float64)
    where = np.add.reduceat(finite * group.count, start) / count
    fitted = isotonic_regression(rate, weights=count).x
    return Knots(tuple(map(float, where)), tuple(map(float, fitted)))


def _threshold(decimal: str, exact: str) -> float:
    threshold = float.fromhex(exact)
    with np.errstate(over="ignore"):
        rounded = float(np.float32(threshold))
    if float(decimal) != threshold or rounded != threshold or threshold == -np.inf:
        raise InputError("expected a threshold that is a float32, the same in both forms")
    return threshold


def _guarantee(data: Mapping[str, Any]) -> Guarantee:
    _strict(data, COUNTS, "`guarantee`")
    g = Guarantee(**data)
    if not (0 < g.target_risk < 1 and 0 < g.delta < 1 and 0 <= g.errors <= g.accepted <= g.n > 0):
        raise InputError("expected `guarantee` with fractions, and counts errors <= accepted <= n")
    return g


def _strict(data: Any, types: Mapping[str, type], what: str) -> None:
    """An error unless `data` has exactly these fields, of these types."""
    if not isinstance(data, dict):
        raise InputError(f"expected {what} to be an object, got {type(data).__name__}")
    odd = sorted(set(data) ^ set(types))
    if odd:
        raise InputError(f"{'unknown' if odd[0] in data else 'missing'} field {odd[0]!r} of {what}")
    for key, kind in types.items():
        given = type(data[key])
        if given is not kind and (given, kind) != (int, float):
            raise InputError(f"expected `{key}` of {what}: {kind.__name__}, got {given.__name__}")


def _checksum(body: Mapping[str, Any]) -> str:
    canonical = json.dumps(json.loads(to_json(body)), sort_keys=True)
    return digest(np.frombuffer(canonical.encode(), np.uint8))
