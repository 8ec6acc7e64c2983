"""Limits of misses, and target risks of predicted classes, keep their guarantee."""

import pytest
from misses import (
    FORMS,
    POPULATIONS,
    among_all_rows,
    every_row_of_a_group,
    fitted,
    simulate,
    stricter,
)

from recuse.selectors import _misses

pytestmark = pytest.mark.validity

DRAWS = 120
CHECKED = [("flat", form) for form in FORMS]
CHECKED += [("ties", "misses"), ("groups", "and a risk"), ("1 % sick", "misses")]
CELLS = len(CHECKED)


@pytest.mark.parametrize(("name", "form"), CHECKED)
def test_no_limit_is_broken_too_often(name, form):
    assert not simulate(POPULATIONS[name], form, fitted, DRAWS).above(CELLS)


def test_misses_alone_exhaust_delta_and_accept():
    found = simulate(POPULATIONS["flat"], "misses", fitted, 2 * DRAWS)
    assert found.violations > 5
    assert found.coverage > 0.4


def test_this_simulation_would_catch_the_stricter_of_two_thresholds():
    cases = POPULATIONS["misses below a bad top"]
    assert simulate(cases, "and a risk", stricter, DRAWS).above(CELLS)
    assert not simulate(cases, "and a risk", fitted, DRAWS).above(CELLS)


def test_this_simulation_would_catch_a_share_of_all_rows():
    assert simulate(POPULATIONS["smooth"], "misses", among_all_rows, DRAWS).above(CELLS)


def test_this_simulation_would_catch_dependent_rows():
    cases = POPULATIONS["groups"]
    assert simulate(cases, "misses", every_row_of_a_group, DRAWS).above(CELLS)


def test_this_simulation_would_catch_misses_too_many(monkeypatch):
    most = _misses._most
    monkeypatch.setattr(_misses, "_most", lambda *given: most(*given) + 3)
    assert simulate(POPULATIONS["flat"], "misses", fitted, DRAWS).above(CELLS)


def test_this_simulation_would_catch_floors_of_the_wrong_class(monkeypatch):
    from recuse.rejector import _misses as of_fit

    monkeypatch.setattr(of_fit, "floors_by_class", lambda floors, classes: {0: -1e30, 1: -1e30})
    cases = POPULATIONS["misses below a bad top"]
    assert simulate(cases, "and risks by class", fitted, 40).above(CELLS)
