"""Bets that a file can show: what was bet on, in the order of the bets.

b = bets: losses of the accepted rows, or means of groups.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from recuse.errors import InputError

if TYPE_CHECKING:
    from jaxtyping import Float
    from numpy import ndarray as Array

STEPS = 2**16 - 1  # of [0, 1]; 0 and 1 are exact
NOISE = 1e-6  # steps: a multiple of 1 / STEPS stays what it is


def rounded_up(bets: Float[Array, " b"]) -> Float[Array, " b"]:
    """Return the next multiple of 1 / 65,535: a larger loss passes no test more easily.

    >>> rounded_up(np.array([0.0, 0.5, 1.0])).round(6).tolist()
    [0.0, 0.500008, 1.0]
    """
    return np.clip(np.ceil(bets * STEPS - NOISE), 0, STEPS) / STEPS + 0.0  # no -0.0


def written(bets: Float[Array, " b"]) -> str:
    """Return rounded bets as text, four hexadecimal digits each.

    >>> written(np.array([0.0, 1.0]))
    '0000ffff'
    """
    return np.rint(bets * STEPS).astype(">u2").tobytes().hex()


def read(text: str) -> Float[Array, " b"]:
    """Return the bets that `written` wrote.

    Raises:
        InputError: The text is something else.

    >>> read("0000ffff").tolist()
    [0.0, 1.0]
    """
    try:
        return np.frombuffer(bytes.fromhex(text), ">u2") / STEPS
    except ValueError as error:
        raise InputError(
            f"expected `bets` of four hexadecimal digits each, got {text!r:.40}"
        ) from (error)
