"""The log loss of a probability of being right, and averages that it weighs.

n = examples, m = fits.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from jaxtyping import Float
    from numpy import ndarray as Array


def log_loss(log_odds: Array, right: Array, odds: Array | None = None) -> Array:
    """Negative log-likelihood of the outcome, right or wrong; odds are exp(-|log_odds|)."""
    odds = np.exp(-np.abs(log_odds)) if odds is None else odds
    return np.maximum(np.where(right, -log_odds, log_odds), 0) + np.log(1 + odds)


def shares(loss: Float[Array, " m"]) -> Float[Array, " m"]:
    """Return the weights of fits, exp(-held-out log loss), which is a sum over rows."""
    share = np.exp(loss.min() - loss)
    return share / share.sum()
