"""How often `SelectiveClassifier(cv=)` breaks its target: `python -m tests.validity.out_of_fold`.

n = rows. An adverse learner predicts, in each of some cells that say nothing of y, the class with
most or with fewest rows of its training, with a confidence that is noise. Classes are a coin, so
that whatever is accepted has a risk of 50 %, and each feasible answer to a target of 49.9 % is a
violation. Of real learners, the risk of what is accepted is counted on 20,000 new rows.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterator
from typing import Any
from unittest.mock import patch

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.datasets import load_breast_cancer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import KFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.tree import DecisionTreeClassifier

from recuse.integrations.sklearn import InfeasibleWarning, SelectiveClassifier

RUNS, NEW = 400, 20_000
COIN, REAL = 0.499, 0.1  # target risks
CELLS = 2  # at most
CV = {
    "set aside": {},
    "cv=5": {"cv": 5},
    "cv=KFold(5)": {"cv": KFold(5)},
}
SMALL: dict[str, Any] = {
    "tune_size=.2, calibrate_size=.2": {"tune_size": 0.2, "calibrate_size": 0.2},
    "calibrate_size=.4": {},
    "calibrate_size=.5": {"calibrate_size": 0.5},
    'cv=5, cv_guarantee="exact"': {"cv": 5, "cv_guarantee": "exact"},
    'cv=2, cv_guarantee="exact"': {"cv": 2, "cv_guarantee": "exact"},
    "cv=5": {"cv": 5},
}


class Adverse(ClassifierMixin, BaseEstimator):
    """In each cell, the class with most rows of training there, or with fewest."""

    def __init__(self, fewest: bool = False):
        self.fewest = fewest

    def fit(self, X: Any, y: Any) -> Adverse:
        self.classes_ = np.array([0, 1])
        cells = 2 * X[:, 0].astype(int) + y
        count = np.bincount(cells, minlength=2 * CELLS).reshape(-1, 2)
        self.at_ = count.argmin(axis=1) if self.fewest else count.argmax(axis=1)
        return self

    def predict_proba(self, X: Any) -> np.ndarray:
        sure = 0.6 + 0.3 * X[:, 1:]
        return 1 - sure + (2 * sure - 1) * np.eye(2)[self.at_[X[:, 0].astype(int)]]


def coin(rng: np.random.Generator, n: int, cells: int) -> tuple[np.ndarray, np.ndarray]:
    """Cells with noise, and classes, independent of each other."""
    X = np.column_stack([rng.integers(0, cells, n), rng.uniform(size=n)])
    return X, rng.integers(0, 2, n)


def normal(rng: np.random.Generator, n: int) -> tuple[np.ndarray, np.ndarray]:
    """Ten normal features, of which two matter."""
    X = rng.normal(size=(n, 10))
    return X, (rng.uniform(size=n) < 1 / (1 + np.exp(-2 * X[:, 0] - X[:, 1]))).astype(int)


def learners() -> Iterator[tuple[str, Any, Any, float]]:
    """Name, estimator, how rows are drawn, and the target risk."""
    for fewest in (True, False):
        for cells in range(1, CELLS + 1):
            name = f"{'fewest' if fewest else 'most'}, {cells} cell{'s' * (cells > 1)}"
            yield name, Adverse(fewest), lambda rng, n, m=cells: coin(rng, n, m), COIN
    yield "logistic regression", LogisticRegression(), normal, REAL
    yield "tree of depth 4", DecisionTreeClassifier(max_depth=4, random_state=0), normal, REAL


def rates(
    estimator: Any, draw: Any, target: float, n: int, options: Any, runs: int
) -> tuple[float, float]:
    """Share of draws with a risk above the target, and mean coverage."""
    rng, broken, coverage = np.random.default_rng(1), 0, 0.0
    new_X, new_y = draw(np.random.default_rng(0), NEW)
    for seed in range(runs):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", InfeasibleWarning)
            options = {**options, "target_risk": target, "random_state": seed}
            careful = SelectiveClassifier(estimator, **options).fit(*draw(rng, n))
        if not careful.feasible_:
            continue
        label, accept = careful.predict_accept(new_X)
        coverage += accept.mean()
        wrong = (label != new_y)[accept].mean() if target == REAL else 0.5
        broken += bool(accept.any() and wrong > target)
    return broken / runs, coverage / runs


def cancer(seeds: int = 10) -> None:
    """Print what is accepted of the calibration rows of breast_cancer at a target of 2 %."""
    X, y = load_breast_cancer(return_X_y=True)
    estimator = make_pipeline(StandardScaler(), LogisticRegression())
    print(f"| breast_cancer at 2 %, {seeds} seeds | feasible | accepted |\n|---|---|---|")
    for name, options in SMALL.items():
        share = []
        for seed in range(seeds):
            options = {**options, "target_risk": 0.02, "random_state": seed}
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", InfeasibleWarning)
                share.append(SelectiveClassifier(estimator, **options).fit(X, y).selection_)
        feasible = sum(s.feasible for s in share)
        accepted = np.mean([s.guarantee.coverage for s in share])
        print(f"| `{name}` | {feasible} | {100 * accepted:.0f} % |", flush=True)


def main(runs: int = RUNS, n: int = 200) -> None:
    """Print violations of delta = 5 %, and the mean coverage."""
    # which target would be feasible takes longest, and changes no threshold
    with patch("recuse.selectors._select.smallest_target", lambda *_: None):
        cancer()
        print(f"\n| learner, n = {n} | {' | '.join(CV)} |\n|---|{'---|' * len(CV)}")
        for name, estimator, draw, target in learners():
            cells = [rates(estimator, draw, target, n, options, runs) for options in CV.values()]
            shown = " | ".join(f"{broken:.3f} ({coverage:.2f})" for broken, coverage in cells)
            print(f"| {name} | {shown} |", flush=True)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
