"""Promises by their definitions: plain loops, no vectors."""

import math


def capital(costs, mean, stake):
    """Of a bettor that costs are below `mean`, one bet after the other."""
    money = 1.0
    for cost in costs:
        money *= 1 + stake * (mean - cost)
    return money


def cost_upper(accepted, errors, n, error, abstain, stake, delta, steps=20_000):
    """The smallest mean of a fine grid at which the bettor has made 1 / delta."""
    scale = max(error, abstain)
    costs = [error / scale] * errors + [abstain / scale] * (n - accepted)
    costs += [0.0] * (accepted - errors)
    for i in range(steps + 1):
        if capital(costs, i / steps, stake) >= 1 / delta:
            return scale * i / steps
    return float(scale)


def decisions(rejector, prediction, confidence, subgroups=None):
    """Each prediction by the rule of its own class or subgroup; none where there is no rule."""
    out = []
    for i, c in enumerate(confidence):
        of = {"all": None, "class": int(prediction[i])}.get(rejector.by, 0)
        if rejector.by == "subgroup":
            of = subgroups[i]
        found = [rule for rule in rejector.rules if rule.subgroup == of]
        out.append(bool(found) and math.isfinite(found[0].threshold) and c >= found[0].threshold)
    return out
