"""The limit of a mean cost holds as often as stated, and a wrong one is seen to fail."""

import pytest
from costs import DELTA, MODELS, POPULATIONS, excess, isotonic, simulate, temperature

pytestmark = pytest.mark.validity

DRAWS, SIZES = 2000, (100, 1000)
CELLS = len(POPULATIONS) * len(SIZES)
FLAT = POPULATIONS["flat: each answer errs in 5 %"]


@pytest.mark.parametrize("n", SIZES)
@pytest.mark.parametrize("name", POPULATIONS)
def test_a_mean_cost_exceeds_its_limit_in_at_most_delta_of_draws(name, n):
    found = simulate(POPULATIONS[name], n, DRAWS)
    assert not found.above(DELTA, CELLS)
    assert found.cost < found.upper


def test_the_mean_on_the_calibration_rows_is_no_limit_and_is_seen():
    found = simulate(FLAT, 1000, DRAWS, upper=lambda spent, n, largest, delta: spent / n)
    assert found.violations > 0.4
    assert found.above(DELTA, CELLS)


def test_the_limit_closes_in_and_the_decisions_become_the_cheapest():
    population = POPULATIONS["smooth, misses 10:1"]
    few, many = (simulate(population, n, 200) for n in (1000, 50_000))
    assert population.least < many.cost < few.cost
    assert many.upper - many.cost < 0.3 * (few.upper - few.cost)
    assert many.cost - population.least < 0.01 * population.least


def test_with_few_rows_a_temperature_decides_more_cheaply_than_an_isotonic_map():
    """Why there is one way to calibrate: docs/how-to/costs.md has the table."""
    model = MODELS["three times too confident"]
    one, other = (excess(model, way, 100, 40) for way in (temperature, isotonic))
    assert one < other < excess(model, None, 100, 1)
