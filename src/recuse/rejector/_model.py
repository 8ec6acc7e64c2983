"""What a rejector knows of its model: a name, and its outputs on the calibration rows.

n = rows, K = classes, q = quantities of a row, c = classes predicted often enough.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from recuse._internal.check import as_floats
from recuse._internal.files import strict
from recuse.errors import InputError
from recuse.io import HeldOut
from recuse.io._rows import of_classes
from recuse.scores._rows import energy_rows, score_rows_many
from recuse.scores._sums import Sums

if TYPE_CHECKING:
    from jaxtyping import Float, Int
    from numpy import ndarray as Array

QUANTITIES = ("spread", "mean", "maximum", "logsumexp")  # of the logits of a row
SHIFTED = QUANTITIES[1:]  # by a constant added to a row
TAIL = 0.01  # of the calibration rows, on either side
SLACK = 0.01  # and by so much of the spread; less is rounding
LEAST, UNITS = 100, 20  # rows, and images or groups; of fewer nothing is said
ROWS = 10_000  # evenly spaced over a file, that are looked at
OFTEN, CLASSES = 10, 5  # rows of a predicted class, and such classes, to compare runners-up
LESS, CHANCE = 0.5, 1e-6  # of the expected agreement, and the p-value of a lower one


class ModelChange(NamedTuple):
    """One respect in which outputs are not those of the model that a rejector was fitted to."""

    what: str  # "name", "runner_up", or one of `QUANTITIES`
    found: Any  # the name; the share of rows with the runner-up of calibration; the median
    expected: Any  # the name; the share in calibration; its 1 % and 99 % quantiles


class Fingerprint(NamedTuple):
    """The name of a model, and what its outputs on the calibration rows looked like.

    Outputs are said to differ if the median of a quantity lies beyond 99 % of the calibration
    rows, or if the runner-up that each predicted class mostly had in calibration comes second less
    than half as often. Neither can tell another model from other inputs, and a model trained
    again alike looks the same: a name that holds a digest of the weights tells both.

    Measured by `python -m benchmarks.fingerprint` on the models of `recuse demo` (4 seeds, 2
    losses, 600 rows): no alarm of other rows of the same distribution, nor of two classes of ten
    (0 of 40). Alarms: of logits times 2 or 5, or divided by 5, 8 of 8, divided by 2, 2 of 8; of
    their softmax or log-softmax 8 of 8; of the model of the other loss 6 of 8; of columns in
    random order 22 of 80, with 6,376 rows 51 of 80; of another seed 0 of 24. On random logits of
    100 and 300 classes, where any class may be the runner-up, none.
    """

    name: str | None
    low: tuple[float, ...]  # (q) 1 % quantiles
    high: tuple[float, ...]  # (q) 99 % quantiles
    classes: tuple[int, ...]  # (c)
    runner_up: tuple[int, ...]  # (c) the most frequent one of each
    share: tuple[float, ...]  # (c) of the rows of a class with this runner-up, by leave-one-out

    def to_dict(self) -> dict[str, Any]:
        """Return plain data for JSON."""
        return {"name": self.name} | {k: list(getattr(self, k)) for k in self._fields[1:]}

    def changes(
        self,
        name: str | None,
        z: Float[Array, "n K"],
        units: int,
        known: Float[Array, "q n"] | None = None,
    ) -> tuple[ModelChange, ...]:
        """Return how other outputs differ, by name and by `sampled` rows of so many units.

        Where their `quantities` are known already, they are given.
        """
        found = []
        if name is not None and self.name is not None and name != self.name:
            found.append(ModelChange("name", name, self.name))
        if len(z) >= LEAST and units >= UNITS:
            each = self._quantity(quantities(z) if known is None else known), self._runner_up(z)
            found += [change for change in each if change]
        return tuple(found)

    def _quantity(self, found: Float[Array, "q n"]) -> ModelChange | None:
        slack = SLACK * self.high[0]
        for what, median, *limits in zip(QUANTITIES, np.median(found, axis=1), self.low, self.high):
            if median < limits[0] - slack or median > limits[1] + slack:
                return ModelChange(what, float(median), tuple(limits))
        return None

    def _runner_up(self, z: Float[Array, "n K"]) -> ModelChange | None:
        from scipy.special import bdtr

        first = z.argmax(axis=1)
        rows = np.bincount(first, minlength=z.shape[1])
        expected, share = np.full(z.shape[1], -1), np.zeros(z.shape[1])
        expected[list(self.classes)], share[list(self.classes)] = self.runner_up, self.share
        known = (expected >= 0) & (rows >= OFTEN)
        if known.sum() < CLASSES:
            return None
        compared = known[first]
        first, z = first[compared], z[compared]
        second = _second(z, first)
        agreed, usual = int((second == expected[first]).sum()), float(share[first].mean())
        if bdtr(agreed, len(first), LESS * usual) >= CHANCE:
            return None
        return ModelChange("runner_up", agreed / len(first), usual)


def fingerprint(name: str | None, z: Float[Array, "n K"]) -> Fingerprint:
    """Return the fingerprint of `sampled` calibration rows."""
    z = z if len(z) else np.zeros((1, 2))
    first = z.argmax(axis=1)
    second = _second(z.copy(), first)
    classes = np.flatnonzero(np.bincount(first) >= OFTEN)
    counts = [np.bincount(second[first == k], minlength=1) for k in classes]
    limits = np.quantile(quantities(z), (TAIL, 1 - TAIL), axis=1)
    return Fingerprint(
        name,
        *(tuple(side.tolist()) for side in limits),
        tuple(classes.tolist()),
        tuple(int(count.argmax()) for count in counts),
        tuple(_share(count) for count in counts),
    )


def _share(counts: Int[Array, " m"]) -> float:
    """Return the share of rows whose runner-up is the most frequent one of the other rows.

    A row that helps to choose it must not count: of many possible runners-up and few rows, the
    most frequent one would seem to be usual. Ties among the others are broken at random.
    """
    most, rivals = counts.max(), (counts == counts.max() - 1).sum()
    if (counts == most).sum() > 1:
        return 0.0
    return float(most / counts.sum() / (1 + rivals))


def places(file: HeldOut) -> Int[Array, " n"]:
    """Return at most `ROWS` predictions that count, evenly spaced, as indices of all of them.

    Confidences have none: of their model the name is compared, and of the rest the coverage.
    """
    if not of_classes(file.kind):
        return np.zeros(0, int)
    counted = np.ones(file.logits[:, 0].shape, bool)
    if file.labels is not None and file.ignore_index is not None:
        counted = file.labels != file.ignore_index
    found = np.flatnonzero(counted)
    kept = min(ROWS, found.size)
    return found[np.arange(kept) * found.size // max(kept, 1)]


def sampled(file: HeldOut) -> Float[Array, "n K"]:
    """Return the logits of the predictions at `places`."""
    z, at = np.moveaxis(file.logits, 1, -1), places(file)
    if at.size == len(z) == z.size // z.shape[-1]:
        return as_floats(z)
    return as_floats(z[np.unravel_index(at, z.shape[:-1])])


def read_fingerprint(data: Any, classes: int) -> Fingerprint:
    """Return a fingerprint from a file; strict."""
    named = isinstance(data, dict) and data.get("name") is not None
    fields = {"name": str if named else type(None)}
    strict(data, fields | dict.fromkeys(Fingerprint._fields[1:], list), "`model`")
    found = Fingerprint(data["name"], *(tuple(data[key]) for key in Fingerprint._fields[1:]))
    indices, numbers = (*found.classes, *found.runner_up), (*found.low, *found.high, *found.share)
    if not (
        len(found.low) == len(found.high) == len(QUANTITIES)
        and len(found.classes) == len(found.runner_up) == len(found.share)
        and all(type(k) is int and 0 <= k < classes for k in indices)
        and all(type(x) in (int, float) and np.isfinite(x) for x in numbers)
    ):
        raise InputError(f"expected the fingerprint of a model of {classes} classes in `model`")
    return found


def quantity_rows(s: Sums) -> tuple[Float[Array, " r"], ...]:
    """Return the `QUANTITIES` of the possible logits of predictions."""
    return np.sqrt(s.variance), s.top + s.mean_gap, s.top, energy_rows(s, 1.0)


def quantities(z: Float[Array, "n K"]) -> Float[Array, "q n"]:
    """Return the `QUANTITIES` of each row."""
    return np.stack(list(score_rows_many(z, quantity_rows, len(QUANTITIES), np.float64)))


def _second(z: Float[Array, "n K"], first: Int[Array, " n"]) -> Int[Array, " n"]:
    """Return the runner-up of the predicted class; overwrites the logits."""
    z[np.arange(len(z)), first] = -np.inf
    return z.argmax(axis=1)
