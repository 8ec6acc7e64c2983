r"""Measures of probabilities: proper scores, and calibration errors with and without bins.

n = examples, K = classes, ... = any trailing axes, m = n times these, b = bins that are not empty,
g = grid points on [0, 1]. Each measure is the mean of its terms, one for each example.

In every bin the mean gap has the sign s of the summed residual (stated minus observed); an
example's term is s times its own residual, so that the mean of the terms is the weighted gap.
Without bins, the residual of each example is a mass at its probability: a heat kernel reflected at
0 and 1 spreads the masses, and the error is what does not cancel.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from recuse._internal.check import (
    check_bins,
    check_confidence,
    check_labels,
    check_logits,
    check_loss,
    check_zero_one,
    first,
    to_numpy,
)
from recuse.errors import InputError

if TYPE_CHECKING:
    from jaxtyping import Float, Int
    from numpy import ndarray as Array
    from numpy.typing import ArrayLike

CHUNK = 1 << 18  # logits a chunk (2 MB in float64): the passes over it stay in cache


def flat(logits: ArrayLike, labels: ArrayLike) -> tuple[Float[Array, "m K"], Int[Array, " m"]]:
    """Return checked logits and labels, one row for each label."""
    z = check_logits(logits)
    y = check_labels(labels, z)
    return np.moveaxis(z, 1, -1).reshape(-1, z.shape[1]), y.reshape(-1)


def chunks(
    z: Float[Array, "m K"], y: Int[Array, " m"]
) -> Iterator[tuple[slice, Float[Array, "r K"], Int[Array, " r"]]]:
    """Yield chunks of rows in float64, minus their maximum, with their labels."""
    step = max(1, CHUNK // z.shape[1])
    for start in range(0, len(z), step):
        part = slice(start, min(start + step, len(z)))
        chunk = z[part].astype(np.float64)
        top = chunk.max(axis=1, keepdims=True)
        empty = np.isneginf(top[:, 0])
        if empty.any():
            raise InputError(f"expected a finite logit in every row, got none, {first(empty)}")
        yield part, chunk - top, y[part]


def at(values: Float[Array, "r K"], labels: Int[Array, " r"]) -> Float[Array, " r"]:
    """Return the entry of each row at its label."""
    return np.take_along_axis(values, labels[:, None].astype(np.intp), axis=1)[:, 0]


def log_total(gap: Float[Array, "r K"]) -> Float[Array, " r"]:
    """Return log sum exp of rows whose maximum is 0, precise also where the others are tiny."""
    odds = np.exp(gap)
    np.put_along_axis(odds, gap.argmax(axis=1)[:, None], 0.0, axis=1)
    return np.log1p(odds.sum(axis=1))


def stated(
    probability: ArrayLike, loss: ArrayLike
) -> tuple[Float[Array, " n"], Float[Array, " n"]]:
    """Return the stated probability of being right, and 1 where the prediction was right."""
    q = check_confidence(probability, where="`probability`").astype(np.float64)
    if q.min() < 0 or q.max() > 1:
        raise InputError(f"expected `probability` in [0, 1], got {q.min():g} to {q.max():g}")
    return q, 1 - check_zero_one(check_loss(loss, q.size), what="calibration")


ROUNDING = {"float16": 2**-10, "bfloat16": 2**-7}  # relative
FLOAT32 = 2**-23  # float64 probabilities are often computed from float32, as those of logits


def rounding(probability: ArrayLike) -> float:
    """Return how far the format of these numbers may have moved them; that of float32 at least."""
    return ROUNDING.get(to_numpy(probability).dtype.name, FLOAT32)


def mean(terms: Float[Array, " n"]) -> float:
    """Return the mean, independent of the order."""
    return float(np.sort(terms).mean())


def measure(terms: Float[Array, " n"]) -> float:
    """Return the mean of terms whose true mean is not negative, at least 0."""
    return max(0.0, mean(terms))


STEPS = 1 << 15  # of the grid: widths down to 1e-4 are resolved to about 1 %, 1e-3 to 0.01 %


def nll(logits: ArrayLike, labels: ArrayLike) -> float:
    r"""Mean negative log-likelihood of the labels, in nats: $\log \sum_k e^{z_k} - z_y$.

    The cross entropy without smoothing. Infinite where a label has the logit -inf.

    Args:
        logits: Shape (n, K, ...).
        labels: Shape (n, ...), integers.

    Raises:
        InputError: Malformed input.

    >>> round(nll(np.array([[0.0, 0.0], [0.0, 0.0]]), [0, 1]), 4)
    0.6931
    """
    return measure(nll_terms(logits, labels))


def brier(logits: ArrayLike, labels: ArrayLike) -> float:
    r"""Mean of $\sum_k (\pi_k - 1\{k = y\})^2$ over the examples, 0 to 2, as Brier defined it.

    Others divide by 2 or by K, or mean `top_label_brier`. With two classes it is twice the
    score of one of the two probabilities.

    Args:
        logits: Shape (n, K, ...).
        labels: Shape (n, ...), integers.

    Raises:
        InputError: Malformed input.

    References:
        Brier, Monthly Weather Review 1950.

    >>> brier(np.array([[0.0, 0.0], [0.0, 0.0]]), [0, 1])
    0.5
    """
    return measure(brier_terms(logits, labels))


def top_label_brier(probability: ArrayLike, loss: ArrayLike) -> float:
    """Mean squared gap of the stated probability of being right and 1 or 0, 0 to 1.

    Args:
        probability: Shape (n,), in [0, 1]: the stated probability of being right.
        loss: Shape (n,), 0 or 1.

    Raises:
        InputError: Malformed input.

    >>> top_label_brier([0.5, 1.0], [0, 1])
    0.625
    """
    return measure(top_label_brier_terms(probability, loss))


def nll_terms(logits: ArrayLike, labels: ArrayLike) -> Float[Array, " m"]:
    """Return the negative log-likelihood of each label."""
    z, y = flat(logits, labels)
    out = np.empty(len(z))
    for part, gap, label in chunks(z, y):
        out[part] = log_total(gap) - at(gap, label)
    return out


def brier_terms(logits: ArrayLike, labels: ArrayLike) -> Float[Array, " m"]:
    """Return the squared distance of each example."""
    z, y = flat(logits, labels)
    out = np.empty(len(z))
    for part, gap, label in chunks(z, y):
        pi = np.exp(gap)
        pi /= pi.sum(axis=1, keepdims=True)
        out[part] = (pi**2).sum(axis=1) - 2 * at(pi, label) + 1
    return out


def top_label_brier_terms(probability: ArrayLike, loss: ArrayLike) -> Float[Array, " n"]:
    """Return the squared gap of each example."""
    q, right = stated(probability, loss)
    return (q - right) ** 2


class Reliability(NamedTuple):
    """Stated and observed rate of being right, for the bins that hold predictions."""

    probability: Float[Array, " b"]  # mean stated probability
    accuracy: Float[Array, " b"]  # fraction right
    count: Int[Array, " b"]


def reliability(probability: ArrayLike, loss: ArrayLike, *, bins: int = 15) -> Reliability:
    """Stated against observed probability of being right, in bins of equal width.

    The last bin is closed: a probability of exactly 1 falls into it. A bin holds its lower edge,
    and what lies below it by no more than the rounding of the format (of float32 at least): 0.9 is
    in the same bin in float32 and in float64.

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
    return _reliability(equal_width(q, bins, rounding(probability)), q, right)


def equal_mass_reliability(
    probability: ArrayLike, loss: ArrayLike, *, bins: int = 15
) -> Reliability:
    """Stated against observed probability of being right, in bins of nearly equal count.

    Equal probabilities stay together, in the bin of their mean rank. Arguments and errors as in
    `reliability`.

    >>> equal_mass_reliability([0.5, 0.6, 0.7, 0.7], [0, 1, 0, 0], bins=2).count
    array([2, 2])
    """
    q, right = stated(probability, loss)
    return _reliability(equal_mass(q, bins), q, right)


def ece(probability: ArrayLike, loss: ArrayLike, *, bins: int = 15) -> float:
    r"""Expected calibration error: mean gap of stated and observed rate, weighted by count.

    Bins of equal width, as in `reliability`. Binning hides gaps that cancel within a bin,
    and noise adds to the rest: a calibrated model has an expected ECE of up to about
    $0.4 \sqrt{\text{bins} / n}$, a bias that no standard error includes.

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
    """Return the signed residual of each example."""
    q, right = stated(probability, loss)
    return _signed(equal_width(q, bins, rounding(probability)), q - right)


def equal_mass_ece_terms(
    probability: ArrayLike, loss: ArrayLike, *, bins: int = 15
) -> Float[Array, " n"]:
    """Return the signed residual of each example."""
    q, right = stated(probability, loss)
    return _signed(equal_mass(q, bins), q - right)


def classwise_ece_terms(
    logits: ArrayLike, labels: ArrayLike, *, bins: int = 15
) -> Float[Array, " m"]:
    """Return the signed residuals of each example, averaged over the classes."""
    z, y = flat(logits, labels)
    top, log_sum = np.empty(len(z)), np.empty(len(z))
    for part, gap, _ in chunks(z, y):
        top[part] = z[part].astype(np.float64).max(axis=1)
        log_sum[part] = np.log(np.exp(gap).sum(axis=1))
    out = np.zeros(len(z))
    for k in range(z.shape[1]):  # one column at a time: memory of a few (m,)
        pi = np.minimum(np.exp(z[:, k].astype(np.float64) - top - log_sum), 1)
        out += _signed(equal_width(pi, bins, FLOAT32), pi - (y == k))
    return out / z.shape[1]


def equal_width(q: Float[Array, " n"], bins: int, error: float) -> Int[Array, " n"]:
    """Return the bin of each probability of this relative error; 1 belongs to the last."""
    return np.minimum((q * (1 + error) * check_bins(bins)).astype(np.intp), bins - 1)


def equal_mass(q: Float[Array, " n"], bins: int) -> Int[Array, " n"]:
    """Return the bin of each probability by the mean rank of its equals, in exact integers."""
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
    """Return residuals times the sign of their bin; a gap of 0 has a sign, and a spread, too."""
    return np.where(sums(index, residual) < 0, -1.0, 1.0)[index] * residual


def sums(index: Int[Array, " n"], values: Float[Array, " n"]) -> Float[Array, " bins"]:
    """Return sums by index, independent of the order of the input."""
    order = np.lexsort((values, index))
    return np.bincount(index[order], values[order])


def smooth_ece(probability: ArrayLike, loss: ArrayLike) -> float:
    r"""Smooth calibration error: the width $\sigma$ of a kernel that equals the error it leaves.

    $\mathrm{smECE}_\sigma = \int_0^1 |\frac1n \sum_i K_\sigma(t, q_i)(q_i - y_i)|\,dt$, with
    $K_\sigma$ the Gaussian reflected at 0 and 1, falls as $\sigma$ grows; the result is
    the only $\sigma$ with $\mathrm{smECE}_\sigma = \sigma$. There are no bins to choose,
    and it is continuous in the probabilities.

    relplot's bisection stops at a $\sigma$ known to 1/1024. It also counts probabilities in
    the last step of its grid, near 0 and 1, by half: where many are, it says something else.

    Args:
        probability: Shape (n,), in [0, 1]: the stated probability of being right.
        loss: Shape (n,), 0 or 1.

    Raises:
        InputError: Malformed input.

    References:
        Błasiok & Nakkiran, ICLR 2024.

    >>> round(smooth_ece([0.9] * 100, [0] * 90 + [1] * 10), 9)
    0.0
    >>> round(smooth_ece([0.9] * 100, [0] * 80 + [1] * 20), 4)
    0.1
    """
    return measure(smooth_ece_terms(probability, loss))


class _Masses(NamedTuple):
    """Residuals, shared between the two grid points around each probability."""

    index: Int[Array, " n"]  # of the lower point
    upper: Float[Array, " n"]  # share of the upper point
    residual: Float[Array, " n"]


def smooth_ece_terms(probability: ArrayLike, loss: ArrayLike) -> Float[Array, " n"]:
    r"""Terms by the delta method: at the width found, smECE moves by its slope too.

    With $S$ the smoothed sign of the smoothed residuals, $r_i S(q_i)$ has the mean
    $\mathrm{smECE}_\sigma$; its influence is divided by 1 minus the slope in $\sigma$.
    """
    from scipy.optimize import brentq

    masses = _masses(probability, loss)
    spectrum = np.fft.rfft(_periodic(masses))
    width = brentq(lambda sigma: np.abs(_smoothed(spectrum, sigma)).sum() / 2 - sigma, 0, 2)
    smoothed = _smoothed(spectrum, width)
    sign = np.where(smoothed < 0, -1.0, 1.0)
    slope = (sign * _smoothed(-width * _rates() * spectrum, width)).sum() / 2
    weight = _smoothed(np.fft.rfft(sign), width)
    share = weight[masses.index] * (1 - masses.upper) + weight[masses.index + 1] * masses.upper
    return width + (masses.residual * share - width) / (1 - slope)


def _masses(probability: ArrayLike, loss: ArrayLike) -> _Masses:
    q, right = stated(probability, loss)
    index = np.minimum((q * STEPS).astype(np.intp), STEPS - 1)
    return _Masses(index, q * STEPS - index, q - right)


def _periodic(masses: _Masses) -> Float[Array, " 2g"]:
    """Masses / n on the circle of circumference 2 that reflection at 0 and 1 unfolds."""
    index, upper, residual = masses
    low, high = sums(index, residual * (1 - upper)), sums(index + 1, residual * upper)
    mass = np.zeros(STEPS + 1)
    mass[: low.size] += low
    mass[: high.size] += high
    mass[[0, -1]] *= 2  # a mass on a mirror meets its own image
    return np.r_[mass, mass[-2:0:-1]] / residual.size


@cache
def _rates() -> Float[Array, " g"]:
    """Decay of each frequency of the heat equation on the grid, for the variance 2."""
    frequency = np.arange(STEPS + 1) * (np.pi / STEPS)
    return 2 * STEPS**2 * (1 - np.cos(frequency))


def _smoothed(spectrum: Array, sigma: float) -> Float[Array, " 2g"]:
    """Masses after a random walk of this standard deviation; no step can add to their sum."""
    return np.fft.irfft(spectrum * np.exp(-(sigma**2) / 2 * _rates()))
