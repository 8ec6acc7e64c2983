"""Rejectors of one rule, changed by hand."""

from dataclasses import replace

from recuse.rejector import Rule


def altered(rejector, threshold=None, guarantee=None, **fields):
    """The same with another threshold, promise, or other fields."""
    rule = rejector.rules[0]
    threshold = rule.threshold if threshold is None else float(threshold)
    promise = rule.guarantee if guarantee is None else guarantee
    rules = (Rule(None, threshold, promise),)
    return replace(rejector, rules=rules, delta=promise.delta, **fields)
