"""A short version of `python -m tests.validity.monitor_groups`, that can still fail."""

import numpy as np
import pytest
from scipy.stats import binom
from tests.validity.monitor_groups import KINDS, delays, false_alarms

from recuse.monitor import RISK

pytestmark = pytest.mark.validity

DELTA, STREAMS = 0.2, 40
CELLS = [
    ("single", "errors first", True),
    ("alike", "batches", False),
    ("large harder", "none", False),
    ("hard abstain", "errors first", False),
    ("hard abstain", "none", True),
]
ALLOWED = binom.ppf(1 - 0.01 / len(CELLS), STREAMS, DELTA) / STREAMS


@pytest.mark.parametrize(("kind", "delay", "by_row"), CELLS)
def test_alarms_of_any_test_are_rarely_false(kind, delay, by_row):
    found = false_alarms(kind, delay, DELTA, STREAMS, by_row=by_row)
    assert found["any"] <= ALLOWED


@pytest.mark.parametrize("kind", [*KINDS][1:])
def test_this_simulation_would_catch_rows_of_groups_that_count_as_independent(kind):
    assert false_alarms(kind, "none", DELTA, 6, how="rows")[RISK] > 0.5


def test_this_simulation_would_catch_a_mean_over_the_accepted_rows():
    """Where hard groups are rarely accepted, it is above the risk of a row drawn from a group."""
    assert false_alarms("hard abstain", "none", DELTA, STREAMS, how="accepted")["any"] > ALLOWED


def test_a_subgroup_that_changes_alone_is_found_and_named():
    told, pooled, right = delays("C", 0.4, 6)
    assert np.median(told) < 300 < np.median(pooled)
    assert right == 1
