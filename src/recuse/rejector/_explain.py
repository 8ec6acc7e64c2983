"""Explanations of single decisions.

n = rows of the file, K = classes, r = rows asked for, f = features of a learned score.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from recuse.errors import InputError
from recuse.io import LogitsFile
from recuse.rejector._rejector import Rejector
from recuse.rejector._rules import CLASS, SUBGROUP
from recuse.scores import FEATURES, Score, features

if TYPE_CHECKING:
    from jaxtyping import Float, Int
    from numpy import ndarray as Array
    from numpy.typing import ArrayLike

RUNNERS_UP = 2  # classes that are named after the predicted one


@dataclass(frozen=True)
class Explanation:
    """One decision, and what it rests on."""

    id: int | str
    row: int
    accept: bool
    prediction: int
    probability: float  # of the prediction, by the softmax
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
    file: LogitsFile,
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
    >>> found, = explain(rejector, LogitsFile(z), [5])
    >>> found.row, found.accept, found.prediction == int(z[5].argmax()), len(found.runners_up)
    (5, True, True, 2)
    """
    if file.logits.ndim > 2:
        raise InputError(
            f"{file.name}: expected rows of one prediction each, got {file.logits.shape}"
        )
    found = rejector.predict(file.logits, subgroups)
    threshold = np.broadcast_to(
        rejector.thresholds(found.prediction, subgroups), found.prediction.shape
    )
    of = {CLASS: found.prediction, SUBGROUP: subgroups}.get(rejector.by)
    rows = np.array([row for name in ids for row in _rows_of(file, name)], dtype=int)
    z = file.logits[rows]
    order, probability = ranked(z)
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
            p_at_threshold=float(at[i]) if threshold[row] < np.inf else None,
            less_certain=float((found.confidence < found.confidence[row]).mean()),
            runners_up=tuple(zip(order[i, 1 : top + 1].tolist(), probability[i, 1:].tolist())),
            average=average,
            contributions=tuple(zip(FEATURES, shares[i].tolist())) if average is not None else (),
        )
        for i, row in enumerate(rows)
    ]


def ranked(logits: Array) -> tuple[Int[Array, "n K ..."], Float[Array, "n K ..."]]:
    """Classes by descending logit, ties by index, and their softmax probabilities.

    Args:
        logits: Shape (n, K, ...).

    >>> order, probability = ranked(np.log([[0.25, 0.5, 0.25]]))
    >>> order.tolist(), probability.round(2).tolist()
    ([[1, 0, 2]], [[0.5, 0.25, 0.25]])
    """
    from scipy.special import softmax

    z = logits.astype(np.float64)
    order = np.argsort(-z, axis=1, kind="stable")
    return order, np.take_along_axis(softmax(z, axis=1), order, axis=1)


def contributions(score: Score, logits: Array) -> tuple[float | None, Float[Array, "r f"]]:
    """Return the learned score of an average tuning row, and what each feature adds to it.

    The line through the log-odds of MSP counts with the first feature, which they are.
    """
    if score.name != "learned":
        return None, np.empty((len(logits), 0))
    p, x = score.params, features(logits)
    names = ("weights", "center", "scale", "low", "high")
    weights, center, scale, low, high = (np.array(p[name], np.float64) for name in names)
    shares = weights * (np.clip(x, low, high) - center) / scale
    shares[:, 0] += p["slope"] * (x[:, 0] - center[0])
    return p["slope"] * center[0] + p["intercept"], shares


def _rows_of(file: LogitsFile, name: int | str) -> list[int]:
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
