"""Limits of misses: of a true class, few examples are answered with another class."""

import json
import math
from types import SimpleNamespace as Namespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom

import recuse
import reference
import strategies
from recuse import InfeasibleError, InputError, Rejector, write_logits
from recuse._internal.files import checksum
from recuse.bounds import clopper_pearson_interval
from recuse.cli import main
from recuse.io import HeldOut
from recuse.monitor import Monitor
from recuse.present.decisions import summary_lines
from recuse.present.headline import headline
from recuse.present.numbers import percent
from recuse.rejector import choose, fit_several, summarize
from recuse.selectors import select, select_by_subgroup
from recuse.selectors._grid import EVERYTHING, thresholds_between
from recuse.selectors._misses import highest_threshold, infeasible_misses, miss_floor
from recuse.selectors._walk import walk

NAMES = ("healthy", "sick")
RISKS = st.sampled_from([0.05, 0.1, 0.2, 0.3, 0.5, 0.7])
ROWS = strategies.predictions(max_size=40)
TRIED = ("random_walk", "bonferroni", "band", "monotone")


def draw(n, seed, names=NAMES, classes=2):
    """Logits of a model that errs where it is unsure; the last class is the rarest."""
    rng = np.random.default_rng(seed)
    p = 0.4 ** np.arange(classes)
    labels = rng.choice(classes, n, p=p / p.sum())
    z = rng.normal(size=(n, classes)) + 4 * rng.uniform(size=(n, 1)) * np.eye(classes)[labels]
    return HeldOut(z, labels, class_names=names, name="cases")


def missed(rejector, file, k):
    """How many of true class k are accepted and answered with another class; and how many are k."""
    p = rejector.predict(file)
    of = file.labels == k
    return int((of & p.accept & (p.prediction != k)).sum()), int(of.sum())


FILE, TEST = draw(4000, 0), draw(4000, 1)
ALONE = recuse.fit(FILE, misses={"sick": 0.02})
BOTH = recuse.fit(FILE, misses={"sick": 0.02}, target_risk=0.05)


# The floor


@given(data=ROWS, target=RISKS)
def test_a_floor_is_the_lowest_threshold_that_misses_few_enough(data, target):
    c, wrong = data[0].astype(np.float32), data[1] == 1
    floor = miss_floor(c, wrong, target, 0.4)
    passing = [
        t
        for t in [*np.unique(c[wrong]), np.inf]
        if reference.binomial_cdf(int((wrong & (c > t)).sum()), c.size, target) <= 0.4
    ]  # "above t", for t a missed row
    if reference.binomial_cdf(int(wrong.sum()), c.size, target) <= 0.4:
        assert floor == EVERYTHING
    elif not passing or min(passing) == np.inf:
        assert floor == np.inf
    else:
        assert floor == np.nextafter(np.float32(min(passing)), np.float32(np.inf))


def test_no_rows_of_the_class_limit_nothing():
    assert miss_floor(np.float32([]), np.zeros(0, bool), 0.5, 0.4) == math.inf


def test_a_missed_row_of_infinite_confidence_is_above_every_threshold():
    c, wrong = np.float32([np.inf, *range(100)]), np.r_[True, np.zeros(100, bool)]
    assert miss_floor(c, wrong, 0.03, 0.06) == math.inf  # no miss passes, one does not


@pytest.mark.parametrize("method", TRIED)
@given(data=ROWS, risk=RISKS, floor=st.sampled_from([-1.0, 0.0, 0.5, 1.0, 2.0]))
def test_the_widest_certified_threshold_above_the_floor_is_deployed(method, data, risk, floor):
    """A threshold that passes at some floor passes at any, since every one of them is tested."""
    among = "all" if method == "monotone" else "accepted"
    how = {"target_risk": risk, "delta": 0.4, "method": method, "among": among}
    found = select(*data, **how, floor=floor)
    free = [select(*data, **how, floor=float(f)) for f in np.unique(data[0].astype(np.float32))]
    above = [s.threshold for s in (select(*data, **how), *free) if s.threshold >= floor]
    assert found.threshold <= min(above, default=np.inf)
    assert found.threshold >= floor
    if found.feasible:
        again = select(*data, **how, floor=found.threshold)
        assert again == found
    elif found.smallest_target is not None:
        target = found.smallest_target
        assert select(*data, **{**how, "target_risk": target}, floor=floor).feasible


@given(data=ROWS, risk=RISKS, floor=st.sampled_from([0.0, 0.5, 1.0]))
def test_above_a_floor_the_walk_is_its_definition(data, risk, floor):
    c, wrong = data[0].astype(np.float32), data[1]
    boundary = walk(c.size, risk, 0.4)
    accepted = [
        int((c >= t).sum())
        for t in thresholds_between(c)
        if t >= floor and boundary.passes((c >= t).sum(), wrong[c >= t].sum())
    ]
    s = select(*data, target_risk=risk, delta=0.4, floor=floor)
    assert s.guarantee.accepted == max(accepted, default=0)


def test_without_a_threshold_above_the_floor_no_walk_is_computed(monkeypatch):
    from recuse.selectors import _methods

    c, wrong = np.arange(2000.0), np.zeros(2000)
    monkeypatch.setattr(_methods, "cannot_pass", None)
    found = select(c, wrong, target_risk=0.05, floor=1e6)
    assert not found.feasible
    assert found.smallest_target is None
    assert found.rows_needed is None


@pytest.mark.parametrize("method", ["sgr", "fixed_sequence", "betting"])
def test_a_floor_is_refused_by_methods_that_do_not_try_all_thresholds(method):
    c, wrong = np.arange(100.0), np.zeros(100)
    with pytest.raises(InputError, match="expected no `tune` and `method` auto, random_walk"):
        select(c, wrong, target_risk=0.1, method=method, floor=1.0)
    with pytest.raises(InputError, match="expected no `tune`"):
        select(c, wrong, target_risk=0.1, tune=(c, wrong), floor=1.0)
    with pytest.raises(InputError, match="number as `floor`"):
        select(c, wrong, target_risk=0.1, floor=math.nan)


def test_a_floor_may_be_a_number_of_numpy():
    c, wrong = np.arange(100.0), np.zeros(100)
    for floor in (np.float32(20), np.int64(20), np.array(20)):
        assert select(c, wrong, target_risk=0.1, floor=floor) == select(
            c, wrong, target_risk=0.1, floor=20.0
        )
    with pytest.raises(InputError, match="number as `floor`, got True"):
        select(c, wrong, target_risk=0.1, floor=True)


def test_subgroups_have_floors_of_their_own():
    rng = np.random.default_rng(0)
    c, of = rng.uniform(size=2000), np.repeat(["a", "b"], 1000)
    found = select_by_subgroup(
        c, np.zeros(2000), of, target_risk=0.1, floor={"a": 0.3, "b": 0.6}
    ).selections
    assert 0.3 <= found["a"].threshold < 0.31
    assert 0.6 <= found["b"].threshold < 0.61


# The fit


def test_scores_that_are_fixed_beforehand_share_delta():
    file = draw(4000, 0, None, 3)
    for options in ({}, {"target_risk": 0.1}):
        found = recuse.fit(file, misses={2: 0.05}, **options)
        (m,), share = found.misses, found.guarantee.share
        assert share in (0.8, 0.2)
        assert m.delta == 0.05 / (1 + len(options))
        assert binom.cdf(m.missed, m.n, 0.05) <= share * m.delta
        assert (m.missed, m.n) == missed(found, file, 2)
        assert found == Rejector.from_dict(found.to_dict())
    found = choose(file, misses={2: 0.0001}).selection
    assert "to 0.01 % with 95 % confidence" in found.reason


def test_misses_alone_deploy_the_lowest_threshold_that_has_them():
    (m,) = ALONE.misses
    assert (m.missed, m.n) == missed(ALONE, FILE, 1)
    assert (m.label, m.name, m.target, m.delta) == (1, "sick", 0.02, 0.05)
    spent = 0.05 * ALONE.guarantee.share
    assert binom.cdf(m.missed, m.n, 0.02) <= spent < binom.cdf(m.missed + 1, m.n, 0.02)
    p = ALONE.predict(FILE)
    below = p.confidence[p.confidence < ALONE.threshold].max()
    row = p.confidence == below  # the next row is one miss too many
    assert (row & (FILE.labels == 1) & (p.prediction == 0)).any()


def test_a_model_that_misses_few_answers_everything():
    easy = recuse.fit(FILE, misses={"sick": 0.9})
    assert easy.threshold == EVERYTHING
    assert easy.predict(FILE).accept.all()


def test_beside_a_target_risk_delta_is_shared_and_both_are_certified():
    (m,), g = BOTH.misses, BOTH.guarantee
    assert (m.delta, g.delta, BOTH.delta) == (0.025, 0.025, 0.05)
    assert (m.missed, m.n) == missed(BOTH, FILE, 1)
    share = g.share
    assert binom.cdf(m.missed, m.n, 0.02) <= share * 0.025
    p = BOTH.predict(FILE)
    again = select(p.confidence, p.prediction != FILE.labels, target_risk=0.05, delta=share * 0.025)
    assert BOTH.threshold >= again.threshold


def test_several_classes_share_delta_and_the_highest_floor_is_deployed():
    found = recuse.fit(FILE, misses={1: 0.02, "healthy": 0.02})
    assert [m.label for m in found.misses] == [1, 0]
    assert [m.delta for m in found.misses] == [0.025, 0.025]
    each = [recuse.fit(FILE, misses={k: 0.02}, delta=0.025) for k in (0, 1)]
    alike = [one.threshold for one in each if one.score == found.score]
    assert found.threshold == max(alike)


def test_by_predicted_class_each_has_the_floor_of_the_other_classes():
    found = recuse.fit(
        FILE, misses={"sick": 0.01}, target_risk={"sick": 0.2, "healthy": 0.1}, delta=0.1
    )
    free = recuse.fit(FILE, target_risk={"sick": 0.2, "healthy": 0.1}, delta=0.05)
    healthy, sick = (rule.threshold for rule in found.rules)
    assert sick == free.rules[1].threshold  # whom it calls sick it does not miss
    assert healthy > free.rules[0].threshold
    assert [rule.guarantee.delta for rule in found.rules] == [0.025, 0.025]
    (m,) = found.misses
    assert (m.missed, m.n) == missed(found, FILE, 1)
    assert found.delta == 0.1


def test_a_selection_by_class_tells_its_misses():
    targets = {"sick": 0.2, "healthy": 0.1}
    choice = choose(FILE, misses={"sick": 0.01}, target_risk=targets)
    told = choice.selection.to_dict()
    assert told["misses"] == [m.to_dict() for m in choice.rejector.misses]
    assert "misses" not in choose(FILE, target_risk=targets).selection.to_dict()


def test_by_subgroup_all_have_the_same_floor():
    site = np.where(np.arange(4000) % 2, "a", "b")
    found = recuse.fit(FILE, misses={"sick": 0.01}, target_risk=0.2, subgroups=site)
    p = found.predict(FILE, site)
    of = FILE.labels == 1
    (m,) = found.misses
    assert (of & p.accept & (p.prediction == 0)).sum() == m.missed
    assert found == Rejector.from_dict(found.to_dict())


def test_of_grouped_rows_one_of_each_counts():
    group = np.arange(4000) // 2
    file = HeldOut(FILE.logits, FILE.labels, group, class_names=NAMES)
    found = recuse.fit(file, misses={"sick": 0.05})
    assert found.guarantee.n == 2000
    assert found.guarantee.unit == "groups"
    assert 400 < found.misses[0].n < 800
    assert "calibration groups)" in str(found)


def test_two_files_and_all_predictions_are_taken_too():
    found = recuse.fit(draw(1500, 3), FILE, misses={"sick": 0.02}, target_risk=0.05, learned=False)
    assert found.guarantee.method == "random_walk"
    assert found.guarantee.n == 4000
    assert "2.5" not in str(recuse.fit(draw(1500, 3), FILE, misses={"sick": 0.02}, learned=False))
    joint = recuse.fit(FILE, misses={"sick": 0.02}, target_risk=0.05, among="all")
    assert joint.guarantee.method == "monotone"
    assert joint.misses[0].missed <= ALONE.misses[0].missed


def test_shared_rows_void_it():
    found = recuse.fit(FILE, FILE, misses={"sick": 0.02}, allow_overlap=True, learned=False)
    assert "No guarantee: the tuning and the calibration split share rows" in str(found)
    assert "true class" not in str(found)


def test_the_sentence_names_the_class_the_counts_and_the_confidence():
    (m,) = ALONE.misses
    assert (
        f"Of true class sick, at most 2 % are answered with another class (95 % confidence; "
        f"{m.missed} of {m.n} calibration rows). No error rate is guaranteed (" in str(ALONE)
    )
    assert "With 97.5 % confidence, at most 5 % of accepted predictions are wrong" in str(BOTH)
    assert str(BOTH).endswith("Both hold at once with 95 % confidence.")


def test_the_monitor_tests_the_target_risk_alone():
    assert Monitor(BOTH).verdict.target_risk == 0.05
    with pytest.raises(InputError, match="is for a share of misses"):
        Monitor(ALONE)
    assert Monitor(ALONE, target_risk=0.1).verdict.target_risk == 0.1


def test_a_summary_counts_misses_beside_what_is_guaranteed():
    for fitted in (ALONE, BOTH):
        found = summarize(TEST, fitted.predict(TEST), fitted)
        (count,) = found.misses
        assert (count.missed, count.n) == missed(fitted, TEST, 1)
        assert count.without_rejector == (TEST.loss * (TEST.labels == 1)).sum()
        assert count.interval == clopper_pearson_interval(count.missed, count.n)
        assert "true class sick" in found.to_dict()["statement"]
        assert found.to_dict()["misses"][0]["missed"] == count.missed
        said = " ".join(summary_lines(found))
        assert f"Of true class sick, {count.missed} of 1,1" in said
        assert "is in line with the guaranteed 2 %." in said
    assert summarize(TEST, ALONE.predict(TEST), ALONE).kept is None


def test_the_report_shows_misses_among_the_first_figures():
    m = recuse.evaluate({"net": TEST}, rejector=BOTH, progress=False)["net"]
    figure = headline([Namespace(result=m)], Namespace(result=m)).figures[-1]
    k, n = missed(BOTH, TEST, 1)
    everything = np.mean(TEST.predicted[TEST.labels == 1] != 1)
    assert (figure.value, figure.always) == (percent(k / n), percent(everything))
    assert "of true class sick answered with another class" in figure.label
    assert figure.label.endswith("guaranteed with 97.5 % confidence: ≤ 2 %")
    assert "Both hold at once" in m.selection.reason


def test_a_summary_says_where_a_file_is_beyond_the_limit():
    labels = np.where(TEST.labels == 0, np.random.default_rng(0).random(4000) < 0.1, 1)
    said = " ".join(
        summary_lines(summarize(HeldOut(TEST.logits, labels), ALONE.predict(TEST), ALONE))
    )
    assert "is above the guaranteed 2 %." in said


def test_a_summary_of_dependent_rows_rests_on_one_of_each_group():
    group = np.arange(4000) // 2
    file = HeldOut(TEST.logits, TEST.labels, group)
    assert summarize(file, ALONE.predict(TEST), ALONE).misses[0].interval is None
    grouped = recuse.fit(HeldOut(FILE.logits, FILE.labels, group), misses={1: 0.05})
    (count,) = summarize(file, grouped.predict(TEST), grouped).misses
    low, high = clopper_pearson_interval(count.missed, count.n)
    assert count.interval[1] - count.interval[0] > high - low


# Infeasible


def test_too_few_rows_of_the_class_say_how_many_are_needed():
    with pytest.raises(InfeasibleError) as error:
        recuse.fit(draw(150, 0), misses={"sick": 0.05})
    said = str(error.value)
    assert "Infeasible: no threshold limits the misses of true class sick to 5 % with 95 %" in said
    assert "At least 59 are needed if none is missed" in said


def test_fifty_nine_rows_without_a_miss_are_enough_at_5_percent():
    labels = np.r_[np.ones(59, int), np.zeros(500, int)]
    z = 3 * np.eye(2)[labels] + np.random.default_rng(0).normal(size=(559, 2)) * 0.1
    file = HeldOut(z, labels)
    assert recuse.fit(file, misses={1: 0.05}).predict(z).accept.all()
    fewer = choose(file.rows(np.arange(1, 559)), misses={1: 0.05})
    assert fewer.rejector is None
    assert "on 58 calibration rows of it. At least 59 are needed" in fewer.selection.reason


@given(data=ROWS, target=RISKS)
def test_the_smallest_target_that_is_named_passes(data, target):
    c, wrong = data[0].astype(np.float32), data[1] == 1
    highest = highest_threshold(c)
    smallest = infeasible_misses(c, wrong, highest, "", target, 0.4).smallest_target
    if smallest is None:
        assert miss_floor(c, wrong, 0.999, 0.4) > highest
    else:
        assert miss_floor(c, wrong, smallest, 0.4) <= highest
        assert smallest <= 0.002 or miss_floor(c, wrong, smallest - 0.0011, 0.4) > highest


def test_where_no_threshold_above_the_floor_passes_the_answer_says_what_was_left_out():
    found = choose(FILE, misses={"sick": 0.02}, target_risk=0.001)
    assert "for a risk of 0.1 % with 97.5 % confidence" in found.selection.reason
    assert found.selection.reason.endswith(
        "Thresholds that may miss more than 2 % of true class sick were left out."
    )
    target = found.selection.smallest_target
    assert choose(FILE, misses={"sick": 0.02}, target_risk=target).rejector is not None


# Refused


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"misses": {}}, "expected `misses` as class -> share"),
        ({"misses": 0.1}, "expected `misses` as class -> share"),
        ({"misses": {"ill": 0.1}}, "`misses` of classes, healthy and sick, got 'ill'"),
        ({"misses": {"sick": 0.0}}, "`misses`"),
        ({"misses": {"sick": 0.1, 1: 0.1}}, "each class once in `misses`, got 1 twice"),
        ({"misses": {1: 0.1}, "coverage": 0.5}, "alone or with a target risk, got coverage too"),
        ({"misses": {1: 0.1}, "subgroups": "class"}, "`subgroups` with a target risk alone"),
        ({"misses": {1: 0.1}, "target_risk": 0.1, "method": "sgr"}, "with misses, got 'sgr'"),
        (
            {"misses": {1: 0.1}, "target_risk": 0.1, "objective": "coverage"},
            "aurc or augrc with misses",
        ),
    ],
)
def test_limits_that_mean_nothing_are_refused(options, message):
    with pytest.raises(InputError, match=message):
        recuse.fit(FILE, **options)


def test_confidences_and_several_targets_are_refused():
    file = HeldOut(np.linspace(0, 1, 100), np.ones(100, int), kind="confidences")
    with pytest.raises(InputError, match="expected outputs of classes to limit misses"):
        recuse.fit(file, misses={1: 0.1})
    with pytest.raises(InputError, match="expected no `misses` beside `target_risks`"):
        fit_several(FILE, target_risks=(0.1, 0.2), misses={1: 0.1})


# The file


def signed(data):
    body = json.loads(json.dumps({k: v for k, v in data.items() if k != "checksum"}))
    return {**body, "checksum": checksum(body)}


@pytest.mark.parametrize("fitted", [ALONE, BOTH])
def test_a_rejector_with_misses_is_read_back(tmp_path, fitted):
    fitted.save(tmp_path / "r.json")
    again = Rejector.load(tmp_path / "r.json")
    assert again == fitted
    assert str(again) == str(fitted)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"missed": 200}, "its counts do not support its guarantee: 200 missed of"),
        ({"target": 0.0001}, "do not support"),
        ({"label": 2}, "a class in 0..1"),
        ({"delta": 0.4}, "at delta 0.05 each|do not support|at delta"),
        ({"n": 5000}, "of the rows and errors of the guarantee"),
        ({"missed": -1}, "counts missed <= n"),
        ({"more": 1}, "`misses`"),
    ],
)
def test_changed_counts_are_refused(change, message):
    data = ALONE.to_dict()
    data["misses"][0] |= change
    with pytest.raises(InputError, match=message):
        Rejector.from_dict(signed(data))


def test_limits_twice_or_none_are_refused():
    data = ALONE.to_dict()
    data["misses"] *= 2
    with pytest.raises(InputError, match="once for each class"):
        Rejector.from_dict(signed(data))
    data["misses"] = []
    with pytest.raises(InputError):
        Rejector.from_dict(signed(data))
    del data["misses"]
    with pytest.raises(InputError, match="expected `misses` alone or beside a risk, got 0"):
        Rejector.from_dict(signed(data))
    other = recuse.fit(draw(500, 0), coverage=0.5, learned=False).to_dict()
    other["misses"] = ALONE.to_dict()["misses"]
    with pytest.raises(InputError, match=r"expected guarantees at .* each"):
        Rejector.from_dict(signed(other))


# The command line


def test_the_command_line_takes_misses(tmp_path, monkeypatch, capsys):
    def run(*arguments):
        monkeypatch.setattr("sys.argv", ["recuse", *arguments])
        with pytest.raises(SystemExit) as end:
            main()
        said = capsys.readouterr()
        return end.value.code, " ".join((said.out + said.err).split())

    monkeypatch.chdir(tmp_path)
    write_logits("cases.npz", FILE)
    code, said = run("fit", "cases.npz", "--misses", "sick=0.02")
    assert not code
    assert "Of true class sick, at most 2 % are answered with another class" in said
    assert Rejector.load("rejector.json").rules == ALONE.rules
    both = ("--misses", "sick=0.02", "--target-risk", "0.05", "--force", "--json")
    code, said = run("fit", "cases.npz", *both)
    assert not code
    assert json.loads(said)["misses"][0]["label"] == 1
    assert Rejector.load("rejector.json").misses == BOTH.misses
    code, said = run("fit", "cases.npz", "--misses", "sick=0.0001", "--force")
    assert code == 1
    assert "no threshold limits the misses of true class sick" in said
    for text in ("sick", "sick=a"):
        code, said = run("fit", "cases.npz", "--misses", text, "--force")
        assert code == 2
        assert "expected --misses such as sick=0.0" in said
    code, said = run("fit", "cases.npz", "--force")
    assert code == 2
    assert "--misses" in said
