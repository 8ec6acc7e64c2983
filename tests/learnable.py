"""Made-up splits of which the learned score knows more than MSP.

n = examples, K = classes.
"""

from __future__ import annotations

import numpy as np


def with_information(n, seed, classes=5):
    """MSP is right about nothing but its order; the spread of the other logits tells the rest."""
    rng = np.random.default_rng(seed)
    z = rng.normal(size=(n, classes)) * rng.uniform(0.5, 3, (n, 1))
    spread = np.sort(z, axis=1)[:, :-1].std(axis=1)
    right = rng.uniform(size=n) < 1 / (1 + np.exp(4 * (spread - 1.2)))
    y = np.where(right, z.argmax(axis=1), (z.argmax(axis=1) + 1) % classes)
    return z.astype(np.float32), y


def learnable(n, seed=0, kind="many"):
    """Logits and labels: of "many" classes (n, 5), of "two" (n, 2), of a "binary" head (n, 1)."""
    rows = {"many": with_information, "two": told_by_the_mean, "binary": told_by_the_label}
    return rows[kind](n, seed)


def told_by_the_mean(n, seed=0):
    """Two logits whose mean, of which the softmax knows nothing, tells the errors."""
    rng = np.random.default_rng(seed)
    z = 2 * rng.normal(size=(n, 2))
    right = rng.uniform(size=n) < 1 / (1 + np.exp(-1.2 - 1.5 * z.mean(axis=1)))
    return z.astype(np.float32), np.where(right, z.argmax(axis=1), z.argmin(axis=1))


def told_by_the_label(n, seed=0):
    """One column: decisions for class 1 are right far more often."""
    rng = np.random.default_rng(seed)
    z = 3 * rng.normal(size=n)
    right = rng.uniform(size=n) < 1 / (1 + np.exp(0.3 - np.abs(z) / 3 - 2 * (z > 0)))
    return z.astype(np.float32)[:, None], np.where(right, z > 0, z <= 0).astype(np.int64)
