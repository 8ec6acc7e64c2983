"""Standard errors and comparisons of AURC, without resampling.

n = examples, G = groups of rows that belong together (replicates of an image, pixels of a
scene). The influence of an example is how much AURC moves, times n, when it gains weight;
the variance of the influences is that of AURC.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from recuse._check import InputError, check_confidence, check_groups, check_loss
from recuse.curves import aurc, harmonic

if TYPE_CHECKING:
    from jaxtyping import Float
    from numpy import ndarray as Array
    from numpy.typing import ArrayLike

LEVEL = 0.95  # of every interval that is shown


@dataclass(frozen=True)
class Comparison:
    """AURC of a minus AURC of b on the same examples: negative means that a ranks better."""

    difference: float
    standard_error: float
    low: float  # 95 % interval
    high: float
    p_value: float  # two-sided; NaN where a difference has no standard error


def influence(confidence: ArrayLike, loss: ArrayLike) -> Float[Array, " n"]:
    r"""Influence of every example on AURC.

    With examples sorted by descending confidence and $w_i = \sum_{j \ge i} 1/j$:
    $\ell_i w_i - \sum_{j \ge i} \ell_j / j + \bar\ell - \overline{\ell w}$, where tied
    examples share the mean of $w$ and of the sum over their group.

    >>> influence([0.9, 0.8, 0.7], [0, 1, 0]).round(3)
    array([-0.444,  0.389,  0.056])
    """
    c = check_confidence(confidence)
    l = check_loss(loss, c.size)
    n = c.size
    order = np.lexsort((l, c))[::-1]
    c, l = c[order], l[order]
    start = np.flatnonzero(np.r_[True, c[1:] != c[:-1]])
    count = np.diff(np.r_[start, n])

    def tied(x: Array) -> Array:
        return np.repeat(np.add.reduceat(x, start) / count, count)

    h = harmonic(n)
    weight = tied(h[n] - h[:n])
    tail = tied(np.cumsum((tied(l) / np.arange(1, n + 1))[::-1])[::-1])
    out = np.empty(n)
    out[order] = l * weight - tail + l.mean() - (l * weight).mean()
    return out


def standard_error(
    confidence: ArrayLike, loss: ArrayLike, *, groups: ArrayLike | None = None
) -> float:
    """Standard error of AURC, from the influences.

    Args:
        confidence: Shape (n,).
        loss: Shape (n,).
        groups: Shape (n,): rows of equal value are resampled together, never apart.

    Raises:
        InputError: Malformed input, or fewer than two groups.

    >>> standard_error([0.9, 0.8, 0.7, 0.6], [0, 1, 0, 1]) > 0
    True
    """
    return float(np.sqrt(variance_of_mean(influence(confidence, loss), groups)))


def compare(
    confidence_a: ArrayLike,
    loss_a: ArrayLike,
    confidence_b: ArrayLike,
    loss_b: ArrayLike,
    *,
    groups: ArrayLike | None = None,
) -> Comparison:
    """Paired comparison of two scores, or two models, on the same examples.

    >>> better = compare([0.9, 0.8, 0.1, 0.2], [0, 0, 1, 0], [0.1, 0.8, 0.9, 0.2], [0, 0, 1, 0])
    >>> better.difference < 0
    True
    """
    from scipy.special import ndtr, ndtri

    difference = aurc(confidence_a, loss_a) - aurc(confidence_b, loss_b)
    a, b = influence(confidence_a, loss_a), influence(confidence_b, loss_b)
    if a.shape != b.shape:
        raise InputError(f"expected the same examples in a and b, got {a.size} and {b.size}")
    se = float(np.sqrt(variance_of_mean(a - b, groups)))
    half = float(ndtri((1 + LEVEL) / 2)) * se
    if se > 0:
        p_value = 2 * ndtr(-abs(difference) / se)
    else:
        p_value = 1.0 if difference == 0 else float("nan")
    return Comparison(difference, se, difference - half, difference + half, float(p_value))


def variance_of_mean(influence: Float[Array, " n"], groups: ArrayLike | None = None) -> float:
    """Variance of the mean of zero-mean influences, summed within groups first.

    Sums run in sorted order, so that the order of the input does not matter.
    """
    n = len(influence)
    if groups is None:
        sums = np.sort(influence)
    else:
        code = check_groups(groups, n)
        order = np.lexsort((influence, code))
        start = np.flatnonzero(np.diff(code[order], prepend=-1))
        sums = np.sort(np.add.reduceat(influence[order], start))
    if len(sums) < 2:
        raise InputError(f"expected at least 2 independent examples or groups, got {len(sums)}")
    return float(np.sum(sums**2) / n**2 * len(sums) / (len(sums) - 1))
