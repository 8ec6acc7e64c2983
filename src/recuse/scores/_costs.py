"""The cheapest answer under a matrix of costs, and whether abstaining is cheaper still.

r = predictions of one chunk, K = classes; row k of the costs is of label k: the cost of answering
with each class, and last that of abstaining.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from recuse._kernels.arithmetic import FLOOR, exp
from recuse.errors import InputError
from recuse.scores._rows import predict_and_score, score_rows

if TYPE_CHECKING:
    from jaxtyping import Float, Float32, Int
    from numpy import ndarray as Array
    from numpy.typing import ArrayLike

    from recuse.scores._sums import Sums

EXPECTED_COST = "expected_cost"
LARGEST = 1e20
GRID = 2.0**40  # steps of the largest cost: expected costs that tie but for rounding are equal


class Answers(NamedTuple):
    """The cheapest answer to every row."""

    prediction: Int[Array, "n ..."]
    confidence: Float32[Array, "n ..."]  # what it saves against abstaining, in units of the costs
    probability: Float[Array, "n ..."]  # of the prediction, calibrated


def expected_cost(
    logits: ArrayLike, *, temperature: float, costs: Sequence[float]
) -> Float32[Array, "n ..."]:
    r"""Expected cost of abstaining, less that of the cheapest answer.

    $\sum_k \pi_k (c_{k,K} - c_{k,j})$ with $\pi$ the softmax of the logits at the temperature, $j$
    the answer of the smallest expected cost, the lowest index of equals, and $c_{k,K}$ the cost of
    abstaining. So the answer is accepted from 0 on (Chow). A class that is impossible in a row
    (-inf) is no answer there. Expected costs are rounded to $2^{-40}$ of the largest cost.

    Args:
        logits: Shape (n, K, ...).
        temperature: Positive.
        costs: K (K + 1) numbers >= 0, row by row: of each label, the cost of each answer, and of
            abstaining.

    Raises:
        InputError: The parameters are not those of K classes.

    References:
        Chow, IEEE Trans. Inf. Theory 1970.

    >>> costs = (0, 1, 0.25, 10, 0, 0.25)  # a false alarm costs 1, a miss 10
    >>> z = np.log([[0.99, 0.01], [0.9, 0.1], [0.5, 0.5]])
    >>> expected_cost(z, temperature=1.0, costs=costs)
    array([ 0.15, -0.65, -0.25], dtype=float32)
    """
    known = checked_costs(tuple(costs), temperature)
    return score_rows(logits, lambda s: _asked(s, temperature, known)[1])


def cheapest(logits: ArrayLike, *, temperature: float, costs: Sequence[float]) -> Answers:
    """Return the cheapest answer to every row; the parameters are those of `expected_cost`."""
    known = checked_costs(tuple(costs), temperature)
    _, found = predict_and_score(logits, lambda s: _asked(s, temperature, known), 3, np.float64)
    prediction, confidence, probability = found
    return Answers(prediction.astype(np.int64), confidence.astype(np.float32), probability)


def expected_costs(
    logits: Float[Array, "n K"], *, temperature: float, costs: Sequence[float]
) -> Float[Array, "n actions"]:
    """Return the expected cost of each answer, and last of abstaining; +inf if impossible."""
    table = cost_table(tuple(costs))
    expected, _ = _expected(logits.T, temperature, table)
    return expected.T * table.max()


def _asked(s: Sums, temperature: float, costs: tuple[float, ...]) -> Float[Array, "3 r"]:
    return s.ask("of_columns", _cheapest_of, temperature, costs)


def _cheapest_of(
    z: Float[Array, "K r"], temperature: float, costs: tuple[float, ...]
) -> Float[Array, "3 r"]:
    """Return prediction, confidence and probability of logits in columns."""
    table = cost_table(costs)
    if len(z) != len(table):
        raise InputError(f"expected logits of {len(table)} classes, as the costs, got {len(z)}")
    expected, probability = _expected(z, temperature, table)
    answer = expected[:-1].argmin(axis=0)
    least, own = (np.take_along_axis(x, answer[None], 0)[0] for x in (expected, probability))
    return np.stack([answer, (expected[-1] - least) * table.max(), own])


def _expected(
    z: Float[Array, "K r"], temperature: float, table: Float[Array, "K actions"]
) -> tuple[Float[Array, "actions r"], Float[Array, "K r"]]:
    """Return the expected costs over the largest, and the probabilities; label by label."""
    gap = (z.astype(np.float64) - z.max(axis=0)) / temperature
    weight = np.where(gap > -np.inf, exp(np.maximum(gap, FLOOR)), 0.0)
    total, spent = np.zeros(z.shape[1]), np.zeros((table.shape[1], z.shape[1]))
    terms = np.empty_like(spent)
    for w, costs in zip(weight, table / table.max()):
        total += w
        spent += np.multiply(costs[:, None], w, out=terms)
    expected = np.rint(spent / total * GRID) / GRID
    expected[:-1][weight == 0] = np.inf
    return expected, weight / total


def cost_table(costs: tuple[float, ...]) -> Float[Array, "K actions"]:
    """Return the costs as an array, a row for each label, abstaining last."""
    return np.array(costs, dtype=np.float64).reshape(classes_of(len(costs)), -1)


def classes_of(size: int) -> int:
    """Return the K of K (K + 1) costs; 0 of another size.

    >>> classes_of(6), classes_of(7)
    (2, 0)
    """
    classes = (math.isqrt(1 + 4 * size) - 1) // 2
    return classes if classes * (classes + 1) == size else 0


@lru_cache
def checked_costs(costs: tuple[float, ...], temperature: float) -> tuple[float, ...]:
    """Return the costs; refuse parameters that `expected_cost` cannot take."""
    if classes_of(len(costs)) < 2:
        raise InputError(f"expected K (K + 1) `costs` of K >= 2 classes, got {len(costs)}")
    if not (all(c >= 0 for c in costs) and 1 / LARGEST <= max(costs) <= LARGEST):
        raise InputError(f"expected `costs` >= 0, the largest up to {LARGEST:g}, got {max(costs)}")
    if not 0 < temperature < math.inf:
        raise InputError(f"expected a `temperature` above 0, got {temperature}")
    return costs
