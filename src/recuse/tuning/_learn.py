"""Fit the learned score: a penalized correction of the log-odds of MSP.

n = examples, f = features, w = weights, the first of which is the intercept.

The log-odds of being right are a line in those of MSP plus a correction that is linear in the
standardized features, with an L2 penalty. The best penalty depends on the data. So the fits of
several penalties, "no correction" among them, are averaged with weights exp(-held-out log loss):
a correction counts only as far as the rows support it. Then each predicted class has an intercept.
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from recuse.scores import Score
from recuse.tuning._class_intercepts import class_intercepts
from recuse.tuning._log_loss import log_loss, shares

if TYPE_CHECKING:
    from jaxtyping import Bool, Float, Int
    from numpy import ndarray as Array

# On half the squared weights, for the mean loss
PENALTIES = (1.0, 0.3, 0.1, 0.03, 0.01, 0.003, 0.001)
FOLDS = 5
MOST_ROWS = 8000  # random subset; more rows hardly change eleven weights
CLIPPED = 0.005  # share of the rows at either end of a feature
ROUNDING = 1e-9  # standard deviation of a feature of logits that is constant but for its last bits
STEPS = 30  # of Newton's method, at most; three to six are typical
TOLERANCE = 1e-9  # of the mean loss
BLOCK = 1600  # rows; threads of BLAS that wait take more CPU than a product of more rows


class Path(NamedTuple):
    """Fits for all penalties on one set of rows."""

    slope: float  # of the log-odds of MSP
    weights: Float[Array, "penalties w"]
    center: Float[Array, " f"]
    scale: Float[Array, " f"]
    low: Float[Array, " f"]
    high: Float[Array, " f"]

    def design(self, features: Float[Array, "n f"]) -> Float[Array, "n w"]:
        """Return a column of ones and the standardized features."""
        x = np.empty((len(self.low) + 1, len(features)))  # in columns, of which products are made
        x[0] = 1
        np.clip(features.T, self.low[:, None], self.high[:, None], out=x[1:])
        x[1:] -= self.center[:, None]
        x[1:] /= self.scale[:, None]
        return x.T

    def log_odds(self, features: Float[Array, "n f"]) -> Float[Array, "n penalties"]:
        """Return the log-odds of being right under each penalty."""
        return self.slope * features[:, :1] + self.design(features) @ self.weights.T


def learn(
    features: Float[Array, "n f"],
    right: Bool[Array, " n"],
    code: Int[Array, " n"],
    seed: int = 0,
    name: str = "learned",
    *,
    predicted: Int[Array, " n"] | None = None,
    classes: int = 0,
) -> Score:
    """Fit the learned score to these rows; those with one possible class are certain anyhow.

    Args:
        features: Shape (n, f), from `scores.features`, or confidences. Their order affects only
            the folds.
        right: Shape (n,), whether the prediction is right.
        code: Shape (n,), group 0, 1, ... of each row: rows of one group stay in one fold.
        seed: Random seed of the folds, and of the subset if there are more than 8,000 rows.
        name: Of the score: "learned", or "combination" of confidences.
        predicted: Shape (n,), the predicted classes in 0..K-1; None of confidences.
        classes: K.
    """
    rng = np.random.default_rng(seed)
    uncertain = np.isfinite(features[:, 0])
    rows = np.arange(len(features)) if uncertain.all() else np.flatnonzero(uncertain)
    if rows.size > MOST_ROWS:
        rows = rows[np.sort(rng.permutation(rows.size)[:MOST_ROWS])]
    if rows.size < len(features):
        features, right, code = features[rows], right[rows], code[rows]
        predicted = None if predicted is None else predicted[rows]
    fold = rng.permutation(int(code.max()) + 1)[code] % FOLDS
    noise = 0.0 if predicted is None else ROUNDING
    log_odds = np.zeros((len(features), len(PENALTIES) + 1))
    for f in range(FOLDS):
        held = fold == f
        if held.any() and not held.all():
            path = fit_path(features[~held], right[~held], noise)
            log_odds[held] = path.log_odds(features[held])
    share = shares(log_loss(log_odds, right[:, None]).sum(axis=0))
    path = fit_path(features, right, noise)
    intercept, *weights = share @ path.weights
    columns = {"center": path.center, "scale": path.scale, "low": path.low, "high": path.high}
    own: dict[str, tuple[float, ...]] = {}
    if predicted is not None:
        found = class_intercepts(log_odds @ share, right, predicted, classes, fold)
        own = {"class_intercepts": found} if found else {}
    return Score(
        name,
        {
            "slope": float(path.slope),
            "intercept": float(intercept),
            "weights": tuple(map(float, weights)),
            **{name: tuple(map(float, column)) for name, column in columns.items()},
            **own,
        },
    )


def fit_path(features: Float[Array, "n f"], right: Bool[Array, " n"], noise: float = 0.0) -> Path:
    """Fit each penalty, from the strongest on; the first fit is the recalibrated MSP alone.

    A feature whose standard deviation is `noise` or less is constant.
    """
    low, high = np.quantile(features, [CLIPPED, 1 - CLIPPED], axis=0)
    clipped = np.clip(features, low, high)
    scale = clipped.std(axis=0)
    scale[scale <= noise] = 1
    msp = features[:, 0]
    line = Point(np.stack([np.ones_like(msp), msp]).T, right, 0 * msp, np.zeros(2))
    line = newton(line, np.array([0, 1e-6])).weights
    slope = max(float(line[1]), 0.0)
    path = Path(slope, np.empty((0, 0)), clipped.mean(axis=0), scale, low, high)
    design, weights = path.design(features), np.zeros(features.shape[1] + 1)
    weights[0] = line[0]
    found = [Point(design, right, slope * msp, weights)]
    for penalty in PENALTIES:
        penalties = np.full(weights.size, penalty)
        penalties[0] = 0
        found.append(newton(found[-1], penalties))
    return path._replace(weights=np.array([point.weights for point in found]))


class Point:
    """Weights w, and the mean log loss of offset + x w with its derivatives there.

    Each is computed when it is first asked for: the next penalty starts where the last one ended.
    """

    def __init__(self, x: Array, right: Array, offset: Array, weights: Array):
        self.x = x  # (n, w), in columns
        self.right = right  # (n,) booleans
        self.offset = offset  # (n,)
        self.weights = weights

    def moved(self, step: Float[Array, " w"]) -> Point:
        """Return the point a step away."""
        return Point(self.x, self.right, self.offset, self.weights - step)

    @cached_property
    def log_odds(self) -> Float[Array, " n"]:
        """Log-odds of being right."""
        return self.offset + self.x @ self.weights

    @cached_property
    def odds(self) -> Float[Array, " n"]:
        """Odds of the less probable outcome."""
        return np.exp(-np.abs(self.log_odds))

    @cached_property
    def probability(self) -> Float[Array, " n"]:
        """Probability of being right."""
        return np.where(self.log_odds < 0, self.odds, 1) / (1 + self.odds)

    @cached_property
    def loss(self) -> float:
        """Mean log loss."""
        return log_loss(self.log_odds, self.right, self.odds).mean()

    @cached_property
    def gradient(self) -> Float[Array, " w"]:
        """Gradient of the loss."""
        return self.x.T @ (self.probability - self.right) / len(self.x)

    @cached_property
    def curvature(self) -> Float[Array, "w w"]:
        """Second derivatives of the loss; by blocks, which BLAS does not hand to other threads."""
        variance = self.probability * (1 - self.probability)
        total = np.zeros((self.weights.size, self.weights.size))
        for start in range(0, len(self.x), BLOCK):
            x = self.x[start : start + BLOCK].T
            total += (x * variance[start : start + BLOCK]) @ x.T
        return total / len(self.x)


def newton(point: Point, penalties: Float[Array, " w"]) -> Point:
    """Minimize the loss plus half the penalized squares of the weights, from a point on."""
    ridge = np.diag(penalties + 1e-9)

    def value(point: Point) -> float:
        return point.loss + 0.5 * (penalties * point.weights**2).sum()

    least = value(point)
    for _ in range(STEPS):
        gradient = point.gradient + penalties * point.weights
        step = np.linalg.solve(point.curvature + ridge, gradient)
        if not gradient @ step / 2 > TOLERANCE:  # so much the step gains, to the second order
            break
        size, new = 1.0, point.moved(step)
        while value(new) > least and size > 1e-4:
            size /= 2
            new = point.moved(size * step)
        if not least - value(new) > TOLERANCE:
            break
        point, least = new, value(new)
    return point
