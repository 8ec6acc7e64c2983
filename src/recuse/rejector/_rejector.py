"""`Rejector`: logits in, decisions out; a JSON file that is read strictly.

n = examples, K = classes, b = vertices of the isotonic map to a probability of being right,
... = any trailing axes (pixels).
"""

from __future__ import annotations

import json
import os
import re
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, get_args

import numpy as np

from recuse._internal import public
from recuse._internal.check import check_logits_form, near, to_numpy
from recuse._internal.files import checksum, once, plain, strict, to_json, write_text
from recuse.curves._ranked import TieGroups, tie_groups
from recuse.errors import DataWarning, InputError
from recuse.io import HeldOut, from_frame
from recuse.io._checked import KINDS, naming, to_logits
from recuse.io._overlap import PRECISIONS, RowSample
from recuse.io._rows import CONFIDENCES, LOSSES, of_classes, predicted
from recuse.io._tables import is_frame
from recuse.present import decisions as words
from recuse.present import glance
from recuse.present.guarantee import statement
from recuse.present.numbers import listed
from recuse.present.text import score_name
from recuse.present.tuning import Outcome, TuningFacts, sentence
from recuse.rejector._model import (
    LEAST,
    QUANTITIES,
    SHIFTED,
    Fingerprint,
    ModelChange,
    places,
    quantity_rows,
    read_fingerprint,
    sampled,
)
from recuse.rejector._model import ROWS as LOOKED_AT
from recuse.rejector._rules import (
    ALL,
    Rule,
    check_given,
    delta_of_rules,
    from_rows,
    guarantee_of,
    read_limits,
    thresholds,
    to_rows,
)
from recuse.rejector._version1 import upgraded
from recuse.scores import SOFTMAX_FAMILY, Score, are_log_probs, without_filler
from recuse.scores._costs import EXPECTED_COST, cost_table
from recuse.scores._functions import FEW_ROWS, STRAY, look_like_probs
from recuse.scores._rows import predict_and_score
from recuse.scores._score import OF_CONFIDENCES, decided
from recuse.scores._sums import Sums
from recuse.selectors._costs import THRESHOLD
from recuse.selectors._guarantee import ROWS, AnyGuarantee, MissGuarantee

if TYPE_CHECKING:
    from jaxtyping import Bool, Float, Float32, Int
    from numpy import ndarray as Array
    from numpy.typing import ArrayLike

BIN_ROWS = 25  # about so many rows in a bin, fewer before a large tie


class IsotonicMap(NamedTuple):
    """A monotone piecewise linear map from confidence to the probability of being right."""

    confidence: tuple[float, ...]  # not decreasing
    probability: tuple[float, ...]  # not decreasing

    def __call__(self, confidence: Array) -> Float[Array, ...]:
        """Interpolate; constant beyond the ends."""
        return np.interp(confidence.astype(np.float64), *self)

    def valid(self) -> bool:
        """Return whether both columns are finite, of one length, and do not fall."""
        if not all(
            type(x) is float and np.isfinite(x) for x in (*self.confidence, *self.probability)
        ):
            return False
        c, p = np.array(self.confidence), np.array(self.probability)
        if not c.size == p.size > 0:
            return False
        rises = bool(np.all(np.diff(c) >= 0) and np.all(np.diff(p) >= 0))
        return rises and p[0] > 0 and p[-1] < 1


# a calibrated probability as it is, but never 0 or 1
AS_IT_IS = IsotonicMap((1e-6, 1 - 1e-6), (1e-6, 1 - 1e-6))


def fit_isotonic_map(confidence: Float32[Array, " n"], correct: Bool[Array, " n"]) -> IsotonicMap:
    """Isotonic regression of being right on confidence, over bins of neighbours.

    Each bin counts half a success and half a failure more, so that no probability is 0 or 1. The
    map is an estimate without a guarantee. A learned score was fitted to the same rows, which
    makes it a little optimistic; a map from cross-fitted confidences was tried on real models and
    predicted the error of test rows no better, so there is one way.

    Args:
        confidence: Shape (n,), of the tuning split, or of all rows where there is none.
        correct: Shape (n,), whether the prediction is right.

    >>> c = np.arange(100, dtype=np.float32)
    >>> fit_isotonic_map(c, c > 40)(np.float32([0, 99])).round(3)
    array([0.019, 0.981])
    """
    group = TieGroups(*(column[::-1] for column in tie_groups(confidence, correct)))
    last = max(group.count.sum() // BIN_ROWS - 1, 0)  # a short last bin joins its neighbour
    bin = np.minimum((np.cumsum(group.count) - 1) // BIN_ROWS, last)
    start = np.flatnonzero(np.diff(bin, prepend=-1))
    count = np.add.reduceat(group.count, start).astype(np.float64)
    rate = (np.add.reduceat(group.loss, start) + 0.5) / (count + 1)
    finite = np.nan_to_num(group.confidence).astype(np.float64)
    where = np.add.reduceat(finite * group.count, start) / count
    return IsotonicMap(tuple(map(float, where)), pooled(rate, count))


def pooled(rate: Float[Array, " b"], count: Float[Array, " b"]) -> tuple[float, ...]:
    """Isotonic regression: pool neighbours, weighted by their counts, until no rate falls.

    >>> pooled(np.array([0.5, 0.25, 0.75]), np.array([1.0, 1.0, 2.0]))
    (0.375, 0.375, 0.75)
    """
    blocks: list[tuple[float, float, int]] = []  # rate, count, bins
    for r, n in zip(rate.tolist(), count.tolist()):
        bins = 1
        while blocks and blocks[-1][0] >= r:
            before, m, more = blocks.pop()
            r, n, bins = (before * m + r * n) / (m + n), m + n, bins + more
        blocks.append((r, n, bins))
    return tuple(r for r, _, bins in blocks for _ in range(bins))


FORMAT, VERSION = "recuse.rejector", 2
FIELDS: dict[str, type] = {
    "format": str,
    "version": int,
    "score": dict,
    "tuning": dict,
    "by": str,
    "delta": float,
    "rules": list,
    "classes": int,
    "kind": str,
    "p_correct": dict,
    "splits": dict,
    "class_names": list,
    "version_1": type(None),
}
DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
TUNING: dict[str, type] = {
    "outcome": str,
    "objective": str,
    "target_risk": float,
    "msp": float,
    "n": int,
    "errors": int,
    "units": int,
    "needed": int,
    "alternative": str,
    "gain": float,
    "gain_se": float,
    "baseline": str,
    "beyond": int,
}
COMPARED = ("adopted", "not_significant", "no_gain")  # outcomes of a comparison
TOO_FEW = ("few_errors", "few_rows")  # outcomes for lack of data


class Predictions(NamedTuple):
    """Decisions of a rejector, one for each example (or pixel)."""

    # the predicted class, by costs the cheapest; of confidences 1: that it is right
    prediction: Int[Array, "n ..."]
    confidence: Float32[Array, "n ..."]  # the ranking score, in its own unit
    accept: Bool[Array, "n ..."]  # confidence >= its threshold, if it has one
    p_correct: Float[Array, "n ..."]  # estimated probability of being right

    def to_dict(self) -> dict[str, Any]:
        """Return lists for JSON, with None for an infinite confidence.

        >>> columns = ([2], np.float32([-np.inf]), [False], [0.25])
        >>> Predictions(*map(np.array, columns)).to_dict()
        {'prediction': [2], 'confidence': [None], 'accept': [False], 'p_correct': [0.25]}
        """
        return plain(self._asdict())


@public
@dataclass(frozen=True, repr=False)
class Rejector(glance.AtAGlance):
    """A score, thresholds and their guarantee; made by `fit`, saved as JSON.

    `predict` accepts where the confidence, computed on the one decision path of `scores`,
    is at least the threshold: one for all, or that of the predicted class or of the subgroup.
    """

    score: Score
    rules: tuple[Rule, ...]  # one for all, or for each predicted class or subgroup
    classes: int
    isotonic_map: IsotonicMap = field(repr=False)
    tuning: TuningFacts | str  # why this score; of a file of version 1, its sentence
    splits: Mapping[str, Mapping[str, Any]]  # name -> facts of the data it saw, and their digest
    kind: str = "logits"  # of the outputs: logits, binary, probs or confidences
    by: str = ALL  # or "class", the predicted one, or "subgroup"
    delta: float = field(kw_only=True)  # of all guarantees together
    # checksum of the file of version 1 that it was first saved in: states of monitors of that
    # version know it by this
    version_1: str | None = field(default=None, kw_only=True, repr=False, compare=False)
    class_names: tuple[str, ...] | None = field(default=None, kw_only=True)
    # limits of misses beside the guarantee of the rules, which has its part of delta
    misses: tuple[MissGuarantee, ...] = field(default=(), kw_only=True)
    # what is known of the model; None in files of earlier versions
    model: Fingerprint | None = field(default=None, kw_only=True, repr=False)

    @property
    def threshold(self) -> float:
        """The one for all, a float32 value; +inf if nothing is accepted."""
        if self.by != ALL:
            raise InputError(f"expected a rejector of one threshold, got one by {self.by}")
        return self.rules[0].threshold

    @property
    def reason(self) -> str:
        """Why this score, in one sentence without its full stop."""
        return self.tuning if isinstance(self.tuning, str) else sentence(self.tuning)

    @property
    def guarantee(self) -> Any:
        """The guarantee of the risk, of coverage or cost, or of each subgroup."""
        delta = delta_of_rules(self.delta, self.rules[0].guarantee.kind, len(self.misses))
        return guarantee_of(self.rules, self.by, delta, self.class_names)

    @property
    def statement(self) -> str:
        """All that is guaranteed, in words."""
        return statement(self.guarantee, self.misses)

    @cached_property
    def _vertices(self) -> IsotonicMap:
        """The isotonic map in arrays: thousands of vertices would be converted at every call."""
        return IsotonicMap(*map(np.array, self.isotonic_map))

    @property
    def log_probs(self) -> bool | None:
        """Whether it was fitted to log-probabilities; None where its score ignores the shift."""
        return None if self.score.shift_invariant else self._of_score["log_probs"]

    @property
    def filler(self) -> float | None:
        """The level at or below which a logit stands for an impossible class; None without."""
        return self._of_score.get("filler")

    @property
    def _of_score(self) -> Mapping[str, Any]:
        """Facts of the rows that the score saw: the tuning split, if there is one."""
        return self.splits.get("tune", self.splits["calibrate"])

    @property
    def masked(self) -> tuple[int, ...]:
        """Classes that are impossible (-inf) in every calibration row."""
        return tuple(self.splits["calibrate"].get("masked", ()))

    def thresholds(
        self, prediction: Int[Array, "n ..."], subgroups: ArrayLike | None = None
    ) -> Float32[Array, ...]:
        """The threshold of every prediction, in a shape that fits that of `prediction`."""
        check_given(self.by, subgroups)
        return thresholds(self.rules, self.by, prediction, subgroups)

    def predict(
        self, outputs: ArrayLike | HeldOut, subgroups: ArrayLike | None = None
    ) -> Predictions:
        """Predicted class, confidence, decision and probability of being right for every example.

        Args:
            outputs: Shape (n, K, ...), of the model that this rejector was fitted for and of
                its `kind`, of confidences (n,) or (n, C); n may be 0. A score that depends on the
                shift of logits (`log_probs`) means something else on a log-softmax, of which
                nothing is said here. Or a `HeldOut`, which is refused if it is of another kind,
                or has other classes; classes in another order are brought into that of the fit.
                Or a pandas or polars frame, whose columns are found and ordered by the names of
                the classes, if the fit had them.
            subgroups: Shape (n,), or the name of a column of the `HeldOut`, where the thresholds
                are those of subgroups; rows of one that the calibration split did not have are
                abstained on.

        Raises:
            InputError: Outputs that cannot be of this kind: malformed, probabilities for a
                rejector of logits, another number of classes; or subgroups missing.

        Warns:
            DataWarning: The labels of the `HeldOut` count its classes in another order than the
                predictions, which have that of the fit; it names another model; or 100 or more
                rows look unlike those of the calibration split, as `recuse.rejector.Fingerprint`
                describes.
        """
        if is_frame(outputs) and (self.class_names or not of_classes(self.kind)):
            outputs = from_frame(outputs, kind=self.kind, classes=self.class_names)
        if isinstance(subgroups, str) and isinstance(outputs, HeldOut):
            subgroups = outputs.subgroup(subgroups)
        check_given(self.by, subgroups)
        if not isinstance(outputs, HeldOut):
            given = to_numpy(outputs)
            if given.shape[:1] == (0,):
                return _nothing(given, self.classes, self.kind)
            z = to_logits(given, self.kind)
            check_classes(z.shape[1], self.classes, self.kind)
            outputs = HeldOut(z, name="`outputs`", kind=self.kind)
        outputs, given = self._own(outputs), outputs
        if outputs is not given and given.labels is not None and of_classes(self.kind):
            message = words.reordered(given.name, self.class_names or ())
            warnings.warn(message, DataWarning, stacklevel=2)
        found, quantities = self._decide_and_look(outputs, subgroups)
        for change in self.model_changes(outputs, quantities):
            warnings.warn(words.model_changed(outputs.name, change), DataWarning, stacklevel=2)
        return found

    def model_changes(
        self, file: HeldOut, quantities: Float[Array, "q m"] | None = None
    ) -> tuple[ModelChange, ...]:
        """Return how a file differs from the outputs of the model of the fit, if it does.

        The quantities of all its predictions are given where they are known already.
        """
        if self.model is None:
            return ()
        if file.logits[:, 0].size < LEAST:
            return self.model.changes(file.model, file.logits[:0], 0)
        z = without_filler(sampled(file), self.filler)
        units = len(file) if file.groups is None else np.unique(file.groups).size
        known = None if quantities is None else quantities[:, places(file)]
        found = self.model.changes(file.model, z, units, known)
        if not found or not of_classes(self.kind):
            return found
        if self.score.shift_invariant and are_log_probs(z) != self._of_score["log_probs"]:
            found = tuple(c for c in found if c.what not in SHIFTED)  # the same decisions
        return found

    def _own(self, file: HeldOut) -> HeldOut:
        """Return a file in the order of the classes of the fit; refuse another kind or others.

        A file of logits that are probabilities was not told its kind.
        """
        if file.kind != self.kind and (file.kind, self.kind) != (LOSSES, CONFIDENCES):
            raise InputError(f"{file.name}: expected {self.kind}, as in the fit, got {file.kind}")
        with naming(file.name):
            check_classes(file.logits.shape[1], self.classes, self.kind)
        if self.kind == "logits" and look_like_probs(file.logits):
            _refuse_probs(file)
        return self._in_order(file)

    def _in_order(self, file: HeldOut) -> HeldOut:
        """Return a file with its classes in the order of the fit; refuse other classes."""
        names, own = file.class_names, self.class_names
        if not (names and own) or names == own:
            return file
        one_column = file.probs is not None and file.probs.shape[1:2] != file.logits.shape[1:2]
        if {*names} == {*own} and file.kind != "binary" and not one_column:
            return file.in_order(own)
        place, (name, wanted) = next(
            (k, pair) for k, pair in enumerate(zip(names, own)) if pair[0] != pair[1]
        )
        raise InputError(
            f"{file.name}: expected the classes of the fit, {wanted!r} in column {place}, got "
            f"{name!r}{near(name, own)}"
        )

    def _decide(self, file: HeldOut, subgroups: ArrayLike | None) -> Predictions:
        """Decide as `predict` does, without a word on the model."""
        return self._decide_and_look(self._own(file), subgroups, look=False)[0]

    def _decide_and_look(
        self, file: HeldOut, subgroups: ArrayLike | None, *, look: bool = True
    ) -> tuple[Predictions, Float[Array, "q m"] | None]:
        """Decide, and return the quantities of all predictions, if all are looked at."""
        z = file.logits
        self._warn_of_possible(z)
        z = without_filler(z, self.filler)
        look = look and self.model is not None and LEAST <= z[:, 0].size <= LOOKED_AT
        by_costs, quantities, of_right = self.score.name == EXPECTED_COST, None, None
        if not of_classes(self.kind):
            prediction, confidence = predicted(z, self.kind), self.score(z)
        elif look and not by_costs:
            prediction, confidence, quantities = self._score_and_look(z)
        else:
            prediction, confidence, of_right = decided(z, self.score)
        threshold = self.thresholds(prediction, subgroups)
        accept = (confidence >= threshold) & (threshold < np.inf)
        p_correct = self._vertices(confidence if of_right is None else of_right)
        found = Predictions(prediction, confidence, accept, p_correct)
        return found, quantities

    def _score_and_look(
        self, z: Float[Array, "n K ..."]
    ) -> tuple[Int[Array, "n ..."], Float32[Array, "n ..."], Float[Array, "q m"]]:
        """Return predictions, confidences and quantities, which share their sums."""

        def rows(s: Sums) -> tuple[Array, ...]:
            return self.score(s), *quantity_rows(s)

        prediction, found = predict_and_score(z, rows, 1 + len(QUANTITIES), np.float64)
        with np.errstate(over="ignore"):
            confidence = found[0].astype(np.float32)
        return prediction, confidence, found[1:].reshape(len(QUANTITIES), -1)

    def _warn_of_possible(self, z: Float[Array, "n K ..."]) -> None:
        """Warn of classes that no calibration row could have, and some of these rows can."""
        level = -np.inf if self.filler is None else self.filler
        if found := [k for k in self.masked if float(z[:, k].max()) > level]:
            names = [self.class_names[k] if self.class_names else str(k) for k in found]
            noun = "class" if len(found) == 1 else "classes"
            warnings.warn(
                f"the {noun} {listed(names)}, impossible (-inf) in every calibration row, "
                f"{'is' if len(found) == 1 else 'are'} possible here: the guarantee does not hold; "
                "mask as in the fit, or fit again",
                DataWarning,
                stacklevel=4,
            )

    @property
    def _rule(self) -> str:
        """When it accepts, as a sentence."""
        if self.score.name == EXPECTED_COST:
            return words.by_costs(self.score)
        own = f"reaches the threshold of its {self.by}"
        rule = f">= {words.threshold(self.score, self.threshold)}" if self.by == ALL else own
        return f"Accept when {score_name(self.score)} {rule}."

    def __str__(self) -> str:
        return f"{self._rule} {self.statement}"

    def _card(self) -> glance.Card:
        return glance.rejector(self, self._rule)

    def to_dict(self) -> dict[str, Any]:
        """Plain data, as in the file."""
        body: dict[str, Any] = {
            "format": FORMAT,
            "version": VERSION,
            "score": self.score.to_dict(),
            "tuning": self.tuning if isinstance(self.tuning, str) else self.tuning._asdict(),
            "by": self.by,
            "delta": self.delta,
            "rules": to_rows(self.rules),
            "classes": self.classes,
            "kind": self.kind,
            "class_names": None if self.class_names is None else list(self.class_names),
            "p_correct": {
                "confidence": list(self.isotonic_map.confidence),
                "probability": list(self.isotonic_map.probability),
            },
            "splits": {name: dict(split) for name, split in self.splits.items()},
            "version_1": self.version_1,
        }
        if self.misses:
            body["misses"] = [m.to_dict() for m in self.misses]
        if self.model is not None:
            body["model"] = self.model.to_dict()
        return {**body, "checksum": checksum(body)}

    def save(self, path: str | os.PathLike) -> None:
        """Write the JSON file, whole or not at all."""
        write_text(path, to_json(self.to_dict()) + "\n")

    @classmethod
    def load(cls, path: str | os.PathLike) -> Rejector:
        """Read what `save` wrote; anything else, or a file changed by hand, is refused.

        So is one whose parts disagree, whatever its checksum: each guarantee must follow from the
        recorded counts by the test of its method, a rank or a bet.

        Raises:
            InputError: One line that names the file and what is wrong with it.
        """
        path = Path(path)
        try:
            data = json.loads(path.read_text(encoding="utf-8"), object_pairs_hook=once)
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
        body = upgraded(data) if data.get("version") == 1 else _checked(data)
        limits, names = body.get("misses", []), body.get("class_names")
        names = _class_names(names, body["classes"])
        rules = from_rows(body["rules"], body["by"], body["delta"], body["classes"], len(limits))
        whole = guarantee_of(rules, body["by"], body["delta"])
        misses = read_limits(limits, whole, body["delta"], body["classes"], names)
        _check_splits(body["splits"], [rule.guarantee for rule in rules])
        score = _score(body["score"], body["kind"], body["classes"])
        _check_costs(score, rules)
        return cls(
            score,
            rules,
            body["classes"],
            _isotonic_map(body["p_correct"]),
            _tuning(body["tuning"]),
            body["splits"],
            body["kind"],
            body["by"],
            delta=body["delta"],
            version_1=body["version_1"],
            class_names=names,
            misses=misses,
            model=read_fingerprint(body["model"], body["classes"]) if "model" in body else None,
        )


def _checked(data: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the fields, of their types and as they were saved."""
    if data.get("version") != VERSION:
        raise InputError(f"expected version 1 or {VERSION}, got {data.get('version')!r}")
    old = isinstance(data.get("version_1"), str)  # it was a file of version 1
    tuning = str if old and isinstance(data.get("tuning"), str) else dict
    version_1 = str if old else type(None)
    names = list if data.get("class_names") is not None else type(None)
    fields = {**FIELDS, "tuning": tuning, "version_1": version_1, "class_names": names}
    fields |= {"model": dict} if "model" in data else {}  # not of earlier files
    fields |= {"misses": list} if data.get("misses") else {}
    strict(data, {**fields, "checksum": str}, "a rejector")
    if data["checksum"] != checksum({name: data[name] for name in fields}):
        raise InputError("its content was changed after it was saved (checksum differs)")
    if old and not DIGEST.fullmatch(data["version_1"]):
        raise InputError("expected `version_1` of sha256")
    return data


def _refuse_probs(file: HeldOut) -> None:
    """Refuse probabilities in place of logits; warn where few rows could be either."""
    z = file.logits
    what = (
        f"{file.name}: expected logits, as in the fit, got rows in [0, 1] that sum to 1: give "
        'logits, or fit again with kind="probs"'
    )
    if len(z) >= FEW_ROWS:
        raise InputError(what)
    if np.all(np.abs(z.astype(np.float64).sum(axis=1) - 1) <= STRAY):
        warnings.warn(what, DataWarning, stacklevel=5)


def _class_names(names: Any, classes: int) -> tuple[str, ...] | None:
    """Return the names of the classes, if there are any."""
    if names is None:
        return None
    if not all(isinstance(name, str) for name in names) or len(set(names)) != classes:
        raise InputError(f"expected `class_names` of {classes} classes that differ")
    return tuple(names)


def _check_splits(splits: Any, guarantees: list[AnyGuarantee]) -> None:
    """Require splits that the guarantees counted."""
    both = isinstance(splits, Mapping) and "tune" in splits
    strict(splits, {"calibrate": dict, **({"tune": dict} if both else {})}, "`splits`")
    calibrate = splits["calibrate"]
    of_score = splits["tune"] if both else calibrate
    for name, split in splits.items():
        fields: dict[str, type] = {"n": int, "digest": str}
        if "sample" in split:  # not of rejectors before
            fields["sample"] = dict
        if split is of_score:
            fields["log_probs"] = bool
            if "filler" in split:  # only of logits with masked classes
                fields["filler"] = float
        if split is calibrate:
            fields["used"] = int
            if "masked" in split:  # only of logits with classes that are never possible
                fields["masked"] = list
        strict(split, fields, f"split {name!r}")
        if "sample" in split:
            strict(split["sample"], dict.fromkeys(PRECISIONS, dict), "`sample`")
            row_samples_of(split)
        if split["n"] < 1 or not DIGEST.fullmatch(split["digest"]):
            raise InputError("expected splits with `n` >= 1 and a `digest` of sha256")
    if not -np.inf < of_score.get("filler", -1.0) < 0:
        raise InputError("expected `filler` finite and < 0")
    if not all(type(k) is int and k >= 0 for k in calibrate.get("masked", ())):
        raise InputError("expected `masked` classes as indices")
    used, n = calibrate["used"], calibrate["n"]
    counted, unit = sum(g.n for g in guarantees), guarantees[0].unit
    if used != counted or used > n or (unit == ROWS and used != n):
        raise InputError(
            f"expected the calibration split to be the {counted} {unit} of the guarantee, "
            f"got {used} of {n} rows"
        )
    if both and of_score["digest"] == calibrate["digest"] and not guarantees[0].void:
        raise InputError("tune and calibrate are the same data, and the guarantee is not void")


def row_samples_of(split: Mapping[str, Any]) -> dict[str, RowSample]:
    """Return the samples of rows of a split; none of a rejector that was saved before."""
    return {name: RowSample.from_dict(x) for name, x in split.get("sample", {}).items()}


def _tuning(data: Any) -> TuningFacts | str:
    """Return why the score was chosen; the sentence of version 1 as it is."""
    if isinstance(data, str):
        return data
    outcome = data.get("outcome")
    if outcome not in get_args(Outcome):
        raise InputError(f"expected a known `outcome` of tuning, got {outcome!r}")
    absent = () if outcome in COMPARED else ("gain", "gain_se")
    if outcome not in (*COMPARED, "fixed_other") and data.get("alternative", 0) is None:
        absent += ("alternative",)
    absent += () if outcome in TOO_FEW else ("needed",)
    absent += () if data.get("objective") == "coverage" else ("target_risk",)
    absent += ("beyond",) if data.get("beyond", 0) is None else ()
    strict(data, {**TUNING, **dict.fromkeys(absent, type(None))}, "`tuning`")
    facts = TuningFacts(**data)
    if facts.beyond is not None and not facts.errors < 2 * facts.beyond <= 2 * facts.errors:
        raise InputError(f"expected `beyond`: most of {facts.errors} errors, got {facts.beyond}")
    sentence(facts)  # refuses numbers that do not fit each other
    return facts


def check_kind(kind: str, classes: int) -> None:
    """Require a known input kind, and two classes of a binary head, or one confidence."""
    least = 2 if of_classes(kind) else 1
    if classes < least or kind not in KINDS or (kind == "binary" and classes != 2):
        raise InputError(
            f"expected `classes` >= {least} and a known `kind`, got {classes} and {kind!r}"
        )


def _nothing(z: Float[Array, "0 K ..."], classes: int, kind: str) -> Predictions:
    """No rows have no decisions."""
    if of_classes(kind):
        check_logits_form((1, *z.shape[1:]), z.dtype)
    else:
        z = z.reshape(0, *(z.shape[1:] or (1,)))
    check_classes(z.shape[1], classes, kind)
    empty = np.empty((0, *z.shape[2:]))
    return Predictions(*(empty.astype(t) for t in (int, np.float32, bool, float)))


def check_classes(classes: int, fitted: int, kind: str = "logits") -> None:
    """A rejector decides on logits of as many classes, or confidences, as it was fitted to."""
    if classes != fitted:
        what = "logits of {} classes" if of_classes(kind) else "{} confidences a row"
        raise InputError(f"expected {what.format(fitted)}, as fitted, got {classes}")


def _score(data: Any, kind: str, classes: int) -> Score:
    """The score, of parameters that it can take, on what the files hold."""
    strict(data, {"name": str, "params": dict}, "`score`")
    check_kind(kind, classes)
    score = Score.from_dict(data)
    if kind == "probs" and score.name not in (*SOFTMAX_FAMILY, EXPECTED_COST):
        raise InputError(f"expected a score that probabilities can give, got {score}")
    if (score.name in OF_CONFIDENCES) == of_classes(kind):
        raise InputError(f"expected a score of {kind}, got {score}")
    # refuses values that its parameters cannot take
    score(np.zeros((1, max(2, classes) if of_classes(kind) else classes)))
    return score


def _check_costs(score: Score, rules: tuple[Rule, ...]) -> None:
    """Require a guarantee of the mean cost, and its threshold, of a score by costs alone."""
    by_costs = score.name == EXPECTED_COST
    if any((rule.guarantee.kind == "mean_cost") != by_costs for rule in rules):
        raise InputError(f"expected a guarantee of decisions by {score}, got another kind")
    if not by_costs:
        return
    largest = float(cost_table(score.params["costs"]).max())
    threshold, held = rules[0].threshold, getattr(rules[0].guarantee, "largest", None)
    if len(rules) > 1 or (threshold, held) != (THRESHOLD, largest):
        raise InputError(f"expected the threshold 0 and costs up to {largest:g}, as of {score}")


def _isotonic_map(data: Any) -> IsotonicMap:
    strict(data, {"confidence": list, "probability": list}, "`p_correct`")
    isotonic_map = IsotonicMap(*(tuple(data[name]) for name in IsotonicMap._fields))
    if not isotonic_map.valid():
        raise InputError("expected an increasing `p_correct` inside 0 and 1")
    return isotonic_map
