"""The learned score: its definition, its fit, and how it is kept from doing harm."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy.optimize import minimize_scalar

import recuse as rc
import reference
from learnable import with_information
from recuse import InputError, scores
from recuse.scores import FEATURES, Score
from recuse.tuning import learn
from recuse.tuning._class_intercepts import VARIANCES, class_intercepts, shrunken
from recuse.tuning._learn import BLOCK, PENALTIES, Point, fit_path, newton
from recuse.tuning._log_loss import log_loss
from samples import learned_score, sample

ROUNDINGS = 1e-9  # of sums and logarithms in float64, in another order
DISTINCT = hnp.arrays(
    np.float64, (4, 5), elements=st.integers(-800, 800).map(lambda i: i / 64), unique=True
)


@given(z=DISTINCT)
def test_features_equal_their_definition(z):
    expected = [reference.features(row) for row in z.tolist()]
    assert scores.features(z) == pytest.approx(np.array(expected), rel=ROUNDINGS, abs=ROUNDINGS)
    assert len(FEATURES) == len(expected[0])


@given(z=DISTINCT, seed=st.integers(0, 9), classes=st.sampled_from([0, 5]))
def test_the_score_equals_its_definition(z, seed, classes):
    score = learned_score(seed, classes)
    expected = [reference.learned(row, score.params) for row in z.tolist()]
    assert score(z) == pytest.approx(expected, rel=2e-7, abs=1e-6)  # one rounding to float32


def test_rows_that_are_permutations_tie_and_pixels_are_rows():
    z = np.random.default_rng(0).normal(size=(6, 4, 2, 3)).astype(np.float32)
    score = learned_score()
    assert np.array_equal(score(z), score(z[:, [2, 0, 3, 1]]))
    assert score(z)[1, 0, 2] == score(z[1, :, 0, 2][None])[0]


def test_equal_logits_and_certain_rows_have_a_finite_score():
    z = np.array([[1.0, 1.0, 1.0], [900.0, 0.0, 0.0], [0.0, 0.0, -900.0]])
    assert np.isfinite(learned_score()(z)).all()


def test_beyond_the_range_of_the_fit_the_score_rises_with_msp():
    """From a gap of 10^4 on every feature is clipped: the logarithms as well."""
    z = np.zeros((30, 4))
    z[:, 0] = np.arange(30) * 1e4 + 1e4
    score = learned_score()
    rise = np.diff(score(z).astype(float)) / np.diff(scores.msp(z).astype(float))
    assert rise == pytest.approx(score.params["slope"], rel=1e-5)


def test_what_is_no_fit_is_refused():
    good = dict(learned_score().params)
    for name, value, message in (
        ("weights", (1.0,) * 3, "11 finite numbers"),
        ("scale", (0.0,) * len(FEATURES), "`scale` > 0"),
        ("slope", -1.0, "`slope` >= 0"),
        ("low", (np.nan,) * len(FEATURES), "11 finite numbers"),
        ("low", (9.0,) * len(FEATURES), "`low` <= `high`"),
        ("class_intercepts", (0.0, 1.0), "logits of 2 classes, as in the fit, got 3"),
        ("class_intercepts", (0.0, np.inf, 1.0), "finite `class_intercepts`"),
    ):
        with pytest.raises(InputError, match=message):
            Score("learned", good | {name: value})(np.zeros((1, 3)))
    with pytest.raises(InputError, match="`weights` of score `learned` numbers, got 3"):
        Score("learned", good | {"weights": 3})
    with pytest.raises(InputError, match="needs slope"):
        Score.parse("learned")


@pytest.mark.parametrize("classes", [0, 6])
def test_it_goes_through_json_unchanged(classes):
    score = learned_score(0, classes)
    again = Score.from_dict(json.loads(json.dumps(score.to_dict())))
    z = np.random.default_rng(0).normal(size=(50, 6))
    assert again == score
    assert np.array_equal(again(z), score(z))
    assert str(score) == "learned"


@pytest.mark.parametrize("n", [1, BLOCK, BLOCK + 1, 3 * BLOCK + 7])
def test_derivatives_of_the_loss_are_sums_over_all_rows(n):
    rng = np.random.default_rng(n)
    x, offset, w = rng.normal(size=(n, 3)), rng.normal(size=n), rng.normal(size=3)
    point = Point(x, rng.uniform(size=n) < 0.7, offset, w)
    p = scores.as_probability(offset + x @ w)
    np.testing.assert_allclose(point.gradient, ((p - point.right)[:, None] * x).mean(0), atol=1e-14)
    outer = x[:, :, None] * x[:, None] * (p * (1 - p))[:, None, None]
    np.testing.assert_allclose(point.curvature, outer.mean(axis=0), atol=1e-14)


def test_the_optimum_is_where_the_gradient_vanishes():
    rng = np.random.default_rng(0)
    x, offset = rng.normal(size=(200, 3)), rng.normal(size=200)
    right = rng.uniform(size=200) < 0.7
    penalties = np.array([0, 0.1, 1.0])
    w = newton(Point(x, right, offset, np.zeros(3)), penalties).weights

    def value(w):
        return log_loss(offset + x @ w, right).mean() + 0.5 * (penalties * w**2).sum()

    for j in range(3):
        step = np.eye(3)[j] * 1e-4
        assert abs(value(w + step) - value(w - step)) < 1e-7


def test_a_strong_penalty_leaves_msp_recalibrated():
    z, y = sample(500)
    features, right = scores.features(z), z.argmax(axis=1) == y
    path = fit_path(features, right)
    alone = path.log_odds(features)[:, 0]
    assert (np.argsort(alone) == np.argsort(features[:, 0])).all()
    assert scores.as_probability(alone).mean() == pytest.approx(right.mean(), abs=0.01)
    assert np.abs(path.weights[1, 1:]).sum() < np.abs(path.weights[-1, 1:]).sum()


def test_under_every_penalty_the_mean_probability_is_the_accuracy():
    """As for any logistic regression whose intercept is free."""
    z, y = sample(500)
    features, right = scores.features(z), z.argmax(axis=1) == y
    p = scores.as_probability(fit_path(features, right).log_odds(features))
    assert p.mean(axis=0) == pytest.approx(right.mean(), abs=1e-4)


def test_fits_are_averaged_by_what_they_lose_on_held_out_rows():
    z, y = with_information(300, 0)
    features, right = scores.features(z), z.argmax(axis=1) == y
    fold = np.random.default_rng(7).permutation(300) % 5
    lost = np.zeros(len(PENALTIES) + 1)
    for f in range(5):
        path = fit_path(features[fold != f], right[fold != f])
        for odds, is_right in zip(path.log_odds(features[fold == f]), right[fold == f]):
            lost -= np.log([p if is_right else 1 - p for p in scores.as_probability(odds)])
    share = np.exp(-lost) / np.exp(-lost).sum()
    expected = sum(s * w for s, w in zip(share, fit_path(features, right).weights))
    found = learn(features, right, np.arange(300), seed=7).params
    assert [found["intercept"], *found["weights"]] == pytest.approx(expected, rel=1e-6)
    assert share.max() < 0.9  # more than one fit counts, so that the weights matter


def test_it_finds_what_msp_does_not_know():
    (z, y), (z_test, y_test) = with_information(2000, 0), with_information(20000, 1)
    score = learn(scores.features(z), z.argmax(1) == y, np.arange(2000))
    wrong = z_test.argmax(axis=1) != y_test
    assert rc.aurc(score(z_test), wrong) < 0.9 * rc.aurc(scores.msp(z_test), wrong)


def test_without_information_the_order_is_almost_that_of_msp():
    """Labels drawn from the softmax: MSP is the best order, and a fit to 300 rows does little."""
    rng = np.random.default_rng(0)
    z = (2.5 * rng.normal(size=(20300, 5))).astype(np.float32)
    y = (z + rng.gumbel(size=z.shape)).argmax(axis=1)
    wrong = z.argmax(axis=1) != y
    worst = 0.0
    for seed in range(5):
        rows = rng.permutation(300)
        score = learn(scores.features(z[rows]), ~wrong[rows], np.arange(300), seed)
        worst = max(worst, rc.aurc(score(z[300:]), wrong[300:]))
    assert worst < 1.03 * rc.aurc(scores.msp(z[300:]), wrong[300:])


def test_many_rows_are_thinned_and_one_class_of_outcome_does_not_break_a_fit():
    z, y = sample(9000)
    features = scores.features(z)
    assert learn(features, z.argmax(1) == y, np.arange(9000)).name == "learned"
    almost = np.ones(100, bool)
    almost[0] = False
    assert np.isfinite(learn(features[:100], almost, np.arange(100))(z[:100])).all()


def by_class(n, seed, classes=6):
    """Log-odds, outcomes and predicted classes; the last two classes are right far less often."""
    rng = np.random.default_rng(seed)
    predicted, log_odds = rng.integers(classes, size=n), rng.normal(1.5, 1, n)
    odds = log_odds - 1.5 * (predicted >= classes - 2)
    return log_odds, rng.uniform(size=n) < 1 / (1 + np.exp(-odds)), predicted


def test_the_intercepts_of_classes_are_the_most_probable_under_each_variance():
    log_odds, right, predicted = by_class(300, 0)
    found = shrunken(log_odds, right, predicted, 7)
    assert not found[:, 0].any()  # no variance
    assert not found[6].any()  # no prediction
    for column, variance in zip(found.T[1:], VARIANCES[1:]):
        for k in range(6):
            rows = predicted == k

            def value(b):
                return log_loss(log_odds[rows] + b, right[rows]).sum() + b * b / (2 * variance)  # noqa: B023

            best = minimize_scalar(value, bracket=(-1, 1), tol=1e-10).x
            assert column[k] == pytest.approx(best, abs=1e-6)


def test_variances_are_averaged_by_what_they_lose_on_held_out_rows():
    log_odds, right, predicted = by_class(300, 1)
    fold = np.arange(300) % 5
    lost = np.zeros(len(VARIANCES))
    for row in range(300):
        rest = fold != fold[row]
        each = shrunken(log_odds[rest], right[rest], predicted[rest], 6)[predicted[row]]
        p = scores.as_probability(log_odds[row] + each)
        lost -= np.log(p if right[row] else 1 - p)
    share = np.exp(-lost) / np.exp(-lost).sum()
    expected = shrunken(log_odds, right, predicted, 6) @ share
    found = class_intercepts(log_odds, right, predicted, 6, fold)
    assert found == pytest.approx(expected, abs=1e-4)
    assert max(found[4:]) < -0.5 < min(found[:4])


def test_classes_that_are_wrong_more_often_than_they_say_are_found():
    """Labels from the softmax, then two classes are wrong for another reason."""

    def drawn(n, seed):
        rng = np.random.default_rng(seed)
        z = (2.5 * rng.normal(size=(n, 8))).astype(np.float32)
        y, predicted = (z + rng.gumbel(size=z.shape)).argmax(axis=1), z.argmax(axis=1)
        spoilt = (predicted < 2) & (rng.uniform(size=n) < 0.5)
        return z, np.where(spoilt, (predicted + 1) % 8, y)

    (z, y), (z_test, y_test) = drawn(1500, 0), drawn(20000, 1)
    right, features, code = z.argmax(axis=1) == y, scores.features(z), np.arange(1500)
    without = learn(features, right, code)
    score = learn(features, right, code, predicted=z.argmax(axis=1), classes=8)
    assert "class_intercepts" not in without.params
    assert max(score.params["class_intercepts"][:2]) < min(score.params["class_intercepts"][2:])
    wrong = z_test.argmax(axis=1) != y_test
    assert rc.aurc(score(z_test), wrong) < 0.9 * rc.aurc(without(z_test), wrong)


def test_without_differences_between_classes_their_intercepts_are_small():
    rng = np.random.default_rng(0)
    log_odds, predicted = rng.normal(1.5, 1, 1000), rng.integers(10, size=1000)
    right = rng.uniform(size=1000) < scores.as_probability(log_odds)
    found = class_intercepts(log_odds, right, predicted, 10, np.arange(1000) % 5)
    assert np.abs(found or 0).max() < 0.2


def test_a_feature_that_is_constant_but_for_its_last_bits_has_no_weight():
    """The mean of centered logits: rounding must not decide."""
    z, y = sample(2000)
    z = z - z.mean(axis=1, keepdims=True, dtype=np.float64)
    predicted = z.argmax(axis=1)
    score = learn(
        scores.features(z),
        predicted == y,
        np.arange(len(y)),
        predicted=predicted,
        classes=z.shape[1],
    )
    assert score.params["scale"][-2:] == (1.0, 1.0)
    assert score(z) == pytest.approx(score(z + 1e-15), rel=1e-6)
