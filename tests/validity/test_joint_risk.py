"""The share accepted and wrong keeps its guarantee, and so do the answers on average."""

import pytest
from joint_risk import (
    DELTA,
    POPULATIONS,
    TARGET,
    by_share,
    conformal,
    monotone,
    on_average,
    simulate,
    simulate_batch,
    uncorrected,
    without_the_row_itself,
    without_ties,
)

pytestmark = pytest.mark.validity

DRAWS, SIZES = 400, [20, 50, 200]
CELLS = 3 * len(POPULATIONS) * len(SIZES)


@pytest.mark.parametrize("n", SIZES)
@pytest.mark.parametrize("name", POPULATIONS)
def test_no_guarantee_of_a_share_of_all_or_of_a_batch_is_broken(name, n):
    population = POPULATIONS[name]
    assert not simulate(population, n, monotone, DRAWS).above(DELTA, CELLS)
    assert not simulate(population, n, on_average, DRAWS).above(None, CELLS)
    assert not simulate_batch(population, n, 100, conformal, DRAWS).above(None, CELLS)


def test_they_also_accept():
    """Of "smooth", half has at most 5 % accepted and wrong; of "accurate" everything."""
    for name, least in (("smooth", 0.25), ("accurate", 1.0)):
        for choose in (monotone, on_average):
            found = simulate(POPULATIONS[name], 1000, choose, 20)
            assert found.coverage >= least
            assert found.risk.max() < 2 * TARGET
    assert simulate_batch(POPULATIONS["smooth"], 1000, 200, conformal, 20).coverage > 0.4


def test_the_share_of_all_is_not_only_valid_but_exhausts_delta():
    found = simulate(POPULATIONS["flat"], 1000, monotone, DRAWS)
    assert (found.risk > TARGET).mean() > DELTA / 2
    assert simulate(POPULATIONS["smooth"], 199, on_average, DRAWS).risk.mean() > 0.9 * TARGET


def test_this_simulation_would_catch_an_uncorrected_share():
    assert simulate(POPULATIONS["smooth"], 200, uncorrected, DRAWS).above(DELTA, CELLS)


def test_this_simulation_would_catch_an_average_that_does_not_count_one_error_more():
    forgotten = by_share(lambda n: TARGET * (n + 1))
    assert simulate(POPULATIONS["poor"], 20, forgotten, DRAWS).above(None, CELLS)


@pytest.mark.parametrize(
    ("name", "choose"), [("two levels", without_ties), ("smooth", without_the_row_itself)]
)
def test_this_simulation_would_catch_p_values_that_count_too_little(name, choose):
    assert simulate_batch(POPULATIONS[name], 50, 100, choose, DRAWS).above(None, CELLS)
