"""A short version of `python -m tests.validity`, that can still fail.

Violations stay under delta plus the binomial error of the simulation. "flat" has a risk just
above the target everywhere: an uncorrected method breaks its guarantee there in four draws of ten.
Counting the boundary point of a rank changes too little to be seen here; `test_selectors.py` tests
which examples lie above a rank.
"""

import numpy as np
import pytest
from thresholds import (
    AS_IF_INDEPENDENT,
    CHOOSERS,
    DELTA,
    FLAT,
    GROUPED,
    OTHERS,
    POPULATIONS,
    STAIRS,
    TARGET,
    TIED,
    USUAL,
    VALID,
    band_violations,
    by,
    cost_violations,
    coverage_violations,
    file_violations,
    general,
    grouped_violations,
    order_violations,
    several_violations,
    simulate,
    subgroup_violations,
)

pytestmark = pytest.mark.validity

DRAWS = 400
ALLOWED = DELTA + 2.6 * (DELTA * (1 - DELTA) / DRAWS) ** 0.5  # one false alarm in 200 runs
FEW = 150
ALLOWED_OF_FEW = DELTA + 2.6 * (DELTA * (1 - DELTA) / FEW) ** 0.5


@pytest.mark.parametrize("n", [50, 158, 1000])
@pytest.mark.parametrize("name", [name for name in POPULATIONS if name not in USUAL])
def test_every_method_keeps_its_guarantee(name, n):
    population = POPULATIONS[name]
    for method, outcome in simulate(population, n, VALID, DRAWS).items():
        assert outcome.violations <= ALLOWED, method


@pytest.mark.parametrize("count", [6, 20, 100])
@pytest.mark.parametrize("target", TIED)
def test_a_chain_keeps_its_guarantee_where_rows_are_tied(target, count):
    walks = {"random_walk": by("random_walk", target)}
    found = simulate(TIED[target][count], 1000, walks, DRAWS, target)
    assert found["random_walk"].violations <= ALLOWED


@pytest.mark.parametrize(
    ("case", "n"), [("two scores", 100), ("groups", 100), ("column", 400), ("class", 500)]
)
def test_one_file_keeps_its_guarantee(case, n):
    assert file_violations(case, n, FEW) <= ALLOWED_OF_FEW


def test_methods_that_keep_their_guarantee_also_accept():
    """Always saying infeasible is valid, and useless: 59 % of "steep" can be had at this risk."""
    found = simulate(POPULATIONS["steep"], 1000, VALID, 100)
    assert all(outcome.coverage > 0.5 for outcome in found.values())
    assert found["fixed_sequence"].coverage > found["sgr"].coverage


@pytest.mark.parametrize("ranks", [False, True])
@pytest.mark.parametrize("name", ["flat", "bad top", "five levels"])
def test_no_limit_of_a_band_lies_below_its_risk(name, ranks):
    assert band_violations(POPULATIONS[name], 500, FEW, ranks) <= ALLOWED_OF_FEW


@pytest.mark.parametrize("method", ["betting", "fixed_sequence", "bonferroni"])
def test_losses_in_the_unit_interval_keep_the_guarantee(method):
    population, choose = POPULATIONS["flat"], by(method)
    deployed = [choose(s) for s in general(population, 500, DRAWS)]
    assert np.mean(population.risk(np.array(deployed)) > TARGET) <= ALLOWED


@pytest.mark.parametrize("case", ["one row per group", "betting on means"])
def test_groups_keep_the_guarantee(case):
    assert grouped_violations(FLAT, GROUPED[case], FEW) <= ALLOWED_OF_FEW


@pytest.mark.parametrize("size", [1, 5])
def test_bets_keep_their_guarantee_whatever_the_order_of_the_file(size):
    assert order_violations(size, FEW) <= ALLOWED_OF_FEW


def test_subgroups_keep_their_guarantees_at_once():
    assert subgroup_violations(POPULATIONS["flat"], 800, FEW) <= ALLOWED_OF_FEW


def test_several_targets_keep_their_guarantees_at_once():
    assert several_violations(OTHERS["stairs"], STAIRS, 2000, FEW) <= ALLOWED_OF_FEW


@pytest.mark.parametrize("n", [20, 500])
@pytest.mark.parametrize("name", ["smooth", "five levels", "saturated"])
def test_coverage_is_reached_as_often_as_guaranteed(name, n):
    found = coverage_violations(POPULATIONS[name], n, 0.8, DRAWS)
    assert found.violations <= ALLOWED
    assert found.coverage > 0.8


def test_costs_stay_under_their_limit():
    for name in ("smooth", "two levels"):
        assert cost_violations(POPULATIONS[name], 500, 10, FEW).violations <= ALLOWED_OF_FEW
    assert cost_violations(OTHERS["rare errors"], 150, 10, DRAWS).violations <= ALLOWED


def test_this_simulation_would_catch_an_uncorrected_method():
    methods = {"uncorrected": CHOOSERS["uncorrected"]}
    assert simulate(POPULATIONS["flat"], 500, methods, DRAWS)["uncorrected"].violations > 0.2


def test_this_simulation_would_catch_a_rank_that_counts_its_boundary_point():
    methods = {"with boundary": CHOOSERS["with boundary"]}
    assert simulate(POPULATIONS["two levels"], 1000, methods, FEW)["with boundary"].violations > 0.3


def test_this_simulation_would_catch_binomials_over_dependent_rows():
    rows = GROUPED[AS_IF_INDEPENDENT]
    assert grouped_violations(FLAT, rows, FEW) > 0.18


@pytest.mark.parametrize("size", [1, 5])
def test_this_simulation_would_catch_bets_in_the_order_of_the_file(size):
    assert order_violations(size, FEW, seed=None) > 0.4


def test_this_simulation_would_catch_subgroups_that_do_not_share_delta():
    """Four subgroups at four times the delta: one at full delta each."""
    assert subgroup_violations(POPULATIONS["flat"], 800, FEW, delta=4 * DELTA) > ALLOWED_OF_FEW


def test_this_simulation_would_catch_targets_that_do_not_share_delta():
    """Four targets at four times the delta: one at full delta each."""
    found = several_violations(OTHERS["stairs"], STAIRS, 2000, FEW, delta=4 * DELTA)
    assert found > ALLOWED_OF_FEW


def test_this_simulation_would_catch_scores_of_one_file_that_do_not_share_delta(monkeypatch):
    monkeypatch.setattr("recuse.tuning._fixed.SHARES", (2.0, 2.0))
    assert file_violations("two scores", 100, FEW) > ALLOWED_OF_FEW


def test_this_simulation_would_catch_a_limit_of_costs_at_a_larger_delta():
    found = cost_violations(OTHERS["rare errors"], 150, 10, DRAWS, delta=2.5 * DELTA)
    assert found.violations > ALLOWED


@pytest.mark.parametrize("name", POPULATIONS)
def test_the_risk_and_the_coverage_are_those_of_the_population(name):
    population = POPULATIONS[name]
    c, l = population.draw(400_000, np.random.default_rng(0))
    for t in np.unique(np.quantile(c, [0.02, 0.3, 0.7, 0.97])):
        accepted = c >= t
        assert population.coverage(t) == pytest.approx(accepted.mean(), abs=0.005)
        assert population.risk(t) == pytest.approx(l[accepted].mean(), abs=0.01)
