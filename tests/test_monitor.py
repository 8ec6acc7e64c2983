import json
import math
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import recuse
import reference_monitor as reference
from recuse import InputError, Monitor, Rejector, fit
from recuse._internal.files import checksum, to_json
from recuse.io import HeldOut
from recuse.monitor import FEWER, MORE, ORDERS, RISK, Terms, replay, risk_interval
from recuse.monitor._e_process import NOTHING, SPACING, STEP, EProcess, advance, lower_limit
from recuse.monitor._state import NEW, Ledger, digest_of, keys_of, log_tried, pack, rate_limits
from rejectors import altered
from samples import equal_costs, sample

E_VALUE = 1e-9  # relative: sums of a few hundred logarithms in float64
FITTED = fit(sample(400, seed=0), sample(400, seed=1), target_risk=0.2)
OTHER = fit(sample(400, seed=0), sample(400, seed=2), target_risk=0.2)
LOSS = st.sampled_from([0, 1, None])


def calibrated(n, accepted, method="fixed_sequence", target_risk=0.05):
    """A rejector that accepted so many of a calibration split."""
    g = replace(FITTED.guarantee, n=n, accepted=accepted, errors=0, method=method)
    return altered(FITTED, guarantee=replace(g, target_risk=target_risk))


def told(losses):
    return np.array([-1 if x is None else x for x in losses], np.int64)


def e(log):
    return math.exp(log)


# The e-value


@given(
    n=st.integers(0, 330),
    rate=st.sampled_from([0.01, 0.05, 0.5, 1.0]),
    wrong=st.sampled_from([0.02, 0.1, 0.6]),
    seed=st.integers(0, 9),
)
@settings(max_examples=30)
def test_the_e_value_is_the_definition_whenever_labels_come(n, rate, wrong, seed):
    rng = np.random.default_rng(seed)
    losses = [
        None if u < 0.1 else int(u > 1 - wrong * (i > 150)) for i, u in enumerate(rng.random(n))
    ]
    final, bets, shown, waiting = told(losses), EProcess(rate), 0, np.empty(0, np.int64)
    while shown < len(losses) or waiting.size:
        end = min(shown + int(rng.integers(0, 90)), len(losses))
        now = np.where(rng.random(end - shown) < 0.5, final[shown:end], -1)
        position = bets.append(now)
        waiting = np.r_[waiting, position[(now == -1) & (final[shown:end] != -1)]]
        shown = end
        came = rng.permutation(waiting)[: rng.integers(0, waiting.size + 1)]
        bets.settle(came, final[came])
        waiting = np.setdiff1d(waiting, came)
        assert bets.log_e >= 0
    assert e(bets.log_e) == pytest.approx(reference.e_value(losses, rate), rel=E_VALUE)


@settings(max_examples=30)
@given(
    losses=st.lists(st.sampled_from([0, 0, 1]), min_size=120, max_size=240),
    cuts=st.lists(st.integers(0, 120), max_size=3),
)
def test_going_on_from_anywhere_is_going_on_from_the_beginning(losses, cuts):
    errors, wealth = np.flatnonzero(losses), NOTHING
    for cut in [*sorted(cuts), len(losses)]:
        here = errors[(errors >= wealth.at) & (errors < cut)]
        wealth = advance(wealth, here, cut, 0.2)
    whole = advance(NOTHING, errors, len(losses), 0.2)
    assert wealth.at == whole.at
    np.testing.assert_allclose((*wealth.log, wealth.best), (*whole.log, whole.best), rtol=E_VALUE)
    assert e(whole.best) == pytest.approx(reference.e_value(losses, 0.2), rel=E_VALUE)


def test_a_late_label_never_lowers_the_e_value_and_pending_is_never_more_than_known():
    rng = np.random.default_rng(0)
    losses = (rng.random(1000) < 0.1).astype(np.int64)
    bets, known = EProcess(0.05), EProcess(0.05)
    known.append(losses)
    bets.append(np.full(1000, -1))
    before = bets.log_e
    for position in np.split(rng.permutation(1000), 50):
        bets.settle(position, losses[position])
        assert before <= bets.log_e <= known.log_e
        before = bets.log_e
    assert bets.log_e == pytest.approx(known.log_e, rel=E_VALUE)


def test_the_state_of_an_e_process_does_not_grow_with_what_is_settled():
    rng, bets = np.random.default_rng(0), EProcess(0.05)
    for _ in range(40):
        position = bets.append(np.full(10_000, -1))
        bets.settle(position[:-50], (rng.random(9_950) < 0.05).astype(np.int64))
        bets.settle(position[-50:], np.zeros(50, np.int64))
        assert len(bets._errors) <= 0.06 * (STEP + 10_000)
    wealth, errors = bets.folded()
    assert (wealth.at, errors.size, bets._waiting) == (400_000, 0, {})


def test_a_change_is_found_soon_also_after_many_good_predictions():
    rng = np.random.default_rng(1)
    good, bad = rng.random(5000) < 0.05, rng.random(5000) < 0.1
    bets = EProcess(0.05)
    bets.append(good.astype(np.int64))
    assert e(bets.log_e) < 40
    bets.append(bad[:1200].astype(np.int64))
    assert e(bets.log_e) > 40


# The confidence sequence


@given(n=st.integers(0, 400), share=st.integers(0, 20), level=st.sampled_from([0.01, 0.1]))
def test_the_limit_is_the_smallest_rate_that_is_not_refused(n, share, level):
    errors = n * share // 20
    limit = lower_limit(errors, n, level)
    assert 0 <= limit <= (errors / n if n else 0)
    assert not reference.refused(errors, n, limit + 1e-9, level)
    assert limit == 0 or reference.refused(errors, n, limit - 1e-9, level)


@given(n=st.integers(0, 300), a=st.integers(0, 300), b=st.integers(0, 300))
def test_what_is_pending_may_turn_out_either_way(n, a, b):
    errors, pending = min(a, n), min(b, n - min(a, n))
    low, high = risk_interval(errors, pending, n, 0.1)
    assert 0 <= low <= high <= 1
    for more in {0, pending // 2, pending}:
        inner = risk_interval(errors + more, 0, n, 0.1)
        assert low <= inner[0]
        assert inner[1] <= high
    mirrored = risk_interval(n - errors - pending, pending, n, 0.1)
    assert mirrored == pytest.approx((1 - high, 1 - low))


def test_the_interval_closes_in_on_the_risk():
    low, high = risk_interval(50_000, 0, 1_000_000, 0.05)
    assert 0.0485 < low < 0.05 < high < 0.0515


# The acceptance rate


def terms(n, accepted, tried=100):
    return Terms("", 0.05, 0.05, "prediction", n, accepted, math.log(tried))


METHODS = [("fixed_sequence", 100), ("band", 50), ("random_walk", 1000)]


@pytest.mark.parametrize(("method", "tried"), METHODS)
def test_the_limits_are_exact_at_each_threshold_that_was_tried(method, tried):
    from scipy.stats import binom

    assert log_tried(calibrated(1000, 700, method)) == math.log(tried)
    low, high = rate_limits(terms(1000, 700, tried))
    level = 0.05 / 4 / tried / 2
    assert binom.sf(699, 1000, low) == pytest.approx(level)
    assert binom.cdf(700, 1000, high) == pytest.approx(level)


@pytest.mark.parametrize("subgroups", [None, "class"])
def test_a_score_chosen_in_calibrate_has_its_share_of_the_level(subgroups):
    chosen = fit(sample(3000, seed=0), target_risk=0.3, learned=False, subgroups=subgroups)
    alone = [r._replace(guarantee=replace(r.guarantee, share=1.0)) for r in chosen.rules]
    share = chosen.rules[0].guarantee.share
    assert share < 1
    tried = log_tried(replace(chosen, rules=tuple(alone))) - math.log(share)
    assert log_tried(chosen) == pytest.approx(tried)


def test_everything_accepted_in_calibrate_leaves_one_direction_to_drift():
    monitor = Monitor(calibrated(500, 500))
    monitor.update(range(2000), np.ones(2000, bool))
    assert not monitor.alarm
    monitor.update(range(2000, 4000), np.arange(2000) % 3 > 0)
    assert monitor.verdict.alarms == (FEWER,)


def test_drift_is_told_in_its_direction():
    for share, alarms in ((0.8, ()), (0.9, (MORE,)), (0.6, (FEWER,))):
        monitor = Monitor(calibrated(2000, 1600))
        monitor.update(range(3000), np.random.default_rng(0).random(3000) < share)
        assert monitor.verdict.alarms == alarms


# Nothing is lost or counted twice

IDS = st.sampled_from([0, 1, 2, 17, "a", "b", "17", "017", "ü", "-3"])
ROWS = st.lists(st.tuples(IDS, st.sampled_from([True, False, None]), LOSS), max_size=12)


def apply(monitor, rows):
    ids = np.array([str(r[0]) for r in rows])
    return monitor._apply(ids, told([r[1] for r in rows]), told([r[2] for r in rows]), str)


def state_of(monitor):
    return json.loads(json.dumps(monitor.to_dict()))


@pytest.mark.parametrize("order", ORDERS)
@given(batches=st.lists(ROWS, max_size=6))
def test_rows_in_any_batches_are_read_as_one_by_one(order, batches):
    monitor, log = Monitor(calibrated(500, 400), order=order), reference.Log()
    for batch in batches:
        before, seen = state_of(monitor), log.counts()
        rows = [(str(i), a, l) for i, a, l in batch]
        try:
            log.rows(rows)
        except reference.Contradiction:
            with pytest.raises(InputError):
                apply(monitor, batch)
            assert state_of(monitor) == before
            continue
        found = apply(monitor, batch)
        v = monitor.verdict
        assert (v.n, v.accepted, v.labelled, v.errors) == log.counts()
        assert found == (len(rows), v.n - seen[0], v.labelled - seen[2])
        again, changed = state_of(monitor), apply(monitor, batch)
        assert changed == (len(rows), 0, 0)
        assert state_of(monitor) == again
    expected = {
        RISK: reference.e_value(log.losses(order), 0.05),
        MORE: reference.e_value([int(a) for a in log.accept.values()], monitor._limits[1]),
        FEWER: reference.e_value([int(not a) for a in log.accept.values()], 1 - monitor._limits[0]),
    }
    assert monitor.verdict.e_value == pytest.approx(expected, rel=E_VALUE)


@pytest.mark.parametrize("order", ORDERS)
def test_the_state_depends_on_what_is_known_alone_and_reading_it_goes_on(order, tmp_path):
    rng = np.random.default_rng(3)
    n = 3000
    ids, accept = rng.permutation(n), rng.random(n) < 0.8
    loss = (rng.random(n) < 0.06).astype(float)
    labels = rng.permutation(n)[:2500]
    whole = Monitor(calibrated(500, 400), order=order)
    whole.update(ids, accept)
    whole.label(ids[labels], loss[labels])
    parts = Monitor(calibrated(500, 400), order=order)
    for rows in np.array_split(np.arange(n), 37):
        parts.update(ids[rows].astype(str), accept[rows])
        parts.save(tmp_path / "s.json")
        parts = Monitor.load(tmp_path / "s.json")
    for rows in np.array_split(labels, 41):
        parts.label(ids[rows], loss[rows])
        parts.save(tmp_path / "s.json")
        parts = Monitor.load(tmp_path / "s.json", calibrated(500, 400))
    a, b = state_of(whole), state_of(parts)
    for state in (a, b):
        state.pop("checksum")
        for e_process in state["e_processes"].values():
            assert e_process.pop("best") >= 0
            e_process.pop("log")
    assert a == b
    assert whole.verdict.e_value == pytest.approx(parts.verdict.e_value, rel=E_VALUE)
    assert replace(whole.verdict, log_e={}) == replace(parts.verdict, log_e={})


@given(
    batches=st.lists(st.lists(st.integers(0, 60), max_size=20), max_size=12),
    text=st.booleans(),
)
def test_the_ledger_is_a_dictionary(batches, text):
    ledger, plain = Ledger(), {}
    for i, batch in enumerate(batches):
        names = np.array(batch, np.int64)
        keys = np.unique(keys_of(np.char.add("id", names.astype(str)) if text else names))
        assert ledger.get(keys).tolist() == [plain.get(k, NEW) for k in keys.tolist()]
        new = ledger.get(keys) == NEW
        ledger.add(keys[new], np.full(int(new.sum()), i))
        ledger.set(keys[~new], np.full(int((~new).sum()), 100 + i))
        plain |= {k: i if fresh else 100 + i for k, fresh in zip(keys.tolist(), new.tolist())}
        sizes = [k.size for k, _ in ledger._runs]
        assert all(a >= 2 * b for a, b in pairwise(sizes))
    keys, values = ledger.whole()
    assert dict(zip(keys.tolist(), values.tolist())) == plain
    assert len(ledger) == len(plain)


def test_numbers_and_their_text_are_one_id_and_other_texts_are_not():
    names = np.array(["17", "017", "17 ", "+17", "-17", "1" * 18, "1" * 19, "٣", "", "a"])
    keys = keys_of(names).tolist()
    assert len(set(keys)) == len(names)
    assert keys[0] == keys_of(np.array([17]))[0] == 17
    assert keys_of(np.array([-17]))[0] == keys[4]
    assert keys_of(np.array([2**64 - 1], np.uint64))[0] == keys_of(np.array([str(2**64 - 1)]))[0]


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        (
            ([1], [False], None),
            "row 0: expected ids that differ .* '1' accepted in one row and not",
        ),
        (([5, 2], [True, True], [0, 0]), "row 1: .* '2' right in one row and wrong in another"),
        (([7, 7], [True, True], [1, 0]), "'7' right in one row and wrong in another"),
        (([7, 7], [True, False], None), "'7' accepted in one row and not in another"),
        (([7], [1], None), "`accept` of booleans"),
        (([7, 8], [True], None), "`accept` of booleans"),
        (([7], [True], [0.5]), "`loss` of 0 and 1"),
        (([7], [True], [0, 1]), "`loss` of shape"),
        (([7], [True], ["x"]), "`loss` of numbers"),
        (([7.5], [True], None), "`ids` of an integer or string"),
        (([[7]], [[True]], None), "`ids` of shape"),
        ((7, True, None), "`ids` of shape"),
    ],
)
def test_what_cannot_be_is_refused_and_changes_nothing(rows, words):
    monitor = Monitor(FITTED)
    monitor.update([1, 2, 3], [True, True, False], [None, 1, 0])
    before = state_of(monitor)
    with pytest.raises(InputError, match=words):
        monitor.update(*rows)
    with pytest.raises(
        InputError, match="row 1: expected an id that was predicted before, got '9'"
    ):
        monitor.label([1, 9], [0, 0])
    assert state_of(monitor) == before


def test_nothing_logged_is_no_alarm_and_no_error():
    monitor = Monitor(FITTED)
    assert monitor.update([], np.zeros(0, bool)) == (0, 0, 0)
    v = monitor.verdict
    assert (v.alarm, v.n, v.interval, str(v)) == (False, 0, (0.0, 1.0), "No alarm.")
    assert math.isnan(v.risk)
    assert v.to_dict()["reason"] == "risk is undefined: no label is known"


def test_labels_of_abstained_predictions_are_left_alone():
    monitor = Monitor(FITTED)
    monitor.update(range(500), np.zeros(500, bool), np.ones(500))
    assert (monitor.verdict.labelled, monitor.verdict.e_value[RISK]) == (0, 1.0)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"target_risk": 5}, "`target_risk` in .0, 1., got 5 .5 % is the fraction 0.05"),
        ({"delta": 0.5}, "`delta`"),
        ({"order": "any"}, "`order` prediction or arrival, got 'any'"),
    ],
)
def test_malformed_options_are_named(options, words):
    with pytest.raises(InputError, match=words):
        Monitor(FITTED, **options)


# The alarm


def alarmed(**options):
    monitor = Monitor(calibrated(500, 400), **options)
    monitor.update(range(1000), np.arange(1000) % 5 > 0, (np.arange(1000) % 7 == 1).astype(float))
    return monitor


def test_an_alarm_says_what_to_do_and_stays():
    monitor = alarmed()
    assert monitor.alarm
    assert monitor.verdict.alarms == (RISK,)
    assert str(monitor).startswith("Alarm: risk. The error rate of accepted predictions is above")
    assert "fit a new rejector" in str(monitor)
    monitor.update(range(1000, 9000), np.arange(8000) % 5 > 0, np.zeros(8000))
    assert monitor.verdict.risk < 0.05
    assert monitor.alarm


def test_the_shares_of_delta_add_up():
    v = alarmed(delta=0.1).verdict
    assert v.limit == pytest.approx({RISK: 20, MORE: 80, FEWER: 80})
    assert v.alarms == tuple(k for k in v.limit if v.e_value[k] >= v.limit[k])
    assert sum(1 / x for x in v.limit.values()) + 0.1 / 4 == pytest.approx(0.1)


def test_pending_labels_count_as_right_or_are_left_out():
    accept, loss = np.ones(2000, bool), np.where(np.arange(2000) % 10 == 0, 1.0, np.nan)
    by_prediction, by_arrival = Monitor(FITTED), Monitor(FITTED, order="arrival")
    for monitor in (by_prediction, by_arrival):
        monitor.update(range(2000), accept, loss)
    v, w = by_prediction.verdict, by_arrival.verdict
    assert v.pending == w.pending == 1800
    assert v.e_value[RISK] < 2
    assert v.interval[0] < 0.1 < 0.99 < v.interval[1]
    assert w.interval[0] > 0.9
    assert RISK in w.alarms


# The file


def test_a_state_of_another_rejector_is_refused(tmp_path):
    monitor = Monitor(FITTED)
    monitor.save(tmp_path / "s.json")
    assert Monitor.load(tmp_path / "s.json", FITTED).terms == monitor.terms
    with pytest.raises(InputError, match="expected the state of this rejector, got another one"):
        Monitor.load(tmp_path / "s.json", OTHER)


def test_what_is_no_rejector_is_refused(tmp_path):
    Monitor(FITTED).save(tmp_path / "s.json")
    selection = recuse.select([0.9, 0.8], [0, 1], target_risk=0.5)
    for other in (selection, "rejector.json", None):
        message = f"expected a Rejector, .* got {type(other).__name__}$"
        with pytest.raises(InputError, match=message):
            Monitor(other)
    with pytest.raises(InputError, match=r"expected a Rejector, .* got Selection"):
        Monitor.load(tmp_path / "s.json", selection)


@pytest.mark.parametrize(
    ("change", "same"),
    [
        ({}, True),
        ({"tuning": "in other words"}, True),
        ({"splits": {}}, True),
        ({"classes": 4}, False),
        ({"kind": "probs"}, False),
        ({"score": recuse.scores.Score("margin")}, False),
        ({"threshold": 0.5}, False),
        ({"guarantee": {"accepted": 1}}, False),
        ({"guarantee": {"n": 4000}}, False),
    ],
)
def test_a_rejector_is_known_by_what_it_decides_and_not_by_words(change, same):
    if "guarantee" in change:
        change = {"guarantee": replace(FITTED.guarantee, **change["guarantee"])}
    assert (digest_of(altered(FITTED, **change)) == digest_of(FITTED)) == same


VERSION1 = Path(__file__).parent / "version1"
EXPECTED = json.loads((VERSION1 / "expected.json").read_text())
SAVED = sorted(path.name.removeprefix("monitor-") for path in VERSION1.glob("monitor-*.json"))


@pytest.mark.parametrize("name", SAVED)
def test_a_state_of_version_1_goes_on_with_its_rejector_and_is_saved_in_todays_form(name, tmp_path):
    expected = EXPECTED[f"monitor-{name.removesuffix('.json')}"]
    rejector = Rejector.load(VERSION1 / f"rejector-{name}")
    monitor = Monitor.load(VERSION1 / f"monitor-{name}", rejector)
    for late, key in ((None, "before"), (expected["late"], "after")):
        if late is not None:
            monitor.label(late, np.ones(len(late)))
        found = json.loads(to_json(monitor.verdict.to_dict()))
        for field in expected[key].keys() - {"scope"}:  # its words are no data
            value = expected[key][field]
            exact = isinstance(value, str) or field == "alarms"
            assert found[field] == (value if exact else pytest.approx(value, rel=E_VALUE))
        monitor.save(tmp_path / "s.json")
        assert json.loads((tmp_path / "s.json").read_text())["version"] == 3
        monitor = Monitor.load(tmp_path / "s.json", rejector)
    rejector.save(tmp_path / "r.json")
    Monitor.load(tmp_path / "s.json", Rejector.load(tmp_path / "r.json"))
    for other in SAVED:
        if other != name:
            with pytest.raises(InputError, match="expected the state of this rejector"):
                Monitor.load(VERSION1 / f"monitor-{other}", rejector)


def test_a_damaged_state_of_version_1_is_refused(tmp_path):
    data = json.loads((VERSION1 / f"monitor-{SAVED[0]}").read_text())
    path = tmp_path / "s.json"
    for broken, words in (
        ({**data, "errors": 31}, "checksum differs"),
        ({**data, "e_processes": data["tracks"]}, "unknown field 'e_processes'"),
        (changed(data, n=601), "601 losses in e-process"),
    ):
        path.write_text(json.dumps(broken))
        with pytest.raises(InputError, match=words):
            Monitor.load(path)


def changed(data, **fields):
    data = {**data, **fields}
    data["checksum"] = checksum({k: v for k, v in data.items() if k != "checksum"})
    return data


def test_only_a_whole_state_is_read(tmp_path):
    monitor = alarmed()
    data, path = state_of(monitor), tmp_path / "s.json"
    one = {**data["e_processes"][RISK]}
    bad = {
        "no such file": None,
        "got another or a damaged": "{",
        '"format": "recuse.monitor"': {"format": "recuse.rejector"},
        "version 3, got 4": {**data, "version": 4},
        "checksum differs": {**data, "errors": 3},
        "missing field 'ids'": {k: v for k, v in data.items() if k != "ids"},
        "unknown field 'more'": {**data, "more": 1},
        "`n` of a state: int, got float": {**data, "n": 1000.0},
        "errors <= labelled": changed(data, errors=10**6),
        "999 losses in e-process 'more accepted', got 1000": changed(data, n=999),
        "column of 1000 numbers": changed(data, known=pack(np.zeros(999, np.int8))),
        "`order` prediction or arrival": changed(data, order="any"),
        "`target_risk` in": changed(data, target_risk=1.5),
        "9 bets": changed(data, e_processes={**data["e_processes"], RISK: {**one, "log": [1.0]}}),
        "missing field 'risk'": changed(data, e_processes={MORE: one, FEWER: one}),
        "another or a damaged file": changed(data, ids="!"),
        "ids that differ": changed(data, ids=pack(np.zeros(1000, np.uint64))),
        "losses in e-process 'risk', got 5": changed(
            data, e_processes={**data["e_processes"], RISK: {**one, "n": 5, "at": 0}}
        ),
        "as the ids say": changed(data, errors=data["errors"] - 1),
        "errors in order": changed(
            data,
            e_processes={
                **data["e_processes"],
                RISK: {**one, "size": 2, "errors": pack(np.array([one["n"] - 1] * 2))},
            },
        ),
        "or a damaged file": changed(
            data, e_processes={**data["e_processes"], RISK: {**one, "log": ["x"] * 9}}
        ),
    }
    for words, content in bad.items():
        if content is not None:
            path.write_text(content if isinstance(content, str) else json.dumps(content))
        with pytest.raises(InputError, match=words) as error:
            Monitor.load(path)
        assert str(error.value).startswith(str(path))
        assert "\n" not in str(error.value)
    path.write_text(json.dumps(data))
    assert Monitor.load(path).verdict == monitor.verdict


def test_the_state_is_small(tmp_path):
    rng, monitor = np.random.default_rng(0), Monitor(calibrated(500, 400))
    n = 200_000
    monitor.update(range(n), rng.random(n) < 0.8, np.where(rng.random(n) < 0.05, 1.0, 0.0))
    monitor.save(tmp_path / "s.json")
    assert (tmp_path / "s.json").stat().st_size < n
    names = Monitor(calibrated(500, 400))
    names.update([f"scan-{i:07}" for i in range(n)], rng.random(n) < 0.8)
    names.save(tmp_path / "t.json")
    assert (tmp_path / "t.json").stat().st_size < 13 * n


def test_a_look_costs_what_is_not_settled_however_long_the_stream():
    """By counting, not by the clock: what is touched per row does not grow."""
    bets, touched = EProcess(0.05), 0
    for i in range(0, 300_000, 300):
        position = bets.append(np.full(300, -1))
        if i >= 3000:
            bets.settle(position - 3000, (position % 20 == 0).astype(np.int64))
        before = bets._wealth.at
        _ = bets.log_e
        touched += bets.n - before
    assert touched < 300_000 * (3000 + 2 * SPACING) / 300 * 1.2


def test_a_log_in_parts_is_the_log(tmp_path, monkeypatch):
    rng, n = np.random.default_rng(0), 500
    rows = [f"x{i},{'true' if rng.random() < 0.8 else 'false'}," for i in range(n)]
    rows += [f"x{i},,{int(rng.random() < 0.95)}" for i in rng.permutation(n)]
    (tmp_path / "log.csv").write_text("\n".join(["id,accept,correct", *rows]))
    whole = Monitor(FITTED)
    assert replay(whole, tmp_path / "log.csv").predictions == n
    monkeypatch.setattr("recuse.monitor._log.ROWS", 7)
    parts = Monitor(FITTED)
    replay(parts, tmp_path / "log.csv")
    assert parts.verdict == whole.verdict
    assert replay(parts, tmp_path / "log.csv") == (2 * n, 0, 0)


KILLED = """
import sys, numpy as np
from recuse import Monitor
monitor = Monitor.load(sys.argv[1])
print("ready", flush=True)
for i in range(100_000):
    ids = [f"k{i}-{j}" for j in range(200)]
    monitor.update(ids, np.ones(200, bool), np.zeros(200))
    monitor.save(sys.argv[1])
"""


@pytest.mark.skipif(os.name == "nt", reason="kill -9 is of POSIX")
def test_a_process_killed_at_any_moment_leaves_a_whole_state(tmp_path):
    path = tmp_path / "s.json"
    Monitor(FITTED).save(path)
    seen = 0
    for pause in (0.05, 0.11, 0.23):
        process = subprocess.Popen(
            [sys.executable, "-c", KILLED, str(path)], stdout=subprocess.PIPE, text=True
        )
        assert process.stdout.readline() == "ready\n"
        time.sleep(pause)
        process.send_signal(signal.SIGKILL)
        process.wait()
        process.stdout.close()
        verdict = Monitor.load(path).verdict
        assert verdict.n % 200 == 0
        assert verdict.n >= seen
        seen = verdict.n
    assert seen > 0


def test_the_name_is_public():
    assert recuse.Monitor is Monitor


# Guarantees of other kinds


def populated(**options):
    return fit(sample(900, seed=0), sample(900, seed=1), learned=False, **options)


def test_thresholds_of_classes_are_watched_together():
    rejector = populated(target_risk=0.3, subgroups="class")
    monitor = Monitor(rejector)
    assert monitor.terms.target_risk == 0.3
    counts = [(rule.guarantee.n, rule.guarantee.accepted) for rule in rejector.rules]
    terms = monitor.terms
    assert (terms.calibrate_n, terms.calibrate_accepted) == tuple(map(sum, zip(*counts)))
    assert terms.log_tried == pytest.approx(5 * math.log(101))
    low, high = rate_limits(terms)
    assert low < terms.calibrate_accepted / terms.calibrate_n < high
    monitor.update(np.arange(200), np.ones(200, bool), np.ones(200))
    assert RISK in monitor.verdict.alarms


def test_a_verdict_says_that_the_guarantees_of_classes_or_subgroups_are_tested_together(tmp_path):
    site = np.arange(900) % 2
    for per, noun in [("class", "a single predicted class"), ((site, site), "a single subgroup")]:
        monitor = Monitor(populated(target_risk=0.3, subgroups=per))
        assert noun in monitor.verdict.scope
        assert str(monitor).endswith(monitor.verdict.scope)
        monitor.save(tmp_path / "s.json")
        assert Monitor.load(tmp_path / "s.json").verdict == monitor.verdict
    assert Monitor(populated(target_risk=0.3)).verdict.scope is None
    with pytest.raises(InputError, match="`by` all, class, subgroup, got 'label'"):
        Monitor.from_dict(changed(json.loads((tmp_path / "s.json").read_text()), by="label"))


def test_a_verdict_says_that_a_void_rejector_guarantees_nothing(tmp_path):
    split = sample(400, seed=0)
    void = recuse.fit(split, split, target_risk=0.3, allow_overlap=True, learned=False)
    monitor = Monitor(void)
    assert "guarantees nothing" in str(monitor)
    assert monitor.verdict.to_dict()["void"]
    monitor.save(tmp_path / "s.json")
    assert Monitor.load(tmp_path / "s.json", void).verdict == monitor.verdict


def test_spaces_around_an_id_of_a_log_are_no_part_of_it(tmp_path):
    (tmp_path / "log.csv").write_text("id,accept,correct\na,1,\n a,1,\na ,1,1\n")
    monitor = alarmed()
    assert replay(monitor, tmp_path / "log.csv") == (3, 1, 1)


def test_ids_of_a_column_of_objects_are_text():
    monitor = Monitor(FITTED)
    ids = np.array(["a", "b"], object)
    assert monitor.update(ids, np.ones(2, bool)) == (2, 2, 0)
    assert monitor.label(["b", "a"], [0, 0]) == (2, 0, 2)
    with pytest.raises(InputError, match="`ids` of an integer or string dtype, got object"):
        monitor.update(np.array(["a", None], object), np.ones(2, bool))


def test_a_state_in_which_a_field_stands_twice_is_refused(tmp_path):
    Monitor(populated(target_risk=0.3)).save(tmp_path / "s.json")
    text = (tmp_path / "s.json").read_text()
    (tmp_path / "s.json").write_text(text.replace("{", '{"n": 0, ', 1))
    with pytest.raises(InputError, match="expected the state of a monitor"):
        Monitor.load(tmp_path / "s.json")


def test_so_many_groups_that_nothing_is_known_of_the_rate_end_in_no_alarm_of_it():
    low, high = rate_limits(Terms("", 0.05, 0.05, "prediction", 1000, 700, 5000.0))
    assert low == pytest.approx(0, abs=0.2)
    assert high == pytest.approx(1, abs=0.2)


@pytest.mark.parametrize(
    ("options", "log"), [({"coverage": 0.8}, math.log(900)), ({"costs": equal_costs(5)}, 0.0)]
)
def test_a_guarantee_of_a_coverage_or_a_cost_needs_a_target_to_test(tmp_path, options, log):
    rejector = populated(**options)
    with pytest.raises(
        InputError, match="expected a target risk to test: the guarantee of this rejector is for a"
    ):
        Monitor(rejector)
    monitor = Monitor(rejector, target_risk=0.2)
    assert monitor.terms.log_tried == pytest.approx(log)
    monitor.save(tmp_path / "s.json")
    assert Monitor.load(tmp_path / "s.json", rejector).terms == monitor.terms


ALL_OF_THEM = "not what was guaranteed: the share of all predictions that are accepted and wrong."
NO_MISSES = "Misses are not watched: collect outcomes"
SCOPES = {
    "misses": ({"misses": {1: 0.5}, "target_risk": 0.4}, (NO_MISSES,)),
    "misses alone": ({"misses": {1: 0.5}}, (NO_MISSES,)),
    "joint": ({"target_risk": 0.3, "among": "all"}, (ALL_OF_THEM,)),
    "both": ({"misses": {1: 0.5}, "target_risk": 0.4, "among": "all"}, (ALL_OF_THEM, NO_MISSES)),
    "cost": ({"costs": equal_costs(5)}, ("not what was guaranteed: a mean cost.",)),
}


@pytest.mark.parametrize("name", SCOPES)
def test_a_verdict_says_what_of_the_guarantee_is_not_tested(name, tmp_path):
    options, said = SCOPES[name]
    rejector = populated(**options)
    monitor = Monitor(rejector, target_risk=0.2)
    assert all(words in monitor.verdict.scope for words in said)
    assert monitor.verdict.scope.count(". ") == len(said) - 1
    monitor.save(tmp_path / "s.json")
    assert Monitor.load(tmp_path / "s.json", rejector).verdict == monitor.verdict


@pytest.mark.parametrize("options", [{}, {"target_risk": 0.2}])
def test_a_rejector_of_a_mean_loss_is_refused(options):
    rng = np.random.default_rng(0)
    confidence, loss = rng.uniform(size=(1500, 1)).astype("f4"), rng.uniform(size=1500) / 2
    rejector = fit(HeldOut(confidence, loss, kind="losses", name="f"), target_risk=0.3)
    with pytest.raises(InputError, match="this one limits a mean loss"):
        Monitor(rejector, **options)


def test_the_rate_of_all_groups_is_inside_its_limits_as_often_as_stated():
    """Each group deploys any of its thresholds; the sum of acceptances is binomial for each set."""
    rng, delta, missed, draws = np.random.default_rng(3), 0.2, 0, 300
    for _ in range(draws):
        group, c = rng.integers(0, 3, 300), rng.uniform(size=300)
        chosen = [max(np.linspace(0.05, 0.95, 100), key=lambda t: abs(
            (c[group == g] >= t).mean() - (1 - t))) for g in range(3)]  # fmt: skip
        accepted = sum(((group == g) & (c >= t)).sum() for g, t in enumerate(chosen))
        terms = Terms("", 0.05, delta, "prediction", 300, int(accepted), 3 * math.log(101))
        low, high = rate_limits(terms)
        missed += not low <= np.mean([1 - t for t in chosen]) <= high
    assert missed / draws <= delta / 4 + 3 * math.sqrt(delta / 4 / draws)
