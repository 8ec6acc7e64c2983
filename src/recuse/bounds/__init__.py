"""Bounds on a mean loss from a sample, one a function, none of them a normal approximation.

n = independent examples, k = errors among them, total = their summed loss, in [0, n].

A p-value is for the null "the mean is at least `risk`": at most `delta` with probability at
most `delta` if that is so. An upper limit lies below the mean with probability at most
`delta`. Errors are counted (`binomial_p_value`, `clopper_pearson_upper`), losses in [0, 1] are
summed (`hoeffding_bentkus_*`) or read one by one (`betting_*`).
"""

from recuse.bounds._binomial import (
    binomial_p_value,
    clopper_pearson_interval,
    clopper_pearson_lower,
    clopper_pearson_upper,
    smallest_error_free_sample,
)
from recuse.bounds._losses import (
    betting_p_value,
    betting_upper,
    hoeffding_bentkus_p_value,
    hoeffding_bentkus_upper,
)

__all__ = [
    "betting_p_value",
    "betting_upper",
    "binomial_p_value",
    "clopper_pearson_interval",
    "clopper_pearson_lower",
    "clopper_pearson_upper",
    "hoeffding_bentkus_p_value",
    "hoeffding_bentkus_upper",
    "smallest_error_free_sample",
]
