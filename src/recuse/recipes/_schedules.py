"""Learning rates over a training, as factors of the first one.

t = share of the training that is done, in 0..1, so that a shortened training keeps its shape.
They are plain functions, which processes can send each other; `partial` sets their options.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import cos, pi


def constant(t: float) -> float:
    """1 throughout."""
    return 1.0


def drops(t: float, at: Sequence[float], factor: float = 0.1) -> float:
    """Multiplied by `factor` at each of these shares.

    >>> [round(drops(t, at=(1 / 3, 2 / 3)), 3) for t in (0, 0.5, 0.9)]
    [1.0, 0.1, 0.01]
    """
    return factor ** sum(t >= share for share in at)


def cosine(t: float, warmup: float = 0.0) -> float:
    """Linear from 0 over the share `warmup`, then half a cosine to 0.

    >>> [round(cosine(t, warmup=0.1), 3) for t in (0.05, 0.1, 0.55, 1)]
    [0.5, 1.0, 0.5, 0.0]
    """
    if t < warmup:
        return t / warmup
    return 0.5 * (1 + cos(pi * (t - warmup) / (1 - warmup)))


def poly(t: float, power: float = 0.9) -> float:
    """(1 - t) to a power.

    >>> poly(0.5) == 0.5**0.9
    True
    """
    return (1 - t) ** power
