"""Small made-up splits: logits whose largest entry is wrong more often when it is small."""

from __future__ import annotations

import numpy as np


def sample(n=400, classes=5, seed=0, dtype=np.float32):
    """Logits (n, K) of `dtype` and labels (n,)."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, classes, n)
    logits = rng.normal(size=(n, classes))
    logits[np.arange(n), labels] += rng.uniform(0, 6, n)
    return logits.astype(dtype), labels


def masked(logits, seed=0):
    """The same (n, K) with -inf at random: any number of possible classes, from one on."""
    rng = np.random.default_rng(seed)
    n, classes = logits.shape
    impossible = rng.uniform(size=(n, classes)) < rng.uniform(size=(n, 1))
    impossible[np.arange(n), rng.integers(0, classes, n)] = False
    return np.where(impossible, -np.inf, logits).astype(logits.dtype)


def pixels(n=12, classes=3, side=6, seed=0, dtype=np.float32):
    """Logits (n, K, H, W) and labels (n, H, W)."""
    logits, labels = sample(n * side * side, classes, seed, dtype)
    shape = (n, side, side)
    return np.ascontiguousarray(np.moveaxis(logits.reshape(*shape, -1), -1, 1)), labels.reshape(
        shape
    )


def one_column(n=400, seed=0, dtype=np.float32):
    """Logits (n, 1) of a binary head and labels (n,)."""
    rng = np.random.default_rng(seed)
    z = 3 * rng.normal(size=n)
    labels = (rng.uniform(size=n) < 1 / (1 + np.exp(-z))).astype(np.int64)
    return z.astype(dtype)[:, None], labels


def log_softmax(z):
    """The logarithm of the probabilities of logits (n, K), in float64."""
    z = z.astype(np.float64)
    return z - np.log(np.exp(z).sum(axis=1, keepdims=True))


def learned_score(seed=0, classes=0):
    """A learned score with parameters as a fit could leave them, some for each of K classes."""
    from recuse.scores import FEATURES, Score

    rng = np.random.default_rng(seed)
    columns = rng.uniform(-1, 1, (3, len(FEATURES)))
    named = dict(zip(("weights", "center", "low"), columns.tolist()))
    named["high"] = [low + 4 for low in named["low"]]
    named["scale"] = rng.uniform(0.5, 2, len(FEATURES)).tolist()
    if classes:
        named["class_intercepts"] = rng.normal(size=classes).tolist()
    return Score(
        "learned", {"slope": 0.5, "intercept": 1.0} | {k: tuple(v) for k, v in named.items()}
    )


def equal_costs(classes, error=5.0, abstain=1.0):
    """Costs (K, K + 1) where all errors are alike: Chow's."""
    return np.c_[error * (1 - np.eye(classes)), np.full(classes, abstain)]
