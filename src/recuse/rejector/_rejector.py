"""`Rejector`: logits in, decisions out; a JSON file that is read strictly.

n = examples, K = classes, ... = any trailing axes (pixels).
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from recuse._check import InputError, check_logits
from recuse._files import to_json, write_text
from recuse._json import checksum, once, strict
from recuse.io import KINDS
from recuse.rejector._knots import Knots
from recuse.rejector._promise import check_splits, read_guarantee
from recuse.scores import SOFTMAX_FAMILY, Score, predict
from recuse.selectors import Guarantee

if TYPE_CHECKING:
    from jaxtyping import Bool, Float, Float32, Int
    from numpy import ndarray as Array
    from numpy.typing import ArrayLike

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


class Predictions(NamedTuple):
    """Decisions of a rejector, one for each example (or pixel)."""

    label: Int[Array, "n ..."]
    confidence: Float32[Array, "n ..."]  # the ranking score, in its own unit
    accept: Bool[Array, "n ..."]  # confidence >= threshold
    p_correct: Float[Array, "n ..."]  # estimated probability of being right


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
        return {**body, "checksum": checksum(body)}

    def save(self, path: str | os.PathLike) -> None:
        """Write the JSON file, whole or not at all."""
        write_text(path, to_json(self.to_dict()) + "\n")

    @classmethod
    def load(cls, path: str | os.PathLike) -> Rejector:
        """Read what `save` wrote; anything else, or a file changed by hand, is refused.

        So is one whose parts disagree, whatever its checksum: the promise must follow from the
        recorded counts by the test of its method.

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
        _check_form(data)
        guarantee = read_guarantee(data["guarantee"])
        check_splits(data["splits"], guarantee)
        return cls(
            _score(data["score"], data["kind"], data["classes"]),
            _threshold(data["threshold"], data["threshold_hex"]),
            guarantee,
            data["classes"],
            _knots(data["p_correct"]),
            data["reason"],
            data["splits"],
            data["kind"],
        )


def _check_form(data: Mapping[str, Any]) -> None:
    """The fields, their types, and that nothing was changed."""
    if not isinstance(data, Mapping) or data.get("format") != FORMAT:
        raise InputError(f'expected "format": "{FORMAT}"')
    if data.get("version") != VERSION:
        raise InputError(f"expected version {VERSION}, got {data.get('version')!r}")
    strict(data, {**FIELDS, "checksum": str}, "a rejector")
    if data["checksum"] != checksum({k: data[k] for k in FIELDS}):
        raise InputError("its content was changed after it was saved (checksum differs)")


def check_kind(kind: str, classes: int) -> None:
    """What files hold must be known, and a binary head has two classes."""
    if classes < 2 or kind not in KINDS or (kind == "binary" and classes != 2):
        raise InputError(f"expected `classes` >= 2 and a known `kind`, got {classes} and {kind!r}")


def _score(data: Any, kind: str, classes: int) -> Score:
    """The score, of parameters that it can take, on what the files hold."""
    strict(data, {"name": str, "params": dict}, "`score`")
    check_kind(kind, classes)
    score = Score.from_dict(data)
    if kind == "probs" and score.name not in SOFTMAX_FAMILY:
        raise InputError(f"expected a score that probabilities can give, got {score}")
    score(np.zeros((1, 2)))  # refuses values that its parameters cannot take
    return score


def _knots(data: Any) -> Knots:
    strict(data, {"confidence": list, "probability": list}, "`p_correct`")
    knots = Knots(*(tuple(data[name]) for name in Knots._fields))
    if not knots.valid():
        raise InputError("expected an increasing `p_correct` inside 0 and 1")
    return knots


def _threshold(decimal: str, exact: str) -> float:
    threshold = float.fromhex(exact)
    with np.errstate(over="ignore"):
        rounded = float(np.float32(threshold))
    if float(decimal) != threshold or rounded != threshold or np.isinf(threshold):
        raise InputError("expected a threshold that is a finite float32, the same in both forms")
    return threshold
