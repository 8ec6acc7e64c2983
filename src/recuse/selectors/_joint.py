"""The share of all predictions that are accepted and wrong.

n = calibration rows, m = thresholds, decreasing. It can only grow as a threshold falls, so that no
price is paid for trying all of them: `docs/which-guarantee.md` has the proofs.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from recuse.bounds import binomial_p_value
from recuse.selectors._grid import EVERYTHING, Counts, counts, thresholds_between
from recuse.selectors._guarantee import ACCEPTED, ALL_PREDICTIONS, Guarantee
from recuse.selectors._labels import LARGEST_SAMPLE, accepted_needed
from recuse.selectors._methods import METHODS, Method, Plan, Splits, band_upper, mean_test

if TYPE_CHECKING:
    from jaxtyping import Float32
    from numpy import ndarray as Array


def monotone(s: Splits, target: float, delta: float) -> Plan:
    """The last threshold whose accepted errors, among all n rows, pass one test at delta.

    At the lowest threshold whose share is still the target, so few errors are found with
    probability <= delta; a lower threshold passes only if that one does.

    References:
        Bates et al., J. ACM 2021 (risk-controlling prediction sets), theorem 1.
    """
    test, n = mean_test(s.binary), s.confidence.size
    grid = down_to_everything(s.confidence)
    held = counts(s.confidence, s.loss, grid)
    of_all = Counts(np.full(grid.size, n), held.errors)
    allowed = int((grid >= s.floor).sum())

    def choose(risk: float) -> int | None:
        def fails(i: int) -> bool:
            return bool(test(Counts(of_all.accepted[i], of_all.errors[i]), risk) > delta)

        passing = bisect_left(range(allowed), True, key=fails)
        return passing - 1 if passing else None

    def enough(risk: float) -> int | None:
        rows = accepted_needed(held.errors[:1] / n, risk, delta)[0]
        return int(rows) if rows < LARGEST_SAMPLE else None

    least = lambda: float(band_upper(of_all, delta, s.binary)[0])  # noqa: E731
    return Plan(grid, held, of_all, n, delta, least, choose, enough=enough)


def recheck_monotone(g: Guarantee) -> tuple[float, float]:
    """Return the p-value of the accepted errors among all rows, and the level."""
    return float(binomial_p_value(g.errors, g.n, g.target_risk)), g.spent


def down_to_everything(c: Float32[Array, " n"]) -> Float32[Array, " m"]:
    """Return a threshold in each gap; the last accepts every finite confidence, seen or not.

    >>> down_to_everything(np.float32([3, 1, 1]))
    array([ 2.0000000e+00, -3.4028235e+38], dtype=float32)
    """
    return np.r_[thresholds_between(c)[:-1], np.float32(EVERYTHING)]


JOINT: dict[str, Method] = {"monotone": Method(monotone, recheck_monotone)}
METHODS_AMONG: Mapping[str, Mapping[str, Method]] = {ACCEPTED: METHODS, ALL_PREDICTIONS: JOINT}
