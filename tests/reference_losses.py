"""Targets and losses restated as plain loops over Python floats.

A row is one example (or one pixel): K logits, and a label or K soft target values.
"""

import math


def smoothed_target(target, k, smoothing, convention="uniform", prior=None, ignore_index=-100):
    """K numbers: the target of one row after smoothing."""
    if not isinstance(target, int):
        rows = [smoothed_target(j, k, smoothing, convention, prior) for j in range(k)]
        return [sum(target[j] * rows[j][c] for j in range(k)) for c in range(k)]
    if target == ignore_index:
        return [0.0] * k
    q = []
    for c in range(k):
        hard = 1.0 if c == target else 0.0
        if convention == "exclude_true":
            q.append(1 - smoothing if c == target else smoothing / (k - 1))
        else:
            q.append((1 - smoothing) * hard + smoothing * (prior[c] if prior else 1 / k))
    return q


def log_softmax(logits):
    top = max(logits)
    log_sum = math.log(sum(math.exp(z - top) for z in logits))
    return [z - top - log_sum for z in logits]


def row_weight(target, weight, ignore_index=-100):
    """What the mean divides by: the weight of the unsmoothed target."""
    if isinstance(target, int):
        return 0.0 if target == ignore_index else weight[target]
    return sum(t * w for t, w in zip(target, weight))


def smoothed_cross_entropy(
    logits,
    targets,
    smoothing,
    weight=None,
    ignore_index=-100,
    reduction="mean",
    convention="uniform",
    prior=None,
    weight_mode="per_class",
):
    """The loss of rows of logits: a number, or a list of them for `none`."""
    k = len(logits[0])
    weight = weight or [1.0] * k
    losses, total = [], 0.0
    for z, target in zip(logits, targets):
        q = smoothed_target(target, k, smoothing, convention, prior, ignore_index)
        log_p = log_softmax(z)
        of_row = row_weight(target, weight, ignore_index)
        loss = 0.0
        for c in range(k):
            loss -= (weight[c] if weight_mode == "per_class" else of_row) * q[c] * log_p[c]
        losses.append(loss)
        total += of_row
    if reduction == "none":
        return losses
    if reduction == "sum":
        return sum(losses)
    return sum(losses) / total if total > 0 else 0.0
