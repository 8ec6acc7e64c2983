from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import recuse as rc
import reference
import reference_bounds
from recuse import bounds
from recuse.errors import InputError

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


UNIT_LOSSES = st.lists(st.sampled_from([0.0, 0.1, 0.5, 0.9, 1.0]), min_size=1, max_size=25)
RISKS, DELTAS = st.sampled_from([0.01, 0.1, 0.5, 0.9]), st.sampled_from([0.01, 0.05, 0.3])
ROUNDING = 1e-9  # of products of up to 25 factors, and of halvings
MEAN_BOUNDS = {
    "hoeffding_bentkus": (
        lambda l, r: float(bounds.hoeffding_bentkus_p_value(sum(l), len(l), r)),
        lambda l, d: float(bounds.hoeffding_bentkus_upper(sum(l), len(l), d)),
    ),
    "betting": (bounds.betting_p_value, bounds.betting_upper),
}
every_mean_bound = pytest.mark.parametrize("name", MEAN_BOUNDS)


@given(losses=UNIT_LOSSES, risk=RISKS)
def test_hoeffding_bentkus_is_its_definition(losses, risk):
    total, n = sum(losses), len(losses)
    expected = reference_bounds.hoeffding_bentkus(total, n, risk)
    assert bounds.hoeffding_bentkus_p_value(total, n, risk) == pytest.approx(expected, abs=EXACT)


@given(losses=UNIT_LOSSES, risk=RISKS, delta=DELTAS)
def test_betting_is_its_definition(losses, risk, delta):
    expected = 1 / max(reference_bounds.capital(losses, risk, delta))
    assert bounds.betting_p_value(losses, risk, delta=delta) == pytest.approx(expected)


@every_mean_bound
@given(losses=UNIT_LOSSES, delta=DELTAS)
def test_an_upper_limit_is_where_the_p_value_passes_delta(name, losses, delta):
    p_value, upper = MEAN_BOUNDS[name]
    limit = upper(losses, delta)
    tuned = {"delta": delta} if name == "betting" else {}
    if limit < 1 - 2 * ROUNDING:
        assert p_value(losses, limit + ROUNDING, **tuned) <= delta * (1 + 1e-6)
    if limit > 1e-6:
        assert p_value(losses, limit - 1e-7, **tuned) > delta * (1 - 1e-4)


@every_mean_bound
def test_a_p_value_falls_as_the_risk_in_question_grows(name):
    p_value, losses = MEAN_BOUNDS[name][0], [0.0, 0.5, 0.1] * 20
    p = [p_value(losses, r) for r in np.linspace(0.01, 0.99, 99)]
    assert (np.diff(p) <= ROUNDING).all()
    assert p[0] > 0.98
    assert p[-1] < 1e-6


@every_mean_bound
def test_more_loss_never_lowers_a_limit(name):
    upper = MEAN_BOUNDS[name][1]
    limits = [upper([x] * 50, 0.05) for x in (0.0, 0.1, 0.5, 0.9, 1.0)]
    assert (np.diff(limits) >= 0).all()
    assert limits[-1] == pytest.approx(1)


@every_mean_bound
@pytest.mark.parametrize("loss", [0.0, 0.3, 1.0])
def test_one_loss_alone_shows_little(name, loss):
    p_value, upper = MEAN_BOUNDS[name]
    assert upper([loss], 0.05) >= (0.95 if loss == 0 or name != "betting" else 1) - 1e-6
    assert p_value([loss], 0.01) > 0.98


def test_bounds_of_nothing_say_nothing():
    assert bounds.hoeffding_bentkus_p_value(0, 0, 0.1) == 1
    assert bounds.hoeffding_bentkus_upper(0, 0, 0.1) == 1
    assert bounds.betting_p_value([], 0.1) == 1
    assert bounds.betting_upper([], 0.1) == 1


def test_bentkus_needs_the_ceiling():
    """A sum of 2.5 may not be read as 2 errors."""
    floor = np.e * bounds.binomial_p_value(2, 400, 0.05)
    assert bounds.hoeffding_bentkus_p_value(2.5, 400, 0.05) > floor


def test_betting_keeps_the_order_of_the_rows_unless_given_a_seed():
    losses = [0.0] * 30 + [1.0] * 5
    early, late = bounds.betting_p_value(losses, 0.3), bounds.betting_p_value(losses[::-1], 0.3)
    assert early < late  # the capital is taken at its maximum
    shuffled = [bounds.betting_p_value(losses, 0.3, seed=s) for s in (1, 1, 2)]
    assert shuffled[0] == shuffled[1] != shuffled[2]


@pytest.mark.parametrize("bad", [[0.5, 1.5], [0.5, -0.1], [0.5, np.nan]])
def test_losses_outside_the_unit_interval_are_refused(bad):
    with pytest.raises(rc.InputError, match=r"in \[0, 1\], got .* at row 1"):
        bounds.betting_upper(bad, 0.05)


DRAWS, DELTA = 2000, 0.1
ALLOWED = DELTA + 2.6 * (DELTA * (1 - DELTA) / DRAWS) ** 0.5  # one false alarm in 200 runs
LAWS = {
    "rare errors": (lambda rng, n: (rng.uniform(size=n) < 0.05).astype(float), 0.05),
    "frequent errors": (lambda rng, n: (rng.uniform(size=n) < 0.5).astype(float), 0.5),
    "small losses": (lambda rng, n: 0.1 * rng.uniform(size=n), 0.05),
    "rare and partial": (lambda rng, n: rng.uniform(size=n) * (rng.uniform(size=n) < 0.1), 0.05),
}


@pytest.mark.validity
@pytest.mark.parametrize("n", [1, 20, 200])
@pytest.mark.parametrize("law", LAWS)
def test_limits_lie_below_the_mean_as_seldom_as_they_say(law, n):
    draw, mean = LAWS[law]
    rng = np.random.default_rng(3)
    samples = [draw(rng, n) for _ in range(DRAWS)]
    for name, (p_value, upper) in MEAN_BOUNDS.items():
        missed = [p_value(l, mean) <= DELTA for l in samples]
        assert np.mean(missed) <= ALLOWED, name
        few = samples[:200]
        below = [upper(l, DELTA) < mean for l in few]
        assert np.mean(below) <= DELTA + 2.6 * (DELTA * (1 - DELTA) / 200) ** 0.5, name
    if law.endswith("errors"):
        k = np.array([l.sum() for l in samples])
        assert np.mean(bounds.clopper_pearson_upper(k, n, DELTA) < mean) <= ALLOWED


@pytest.mark.validity
def test_this_simulation_would_catch_bets_in_order_of_the_losses():
    rng = np.random.default_rng(3)
    ordered = [np.sort(LAWS["rare and partial"][0](rng, 200)) for _ in range(500)]
    assert np.mean([bounds.betting_p_value(l, 0.05) <= DELTA for l in ordered]) > 2 * ALLOWED


COUNTED = ("binomial_p_value", "clopper_pearson_upper", "clopper_pearson_lower")
SUMMED = ("hoeffding_bentkus_p_value", "hoeffding_bentkus_upper")
LISTED = [name for name in bounds.__all__ if name.startswith("betting")]


@pytest.mark.parametrize("name", [*COUNTED, "clopper_pearson_interval"])
@pytest.mark.parametrize(
    ("k", "n"),
    [(-1, 4), (5, 4), (0, -1), (1.5, 4), (1, 4.5), (np.nan, 4), (1, np.inf), (True, 4), ("1", 4)],
)
def test_counts_that_cannot_be_are_refused(name, k, n):
    with pytest.raises(InputError, match="expected"):
        getattr(bounds, name)(k, n, 0.1)


@pytest.mark.parametrize("name", COUNTED)
def test_one_count_that_cannot_be_is_found_among_many(name):
    with pytest.raises(InputError, match="got k = 5, n = 4"):
        getattr(bounds, name)(np.array([0, 5, 2]), 4, 0.1)


@pytest.mark.parametrize("name", SUMMED)
@pytest.mark.parametrize(("total", "n"), [(-0.1, 4), (4.1, 4), (np.nan, 4), (0, -1), (1, 4.5)])
def test_sums_that_cannot_be_are_refused(name, total, n):
    with pytest.raises(InputError, match="expected"):
        getattr(bounds, name)(total, n, 0.1)


@pytest.mark.parametrize("level", [0, 1, -0.1, 1.5, np.nan, np.inf, "x", None])
@pytest.mark.parametrize("name", bounds.__all__)
def test_a_risk_or_delta_outside_zero_and_one_is_refused(name, level):
    counts = {**dict.fromkeys(LISTED, ([0.0, 0.1],)), "smallest_error_free_sample": ()}
    arguments = (*counts.get(name, (1, 4)), level)
    other = (0.1,) if name == "smallest_error_free_sample" else ()
    with pytest.raises(InputError, match=r"in .0, 1."):
        getattr(bounds, name)(*arguments, *other)


def test_the_two_sided_interval_has_half_of_delta_on_each_side():
    for k, n in ((0, 10), (3, 10), (10, 10)):
        low, high = bounds.clopper_pearson_interval(k, n, 0.1)
        assert low == bounds.clopper_pearson_lower(k, n, 0.05)
        assert high == bounds.clopper_pearson_upper(k, n, 0.05)
    assert bounds.clopper_pearson_interval(0, 0) == (0, 1)
