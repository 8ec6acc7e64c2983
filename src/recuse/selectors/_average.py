"""Guarantees on average over calibration splits: conformal, without a confidence level.

n = calibration rows, m = rows of a batch. `docs/which-guarantee.md` has the proofs.
"""

from __future__ import annotations

import math
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from recuse._internal.check import check_confidence, check_fraction, check_zero_one
from recuse.present import guarantee as words
from recuse.selectors._grid import counts
from recuse.selectors._guarantee import AverageGuarantee, Infeasible, Selection
from recuse.selectors._joint import down_to_everything
from recuse.selectors._methods import ROUNDING
from recuse.selectors._select import check_split

if TYPE_CHECKING:
    from jaxtyping import Bool, Float
    from numpy import ndarray as Array
    from numpy.typing import ArrayLike


def select_on_average(confidence: ArrayLike, loss: ArrayLike, *, target_risk: float) -> Selection:
    r"""Choose a threshold that lets few errors through, on average over calibration splits.

    The lowest threshold $t$ with $(E(t) + 1) / (n + 1) \le r$, where $E(t)$ is the loss of the
    calibration rows that it accepts. The next prediction is then accepted and wrong with
    probability at most $r$, over the draw of the calibration split and of that prediction. A
    single split may give a threshold that lets more through: there is no confidence to choose, and
    fewer rows are needed than by `select(among="all")`: 49 in place of 149 for 2 %.

    Args:
        confidence: Shape (n,), of the calibration split; compared as float32. One row of each
            group, where rows depend on each other.
        loss: Shape (n,), in [0, 1]: 0 or 1 (errors), or any between.
        target_risk: In (0, 1): the largest share of all predictions that are accepted and wrong.

    Returns:
        A `Selection`, whose guarantee is an `AverageGuarantee`.

    Raises:
        InputError: Malformed input.

    References:
        Angelopoulos et al., Conformal risk control, ICLR 2024.

    >>> rng = np.random.default_rng(0)
    >>> confidence = rng.uniform(size=1000)
    >>> wrong = rng.uniform(size=1000) > confidence
    >>> selection = select_on_average(confidence, wrong, target_risk=0.05)
    >>> selection.guarantee.errors  # and one more are 5 % of 1,001
    49
    """
    target, (c, l) = check_fraction(target_risk, "target_risk"), check_split(confidence, loss)
    grid, n = down_to_everything(c), c.size
    held = counts(c, l, grid)
    passing = np.flatnonzero(held.errors + 1 <= target * (n + 1) * (1 + ROUNDING))
    if not passing.size:
        smallest = float(held.errors[0] + 1) / (n + 1)
        least = _fewest(target)
        reason = Infeasible(smallest if smallest < 1 else None, error_free_rows=least)
        return Selection(float("inf"), AverageGuarantee(target, n, 0, 0), reason)
    accepted, errors = (column[passing[-1]].item() for column in held)
    guarantee = AverageGuarantee(target, n, accepted, errors)
    return Selection(float(grid[passing[-1]]), guarantee)


@dataclass(frozen=True, eq=False)
class BatchSelection:
    """Which rows of one batch to accept; says nothing of rows of another batch."""

    accept: Bool[Array, " m"]
    p_value: Float[Array, " m"]  # conformal, of "this row is wrong"
    target_risk: float
    n: int  # calibration rows
    errors: int  # of them, accepted or not

    @property
    def m(self) -> int:
        """Rows of the batch."""
        return self.accept.size

    @property
    def accepted(self) -> int:
        """Rows of the batch that are accepted."""
        return int(self.accept.sum())

    @property
    def calibration_needed(self) -> int:
        """Calibration rows of which fewer can accept nothing of any batch."""
        return _fewest(self.target_risk)

    @property
    def batch_needed(self) -> int:
        """Rows of the batch that, more confident than every wrong calibration row, are accepted."""
        return _up((1 - ROUNDING) * self.m / (self.n + 1) / self.target_risk)

    def __str__(self) -> str:
        return words.batch_sentence(self)

    def to_dict(self) -> dict[str, Any]:
        """Return plain data for JSON."""
        columns = {"accept": self.accept.tolist(), "p_value": self.p_value.tolist()}
        names = ("target_risk", "n", "errors", "m", "accepted")
        return {name: getattr(self, name) for name in names} | columns


def select_batch(
    confidence: ArrayLike, loss: ArrayLike, batch_confidence: ArrayLike, *, target_risk: float
) -> BatchSelection:
    r"""Choose which rows of one batch to accept, so that few of them are wrong on average.

    The expected share of wrong rows among the accepted (0 where nothing is accepted) is at most
    `target_risk`, over the draw of the calibration split and of the batch. A row of confidence c
    has the conformal p-value $(1 + W(c)) / (n + 1)$, where $W(c)$ is the number of wrong
    calibration rows with a confidence of at least c, and Benjamini and Hochberg's procedure
    chooses among the m rows. Equal confidences are accepted together.

    Args:
        confidence: Shape (n,), of the calibration split; compared as float32.
        loss: Shape (n,), 0 or 1.
        batch_confidence: Shape (m,), of rows from the same distribution, without labels. One row
            of each group, there and in the calibration split, where rows depend on each other.
        target_risk: In (0, 1).

    Raises:
        InputError: Malformed input, or a loss that is not 0 or 1.

    References:
        Jin & Candès, Selection by prediction with conformal p-values, JMLR 2023.

    >>> rng = np.random.default_rng(0)
    >>> confidence = rng.uniform(size=1000)
    >>> wrong = rng.uniform(size=1000) > confidence
    >>> found = select_batch(confidence, wrong, rng.uniform(size=200), target_risk=0.2)
    >>> found.accepted, found.m
    (56, 200)
    """
    target, (c, l) = check_fraction(target_risk, "target_risk"), check_split(confidence, loss)
    check_zero_one(l, what="conformal p-values of errors")
    batch = check_confidence(batch_confidence, where="`batch_confidence`").astype(np.float32)
    wrong, of_batch = np.sort(c[l == 1]), np.sort(batch)
    above = wrong.size - np.searchsorted(wrong, batch)  # wrong calibration rows
    taken = batch.size - np.searchsorted(of_batch, batch)  # rows of the batch
    allowed = target * taken * (c.size + 1) * (1 + ROUNDING)
    passing = (1 + above) * batch.size <= allowed
    lowest = batch[passing].min() if passing.any() else np.inf
    p_value = (1 + above) / (c.size + 1)
    return BatchSelection((batch >= lowest) & passing.any(), p_value, target, c.size, wrong.size)


def _fewest(target: float) -> int:
    """Return the calibration rows of which one error more is the target."""
    return _up((1 - ROUNDING) / target) - 1


def _up(x: float) -> int:
    """Return x rounded up; what is beyond a float's range is its end."""
    return math.ceil(min(x, sys.float_info.max))
