"""Stated against observed rates, in bins.

n = examples, K = classes, b = bins that are not empty, m = n times the trailing axes.

In every bin the mean gap has the sign s of the summed residual (stated minus observed); an
example's term is s times its own residual, so that the mean of the terms is the weighted gap.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from recuse._internal.check import check_bins
from recuse.calibration._rows import chunks, flat, measure, stated

if TYPE_CHECKING:
    from jaxtyping import Float, Int
    from numpy import ndarray as Array
    from numpy.typing import ArrayLike


class Reliability(NamedTuple):
    """Stated and observed rate of being right, for the bins that hold predictions."""

    probability: Float[Array, " b"]  # mean stated probability
    accuracy: Float[Array, " b"]  # fraction right
    count: Int[Array, " b"]


def reliability(probability: ArrayLike, loss: ArrayLike, *, bins: int = 15) -> Reliability:
    """Stated against observed probability of being right, in bins of equal width.

    The last bin is closed: a probability of exactly 1 falls into it.

    Args:
        probability: Shape (n,), in [0, 1]: the stated probability of being right.
        loss: Shape (n,), 0 or 1.
        bins: Number of equal bins of [0, 1].

    Raises:
        InputError: Malformed input.

    >>> reliability([1.0, 0.97, 0.5], [0, 1, 0], bins=10).accuracy
    array([1. , 0.5])
    """
    q, right = stated(probability, loss)
    return _reliability(equal_width(q, bins), q, right)


def equal_mass_reliability(
    probability: ArrayLike, loss: ArrayLike, *, bins: int = 15
) -> Reliability:
    """Stated against observed probability of being right, in bins of nearly equal count.

    Equal probabilities are never torn apart: all of them go where the middle of their
    ranks belongs. Args and errors as in `reliability`.

    >>> equal_mass_reliability([0.5, 0.6, 0.7, 0.7], [0, 1, 0, 0], bins=2).count
    array([2, 2])
    """
    q, right = stated(probability, loss)
    return _reliability(equal_mass(q, bins), q, right)


def ece(probability: ArrayLike, loss: ArrayLike, *, bins: int = 15) -> float:
    r"""Expected calibration error: mean gap of stated and observed rate, weighted by count.

    Bins of equal width, as in `reliability`. Binning hides gaps that cancel within a bin,
    and chance adds to what is left: a calibrated model has an ECE up to about
    $0.4 \sqrt{\text{bins} / n}$ in expectation, which no standard error tells.

    References:
        Naeini et al., AAAI 2015; Guo et al., ICML 2017; on its bias Kumar et al., NeurIPS 2019.

    >>> round(ece([0.9] * 100, [0] * 90 + [1] * 10), 12)
    0.0
    """
    return measure(ece_terms(probability, loss, bins=bins))


def equal_mass_ece(probability: ArrayLike, loss: ArrayLike, *, bins: int = 15) -> float:
    """`ece` in the bins of `equal_mass_reliability`.

    Modern classifiers put most of their probabilities into the last bins of equal width;
    these spread over them.

    References:
        Nguyen & O'Connor, EMNLP 2015; Nixon et al., CVPR workshops 2019.

    >>> round(equal_mass_ece([0.96, 0.97, 0.98, 0.99], [1, 0, 0, 0], bins=4), 3)
    0.255
    """
    return measure(equal_mass_ece_terms(probability, loss, bins=bins))


def classwise_ece(logits: ArrayLike, labels: ArrayLike, *, bins: int = 15) -> float:
    r"""`ece` of the probability of each class against its frequency, averaged over the classes.

    $\frac{1}{K} \sum_k \sum_b \frac{n_{bk}}{n} |\bar\pi_{bk} - \bar y_{bk}|$ with bins of
    equal width. With many classes most probabilities are tiny and so is the value.

    Args:
        logits: Shape (n, K, ...).
        labels: Shape (n, ...), integers.
        bins: Number of equal bins of [0, 1].

    Raises:
        InputError: Malformed input.

    References:
        Kull et al., NeurIPS 2019.

    >>> classwise_ece(np.array([[0.0, 0.0], [0.0, 0.0]]), [0, 1])
    0.0
    """
    return measure(classwise_ece_terms(logits, labels, bins=bins))


def ece_terms(probability: ArrayLike, loss: ArrayLike, *, bins: int = 15) -> Float[Array, " n"]:
    """The signed residual of each example."""
    q, right = stated(probability, loss)
    return _signed(equal_width(q, bins), q - right)


def equal_mass_ece_terms(
    probability: ArrayLike, loss: ArrayLike, *, bins: int = 15
) -> Float[Array, " n"]:
    """The signed residual of each example."""
    q, right = stated(probability, loss)
    return _signed(equal_mass(q, bins), q - right)


def classwise_ece_terms(
    logits: ArrayLike, labels: ArrayLike, *, bins: int = 15
) -> Float[Array, " m"]:
    """The signed residuals of each example, averaged over the classes."""
    z, y = flat(logits, labels)
    top, log_sum = np.empty(len(z)), np.empty(len(z))
    for part, gap, _ in chunks(z, y):
        top[part] = z[part].astype(np.float64).max(axis=1)
        log_sum[part] = np.log(np.exp(gap).sum(axis=1))
    out = np.zeros(len(z))
    for k in range(z.shape[1]):  # one column at a time: memory of a few (m,)
        pi = np.minimum(np.exp(z[:, k].astype(np.float64) - top - log_sum), 1)
        out += _signed(equal_width(pi, bins), pi - (y == k))
    return out / z.shape[1]


def equal_width(q: Float[Array, " n"], bins: int) -> Int[Array, " n"]:
    """The bin of each probability; 1 belongs to the last."""
    return np.minimum((q * check_bins(bins)).astype(np.intp), bins - 1)


def equal_mass(q: Float[Array, " n"], bins: int) -> Int[Array, " n"]:
    """The bin of each probability by the mean rank of its equals, in exact integers."""
    _, group, count = np.unique(q, return_inverse=True, return_counts=True)
    twice_rank = 2 * (np.cumsum(count) - count) + count - 1
    return (check_bins(bins) * twice_rank // (2 * q.size))[group.reshape(-1)]


def _reliability(
    index: Int[Array, " n"], q: Float[Array, " n"], right: Float[Array, " n"]
) -> Reliability:
    count = np.bincount(index)
    held = count > 0
    count = count[held]
    return Reliability(sums(index, q)[held] / count, sums(index, right)[held] / count, count)


def _signed(index: Int[Array, " n"], residual: Float[Array, " n"]) -> Float[Array, " n"]:
    """Residuals times the sign of their bin; a gap of 0 has one too, and so a spread."""
    return np.where(sums(index, residual) < 0, -1.0, 1.0)[index] * residual


def sums(index: Int[Array, " n"], values: Float[Array, " n"]) -> Float[Array, " bins"]:
    """Sums by index, whatever the order of the input."""
    order = np.lexsort((values, index))
    return np.bincount(index[order], values[order])
