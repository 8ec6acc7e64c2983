"""Standard errors of the measures, from the spread of their terms.

m = terms.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from recuse._internal.check import first
from recuse.calibration import _measures
from recuse.errors import InputError
from recuse.intervals._influence import variance_of_mean

if TYPE_CHECKING:
    from jaxtyping import Float
    from numpy import ndarray as Array
    from numpy.typing import ArrayLike

TERMS: dict[Callable[..., float], Callable[..., Any]] = {
    _measures.nll: _measures.nll_terms,
    _measures.brier: _measures.brier_terms,
    _measures.top_label_brier: _measures.top_label_brier_terms,
    _measures.ece: _measures.ece_terms,
    _measures.equal_mass_ece: _measures.equal_mass_ece_terms,
    _measures.classwise_ece: _measures.classwise_ece_terms,
    _measures.smooth_ece: _measures.smooth_ece_terms,
}


def terms(
    predicted: ArrayLike, observed: ArrayLike, measure: Callable[..., float], **options: Any
) -> Float[Array, " m"]:
    """Return one number for each example: their mean is the measure, their spread its error.

    Differences of the terms of two models on the same examples compare the models.

    Args:
        predicted: Logits, or the stated probabilities of being right, as the measure takes them.
        observed: Labels, or losses.
        measure: A measure of this module.
        options: Options of the measure, such as `bins`.

    Raises:
        InputError: Not such a measure, or malformed input.

    >>> from recuse.calibration import ece
    >>> terms([0.8, 0.8, 0.8], [0, 1, 1], ece).round(3)
    array([-0.2,  0.8,  0.8])
    """
    if not callable(measure) or measure not in TERMS:
        known = ", ".join(getattr(f, "__name__", "") for f in TERMS)
        raise InputError(f"expected `measure` among {known}, got {measure!r}")
    return TERMS[measure](predicted, observed, **options)


def standard_error(
    predicted: ArrayLike,
    observed: ArrayLike,
    measure: Callable[..., float],
    *,
    groups: ArrayLike | None = None,
    **options: Any,
) -> float:
    """Return the standard error of a measure, by the delta method.

    For the calibration errors it holds the bins and the sign of each gap fixed. That is right
    where the gaps are large beside their noise. For a calibrated model they are noise: the
    measure is then biased upwards, not normal, and spreads less than this value.

    Args:
        predicted: Logits, or the stated probabilities of being right, as the measure takes them.
        observed: Labels, or losses.
        measure: A measure of this module.
        groups: One for each term, in the shape of the labels or losses: rows of equal value
            are dependent.
        options: Options of the measure, such as `bins`.

    Raises:
        InputError: Malformed input, fewer than two groups, or a term that is infinite.

    >>> from recuse.calibration import ece
    >>> round(standard_error([0.8] * 100, [0] * 60 + [1] * 40, ece), 4)
    0.0492
    """
    t = terms(predicted, observed, measure, **options)
    if (bad := ~np.isfinite(t)).any():
        raise InputError(f"expected finite terms for a standard error, got inf, {first(bad)}")
    t = t - np.sort(t).mean()
    return float(np.sqrt(variance_of_mean(t, None if groups is None else np.ravel(groups))))
