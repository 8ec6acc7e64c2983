"""A short version of `python -m tests.validity.plan`, that can still fail."""

import numpy as np
import pytest
from plan import DELTA, POPULATIONS, POWER, SHARES, accepted, truth

import recuse as rc
from recuse.selectors import select

pytestmark = pytest.mark.validity

DRAWS = 200
SLACK = 2.6 * (POWER * (1 - POWER) / DRAWS) ** 0.5  # one false alarm in 200 runs
FACTOR = 2.5  # within which a plan is


@pytest.mark.parametrize("target", [0.05, 0.1])
@pytest.mark.parametrize("name", POPULATIONS)
def test_so_many_rows_are_needed_within_a_factor(name, target):
    rate = POPULATIONS[name]
    found = rc.plan(**truth(rate)._asdict(), target_risk=target)
    most, fewest = (round(found.rows * factor) for factor in (FACTOR, 1 / FACTOR))
    assert np.mean(accepted(rate, most, target, DRAWS) > 0) >= POWER - SLACK
    assert np.mean(accepted(rate, fewest, target, DRAWS) > 0) <= POWER + SLACK


def test_half_of_the_thresholds_accept_what_is_to_be_expected():
    above = []
    for name in POPULATIONS:
        if "easy" in name or name == "wrong labels":
            continue  # no power law
        found = rc.plan(**truth(POPULATIONS[name])._asdict(), target_risk=0.05)
        seen = np.median(accepted(POPULATIONS[name], found.rows, 0.05, DRAWS))
        above.append(found.coverage - seen)
    assert np.abs(above).max() < 0.08
    assert abs(np.mean(above)) < 0.03


@pytest.mark.parametrize("n", [150, 400, 2000])
def test_draws_together_are_those_of_select(n):
    rate, rng = POPULATIONS["steep, 20 %"], np.random.default_rng(3)
    u = np.sort(rng.uniform(size=(1, n)))
    wrong = rng.uniform(size=u.shape) < rate(u)
    one = select(-u[0], wrong[0], target_risk=0.1, delta=SHARES[0] * DELTA)
    assert accepted(rate, n, 0.1, 1, seed=3) == one.guarantee.coverage
