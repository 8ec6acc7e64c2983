"""A short version of `python -m tests.validity.interval_coverage`, that can still fail.

Bounds leave the binomial error of the simulation, and what the full tables show for this case.
"""

import numpy as np
import pytest
from interval_coverage import (
    POPULATIONS,
    Population,
    by_resampling,
    coverage,
    false_positives,
    grouped_coverage,
    influence,
    two_models,
    two_scores,
    without_resampling,
)

from recuse.intervals import AUGRC, AURC, E_AURC, coverage_at, interval, risk_at

pytestmark = pytest.mark.validity

SETS, LEVEL = 400, 0.95
SLACK = 2.6 * (LEVEL * (1 - LEVEL) / SETS) ** 0.5  # one false alarm in 200 runs
MANY, FEW = POPULATIONS["15 % errors"], POPULATIONS["2.5 % errors"]


def only(method):
    return lambda c, l, measure: [method(c, l, measure)]


@pytest.mark.parametrize("population", [MANY, FEW])
@pytest.mark.parametrize("point", [AURC, E_AURC, AUGRC, risk_at(0.8), "coverage"], ids=str)
def test_intervals_hold_the_truth_as_often_as_they_say(population, point):
    measure = coverage_at(population.risk / 2) if point == "coverage" else point
    held = coverage(population, 2000, measure, SETS, only(influence))[0]
    assert LEVEL - SLACK - 0.02 <= held <= LEVEL + SLACK + 0.02


def test_few_errors_hold_it_less_often_and_the_log_scale_more_often_than_its_own():
    own, log = coverage(FEW, 200, AURC, SETS, without_resampling)
    assert own < 0.86
    assert own + 0.04 < log < 0.94
    c, l = FEW.draw(200, np.random.default_rng(0))
    assert "from fewer than 20" in interval(c, l).warning


@pytest.mark.parametrize("weights", ["multinomial", "poisson"])
def test_resampling_holds_it_as_often(weights):
    held = coverage(MANY, 1000, AURC, SETS, by_resampling(400, weights))
    assert (np.abs(held - LEVEL) <= SLACK + 0.01).all()


def test_rows_of_a_group_are_not_independent():
    row, group = grouped_coverage(MANY, 400, 5, SETS)
    assert row < 0.88
    assert group >= LEVEL - SLACK - 0.01


@pytest.mark.parametrize("draw", [two_scores, two_models])
def test_a_comparison_finds_what_is_not_there_as_often_as_it_says(draw):
    assert abs(false_positives(draw, 1000, SETS) - (1 - LEVEL)) <= SLACK


def test_this_simulation_would_catch_a_standard_error_that_is_too_small():
    def half_as_wide(c, l, measure):
        low, high = influence(c, l, measure)
        middle = (low * high) ** 0.5
        return middle * (low / middle) ** 0.5, middle * (high / middle) ** 0.5

    assert coverage(MANY, 1000, AURC, SETS, only(half_as_wide))[0] < 0.8


def test_the_truth_is_that_of_the_population():
    """A very large sample."""
    population = Population(0.3, 2)
    c, l = population.draw(1_000_000, np.random.default_rng(0))
    for measure in (AURC, E_AURC, AUGRC, risk_at(0.8), coverage_at(0.03)):
        assert measure.value(c, l) == pytest.approx(population.truth(measure), rel=0.02)
