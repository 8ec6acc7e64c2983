"""Where no threshold passes: what could have been promised, and what would be needed.

m = thresholds.
"""

from __future__ import annotations

from itertools import chain

import numpy as np

from recuse.bounds import binomial_p_value, clopper_pearson_lower, clopper_pearson_upper
from recuse.selectors._guarantee import percent, sure
from recuse.selectors._methods import Plan

LARGEST_SAMPLE = 10**8  # beyond it, no number of rows is named
EXAMPLES = "calibrate examples"  # in words; groups where one row of each was used
FIFTH, Z_FIFTH = 0.2, 0.84  # a normal variable exceeds the latter in one draw of five


def smallest_target(plan: Plan, target: float) -> float | None:
    """The smallest target above the asked one for which a threshold passes.

    In steps of 0.1 %; below 1 %, of two digits.
    """
    least = max(plan.scan_from(), target)
    digits = (d / 10**place for place in range(10, 3, -1) for d in range(10, 100))
    targets = (t for t in chain(digits, (t / 1000 for t in range(10, 1000))) if t > least)
    return next((t for t in targets if plan.choose(t) is not None), None)


def rows_needed(plan: Plan, n: int, target: float) -> int | None:
    """About how many calibrate examples would pass in four draws of five; None if that is unclear.

    Were the risk at a threshold what it is at most by all counts, with 80 % confidence: the
    number of accepted at which the test passes for all but the largest fifth of error counts
    (normal approximation). As many tune examples must then say where to begin.
    """
    seen, n_seen = plan.known(n)
    limit = clopper_pearson_upper(seen.errors, seen.accepted, FIFTH)
    possible = (seen.accepted > 0) & (limit < target)
    accepted, risk = seen.accepted[possible], limit[possible]
    low, high = np.zeros(risk.size), np.full(risk.size, float(LARGEST_SAMPLE))
    while np.any(high - low > 1 + low / 100):
        middle = np.ceil((low + high) / 2)
        errors = np.ceil(middle * risk + Z_FIFTH * np.sqrt(middle * risk * (1 - risk)))
        enough = binomial_p_value(errors, middle, target) <= plan.level
        low, high = np.where(enough, low, middle), np.where(enough, middle, high)
    rows = high * n_seen / accepted
    return int(np.ceil(rows.min())) if rows.size and n < rows.min() < LARGEST_SAMPLE else None


def hopeless(plan: Plan, target: float, delta: float) -> bool:
    """Whether the risk is clearly above the target at every threshold."""
    lower = clopper_pearson_lower(plan.seen.errors, plan.seen.accepted, delta)
    return bool(np.all(lower > target))


def why(
    plan: Plan, target: float, delta: float, n: int, best: float | None, rows: int | None
) -> str:
    """The answer in words."""
    parts = [
        f"Infeasible: no threshold that was tested passed for a risk of {percent(target)} with "
        f"{sure(delta)} confidence on {n} {EXAMPLES} "
        f"(to pass, {_at_most(plan.free(target))} must be accepted if none of them is wrong, "
        "more if some are)."
    ]
    if best is not None:
        parts.append(
            f"The smallest target that would have passed is {percent(best)}; to rely on it, "
            "choose it before looking at new calibrate data."
        )
    if hopeless(plan, target, delta):
        parts.append("The risk is above the target at every threshold: more data will not help.")
    elif rows is not None:
        both = "" if plan.held is plan.seen else ", if the tune split has as many"
        needed = f"perhaps {_two_digits(rows):,} {EXAMPLES} would do{both}"
        parts.append(f"At the risks seen, {needed}.")
    return " ".join(parts)


def _at_most(rows: int) -> str:
    """A number of rows that could be had, or that it is larger than any."""
    return str(rows) if rows <= LARGEST_SAMPLE else f"more than {LARGEST_SAMPLE:,}"


def _two_digits(n: int) -> int:
    """Rounded up to two significant digits: no more is known."""
    unit = 10 ** max(len(str(n)) - 2, 0)
    return -(-n // unit) * unit
