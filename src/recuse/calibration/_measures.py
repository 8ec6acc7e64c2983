r"""Measures of probabilities: proper scores, and calibration errors with and without bins.

n = examples, K = classes, ... = any trailing axes, m = n times these, b = bins that are not empty,
g = grid points on [0, 1]. Each measure is the mean of its terms, one for each example.

In every bin the mean gap has the sign s of the summed residual (stated minus observed); an
example's term is s times its own residual, so that the mean of the terms is the weighted gap.
Without bins, the residual of each example is a mass at its probability: a heat kernel reflected at
0 and 1 spreads the masses, and the error is what does not cancel.

Numbers in [-1, 1] are summed by bin in integers: exactly, in any order, without a sort.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
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
from recuse._kernels.arithmetic import log1p
from recuse.errors import InputError
from recuse.scores import _sums
from recuse.scores._rows import gini_rows, score_rows_many

if TYPE_CHECKING:
    from jaxtyping import Float, Int
    from numpy import ndarray as Array
    from numpy.typing import ArrayLike

CHUNK = 1 << 18  # logits a chunk (2 MB in float64): the passes over it stay in cache
ROWS = 1 << 15  # stated probabilities a part: likewise
HALF = 2.0**26  # a number in [-1, 1] is a multiple of 1 / HALF, and one of 1 / HALF**2 / 2


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


def stated(
    probability: ArrayLike, loss: ArrayLike
) -> tuple[Float[Array, " n"], Float[Array, " n"]]:
    """Return the stated probability of being right, and 1 where the prediction was right."""
    q = check_confidence(probability, where="`probability`").astype(np.float64)
    if q.min() < 0 or q.max() > 1:
        raise InputError(f"expected `probability` in [0, 1], got {q.min():g} to {q.max():g}")
    return q, 1 - check_zero_one(check_loss(loss, q.size), what="calibration")


def slices(n: int) -> Iterator[slice]:
    """Yield slices of n rows that stay in cache."""
    return (slice(start, start + ROWS) for start in range(0, n, ROWS))


def parts(
    probability: ArrayLike, loss: ArrayLike
) -> Iterator[tuple[Float[Array, " r"], Float[Array, " r"]]]:
    """Yield what `stated` returns, in parts that stay in cache."""
    q, l = to_numpy(probability), to_numpy(loss)
    if q.shape != l.shape or q.ndim != 1 or q.size <= ROWS:
        yield stated(q, l)
        return
    for part in slices(q.size):
        try:
            found = stated(q[part], l[part])
        except InputError:
            stated(q, l)  # counts and names the rows of all parts
            raise
        yield found


class Sums:
    """Sums by bin of numbers in [-1, 1], to 2^-54 of each, independent of the order."""

    def __init__(self, bins: int):
        self.high = np.zeros(bins, np.int64)
        self.low = np.zeros(bins, np.int64)

    def add(self, index: Int[Array, " r"], values: Float[Array, " r"]) -> None:
        """Add values of the bins `index`."""
        for part in slices(index.size):  # whose sums are integers below 2^53
            rest = values[part] * HALF
            high = np.floor(rest)
            rest -= high
            low = np.rint(rest * (2 * HALF))
            self.high += np.bincount(index[part], high, self.high.size).astype(np.int64)
            self.low += np.bincount(index[part], low, self.low.size).astype(np.int64)

    @property
    def total(self) -> Float[Array, " bins"]:
        """The sums."""
        return (self.high + self.low / (2 * HALF)) / HALF

    @property
    def sign(self) -> Float[Array, " bins"]:
        """The signs of the sums; 1 for 0."""
        return np.where(self.total < 0, -1.0, 1.0)

    def mean(self, n: int) -> float:
        """Return the sum of their sizes, over n."""
        return float(np.abs(self.total).sum() / n)


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
    (terms,) = likelihoods(logits, labels)
    return terms


def brier_terms(logits: ArrayLike, labels: ArrayLike) -> Float[Array, " m"]:
    """Return the squared distance of each example."""
    terms, gini = likelihoods(logits, labels, gini_rows)
    return 2 * -np.expm1(-terms) + gini


def likelihoods(
    logits: ArrayLike, labels: ArrayLike, *others: Callable[[_sums.Sums], Float[Array, " r"]]
) -> list[Float[Array, " m"]]:
    """Return the negative log-likelihood of each label, and other scores of its row."""

    def scores(s: _sums.Sums) -> list[Float[Array, " r"]]:
        total = log1p(np.exp(-s.margin) * s.exps()[0])
        return [s.top, total, *(other(s) for other in others)]

    top, total, *found = score_rows_many(logits, scores, 2 + len(others), np.float64)
    z = to_numpy(logits)
    own = np.take_along_axis(z, check_labels(labels, z)[:, None].astype(np.intp), axis=1)[:, 0]
    top -= own
    total += top
    return [np.ravel(x) for x in (total, *found)]


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
    error = rounding(probability)
    rows = ((equal_width(q, bins, error), q, right) for q, right in parts(probability, loss))
    return _reliability(rows, check_bins(bins))


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
    return _reliability([(equal_mass(q, bins), q, right)], bins)


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
    error, gaps, n = rounding(probability), Sums(check_bins(bins)), 0
    for q, right in parts(probability, loss):
        gaps.add(equal_width(q, bins, error), q - right)
        n += q.size
    return gaps.mean(n)


def equal_mass_ece(probability: ArrayLike, loss: ArrayLike, *, bins: int = 15) -> float:
    """`ece` in the bins of `equal_mass_reliability`.

    Modern classifiers put most of their probabilities into the last bins of equal width;
    these spread over them.

    References:
        Nguyen & O'Connor, EMNLP 2015; Nixon et al., CVPR workshops 2019.

    >>> round(equal_mass_ece([0.96, 0.97, 0.98, 0.99], [1, 0, 0, 0], bins=4), 3)
    0.255
    """
    q, right = stated(probability, loss)
    gaps = Sums(check_bins(bins))
    gaps.add(equal_mass(q, bins), q - right)
    return gaps.mean(q.size)


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
    z, y = flat(logits, labels)
    return _gaps_of_classes(z, y, bins).mean(z.size)


def ece_terms(probability: ArrayLike, loss: ArrayLike, *, bins: int = 15) -> Float[Array, " n"]:
    """Return the signed residual of each example."""
    q, right = stated(probability, loss)
    return _signed(equal_width(q, bins, rounding(probability)), q - right, bins)


def equal_mass_ece_terms(
    probability: ArrayLike, loss: ArrayLike, *, bins: int = 15
) -> Float[Array, " n"]:
    """Return the signed residual of each example."""
    q, right = stated(probability, loss)
    return _signed(equal_mass(q, bins), q - right, bins)


def classwise_ece_terms(
    logits: ArrayLike, labels: ArrayLike, *, bins: int = 15
) -> Float[Array, " m"]:
    """Return the signed residuals of each example, averaged over the classes."""
    z, y = flat(logits, labels)
    sign, out = _gaps_of_classes(z, y, bins).sign, np.empty(len(z))
    for part, index, residual in _of_classes(z, y, bins):
        out[part] = (sign[index] * residual).mean(axis=1)
    return out


def _gaps_of_classes(z: Float[Array, "m K"], y: Int[Array, " m"], bins: int) -> Sums:
    """Return the summed residuals of each class in each bin."""
    gaps = Sums(z.shape[1] * check_bins(bins))
    for _, index, residual in _of_classes(z, y, bins):
        gaps.add(index.ravel(), residual.ravel())
    return gaps


def _of_classes(
    z: Float[Array, "m K"], y: Int[Array, " m"], bins: int
) -> Iterator[tuple[slice, Int[Array, "r K"], Float[Array, "r K"]]]:
    """Yield the residual of each class, and its bin among those of all classes."""
    first = bins * np.arange(z.shape[1])
    for part, gap, label in chunks(z, y):
        pi = np.exp(gap)
        pi /= pi.sum(axis=1, keepdims=True)
        index = equal_width(pi, bins, FLOAT32) + first
        pi[np.arange(len(pi)), label] -= 1
        yield part, index, pi


def equal_width(q: Float[Array, " n"], bins: int, error: float) -> Int[Array, " n"]:
    """Return the bin of each probability of this relative error; 1 belongs to the last."""
    return np.minimum((q * (1 + error) * check_bins(bins)).astype(np.intp), bins - 1)


def equal_mass(q: Float[Array, " n"], bins: int) -> Int[Array, " n"]:
    """Return the bin of each probability by the mean rank of its equals, in exact integers."""
    ascending = np.sort(q)
    start = np.flatnonzero(np.diff(ascending, prepend=-1))
    count = np.diff(start, append=q.size)
    index = check_bins(bins) * (2 * start + count - 1) // (2 * q.size)
    first = np.flatnonzero(np.diff(index, prepend=-1))
    edges = ascending[start[first]]
    return index[first][np.searchsorted(edges, q, side="right") - 1]


def _reliability(rows: Iterable[tuple[Array, Array, Array]], bins: int) -> Reliability:
    """Return the means of bins from (index, stated, right) of parts of the rows."""
    count, said, seen = np.zeros(bins, np.intp), Sums(bins), Sums(bins)
    for index, q, right in rows:
        count += np.bincount(index, minlength=bins)
        said.add(index, q)
        seen.add(index, right)
    held = count > 0
    means = (x.total[held] / count[held] for x in (said, seen))
    return Reliability(*means, count[held])


def _signed(index: Int[Array, " n"], residual: Float[Array, " n"], bins: int) -> Float[Array, " n"]:
    """Return residuals times the sign of their bin; a gap of 0 has a sign, and a spread, too."""
    gaps = Sums(bins)
    gaps.add(index, residual)
    return gaps.sign[index] * residual


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
    return _smooth(probability, loss).value


def smooth_ece_terms(probability: ArrayLike, loss: ArrayLike) -> Float[Array, " n"]:
    r"""Terms by the delta method: at the width found, smECE moves by its slope too.

    With $S$ the smoothed sign of the smoothed residuals, $r_i S(q_i)$ has the mean
    $\mathrm{smECE}_\sigma$; its influence is divided by 1 minus the slope in $\sigma$.
    """
    q, right = stated(probability, loss)
    found = _smooth(q, 1 - right)
    weight = _smoothed(np.fft.rfft(found.sign), found.width)
    index, upper = _between(q)
    share = weight[index] * (1 - upper) + weight[index + 1] * upper
    return found.width + ((q - right) * share - found.width) / (1 - found.slope)


class _Smooth(NamedTuple):
    """Smooth calibration error, with what its terms take."""

    value: float
    width: float  # before the last step
    slope: float  # of the smoothed error by the width
    sign: Float[Array, " 2g"]  # of the smoothed residuals


def _smooth(probability: ArrayLike, loss: ArrayLike) -> _Smooth:
    spectrum = np.fft.rfft(_periodic(probability, loss))
    width = _crossing(lambda sigma: np.abs(_smoothed(spectrum, sigma)).sum() / 2 - sigma, 0, 2)
    smoothed = _smoothed(spectrum, width)
    sign = np.where(smoothed < 0, -1.0, 1.0)
    slope = (sign * _smoothed(-width * _rates() * spectrum, width)).sum() / 2
    step = (np.abs(smoothed).sum() / 2 - width) / (1 - slope)
    return _Smooth(max(0.0, float(width + step)), width, slope, sign)


def _crossing(f: Callable[[float], float], low: float, high: float) -> float:
    """Return where f, whose slope is -1 or steeper, is 0 up to 1e-12, by the Illinois algorithm."""
    above, below = f(low), f(high)
    x, value, side = low, above, 0
    while abs(value) > 1e-12 and low < high:
        x = (low * below - high * above) / (below - above)
        value = f(x)
        if value > 0:
            low, above, below, side = x, value, below / 2 if side > 0 else below, 1
        else:
            high, below, above, side = x, value, above / 2 if side < 0 else above, -1
    return x


def _between(q: Float[Array, " n"]) -> tuple[Int[Array, " n"], Float[Array, " n"]]:
    """Return the grid point below each probability, and the share of the one above."""
    index = np.minimum((q * STEPS).astype(np.intp), STEPS - 1)
    return index, q * STEPS - index


def _periodic(probability: ArrayLike, loss: ArrayLike) -> Float[Array, " 2g"]:
    """Residuals / n, shared by two grid points, on the circle that reflection at 0 and 1 unfolds.

    Its circumference is 2.
    """
    masses, n = Sums(STEPS + 1), 0
    for q, right in parts(probability, loss):
        (index, upper), residual = _between(q), q - right
        masses.add(index, residual * (1 - upper))
        masses.add(index + 1, residual * upper)
        n += q.size
    mass = masses.total
    mass[[0, -1]] *= 2  # a mass on a mirror meets its own image
    return np.r_[mass, mass[-2:0:-1]] / n


@cache
def _rates() -> Float[Array, " g"]:
    """Decay of each frequency of the heat equation on the grid, for the variance 2."""
    frequency = np.arange(STEPS + 1) * (np.pi / STEPS)
    return 2 * STEPS**2 * (1 - np.cos(frequency))


def _smoothed(spectrum: Array, sigma: float) -> Float[Array, " 2g"]:
    """Masses after a random walk of this standard deviation; no step can add to their sum."""
    return np.fft.irfft(spectrum * np.exp(-(sigma**2) / 2 * _rates()))
