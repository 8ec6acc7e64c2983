"""scikit-learn: a classifier that abstains, and scorers for cross-validation.

n = examples, K = classes.

`SelectiveClassifier` makes any classifier abstain where it is likely wrong, with a guarantee of
the error of the rest. The scorers are for `cross_val_score`, `cross_validate` and `GridSearchCV`:

| scorer | greater is better |
|---|---|
| `neg_aurc`, `neg_augrc` | minus the area |
| `coverage_at_risk(0.05)` | the largest coverage with at most this risk |
| `neg_risk_at_coverage(0.8)` | minus the risk of this coverage |

They choose models that know when they are wrong; `accuracy` and `neg_log_loss` look at other
things. `SelectiveScorer` makes others; `SCORERS` has one of each, for `cross_validate`.
`selective_scores` is for classifiers that abstain: coverage, and the error of what is accepted.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from recuse import curves
from recuse._internal.check import check_fraction
from recuse.errors import InputError
from recuse.integrations._selective import (
    METHODS,
    InfeasibleWarning,
    SelectiveClassifier,
    logits_of,
    response_of,
)
from recuse.scores import SOFTMAX_FAMILY, Score, predict

if TYPE_CHECKING:
    from jaxtyping import Float
    from numpy import ndarray as Array
    from numpy.typing import ArrayLike

__all__ = [
    "SCORERS",
    "InfeasibleWarning",
    "SelectiveClassifier",
    "SelectiveScorer",
    "coverage_at_risk",
    "neg_augrc",
    "neg_aurc",
    "neg_risk_at_coverage",
    "selective_scores",
]


@dataclass(frozen=True)
class SelectiveScorer:
    """A scorer: called with a fitted classifier, X and y.

    Confidence and prediction come from one response of the classifier, so the prediction is
    the class with the largest probability, or decision value. `predict` is not called: where
    it moves a threshold, as `TunedThresholdClassifierCV` does, the two may differ.

    Decision values are taken as logits. For logistic models and boosting they are; those of
    support vector machines are not calibrated, but their order is what a curve depends on.

    Args:
        measure: f(confidence, loss), such as `recuse.aurc`.
        sign: 1 if a greater measure is better, else -1.
        score: What turns logits into confidence, a `recuse.scores.Score` or its name. From
            probabilities, the softmax family.
        methods: Of the classifier, the first that it has: "predict_proba",
            "predict_log_proba" or "decision_function".

    Raises:
        InputError: In a call: none of these methods, a score that probabilities cannot give,
            not one column for each class, or no label among the classes.
    """

    measure: Callable[..., float]
    sign: int = -1
    score: Any = "msp"  # a name becomes a `Score`
    methods: Sequence[str] = METHODS

    def __post_init__(self):
        if isinstance(self.score, str):
            object.__setattr__(self, "score", Score.parse(self.score))

    def __call__(self, estimator: Any, X: Any, y: ArrayLike) -> float:
        """The signed measure of these examples; 0-1 losses."""
        confidence, loss = self.ranking(estimator, X, y)
        return self.sign * self.measure(confidence, loss)

    def ranking(self, estimator: Any, X: Any, y: ArrayLike) -> tuple[Array, Array]:
        """Confidence and 0-1 loss of each example."""
        logits = self._logits(estimator, X)
        classes, y = np.asarray(estimator.classes_), np.asarray(y)
        if len(logits) != len(y):
            raise InputError(f"expected one row for each of {len(y)} labels, got {logits.shape}")
        if not np.isin(y, classes).any():
            raise InputError(f"expected labels among {classes.tolist()}, got {y[:3].tolist()}")
        return self.score(logits), (classes[predict(logits)] != y).astype(np.float64)

    def _logits(self, estimator: Any, X: Any) -> Float[Array, "n K"]:
        method = response_of(estimator, self.methods)
        if method != "decision_function" and self.score.name not in SOFTMAX_FAMILY:
            raise InputError(
                f"expected a score among {', '.join(SOFTMAX_FAMILY)} for {method}, "
                f'got {self.score}: give `methods=("decision_function",)` where there are logits'
            )
        return logits_of(estimator, method, X)


neg_aurc = SelectiveScorer(curves.aurc)
neg_augrc = SelectiveScorer(curves.augrc)


def coverage_at_risk(risk: float, *, score: Score | str = "msp") -> SelectiveScorer:
    """The largest reachable coverage with at most this risk, as a scorer.

    >>> from sklearn.datasets import load_iris
    >>> from sklearn.linear_model import LogisticRegression
    >>> from sklearn.model_selection import cross_val_score
    >>> X, y = load_iris(return_X_y=True)
    >>> classifier = LogisticRegression(max_iter=1000)
    >>> cross_val_score(classifier, X, y, scoring=coverage_at_risk(0.01)).shape
    (5,)
    """
    level = check_fraction(risk, "risk", zero=True, one=True)
    return SelectiveScorer(partial(curves.coverage_at_risk, risk=level), sign=1, score=score)


def neg_risk_at_coverage(coverage: float, *, score: Score | str = "msp") -> SelectiveScorer:
    """Minus the risk at the smallest reachable coverage of at least this, as a scorer."""
    level = check_fraction(coverage, "coverage", one=True)
    return SelectiveScorer(partial(curves.risk_at_coverage, coverage=level), score=score)


def selective_scores(estimator: Any, X: Any, y: ArrayLike) -> dict[str, float]:
    """Coverage and risk of the decisions of a classifier that abstains.

    For `cross_validate(scoring=selective_scores)`, which returns `test_coverage` and `test_risk`
    of each fold. The risk is no score: less is better.

    Args:
        estimator: A fitted `SelectiveClassifier`, or a pipeline that ends in one.
        X: Shape (n, ...), as the estimator takes it.
        y: Shape (n,), classes.

    Returns:
        "coverage", the fraction accepted, and "risk", the fraction of these that is wrong; NaN
        where nothing is accepted.

    Raises:
        InputError: The estimator does not abstain.

    >>> from sklearn.datasets import load_digits
    >>> from sklearn.linear_model import LogisticRegression
    >>> from sklearn.model_selection import cross_validate
    >>> X, y = load_digits(return_X_y=True)
    >>> careful = SelectiveClassifier(LogisticRegression(max_iter=2000), target_risk=0.03)
    >>> found = cross_validate(careful, X, y, scoring=selective_scores, cv=2)
    >>> [name for name in found if name.startswith("test_")]
    ['test_coverage', 'test_risk']
    """
    if steps := getattr(estimator, "steps", None):
        X, estimator = estimator[:-1].transform(X) if len(steps) > 1 else X, estimator[-1]
    if not hasattr(estimator, "predict_accept"):
        raise InputError(
            f"expected a SelectiveClassifier, or a pipeline that ends in one, got "
            f"{type(estimator).__name__}"
        )
    label, accept = estimator.predict_accept(X)
    wrong = (label != np.asarray(y))[accept]
    risk = float(wrong.mean()) if wrong.size else float("nan")
    return {"coverage": float(accept.mean()), "risk": risk}


SCORERS = {
    "neg_aurc": neg_aurc,
    "neg_augrc": neg_augrc,
    "coverage_at_risk_0.05": coverage_at_risk(0.05),
    "neg_risk_at_coverage_0.8": neg_risk_at_coverage(0.8),
}
