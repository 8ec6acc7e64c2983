"""The scikit-learn classifier that abstains."""

import json
import pickle
import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import recuse
from recuse import InputError
from recuse.integrations._selective import split
from recuse.present.decisions import summary_lines
from recuse.rejector import summarize
from recuse.scores import as_probability

sklearn = pytest.importorskip("sklearn")

from sklearn import clone, config_context  # noqa: E402
from sklearn.base import BaseEstimator, ClassifierMixin  # noqa: E402
from sklearn.calibration import CalibratedClassifierCV  # noqa: E402
from sklearn.compose import ColumnTransformer  # noqa: E402
from sklearn.datasets import load_breast_cancer, load_iris, make_classification  # noqa: E402
from sklearn.ensemble import (  # noqa: E402
    HistGradientBoostingClassifier,
    RandomForestClassifier,
)
from sklearn.exceptions import NotFittedError  # noqa: E402
from sklearn.frozen import FrozenEstimator  # noqa: E402
from sklearn.linear_model import LogisticRegression, RidgeClassifier  # noqa: E402
from sklearn.model_selection import (  # noqa: E402
    GridSearchCV,
    KFold,
    ShuffleSplit,
    cross_val_predict,
    cross_validate,
)
from sklearn.naive_bayes import GaussianNB  # noqa: E402
from sklearn.pipeline import make_pipeline  # noqa: E402
from sklearn.preprocessing import StandardScaler  # noqa: E402
from sklearn.svm import SVC  # noqa: E402
from sklearn.tree import DecisionTreeClassifier  # noqa: E402
from sklearn.utils.estimator_checks import parametrize_with_checks  # noqa: E402

from recuse.integrations.sklearn import (  # noqa: E402
    InfeasibleWarning,
    SelectiveClassifier,
    neg_aurc,
    selective_scores,
)

NAMES = np.array(["wren", "auk", "kite", "gull"])


def data(classes=3, n=1200, seed=0):
    X, y = make_classification(
        n,
        n_features=8,
        n_informative=5,
        n_classes=classes,
        n_clusters_per_class=1,
        flip_y=0.05,
        random_state=seed,
    )
    return X, y


X, Y = data()
NEW, TRUTH = X[1000:], Y[1000:]
X, Y = X[:1000], Y[:1000]


Y_FROM_1 = np.unique(Y, return_inverse=True)[1].reshape(-1) + 1


def fitted(estimator=None, y=Y, **options):
    estimator = LogisticRegression() if estimator is None else estimator
    return SelectiveClassifier(estimator, **{"target_risk": 0.2, **options}).fit(X, y)


CHECKED = [
    SelectiveClassifier(LogisticRegression()),
    SelectiveClassifier(LogisticRegression(), response_method="decision_function"),
    SelectiveClassifier(LogisticRegression(), cv=2),
    SelectiveClassifier(RidgeClassifier()),
    SelectiveClassifier(SVC()),  # SVC(probability=True) is deprecated, for the next line
    SelectiveClassifier(CalibratedClassifierCV(SVC(), cv=2, ensemble=False)),
    SelectiveClassifier(GaussianNB()),
    SelectiveClassifier(DecisionTreeClassifier(random_state=0)),
    SelectiveClassifier(RandomForestClassifier(10, random_state=0)),
    SelectiveClassifier(HistGradientBoostingClassifier(max_iter=10)),
]


ONE_CLASS = "of weights for one class, libsvm's message does not name `sample_weight`"
FOLDS = "of 10 rows it gets 6, in which a class may stand once: too few for its two folds"


def expected_failures(estimator):
    of_one_class = {"check_classifiers_one_label_sample_weights": ONE_CLASS}
    if isinstance(estimator.estimator, CalibratedClassifierCV):
        return {**of_one_class, "check_fit2d_1feature": FOLDS}
    return of_one_class if isinstance(estimator.estimator, SVC) else {}


@pytest.mark.filterwarnings("ignore::recuse.integrations.sklearn.InfeasibleWarning")
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.SkipTestWarning")
@pytest.mark.filterwarnings(
    "ignore:divide by zero encountered in log:RuntimeWarning"
)  # naive Bayes
@parametrize_with_checks(CHECKED, expected_failed_checks=expected_failures)
def test_it_passes_the_checks_of_sklearn(estimator, check):
    check(estimator)


@pytest.mark.filterwarnings("ignore::recuse.integrations.sklearn.InfeasibleWarning")
def test_equal_rows_of_its_own_parts_are_no_overlap():
    forest, logistic = RandomForestClassifier(10, random_state=0), LogisticRegression(max_iter=500)
    iris = load_iris(return_X_y=True)
    twice = tuple(np.concatenate([part[20:60]] * 2) for part in iris)
    for seed in range(5):
        for X, y in (iris, twice, data(n=60, seed=seed), data(n=100, seed=seed)):
            for estimator in (forest, logistic):
                careful = SelectiveClassifier(estimator, random_state=seed, learned=False)
                assert not careful.fit(X, y).selection_.guarantee.void


@pytest.mark.parametrize("method", ["predict_proba", "decision_function"])
@pytest.mark.parametrize("classes", [2, 3])
def test_its_answers_are_those_of_its_rejector(classes, method):
    X, y = data(classes)
    target = {2: 0.05, 3: 0.2}[classes]
    careful = SelectiveClassifier(LogisticRegression(), target_risk=target, response_method=method)
    careful.fit(X[:1000], NAMES[y[:1000]])
    response = getattr(careful, method)(X[1000:])
    if method == "decision_function" and classes == 2:
        response = np.stack([0 * response, response], axis=1)
    expected = careful.rejector_.predict(response)
    label, accept = careful.predict_accept(X[1000:])
    assert label.tolist() == careful.classes_[expected.prediction].tolist()
    assert accept.tolist() == expected.accept.tolist()
    assert 0 < accept.sum() < accept.size
    assert careful.score_samples(X[1000:]).tolist() == expected.confidence.tolist()
    assert careful.predict(X[1000:]).tolist() == label.tolist()
    assert careful.rejector_.kind == {"predict_proba": "probs"}.get(method, "logits")


def test_of_probabilities_the_confidence_is_their_maximum():
    careful = fitted(GaussianNB())
    found = as_probability(careful.score_samples(NEW))
    np.testing.assert_allclose(found, careful.predict_proba(NEW).max(axis=1), rtol=1e-5)


def test_the_guarantee_counts_the_calibrate_rows_that_the_estimator_never_saw():
    careful = fitted()
    parts = careful._parts(Y, None, int(np.random.RandomState(0).randint(2**31 - 1)))
    again = LogisticRegression().fit(X[parts.fit], Y[parts.fit])
    np.testing.assert_array_equal(again.coef_, careful.estimator_.coef_)
    label, accept = careful.predict_accept(X[parts.calibrate])
    g = careful.rejector_.guarantee
    errors = (label != Y[parts.calibrate])[accept].sum()
    assert (g.n, g.accepted, g.errors) == (400, accept.sum(), errors)


@pytest.mark.parametrize("method", ["predict_proba", "decision_function"])
def test_rows_that_are_set_aside_are_used_as_fit_uses_one_file(method):
    careful = fitted(response_method=method)
    aside = careful._parts(Y, None, int(np.random.RandomState(0).randint(2**31 - 1))).calibrate
    response = getattr(careful, method)(X[aside])
    rejector = recuse.fit((response, Y[aside]), target_risk=0.2, kind=careful.rejector_.kind)
    assert rejector.rules == careful.rejector_.rules
    assert str(rejector.score) == str(careful.score_)
    assert str(careful.cut_).startswith("All 400 rows choose the threshold")


@pytest.mark.parametrize("classes", [np.array([7, 2, 5]), NAMES[:3], np.array([0.0, 1.0, 3.0])])
def test_labels_of_any_kind_are_given_back(classes):
    careful = fitted(y=classes[Y])
    label, _ = careful.predict_accept(NEW)
    assert label.dtype == classes.dtype
    assert (label == classes[TRUTH]).mean() > 0.6
    assert set(careful.predict(NEW)) <= set(classes)


@pytest.mark.parametrize(
    ("classes", "abstain"),
    [(np.arange(3), -1), (NAMES[:3], "abstain"), (NAMES[:3].astype(object), None)],
)
def test_an_abstain_label_stands_where_nothing_is_accepted(classes, abstain):
    careful = fitted(y=classes[Y], abstain_label=abstain)
    label, accept = careful.predict_accept(NEW)
    expected = [l if a or abstain is None else abstain for l, a in zip(label, accept)]
    assert careful.predict(NEW).tolist() == expected


@pytest.mark.parametrize(
    ("y", "abstain"),
    [(Y, 1), (Y, "abstain"), (Y, 0.5), (NAMES[Y], "auk"), (NAMES[Y], -1), (Y == 1, -1), (Y, [9])],
)
def test_an_abstain_label_that_is_a_class_or_of_another_kind_is_refused(y, abstain):
    with pytest.raises(InputError, match="`abstain_label` of the kind of the classes"):
        fitted(y=y, abstain_label=abstain)


COSTS = np.c_[1 - np.eye(3), np.full(3, 0.2)]


class Unfittable(ClassifierMixin, BaseEstimator):
    """Says that it was fitted."""

    def fit(self, X, y):
        raise AssertionError("fitted before the arguments were checked")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"abstain_label": -1}, "`abstain_label` of the kind of the classes"),
        ({"abstain_label": "auk", "cv": 3}, "`abstain_label` of the kind of the classes"),
        ({"target_risk": 5}, "`target_risk` in"),
        ({"target_risk": None, "coverage": 5}, "`coverage` in"),
        ({"coverage": 0.8}, "got `target_risk` and `coverage`"),
        ({"target_risk": None, "coverage": 0.8, "misses": {"auk": 0.1}}, "`misses` alone or with"),
        ({"misses": {"owl": 0.1}}, "`misses` of classes .*, got 'owl'"),
        ({"target_risk": {"auk": 0.1}}, "`target_risk` for each of 3 predicted classes"),
        ({"target_risk": None, "costs": np.ones((3, 3))}, "`costs` of numbers .3, 4."),
        ({"target_risk": None, "costs": {"auk": {}}}, "`costs` with a row for each label"),
        ({"target_risk": None, "coverage": 0.8, "cv": 3}, "no `coverage` with `cv`, got 0.8"),
        ({"target_risk": None, "costs": COSTS, "cv": 3}, "no `costs` with `cv`"),
        ({"subgroups": "class", "cv": 3}, "no `subgroups` with `cv`, got 'class'"),
        ({"target_risk": None, "misses": {"auk": 0.1}, "cv": 3}, "one `target_risk` for all rows"),
        ({"subgroups": "site"}, "`subgroups` None or 'class', each predicted class, got 'site'"),
        ({"subgroups": "class", "target_risk": None, "coverage": 0.8}, "`subgroups` with a target"),
        ({"among": "some"}, "`among` accepted or all"),
        ({"delta": 0.7}, "`delta` in"),
        ({"objective": "accuracy", "cv": 3}, "objective"),
        ({"response_method": "proba"}, "a classifier with proba"),
    ],
)
def test_arguments_are_checked_before_the_estimator_is_fitted(options, words):
    with pytest.raises(InputError, match=words):
        fitted(Unfittable(), y=NAMES[Y], **options)


def test_infeasible_is_a_warning_and_nothing_is_accepted():
    with pytest.warns(InfeasibleWarning, match="smallest target that would have passed"):
        careful = fitted(target_risk=0.0001, abstain_label=-1)
    assert not careful.feasible_
    assert careful.rejector_ is None
    assert careful.summary().endswith("\nDeploy: nothing yet for a target of 0.01 %.")
    label, accept = careful.predict_accept(NEW)
    assert not accept.any()
    assert (label == careful.estimator_.predict(NEW)).all()
    assert (careful.predict(NEW) == -1).all()
    assert careful.score_samples(NEW).shape == (200,)


def test_the_summary_says_what_run_says_and_that_nothing_was_tested():
    careful = fitted(target_risk=0.3)
    lines = careful.summary().splitlines()
    heads = ["Model", "Rows", "Score", "Guarantee", "Not measured", "Deploy"]
    assert [line.partition(":")[0] for line in lines] == heads
    assert lines[1] == f"Rows: 600 fit the estimator, 400 are held out. {careful.cut_}"
    assert lines[3] == f"Guarantee: {careful.selection_}"
    assert lines[4].startswith("Not measured: the error of new rows")
    two = fitted(target_risk=0.3, tune_size=0.2, calibrate_size=0.3)
    assert two.cut_ is None
    rows = "Rows: 500 fit the estimator, 200 choose the score, 300 the threshold; "
    assert two.summary().splitlines()[1].startswith(rows)
    with pytest.raises(NotFittedError):
        SelectiveClassifier(LogisticRegression()).summary()


def test_a_fitted_estimator_is_used_as_it_is_and_all_rows_are_calibrated():
    before = LogisticRegression().fit(X[:300], Y[:300])
    options = {"target_risk": 0.3, "tune_size": 0.1, "calibrate_size": 0.3}
    careful = SelectiveClassifier(before, prefit=True, **options).fit(X[300:], Y[300:])
    frozen = SelectiveClassifier(FrozenEstimator(before), **options).fit(X[300:], Y[300:])
    assert careful.estimator_ is before
    assert {k: v["n"] for k, v in careful.rejector_.splits.items()} == {
        "tune": 175,
        "calibrate": 525,
    }
    assert careful.rejector_ == frozen.rejector_ == clone(frozen).fit(X[300:], Y[300:]).rejector_
    with pytest.raises(NotFittedError):
        SelectiveClassifier(LogisticRegression(), prefit=True).fit(X, Y)
    with pytest.raises(InputError, match="no sample_weight for a fitted estimator"):
        careful.fit(X, Y, sample_weight=np.ones(1000))


def test_all_rows_calibrate_a_fitted_estimator_where_no_part_is_asked_for():
    before = LogisticRegression().fit(X[:300], Y[:300])
    careful = SelectiveClassifier(before, prefit=True, target_risk=0.3).fit(X[300:], Y[300:])
    assert careful.rejector_.guarantee.n == 700
    assert list(careful.rejector_.splits) == ["calibrate"]
    assert f"\nRows: {careful.cut_}\n" in careful.summary()
    assert str(careful.cut_).startswith("All 700 rows choose the threshold")


def test_a_class_that_the_estimator_never_saw_counts_as_wrong():
    two = Y < 2
    before = LogisticRegression().fit(X[two], Y[two])
    careful = SelectiveClassifier(before, prefit=True, target_risk=0.7)
    careful.fit(X, Y)
    parts = careful._parts(Y, None, int(np.random.RandomState(0).randint(2**31 - 1)))
    label, accept = careful.predict_accept(X[parts.calibrate])
    assert careful.rejector_.guarantee.errors == (label != Y[parts.calibrate])[accept].sum()
    with pytest.raises(InputError, match="expected labels among"):
        careful.fit(X[~two], Y[~two])


def test_it_clones_pickles_and_saves_its_rejector(tmp_path):
    careful = fitted()
    again = pickle.loads(pickle.dumps(careful))
    for one, other in zip(careful.predict_accept(NEW), again.predict_accept(NEW)):
        np.testing.assert_array_equal(one, other)
    assert clone(careful).fit(X, Y).rejector_ == careful.rejector_
    careful.rejector_.save(tmp_path / "r.json")
    read = recuse.Rejector.load(tmp_path / "r.json")
    accept = read.predict(careful.predict_proba(NEW)).accept
    assert accept.tolist() == careful.predict_accept(NEW)[1].tolist()
    assert json.loads((tmp_path / "r.json").read_text())["kind"] == "probs"


def frame():
    pandas = pytest.importorskip("pandas")
    return pandas.DataFrame(X, columns=[f"f{i}" for i in range(8)])


class ByPosition(ClassifierMixin, BaseEstimator):
    """Logistic regression that never looks at the names of columns, as many packages."""

    def fit(self, X, y):
        self.inner_ = LogisticRegression().fit(np.asarray(X), y)
        self.classes_ = self.inner_.classes_
        return self

    def predict_proba(self, X):
        return self.inner_.predict_proba(np.asarray(X))


@pytest.mark.parametrize("estimator", [LogisticRegression(), ByPosition()])
def test_permuted_columns_are_refused(estimator):
    X = frame()
    careful = SelectiveClassifier(estimator, target_risk=0.2).fit(X, NAMES[Y])
    permuted = X[[*X.columns[1:], "f0"]]
    for method in ("predict", "predict_accept", "score_samples", "predict_proba"):
        with pytest.raises(ValueError, match=r"in the (same order as they were in|order of `)"):
            getattr(careful, method)(permuted)
    label, accept = careful.predict_accept(X)
    again = careful.predict_accept(X.copy())
    assert (label.tolist(), accept.tolist()) == (again[0].tolist(), again[1].tolist())


def test_columns_that_the_estimator_takes_by_name_may_be_permuted():
    X = frame()
    by_name = make_pipeline(
        ColumnTransformer([("scale", StandardScaler(), list(X.columns))]), LogisticRegression()
    )
    careful = SelectiveClassifier(by_name, target_risk=0.2).fit(X, NAMES[Y])
    assert careful.feature_names_in_.tolist() == list(X.columns)
    label, accept = careful.predict_accept(X)
    permuted = careful.predict_accept(X[X.columns[::-1]])
    assert label.tolist() == permuted[0].tolist()
    assert accept.tolist() == permuted[1].tolist()


def test_joblib_gives_back_the_same_decisions(tmp_path):
    import joblib

    careful = fitted(RandomForestClassifier(10, random_state=0), y=NAMES[Y], abstain_label="none")
    joblib.dump(careful, tmp_path / "careful.joblib")
    read = joblib.load(tmp_path / "careful.joblib")
    assert read.predict(NEW).tolist() == careful.predict(NEW).tolist()
    assert read.rejector_ == careful.rejector_


def test_it_stands_in_pipelines_and_searches():
    inside = SelectiveClassifier(make_pipeline(StandardScaler(), LogisticRegression()))
    grid = {"estimator__logisticregression__C": [0.1, 1.0], "target_risk": [0.2, 0.3]}
    search = GridSearchCV(inside, grid, scoring=neg_aurc, cv=3).fit(X, Y)
    assert search.best_estimator_.feasible_
    outside = make_pipeline(StandardScaler(), SelectiveClassifier(SVC(), target_risk=0.3))
    assert outside.fit(X, Y).score(NEW, TRUTH) > 0.6
    assert outside[-1].response_method_ == "decision_function"


@pytest.mark.parametrize("inside", [True, False])
def test_selective_scores_count_coverage_and_the_error_of_what_is_accepted(inside):
    steps = StandardScaler(), LogisticRegression()
    if inside:
        careful = SelectiveClassifier(make_pipeline(*steps), target_risk=0.2).fit(X, Y)
        label, accept = careful.predict_accept(NEW)
    else:
        last = SelectiveClassifier(steps[1], target_risk=0.2)
        careful = make_pipeline(steps[0], last).fit(X, Y)
        label, accept = careful[-1].predict_accept(careful[0].transform(NEW))
    wrong = [l != t for l, t, a in zip(label, TRUTH, accept) if a]
    assert selective_scores(careful, NEW, TRUTH) == {
        "coverage": accept.sum() / 200,
        "risk": sum(wrong) / len(wrong),
    }


def test_cross_validation_reports_the_selective_scores_of_each_fold():
    careful = SelectiveClassifier(LogisticRegression(), target_risk=0.2)
    found = cross_validate(careful, X, Y, scoring=selective_scores, cv=3)
    assert found["test_coverage"].shape == found["test_risk"].shape == (3,)
    assert (found["test_risk"] > 0).all()
    assert (found["test_risk"] < 0.3).all()


def test_selective_scores_of_nothing_accepted_have_no_risk():
    with pytest.warns(InfeasibleWarning):
        careful = fitted(target_risk=0.0001)
    found = selective_scores(careful, NEW, TRUTH)
    assert found["coverage"] == 0
    assert np.isnan(found["risk"])


def test_selective_scores_of_a_pipeline_of_one_step_are_those_of_the_step():
    one = make_pipeline(SelectiveClassifier(LogisticRegression(), target_risk=0.2)).fit(X, Y)
    assert selective_scores(one, NEW, TRUTH) == selective_scores(one[-1], NEW, TRUTH)


def test_selective_scores_of_what_cannot_abstain_are_refused():
    for plain in (LogisticRegression(), make_pipeline(StandardScaler(), LogisticRegression())):
        with pytest.raises(InputError, match="SelectiveClassifier"):
            selective_scores(plain.fit(X, Y), NEW, TRUTH)


def test_methods_that_the_estimator_lacks_are_lacking():
    careful = fitted(RidgeClassifier())
    assert hasattr(careful, "decision_function")
    assert not hasattr(careful, "predict_proba")
    assert not hasattr(SelectiveClassifier(GaussianNB()), "decision_function")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"target_risk": 5}, "`target_risk` in .0, 1., got 5 .5 % is the fraction 0.05"),
        ({"delta": 0.9}, "`delta`"),
        ({"tune_size": 0}, "`tune_size`"),
        ({"calibrate_size": 1}, "`calibrate_size`"),
        (
            {"tune_size": 0.2, "calibrate_size": 0.9},
            "`tune_size` . `calibrate_size` < 1, got 0.2 . 0.9",
        ),
        ({"objective": "guess"}, "`objective`"),
        ({"response_method": "guess"}, "a classifier with guess, got LogisticRegression"),
    ],
)
def test_malformed_options_are_named(options, message):
    with pytest.raises(InputError, match=message):
        fitted(**options)


@pytest.mark.parametrize("options", [{}, {"tune_size": 0.2}, {"cv": 3}])
def test_a_share_of_all_predictions_is_guaranteed_where_it_is_asked_for(options):
    few, more = (fitted(among=x, target_risk=0.12, **options) for x in ("accepted", "all"))
    assert more.selection_.guarantee.accepted > few.selection_.guarantee.accepted
    assert "at most 12 % of all predictions are accepted and wrong" in more.summary()
    with pytest.raises(InputError, match="`among` accepted or all, got 'some'"):
        fitted(among="some", **options)


@pytest.mark.parametrize(
    "options",
    [{}, {"tune_size": 0.2, "learned": False}, {"cv": 3}, {"cv": 2, "cv_guarantee": "exact"}],
)
def test_misses_of_a_class_are_limited_by_its_own_name(options):
    """Classes of integers from 1 are no indices."""
    found = fitted(y=Y_FROM_1, misses={2: 0.3}, target_risk=0.3, **options)
    (limit,) = found.rejector_.misses
    assert (limit.label, limit.name) == (1, "2")
    assert limit.delta == pytest.approx(found.rejector_.delta / 2)
    assert found.rejector_.guarantee.delta == limit.delta
    assert "true class 2, at most 30 % are answered with another class" in found.summary()
    assumed = "Assumed, not proved: of true class 2" in found.summary()
    assert assumed == (options == {"cv": 3})


def test_misses_of_no_class_are_refused():
    with pytest.raises(InputError, match=r"expected `misses` of classes .*, got 4"):
        fitted(y=Y_FROM_1, misses={4: 0.1})
    with pytest.raises(InputError, match="expected `misses` as class -> share"):
        fitted(misses=0.1)


# Goals


def costs_of_names(names, abstain=0.2):
    """An error costs 1, of the first class 5."""
    return {
        label: {**{a: (a != label) * (5 if label == names[0] else 1) for a in names}}
        | {"abstain": abstain}
        for label in names
    }


def table_of(costs, names):
    return np.array([[costs[label][a] for a in (*names, "abstain")] for label in names])


@pytest.mark.parametrize(
    "options",
    [{"coverage": 0.7}, {"misses": {1: 0.1}}, {"target_risk": 0.2, "subgroups": "class"}],
)
def test_goals_are_those_of_fit_on_the_rows_set_aside(options):
    careful = SelectiveClassifier(LogisticRegression(), **options).fit(X, Y)
    seed = int(np.random.RandomState(0).randint(2**31 - 1))
    aside = careful._parts(Y, None, seed).calibrate
    told = careful.predict_proba(X[aside]), Y[aside]
    expected = recuse.fit(told, **options, kind="probs", seed=seed)
    assert [r.threshold for r in expected.rules] == [r.threshold for r in careful.rejector_.rules]
    assert expected.guarantee.accepted == careful.rejector_.guarantee.accepted
    expected = careful.rejector_.predict(careful.predict_proba(NEW)).accept
    assert careful.predict_accept(NEW)[1].tolist() == expected.tolist()
    assert expected.any()


def test_a_coverage_is_guaranteed():
    careful = SelectiveClassifier(LogisticRegression(), coverage=0.7, abstain_label=-1).fit(X, Y)
    assert careful.feasible_
    assert "at least 70 % of predictions are accepted" in careful.summary()
    assert selective_scores(careful, NEW, TRUTH)["coverage"] > 0.7
    assert (careful.predict(NEW) == -1).mean() < 0.3


@pytest.mark.parametrize("classes", [np.array([7, 9, 12]), NAMES[[1, 3, 0]], np.array([1, 2, 3])])
@pytest.mark.parametrize("by_name", [True, False])
def test_by_costs_the_cheapest_class_is_predicted(classes, by_name):
    names = classes.tolist()
    costs = costs_of_names(names)
    shuffled = {a: dict(reversed(costs[a].items())) for a in reversed(names)}
    given = shuffled if by_name else table_of(costs, names)
    careful = SelectiveClassifier(LogisticRegression(), costs=given).fit(X, classes[Y])
    temperature = careful.score_.params["temperature"]
    p = careful.predict_proba(NEW) ** (1 / temperature)
    expected = p / p.sum(axis=1, keepdims=True) @ table_of(costs, names)
    label, accept = careful.predict_accept(NEW)
    assert label.tolist() == classes[expected[:, :3].argmin(axis=1)].tolist()
    assert accept.tolist() == (expected[:, 3] >= expected[:, :3].min(axis=1)).tolist()
    assert careful.predict(NEW).tolist() == label.tolist()
    assert (label != careful.estimator_.predict(NEW)).any()
    assert "costs at most" in careful.summary()


def test_costs_in_other_words_than_the_labels_are_refused():
    costs = costs_of_names([0, 1, 2])
    for odd in (costs, costs_of_names(["1", "2", "3"]), {1: 1, 2: 2, 3: 3}):
        with pytest.raises(InputError, match=r"expected `costs` with .*"):
            fitted(y=Y_FROM_1, target_risk=None, costs=odd)
    called = np.array(["abstain", "auk", "kite"])
    with pytest.raises(InputError, match="as an array, since a class is called 'abstain'"):
        fitted(y=called[Y], target_risk=None, costs=costs_of_names(called.tolist()))


def test_each_predicted_class_has_a_target_by_its_own_label():
    targets = {1: 0.3, 2: 0.25, 3: 0.2}
    careful = fitted(y=Y_FROM_1, target_risk=targets)
    found = [rule.guarantee.target_risk for rule in careful.rejector_.rules]
    assert found == [0.3, 0.25, 0.2]
    one = fitted(target_risk=0.2, subgroups="class", tune_size=0.2, learned=False)
    assert [rule.subgroup for rule in one.rejector_.rules] == [0, 1, 2]
    label, accept = one.predict_accept(NEW)
    confidence = one.score_samples(NEW)
    threshold = np.array([rule.threshold for rule in one.rejector_.rules])
    assert accept.tolist() == (confidence >= threshold[label]).tolist()
    assert "in each predicted class" in one.summary()


@pytest.mark.parametrize(
    "options", [{"misses": {1: 0.001}}, {"target_risk": dict.fromkeys(range(3), 0.001)}]
)
def test_nothing_to_deploy_is_said_without_one_target(options):
    with pytest.warns(InfeasibleWarning):
        careful = SelectiveClassifier(LogisticRegression(), **options).fit(X, Y)
    assert careful.summary().endswith("\nDeploy: nothing yet.")
    assert not careful.predict_accept(NEW)[1].any()


def test_without_a_goal_the_target_risk_is_5_percent():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", InfeasibleWarning)
        none, five = fitted(target_risk=None), fitted(target_risk=0.05)
    assert none.selection_ == five.selection_
    assert none.get_params()["target_risk"] is None


def test_goals_are_parameters_that_are_cloned_and_set():
    costs = costs_of_names([0, 1, 2])
    careful = SelectiveClassifier(LogisticRegression(), costs=costs)
    again = clone(careful)
    assert again.get_params()["costs"] == costs
    assert again.fit(X, Y).rejector_ == careful.fit(X, Y).rejector_
    again.set_params(costs=None, coverage=0.8)
    assert again.fit(X, Y).rejector_.guarantee.kind == "coverage"
    array = clone(SelectiveClassifier(LogisticRegression(), costs=table_of(costs, range(3))))
    assert array.fit(X, Y).rejector_ == careful.rejector_
    grid = {"coverage": [0.7, 0.9]}
    search = GridSearchCV(SelectiveClassifier(LogisticRegression()), grid, scoring=neg_aurc, cv=2)
    assert search.fit(X, Y).best_estimator_.rejector_.guarantee.kind == "coverage"


def test_score_is_the_accuracy_of_predict_on_all_rows():
    plain, marked = (fitted(target_risk=0.12, abstain_label=x) for x in (None, -1))
    label, accept = plain.predict_accept(NEW)
    assert plain.score(NEW, TRUTH) == (label == TRUTH).mean()
    assert marked.score(NEW, TRUTH) == ((label == TRUTH) & accept).mean() < plain.score(NEW, TRUTH)


def test_rows_or_groups_too_few_to_split_are_refused():
    with pytest.raises(InputError, match="at least 2 rows or groups, got n_samples = 1"):
        SelectiveClassifier(LogisticRegression()).fit(X[:1], [0])
    with pytest.raises(InputError, match="at least 2 rows or groups, got n_samples = 1"):
        SelectiveClassifier(LogisticRegression()).fit(X, Y, groups=np.zeros(1000, int))
    with pytest.raises(InputError, match="at least 3 rows or groups, got n_samples = 2"):
        fitted(tune_size=0.2).fit(X, Y, groups=np.arange(1000) % 2)
    with pytest.raises(InputError, match="`groups` of shape"):
        SelectiveClassifier(LogisticRegression()).fit(X, Y, groups=np.arange(9))


# Parts


@given(
    y=st.lists(st.integers(0, 3), min_size=3, max_size=60),
    tune=st.just(0.0) | st.floats(0.1, 1),
    calibrate=st.just(1.0) | st.floats(0.05, 0.9),
    seed=st.integers(0, 50),
    grouped=st.booleans(),
)
def test_parts_are_disjoint_exhaustive_and_keep_groups_whole(y, tune, calibrate, seed, grouped):
    y = np.array(y)
    groups = np.arange(y.size) % max(3, y.size // 2) if grouped else None
    parts = split(y, groups, tune, calibrate, seed)
    assert sorted(np.concatenate(parts).tolist()) == list(range(y.size))
    assert len(parts.calibrate) > 0
    assert (len(parts.tune) > 0) == (tune > 0 and calibrate < 1)
    assert (len(parts.fit) > 0) == (tune < 1 and calibrate < 1)
    if grouped:
        found = [set(groups[rows]) for rows in parts]
        assert sum(map(len, found)) == len(set.union(*found))
    else:
        expected = round(calibrate * y.size)
        others = 0 if calibrate == 1 else 1 + (0 < tune < 1)
        assert len(parts.calibrate) == min(max(expected, 1), y.size - others)
        for k in set(y.tolist()):  # each class in proportion, to one row
            rest = (y[np.r_[parts.fit, parts.tune]] == k).sum()
            share = len(parts.tune) / max(len(parts.fit) + len(parts.tune), 1)
            assert abs((y[parts.tune] == k).sum() - share * rest) < 2


def test_every_row_is_as_likely_to_be_calibrated_on_whatever_its_class():
    y = np.r_[np.zeros(57, int), np.ones(3, int)]
    drawn = np.zeros(60)
    for seed in range(2000):
        drawn[split(y, None, 0.25, 0.2, seed).calibrate] += 1
    spread = np.sqrt(2000 * 0.2 * 0.8)
    assert np.abs(drawn - 400).max() < 4.5 * spread
    together = [(y[split(y, None, 0.25, 0.2, s).calibrate] == 1).sum() for s in range(2000)]
    expected = 3 * 0.2 * 0.8 * 57 / 59  # hypergeometric: of a plain draw, not of a stratified one
    assert np.var(together) == pytest.approx(expected, rel=0.15)


def test_groups_stay_whole_and_one_row_of_each_counts():
    groups = np.arange(1000) // 4
    careful = SelectiveClassifier(LogisticRegression(), target_risk=0.3).fit(X, Y, groups=groups)
    calibrate = careful.rejector_.splits["calibrate"]
    assert (calibrate["n"], calibrate["used"]) == (400, 100)
    assert careful.rejector_.guarantee.unit == "groups"


# Folds


def cancer():
    X, y = load_breast_cancer(return_X_y=True)
    return StandardScaler().fit_transform(X), y


def test_rows_out_of_fold_accept_most_where_few_rows_are_set_aside():
    X, y = cancer()
    options = {"target_risk": 0.02, "random_state": 0}
    small = SelectiveClassifier(LogisticRegression(), calibrate_size=0.2, **options)
    with pytest.warns(InfeasibleWarning):
        assert not small.fit(X, y).feasible_
    careful = SelectiveClassifier(LogisticRegression(), cv=5, **options).fit(X, y)
    assert careful.rejector_.guarantee.n == 569
    assert careful.rejector_.guarantee.accepted > 480
    everything = LogisticRegression().fit(X, y)
    np.testing.assert_array_equal(careful.estimator_.coef_, everything.coef_)


def test_out_of_fold_rows_are_those_that_each_estimator_has_not_seen():
    careful = fitted(cv=KFold(5), target_risk=0.3)
    response = cross_val_predict(LogisticRegression(), X, Y, cv=KFold(5), method="predict_proba")
    rejector = recuse.fit((response, Y), target_risk=0.3, kind="probs")
    assert rejector.threshold == careful.rejector_.threshold
    assert rejector.guarantee.errors == careful.rejector_.guarantee.errors
    rows = (
        f"Rows: All 1,000 train the estimator; estimators of 5 folds predict them. {careful.cut_}"
    )
    assert careful.summary().splitlines()[1] == rows


def test_what_is_assumed_of_rows_out_of_fold_is_said_saved_and_read(tmp_path):
    careful = fitted(cv=3, target_risk=0.3)
    assert careful.selection_.guarantee == careful.rejector_.guarantee
    assert careful.rejector_.guarantee.assumptions == ("iid_rows", "out_of_fold")
    said = str(careful.selection_)
    assert said.startswith("Assumed, not proved: with 95 % confidence, at most 30 %")
    assert "which they are not: no finite-sample guarantee" in said
    careful.rejector_.save(tmp_path / "r.json")
    assert recuse.Rejector.load(tmp_path / "r.json") == careful.rejector_
    rows = recuse.from_arrays(careful.predict_proba(X), Y, kind="probs")
    found = careful.rejector_.predict(rows)
    counted = "\n".join(summary_lines(summarize(rows, found, careful.rejector_)))
    assert "the assumed 30.0 %" in counted
    assert "guaranteed" not in counted


@pytest.mark.parametrize("cv", [1, 0, -3, True, 1001])
@pytest.mark.parametrize("guarantee", ["pooled", "exact"])
def test_a_number_of_folds_that_cannot_be_is_named(cv, guarantee):
    with pytest.raises(InputError, match=f"expected `cv` of 2 to 1000 folds, got {cv}"):
        fitted(cv=cv, cv_guarantee=guarantee)


@pytest.mark.parametrize("guarantee", ["pooled", "exact"])
def test_groups_stay_together_in_folds(guarantee):
    groups = np.arange(1000) // 4
    careful = SelectiveClassifier(
        LogisticRegression(), target_risk=0.4, cv=4, cv_guarantee=guarantee
    ).fit(X, Y, groups=groups)
    g = careful.rejector_.guarantee
    assert (g.unit, g.n) == ("groups", 250 if guarantee == "pooled" else g.n)
    assert g.n in (62, 63, 250)
    folds = list(KFold(5, shuffle=True, random_state=0).split(X))
    with pytest.raises(InputError, match="each row and group in one fold"):
        SelectiveClassifier(LogisticRegression(), cv=folds).fit(X, Y, groups=groups)


def test_the_exact_fold_is_the_one_that_accepts_most_at_its_share_of_delta(tmp_path):
    careful = fitted(cv=KFold(4), cv_guarantee="exact", target_risk=0.22)
    accepted = {}
    for train, held in KFold(4).split(X):
        estimator = LogisticRegression().fit(X[train], Y[train])
        told = estimator.predict_proba(X[held]), Y[held]
        rejector = recuse.fit(told, target_risk=0.22, delta=0.05 / 4, kind="probs")
        accepted[rejector.guarantee.accepted] = rejector.threshold, estimator.coef_.tolist()
    assert len(accepted) > 1
    g = careful.rejector_.guarantee
    found = careful.rejector_.threshold, careful.estimator_.coef_.tolist()
    assert found == accepted[max(accepted)]
    assert (g.delta, g.simultaneous, g.assumptions) == (0.05 / 4, 4, ("iid_rows",))
    careful.rejector_.save(tmp_path / "r.json")
    assert recuse.Rejector.load(tmp_path / "r.json") == careful.rejector_


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"cv": 5, "tune_size": 0.2}, "no `tune_size` with `cv`, got 0.2"),
        ({"cv": 5, "calibrate_size": 0.4}, "no `calibrate_size` with `cv`, got 0.4"),
        ({"cv_guarantee": "pooled"}, "no `cv_guarantee` without `cv`, got 'pooled'"),
        (
            {"prefit": True, "calibrate_size": 0.5},
            "no `calibrate_size` for a fitted estimator without `tune_size`, got 0.5",
        ),
        ({"cv": 5, "prefit": True}, "no `cv` for a fitted estimator"),
        ({"cv": 5, "cv_guarantee": "guess"}, "`cv_guarantee` among pooled, exact, got 'guess'"),
        ({"cv": ShuffleSplit(5, random_state=0)}, "holds out each row once"),
        ({"cv": [(np.arange(1000), np.arange(1000))]}, "each row and group in one fold"),
        ({"cv": KFold(3), "y": np.repeat([0, 1, 2], [334, 333, 333])}, "all 3 classes, got one"),
        ({"cv": 5, "delta": 0.9}, "`delta`"),
    ],
)
def test_malformed_folds_are_named(options, message):
    with pytest.raises(InputError, match=message):
        fitted(**options)


# Metadata


def weighted(seed=0):
    return np.random.default_rng(seed).uniform(0.1, 5, 1000)


def test_weights_reach_the_estimator_cut_to_its_rows():
    w = weighted()
    careful = SelectiveClassifier(LogisticRegression(), target_risk=0.3)
    careful.fit(X, Y, sample_weight=w)
    rows = careful._parts(Y, None, int(np.random.RandomState(0).randint(2**31 - 1))).fit
    expected = LogisticRegression().fit(X[rows], Y[rows], sample_weight=w[rows])
    np.testing.assert_array_equal(careful.estimator_.coef_, expected.coef_)


def test_metadata_is_routed_where_it_was_asked_for():
    with config_context(enable_metadata_routing=True):
        asks = LogisticRegression().set_fit_request(sample_weight=True)
        careful = SelectiveClassifier(asks, target_risk=0.3).set_fit_request(groups=True)
        routed = clone(careful).fit(X, Y, sample_weight=weighted(), groups=np.arange(1000) // 2)
        given = {"groups": np.arange(1000) // 2, "sample_weight": weighted()}
        careful.set_score_request(sample_weight=False)
        cross_validate(careful, X, Y, params=given, cv=3)
        with pytest.raises(Exception, match="sample_weight"):
            SelectiveClassifier(LogisticRegression()).fit(X, Y, sample_weight=weighted())
    plain = SelectiveClassifier(LogisticRegression(), target_risk=0.3)
    plain.fit(X, Y, sample_weight=weighted(), groups=np.arange(1000) // 2)
    assert routed.rejector_ == plain.rejector_


# The guarantee


class Told(ClassifierMixin, BaseEstimator):
    """Two classes; the one column of X is the probability of class 1."""

    def fit(self, X, y):
        self.classes_ = np.array([0, 1])
        return self

    def predict_proba(self, X):
        return np.column_stack([1 - X[:, 0], X[:, 0]])


def drawn(rng, n, kind):
    """Rows of which the risk of every threshold is known."""
    p = rng.uniform(0.5, 1, n)
    risk = np.full(n, 0.1001) if kind == "flat" else 1 - p
    return p[:, None], (rng.uniform(size=n) >= risk).astype(int)


def true_risk(threshold, kind):
    p = max(0.5, float(as_probability([threshold])[0]))
    return 0.1001 if kind == "flat" else (1 - p) / 2


@pytest.mark.validity
@pytest.mark.parametrize(("kind", "most_feasible"), [("flat", 0.2), ("steep", 1.0)])
def test_the_guarantee_is_kept_as_often_as_it_says(kind, most_feasible):
    rng, delta, runs = np.random.default_rng(1), 0.1, 400
    failures = feasible = 0
    for seed in range(runs):
        X, y = drawn(rng, 500, kind)
        careful = SelectiveClassifier(
            FrozenEstimator(Told().fit(X, y)), target_risk=0.1, delta=delta, random_state=seed
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", InfeasibleWarning)
            careful.fit(X, y)
        if careful.feasible_:
            feasible += 1
            failures += true_risk(careful.rejector_.threshold, kind) > 0.1
    assert failures <= delta * runs + 3 * np.sqrt(runs * delta * (1 - delta))
    assert feasible <= most_feasible * runs
    assert kind == "flat" or feasible > 0.3 * runs


def test_its_rejector_knows_the_names_of_the_classes():
    names = np.array(["cat", "dog", "eel", "fox"])[Y] if Y.max() == 3 else Y.astype(str)
    careful = SelectiveClassifier(LogisticRegression(), target_risk=0.3).fit(X, names)
    assert careful.rejector_.class_names == tuple(map(str, careful.classes_))


def test_the_columns_of_fit_are_named_also_where_the_estimator_ignores_them():
    pandas = pytest.importorskip("pandas")

    class Ignoring(LogisticRegression):
        def fit(self, X, y):
            return super().fit(np.asarray(X), y)

        def predict_proba(self, X):
            return super().predict_proba(np.asarray(X))

    rng = np.random.default_rng(0)
    X = pandas.DataFrame(rng.normal(size=(800, 3)), columns=list("abc"))
    careful = SelectiveClassifier(Ignoring(), target_risk=0.2).fit(X, X["a"] > 0)
    assert careful.feature_names_in_.tolist() == list("abc")
    other = X[list("cab")]
    with pytest.raises(InputError, match="in the order of `fit`"):
        careful.predict_accept(other)
    accept = careful.predict_accept(other[list(careful.feature_names_in_)])[1]
    assert np.array_equal(accept, careful.predict_accept(X)[1])
