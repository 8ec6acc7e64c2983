"""Scores by name, and other ways in and out: probabilities, one-column heads, log-odds.

n = examples, K = classes, ... = any trailing axes (pixels).
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterable
from functools import wraps
from typing import TYPE_CHECKING, Any

import numpy as np

from recuse._internal.check import (
    as_floats,
    check_logits,
    first,
    is_bfloat16,
    is_floating,
    is_number,
    to_numpy,
)
from recuse.errors import DataWarning, InputError
from recuse.scores._rows import (
    centred_rows,
    check_order,
    check_temperature,
    energy_rows,
    entropy_rows,
    gen_rows,
    gini_rows,
    largest,
    msp_rows,
    prob_margin_rows,
    renyi_rows,
    score_rows,
    score_rows_many,
)
from recuse.scores._sums import Sums

if TYPE_CHECKING:
    from jaxtyping import Float, Float32, Int
    from numpy import ndarray as Array
    from numpy.typing import ArrayLike


LOG_PROBS = 1e-3  # of logsumexp from 0, beside what rounding to a narrow dtype does
ULPS = 4  # of 1: the rounding of a logarithm down to -8
STRAY, ROUNDED = 1e-5, 0.02  # of a probability beyond [0, 1], and of the sum of a row from 1
FIRST = 64  # rows that settle the matter for nearly all logits
FAR, FARTHER = -50.0, -1000.0  # of a constant column, and of masked entries
FEWEST_ROWS = 10  # in which a constant column is no chance
FEW_ROWS = 20  # fewer logits lie in [0, 1] by chance
SEEN = 256  # rows, and pixels of each, that tell whether a score was given probabilities


def look_like_probs(logits: Array, rounding: float = ROUNDED) -> bool:
    """Return whether every row of (n, K, ...) lies in [0, 1] and sums to 1, as far as rounding."""
    if len(logits) > SEEN and not look_like_probs(logits[:SEEN], rounding):
        return False
    if logits.min() < -STRAY or logits.max() > 1 + STRAY:
        return False
    return bool(np.all(np.abs(logits.astype(np.float64).sum(axis=1) - 1) <= rounding))


def form_of_probs(logits: Array) -> str | None:
    """Return how outputs (n, K, ...) given as logits look like probabilities; None if not."""
    z = logits
    if z.min() < -STRAY or z.min() == z.max():
        return None
    if look_like_probs(z):
        return "every row of `logits` lies in [0, 1] and sums to 1"
    if z.max() <= 100 and look_like_probs(z.astype(np.float64) / 100):
        return "every row of `logits` lies in [0, 100] and sums to 100, as percentages do"
    if z.max() <= 1 + STRAY and len(z) >= FEW_ROWS:
        return "every output lies in [0, 1], as of sigmoids"
    return None


def are_sigmoids(column: Array) -> bool:
    """Return whether these are probabilities beyond doubt: in [0, 1], on both sides of 0.5.

    Logits of one column that all lie there would predict class 1 in every row.
    """
    if column.size < FEW_ROWS or not (column.min() >= -STRAY and column.max() <= 1 + STRAY):
        return False
    return bool(column.min() < 0.5 < column.max())


def of_logits(score: Callable) -> Callable:
    """Warn of probabilities given to a score, judging by a few hundred rows."""

    @wraps(score)
    def checked(logits: ArrayLike, *args: Any, **options: Any) -> Any:
        z = to_numpy(logits)
        found = score(z, *args, **options)  # refuses what are no logits
        if (form := _form_of_first(z)) is not None:
            warnings.warn(
                f"expected logits, got probabilities: {form}; give scores.from_probs(probs)",
                DataWarning,
                stacklevel=2,
            )
        return found

    return checked


def _form_of_first(z: Array) -> str | None:
    part = z[:SEEN].reshape(*z[:SEEN].shape[:2], -1)
    part = part[:, :, :: max(1, part.shape[2] // SEEN)]
    return form_of_probs(part) if len(z) >= FEW_ROWS or _exact(part) else None


def _exact(z: Array) -> bool:
    """Return whether so few rows are probabilities all the same: several, and none of 0 and 1."""
    if len(z) < 2 or not look_like_probs(z, STRAY):
        return False
    return not (np.abs(z - np.round(z)) <= STRAY).all(axis=1).any()


def predict(logits: ArrayLike) -> Int[Array, "n ..."]:
    """Return the predicted class: the lowest index among the maxima.

    >>> predict(np.array([[1.0, 3.0, 3.0]]))
    array([1])
    """
    z = check_logits(logits)
    return np.argmax(z.astype(np.float32) if is_bfloat16(z.dtype) else z, axis=1)


@of_logits
def msp(logits: ArrayLike, *, temperature: float = 1.0) -> Float32[Array, "n ..."]:
    r"""Maximum softmax probability of the logits over `temperature`, as its log-odds.

    $\log \frac{\pi_1}{1 - \pi_1} = z_1 - \log \sum_{j \ne 1} e^{z_j}$ with $z_1$ the
    maximum: the order of the probability, without its saturation (in float32 the
    probability is exactly 1 from a gap of about 17). `as_probability` shows it.

    References:
        Hendrycks & Gimpel, ICLR 2017.

    >>> msp(np.array([[2.0, 2.0, 0.0], [60.0, 0.0, 0.0]])).round(4)
    array([-0.1269, 59.3069], dtype=float32)
    """
    check_temperature(temperature)
    return score_rows(logits, lambda s: msp_rows(s, temperature))


@of_logits
def max_logit(logits: ArrayLike, *, center: bool = False) -> Float32[Array, "n ..."]:
    """Maximum logit, minus the mean of the row if `center`.

    The softmax ignores a constant added to all logits of a row; this score does so only if
    centred.

    Args:
        logits: Shape (n, K, ...).
        center: Subtract the row's mean first.

    References:
        Hendrycks et al., ICML 2022.

    >>> max_logit(np.array([[3.0, 1.0, 2.0]]), center=True)
    array([1.], dtype=float32)
    """
    return score_rows(logits, centred_rows) if center else largest(logits)


@of_logits
def margin(logits: ArrayLike) -> Float32[Array, "n ..."]:
    """Largest minus second largest logit: the log-ratio of their probabilities.

    >>> margin(np.array([[3.0, 1.0, 2.0]]))
    array([1.], dtype=float32)
    """
    return score_rows(logits, lambda s: s.margin)


@of_logits
def prob_margin(logits: ArrayLike) -> Float32[Array, "n ..."]:
    r"""Largest minus second largest probability $d$, as $-\log(1 - d)$: 0 where they tie.

    The order of the difference, without its saturation at 1.

    >>> prob_margin(np.array([[0.0, 0.0, 0.0], [40.0, 0.0, 0.0]])).round(4)
    array([ 0.    , 38.9014], dtype=float32)
    """
    return score_rows(logits, prob_margin_rows)


@of_logits
def entropy(logits: ArrayLike) -> Float32[Array, "n ..."]:
    r"""Negative entropy of the softmax, in nats: $\sum_k \pi_k \log \pi_k$, 0 when certain.

    >>> entropy(np.array([[0.0, 0.0], [50.0, 0.0]])).round(4)
    array([-0.6931, -0.    ], dtype=float32)
    """
    return score_rows(logits, entropy_rows)


@of_logits
def gini(logits: ArrayLike) -> Float32[Array, "n ..."]:
    r"""$\sum_k \pi_k^2 - 1$: the negative Gini impurity, 0 when certain.

    References:
        Granese et al., DOCTOR, NeurIPS 2021 ($D_\alpha$ ranks by it).

    >>> gini(np.array([[0.0, 0.0]]))
    array([-0.5], dtype=float32)
    """
    return score_rows(logits, gini_rows)


@of_logits
def energy(logits: ArrayLike, *, temperature: float = 1.0) -> Float32[Array, "n ..."]:
    r"""Negative free energy, $T \log \sum_k e^{z_k / T}$.

    References:
        Liu et al., NeurIPS 2020.

    >>> energy(np.array([[0.0, 0.0]])).round(4)
    array([0.6931], dtype=float32)
    """
    check_temperature(temperature)
    return score_rows(logits, lambda s: energy_rows(s, temperature))


@of_logits
def gen(logits: ArrayLike, *, gamma: float = 0.1, top: int = 100) -> Float32[Array, "n ..."]:
    r"""Negative generalised entropy of the largest probabilities, 0 when certain.

    $-\sum_k (\pi_k (1 - \pi_k))^\gamma$ over the `top` largest $\pi_k$, all if there are fewer. A
    small $\gamma$ weighs small probabilities more than the entropy does.

    Args:
        logits: Shape (n, K, ...).
        gamma: In (0, 1]; 1 gives `gini` if all classes count.
        top: How many classes count, at least 1.

    Raises:
        InputError: `gamma` or `top` out of range.

    References:
        Liu, Lochman & Zach, CVPR 2023 (gamma = 0.1, the 100 largest of 1,000 classes).

    >>> gen(np.array([[0.0, 0.0], [50.0, 0.0]]), gamma=1).round(4)
    array([-0.5, -0. ], dtype=float32)
    """
    if not is_number(gamma) or not 0 < gamma <= 1:
        raise InputError(f"expected `gamma` in (0, 1], got {gamma!r}")
    if not is_number(top) or not 1 <= top < math.inf or top != int(top):
        raise InputError(f"expected `top` to be an integer of at least 1, got {top!r}")
    return score_rows(logits, lambda s: gen_rows(s, gamma, int(top)))


@of_logits
def renyi(logits: ArrayLike, *, alpha: float = 2.0) -> Float32[Array, "n ..."]:
    r"""Negative Renyi entropy, $\frac{1}{\alpha - 1} \log \sum_k \pi_k^\alpha$, 0 when certain.

    Between the entropy ($\alpha \to 1$) and the logarithm of the MSP ($\alpha \to \infty$);
    $\alpha = 2$ ranks as `gini` does.

    Raises:
        InputError: `alpha` is not positive, or is 1: that is `entropy`.

    References:
        Renyi, 1961.

    >>> renyi(np.array([[0.0, 0.0], [50.0, 0.0]])).round(4)
    array([-0.6931, -0.    ], dtype=float32)
    """
    if not is_number(alpha) or not 0 < alpha < math.inf or alpha == 1:
        raise InputError(f"expected `alpha` > 0, finite and not 1, got {alpha!r}")
    return score_rows(logits, lambda s: renyi_rows(s, alpha))


@of_logits
def logit_norm(logits: ArrayLike, *, p: float = 4, center: bool = True) -> Float32[Array, "n ..."]:
    r"""Maximum logit over the p-norm of the logits, in a form that never saturates.

    Ranks as $\max(v) / \lVert v \rVert_p$ with $v = z - \bar z$ (or $v = z$): the value
    is $t = v_1 / \lVert v_{\ne 1} \rVert_p$, a strictly increasing function of it that
    keeps its resolution where the ratio rounds to 1. A row of equal logits says nothing
    and gets the infimum, $-(K-1)^{-1/p}$. For two classes and `center` it is constant.

    Args:
        logits: Shape (n, K, ...).
        p: Order of the norm, >= 1; `math.inf` for the second largest magnitude.
        center: Subtract the row's mean first; then, like the softmax, the score
            ignores a constant added to the row.

    Raises:
        InputError: `p` < 1.

    References:
        Cattelan & Silva, UAI 2024 (centred); Xia et al., ICLR 2025, equation 17, which
        omits the absolute value in the norm (it matters for odd p and negative logits).

    >>> logit_norm(np.array([[3.0, 0.0, 0.0], [1.0, 1.0, 1.0]]), p=1)
    array([ 1. , -0.5], dtype=float32)
    """
    return norms_of(logits, (p,), center)[0]


@of_logits
def logit_norms(
    logits: ArrayLike, *, ps: Iterable[float], center: bool = True
) -> Float32[Array, "P n ..."]:
    """`logit_norm` for every order in `ps`, in one pass over the logits."""
    return norms_of(logits, ps, center)


def norms_of(logits: ArrayLike, ps: Iterable[float], center: bool) -> Float32[Array, "P n ..."]:
    """`logit_norms`, without a look at what the logits are."""
    given = [check_order(p) for p in ps]
    order = sorted(range(len(given)), key=given.__getitem__)  # powers are products of lower ones

    def rows(s: Sums) -> list[Array]:
        return [s.logit_norm(given[i], center) for i in order]

    found = dict(zip(order, score_rows_many(logits, rows, len(given))))
    return np.stack([found[i] for i in range(len(given))])


def confidence(confidences: ArrayLike, *, column: int = 0, name: str = "") -> Float32[Array, " n"]:
    """Return one column of confidences as it is, rounded to float32.

    Args:
        confidences: Shape (n, C).
        column: Its number.
        name: What a file calls it, for messages.

    Raises:
        InputError: There is no such column.

    >>> confidence(np.array([[0.9, 0.2], [0.5, 0.7]]), column=1)
    array([0.2, 0.7], dtype=float32)
    """
    c = to_numpy(confidences)
    if type(column) is not int or not 0 <= column < c.shape[1]:
        raise InputError(f"expected `column` in 0..{c.shape[1] - 1}, got {column!r}")
    return c[:, column].astype(np.float32)


SCORES: dict[str, Callable[..., Any]] = {
    f.__name__: f
    for f in (
        msp,
        max_logit,
        margin,
        prob_margin,
        entropy,
        gini,
        gen,
        renyi,
        energy,
        logit_norm,
    )
}
SOFTMAX_FAMILY = ("msp", "margin", "prob_margin", "entropy", "gini", "gen", "renyi")


def as_probability(log_odds: ArrayLike) -> Float[Array, ...]:
    """Return the probability with these log-odds, such as to show `msp`.

    >>> as_probability([0.0])
    array([0.5])
    """
    p = np.array(log_odds, np.float64)
    np.negative(p, out=p)
    with np.errstate(over="ignore"):
        np.exp(p, out=p)
    p += 1
    return np.divide(1, p, out=p)[()]


def from_probs(probs: ArrayLike) -> Float[Array, "n K ..."]:
    """Logits of given probabilities: their logarithm, in float64.

    The logarithm has lost the shift that `max_logit`, `energy` and the uncentred
    `logit_norm` use: only the scores of `SOFTMAX_FAMILY` are meaningful on the result. These
    divide by the sum of the row, so rounded probabilities count as renormalised.

    Args:
        probs: Shape (n, K, ...); or (n,) or (n, 1, ...), the probability of class 1 of two.

    Raises:
        InputError: A value lies outside [0, 1] by more than 1e-5, or a row does not sum to 1
            within 2 %.

    >>> msp(from_probs(np.array([[0.75, 0.25]]))).round(4)
    array([1.0986], dtype=float32)
    >>> msp(from_probs(np.array([0.25]))).round(4)
    array([1.0986], dtype=float32)
    """
    q = as_floats(to_numpy(probs))
    if not is_floating(q.dtype) or q.ndim < 1:
        raise InputError(
            f"expected `probs` of a floating dtype and shape (n, K, ...), got {q.dtype} {q.shape}"
        )
    q = q.astype(np.float64)
    q = q[:, None] if q.ndim == 1 else q
    q = np.concatenate([1 - q, q], axis=1) if q.shape[1] == 1 else q
    bad = ~((q >= -STRAY) & (q <= 1 + STRAY)).all(axis=1) | ~(np.abs(q.sum(axis=1) - 1) <= ROUNDED)
    if bad.any():
        rows = bad.reshape(len(q), -1).any(axis=1)
        z = np.moveaxis(q, 1, -1)[bad][0]
        percent = abs(z.sum() - 100) <= 100 * ROUNDED and z.min() >= 0
        raise InputError(
            f"expected `probs` in [0, 1] with rows that sum to 1, got {z.min():.4g} to "
            f"{z.max():.4g} with the sum {z.sum():.4g} at {first(rows)}; "
            + ("percent? divide by 100" if percent else "logits? leave out --probs")
        )
    with np.errstate(divide="ignore"):
        return np.log(np.clip(q, 0, 1))


def from_binary(logit: ArrayLike) -> Float[Array, "n 2 ..."]:
    """Two-class logits (0, z) of a one-column head: (n,) or (n, 1, ...) -> (n, 2, ...).

    Raises:
        InputError: Another shape; or 20 values or more that are probabilities.

    >>> from_binary(np.array([[1.5]]))
    array([[0. , 1.5]])
    """
    z = as_floats(to_numpy(logit))
    z = z[:, None] if z.ndim == 1 else z
    if z.ndim < 2 or z.shape[1] != 1:
        raise InputError(f"expected a binary head of shape (n,) or (n, 1, ...), got {z.shape}")
    if z.size and are_sigmoids(z):
        raise InputError(
            "expected logits of a one-column head, got values that all lie in [0, 1], on both "
            'sides of 0.5, as probabilities do: declare them by --probs, in Python kind="probs"'
        )
    return np.concatenate([np.zeros_like(z), z], axis=1)


def find_filler(logits: ArrayLike) -> float | None:
    """Return the level at or below which logits stand for impossible classes; None without any.

    Two patterns count, in the rows given:

    - Masked entries: all logits are more than -1,000 or belong to constants that programs fill in,
      which lie ten times further from 0 than any other logit, and at least 1,000: a power of ten
      such as -1e4 or -1e9, -65,504, or the lowest number of a float; within 1 %, since a mask
      that is added keeps some of the logit.
    - Columns of one and the same logit, in at least 10 rows, of -50 or less and at least 20 below
      every logit of the other columns.

    The level lies between these and the other logits. Long tails of log-likelihoods, such as of
    naive Bayes, have neither pattern.

    >>> z = np.array([[1.0, 2.0, -1e9], [0.5, -1e9, 3.0]])
    >>> find_filler(z), find_filler(z[:, :1] * [1, -40])
    (-500000000.0, None)
    >>> without_filler(z, find_filler(z)).tolist()
    [[1.0, 2.0, -inf], [0.5, -inf, 3.0]]
    """
    z = check_logits(logits)
    if not float(z.min()) <= FAR:
        return None
    z = np.moveaxis(z, 1, -1).reshape(-1, z.shape[1])
    z = z.astype(np.float32) if is_bfloat16(z.dtype) else z
    low = z[z <= FARTHER].astype(np.float64)
    low = low[low > -np.inf]
    if low.size:
        others = z[z > FARTHER]
        reach = max(100.0, float(np.abs(others).max())) if others.size else math.inf
        return float(low.max()) / 2 if _filled_in(low) and low.max() <= -10 * reach else None
    constant = (z == z[0]).all(axis=0) & (z[0] <= FAR) & (z[0] > -np.inf)
    others = z[:, ~constant]
    others = others[others > -np.inf]
    if len(z) < FEWEST_ROWS or not constant.any() or not others.size:
        return None
    top, lowest = float(z[0, constant].max()), float(others.min())
    return (top + lowest) / 2 if top <= lowest - 20 else None


def _filled_in(values: Float[Array, " m"]) -> bool:
    """Whether all of these are constants that programs fill in, within 1 %."""
    sizes = -values
    power = 10 ** np.round(np.log10(sizes))
    known = np.abs(sizes / power - 1) < 0.01
    for size in (65504.0, 65536.0):
        known |= np.abs(sizes / size - 1) < 0.01
    return bool((known | (sizes > 3e38)).all())


def without_filler(logits: ArrayLike, filler: float | None) -> Array:
    """Return the logits with -inf for those of `filler` or less; None changes nothing."""
    z = to_numpy(logits)
    if filler is None or not float(z.min()) <= filler:
        return z
    return np.where(z <= filler, np.asarray(-np.inf, z.dtype), z)


def are_log_probs(logits: ArrayLike) -> bool:
    """Return whether logsumexp is 0 in every row, as of a log-softmax, which has lost the shift.

    Only scores that are `Score.shift_invariant` are the same for logits and their log-softmax.

    >>> z = np.array([[2.0, 0.0, 1.0], [0.0, 3.0, 1.0]])
    >>> are_log_probs(z), are_log_probs(z - np.log(np.exp(z).sum(axis=1, keepdims=True)))
    (False, True)
    """
    import ml_dtypes

    z = check_logits(logits)
    tolerance = max(LOG_PROBS, ULPS * float(ml_dtypes.finfo(z.dtype).eps))
    return all(bool((np.abs(energy(part)) < tolerance).all()) for part in (z[:FIRST], z))
