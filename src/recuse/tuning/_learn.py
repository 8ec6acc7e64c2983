"""Fit the learned score: a penalised correction of the log-odds of MSP.

n = examples, f = features, w = weights, the first of which is the intercept.

The log-odds of being right are those of MSP, recalibrated (a line), and a correction that is
linear in the standardised features, with an L2 penalty. How strong the penalty should be differs
by data; so the fits of several penalties, "no correction" among them, are averaged with weights
exp(-their held-out log loss), which lets a correction in only as far as the rows speak for it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from recuse.scores import Score

if TYPE_CHECKING:
    from jaxtyping import Bool, Float, Int
    from numpy import ndarray as Array

PENALTIES = (1.0, 0.3, 0.1, 0.03, 0.01, 0.003, 0.001)  # on half the squared weights, loss a row
FOLDS = 5
MOST_ROWS = 8000  # a random choice of so many; more hardly change eleven weights
CLIPPED = 0.005  # of the rows at either end of a feature
STEPS = 30  # of Newton's method, at most; it takes three to six
TOLERANCE = 1e-9  # of the loss a row


class Path(NamedTuple):
    """Fits along the penalties, on one set of rows."""

    slope: float  # of the log-odds of MSP
    weights: Float[Array, "penalties w"]
    center: Float[Array, " f"]
    scale: Float[Array, " f"]
    low: Float[Array, " f"]
    high: Float[Array, " f"]

    def design(self, features: Float[Array, "n f"]) -> Float[Array, "n w"]:
        """A column of ones, and the standardised features."""
        x = (np.clip(features, self.low, self.high) - self.center) / self.scale
        return np.concatenate([np.ones((len(x), 1)), x], axis=1)

    def log_odds(self, features: Float[Array, "n f"]) -> Float[Array, "n penalties"]:
        """Of being right, under each penalty."""
        return self.slope * features[:, :1] + self.design(features) @ self.weights.T


def learn(
    features: Float[Array, "n f"], right: Bool[Array, " n"], code: Int[Array, " n"], seed: int = 0
) -> Score:
    """The learned score of these rows.

    Args:
        features: Shape (n, f), of `scores.features`; their order decides nothing but the folds.
        right: Shape (n,), whether the prediction is right.
        code: Shape (n,), 0, 1, ...: rows of one code stay in one fold.
        seed: Of the folds, and of the rows where there are more than 8,000.
    """
    rng = np.random.default_rng(seed)
    if len(features) > MOST_ROWS:
        chosen = np.sort(rng.permutation(len(features))[:MOST_ROWS])
        features, right, code = features[chosen], right[chosen], code[chosen]
    fold = rng.permutation(int(code.max()) + 1)[code] % FOLDS
    loss = np.zeros(len(PENALTIES) + 1)
    for f in range(FOLDS):
        held = fold == f
        if held.any() and not held.all():
            log_odds = fit_path(features[~held], right[~held]).log_odds(features[held])
            loss += log_loss(log_odds, right[held, None]).sum(axis=0)
    share = np.exp(loss.min() - loss)
    path = fit_path(features, right)
    intercept, *weights = (share / share.sum()) @ path.weights
    columns = {"center": path.center, "scale": path.scale, "low": path.low, "high": path.high}
    return Score(
        "learned",
        {
            "slope": float(path.slope),
            "intercept": float(intercept),
            "weights": tuple(map(float, weights)),
            **{name: tuple(map(float, column)) for name, column in columns.items()},
        },
    )


def fit_path(features: Float[Array, "n f"], right: Bool[Array, " n"]) -> Path:
    """Fit every penalty, from the strongest on; the first is the recalibrated MSP alone."""
    low, high = np.quantile(features, [CLIPPED, 1 - CLIPPED], axis=0)
    clipped = np.clip(features, low, high)
    scale = clipped.std(axis=0)
    scale[scale == 0] = 1
    msp = features[:, 0]
    ones = np.ones_like(msp)
    line = newton(np.stack([ones, msp], axis=1), right, 0 * msp, np.array([0, 1e-6]), np.zeros(2))
    slope = max(float(line[1]), 0.0)
    path = Path(slope, np.empty((0, 0)), clipped.mean(axis=0), scale, low, high)
    design, weights = path.design(features), np.zeros(features.shape[1] + 1)
    weights[0] = line[0]
    found = [weights]
    for penalty in PENALTIES:
        penalties = np.full(weights.size, penalty)
        penalties[0] = 0
        found.append(newton(design, right, slope * msp, penalties, found[-1]))
    return path._replace(weights=np.array(found))


def newton(
    x: Float[Array, "n w"],
    right: Bool[Array, " n"],
    offset: Float[Array, " n"],
    penalties: Float[Array, " w"],
    start: Float[Array, " w"],
) -> Float[Array, " w"]:
    """Minimise the mean log loss of offset + x w, plus half the penalised squares of w."""
    w = start

    def objective(w: Array) -> float:
        return log_loss(offset + x @ w, right).mean() + 0.5 * (penalties * w**2).sum()

    value = objective(w)
    for _ in range(STEPS):
        p = 0.5 * (1 + np.tanh((offset + x @ w) / 2))
        gradient = x.T @ (p - right) / len(x) + penalties * w
        curvature = (x * (p * (1 - p))[:, None]).T @ x / len(x) + np.diag(penalties + 1e-9)
        step = np.linalg.solve(curvature, gradient)
        size, new = 1.0, objective(w - step)
        while new > value and size > 1e-4:
            size /= 2
            new = objective(w - size * step)
        if not value - new > TOLERANCE:
            break
        w, value = w - size * step, new
    return w


def log_loss(log_odds: Array, right: Array) -> Array:
    """The negative log-likelihood of being right, or of not being right."""
    return np.logaddexp(0, np.where(right, -log_odds, log_odds))
