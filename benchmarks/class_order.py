"""False alarms and misses of the check of class order: `python -m benchmarks.class_order`.

Poor simulated models, and models of the tables that come with scikit-learn, fitted to 10 to 100
rows of which 30 % have other labels: none has its labels in another order. Then models of 75 %
accuracy whose labels are shifted or permuted. Takes about ten minutes.

n = rows, K = classes.
"""

from __future__ import annotations

import argparse
import warnings
from itertools import product

import numpy as np
from sklearn.datasets import load_breast_cancer, load_digits, load_iris, load_wine
from sklearn.linear_model import LogisticRegression
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.tree import DecisionTreeClassifier

from recuse.tuning._class_order import ClassOrder, Pairs

KINDS = ("random", "one class", "pairs", "few classes", "wrong prior")
TABLES = (load_breast_cancer, load_digits, load_iris, load_wine)
MODELS = (LogisticRegression, GaussianNB, KNeighborsClassifier, DecisionTreeClassifier)
PERMUTED = 0.3  # of the labels that a model is fitted to
FEWEST, MOST = 10, 100  # rows that a model is fitted to
ACCURACY, ROWS = 0.75, (50, 100, 200)  # of a model whose labels have moved, and rows of a class


def found(labels: np.ndarray, predicted: np.ndarray, classes: int) -> ClassOrder | None:
    """Return the other order that is found, if any."""
    pairs = Pairs(classes)
    pairs(predicted, labels)
    return pairs.order()


def poor(kind: str, classes: int, n: int, rng: np.random.Generator) -> tuple[np.ndarray, ...]:
    """Labels and predictions of a model that knows little or nothing, in its own order."""
    labels = rng.choice(classes, n, p=rng.dirichlet(np.full(classes, 0.5)))
    if kind == "random":
        return labels, rng.choice(classes, n, p=rng.dirichlet(np.ones(classes)))
    if kind == "one class":
        return labels, np.where(rng.random(n) < 0.98, rng.integers(classes), labels)
    if kind == "pairs":
        return labels, np.where(rng.random(n) < 0.5, labels, (labels ^ 1) % classes)
    if kind == "few classes":
        said = rng.choice(classes, max(1, classes // 4), replace=False)
        of = rng.choice(said, classes)
        of[said] = said
        return labels, np.where(rng.random(n) < 0.7, of[labels], rng.choice(said, n))
    centers = rng.normal(size=(classes, 3)) * rng.uniform(0.05, 1)
    x = centers[labels] + rng.normal(size=(n, 3))
    wrong_prior = np.log(rng.dirichlet(np.ones(classes)) + 1e-9)
    return labels, (x @ centers.T - (centers**2).sum(axis=1) / 2 + wrong_prior).argmax(axis=1)


def of_tables(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, int]:
    """Labels of the rest of a table, and predictions of a model of few rows with wrong labels."""
    x, y = TABLES[rng.integers(len(TABLES))](return_X_y=True)
    order, classes = rng.permutation(len(y)), len(np.unique(y))
    rows = order[: rng.integers(FEWEST, MOST + 1)]
    given = y[rows].copy()
    moved = rng.choice(len(rows), round(PERMUTED * len(rows)), replace=False)
    given[moved] = rng.permutation(given[moved])
    if len(np.unique(given)) < 2:
        return y, y, classes
    make = MODELS[rng.integers(len(MODELS))]
    model = make(max_iter=100) if make is LogisticRegression else make()
    scale = x[rows].std(axis=0) + 1e-9
    rest = order[len(rows) :]
    return y[rest], model.fit(x[rows] / scale, given).predict(x[rest] / scale), classes


def moved(classes: int, rows: int, rng: np.random.Generator) -> bool:
    """Return whether a shift or a permutation of the labels is found."""
    n = rows * classes
    labels = rng.integers(0, classes, n)
    right = (ACCURACY - 1 / classes) / (1 - 1 / classes)
    predicted = np.where(rng.random(n) < right, labels, rng.integers(0, classes, n))
    shift = classes < 4 or rng.random() < 0.5
    here = np.arange(classes)
    places = (here + 1) % classes if shift else rng.permutation(classes)
    while (places == here).all():
        places = rng.permutation(classes)
    return found(places[labels], predicted, classes) is not None


def main() -> None:
    """Print how often another order is found where there is none, and where there is one."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--times", type=int, default=300, help="of each kind")
    times = parser.parse_args().times
    warnings.simplefilter("ignore")  # of the few rows
    for kind in KINDS:
        rng, alarms = np.random.default_rng(0), 0
        for _ in range(times):
            classes, n = int(rng.choice([2, 3, 5, 10, 50, 200])), int(rng.choice([50, 300, 3000]))
            alarms += found(*poor(kind, classes, n, rng), classes) is not None
        print(f"{kind:14}{alarms:>6} alarms of {times:,} models")
    rng = np.random.default_rng(0)
    alarms = sum(found(*of_tables(rng)) is not None for _ in range(10 * times))
    print(f"{'tables':14}{alarms:>6} alarms of {10 * times:,} models")
    for classes, rows in product((2, 3, 5, 10, 50), ROWS):
        rng = np.random.default_rng(0)
        of = sum(moved(classes, rows, rng) for _ in range(times))
        print(f"moved, K = {classes:<3} {rows:3} rows a class {of:>6} found of {times:,}")


if __name__ == "__main__":
    main()
