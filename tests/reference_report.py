"""Slow definitions of what the report's sliders show, and data to show it of."""

import numpy as np

HOSTILE = "<script>alert(1)</script>"


def splits(seed, n=600, classes=5, damage=0.0):
    """Random logits that are right more often where they are confident.

    `damage` scales up the rows that are wrong after their softmax has been fixed: it adds
    to the maximum logit and takes from a class that is impossible anyway.
    """
    rng = np.random.default_rng(seed)

    def draw():
        z = rng.normal(size=(n, classes)) * rng.uniform(0.5, 4, size=(n, 1))
        z[:, -1] -= 30
        p = np.exp(z - z.max(axis=1, keepdims=True))
        p /= p.sum(axis=1, keepdims=True)
        labels = np.array([rng.choice(classes, p=row) for row in p])
        wrong = labels != z.argmax(axis=1)
        z[:, -1] -= damage * wrong
        return z.astype(np.float32), labels

    return {name: draw() for name in ("tune", "calibrate", "test")}


def outcome(confidence, loss, threshold):
    """Accepted, and errors among them, one prediction after the other."""
    accepted = errors = 0
    for c, l in zip(confidence, loss):
        if c >= threshold:
            accepted += 1
            errors += l > 0
    return accepted, errors


def who(codes, confidence, loss, threshold):
    """The same for each code that occurs."""
    return {
        code: outcome(
            [c for c, k in zip(confidence, codes) if k == code],
            [l for l, k in zip(loss, codes) if k == code],
            threshold,
        )
        for code in sorted(set(codes))
    }


def strictest_fallback(thresholds, wish):
    """The smallest of the thresholds that is at least the wish; None if there is none."""
    reached = [t for t in thresholds if t >= wish]
    return min(reached) if reached else None
