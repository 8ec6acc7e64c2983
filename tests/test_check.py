"""The checks of numbers: what is no number is refused, whatever it would convert to."""

import numpy as np
import pytest

from recuse import InputError, curves
from recuse._internal import check

TEXT_AND_FLAGS = ["0.5", b"0.5", True, np.True_, None, [0.5], 0.5j]
FRACTIONS = {
    "fraction": lambda x: check.check_fraction(x, "share", zero=True, one=True),
    "delta": check.check_delta,
    "risk": lambda x: curves.coverage_at_risk([0.1], [0], x),
    "coverage": lambda x: curves.risk_at_coverage([0.1], [0], x),
    "summary": lambda x: curves.summarize([0.1], [0], risks=[x]),
}
COUNTS = {
    "count": lambda x: check.check_count(x, "rows"),
    "bins": check.check_bins,
    "seed": check.check_seed,
}


@pytest.mark.parametrize("x", TEXT_AND_FLAGS, ids=repr)
@pytest.mark.parametrize("name", FRACTIONS)
def test_a_fraction_is_a_number_not_text_or_a_flag(name, x):
    with pytest.raises(InputError, match=r"as a number in .*, got "):
        FRACTIONS[name](x)


@pytest.mark.parametrize("x", [*TEXT_AND_FLAGS, "3", 3.0, -1], ids=repr)
@pytest.mark.parametrize("name", COUNTS)
def test_a_count_is_an_integer_not_text_or_a_flag(name, x):
    with pytest.raises(InputError, match=r"as an integer >= [01], got "):
        COUNTS[name](x)


@pytest.mark.parametrize("x", [0.25, np.float32(0.25), np.float64(0.25), np.array(0.25)])
def test_a_number_of_any_type_is_a_fraction(x):
    found = check.check_fraction(x, "share")
    assert (found, type(found)) == (0.25, float)


def test_numbers_outside_are_named_with_their_hint():
    with pytest.raises(
        InputError, match=r"expected `risk` in \[0, 1\], got 5 \(5 % is the fraction 0.05\)"
    ):
        curves.coverage_at_risk([0.1], [0], 5)
    with pytest.raises(InputError, match=r"expected `share` in \(0, 1\), got nan$"):
        check.check_fraction(np.nan, "share")


@pytest.mark.parametrize("x", [-0.1, 0, 0.5, 0.9, 1, 5, np.nan, np.inf])
def test_delta_is_refused_with_one_range(x):
    with pytest.raises(InputError, match=r"expected `delta` in \(0, 0.5\), a fraction, got"):
        check.check_delta(x)
    with pytest.raises(InputError, match=r"expected `delta` as a number in \(0, 0.5\), got 'low'"):
        check.check_delta("low")


def test_text_of_a_command_line_becomes_a_number_where_it_states_one():
    assert check.number_of("0.5") == 0.5
    assert check.number_of("much") == "much"
