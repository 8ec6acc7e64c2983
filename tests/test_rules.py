"""Promises of every kind, in the artifact."""

import copy
import json
import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import recuse
import reference_guarantees as reference
from recuse import InfeasibleError, InputError, Rejector
from recuse._internal.files import checksum
from recuse.io import HeldOut
from recuse.rejector import CLASS, SUBGROUP, Rule, choose, explain, fit_several
from recuse.scores import Score
from recuse.selectors import CostGuarantee, SubgroupSelection, select_cost
from recuse.selectors._goals import cost_interval, cost_upper
from recuse.selectors._methods import METHODS
from rejectors import altered
from samples import equal_costs, pixels

HARD = 3  # a class of which nothing can be guaranteed


def draw(n, seed, classes=4):
    """Logits whose class HARD is mostly wrong."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, classes, n)
    z = rng.normal(size=(n, classes))
    z[np.arange(n), labels] += np.where(labels == HARD, 0.0, 5.0) * rng.uniform(size=n)
    return z, labels


TUNE, CALIBRATE, TEST = (draw(2000, seed) for seed in range(3))
WRONG = TUNE[0], TUNE[0].argmin(axis=1)
SITE = {k: np.where(np.arange(2000) % 3 == k % 3, "south", "north") for k in range(3)}
QUICK = {"learned": False}


def by_cost(tune):
    """As version 0.1 fitted a cost of an error and of an abstention."""
    fitted = recuse.fit(TUNE, CALIBRATE, target_risk=0.1, **QUICK)
    seen, held = ((fitted.score(z), z.argmax(axis=1) != y) for z, y in (tune, CALIBRATE))
    found = select_cost(*held, cost_error=10, cost_abstain=1, tune=seen)
    return altered(fitted, found.threshold, found.guarantee)


FITTED = {
    "risk": recuse.fit(TUNE, CALIBRATE, target_risk=0.1, **QUICK),
    "band": recuse.fit(TUNE, CALIBRATE, target_risk=0.1, method="band", **QUICK),
    "coverage": recuse.fit(TUNE, CALIBRATE, coverage=0.8, **QUICK),
    "everything": recuse.fit(TUNE, draw(20, 1), coverage=0.9, **QUICK),
    "cost": by_cost(TUNE),
    "nothing": by_cost(WRONG),
    "mean cost": recuse.fit(TUNE, CALIBRATE, costs=equal_costs(4)),
    "class": recuse.fit(TUNE, CALIBRATE, target_risk=0.1, subgroups="class", **QUICK),
    "subgroup": recuse.fit(TUNE, CALIBRATE, target_risk=0.1, subgroups=(SITE[0], SITE[1]), **QUICK),
    "joint": recuse.fit(TUNE, CALIBRATE, target_risk=0.05, among="all", **QUICK),
    "joint class": recuse.fit(
        TUNE, CALIBRATE, target_risk=0.05, among="all", subgroups="class", **QUICK
    ),
}


def subgroups_of(rejector, k=2):
    return SITE[k] if rejector.by == SUBGROUP else None


@pytest.mark.parametrize("name", FITTED)
def test_every_guarantee_reads_back_equal_and_decides_the_same(tmp_path, name):
    rejector = FITTED[name]
    rejector.save(tmp_path / "r.json")
    json.loads((tmp_path / "r.json").read_text(), parse_constant=pytest.fail)
    again = Rejector.load(tmp_path / "r.json")
    assert again == rejector
    assert str(again) == str(rejector)
    subgroups = subgroups_of(rejector)
    found = again.predict(TEST[0], subgroups)
    for one, other in zip(found, rejector.predict(TEST[0], subgroups)):
        np.testing.assert_array_equal(one, other)
    expected = reference.decisions(rejector, found.prediction, found.confidence, subgroups)
    assert found.accept.tolist() == expected


@pytest.mark.parametrize("name", FITTED)
def test_each_guarantee_counts_what_its_rule_accepts_of_calibrate(name):
    rejector = FITTED[name]
    data = draw(20, 1) if name == "everything" else CALIBRATE
    subgroups = subgroups_of(rejector, 1)
    p = rejector.predict(data[0], subgroups)
    of = {CLASS: p.prediction, SUBGROUP: subgroups}.get(rejector.by)
    for rule in rejector.rules:
        rows = np.ones(len(data[0]), bool) if rule.subgroup is None else of == rule.subgroup
        assert rule.guarantee.n == rows.sum()
        assert rule.guarantee.accepted == (rows & p.accept).sum()
        if rule.guarantee.kind not in ("coverage", "mean_cost"):
            assert rule.guarantee.errors == (p.prediction != data[1])[rows & p.accept].sum()
        assert rule.guarantee.delta == pytest.approx(rejector.delta / len(rejector.rules))


def test_an_always_abstained_class_accepts_no_confidence_at_all():
    rejector = FITTED["class"]
    rule = rejector.rules[HARD]
    assert rule.threshold == math.inf
    assert rule.reason.startswith("Infeasible")
    assert (rule.guarantee.n > 0, rule.guarantee.accepted) == (True, 0)
    certain = np.full((4, 4), -np.inf)
    np.fill_diagonal(certain, 0.0)
    sure = replace(rejector, score=Score("msp")).predict(certain)
    assert sure.confidence.tolist() == [np.inf] * 4
    assert sure.accept.tolist() == [True, True, True, False]
    assert "Always abstained on: 3." in str(rejector)


def test_a_class_that_calibrate_does_not_show_has_a_rule_without_a_threshold():
    z, y = CALIBRATE
    kept = z.argmax(axis=1) != HARD
    rejector = recuse.fit(TUNE, (z[kept], y[kept]), target_risk=0.1, subgroups="class", **QUICK)
    rule = rejector.rules[HARD]
    assert (rule.threshold, rule.guarantee.n) == (math.inf, 0)
    assert "No calibration row" in rule.reason
    assert rejector.rules[0].guarantee.delta == 0.05 / 3
    assert Rejector.from_dict(json.loads(json.dumps(rejector.to_dict()))) == rejector


@pytest.mark.parametrize("options", [{}, {"method": "bonferroni"}, {"among": "all"}])
def test_confidences_of_minus_infinity_are_abstained_on(tmp_path, options):
    rng = np.random.default_rng(0)
    c = np.where(np.arange(2000) < 300, -np.inf, rng.uniform(size=2000)).astype(np.float32)
    file = HeldOut(c[:, None], (rng.uniform(size=2000) < 0.99).astype(int), kind="confidences")
    rejector = recuse.fit(file, target_risk=0.05, **options)
    rejector.save(tmp_path / "r.json")
    assert Rejector.load(tmp_path / "r.json") == rejector
    assert rejector.predict(file).accept.sum() == rejector.guarantee.accepted == 1700


def test_a_class_that_is_never_predicted_has_no_bets():
    z, y = CALIBRATE
    kept = z.argmax(axis=1) != HARD
    rejector = recuse.fit(
        TUNE,
        (z[kept], y[kept]),
        target_risk=0.1,
        subgroups="class",
        method="betting",
        **QUICK,
    )
    assert [bool(rule.guarantee.bets) for rule in rejector.rules] == [True, True, True, False]


def test_groups_that_calibrate_did_not_have_are_abstained_on():
    subgroups = np.where(np.arange(2000) < 1000, "east", SITE[2])
    accept = FITTED["subgroup"].predict(TEST[0], subgroups).accept
    assert not accept[:1000].any()
    assert accept[1000:].any()


def test_groups_are_asked_for_where_thresholds_are_of_groups_and_only_there():
    with pytest.raises(InputError, match="expected `subgroups`, one for each row"):
        FITTED["subgroup"].predict(TEST[0])
    for name in ("risk", "class", "cost"):
        with pytest.raises(InputError, match="expected no `subgroups`"):
            FITTED[name].predict(TEST[0], SITE[2])
    with pytest.raises(InputError, match="`subgroups` of text, as fitted, got int64"):
        FITTED["subgroup"].predict(TEST[0], np.arange(2000))
    with pytest.raises(InputError, match="`subgroups`"):
        FITTED["subgroup"].predict(TEST[0], SITE[2][:5])
    with pytest.raises(InputError, match="one threshold, got one by class"):
        FITTED["class"].threshold  # noqa: B018


def test_integers_may_name_subgroups(tmp_path):
    codes = [np.where(SITE[k] == "south", 7, 9) for k in range(3)]
    rejector = recuse.fit(TUNE, CALIBRATE, target_risk=0.1, subgroups=codes[:2], **QUICK)
    rejector.save(tmp_path / "r.json")
    again = Rejector.load(tmp_path / "r.json")
    assert [rule.subgroup for rule in again.rules] == [7, 9]
    text = FITTED["subgroup"].predict(TEST[0], SITE[2]).accept
    np.testing.assert_array_equal(again.predict(TEST[0], codes[2]).accept, text)


def test_pixels_have_the_group_of_their_image():
    z, labels = pixels(60, classes=5, seed=0)
    other, other_labels = pixels(60, classes=5, seed=1)
    site = np.where(np.arange(60) % 2, "a", "b")
    options = {"target_risk": 0.6, "delta": 0.4, **QUICK}
    rejector = recuse.fit((z, labels), (other, other_labels), subgroups=(site, site), **options)
    assert rejector.guarantee.n == 60  # one pixel of each image
    found = rejector.predict(z, site)
    assert found.accept.shape == labels.shape
    for i in range(4):
        one = rejector.predict(z[i : i + 1], site[i : i + 1])
        np.testing.assert_array_equal(one.accept[0], found.accept[i])


def test_ignored_rows_keep_no_place_in_the_subgroups():
    z, y = CALIBRATE
    void = np.arange(2000) % 5 == 0
    holed = HeldOut(z, np.where(void, 99, y), ignore_index=99)
    kept = recuse.fit(TUNE, holed, target_risk=0.1, subgroups=(SITE[0], SITE[1]), **QUICK)
    rows = (z[~void], y[~void])
    cut = recuse.fit(TUNE, rows, target_risk=0.1, subgroups=(SITE[0], SITE[1][~void]), **QUICK)
    assert kept.rules == cut.rules


def test_dependent_rows_count_once_in_each_population():
    code = np.arange(2000) // 2
    file = HeldOut(*CALIBRATE, groups=code)
    rejector = recuse.fit(TUNE, file, target_risk=0.1, subgroups="class", **QUICK)
    assert rejector.guarantee.n == rejector.splits["calibrate"]["used"] == 1000
    assert "one random row of each was used" in str(rejector)
    assert Rejector.from_dict(json.loads(json.dumps(rejector.to_dict()))) == rejector
    covering = recuse.fit(TUNE, file, coverage=0.8, **QUICK)
    assert "of 1000 calibration groups accepted; groups are i.i.d." in str(covering)


@pytest.mark.parametrize(
    "options", [{"coverage": 0.8}, {"costs": equal_costs(4)}, {"subgroups": "class"}]
)
def test_splits_that_overlap_void_every_guarantee(options):
    target = {} if "subgroups" not in options else {"target_risk": 0.1}
    rejector = recuse.fit(TUNE, TUNE, allow_overlap=True, **options, **target, **QUICK)
    assert rejector.guarantee.void
    assert str(rejector.guarantee).startswith(
        "No guarantee: the tuning and the calibration split share rows"
    )
    assert Rejector.from_dict(json.loads(json.dumps(rejector.to_dict()))).guarantee.void


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "one of `target_risk`, `coverage` and `costs`, or `misses`, got none"),
        ({"target_risk": 0.1, "coverage": 0.8}, "got `target_risk` and `coverage`"),
        ({"coverage": 1.2}, "`coverage` in"),
        ({"coverage": 0.8, "subgroups": "class"}, "`subgroups` with a target risk alone"),
        ({"costs": equal_costs(4), "subgroups": "class"}, "`subgroups` with a target risk alone"),
        ({"coverage": 0.8, "objective": "coverage"}, "`objective` with a target risk alone"),
        ({"costs": equal_costs(4), "method": "sgr"}, "`method` with a target risk alone"),
        ({"target_risk": 0.1, "subgroups": "label"}, "tune: expected subgroups .label., got none"),
        ({"target_risk": 0.1, "method": "bets"}, "betting, sgr, got 'bets'"),
        ({"target_risk": 0.1, "subgroups": (SITE[0], np.arange(2000))}, "one kind"),
        (
            {"target_risk": 0.1, "subgroups": (SITE[0], SITE[1][:7])},
            "calibrate: expected `subgroups` of shape",
        ),
        (
            {"target_risk": 0.1, "subgroups": (SITE[0] == "south", SITE[1] == "south")},
            "`subgroups` of an int",
        ),
        (
            {"target_risk": 0.1, "subgroups": (np.ones(2000), np.ones(2000))},
            "`subgroups` of an integer or str",
        ),
        ({"coverage": 0.8, "among": "all"}, "`among` with a target risk alone"),
        ({"target_risk": 0.1, "among": "all", "method": "sgr"}, "auto, monotone with among='all'"),
        ({"target_risk": 0.1, "among": "all", "objective": "coverage"}, "aurc or augrc with among"),
        ({"target_risk": 0.1, "among": "any"}, "`among` accepted or all, got 'any'"),
    ],
)
def test_what_cannot_be_guaranteed_is_refused(options, message):
    with pytest.raises(InputError, match=message):
        recuse.fit(TUNE, CALIBRATE, **options)


def test_no_subgroup_that_can_be_guaranteed_anything_is_infeasible():
    with pytest.raises(InfeasibleError, match="Infeasible for every one of 4 predicted classes"):
        recuse.fit(TUNE, CALIBRATE, target_risk=0.0001, subgroups="class", **QUICK)
    choice = choose(TUNE, CALIBRATE, target_risk=0.0001, subgroups="class", **QUICK)
    assert choice.rejector is None
    assert isinstance(choice.selection, SubgroupSelection)


def test_several_targets_hold_at_once_with_one_score():
    choices = fit_several(TUNE, CALIBRATE, target_risks=(0.0001, 0.05, 0.1), **QUICK)
    assert [c.rejector is None for c in choices] == [True, False, False]
    for choice, target in zip(choices[1:], (0.05, 0.1)):
        share = 0.05 / 3
        alone = recuse.fit(TUNE, CALIBRATE, target_risk=target, delta=share, **QUICK)
        assert choice.rejector.threshold == alone.threshold
        assert choice.rejector.delta == share
        assert "3 such guarantees hold at once with 95 % confidence" in str(choice.rejector)
        data = json.loads(json.dumps(choice.rejector.to_dict()))
        assert Rejector.from_dict(data) == choice.rejector
    with pytest.raises(InputError, match="aurc or augrc"):
        fit_several(TUNE, CALIBRATE, target_risks=(0.05, 0.1), objective="coverage")
    with pytest.raises(InputError, match="distinct `target_risks`"):
        fit_several(TUNE, CALIBRATE, target_risks=(0.05, 0.05), **QUICK)


# Reading


def changed(name, path, value, *, agree=True):
    """The file with one field set, and, unless told otherwise, a checksum that fits."""
    data = json.loads(json.dumps(FITTED[name].to_dict()))
    *parents, last = path.split(".")
    place = data
    for key in parents:
        place = place[int(key) if key.isdigit() else key]
    last = int(last) if last.isdigit() else last
    if value is ...:
        del place[last]
    else:
        place[last] = value(place[last]) if callable(value) else value
    if agree:
        data["checksum"] = checksum({k: v for k, v in data.items() if k != "checksum"})
    return data


def more(by=1):
    return lambda x: x + by


@pytest.mark.parametrize(
    ("name", "path", "value", "message"),
    [
        ("coverage", "rules.0.guarantee.rank", more(1), "do not make a coverage"),
        ("coverage", "rules.0.guarantee.rank", more(-1), "do not make a coverage"),
        ("coverage", "rules.0.guarantee.rank", None, "do not make a coverage"),
        ("coverage", "rules.0.guarantee.rank", 0, "do not make a coverage"),
        ("coverage", "rules.0.guarantee.accepted", more(-1000), "do not make a coverage"),
        ("coverage", "rules.0.guarantee.coverage", 0.9, "do not make a coverage"),
        ("coverage", "rules.0.guarantee.coverage", 0.5, "smallest rank"),
        ("coverage", "rules.0.guarantee.delta", 1e-6, "do not make a coverage"),
        ("coverage", "rules.0.guarantee.coverage", math.nan, "fractions"),
        ("coverage", "rules.0.guarantee.errors", 1, "unknown field 'errors'"),
        ("everything", "rules.0.guarantee.rank", 20, "do not make a coverage"),
        ("everything", "rules.0.guarantee.accepted", 19, "do not make a coverage"),
        ("everything", "rules.0.guarantee.coverage", 0.5, "smallest rank"),
        ("everything", "rules.0.threshold", "0.0", "without a rank, got 0.0"),
        ("cost", "rules.0.guarantee.upper", lambda x: x * (1 - 1e-6), "limit the mean cost"),
        ("cost", "rules.0.guarantee.upper", math.nan, "limit the mean cost"),
        ("cost", "rules.0.guarantee.stake", lambda x: x * 0.9, "limit the mean cost"),
        ("cost", "rules.0.guarantee.stake", 1.5, "a `stake`"),
        ("cost", "rules.0.guarantee.stake", 0.0, "a `stake`"),
        ("cost", "rules.0.guarantee.errors", more(-1), "limit the mean cost"),
        ("cost", "rules.0.guarantee.accepted", more(1), "limit the mean cost"),
        ("cost", "rules.0.guarantee.cost_error", 9.0, "limit the mean cost"),
        ("cost", "rules.0.guarantee.cost_abstain", -1.0, "a positive number"),
        ("cost", "rules.0.guarantee.delta", 0.01, "limit the mean cost"),
        ("cost", "rules.0.guarantee.kind", "price", "a kind among risk, coverage, cost"),
        ("cost", "rules.0.guarantee.kind", "risk", "a known method"),
        ("cost", "rules.0.guarantee.kind", [], "a kind among"),
        ("band", "rules.0.guarantee.method", "bonferroni", "`points`"),
        ("band", "rules.0.guarantee.method", "bets", "a known method, got 'bets'"),
        ("class", "rules.0.guarantee.errors", more(80), "counts do not support"),
        ("class", "rules.0.guarantee.delta", 0.05, "expected guarantees at 0.05 / 4 each"),
        ("class", "rules.0.guarantee.n", more(1), "calibration split"),
        ("subgroup", "rules.0.guarantee.target_risk", 0.2, "one target"),
        ("class", "rules.0.guarantee.void", True, "one target, unit and validity"),
        ("class", "rules.0.guarantee.share", 0.9, "share of delta and ungrouped columns"),
        ("class", "rules.1.guarantee.ungrouped", ["site"], "share of delta and ungrouped columns"),
        ("class", "rules.1", ..., "one rule for each of 4 classes, got 3"),
        ("class", "rules.1.subgroup", 0, "one rule for each of 4 classes"),
        ("class", "rules.1.subgroup", True, "`subgroup`"),
        ("class", "rules.3.threshold", "0.5", "of a rule"),
        ("class", "rules.3.infeasible", None, "expected `infeasible` beside"),
        ("class", "rules.3.infeasible.smallest_target", 0, "positive numbers"),
        ("class", "rules.3.infeasible.rows_needed", -1, "positive numbers"),
        ("class", "rules.0.infeasible", {}, "`infeasible`"),
        ("class", "rules.3.guarantee.accepted", 1, "nothing accepted without a threshold"),
        ("class", "delta", 0.04, "expected guarantees at 0.04 / 4 each"),
        ("class", "delta", 0.6, "`delta` in (0, 0.5), a fraction, got 0.6"),
        ("class", "classes", 10**18, "each of 1000000000000000000 classes, got 4 rules"),
        ("class", "by", "all", "`subgroup`"),
        ("class", "by", "label", "`by`"),
        ("class", "rules", [], "one rule for each of 4 classes, got 0"),
        ("class", "rules.2", 7, "a rule"),
        ("subgroup", "rules.1", ..., "expected guarantees at 0.05 / 1 each"),
        ("subgroup", "rules.1.subgroup", "north", "one rule for each subgroup"),
        ("subgroup", "rules.1.subgroup", 3, "one rule for each subgroup"),
        ("subgroup", "rules.1.subgroup", None, "`subgroup`"),
        ("risk", "rules.0.subgroup", "north", "`subgroup`"),
        ("risk", "rules.0.threshold", None, "`threshold_hex`"),
        ("joint", "rules.0.guarantee.errors", more(30), "errors among 2000 rows have a p-value"),
        ("joint", "rules.0.guarantee.target_risk", 0.03, "counts do not support"),
        ("joint", "rules.0.guarantee.among", "accepted", "`among` all, or none, got 'accepted'"),
        ("joint", "rules.0.guarantee.among", [], "`among` all, or none, got []"),
        ("joint", "rules.0.guarantee.among", ..., "a known method, got 'monotone'"),
        ("joint", "rules.0.guarantee.method", "sgr", "a known method, got 'sgr'"),
        ("risk", "rules.0.guarantee.among", "all", "a known method, got 'fixed_sequence'"),
        ("joint class", "rules.0.guarantee.errors", more(30), "counts do not support"),
        ("nothing", "rules.0.infeasible", {}, "expected `infeasible` beside"),
        ("nothing", "rules.0.guarantee.accepted", 5, "limit the mean cost"),
    ],
)
def test_parts_that_disagree_are_refused_whatever_the_checksum(
    tmp_path, name, path, value, message
):
    file = tmp_path / "r.json"
    file.write_text(json.dumps(changed(name, path, value)))
    with pytest.raises(InputError) as error:
        Rejector.load(file)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("method", "n", "errors", "sound"),
    [
        ("fixed_sequence", 1000, 80, True),
        ("fixed_sequence", 1000, 90, False),
        ("random_walk", 1000, 90, False),
        ("random_walk", 1000, 70, True),
        ("bonferroni", 1000, 76, False),
        ("band", 1000, 73, False),
        ("sgr", 1000, 73, True),
        ("sgr", 1000, 76, False),
    ],
)
def test_a_guarantee_of_any_method_follows_from_its_counts(method, n, errors, sound):
    other = {"method": method, "n": n, "accepted": n, "errors": errors}
    other["assumptions"] = ["iid_rows", *METHODS[method].assumptions]
    other["points"] = 50 if method == "band" else None
    data = changed("risk", "rules.0.guarantee", lambda old: old | other)
    data["splits"]["calibrate"] |= {"n": n, "used": n}
    data["checksum"] = checksum({k: v for k, v in data.items() if k != "checksum"})
    if sound:
        assert Rejector.from_dict(data).guarantee.errors == errors
        return
    with pytest.raises(InputError, match="counts do not support its guarantee"):
        Rejector.from_dict(data)


def test_a_group_of_python_objects_is_named_as_any_other(tmp_path):
    sites = [SITE[k].astype(object) for k in range(2)]
    rejector = recuse.fit(TUNE, CALIBRATE, target_risk=0.1, subgroups=sites, **QUICK)
    assert rejector.rules == FITTED["subgroup"].rules
    accept = rejector.predict(TEST[0], SITE[2].tolist()).accept
    np.testing.assert_array_equal(accept, FITTED["subgroup"].predict(TEST[0], SITE[2]).accept)


def test_a_file_made_by_hand_is_checked_as_one_that_was_read():
    z, y = TUNE
    lists = HeldOut(z.tolist(), y.tolist(), name="by hand")
    assert recuse.fit(lists, CALIBRATE, target_risk=0.1, **QUICK) == FITTED["risk"]
    for file, message in [
        (HeldOut(z, y[:9], name="by hand"), "by hand: expected `labels` of shape"),
        (HeldOut(z, y + 1, name="by hand"), r"by hand: expected `labels` in 0..3, got 4"),
        (HeldOut(z, y, groups=y[:3], name="by hand"), "by hand: expected `groups` of shape"),
        (HeldOut(z, name="by hand"), "by hand: expected `labels`, got logits alone"),
        (7, "tune: expected (outputs, labels) or a HeldOut, got 7"),
    ]:
        with pytest.raises(InputError) as error:
            recuse.fit(file, CALIBRATE, target_risk=0.1)
        assert message.replace("\\", "") in str(error.value)
    other = HeldOut(np.ones((5, 3)), np.zeros(5, int), name="other.npz")
    with pytest.raises(InputError, match=r"classes, got 4 in tune and 3 in other.npz"):
        recuse.fit(TUNE, other, target_risk=0.1)


def test_probabilities_are_tuned_as_what_they_are():
    splits = [(np.exp(z) / np.exp(z).sum(axis=1, keepdims=True), y) for z, y in (TUNE, CALIBRATE)]
    rejector = recuse.fit(*splits, target_risk=0.1, kind="probs")
    assert rejector.score == Score("msp")
    assert "other scores need logits" in rejector.reason


def test_a_rule_that_stands_twice_is_refused():
    for name in ("risk", "class", "subgroup"):
        data = copy.deepcopy(json.loads(json.dumps(FITTED[name].to_dict())))
        data["rules"].append(data["rules"][0])
        data["checksum"] = checksum({k: v for k, v in data.items() if k != "checksum"})
        with pytest.raises(InputError, match="expected one rule for"):
            Rejector.from_dict(data)


@pytest.mark.parametrize("name", ["class", "subgroup"])
def test_a_lowered_threshold_is_refused_as_changed(name):
    lower = float(FITTED[name].rules[0].threshold) - 0.5
    data = changed(name, "rules.0.threshold", repr(lower), agree=False)
    data["rules"][0]["threshold_hex"] = lower.hex()
    with pytest.raises(InputError, match="changed after it was saved"):
        Rejector.from_dict(data)


def test_a_threshold_given_to_an_abstained_class_has_no_counts_to_support_it():
    data = changed("class", "rules.3.threshold", "0.5")
    data["rules"][3] |= {"threshold_hex": (0.5).hex(), "infeasible": None}
    data["checksum"] = checksum({k: v for k, v in data.items() if k != "checksum"})
    with pytest.raises(InputError, match="counts do not support its guarantee: 0 errors among 0"):
        Rejector.from_dict(data)


# Costs


@given(
    n=st.integers(1, 60),
    share=st.floats(0, 1),
    wrong=st.floats(0, 1),
    costs=st.sampled_from([(10.0, 1.0), (1.0, 1.0), (1.0, 4.0)]),
    stake=st.sampled_from([0.05, 0.3, 1.0]),
    delta=st.sampled_from([0.01, 0.1, 0.4]),
)
def test_the_limit_of_a_cost_is_what_a_bettor_rules_out(n, share, wrong, costs, stake, delta):
    accepted = round(share * n)
    errors = round(wrong * accepted)
    found = cost_upper(CostGuarantee(*costs, None, stake, delta, n, accepted, errors))
    expected = reference.cost_upper(accepted, errors, n, *costs, stake, delta)
    assert found == pytest.approx(expected, abs=max(costs) / 20_000 + 1e-9)


def test_the_interval_of_a_cost_holds_its_mean_and_closes_in():
    guarantee = FITTED["cost"].guarantee
    widths = []
    for n in (100, 1000, 100_000):
        low, high = cost_interval(guarantee, n, n // 2, n // 50)
        assert low < 0.7 < high
        widths.append(high - low)
    assert widths[0] > widths[1] > 5 * widths[2]


# Validity


def test_each_class_keeps_its_guarantee_where_the_risk_is_flat():
    """The error does not depend on the logits, so whatever is accepted breaks the guarantee."""
    delta, draws, broken = 0.2, 150, 0
    rng = np.random.default_rng(5)

    def flat(n):
        z = rng.normal(size=(n, 3))
        wrong = rng.uniform(size=n) < 0.1001
        return z, (z.argmax(axis=1) + wrong * rng.integers(1, 3, n)) % 3

    for _ in range(draws):
        options = {
            "target_risk": 0.1,
            "delta": delta,
            "subgroups": "class",
            "method": "random_walk",
        }
        broken += choose(flat(300), flat(600), **options, **QUICK).rejector is not None
    assert broken / draws <= delta + 3 * math.sqrt(delta * (1 - delta) / draws)
    assert broken > 0  # and it would be seen


def test_the_limit_of_a_cost_is_too_low_in_at_most_delta_of_draws():
    """Accepted errors are one in twenty: a prediction costs 10 / 20 or 1, half of them each."""
    delta, draws, n = 0.1, 3000, 400
    rng = np.random.default_rng(6)
    true = 0.5 * 10 * 0.05 + 0.5 * 1
    accepted = rng.binomial(n, 0.5, draws)
    errors = rng.binomial(accepted, 0.05)
    for stake in (0.05, 0.2, 1.0):
        found = [
            cost_upper(CostGuarantee(10.0, 1.0, None, stake, delta, n, int(a), int(e))) < true
            for a, e in zip(accepted, errors)
        ]
        assert np.mean(found) <= delta + 3 * math.sqrt(delta * (1 - delta) / draws)


# Why


def test_an_explanation_tells_the_threshold_of_its_own_class_or_subgroup():
    rejector = FITTED["class"]
    p = rejector.predict(TEST[0])
    rows = [int(np.flatnonzero(p.prediction == k)[0]) for k in range(4)]
    for k, found in enumerate(explain(rejector, HeldOut(*TEST), rows)):
        assert (found.subgroup, found.threshold) == (k, rejector.rules[k].threshold)
        assert found.accept == p.accept[found.row]
        assert (found.p_at_threshold is None) == (k == HARD)
    (found,) = explain(FITTED["subgroup"], HeldOut(*TEST), [5], subgroups=SITE[2])
    rule = {rule.subgroup: rule for rule in FITTED["subgroup"].rules}[SITE[2][5]]
    assert (found.subgroup, found.threshold) == (SITE[2][5], rule.threshold)
    (found,) = explain(FITTED["risk"], HeldOut(*TEST), [5])
    assert found.subgroup is None


def test_a_rejector_made_by_hand_says_what_it_holds():
    rejector = FITTED["risk"]
    assert rejector.rules == (Rule(None, rejector.threshold, rejector.guarantee),)
    assert FITTED["nothing"].threshold == math.inf
    assert not FITTED["nothing"].predict(TEST[0]).accept.any()
