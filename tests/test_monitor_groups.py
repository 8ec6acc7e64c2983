"""Groups of dependent rows, subgroups, times, and states that follow each other."""

import json
import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import reference_monitor as reference
from recuse import InputError, Monitor, fit
from recuse._internal.files import checksum
from recuse.errors import DataWarning
from recuse.monitor import FEWER, MORE, RISK, replay
from recuse.monitor._e_process import NOTHING_OF_MEANS as NOTHING
from recuse.monitor._e_process import STEP, advance_by_means
from recuse.monitor._state import LATER
from rejectors import altered
from samples import sample

E_VALUE = 1e-9  # relative: sums of a few hundred logarithms in float64
FITTED = fit(sample(400, seed=0), sample(400, seed=1), target_risk=0.2, learned=False)
OF_GROUPS = altered(FITTED, guarantee=replace(FITTED.guarantee, unit="groups"))
SITE = np.array(["north", "south"])[np.arange(900) % 2]


def by(subgroups):
    splits = sample(900, seed=0), sample(900, seed=1)
    return fit(*splits, target_risk=0.3, learned=False, subgroups=subgroups)


BY_SITE, BY_CLASS = by((SITE, SITE)), by("class")


def drawn(rng, n, groups=6, subgroups=("a", "b", "c")):
    """Rows with a group, a subgroup, a decision and a loss."""
    return [
        (
            int(rng.integers(0, groups)) + i // 9 * groups,
            str(rng.choice(subgroups)),
            bool(rng.random() < 0.7),
            int(rng.random() < 0.4),
        )
        for i in range(n)
    ]


def columns(rows):
    group, subgroup, accept, _ = zip(*rows) if rows else ((), (), (), ())
    return {
        "accept": np.array(accept, bool),
        "groups": np.array(group, np.int64),
        "subgroups": np.array(subgroup, "U5"),
    }


def expected(rows, window, target, limits, names, weights):
    """Each e-value from its definition."""
    groups, (low, high) = reference.closed_groups(rows, window), limits
    found = {
        RISK: reference.e_value_of_means(reference.excess_of_risk(groups, target), target),
        MORE: reference.e_value_of_means(reference.excess_of_acceptance(groups, high), high),
        FEWER: reference.e_value_of_means(
            reference.excess_of_acceptance(groups, 1 - low, accept=False), 1 - low
        ),
    }
    for name in names:
        excess = reference.excess_of_risk(groups, target, name)
        found[f"risk of {name}"] = reference.e_value_of_means(excess, target)
    return found


@settings(max_examples=40)
@given(n=st.integers(0, 130), window=st.integers(1, 40), seed=st.integers(0, 99))
def test_each_test_is_its_definition_in_any_batches_with_labels_in_any_order(n, window, seed):
    rng = np.random.default_rng(seed)
    rows, monitor = drawn(rng, n), Monitor(FITTED, window=window)
    told, ids = [(*row[:3], None) for row in rows], np.arange(n)
    waiting, start = [], 0
    while start < n or waiting:
        end = min(start + int(rng.integers(1, 40)), n)
        part, now = rows[start:end], rng.random(end - start) < 0.3
        loss = [float(row[3]) if known else math.nan for row, known in zip(part, now)]
        if part:
            rest = columns(part)
            monitor.update(ids[start:end], rest.pop("accept"), loss, **rest)
        for i, known in zip(range(start, end), now):
            told[i] = rows[i] if known else told[i]
            waiting += [] if known else [i]
        start = end
        came = [i for i in rng.permutation(waiting).tolist() if rng.random() < 0.6]
        monitor.label(came, [float(rows[i][3]) for i in came])
        for i in came:
            told[i] = rows[i]
            waiting.remove(i)
        if rng.random() < 0.5:
            monitor = Monitor.from_dict(json.loads(json.dumps(monitor.to_dict())))
        v = monitor.verdict
        names = [str(test.subgroup) for test in v.subgroups]
        seen = expected(told[:end], window, v.target_risk, v.calibrate, names, None)
        assert v.e_value == pytest.approx(seen, rel=E_VALUE)
    if n:
        v = monitor.verdict
        accepted = [row for row in rows if row[2]]
        assert (v.n, v.accepted, v.labelled) == (n, len(accepted), len(accepted))
        assert v.groups == len({row[0] for row in rows})
        for test in v.subgroups:
            of = [row for row in rows if row[1] == test.subgroup]
            taken = [row[3] for row in of if row[2]]
            found = test.so_far.n, test.so_far.accepted, test.so_far.labelled, test.so_far.errors
            assert found == (len(of), len(taken), len(taken), sum(taken))


@given(
    cuts=st.lists(st.integers(0, 90), max_size=4),
    excess=st.lists(st.sampled_from([-0.1, 0.0, 0.4, 0.9]), max_size=90),
)
def test_the_wealth_of_means_goes_on_from_anywhere(cuts, excess):
    x, wealth = np.array(excess), NOTHING
    for part in np.split(x, sorted(min(cut, x.size) for cut in cuts)):
        wealth = advance_by_means(wealth, part, 0.1)
    assert math.exp(wealth.best) == pytest.approx(
        reference.e_value_of_means(excess, 0.1), rel=E_VALUE
    )


def test_a_long_stream_of_groups_is_taken_in_parts():
    x = np.where(np.random.default_rng(0).random(STEP + 70) < 0.06, 0.95, -0.05)
    whole = advance_by_means(NOTHING, x, 0.05)
    parts = advance_by_means(advance_by_means(NOTHING, x[:777], 0.05), x[777:], 0.05)
    assert whole.at == parts.at == STEP + 70
    assert whole.best == pytest.approx(parts.best, rel=E_VALUE)


def test_the_state_of_units_does_not_grow_with_what_is_settled():
    rng, monitor = np.random.default_rng(0), Monitor(FITTED)
    for i in range(30):
        ids = np.arange(1000) + 1000 * i
        monitor.update(ids, rng.random(1000) < 0.8, rng.random(1000) < 0.1, groups=ids // 5)
        assert RISK not in monitor.verdict.alarms
    units = monitor._units
    assert units.units == 6000
    assert units.first.size + units.place.size <= 2 * 101 / 5 + 2


# The level


def test_the_levels_of_all_tests_add_up():
    for rejector, names in ((FITTED, "abcde"), (BY_SITE, ("north", "south"))):
        monitor = Monitor(rejector, delta=0.1)
        monitor.update(
            range(5), np.ones(5, bool), subgroups=[names[i % len(names)] for i in range(5)]
        )
        v = monitor.verdict
        assert len(v.limit) == 3 + len(names)
        assert sum(1 / x for x in v.limit.values()) <= 0.1 * 3 / 4 * (1 + 1e-12)
        assert v.limit[RISK] == pytest.approx(40)
    assert v.limit["risk of north"] == pytest.approx(80)


def test_each_subgroup_is_tested_against_the_target_of_its_rule():
    rules = [
        rule._replace(guarantee=replace(rule.guarantee, target_risk=target))
        for rule, target in zip(BY_SITE.rules, (0.1, 0.4))
    ]
    monitor = Monitor(replace(BY_SITE, rules=tuple(rules)))
    assert monitor.terms.target_risk == 0.4
    loss = np.arange(400) % 4 == 0
    monitor.update(range(400), np.ones(400, bool), loss, subgroups=SITE[np.arange(400) // 2])
    v = monitor.verdict
    assert [test.target_risk for test in v.subgroups] == [0.1, 0.4]
    assert v.alarms == (MORE, "risk of north") or v.alarms == ("risk of north",)
    assert Monitor(replace(BY_SITE, rules=tuple(rules)), target_risk=0.2).terms.rules[0][1] == 0.2


def test_an_alarm_says_which_subgroup_with_counts_and_what_to_do():
    rng, monitor = np.random.default_rng(0), Monitor(BY_SITE)
    site = np.where(rng.random(600) < 0.2, "south", "north")
    wrong = rng.random(600) < np.where(site == "south", 0.6, 0.1)
    share = [rule.guarantee.accepted / rule.guarantee.n for rule in BY_SITE.rules]
    accept = rng.random(600) < np.where(site == "south", share[1], share[0])
    loss = np.where(rng.random(600) < 0.9, wrong, np.nan)
    monitor.update(range(600), accept, loss, subgroups=site, times=["2026-07-01"] * 600)
    v = monitor.verdict
    assert v.alarms == ("risk of south",)
    (test,) = (test for test in v.subgroups if test.alarm)
    taken = (site == "south") & accept & ~np.isnan(loss)
    assert (test.so_far.labelled, test.so_far.errors) == (taken.sum(), wrong[taken].sum())
    assert test.at_fit.errors == BY_SITE.rules[1].guarantee.errors
    pending = ((site == "south") & accept).sum() - taken.sum()
    words = str(monitor)
    assert words.startswith("Alarm (seen on 2026-07-01): risk of south. The error rate of accepted")
    assert (
        f"{test.so_far.errors} of {taken.sum()} are wrong, at most {0.3 * taken.sum():,.1f}"
        in words
    )
    assert f"Review accepted predictions of south by hand, and label the {pending} pending" in words
    assert "a random sample of all rows since 2026-07-01 (at the last fit: 900)" in words
    data = v.to_dict()
    assert data["subgroups"][1]["e_value"] == pytest.approx(math.exp(test.log_e))
    assert data["seen"] == {"risk of south": {"n": 600, "time": "2026-07-01"}}


def test_subgroups_of_the_rejector_are_known_by_name_or_number():
    named = replace(BY_CLASS, class_names=tuple("zyxwv"))
    prediction = np.arange(200) % 5
    for given_as in (prediction, prediction.astype(str), np.array(list("zyxwv"))[prediction]):
        monitor = Monitor(named)
        monitor.update(range(200), np.ones(200, bool), np.zeros(200), subgroups=given_as)
        v = monitor.verdict
        assert [test.subgroup for test in v.subgroups] == list("zyxwv")
        assert [test.so_far.n for test in v.subgroups] == [40] * 5
    digits = Monitor(replace(BY_CLASS, class_names=tuple("43210")))
    digits.update([0, 1], [False, False], subgroups=[4, 4])
    digits.update([2], [False], subgroups=["4"])
    assert [test.so_far.n for test in digits.verdict.subgroups] == [1, 0, 0, 0, 2]
    digits.update(["pandas"], [False], subgroups=["4.0"])
    assert [test.so_far.n for test in digits.verdict.subgroups] == [2, 0, 0, 0, 2]
    with pytest.raises(InputError, match=r"`subgroups` of predicted classes in 0\.\.4"):
        digits.update([3], [False], subgroups=[5])
    with pytest.raises(InputError, match="accepted predictions in subgroups of the rejector"):
        digits.update([3], [True], subgroups=["5"])
    digits.update([3], [False], subgroups=["5"])
    assert digits.verdict.subgroups[5].limit == math.inf


def test_without_subgroups_the_scope_says_that_they_are_tested_together():
    monitor = Monitor(BY_SITE)
    monitor.update(range(9), np.ones(9, bool))
    assert "a single subgroup" in monitor.verdict.scope
    told = Monitor(BY_SITE)
    told.update(range(9), np.ones(9, bool), subgroups=SITE[:9])
    assert told.verdict.scope is None


def test_classes_of_a_column_with_blanks_are_numbers_with_a_point(tmp_path):
    log = tmp_path / "log.csv"
    log.write_text("id,accept,prediction,truth\na,1,1.0,1\nb,1,2.0,1.0\nc,0,1.0,\n")
    monitor = Monitor(BY_CLASS)
    assert replay(monitor, log) == (3, 3, 2)
    assert [test.so_far.n for test in monitor.verdict.subgroups] == [0, 2, 1, 0, 0]
    assert monitor.verdict.errors == 1


def test_a_log_in_the_order_of_arrival_may_name_subgroups_that_nobody_asks_to_test(tmp_path):
    log = tmp_path / "log.csv"
    log.write_text("id,accept,prediction,subgroup\na,1,1,north\n")
    for rejector in (FITTED, BY_SITE, BY_CLASS):
        monitor = Monitor(rejector, order="arrival")
        with pytest.raises(InputError, match="without subgroups in the order of arrival"):
            replay(monitor, log, by="subgroup")
        assert replay(monitor, log) == (1, 1, 0)
        assert monitor.verdict.subgroups == ()


# Groups


def test_a_rejector_of_groups_needs_them_unless_told_that_rows_are_independent(tmp_path):
    monitor = Monitor(OF_GROUPS)
    with pytest.raises(InputError, match=r"expected the `group` of each .* independent=True"):
        monitor.update([1], [True])
    monitor.update([1, 2, 3], [True] * 3, groups=["p", "p", "q"])
    assert monitor.verdict.groups == 2
    alone = Monitor(OF_GROUPS, independent=True)
    alone.update([1, 2, 3], [True] * 3, groups=["p", "p", "q"])
    assert alone.verdict.groups is None
    alone.save(tmp_path / "s.json")
    assert Monitor.load(tmp_path / "s.json", OF_GROUPS).terms == alone.terms


def test_a_group_counts_once_however_many_rows_it_has():
    """All rows of a patient are wrong together: 20 patients are 20, not 600."""
    ids = np.arange(600)
    grouped, rows = Monitor(FITTED), Monitor(FITTED)
    wrong = (ids // 30) % 4 == 0
    grouped.update(ids, np.ones(600, bool), wrong, groups=ids // 30)
    rows.update(ids, np.ones(600, bool), wrong)
    assert RISK in rows.verdict.alarms
    v = grouped.verdict
    assert RISK not in v.alarms
    assert (v.groups, v.open_groups, v.interval) == (20, 3, None)


def test_rows_after_the_window_count_in_no_test():
    monitor = Monitor(FITTED, window=10)
    ids = np.arange(100)
    groups = np.where(ids < 50, 0, ids)
    monitor.update(ids, np.ones(100, bool), ids < 50, groups=groups)
    assert monitor.verdict.late_rows == 40
    of = f"{monitor.verdict.n:,} rows came too long after the first of their group to be tested"
    assert str(monitor.verdict).startswith(f"No alarm, but 40 of {of}.")
    assert monitor.verdict.errors == 50
    only = Monitor(FITTED, window=10)
    only.update(ids, np.ones(100, bool), ids < 10, groups=groups)
    assert only.verdict.log_e == monitor.verdict.log_e
    late = Monitor(FITTED, window=10)
    late.update(ids, np.ones(100, bool), groups=groups)
    late.label(ids, ids < 50)
    assert late.verdict.log_e == pytest.approx(monitor.verdict.log_e)
    assert (late.verdict.recent, late.verdict.labelled) == (monitor.verdict.recent, 100)


def refused(monitor, words, *rows, **more):
    before = monitor.to_dict()
    with pytest.raises(InputError, match=words):
        monitor.update(*rows, **more)
    assert monitor.to_dict() == before


def test_what_the_first_rows_have_all_have_and_nothing_changes_on_an_error():
    monitor = Monitor(FITTED)
    refused(monitor, "`groups` of shape", [1, 2], [True, True], groups=[1])
    refused(monitor, "`times` of ISO dates", [1], [True], times=["yesterday"])
    refused(monitor, "`times` of shape", [1], [True], times=["2026-07-01", "2026-07-02"])
    monitor.update([1, 2], [True, True], groups=["a", "b"], subgroups=["x", "y"])
    refused(monitor, "row 0: expected the `group` of each new", [3], [True], subgroups=["x"])
    refused(monitor, "row 0: expected the subgroup of each new", [3], [True], groups=["a"])
    plain = Monitor(FITTED)
    plain.update([1], [True])
    refused(plain, "expected no `groups`", [2], [True], groups=["a"])
    refused(plain, "expected no `subgroups`", [2], [True], subgroups=["a"])
    arrival = Monitor(FITTED, order="arrival")
    refused(arrival, "without groups in the order of arrival", [2], [True], groups=["a"])
    refused(arrival, "without subgroups in the order of arr", [2], [True], subgroups=["a"])
    arrival.update([2], [True])
    refused(arrival, "without subgroups in the order of arr", [3], [True], subgroups=["a"])
    empty = [], np.array([], bool)
    begun = Monitor(FITTED)
    assert begun.update(*empty, groups=[], subgroups=[]) == (0, 0, 0)
    begun.update([1], [True], groups=["a"], subgroups=["x"])
    assert plain.update(*empty, groups=[], subgroups=[]) == (0, 0, 0)
    for window in (0, 2.5, True):
        with pytest.raises(InputError, match="`window` of predictions"):
            Monitor(FITTED, window=window)


@pytest.mark.parametrize("column", ["groups", "subgroups"])
def test_an_id_in_another_group_or_subgroup_is_refused(column, tmp_path):
    words = f"row {{}}: expected ids that differ between predictions, got 'a' in two {column}"
    monitor = Monitor(FITTED, window=2)
    refused(monitor, words.format(2), list("aba"), [True] * 3, **{column: list("xyy")})
    refused(monitor, words.format(2), list("aba"), [False] * 3, **{column: list("xyz")})
    monitor.update(list("abaa"), [True] * 4, [np.nan, 0, np.nan, np.nan], **{column: list("xyxx")})
    monitor.save(tmp_path / "s.json")
    for going_on in (monitor, Monitor.load(tmp_path / "s.json")):
        for other in "yz":
            refused(going_on, words.format(0), ["a"], [True], [1], **{column: [other]})
        assert going_on.update(["a"], [True], [1], **{column: ["x"]}) == (1, 0, 1)
    monitor.update(list("cdef"), [True] * 4, **{column: list("ttxx")})  # some after their window
    assert monitor.update(["f"], [True], **{column: ["x"]}) == (1, 0, 0)


def test_a_label_may_come_without_its_group_and_the_class_by_name_or_number(tmp_path):
    monitor, log = Monitor(replace(BY_CLASS, class_names=tuple("zyxwv"))), tmp_path / "log.csv"
    log.write_text("id,accept,correct,prediction,group\n1,1,,y,p\n2,1,,x,p\n1,1,1,1,\n2,,0,,\n")
    assert replay(monitor, log) == (4, 2, 2)
    log.write_text("id,accept,correct,prediction,group\n3,1,,y,p\n3,1,,x,p\n")
    with pytest.raises(InputError, match=r"log.csv: line 3: expected .* '3' in two subgroups"):
        replay(monitor, log)


# Times, the last predictions, and what came before


def test_the_period_and_the_last_predictions(tmp_path):
    rng, monitor = np.random.default_rng(0), Monitor(FITTED)
    n = 2350
    accept, wrong = rng.random(n) < np.where(np.arange(n) < 1350, 0.9, 0.5), rng.random(n) < 0.1
    days = np.datetime64("2026-03-01") + np.arange(n) // 50
    for part in np.array_split(np.arange(n), 31):
        monitor.update(part, accept[part], times=days[part])
    labels = rng.permutation(n)[:2000]
    for part in np.array_split(labels, 17):
        monitor.label(part, wrong[part])
        monitor.save(tmp_path / "s.json")
        monitor = Monitor.load(tmp_path / "s.json")
    v = monitor.verdict
    assert v.period == ("2026-03-01", "2026-04-16")
    last = np.arange(n) >= 1400
    known = np.isin(np.arange(n), labels) & last & accept
    counts = (v.recent.n, v.recent.accepted, v.recent.labelled, v.recent.errors)
    assert counts == (950, (accept & last).sum(), known.sum(), (known & wrong).sum())
    assert v.at_fit.errors == FITTED.guarantee.errors


def test_the_last_predictions_of_groups_are_those_of_the_last_groups():
    rng, monitor = np.random.default_rng(0), Monitor(FITTED)
    ids = np.arange(2000)
    accept, wrong = rng.random(2000) < 0.8, rng.random(2000) < 0.3
    for part in np.array_split(ids, 9):
        monitor.update(part, accept[part], groups=part // 7)
    monitor.label(ids, wrong)
    v, last = monitor.verdict, ids // 7 > 1000 // 7
    assert v.recent.n == last.sum()
    assert (v.recent.labelled, v.recent.errors) == (
        (accept & last).sum(),
        (accept & last & wrong).sum(),
    )


def test_a_new_state_keeps_the_alarms_of_the_one_before(tmp_path):
    old = Monitor(FITTED)
    old.update(range(300), np.ones(300, bool), np.ones(300), times=["2026-07-01T08:30"] * 300)
    other = fit(sample(400, seed=0), sample(400, seed=2), target_risk=0.2, learned=False)
    new = Monitor(other, after=old)
    assert not new.alarm
    new.save(tmp_path / "s.json")
    (kept,) = Monitor.load(tmp_path / "s.json", other).verdict.earlier
    assert kept["alarms"][RISK] == {"n": 300, "time": "2026-07-01T08:30:00"}
    assert (kept["errors"], kept["labelled"]) == (300, 300)
    third = Monitor(altered(other, threshold=0.5), after=new)
    assert third.verdict.earlier[0] == kept
    assert third.verdict.earlier[1]["alarms"] == {}
    with pytest.raises(InputError, match="expected `after` of an earlier rejector"):
        Monitor(FITTED, after=old)


# Logs


def test_a_log_has_groups_subgroups_and_times(tmp_path):
    rows = drawn(np.random.default_rng(0), 260)
    lines = [
        f"{i},{g},{s},2026-07-{1 + i // 20:02}T10:00:00Z,{int(a)},{1 - l}"
        for i, (g, s, a, l) in enumerate(rows)
    ]
    path = tmp_path / "log.csv"
    path.write_text("\n".join(["id,Group,Subgroup,Time,accept,correct", *lines]))
    logged, told = Monitor(FITTED), Monitor(FITTED)
    replay(logged, path)
    rest, loss = columns(rows), [float(row[3]) for row in rows]
    told.update(range(260), rest.pop("accept"), loss, **rest)
    assert logged.verdict.period == ("2026-07-01T10:00:00", "2026-07-13T10:00:00")
    plain = replace(logged.verdict, period=None, seen={})
    assert replace(plain, log_e={}) == replace(told.verdict, log_e={}, seen={})
    assert plain.log_e == pytest.approx(told.verdict.log_e)
    assert replay(logged, path) == (260, 0, 0)
    by = Monitor(FITTED)
    replay(by, path, by="group")
    assert len(by.verdict.subgroups) == len({row[0] for row in rows})
    with pytest.raises(InputError, match=r"log\.csv: expected the column 'ward' of subgroups"):
        replay(Monitor(FITTED), path, by="ward")
    path.write_text("id,accept\n900,1\n")
    with pytest.raises(InputError, match=r"log\.csv: line 2: expected the `group` of each new"):
        replay(logged, path)
    path.write_text("id,correct\n1,\n")
    assert replay(logged, path) == (1, 0, 0)
    path.write_text("id,accept\n1,1\n")
    with pytest.raises(InputError, match=r"log\.csv: line 2: expected the `group`.*--independent"):
        replay(Monitor(OF_GROUPS), path)


def test_the_date_of_an_alarm_is_that_of_the_rows_with_which_it_came(tmp_path):
    lines = [f"{i},2026-{1 + i // 1000:02}-01,1,{int(i < 4000)}" for i in range(9000)]
    (tmp_path / "log.csv").write_text("\n".join(["id,time,accept,correct", *lines]))
    monitor = Monitor(
        altered(FITTED, guarantee=replace(FITTED.guarantee, n=10, accepted=10, errors=0))
    )
    replay(monitor, tmp_path / "log.csv")
    assert monitor.verdict.seen[RISK].time == "2026-05-01"
    assert monitor.verdict.seen[RISK].n == 4200


def test_a_time_that_is_no_iso_date_is_said_once_and_left_out(tmp_path):
    (tmp_path / "log.csv").write_text("id,time,accept\n1,2026-07-01,1\n2,1.7.2026,1\n3,x,1\n")
    monitor = Monitor(FITTED)
    with pytest.warns(DataWarning, match="line 3: expected `time` as an ISO date") as said:
        replay(monitor, tmp_path / "log.csv")
    assert len(said) == 1
    assert (monitor.verdict.n, monitor.verdict.period) == (3, ("2026-07-01", "2026-07-01"))


def test_a_state_that_began_without_groups_goes_on_and_says_so(tmp_path):
    (tmp_path / "log.csv").write_text("id,accept\n0,1\n")
    monitor = Monitor(FITTED)
    replay(monitor, tmp_path / "log.csv")
    (tmp_path / "log.csv").write_text("id,group,accept\na,g,1\nb,h,1\nc,g,1\nd,h,1\n")
    with pytest.warns(DataWarning, match="line 4: group 'g' has several ids; rows of one") as said:
        replay(monitor, tmp_path / "log.csv")
    assert len(said) == 1
    assert monitor.verdict.n == 5


# The file


def changed(data, **fields):
    data = {k: v for k, v in {**data, **fields}.items() if k != "checksum"}
    return {**data, "checksum": checksum(data)}


def grouped():
    monitor, rows = Monitor(FITTED), drawn(np.random.default_rng(0), 250)
    rest = columns(rows)
    monitor.update(range(250), rest.pop("accept"), **rest)
    return monitor


def test_a_damaged_state_of_groups_is_refused():
    data = json.loads(json.dumps(grouped().to_dict()))
    units = data["units"]
    fields = {
        "`units` whose columns fit": {**units, "base": units["base"] + 300},
        "unknown field 'x' of `units`": {**units, "x": 1},
        "`n` of `units`: int, got str": {**units, "n": "many"},
    }
    for words, broken in fields.items():
        with pytest.raises(InputError, match=words):
            Monitor.from_dict(changed(data, units=broken))
    with pytest.raises(InputError, match="`window` of a state: int, got str"):
        Monitor.from_dict(changed(data, window="wide"))
    assert Monitor.from_dict(changed(data)).verdict == grouped().verdict


def test_a_state_of_version_2_goes_on(tmp_path):
    monitor = Monitor(OF_GROUPS, independent=True)
    monitor.update(range(300), np.ones(300, bool), np.arange(300) % 9 == 0)
    data = json.loads(json.dumps(monitor.to_dict()))
    old = changed({k: v for k, v in data.items() if k not in LATER}, version=2)
    (tmp_path / "s.json").write_text(json.dumps(old))
    with pytest.warns(DataWarning, match="counts groups; rows of one group depend on each other"):
        loaded = Monitor.load(tmp_path / "s.json", OF_GROUPS)
    v, w = loaded.verdict, monitor.verdict
    assert (v.log_e, v.limit, v.n, v.interval) == (w.log_e, w.limit, w.n, w.interval)
    assert (v.recent.n, v.at_fit.errors, v.groups) == (0, None, None)
    loaded.update([301], [True], [0])
    loaded.save(tmp_path / "s.json")
    with pytest.warns(DataWarning, match="counts groups"):
        assert Monitor.load(tmp_path / "s.json", OF_GROUPS).verdict.n == 301
