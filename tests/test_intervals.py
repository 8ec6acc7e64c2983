import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from recuse import InputError, intervals
from recuse.curves import aurc
from strategies import GENERAL, ZERO_ONE, predictions

BOOTSTRAP = 0.06  # relative: 3,000 resamples have a standard error of 1.3 %, ties add a bias


def _data(n, levels, seed=0):
    rng = np.random.default_rng(seed)
    confidence = rng.uniform(size=n)
    loss = (rng.uniform(size=n) < 0.4 * (1 - confidence)).astype(float)
    return (np.floor(confidence * levels) if levels else confidence), loss


@given(data=predictions(loss=st.one_of(ZERO_ONE, GENERAL)))
def test_influences_have_mean_zero(data):
    assert intervals.influence(*data).mean() == pytest.approx(0, abs=1e-12)


@given(data=predictions(loss=st.one_of(ZERO_ONE, GENERAL), min_size=2), seed=st.integers(0, 9))
def test_the_standard_error_does_not_depend_on_the_order_of_the_input(data, seed):
    confidence, loss = data
    order = np.random.default_rng(seed).permutation(len(loss))
    groups = np.arange(len(loss)) // 2
    for g in (None, groups):
        assume(g is None or g.max() > 0)
        first = intervals.standard_error(confidence, loss, groups=g)
        shuffled = None if g is None else g[order]
        assert intervals.standard_error(confidence[order], loss[order], groups=shuffled) == first


@pytest.mark.parametrize("levels", [0, 40, 2])
def test_the_standard_error_is_that_of_the_bootstrap_ties_included(levels):
    confidence, loss = _data(1500, levels)
    rng = np.random.default_rng(1)
    draws = rng.integers(0, len(loss), (3000, len(loss)))
    if not levels:  # a repeated row is no tie of the population: break it at random
        confidence = confidence + 0.0
    areas = [aurc(confidence[d], loss[d]) for d in draws]
    ours = intervals.standard_error(confidence, loss)
    assert ours == pytest.approx(np.std(areas), rel=BOOTSTRAP)


def test_the_standard_error_of_groups_is_that_of_the_bootstrap_over_groups():
    confidence, loss = _data(300, 0)
    rng = np.random.default_rng(2)
    groups = np.repeat(np.arange(300), 5)
    confidence = np.repeat(confidence, 5) + rng.normal(size=1500) * 0.05
    loss = np.repeat(loss, 5)
    rows = np.arange(1500).reshape(300, 5)
    areas = []
    for _ in range(3000):
        d = rows[rng.integers(0, 300, 300)].ravel()
        areas.append(aurc(confidence[d], loss[d]))
    grouped = intervals.standard_error(confidence, loss, groups=groups)
    assert grouped == pytest.approx(np.std(areas), rel=BOOTSTRAP)
    assert grouped > 1.8 * intervals.standard_error(confidence, loss)


def test_a_paired_comparison_is_sharper_than_two_separate_errors():
    confidence, loss = _data(2000, 0)
    other = confidence + np.random.default_rng(3).normal(size=2000) * 0.02
    paired = intervals.compare(confidence, loss, other, loss)
    assert paired.difference == aurc(confidence, loss) - aurc(other, loss)
    assert paired.standard_error < 0.3 * intervals.standard_error(confidence, loss)
    assert paired.low < paired.difference < paired.high


def test_a_score_compared_with_itself_differs_by_nothing():
    confidence, loss = _data(100, 0)
    same = intervals.compare(confidence, loss, confidence * 2, loss)
    assert (same.difference, same.standard_error, same.p_value) == (0, 0, 1)


def test_a_clear_difference_is_seen_in_its_direction():
    confidence, loss = _data(2000, 0)
    worse = intervals.compare(-confidence, loss, confidence, loss)
    assert worse.difference > 0
    assert worse.low > 0
    assert worse.p_value < 1e-6


def test_one_row_or_one_group_has_no_standard_error():
    with pytest.raises(InputError, match="at least 2 independent examples or groups, got 1"):
        intervals.standard_error([0.1, 0.2], [0, 1], groups=[7, 7])
    with pytest.raises(InputError, match="same examples in a and b, got 2 and 3"):
        intervals.compare([1, 2], [0, 1], [1, 2, 3], [0, 1, 1])


def test_a_difference_without_a_standard_error_claims_no_certainty():
    two = intervals.compare([0.9, 0.8], [0, 1], [0.8, 0.9], [0, 1])
    assert two.standard_error == 0
    assert np.isnan(two.p_value)
