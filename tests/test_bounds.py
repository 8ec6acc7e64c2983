from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import reference
from recuse import bounds

EXACT = 1e-10  # scipy's incomplete beta function against exact fractions


@given(n=st.integers(1, 60), data=st.data(), risk=st.fractions("1/100", "99/100"))
def test_the_p_value_is_the_exact_binomial_tail(n, data, risk):
    k = data.draw(st.integers(0, n))
    expected = float(reference.binomial_cdf(k, n, risk))
    assert bounds.binomial_p_value(k, n, float(risk)) == pytest.approx(expected, abs=EXACT)


@given(n=st.integers(1, 60), data=st.data(), delta=st.sampled_from([0.01, 0.05, 0.5]))
def test_the_clopper_pearson_limit_inverts_the_tail(n, data, delta):
    k = data.draw(st.integers(0, n))
    limit = float(bounds.clopper_pearson_upper(k, n, delta))
    if k == n:
        assert limit == 1
    else:
        tail = reference.binomial_cdf(k, n, Fraction(limit))
        assert float(tail) == pytest.approx(delta, rel=1e-6)


def test_the_clopper_pearson_limit_is_right_at_the_ends():
    assert bounds.clopper_pearson_upper(0, 1, 0.05) == pytest.approx(0.95)
    assert bounds.clopper_pearson_upper(1, 1, 0.05) == 1
    assert bounds.clopper_pearson_upper(0, 0, 0.05) == 1
    assert bounds.binomial_p_value(0, 0, 0.05) == 1


def test_bounds_are_monotone_in_errors_and_examples():
    k = np.arange(0, 101)
    assert (np.diff(bounds.clopper_pearson_upper(k, 100, 0.05)) >= 0).all()
    assert (np.diff(bounds.clopper_pearson_upper(3, np.arange(4, 200), 0.05)) < 0).all()


def test_trap_fifteen_errors_of_twenty_two_are_not_rounded_to_fourteen():
    """Counts are integers from the start; a rate times m, truncated, loses an error."""
    assert int(22 * (15 / 22)) == 14
    exact = bounds.clopper_pearson_upper(15, 22, 0.001)
    assert exact == pytest.approx(0.923, abs=5e-4)
    assert bounds.clopper_pearson_upper(14, 22, 0.001) == pytest.approx(0.898, abs=5e-4)


def test_fifty_nine_examples_without_error_show_five_percent():
    assert bounds.smallest_error_free_sample(0.05, 0.05) == 59
    assert bounds.binomial_p_value(0, 59, 0.05) <= 0.05 < bounds.binomial_p_value(0, 58, 0.05)
