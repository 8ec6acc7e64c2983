"""The scorers, in scikit-learn's own cross-validation."""

import pickle

import numpy as np
import pytest

import recuse
import reference
from recuse import InputError
from recuse.scores import Score, from_probs

sklearn = pytest.importorskip("sklearn")

from sklearn.datasets import make_classification  # noqa: E402
from sklearn.ensemble import RandomForestClassifier  # noqa: E402
from sklearn.linear_model import LogisticRegression, RidgeClassifier  # noqa: E402
from sklearn.model_selection import (  # noqa: E402
    GridSearchCV,
    StratifiedKFold,
    cross_val_score,
    cross_validate,
)
from sklearn.pipeline import make_pipeline  # noqa: E402
from sklearn.preprocessing import StandardScaler  # noqa: E402
from sklearn.svm import SVC, LinearSVC  # noqa: E402

from recuse.integrations.sklearn import (  # noqa: E402
    SCORERS,
    SelectiveScorer,
    coverage_at_risk,
    neg_augrc,
    neg_aurc,
    neg_risk_at_coverage,
)

NAMES = np.array(["wren", "auk", "kite", "gull"])


def data(classes, n=240):
    X, y = make_classification(
        n, n_features=8, n_informative=4, n_classes=classes, flip_y=0.2, random_state=0
    )
    return X, NAMES[y]


def expected(classifier, X, y, scores):
    """(confidence, loss) by loops: scores are (n, K), or (n,) of the second class."""
    scores = np.stack([0 * scores, scores], axis=1) if scores.ndim == 1 else scores
    confidence = [reference.msp(z) for z in scores.tolist()]
    best = [max(range(len(z)), key=lambda k: (z[k], -k)) for z in scores]
    loss = [float(classifier.classes_[k] != label) for k, label in zip(best, y)]
    return np.float32(confidence).tolist(), loss


def classifiers():
    return [
        (LogisticRegression(), "predict_proba"),
        (make_pipeline(StandardScaler(), LogisticRegression()), "predict_proba"),
        (LinearSVC(), "decision_function"),
        (RidgeClassifier(), "decision_function"),
        (SVC(), "decision_function"),
    ]


@pytest.mark.parametrize("classes", [2, 4])
@pytest.mark.parametrize(("classifier", "method"), classifiers())
def test_scorers_are_the_measures_and_greater_is_better(classes, classifier, method):
    X, y = data(classes)
    classifier.fit(X[:160], y[:160])
    X, y = X[160:], y[160:]
    scores = getattr(classifier, method)(X)
    c, l = expected(classifier, X, y, np.log(scores) if method == "predict_proba" else scores)
    assert 0 < sum(l) < len(l)
    close = {"rel": 1e-6}  # a tie of float32 may be broken by the loop's last bit
    assert neg_aurc(classifier, X, y) == pytest.approx(-reference.aurc(c, l), **close)
    assert neg_augrc(classifier, X, y) == pytest.approx(-reference.augrc(c, l), **close)
    assert coverage_at_risk(0.1)(classifier, X, y) == reference.coverage_at_risk(c, l, 0.1)
    assert neg_risk_at_coverage(0.5)(classifier, X, y) == -reference.risk_at_coverage(c, l, 0.5)


def test_the_risk_of_accepting_all_is_the_error_rate():
    X, y = data(4)
    classifier = RandomForestClassifier(20, random_state=0).fit(X[:160], y[:160])
    at_one = neg_risk_at_coverage(1)(classifier, X[160:], y[160:])
    assert at_one == pytest.approx(classifier.score(X[160:], y[160:]) - 1)


def test_certain_trees_tie_and_the_order_of_rows_does_not_matter():
    X, y = data(4)
    forest = RandomForestClassifier(3, random_state=0).fit(X[:160], y[:160])
    c, _ = neg_aurc.ranking(forest, X[160:], y[160:])
    assert len(set(c.tolist())) < 20
    assert np.isposinf(c).any()
    scores = [neg_aurc(forest, X[160:][order], y[160:][order]) for order in (np.s_[:], np.s_[::-1])]
    assert scores[0] == scores[1]


@pytest.mark.parametrize("classes", [2, 4])
def test_they_work_in_cross_validation_and_grid_search(classes):
    X, y = data(classes)
    folds = StratifiedKFold(3)
    found = cross_val_score(LogisticRegression(), X, y, scoring=neg_aurc, cv=folds)
    for score, (train, test) in zip(found, folds.split(X, y)):
        classifier = LogisticRegression().fit(X[train], y[train])
        probs = from_probs(classifier.predict_proba(X[test]))
        loss = classifier.predict(X[test]) != y[test]
        assert score == -recuse.aurc(recuse.scores.msp(probs), loss)
    every = cross_validate(LogisticRegression(), X, y, scoring=SCORERS, cv=3)
    assert {f"test_{name}" for name in SCORERS} <= set(every)
    assert every["test_neg_aurc"].tolist() == found.tolist()
    grid = {"C": [1e-6, 1.0]}
    search = GridSearchCV(LogisticRegression(), grid, scoring=SCORERS, refit="neg_aurc", cv=3)
    assert search.fit(X, y).best_params_ == {"C": 1.0}
    assert search.best_score_ == pytest.approx(found.mean())


def test_a_label_that_the_fold_has_not_seen_is_an_error_of_the_prediction():
    X, y = data(2)
    classifier = LogisticRegression().fit(X, y)
    y = np.where(np.arange(len(y)) == 0, "emu", y)
    assert neg_aurc.ranking(classifier, X, y)[1][0] == 1


def test_other_scores_and_methods():
    X, y = data(4)
    classifier = LogisticRegression().fit(X, y)
    norm = Score("logit_norm", {"p": 3})
    scorer = SelectiveScorer(recuse.aurc, score=norm, methods=("decision_function",))
    logits = classifier.decision_function(X)
    loss = classifier.predict(X) != y
    assert scorer(classifier, X, y) == -recuse.aurc(norm(logits), loss)
    assert SelectiveScorer(recuse.aurc, score="margin").score == Score("margin")
    logs = SelectiveScorer(recuse.aurc, methods=("predict_log_proba",))
    assert logs(classifier, X, y) == pytest.approx(neg_aurc(classifier, X, y))
    assert pickle.loads(pickle.dumps(scorer)) == scorer


def test_what_cannot_be_scored_is_one_line():
    X, y = data(4)
    fitted = LogisticRegression().fit(X, y)
    few = np.isin(y, NAMES[:3])
    pairs = make_pipeline(SVC(decision_function_shape="ovo")).fit(X[few], y[few])
    with pytest.raises(InputError, match="predict_proba or decision_function, got StandardScaler"):
        neg_aurc(StandardScaler().fit(X), X, y)
    with pytest.raises(InputError, match="gini, gen, renyi for predict_proba"):
        SelectiveScorer(recuse.aurc, score="logit_norm")(fitted, X, y)
    with pytest.raises(InputError, match="labels among"):
        neg_aurc(fitted, X, np.zeros(len(y), int))
    with pytest.raises(InputError, match="of classes, got those of pairs: svc__decision"):
        neg_aurc(pairs, X[few], y[few])
    with pytest.raises(InputError, match="`risk`"):
        coverage_at_risk(5)
