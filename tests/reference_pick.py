"""What `pick` says of two models, in the slowest obvious way."""

import math


def difference_of_accuracy(right, other):
    """Mean of right less other, its standard error, and the ends of the 95 % interval."""
    n = len(right)
    d = [float(a) - float(b) for a, b in zip(right, other)]
    mean = sum(d) / n
    error = math.sqrt(sum((x - mean) ** 2 for x in d) / (n - 1) / n)
    return mean, error, mean - 1.959964 * error, mean + 1.959964 * error
