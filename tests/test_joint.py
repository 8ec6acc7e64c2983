"""The share accepted and wrong, with confidence and on average; and the rows of one batch."""

import json
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import recuse
import reference_bounds as reference
import strategies
from recuse import InfeasibleError, InputError, Rejector
from recuse.io import HeldOut
from recuse.monitor import Monitor
from recuse.present.decisions import subgroup_lines, summary_lines
from recuse.rejector import choose, fit_several, summarize
from recuse.selectors import (
    select,
    select_batch,
    select_by_subgroup,
    select_on_average,
    select_several,
)

EVERYTHING = -float(np.finfo(np.float32).max)
RISKS = st.sampled_from(["0.05", "0.1", "0.2", "0.29", "0.3", "0.5", "0.7"])
SMALL = strategies.predictions(max_size=40)
GENERAL = strategies.predictions(loss=strategies.GENERAL, max_size=25)


def sample(n, seed, slope=0.3):
    rng = np.random.default_rng(seed)
    confidence = rng.uniform(size=n).astype(np.float32)
    return confidence, rng.uniform(size=n) < slope * (1 - confidence)


def rows(n, seed, classes=4):
    """Logits of a model that errs where it is unsure."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, classes, n)
    z = rng.normal(size=(n, classes))
    z[np.arange(n), labels] += 5 * rng.uniform(size=n)
    return z, labels


def as_float32(data):
    return data[0].astype(np.float32).tolist(), data[1].tolist()


# With confidence


@given(data=SMALL, risk=RISKS)
def test_a_joint_guarantee_is_its_definition(data, risk):
    s = select(*data, target_risk=float(risk), delta=0.4, among="all")
    expected = reference.monotone(*as_float32(data), float(risk), 0.4)
    assert (s.guarantee.accepted if s.feasible else None) == expected
    assert s.accept(data[0]).sum() == s.guarantee.accepted
    assert data[1][s.accept(data[0])].sum() == s.guarantee.errors


@given(data=GENERAL, risk=RISKS)
def test_a_joint_guarantee_of_losses_is_its_definition(data, risk):
    s = select(*data, target_risk=float(risk), delta=0.4, among="all")
    expected = reference.monotone(*as_float32(data), float(risk), 0.4)
    assert (s.guarantee.accepted if s.feasible else None) == expected


def test_whatever_has_few_enough_errors_is_accepted_seen_or_not():
    s = select(*sample(500, 0, slope=0.01), target_risk=0.05, among="all")
    assert (s.threshold, s.guarantee.accepted) == (EVERYTHING, 500)
    assert s.accept([-1e30]).all()


def test_more_is_accepted_than_with_the_same_target_among_the_accepted():
    c, l = sample(2000, 0)
    accepted = [
        select(c, l, target_risk=0.05, among=among).guarantee.accepted
        for among in ("accepted", "all")
    ]
    assert accepted[0] + 300 < accepted[1] < 2000


def test_a_joint_guarantee_says_of_which_predictions():
    s = select(*sample(1000, 0), target_risk=0.02, among="all")
    assert "With 95 % confidence, at most 2 % of all predictions are accepted and wrong" in str(s)
    assert s.to_dict()["guarantee"]["among"] == "all"
    losses = select(np.arange(900.0), np.full(900, 0.5), target_risk=0.1, among="all")
    assert "mean loss of all predictions, 0 of an abstention, is at most 0.1" in str(losses)
    usual = select(*sample(1000, 0), target_risk=0.2)
    assert "among" not in usual.to_dict()["guarantee"]


def test_an_infeasible_joint_guarantee_says_what_would_be_feasible():
    s = select(*sample(100, 0), target_risk=0.02, among="all")
    assert "149 calibration rows are needed if none of the accepted is wrong" in s.reason
    assert s.rows_needed == 149
    again = select(*sample(100, 0), target_risk=s.smallest_target, among="all")
    assert again.feasible
    tied = select(np.zeros(1000), np.arange(1000) % 4 == 0, target_risk=0.2, among="all")
    assert "The share is above the target at every threshold" in tied.reason
    assert tied.rows_needed is None


def test_so_many_rows_as_are_named_are_mostly_enough():
    tied = np.arange(200) % 10 == 0
    s = select(np.zeros(200), tied, target_risk=0.12, among="all")
    assert not s.feasible
    rng = np.random.default_rng(0)
    wrong = rng.uniform(size=(200, s.rows_needed)) < 0.1
    found = [select(np.zeros(w.size), w, target_risk=0.12, among="all").feasible for w in wrong]
    assert 0.7 < np.mean(found) < 0.95


def test_a_joint_guarantee_is_refused_what_does_not_go_with_it():
    c, l = sample(200, 0)
    refused = [
        ({"method": "sgr"}, "auto, monotone with among='all', got 'sgr'"),
        ({"tune": (c, l)}, "expected no `tune` with among='all'"),
        ({"groups": np.arange(200) // 2}, "one row for each group"),
        ({"among": "both"}, "`among` accepted or all, got 'both'"),
        ({"among": "accepted", "method": "monotone"}, "sgr, got 'monotone'"),
    ]
    for options, message in refused:
        with pytest.raises(InputError, match=message):
            select(c, l, **{"target_risk": 0.2, "among": "all"} | options)


def test_several_joint_guarantees_share_delta():
    c, l = sample(1000, 0)
    found = select_several(c, l, target_risks=(0.02, 0.05), among="all")
    alone = [select(c, l, target_risk=r, delta=0.025, among="all") for r in (0.02, 0.05)]
    assert [s.threshold for s in found] == [s.threshold for s in alone]
    groups = np.arange(1000) % 2
    by = select_by_subgroup(c, l, groups, target_risk=0.05, among="all")
    own = select(c[::2], l[::2], target_risk=0.05, delta=0.025, among="all")
    assert by.selections[0] == own
    assert "at most 5 % of all predictions are accepted and wrong in each subgroup" in str(by)


# In a rejector


@pytest.mark.parametrize("subgroups", [None, "class"])
def test_a_fit_on_one_file_shares_delta_between_scores(subgroups):
    options = {"target_risk": 0.05, "among": "all", "subgroups": subgroups}
    rejector = recuse.fit(rows(3000, 0), **options)
    for rule in rejector.rules:
        g = rule.guarantee
        assert (g.among, g.method, g.share) in {("all", "monotone", x) for x in (0.2, 0.8)}
        limit = reference.reference.binomial_cdf(g.errors, g.n, Fraction(0.05))
        assert limit <= g.share * g.delta
    sure = {0.8: "96 %", 0.2: "99 %"}[rejector.guarantee.share]
    tested = f"; more than one score was tried, so this one was tested at {sure} confidence)"
    assert tested in str(rejector.guarantee)
    assert Rejector.from_dict(json.loads(json.dumps(rejector.to_dict()))) == rejector


def test_a_tuning_split_only_chooses_the_score():
    splits = rows(1000, 0), rows(1000, 1)
    rejector = recuse.fit(*splits, target_risk=0.02, among="all", learned=False)
    found = rejector.predict(splits[1][0])
    alone = found.confidence, found.prediction != splits[1][1]
    assert rejector.threshold == select(*alone, target_risk=0.02, among="all").threshold
    found = fit_several(*splits, target_risks=(0.02, 0.05), among="all", learned=False)
    assert [c.rejector.guarantee.simultaneous for c in found] == [2, 2]
    with pytest.raises(InfeasibleError, match="299 calibration rows are needed"):
        recuse.fit(rows(50, 0), rows(200, 1), target_risk=0.01, among="all", learned=False)


def test_the_rows_of_a_file_that_are_named_include_those_that_would_tune():
    z, y = rows(1000, 0)
    found = choose((z, y), target_risk=0.0002, among="all").selection
    free = found.infeasible.error_free_rows
    assert free > 10_000
    assert found.rows_needed == int(np.ceil(free / 0.8))
    assert found.reason.endswith("about 21,000 rows would be enough.")


def test_groups_give_one_row_each():
    z, y = rows(2000, 0)
    file = HeldOut(z, y, groups=np.arange(2000) // 4)
    g = choose(file, target_risk=0.05, among="all").selection.guarantee
    assert (g.n, g.unit) == (500, "groups")
    assert "one random row of each was used" in str(g)


def test_the_share_of_a_file_is_compared_with_a_joint_guarantee():
    rejector = recuse.fit(rows(3000, 0), target_risk=0.05, among="all")
    z, y = rows(1000, 1)
    found = summarize(HeldOut(z, y), rejector.predict(z), rejector)
    (low, high), level = found.compared
    assert (low < found.errors / 1000 < high, level, found.kept) == (True, 0.05, True)
    said = " ".join(summary_lines(found))
    assert f"{found.errors / 10:.1f} % of all predictions; without" in said
    assert "interval of this share of all predictions" in said
    assert found.to_dict()["joint_interval"] == (low, high)
    wrong = summarize(HeldOut(z, (y + 1) % 4), rejector.predict(z), rejector)
    assert wrong.kept is False
    units = HeldOut(z, y, groups=np.arange(1000) // 2)
    assert "no interval of the share of all predictions" in " ".join(
        summary_lines(summarize(units, rejector.predict(z), rejector))
    )


def test_classes_above_a_joint_guarantee_are_named():
    rejector = recuse.fit(rows(3000, 0), target_risk=0.02, among="all", subgroups="class")
    z, y = rows(1000, 1)
    shifted = np.where(z.argmax(axis=1) == 2, (y + 1) % 4, y)
    found = summarize(HeldOut(z, shifted), rejector.predict(z), rejector)
    assert found.above == [2]
    assert "Intervals of the share of all predictions above the guaranteed 2.0 %: 2." in " ".join(
        subgroup_lines(found)
    )


def test_an_evaluation_and_a_run_take_a_joint_guarantee_and_a_page_refuses_it(tmp_path):
    data, options = rows(2000, 0), {"target_risk": 0.05, "among": "all"}
    found = recuse.evaluate({"net": data}, **options)
    assert found["net"].rejector == recuse.fit(data, **options)
    assert found["net"].accepted > recuse.evaluate({"net": data})["net"].accepted
    assert "<= 5 % of all " in str(found)
    assert "with 95 % confidence; of all: accepted and wrong." in " ".join(str(found).split())
    assert "of all: accepted" not in str(recuse.evaluate({"net": data}))
    run = recuse.run(data, **options)
    assert run.rejector == found["net"].rejector
    assert "at most 5 % of all predictions are accepted and wrong" in str(run)
    with pytest.raises(InputError, match="a page is about the error rate of accepted predictions"):
        recuse.report(found, tmp_path / "page.html")
    assert not (tmp_path / "page.html").exists()
    with pytest.raises(InputError, match="`among` accepted or all, got 'some'"):
        recuse.evaluate({"net": data}, among="some")


def test_a_monitor_of_a_joint_guarantee_is_told_which_risk_to_test():
    rejector = recuse.fit(rows(3000, 0), target_risk=0.02, among="all")
    with pytest.raises(InputError, match="share of all predictions that are accepted and wrong"):
        Monitor(rejector)
    assert Monitor(rejector, target_risk=0.1).terms.target_risk == 0.1


# On average


@given(data=st.one_of(SMALL, GENERAL), risk=RISKS)
def test_conformal_risk_control_is_its_definition(data, risk):
    s = select_on_average(*data, target_risk=float(risk))
    exact = as_float32(data)[0], [Fraction(str(l)) for l in data[1]]
    expected = reference.on_average(*exact, risk)
    assert (s.guarantee.accepted if s.feasible else None) == expected
    assert s.accept(data[0]).sum() == s.guarantee.accepted


def test_a_guarantee_on_average_needs_fewer_rows_and_says_that_it_is_one():
    c, l = sample(49, 0, slope=0.0)
    assert not select(c, l, target_risk=0.02, among="all").feasible
    s = select_on_average(c, l, target_risk=0.02)
    assert str(s).startswith(
        "On average over calibration splits, at most 2 % of all predictions are accepted and wrong "
        "(49 of 49 calibration rows accepted, 0 of them wrong; "
    )
    assert str(s).endswith("This split may let more through, or fewer.")
    few = select_on_average(c[:48], l[:48], target_risk=0.02)
    assert (few.threshold, few.smallest_target) == (np.inf, 1 / 49)
    assert "To pass, at least 49 calibration rows are needed" in str(few)
    assert str(few).endswith("would have passed is 2.05 %.")
    assert json.loads(json.dumps(s.to_dict()))["guarantee"]["kind"] == "average"
    hopeless = select_on_average([0, 0], [1, 1], target_risk=0.9)
    assert (hopeless.smallest_target, hopeless.feasible) == (None, False)


# A batch


@given(data=SMALL, batch=SMALL, risk=RISKS)
def test_conformal_selection_is_its_definition(data, batch, risk):
    found = select_batch(*data, batch[0], target_risk=float(risk))
    others = batch[0].astype(np.float32).tolist()
    accept, p = reference.accepted_of_batch(*as_float32(data), others, risk)
    assert found.accept.tolist() == accept
    np.testing.assert_allclose(found.p_value, [float(x) for x in p], rtol=1e-15)
    assert found.accepted == sum(accept)


def test_a_batch_says_what_was_accepted_or_why_nothing_was():
    c, l = sample(999, 0)
    batch = sample(300, 1)[0]
    found = select_batch(c, l, batch, target_risk=0.05)
    assert f"at most 5 % of accepted rows are wrong ({found.accepted} of 300 rows" in str(found)
    assert found.accepted > 50
    assert json.loads(json.dumps(found.to_dict()))["accepted"] == found.accepted
    none = select_batch(c, c < 2, batch, target_risk=0.05)
    assert "None of 300 rows is accepted: with 999 calibration rows, at least 6 rows" in str(none)
    exactly = np.r_[np.full(6, 2.0), np.full(294, -1.0)]
    assert select_batch(c, c < 2, exactly, target_risk=0.05).accepted == 6
    assert select_batch(c, c < 2, exactly[1:], target_risk=0.05).accepted == 0
    few = select_batch(c[:18], l[:18], batch, target_risk=0.05)
    assert "at least 19 calibration rows are needed, got 18" in str(few)
    assert select_batch(c[:19], l[:19] & False, batch, target_risk=0.05).accepted == 300


@pytest.mark.parametrize("target", [5e-324, 1e-300])
def test_the_smallest_targets_are_infeasible_and_not_an_error(target):
    c, l = sample(200, 0)
    few = select_on_average(c, l, target_risk=target)
    none = select_batch(c, l, c, target_risk=target)
    joint = select(c, l, target_risk=target, among="all")
    assert [few.feasible, none.accepted, joint.feasible] == [False, 0, False]
    assert none.batch_needed > 10**8
    for said in map(str, (few, none, joint)):
        assert "more than 100,000,000 calibration rows are needed" in said
        assert " 0 % " not in said


def test_rows_of_a_batch_that_are_accepted_are_the_most_confident():
    c, l = sample(500, 0)
    found = select_batch(c, l, np.r_[c, c], target_risk=0.1)
    lowest = np.r_[c, c][found.accept].min()
    assert found.accept.tolist() == (np.r_[c, c] >= lowest).tolist()
    np.testing.assert_array_equal(found.accept[:500], found.accept[500:])


def test_a_batch_is_refused_losses_that_are_no_errors():
    with pytest.raises(InputError, match="of 0 and 1"):
        select_batch([1, 2], [0.5, 0], [1], target_risk=0.1)
    with pytest.raises(InputError, match="`batch_confidence`"):
        select_batch([1, 2], [1, 0], [np.nan], target_risk=0.1)
