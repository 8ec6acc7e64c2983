"""How a number is written: rates as percent, areas times 1,000, counts with separators.

Rates come as fractions. A dash stands for what is undefined.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from decimal import ROUND_CEILING, Decimal
from typing import Any

import numpy as np

UNDEFINED = "-"
SMALLEST = Decimal("1e-20")  # percent that a confidence level is below 100 %, as it is shown
NAMED = 10  # names that a sentence lists


def percent(x: float, digits: int | None = None) -> str:
    """A measured rate, to three significant figures or to `digits` decimals.

    >>> percent(0.831), percent(0.0532), percent(0.0532, 1), percent(1.0), percent(math.nan)
    ('83.1 %', '5.32 %', '5.3 %', '100 %', '-')
    """
    if math.isnan(x):
        return UNDEFINED
    if digits is None:
        digits = 0 if x in (0, 1) else 1 if x >= 0.1 else 2
    return f"{100 * x:.{digits}f} %"


def upper_percent(x: float) -> str:
    """An upper limit of a rate, to three significant figures, never rounded down.

    >>> upper_percent(0.05321)
    '5.33 %'
    """
    digits = 1 if x >= 0.1 else 2
    return f"{math.ceil(round(100 * x * 10**digits, 6)) / 10**digits:.{digits}f} %"


def exact_percent(x: float) -> str:
    """A rate that was asked for, with all its digits: 0.9999999 is not shown as 100 %.

    >>> exact_percent(0.05), exact_percent(0.001), exact_percent(0.9999999)
    ('5 %', '0.1 %', '99.99999 %')
    >>> exact_percent(1e-20)
    '1e-18 %'
    """
    shown = round(100 * x, 9)
    return f"{np.format_float_positional(shown, trim='-') if shown else f'{100 * x:.3g}'} %"


def tight_percent(x: float) -> str:
    """`exact_percent` without the space, for the head of a narrow column: 5% risk."""
    return exact_percent(x).replace(" ", "")


def confidence_level(delta: float) -> str:
    """1 - delta in percent, never rounded up: four digits of delta.

    >>> confidence_level(0.05), confidence_level(0.05 / 3), confidence_level(1e-6 / 7)
    ('95 %', '98.333 %', '99.99998571 %')
    >>> confidence_level(1e-300)
    '99.99999999999999999999 %'
    """
    share = max(Decimal(f"{delta:.12g}") * 100, SMALLEST)
    shown = share.quantize(Decimal(1).scaleb(share.adjusted() - 3), rounding=ROUND_CEILING)
    return f"{(100 - shown).normalize():f} %"


def points(x: float, digits: int = 1) -> str:
    """A rate or a difference of two, times 100, without the unit."""
    return UNDEFINED if math.isnan(x) else f"{100 * x:.{digits}f}"


def area(x: float, digits: int = 1) -> str:
    """An area under a curve, times 1,000."""
    return UNDEFINED if math.isnan(x) else f"{1000 * x:.{digits}f}"


def p_value(p: float) -> str:
    """A p-value with its letter.

    >>> p_value(0.0123), p_value(1e-9)
    ('p = 0.012', 'p < 0.001')
    """
    if math.isnan(p):
        return f"p {UNDEFINED}"
    return "p < 0.001" if p < 0.001 else f"p = {p:.2g}"


def count(n: int) -> str:
    """A count: 12,345."""
    return f"{n:,}"


def about(n: int) -> str:
    """A number of rows that is estimated: rounded up to two significant digits.

    >>> about(1234), about(59)
    ('1,300', '59')
    """
    unit = 10 ** max(len(str(n)) - 2, 0)
    return count(-(-n // unit) * unit)


def plural(n: int, noun: str) -> str:
    """A count and its noun.

    >>> plural(1, "row"), plural(1200, "row")
    ('1 row', '1,200 rows')
    """
    return f"{count(n)} {noun}{'' if n == 1 else 's'}"


def with_error(value: str, error: str) -> str:
    """A number and its standard error, where there is one.

    >>> with_error("8.1", "0.4"), with_error("8.1", "-")
    ('8.1 +- 0.4', '8.1')
    """
    return value if error == UNDEFINED else f"{value} +- {error}"


def interval(low: float, high: float, write: Callable[[float], str] = area) -> str:
    """An interval, of areas unless it is written otherwise.

    >>> interval(-0.0012, 0.0034), interval(math.nan, math.nan)
    ('[-1.2, 3.4]', '-')
    """
    return UNDEFINED if math.isnan(low) else f"[{write(low)}, {write(high)}]"


def logit(x: float) -> str:
    """A logit or log-odds: a mean, a difference, a weight."""
    return f"{x:.3f}"


def expit(log_odds: float) -> float:
    """Return the probability of log-odds.

    >>> expit(0.0), expit(-800.0)
    (0.5, 0.0)
    """
    small = math.exp(-abs(log_odds))
    return (small if log_odds < 0 else 1.0) / (1 + small)


def number(x: float) -> str:
    """A quantity without a unit, such as a threshold, to six significant figures."""
    return f"{x:.6g}"


def listed(given: Iterable[Any], most: int = NAMED) -> str:
    """Names in a sentence; those beyond `most` are counted.

    >>> listed(["a", "b", "c"]), listed(["a", "b", "c"], 1)
    ('a, b and c', 'a and 2 more')
    """
    names = [str(name) for name in given] or ["nothing"]
    more = len(names) - most
    if more > 0:
        return f"{', '.join(names[:most])} and {count(more)} more"
    *most_of_them, last = names
    return f"{', '.join(most_of_them)} and {last}" if most_of_them else last
