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
            row = prior[target] if prior and isinstance(prior[0], list) else prior
            q.append((1 - smoothing) * hard + smoothing * (row[c] if row else 1 / k))
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
    normalize="weights",
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
        ignored = target == ignore_index if isinstance(target, int) else sum(target) == 0
        total += of_row if normalize == "weights" else 0 if ignored else 1
    if reduction == "none":
        return losses
    if reduction == "sum":
        return sum(losses)
    return sum(losses) / total if total > 0 else 0.0


def binary(z, y, smoothing, weight=1.0, pos_weight=1.0):
    """The loss of one logit, of a target in [0, 1]."""
    if isinstance(smoothing, tuple):
        q = y * (1 - smoothing[0]) + (1 - y) * smoothing[1]
    else:
        q = y * (1 - smoothing) + smoothing / 2
    yes, no = -math.log1p(math.exp(-z)), -math.log1p(math.exp(z))
    return -weight * (pos_weight * q * yes + (1 - q) * no)


def penalized(logits, targets, strength, penalty, weight=None, ignore_index=-100, reduction="mean"):
    """Cross entropy plus the penalty of each row that is not ignored, each reduced alike."""
    hard = smoothed_cross_entropy(
        logits, targets, 0.0, weight=weight, ignore_index=ignore_index, reduction=reduction
    )
    penalties, kept = [], 0
    for z, target in zip(logits, targets):
        ignored = target == ignore_index if isinstance(target, int) else sum(target) == 0
        penalties.append(0.0 if ignored else strength * penalty(z))
        kept += not ignored
    if reduction == "none":
        return [h + p for h, p in zip(hard, penalties)]
    if reduction == "sum":
        return hard + sum(penalties)
    return hard + (sum(penalties) / kept if kept else 0.0)


def top_over_mean(z):
    """The penalty of MaxSup."""
    return max(z) - sum(z) / len(z)


def beyond_margin(z, margin):
    """The penalty of MbLS."""
    return sum(max(0.0, max(z) - other - margin) for other in z) / len(z)


def online_rows(rows, batches):
    """K soft labels after an epoch: the mean softmax of each class's correct predictions."""
    k = len(rows)
    result = []
    for c in range(k):
        right = []
        for z, y in batches:
            if y == c and z.index(max(z)) == c:
                right.append([math.exp(v) for v in log_softmax(z)])
        mean = [sum(p[j] for p in right) / len(right) for j in range(k)] if right else rows[c]
        result.append(mean)
    return result


def composer(target, k, smoothing):
    """Composer's targets: one-hot, then (1 - smoothing) times it plus smoothing / K."""
    return [(1.0 if c == target else 0.0) * (1 - smoothing) + smoothing / k for c in range(k)]
