"""Are the labels in the order of the outputs?

n = predictions, K = classes; counts (2, K, K) = rows of even and of odd number by label and by
predicted class.
"""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from recuse.errors import DataWarning
from recuse.present.tuning import class_order_note

if TYPE_CHECKING:
    from jaxtyping import Int
    from numpy import ndarray as Array

MOST_CLASSES = 2000  # the assignment takes K^3 steps
FEWEST_ROWS = 20  # of moved labels, in each half
LEAST_SHARE = 0.02  # of the rows, that have moved labels
AGREE = 0.3  # least agreement of the other order, between chance (0) and always (1)
CHANCE = 0.05  # largest agreement of the given order
CERTAIN = 5.0  # standard errors of the gain


class ClassOrder(NamedTuple):
    """An order of the classes that fits the labels where the given one does not."""

    output: dict[int, int]  # of each label that has moved
    agreement: float  # share of their rows that are predicted so
    accuracy: float  # of all rows, as they are
    reordered: float  # of all rows, with these labels moved

    def __str__(self) -> str:
        return class_order_note(self.output, self.agreement, self.accuracy, self.reordered)


class Pairs:
    """Counts of label and prediction, part by part; nothing with more than 2,000 classes."""

    def __init__(self, classes: int):
        self.classes = classes
        self.rows = 0
        self.counts = np.zeros((2, classes, classes) if classes <= MOST_CLASSES else 0, np.int64)

    def __call__(
        self,
        predicted: Int[Array, "n ..."],
        labels: Int[Array, "n ..."],
        ignore_index: int | None = None,
    ) -> None:
        """Count a part."""
        y, p = labels.reshape(-1).astype(np.int64), predicted.reshape(-1)
        if ignore_index is not None:
            y, p = y[y != ignore_index], p[y != ignore_index]
        if self.counts.size:
            half = (self.rows + np.arange(len(y))) % 2
            index = (half * self.classes + y) * self.classes + p
            if index.size < self.counts.size:
                np.add.at(self.counts.reshape(-1), index, 1)
            else:
                found = np.bincount(index, minlength=self.counts.size)
                self.counts += found.reshape(self.counts.shape)
        self.rows += len(y)

    def order(self) -> ClassOrder | None:
        """Return the order that the labels follow, if not that of the outputs."""
        return class_order(self.counts) if self.counts.size else None


def class_order(counts: Int[Array, "2 K K"]) -> ClassOrder | None:
    r"""Find a one-to-one order of the classes that the labels follow, and the outputs do not.

    The order is that of the most right predictions (a linear assignment), from one half of the
    rows. A label has moved if it meets its new output more than twice as often as its own, at
    least 3 times, and moved labels take each other's outputs. On the other half, and the other way
    round, the rows of moved labels are counted: how many have the new output, and how many their
    own. Agreement is $(r - e) / (1 - e)$, with e the rate of independent labels and predictions,
    so a model that always says one class has none. There is another order if both halves name
    moved labels, with 20 rows or more, these are 2 % of all rows or more, agree by 0.3 or more with
    the new order and by 0.05 or less with their own, and the gain exceeds 5 standard errors.

    A trained model, however poor, is seldom worse than chance on its own classes. Measured by
    `python -m benchmarks.class_order`: no alarm in 1,500 simulated poor models of 2 to 200 classes
    (random, of one class, of a few classes, of pairs that are confused, of a wrong prior); 6 alarms
    in 3,000 models of real tables fitted to 10 to 100 rows with 30 % of the labels permuted, some
    of which have learned another order. Of shifts and permutations of a model with an accuracy of
    75 %, with 50, 100 and 200 rows a class, 37, 66 and 86 % are found for 2 classes, 91, 99 and
    100 % for 3, and 99 to 100 % from 5 classes on; of a model that hardly says some of its classes,
    often none.
    """
    whole = counts.sum(axis=0)
    own, n = np.diagonal(whole), whole.sum()
    if not n or whole.sum(axis=1)[whole.max(axis=1) > 2 * own].sum() < LEAST_SHARE * n:
        return None
    halves = [_moved(half) for half in counts]
    new = old = rows = expected_new = expected_old = 0.0
    predicted = whole.sum(axis=0) / n
    for output, held in zip(halves, counts[::-1]):
        k, j = np.array([*output]), np.array([*output.values()])
        if not len(k) or held[k].sum() < FEWEST_ROWS:
            return None
        size = held[k].sum(axis=1)
        rows += size.sum()
        new, old = new + held[k, j].sum(), old + held[k, k].sum()
        expected_new += (size * predicted[j]).sum()
        expected_old += (size * predicted[k]).sum()
    agree, given = (
        (x - e) / max(rows - e, 1e-9) for x, e in ((new, expected_new), (old, expected_old))
    )
    gain = (new - old) / np.sqrt(new + old) if new > old else 0.0
    if rows < LEAST_SHARE * n or agree < AGREE or given > CHANCE or gain < CERTAIN:
        return None
    output = _moved(whole)
    k, j = np.array([*output]), np.array([*output.values()])
    moved, kept = whole[k, j].sum(), own.sum() - whole[k, k].sum()
    return ClassOrder(
        output,
        float(moved / whole[k].sum()),
        float(own.sum() / n),
        float((kept + moved) / n),
    )


def _moved(counts: Int[Array, "K K"]) -> dict[int, int]:
    """Return the output of each label that meets another one clearly more often than its own.

    Their own outputs must be taken by each other, but for the end of a chain: where a model never
    says a class and its rows go to another, nothing takes its place, and nothing has moved.
    """
    least = np.maximum(2 * np.diagonal(counts), 2)
    if (counts > least[:, None]).any(axis=1).sum() < 2:  # whatever the assignment
        return {}
    from scipy.optimize import linear_sum_assignment

    label, output = linear_sum_assignment(counts, maximize=True)
    moved = (output != label) & (counts[label, output] > least[label])
    label, output = label[moved], output[moved]
    taken = int(np.isin(label, output).sum())
    if taken < 2 or taken < min(len(label) - 1, 0.75 * len(label)):
        return {}
    return dict(zip(label.tolist(), output.tolist()))


def warn_of_class_order(where: str, order: ClassOrder) -> None:
    """Warn that labels are in another order than the outputs."""
    warnings.warn(f"{where}: {order}", DataWarning, stacklevel=3)
