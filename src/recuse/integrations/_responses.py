"""Logits from the response of a fitted scikit-learn classifier.

n = examples, K = classes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from recuse.errors import InputError
from recuse.scores import from_binary, from_probs

if TYPE_CHECKING:
    from jaxtyping import Float
    from numpy import ndarray as Array

METHODS = ("predict_proba", "decision_function")


def response_of(estimator: Any, methods: Sequence[str]) -> str:
    """The first of the methods that the classifier has."""
    method = next((m for m in methods if hasattr(estimator, m)), None)
    if method is None:
        raise InputError(
            f"expected a classifier with {' or '.join(methods)}, got {type(estimator).__name__}"
        )
    return method


def logits_of(estimator: Any, method: str, X: Any) -> Float[Array, "n K"]:
    """The response as logits: the logarithm of probabilities, decision values as they are.

    One column of decision values becomes two classes, `scores.from_binary`.

    Raises:
        InputError: Not one column for each class.
    """
    if method == "decision_function":
        _refuse_one_vs_one(estimator)
    response = getattr(estimator, method)(X)
    if method == "predict_proba":
        logits = from_probs(response)
    else:
        logits = from_binary(response) if np.ndim(response) == 1 else np.asarray(response)
    if logits.ndim != 2 or logits.shape[1] != len(estimator.classes_):
        raise InputError(
            f"expected one column for each of {len(estimator.classes_)} classes, got {logits.shape}"
        )
    return logits


def _refuse_one_vs_one(estimator: Any) -> None:
    """The columns of pairs of classes, which for three classes are three too."""
    params = estimator.get_params() if hasattr(estimator, "get_params") else {}
    for name, value in params.items():
        shape = name.endswith("decision_function_shape")
        if shape and value == "ovo" and len(estimator.classes_) > 2:
            raise InputError(f"expected decision values of classes, got those of pairs: {name}=ovo")
