"""Areas under the curve, as means over k = 1..n of the cost of the first k predictions.

n = examples.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from recuse._internal import public
from recuse._internal.check import check_confidence, check_loss, first, to_numpy
from recuse.curves._curve import coverage_at_risk_of, risk_at_coverage_of
from recuse.curves._ranked import Errors, TieGroups, grouped, ranked
from recuse.errors import InputError

if TYPE_CHECKING:
    from jaxtyping import Float
    from numpy import ndarray as Array
    from numpy.typing import ArrayLike


class Summary(NamedTuple):
    """Values of the functions with the same names."""

    aurc: float
    e_aurc: float
    n_aurc: float  # NaN if all losses are equal
    augrc: float
    coverage_at_risk: Mapping[float, float]
    risk_at_coverage: Mapping[float, float]


@public
def aurc(confidence: ArrayLike, loss: ArrayLike) -> float:
    r"""Area under the risk-coverage curve: the mean of $r_k$ over k = 1..n.

    A tie of m predictions with summed loss e after A accepted with summed loss E adds
    $e + (E - eA/m)(H_{A+m} - H_A)$, H the harmonic numbers: the mean over all orders of
    the tie. Args and errors as in `risk_coverage`.

    References:
        Geifman & El-Yaniv, NeurIPS 2017; Galil et al., ICLR 2023 (this form).

    >>> round(aurc([0.9, 0.7, 0.8], [0, 1, 0]), 4)
    0.1111
    >>> aurc([0.5, 0.5], [1, 0]) == aurc([0.5, 0.5], [0, 1]) == 0.5
    True
    """
    return aurc_of(ranked(confidence, loss))


@public
def e_aurc(confidence: ArrayLike, loss: ArrayLike) -> float:
    """Excess AURC: `aurc` minus that of the best order of the same losses.

    References:
        Geifman, Uziel & El-Yaniv, ICLR 2019 (with an approximate oracle; this one is exact).

    >>> round(e_aurc([0.9, 0.7, 0.8], [0, 0, 1]), 4)
    0.1667
    """
    form = ranked(confidence, loss)
    return excess(aurc_of(form), *oracle(form, loss))


@public
def n_aurc(confidence: ArrayLike, loss: ArrayLike) -> float:
    """Normalised excess AURC: 0 for the best order, 1 for a random one; NaN if losses are equal.

    References:
        Cattelan & Silva, UAI 2024.

    >>> n_aurc([0.9, 0.7, 0.8], [0, 1, 0])
    0.0
    """
    form = ranked(confidence, loss)
    return normalized(aurc_of(form), *oracle(form, loss))


@public
def augrc(confidence: ArrayLike, loss: ArrayLike) -> float:
    """Area under the generalized risk: the mean over k of (loss of the first k) / n.

    References:
        Traub et al., NeurIPS 2024.

    >>> augrc([0.9, 0.7, 0.8], [0, 1, 0]) == 1 / 9
    True
    """
    return augrc_of(ranked(confidence, loss))


def aurc_of_weights(confidence: ArrayLike, loss: ArrayLike, weights: ArrayLike) -> float:
    r"""Integral of risk over coverage where example i has the importance weight `weights[i]`.

    For a sample whose frequencies differ from those of the population. A tie of weight w with
    weighted loss e after A with E adds $e + (E - eA/w) \ln((A + w)/A)$. The unit of the
    weights does not matter. With equal weights it is `aurc` up to terms of order 1/n: this
    integrates a step function, `aurc` averages n risks.

    Args:
        confidence: Shape (n,).
        loss: Shape (n,).
        weights: Shape (n,), finite, >= 0, not all 0.

    Raises:
        InputError: Malformed input.

    >>> round(aurc_of_weights([0.9, 0.8], [0, 1], [1.0, 1.0]), 4)  # 1 - 0.5 - 0.5 ln 2
    0.1534
    """
    mass, cost = _weighted_groups(confidence, loss, weights)
    end = np.cumsum(mass)
    start, before = end - mass, np.cumsum(cost) - cost
    start[0] = before[0] = 0
    growth = np.log1p(np.divide(mass, start, out=np.zeros_like(mass), where=start > 0))
    return float(np.sum(cost + (before - cost * start / mass) * growth) / end[-1])


def harmonic(n: int) -> Float[Array, " m"]:
    """Return H_0..H_n, the sums 1 + 1/2 + ... + 1/k."""
    return np.r_[0.0, np.cumsum(1 / np.arange(1, n + 1))]


def aurc_of(form: Errors | TieGroups) -> float:
    """Return `aurc` of ranked predictions."""
    if isinstance(form, Errors):
        return form.risk_area / form.n
    end = np.cumsum(form.count)
    start = end - form.count
    before = np.cumsum(form.loss) - form.loss
    h = harmonic(int(end[-1]))
    rise = h[end] - h[start]
    share = np.where(form.count == 1, 1 / end, 1 - start / form.count * rise)  # no cancellation
    return float(np.sum(before * rise + form.loss * share) / end[-1])


def augrc_of(form: Errors | TieGroups) -> float:
    """Return `augrc` of ranked predictions."""
    if isinstance(form, Errors):
        return form.loss_area / form.n / form.n
    n = form.count.sum()
    before = np.cumsum(form.loss) - form.loss
    return float(np.sum(before * form.count + form.loss * (form.count + 1) / 2) / n / n)


def oracle(form: Errors | TieGroups, loss: ArrayLike) -> tuple[float, float, bool]:
    """Return the AURC of the best order, the mean loss, and whether losses vary."""
    if isinstance(form, Errors):
        n, wrong = form.n, form.wrong
        return form.best / n, wrong / n, 0 < wrong < n
    l = np.sort(check_loss(loss, int(form.count.sum())))
    best = aurc_of(TieGroups(l, np.ones(l.size, int), l))
    return best, float(np.mean(l)), bool(l[0] != l[-1])


def excess(area: float, best: float, mean: float, varies: bool) -> float:
    """E-AURC."""
    return max(0.0, area - best) if varies else 0.0


def normalized(area: float, best: float, mean: float, varies: bool) -> float:
    """N-AURC."""
    gap = mean - best
    return excess(area, best, mean, varies) / gap if varies and gap > 0 else float("nan")


def summarize(
    confidence: ArrayLike,
    loss: ArrayLike,
    *,
    risks: Sequence[float] = (),
    coverages: Sequence[float] = (),
) -> Summary:
    """Return every area, and the points at these levels, from one sort.

    >>> summarize([0.9, 0.7, 0.8], [0, 1, 0], risks=[0.1]).coverage_at_risk
    {0.1: 0.6666666666666666}
    """
    form = ranked(confidence, loss)
    area, best = aurc_of(form), oracle(form, loss)
    return Summary(
        area,
        excess(area, *best),
        normalized(area, *best),
        augrc_of(form),
        {r: coverage_at_risk_of(form, r) for r in risks},
        {c: risk_at_coverage_of(form, c) for c in coverages},
    )


def _weighted_groups(
    confidence: ArrayLike, loss: ArrayLike, weights: ArrayLike
) -> tuple[Array, Array]:
    """Return weight and weighted loss of each distinct confidence, decreasing; no weight of 0."""
    c = check_confidence(confidence)
    l = check_loss(loss, c.size)
    mass = to_numpy(weights)
    if mass.shape != c.shape:
        raise InputError(f"expected `weights` of shape ({c.size},), got {mass.shape}")
    mass = mass.astype(np.float64)
    bad = ~(np.isfinite(mass) & (mass >= 0))
    if bad.any():
        raise InputError(f"expected `weights` finite and >= 0, got {mass[bad][0]} at {first(bad)}")
    kept = mass > 0
    if not kept.any():
        raise InputError(f"expected `weights` that are not all 0, got {c.size} zeros")
    c, l, mass = c[kept], l[kept], mass[kept]
    return grouped(c, mass).loss, grouped(c, mass * l).loss
