r"""Areas under the curve as other programs define them, to match a published number.

n = examples, $r_k$ = mean loss of the first k, A = `recuse.aurc`, the mean of $r_k$.

| function | value | who |
|---|---|---|
| `recuse.aurc` | A | Galil et al., AsymptoticAURC (`get_em_AURC`) |
| `one_minus_aurc` | 1 - A | MAPIE (`auarc`), verified_calibration |
| `trapezoid_aurc` | A - r_n / 2n: from (0, 0) | FixSelectiveClassification, Xia et al. |
| `torch_uncertainty_aurc` | (nA - (r_1 + r_n) / 2) / (n - 1) | torch-uncertainty |
| `geifman_aurc` | (r_n + sum of E_k / (k + 1), k < n) / n | Geifman, AsymptoticAURC (`get_AURC`) |
| `geifman_e_aurc` | A - e - (1 - e) ln(1 - e), e = r_n | Geifman et al., Galil et al. |
| `fd_shifts_aurc` | 1000 x trapezoids over thresholds, from (0, r_1) | fd-shifts |
| `recuse.augrc` | the mean of k r_k / n | the sum that the others are near |
| `torch_uncertainty_augrc` | trapezoids of k r_k / n on [1/n, 1], rescaled | torch-uncertainty |
| `fd_shifts_augrc` | 1000 x trapezoids over thresholds, from (0, 0) | fd-shifts, Traub et al. |

Without ties each is exactly the peer's. With ties, the value of most programs depends on the
order of their input: here it is the mean over all orders. fd-shifts joins the points that a
threshold reaches by straight lines, and so does `fd_shifts_aurc`.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from recuse.curves._areas import augrc_of, aurc_of, harmonic
from recuse.curves._curve import curve_of
from recuse.curves._ranked import TieGroups, tie_groups

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

DISPLAYED = 1000  # fd-shifts shows areas times this


def one_minus_aurc(confidence: ArrayLike, loss: ArrayLike) -> float:
    """1 - AURC, the area under accuracy against coverage (MAPIE, verified_calibration).

    >>> round(one_minus_aurc([0.9, 0.7, 0.8], [0, 1, 0]), 4)
    0.8889
    """
    return 1 - aurc_of(tie_groups(confidence, loss))


def trapezoid_aurc(confidence: ArrayLike, loss: ArrayLike) -> float:
    """Trapezoids through (0, 0) and all (k/n, r_k) (FixSelectiveClassification, Xia et al.).

    >>> round(trapezoid_aurc([0.9, 0.7, 0.8], [0, 1, 0]), 4)
    0.0556
    """
    group = tie_groups(confidence, loss)
    n = group.count.sum()
    return float(aurc_of(group) - group.loss.sum() / n / (2 * n))


def torch_uncertainty_aurc(confidence: ArrayLike, loss: ArrayLike) -> float:
    """Trapezoids over coverages 1/n to 1, divided by 1 - 1/n; NaN for one example.

    >>> round(torch_uncertainty_aurc([0.7, 0.6, 0.8], [0, 1, 0]), 4)  # its documented example
    0.0833
    """
    group = tie_groups(confidence, loss)
    n = int(group.count.sum())
    if n < 2:
        return float("nan")
    ends = group.loss[0] / group.count[0] + group.loss.sum() / n
    return float((n * aurc_of(group) - ends / 2) / (n - 1))


def torch_uncertainty_augrc(confidence: ArrayLike, loss: ArrayLike) -> float:
    """Trapezoids under k r_k / n over coverages 1/n to 1, rescaled; NaN for one example.

    >>> round(torch_uncertainty_augrc([0.7, 0.6, 0.8], [0, 1, 0]), 4)
    0.0833
    """
    group = tie_groups(confidence, loss)
    n = int(group.count.sum())
    if n < 2:
        return float("nan")
    ends = group.loss[0] / group.count[0] / n + group.loss.sum() / n
    return float((n * augrc_of(group) - ends / 2) / (n - 1))


def geifman_aurc(confidence: ArrayLike, loss: ArrayLike) -> float:
    """Area of Geifman's program, which divides the summed loss of the first k by k + 1.

    >>> round(geifman_aurc([0.9, 0.7, 0.8], [0, 0, 1]), 4)  # (1/3 + 0/2 + 1/3) / 3
    0.2222
    """
    group = tie_groups(confidence, loss)
    end = np.cumsum(group.count)
    before, n = np.cumsum(group.loss) - group.loss, int(end[-1])
    h = harmonic(n + 1)
    slope = group.loss / group.count
    start = end - group.count + 1  # the first denominator, less one
    areas = group.loss + (before - slope * start) * (h[end + 1] - h[start])
    total = group.loss.sum()
    return float((np.sum(areas) - total / (n + 1) + total / n) / n)


def geifman_e_aurc(confidence: ArrayLike, loss: ArrayLike) -> float:
    """AURC less e + (1 - e) ln(1 - e), the limit of the best one at the error rate e.

    Galil et al. take `recuse.aurc` for the first term, as here. For few examples it differs
    from `recuse.e_aurc`, and it is only meant for 0-1 losses.

    >>> round(geifman_e_aurc([0.9, 0.7, 0.8], [0, 1, 0]), 4)
    0.0481
    """
    group = tie_groups(confidence, loss)
    e = float(group.loss.sum() / group.count.sum())
    best = e + (1 - e) * math.log1p(-e) if e < 1 else 1.0
    return aurc_of(group) - best


def fd_shifts_aurc(confidence: ArrayLike, loss: ArrayLike) -> float:
    """1000 times the trapezoids through the reachable points, level below the first.

    >>> round(fd_shifts_aurc([0.9, 0.7, 0.8], [0, 1, 0]), 2)
    55.56
    """
    return _over_thresholds(tie_groups(confidence, loss), generalized=False)


def fd_shifts_augrc(confidence: ArrayLike, loss: ArrayLike) -> float:
    """1000 times the trapezoids through (0, 0) and the reachable points of k r_k / n.

    >>> round(fd_shifts_augrc([0.9, 0.7, 0.8], [0, 1, 0]), 2)
    55.56
    """
    return _over_thresholds(tie_groups(confidence, loss), generalized=True)


def _over_thresholds(group: TieGroups, generalized: bool) -> float:
    curve = curve_of(group)
    risk = curve.risk * curve.coverage if generalized else curve.risk
    x = np.r_[0.0, curve.coverage]
    y = np.r_[0.0 if generalized else risk[0], risk]
    return float(DISPLAYED * np.sum(np.diff(x) * (y[1:] + y[:-1]) / 2))
