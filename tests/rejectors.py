"""Rejectors of one rule, changed by hand."""

from dataclasses import replace

from recuse.rejector import Rule


def altered(rejector, threshold=None, guarantee=None, **fields):
    """The same with another threshold, guarantee, or other fields."""
    rule = rejector.rules[0]
    threshold = rule.threshold if threshold is None else float(threshold)
    guarantee = rule.guarantee if guarantee is None else guarantee
    rules = (Rule(None, threshold, guarantee),)
    return replace(rejector, rules=rules, delta=guarantee.delta, **fields)
