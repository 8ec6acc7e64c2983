import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import reference_plots as slow
from recuse import InputError
from recuse.diagnosis import sliding, windows
from strategies import TIED, predictions


@given(
    rows=st.lists(st.tuples(TIED, st.floats(-100, 100, width=32)), min_size=1, max_size=30),
    width=st.sampled_from([0.25, 0.5, 1.0, 6.5, 100.0]),
    at=st.lists(TIED | st.sampled_from([0.125, 3.75, -50.0]), max_size=6),
)
def test_a_window_holds_the_mean_and_spread_of_the_rows_inside_both_ends(rows, width, at):
    x, y = map(list, zip(*rows))
    found = sliding(x, y, width=width, at=at)
    expected = slow.sliding(x, y, width, at)
    np.testing.assert_allclose(found.mean, [m for m, _, _ in expected], atol=1e-12, rtol=1e-12)
    # a deviation is a root: 1e-16 in the variance is 1e-8 in it
    np.testing.assert_allclose(found.sd, [s for _, s, _ in expected], atol=1e-5, rtol=1e-6)
    assert found.count.tolist() == [n for _, _, n in expected]
    np.testing.assert_array_equal(found.at, at)


def test_a_window_on_data_far_from_0_loses_nothing():
    rng = np.random.default_rng(0)
    x, y = rng.uniform(size=3000), 1e8 + rng.normal(size=3000)
    at = np.linspace(0, 1, 7)
    found = sliding(x, y, width=0.1, at=at)
    expected = slow.sliding(x, y, 0.1, at)
    np.testing.assert_allclose(found.sd, [s for _, s, _ in expected], rtol=1e-7)
    np.testing.assert_allclose(found.mean - 1e8, [m - 1e8 for m, _, _ in expected], atol=1e-7)


def test_the_order_of_the_rows_and_of_the_places_does_not_matter():
    rng = np.random.default_rng(0)
    x, y = rng.integers(0, 9, 500) / 8, rng.normal(size=500)
    at, order = np.linspace(0, 1, 5), rng.permutation(500)
    found = sliding(x, y, width=0.3, at=at)
    again = sliding(x[order], y[order], width=0.3, at=at[::-1])
    np.testing.assert_array_equal(found.mean, again.mean[::-1])
    np.testing.assert_array_equal(found.sd, again.sd[::-1])


@pytest.mark.parametrize(
    ("x", "y", "width", "word"),
    [
        ([1.0], [1.0, 2.0], 1, "one shape"),
        ([np.nan], [1.0], 1, "without NaN"),
        ([1.0], [np.inf], 1, "finite"),
        ([1.0], [1.0], 0, "`width` > 0, got 0"),
        ([1.0], [1.0], np.nan, "`width` > 0"),
        ([], [], 1, "at least one"),
    ],
)
def test_what_has_no_window_is_refused(x, y, width, word):
    with pytest.raises(InputError, match=word):
        sliding(x, y, width=width, at=[0])


@given(
    data=predictions(min_size=20, max_size=60),
    width=st.sampled_from([0.25, 1.0, 6.5]),
    at=st.lists(TIED, max_size=6),
)
def test_right_and_wrong_predictions_have_windows_of_their_own_where_there_are_ten(data, width, at):
    x, loss = data
    y = np.arange(len(x)) % 7.0
    found = windows(x, y, loss == 1, width=width, at=np.array(at))
    for got, rows in zip(found, (loss == 0, loss == 1)):
        expected = slow.sliding(x[rows].tolist(), y[rows].tolist(), width, at)
        kept = [(place, *w) for place, w in zip(at, expected) if w[2] >= 10]
        assert got.at.tolist() == [place for place, *_ in kept]
        assert got.mean.tolist() == pytest.approx([m for _, m, _, _ in kept])
        assert got.sd.tolist() == pytest.approx([sd for _, _, sd, _ in kept], abs=1e-6)
        assert got.count.tolist() == [n for *_, n in kept]
