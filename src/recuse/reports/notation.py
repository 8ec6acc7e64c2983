"""How the page writes numbers: every figure a reader sees is formatted here.

Rates come as fractions and leave as percent; areas leave as AURC x1000.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from recuse.intervals import Comparison
from recuse.present.tables import Table  # noqa: F401

SPACE = "\u00a0"  # keeps a number and its unit on one line
UNDEFINED = "–"


def percent(x: float) -> str:
    """A measured rate, to three figures: 83.1 %, 5.32 %, 0.25 %."""
    if math.isnan(x):
        return UNDEFINED
    value = 100 * x
    if value in (0, 100):
        return f"{value:.0f}{SPACE}%"
    return f"{value:.1f}{SPACE}%" if value >= 10 else f"{value:.2f}{SPACE}%"


def upper(x: float) -> str:
    """An upper limit, to three figures, never below itself: 5.33 % for 0.05321."""
    digits = 1 if 100 * x >= 10 else 2
    return f"{math.ceil(round(100 * x * 10**digits, 6)) / 10**digits:.{digits}f}{SPACE}%"


def level(x: float) -> str:
    """A rate that was asked for, as it was asked: 5 %, 0.1 %."""
    return f"{100 * x:.4g}{SPACE}%"


def area(x: float) -> str:
    """An area under a curve, x1000."""
    return f"{1000 * x:.1f}".replace("-", "−")


def area_with_error(x: float, standard_error: float) -> str:
    """An area and its standard error, x1000."""
    return area(x) if math.isnan(standard_error) else f"{area(x)} ± {area(standard_error)}"


def points(x: float) -> str:
    """A difference of two rates, in percentage points."""
    return f"{100 * x:.1f}".replace("-", "−")


def interval(comparison: Comparison, write: Callable[[float], str] = area) -> str:
    """The 95 % interval of a paired difference, of areas unless it is written otherwise."""
    if math.isnan(comparison.low):
        return UNDEFINED
    return f"[{write(comparison.low)},{SPACE}{write(comparison.high)}]"


def p_value(p: float) -> str:
    """p = 0.012; p < 0.001 under that."""
    if math.isnan(p):
        return f"p{SPACE}{UNDEFINED}"
    return f"p{SPACE}<{SPACE}0.001" if p < 0.001 else f"p{SPACE}={SPACE}{p:.2g}"


def count(n: int) -> str:
    """12,345."""
    return f"{n:,}"


def plural(n: int, noun: str) -> str:
    """1 bin, 2 bins."""
    return f"{count(n)} {noun}{'' if n == 1 else 's'}"


def number(x: float) -> str:
    """A quantity without a unit: a threshold, a logit."""
    return f"{x:.6g}".replace("-", "−").replace("inf", "∞")


def logit(x: float) -> str:
    """A logit or log-odds: a mean, a difference, a weight."""
    return f"{x:.3f}".replace("-", "−")


def prose(text: str) -> str:
    """A sentence from the library, set: units stay with their number, +- is one sign."""
    return text.replace("+-", "±").replace(" %", f"{SPACE}%")
