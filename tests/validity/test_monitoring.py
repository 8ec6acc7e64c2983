"""A short version of `python -m tests.validity.monitoring`, that can still fail.

Bounds leave the binomial error of the simulation.
"""

import numpy as np
import pytest
from monitoring import (
    CALIBRATE,
    COVERAGE,
    DELAYS,
    TARGET,
    Monitor,
    delays_until_alarm,
    deployed,
    ever_alarmed,
    interval_missed,
    limits_missed,
    rate_known,
    stream,
)

from recuse.monitor import RISK

pytestmark = pytest.mark.validity

DELTA, STREAMS, ACCEPTED = 0.2, 60, 2000
ALLOWED = DELTA + 2.6 * (DELTA * (1 - DELTA) / STREAMS) ** 0.5  # one false alarm in 200 runs


@pytest.mark.parametrize("name", DELAYS)
def test_false_alarms_at_any_time_are_rare_whatever_delays_depend_on(name):
    found = ever_alarmed(DELAYS[name], "prediction", DELTA, STREAMS, ACCEPTED)
    assert found["any"] <= ALLOWED
    assert found[RISK] <= DELTA / 2 + 2.6 * (DELTA / 2 * (1 - DELTA / 2) / STREAMS) ** 0.5


@pytest.mark.parametrize("name", ["none", "random"])
def test_arrival_order_is_right_where_delays_do_not_depend_on_the_loss(name):
    assert ever_alarmed(DELAYS[name], "arrival", DELTA, STREAMS, ACCEPTED)["any"] <= ALLOWED


@pytest.mark.parametrize("name", ["errors first", "batches", "complaints"])
def test_this_simulation_would_catch_bets_in_the_order_of_arrival(name):
    assert ever_alarmed(DELAYS[name], "arrival", DELTA, 20, ACCEPTED)[RISK] > 0.9


@pytest.mark.parametrize("name", [name for name in DELAYS if name != "complaints"])
def test_once_all_labels_are_there_their_delays_make_no_difference(name):
    rng = np.random.default_rng(0)
    s = stream(ACCEPTED, DELAYS[name], rng)
    known = Monitor(deployed(round(CALIBRATE * COVERAGE)))
    known.update(np.arange(s.accept.size), s.accept, s.wrong)
    late = Monitor(deployed(round(CALIBRATE * COVERAGE)))
    *_, late = s.looks_of(late)
    assert late.verdict.pending == 0
    assert late.verdict.log_e == pytest.approx(known.verdict.log_e)


def test_the_calibrate_rate_is_an_estimate_and_this_simulation_would_notice():
    assert rate_known(0.05, 100, 10_000) > 0.2


@pytest.mark.parametrize("method", ["fixed_sequence", "random_walk"])
def test_the_limits_of_the_acceptance_rate_survive_the_choice_of_the_threshold(method):
    feasible, missed, _ = limits_missed(method, lambda u: 0.2 * (1 - u), 500, 60)
    assert feasible > 0.2
    assert missed <= 0.025 + 2.6 * (0.025 / 60 / feasible) ** 0.5


@pytest.mark.parametrize(
    "risk", [lambda t: np.full(t.shape, 0.05), lambda t: np.where(t < 0.5, 0.02, 0.2)]
)
def test_the_interval_holds_the_mean_risk_at_all_times_also_of_one_that_changes(risk):
    assert interval_missed(risk, 40, 2000, DELTA) <= DELTA + 2.6 * (DELTA * (1 - DELTA) / 40) ** 0.5


def test_twice_the_target_is_found_after_some_hundred_labels():
    """And so by a monitor that has seen 5,000 good ones: the full table is in the docs."""
    assert np.median(delays_until_alarm(TARGET, 0.05, 0.1, 0, 0.025, 20)) < 400
    assert np.median(delays_until_alarm(TARGET, 0.05, 0.1, 5000, 0.025, 20)) < 900
