"""Standard errors of the measures: the spread of the terms whose mean each measure is.

m = terms.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from recuse._internal.check import first
from recuse.calibration import _binned, _proper, _smooth
from recuse.errors import InputError
from recuse.intervals import variance_of_mean

if TYPE_CHECKING:
    from jaxtyping import Float
    from numpy import ndarray as Array
    from numpy.typing import ArrayLike

TERMS: dict[Callable[..., float], Callable[..., Any]] = {
    _proper.nll: _proper.nll_terms,
    _proper.brier: _proper.brier_terms,
    _proper.top_label_brier: _proper.top_label_brier_terms,
    _binned.ece: _binned.ece_terms,
    _binned.equal_mass_ece: _binned.equal_mass_ece_terms,
    _binned.classwise_ece: _binned.classwise_ece_terms,
    _smooth.smooth_ece: _smooth.smooth_ece_terms,
}


def terms(measure: Callable[..., float], *inputs: ArrayLike, **options: Any) -> Float[Array, " m"]:
    """One number for each example; their mean is the measure, their spread its error.

    Differences of the terms of two models on the same examples compare the models.

    Args:
        measure: A measure of this module.
        inputs: What the measure takes.
        options: Of the measure, such as `bins`.

    Raises:
        InputError: Not such a measure, or malformed input.

    >>> from recuse.calibration import ece
    >>> terms(ece, [0.8, 0.8, 0.8], [0, 1, 1]).round(3)
    array([-0.2,  0.8,  0.8])
    """
    if measure not in TERMS:
        known = ", ".join(getattr(f, "__name__", "") for f in TERMS)
        raise InputError(f"expected a measure among {known}, got {measure!r}")
    return TERMS[measure](*inputs, **options)


def standard_error(
    measure: Callable[..., float],
    *inputs: ArrayLike,
    groups: ArrayLike | None = None,
    **options: Any,
) -> float:
    """Standard error of a measure, by the delta method.

    For the calibration errors it holds the bins and the sign of each gap fixed. That is
    right where the gaps are large beside their noise. For a calibrated model they are noise:
    the measure is then biased upwards, not normal, and its spread is smaller than said here.

    Args:
        measure: A measure of this module.
        inputs: What the measure takes.
        groups: One for each term, in the shape of the labels or losses: rows of equal value
            are dependent.
        options: Of the measure, such as `bins`.

    Raises:
        InputError: Malformed input, fewer than two groups, or a term that is infinite.

    >>> from recuse.calibration import ece
    >>> round(standard_error(ece, [0.8] * 100, [0] * 60 + [1] * 40), 4)
    0.0492
    """
    t = terms(measure, *inputs, **options)
    if (bad := ~np.isfinite(t)).any():
        raise InputError(f"expected finite terms for a standard error, got inf, {first(bad)}")
    t = t - np.sort(t).mean()
    return float(np.sqrt(variance_of_mean(t, None if groups is None else np.ravel(groups))))
