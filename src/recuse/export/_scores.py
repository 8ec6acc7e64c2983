"""The scores of `recuse.scores` in torch, on the device of the logits.

r = rows of one chunk, each sorted so that column -1 is the maximum; K = classes.

The arithmetic is alike: logits in float64, each row in ascending order, the score rounded once to
float32. Exponentials and sums may differ in the last bits of float64; the rounding hides that in
nearly all confidences (`docs/how-to/export.md` counts them).

Only operations that ONNX also has in float64 are used.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from recuse._internal.check import extra
from recuse.scores import Score
from recuse.scores._learned import ORDERS, SOFTER, TINY

torch = extra("torch", "torch", "recuse.export")

if TYPE_CHECKING:
    from torch import Tensor

CHUNK = 1 << 22  # logits: bounds the memory of the float64 copy
LARGEST = torch.finfo(torch.float32).max
LOWEST = torch.finfo(torch.float64).min  # -inf, as in `check_logits`


def confidence(score: Score, rows: Tensor) -> Tensor:
    """Compute the confidence of every row (n, K) of logits; NaN where malformed."""
    parts = rows.split(max(1, CHUNK // rows.shape[1]))
    return torch.cat([of_rows(score, part.double()) for part in parts])


def of_rows(score: Score, z: Tensor) -> Tensor:
    """Compute the confidence of every row (r, K) of float64 logits at once."""
    z = z.masked_fill(z == _exact(LOWEST, z), -math.inf)
    bad = malformed(z)
    rows = z.masked_fill(bad[:, None], 0.0).sort(dim=1).values  # sorting is undefined on NaN
    params = dict(score.params)
    own = params.pop("class_intercepts", None)
    found = SCORES[score.name](rows, **params)
    if own:
        found = found + z.new_tensor(own)[z.argmax(dim=1)]
    return found.float().masked_fill(bad, math.nan)


def malformed(z: Tensor) -> Tensor:
    """Find rows that `recuse.scores` refuses: NaN, +inf, beyond float32, no finite logit."""
    impossible = z == -math.inf
    bad = ~(z.abs() <= LARGEST) & ~impossible
    return bad.any(dim=1) | impossible.all(dim=1)


def _possible(z: Tensor) -> tuple[Tensor, Tensor]:
    """Return which classes are possible, and how many in each row, in float64."""
    there = z != -math.inf
    return there, there.double().sum(1)


def _msp(z: Tensor, temperature: float = 1.0) -> Tensor:
    z = z / _exact(temperature, z)
    return z[:, -1] - z[:, -2] - _odds_to_second(z).log()


def _odds_to_second(z: Tensor) -> Tensor:
    rest, second = z[:, :-1], z[:, -2:-1]
    return torch.where(second == -math.inf, 0.0, rest - second).exp().sum(1)


def _max_logit(z: Tensor, center: bool = False) -> Tensor:
    return (_centered(z) if center else z)[:, -1]


def _margin(z: Tensor) -> Tensor:
    return z[:, -1] - z[:, -2]


def _prob_margin(z: Tensor) -> Tensor:
    total = _others(z)[2]
    return z[:, -1] - z[:, -2] + _log1p(total) - _log1p(_odds_to_second(z))


def _entropy(z: Tensor) -> Tensor:
    gap, odds, total = _others(z)
    weighted = torch.where(odds > 0, odds * gap, 0.0).sum(1)
    return weighted / (1 + total) - _log1p(total)


def _gini(z: Tensor) -> Tensor:
    _, odds, total = _others(z)
    return (odds.square().sum(1) - total * (2 + total)) / (1 + total).square()


def _gen(z: Tensor, gamma: float = 0.1, top: int = 100) -> Tensor:
    _, odds, total = _others(z)
    total = total[:, None]
    spread = odds * (1 + total - odds) / (1 + total).square()
    others = spread[:, spread.shape[1] - min(int(top) - 1, spread.shape[1]) :]
    maximum = total / (1 + total).square()
    return -(maximum[:, 0].pow(gamma) + others.pow(gamma).sum(1))


def _renyi(z: Tensor, alpha: float = 2.0) -> Tensor:
    gap, _, total = _others(z)
    order, excess = _exact(alpha, z), _exact(alpha - 1, z)
    powers = (order * gap).exp().sum(1)
    return (_log1p(powers) - order * _log1p(total)) / excess


def _energy(z: Tensor, temperature: float = 1.0) -> Tensor:
    exact = _exact(temperature, z)
    scaled = z / exact
    return exact * (scaled[:, -1] + _log1p(_others(scaled)[2]))


def _logit_norm(z: Tensor, p: float = 4, center: bool = True) -> Tensor:
    there, count = _possible(z)
    v = _centered(z) if center else z
    others = torch.where(there, v, 0.0)[:, :-1].abs()
    scale = others.amax(1)
    others = others / torch.where(scale == 0, 1.0, scale)[:, None]
    norm = 1.0 if p == math.inf else others.pow(p).sum(1).pow(1 / p)
    infimum = -_exact(1.0, z) if p == math.inf else -((count - 1).pow(-1 / p))
    lowest = torch.where(there, z, z[:, -1:]).amin(1)
    ratio = torch.where(lowest == z[:, -1], infimum, v[:, -1] / scale / norm)
    return torch.where(count == 1, math.inf, ratio)


def _learned(z: Tensor, slope: float, intercept: float, **columns: Sequence[float]) -> Tensor:
    named = {name: z.new_tensor(column) for name, column in columns.items()}
    features = _features(z)
    clipped = features.clamp(named["low"], named["high"])
    corrections = named["weights"] * (clipped - named["center"]) / named["scale"]
    calibrated = _exact(slope, z) * features[:, 0] + _exact(intercept, z)
    return torch.where(_possible(z)[1] == 1, math.inf, calibrated + corrections.sum(1))


def _features(z: Tensor) -> Tensor:
    """`scores.FEATURES` of every row."""
    msp, top = _msp(z), _centered(z)[:, -1]
    norms = [_logit_norm(z, p) for p in ORDERS]
    logs = [x.clamp(min=_exact(TINY, z)).log() for x in (top, _margin(z), -_entropy(z), *norms)]
    mean = z[:, -1] - top
    return torch.stack([msp, msp**2, _msp(z, SOFTER), *logs, mean, mean**2], dim=1)


def _log1p(x: Tensor) -> Tensor:
    """log(1 + x) to the last bits, for x >= 0; ONNX has no operator for it.

    References:
        Goldberg, ACM Computing Surveys 1991, theorem 4.
    """
    u = 1 + x
    lost = u == 1  # all digits of x
    return torch.where(lost, x, u.log() * (x / torch.where(lost, 1.0, u - 1)))


def _exact(x: float, z: Tensor) -> Tensor:
    """x in float64: ONNX export turns a bare number into float32, except in an exponent."""
    return z.new_tensor(x)


def _centered(z: Tensor) -> Tensor:
    v = z - z[:, -1:]
    there, count = _possible(z)
    mean = torch.where(there, v, 0.0).sum(1) / count
    return torch.where(count == 1, math.inf, -mean)[:, None] + v


def _others(z: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    gap = z[:, :-1] - z[:, -1:]
    odds = gap.exp()
    return gap, odds, odds.sum(1)


SCORES: dict[str, Callable[..., Tensor]] = {
    "msp": _msp,
    "max_logit": _max_logit,
    "margin": _margin,
    "prob_margin": _prob_margin,
    "entropy": _entropy,
    "gini": _gini,
    "gen": _gen,
    "renyi": _renyi,
    "energy": _energy,
    "logit_norm": _logit_norm,
    "learned": _learned,
}
