"""Confidence scores: logits in, one number for each prediction out, larger is more certain.

n = examples, K = classes, ... = any trailing axes (pixels); r = rows of one chunk,
each sorted so that column -1 is the maximum.

Every score takes logits (n, K, ...) of float16, bfloat16, float32 or float64 and
returns float32 (n, ...). There is one arithmetic path for every decision: the
logits are upcast to float64, the score is computed, and rounded once to float32.
Probabilities and one-column heads come in by `from_probs` and `from_binary`.
"""

from __future__ import annotations

import inspect
import math
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from recuse._check import InputError, check_logits, first, is_floating, to_numpy

if TYPE_CHECKING:
    from jaxtyping import Float, Float32, Int
    from numpy import ndarray as Array
    from numpy.typing import ArrayLike

MULTIPLIED = range(1, 33)  # orders whose powers are products; beyond them, `**`
CHUNK = 1 << 18  # logits a chunk (2 MB in float64): the passes over it stay in cache

RowScore = Callable[..., np.ndarray]  # float64 (r, K) -> (r,)


def predict(logits: ArrayLike) -> Int[Array, "n ..."]:
    """The predicted class: the lowest index among the maxima.

    >>> predict(np.array([[1.0, 3.0, 3.0]]))
    array([1])
    """
    z = check_logits(logits)
    return np.argmax(z.astype(np.float32) if z.dtype.name == "bfloat16" else z, axis=1)


def msp(logits: ArrayLike) -> Float32[Array, "n ..."]:
    r"""Maximum softmax probability, as its log-odds.

    $\log \frac{\pi_1}{1 - \pi_1} = z_1 - \log \sum_{j \ne 1} e^{z_j}$ with $z_1$ the
    maximum: the order of the probability, without its saturation (in float32 the
    probability is exactly 1 from a gap of about 17). `as_probability` shows it.

    References:
        Hendrycks & Gimpel, ICLR 2017.

    >>> msp(np.array([[2.0, 2.0, 0.0], [60.0, 0.0, 0.0]])).round(4)
    array([-0.1269, 59.3069], dtype=float32)
    """
    return _score_rows(logits, _msp)


def max_logit(logits: ArrayLike, *, center: bool = False) -> Float32[Array, "n ..."]:
    """The maximum logit, from the row's mean if `center`.

    The softmax ignores a constant added to all logits of a row; this score does not,
    unless centred.

    References:
        Hendrycks et al., ICML 2022.

    >>> max_logit(np.array([[3.0, 1.0, 2.0]]), center=True)
    array([1.], dtype=float32)
    """
    return _score_rows(logits, lambda z: (_centered(z) if center else z)[:, -1])


def margin(logits: ArrayLike) -> Float32[Array, "n ..."]:
    """Largest minus second largest logit: the log-ratio of their probabilities.

    >>> margin(np.array([[3.0, 1.0, 2.0]]))
    array([1.], dtype=float32)
    """
    return _score_rows(logits, lambda z: z[:, -1] - z[:, -2])


def entropy(logits: ArrayLike) -> Float32[Array, "n ..."]:
    r"""Negative entropy of the softmax, in nats: $\sum_k \pi_k \log \pi_k$, 0 when certain.

    >>> entropy(np.array([[0.0, 0.0], [50.0, 0.0]])).round(4)
    array([-0.6931, -0.    ], dtype=float32)
    """
    return _score_rows(logits, _entropy)


def gini(logits: ArrayLike) -> Float32[Array, "n ..."]:
    r"""$\sum_k \pi_k^2 - 1$: the negative Gini impurity, 0 when certain.

    References:
        Granese et al., DOCTOR, NeurIPS 2021 ($D_\alpha$ ranks by it).

    >>> gini(np.array([[0.0, 0.0]]))
    array([-0.5], dtype=float32)
    """
    return _score_rows(logits, _gini)


def energy(logits: ArrayLike, *, temperature: float = 1.0) -> Float32[Array, "n ..."]:
    r"""Negative free energy, $T \log \sum_k e^{z_k / T}$.

    References:
        Liu et al., NeurIPS 2020.

    >>> energy(np.array([[0.0, 0.0]])).round(4)
    array([0.6931], dtype=float32)
    """
    if not temperature > 0:
        raise InputError(f"expected `temperature` > 0, got {temperature}")
    return _score_rows(logits, lambda z: temperature * _logsumexp(z / temperature))


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
    if not 0 < gamma <= 1:
        raise InputError(f"expected `gamma` in (0, 1], got {gamma}")
    if not top >= 1 or top != int(top):
        raise InputError(f"expected `top` to be an integer of at least 1, got {top}")
    return _score_rows(logits, lambda z: _gen(z, gamma, int(top)))


def logit_norm(logits: ArrayLike, *, p: float = 4, center: bool = True) -> Float32[Array, "n ..."]:
    r"""Maximum logit over the p-norm of the logits, in a form that never saturates.

    Ranks as $\max(v) / \lVert v \rVert_p$ with $v = z - \bar z$ (or $v = z$): the value
    is $t = v_1 / \lVert v_{\ne 1} \rVert_p$, a strictly increasing function of it that
    keeps its resolution where the ratio rounds to 1. A row of equal logits says nothing
    and gets the infimum, $-(K-1)^{-1/p}$. For two classes and `center` it is constant.

    Args:
        logits: Shape (n, K, ...), finite.
        p: Order of the norm, >= 1; `math.inf` for the second largest magnitude.
        center: Subtract the row's mean first; then, like the softmax, the score
            ignores a constant added to the row.

    Raises:
        InputError: `p` < 1, or a logit is not finite.

    References:
        Cattelan & Silva, UAI 2024 (centred); Xia et al., ICLR 2025, equation 17, which
        omits the absolute value in the norm (it matters for odd p and negative logits).

    >>> logit_norm(np.array([[3.0, 0.0, 0.0], [1.0, 1.0, 1.0]]), p=1)
    array([ 1. , -0.5], dtype=float32)
    """
    return logit_norms(logits, ps=(p,), center=center)[0]


def logit_norms(
    logits: ArrayLike, *, ps: Iterable[float], center: bool = True
) -> Float32[Array, "P n ..."]:
    """`logit_norm` for every order in `ps`, in one pass over the logits."""
    ps = [_check_order(p) for p in ps]
    return np.stack(_score_rows_many(logits, lambda z: _norms(z, ps, center), len(ps)))


def as_probability(log_odds: ArrayLike) -> Float[Array, ...]:
    """The probability that has these log-odds; how `msp` is shown to people.

    >>> as_probability([0.0])
    array([0.5])
    """
    from scipy.special import expit

    return expit(np.asarray(log_odds, dtype=np.float64))


def from_probs(probs: ArrayLike) -> Float[Array, "n K ..."]:
    """Logits of given probabilities: their logarithm, in float64.

    The logarithm has lost the shift that `max_logit`, `energy` and the uncentred
    `logit_norm` use, and a zero leaves the norm undefined: only msp, margin, entropy
    and gini (`SOFTMAX_FAMILY`) are meaningful on the result.

    Raises:
        InputError: A value lies outside [0, 1], or a row does not sum to 1 within 1 %.

    >>> msp(from_probs(np.array([[0.75, 0.25]]))).round(4)
    array([1.0986], dtype=float32)
    """
    q = to_numpy(probs)
    if not is_floating(q.dtype) or q.ndim < 2:
        raise InputError(
            f"expected `probs` of a floating dtype and shape (n, K, ...), got {q.dtype} {q.shape}"
        )
    q = q.astype(np.float64)
    bad = ~((q >= 0) & (q <= 1)).all(axis=1) | ~(np.abs(q.sum(axis=1) - 1) <= 0.01)
    if bad.any():
        rows = bad.reshape(len(q), -1).any(axis=1)
        raise InputError(f"expected `probs` in [0, 1] with rows that sum to 1, {first(rows)}")
    with np.errstate(divide="ignore"):
        return np.log(q)


def from_binary(logit: ArrayLike) -> Float[Array, "n 2 ..."]:
    """Two-class logits (0, z) of a one-column head: (n,) or (n, 1, ...) -> (n, 2, ...).

    >>> from_binary(np.array([[1.5]]))
    array([[0. , 1.5]])
    """
    z = to_numpy(logit)
    z = z[:, None] if z.ndim == 1 else z
    if z.ndim < 2 or z.shape[1] != 1:
        raise InputError(f"expected a binary head of shape (n,) or (n, 1, ...), got {z.shape}")
    return np.concatenate([np.zeros_like(z), z], axis=1)


SCORES: dict[str, Callable[..., Any]] = {
    f.__name__: f for f in (msp, max_logit, margin, entropy, gini, gen, energy, logit_norm)
}
SOFTMAX_FAMILY = ("msp", "margin", "entropy", "gini", "gen")


@dataclass(frozen=True)
class Score:
    """A score by name, with its parameters: callable, hashable, JSON-able.

    >>> score = Score("logit_norm", {"p": 3, "center": True})
    >>> str(score), Score.parse("logit_norm(p=3, center=true)") == score
    ('logit_norm(p=3, center=true)', True)
    >>> score(np.array([[2.0, 0.0, 1.0]])).shape
    (1,)
    """

    name: str
    params: Mapping[str, float | bool] = field(default_factory=dict, hash=False)

    def __post_init__(self):
        if self.name not in SCORES:
            raise InputError(f"expected a score among {', '.join(SCORES)}, got {self.name!r}")
        known = inspect.signature(SCORES[self.name]).parameters
        for key, value in self.params.items():
            if key not in known or key == "logits":
                takes = ", ".join(k for k in known if k != "logits") or "no parameters"
                raise InputError(f"score `{self.name}` takes {takes}, got {key!r}")
            flag = isinstance(known[key].default, bool)
            if isinstance(value, bool) != flag or not isinstance(value, (bool, int, float)):
                kind = "true or false" if flag else "a number"
                raise InputError(f"expected `{key}` of score `{self.name}` {kind}, got {value!r}")

    def __call__(self, logits: ArrayLike) -> Float32[Array, "n ..."]:
        """The confidence of every prediction."""
        return SCORES[self.name](logits, **self.params)

    def __str__(self) -> str:
        shown = ", ".join(f"{k}={_show(v)}" for k, v in self.params.items())
        return f"{self.name}({shown})" if shown else self.name

    @classmethod
    def parse(cls, text: str) -> Score:
        """Read what `str` writes: `msp`, `logit_norm(p=3, center=true)`, `logit_norm(p=inf)`."""
        match = re.fullmatch(r"\s*(\w+)\s*(?:\((.*)\))?\s*", text)
        if not match:
            raise InputError(f"expected a score like msp or logit_norm(p=3), got {text!r}")
        params = {}
        for part in filter(None, (match[2] or "").split(",")):
            key, _, value = part.partition("=")
            params[key.strip()] = _read(value.strip(), text)
        return cls(match[1], params)

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON; an infinite `p` is the string "inf"."""
        params = {k: "inf" if v == math.inf else v for k, v in self.params.items()}
        return {"name": self.name, "params": params}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Score:
        """The inverse of `to_dict`."""
        params = {k: math.inf if v == "inf" else v for k, v in data["params"].items()}
        return cls(data["name"], params)


def _show(value: float | bool) -> str:
    return str(value).lower() if isinstance(value, bool) else f"{value:g}"


def _read(value: str, text: str) -> float | bool:
    if value.lower() in ("true", "false"):
        return value.lower() == "true"
    try:
        number = float(value)
    except ValueError:
        raise InputError(f"expected a number or true/false, got {value!r} in {text!r}") from None
    return int(number) if number.is_integer() else number


# Rows of float64 logits (r, K), ascending -> float64 (r,)


def _score_rows(logits: ArrayLike, score: RowScore) -> Float32[Array, "n ..."]:
    return _score_rows_many(logits, lambda z: [score(z)], 1)[0]


def _score_rows_many(logits: ArrayLike, scores: Callable, count: int) -> list[Array]:
    """Apply row scores chunk by chunk: upcast to float64, compute, round once to float32.

    Each row is sorted first, so that every sum runs in one order: rows that are
    permutations of each other score the same to the last bit.
    """
    z = check_logits(logits)
    shape = z.shape[:1] + z.shape[2:]
    rows = np.moveaxis(z, 1, -1).reshape(-1, z.shape[1])
    out = [np.empty(len(rows), np.float32) for _ in range(count)]
    step = max(1, CHUNK // z.shape[1])
    for start in range(0, len(rows), step):
        chunk = np.array(rows[start : start + step], dtype=np.float64, order="C")
        chunk.sort(axis=1)
        empty = np.isneginf(chunk[:, -1])
        if empty.any():
            raise InputError(f"expected a finite logit in every row, got none, {first(empty)}")
        with np.errstate(over="ignore", under="ignore"):
            for result, value in zip(out, scores(chunk)):
                result[start : start + step] = value
    return [result.reshape(shape) for result in out]


def _centered(z: Array) -> Array:
    """Subtract the row's maximum, then the mean: exact for rows that differ by a constant."""
    v = z - z[:, -1:]
    return v - v.mean(axis=1, keepdims=True)


def _logsumexp(z: Array) -> Array:
    return z[:, -1] + np.log1p(_others(z)[2])


def _msp(z: Array) -> Array:
    rest, second = z[:, :-1], z[:, -2]
    alone = np.isneginf(second)  # every other class is impossible
    gap = np.subtract(rest, second[:, None], where=~alone[:, None], out=np.zeros_like(rest))
    return z[:, -1] - second - np.log(np.exp(gap).sum(axis=1))


def _others(z: Array) -> tuple[Array, Array, Array]:
    """Gaps z_j - z_1 <= 0 without the maximum, their exponentials, and the sum of these."""
    gap = z[:, :-1] - z[:, -1:]
    odds = np.exp(gap)
    return gap, odds, odds.sum(axis=1)


def _entropy(z: Array) -> Array:
    gap, odds, total = _others(z)
    weighted = np.multiply(odds, gap, where=odds > 0, out=np.zeros_like(gap)).sum(axis=1)
    return weighted / (1 + total) - np.log1p(total)


def _gini(z: Array) -> Array:
    _, odds, total = _others(z)
    return ((odds**2).sum(axis=1) - total * (2 + total)) / (1 + total) ** 2


def _gen(z: Array, gamma: float, top: int) -> Array:
    _, odds, total = _others(z)
    total = total[:, None]
    spread = odds * (1 + total - odds) / (1 + total) ** 2  # p (1 - p), ascending in p
    maximum = total / (1 + total) ** 2
    others = spread[:, spread.shape[1] - min(top - 1, spread.shape[1]) :]
    return -(maximum[:, 0] ** gamma + (others**gamma).sum(axis=1))


def _check_order(p: float) -> float:
    if not p >= 1:
        raise InputError(f"expected the order `p` of a norm >= 1, got {p}")
    return p


def _norms(z: Array, ps: list[float], center: bool) -> list[Array]:
    """t = v_1 / ||v without its maximum||_p for every p; powers by repeated multiplication."""
    if np.isneginf(z[:, 0]).any():
        raise InputError("expected finite logits for `logit_norm`, got -inf")
    v = _centered(z) if center else z
    flat = z[:, 0] == z[:, -1]
    others = np.abs(v[:, :-1])
    scale = others.max(axis=1)
    others /= np.where(scale == 0, 1, scale)[:, None]  # sums of powers lie in 1..K-1
    norms: dict[float, Array] = {math.inf: np.ones(len(z))}
    power, order = others, 1
    for p in sorted(set(ps) - {math.inf}):
        while p in MULTIPLIED and order < p:
            power, order = power * others, order + 1
        powers = power if order == p else others**p
        norms[p] = powers.sum(axis=1) ** (1 / p)
    infimum = {p: -((z.shape[1] - 1.0) ** (-1 / p)) for p in norms}
    with np.errstate(divide="ignore", invalid="ignore"):
        top = v[:, -1] / scale
        return [np.where(flat, infimum[p], top / norms[p]) for p in ps]
