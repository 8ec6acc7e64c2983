import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import recuse as rc
from recuse.errors import DataWarning
from recuse.scores import Score
from recuse.tuning import MSP, Trial, default_candidates, tune
from recuse.tuning._tune import _lexsorted
from validity.false_switches import calibrated, cost


def flattened(n, seed, classes=5, damage=0.8):
    """Logits whose MSP hides what their scale tells: right rows are pressed down."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, classes, n)
    z = rng.normal(size=(n, classes))
    z[np.arange(n), labels] += rng.exponential(2.0, n)
    right = z.argmax(axis=1) == labels
    z = z - z.mean(axis=1, keepdims=True)
    top = z.argmax(axis=1)
    # a common offset of the losers changes the norm and, through the top logit, hardly MSP
    z[~right] *= 1 + damage
    z[~right, top[~right]] *= 1 / (1 + 0.4 * damage)
    return z.astype(np.float32), labels


def random_confidence(n, seed, classes=5):
    """Every score is noise: errors fall anywhere."""
    rng = np.random.default_rng(seed)
    z = rng.normal(size=(n, classes)).astype(np.float32)
    labels = np.where(rng.uniform(size=n) < 0.7, z.argmax(axis=1), rng.integers(0, classes, n))
    return z, labels


def test_a_repair_that_really_helps_is_adopted_with_its_reason():
    z, y = flattened(3000, 0)
    tuned = tune(z, y)
    assert tuned.repaired
    assert tuned.score.name in ("logit_norm", "learned")
    assert "reduces AURC by" in tuned.reason
    assert tuned.gain > 1.6 * tuned.gain_se > 0
    before, after = (rc.aurc(s(z), z.argmax(1) != y) for s in (MSP, tuned.score))
    assert after < before


def test_the_table_holds_the_aurc_of_every_candidate_on_the_decision_path():
    z, y = flattened(400, 1)
    assert [score.name for score, _ in tune(z, y).table] == ["msp", "learned"]
    tuned = tune(z, y, candidates=default_candidates(5))
    *listed, learned = tuned.table
    assert [score for score, _ in listed] == [MSP, *default_candidates(5)]
    for score, area in listed:
        assert area == pytest.approx(rc.aurc(score(z), z.argmax(1) != y), abs=1e-15)
    trial = next(t for t in tuned.trials if t.family == "learned")
    assert learned[0].name == "learned"
    assert learned[1] == listed[0][1] - trial.gain  # not the area on the rows it was fitted to


@pytest.mark.parametrize("seed", range(3))
def test_the_confidence_of_the_tuning_rows_is_that_of_the_score(seed):
    for z, y in (
        flattened(600, seed),
        random_confidence(600, seed),
        (5 * np.eye(5)[[0, 1]], [0, 1]),
    ):
        z = z.round(1)  # ties
        for options in ({}, {"learned": False, "refine": True}, {"groups": np.arange(len(z)) // 2}):
            tuned = tune(z, y, **options)
            np.testing.assert_array_equal(tuned.seen, tuned.confidence(z))


@given(st.lists(st.tuples(*(st.sampled_from([-np.inf, -0.0, 0.0, 1.0, np.inf]),) * 3), min_size=1))
def test_rows_are_ordered_as_by_lexsort(rows):
    keys = np.array(rows).T
    np.testing.assert_array_equal(_lexsorted(keys), np.lexsort(keys))


def test_msp_is_kept_where_no_gain_exceeds_its_standard_error():
    z, y = calibrated(500, 0)
    tuned = tune(z, y)
    assert tuned.score == MSP
    assert tuned.outcome in ("not_significant", "no_gain")
    assert tuned.reason.startswith("Kept MSP: the best alternative, ")


def test_two_classes_keep_msp_and_say_why():
    z, y = flattened(200, 0, classes=2)
    tuned = tune(z, y, learned=False)
    assert tuned.score == MSP
    assert tuned.outcome == "two_classes"
    assert "two classes" in tuned.reason


@pytest.mark.parametrize("right", [True, False])
def test_a_model_that_is_always_right_or_wrong_keeps_msp(right):
    z = np.random.default_rng(0).normal(size=(50, 3)).astype(np.float32)
    labels = z.argmax(axis=1) if right else z.argmin(axis=1)
    tuned = tune(z, labels)
    assert tuned.score == MSP
    assert tuned.outcome == "few_errors"
    assert f"{0 if right else 50} of 50" in tuned.reason


def test_few_rows_keep_msp_and_say_so():
    z, y = flattened(49, 3)
    tuned = tune(z, y)
    assert (tuned.outcome, tuned.facts.units, tuned.facts.needed) == ("few_rows", 49, 50)
    assert "49 independent rows" in tuned.reason


@pytest.mark.parametrize("grouped", [False, True])
def test_shuffling_the_rows_changes_no_number(grouped):
    z, y = flattened(600, 2)
    groups = np.repeat(np.arange(200), 3) if grouped else None
    order = np.random.default_rng(0).permutation(600)
    first = tune(z, y, groups=groups)
    second = tune(z[order], y[order], groups=None if groups is None else groups[order])
    assert (first.score, first.gain, first.gain_se, first.table) == (
        second.score, second.gain, second.gain_se, second.table,
    )  # fmt: skip


def test_the_order_of_rows_of_equal_scores_and_other_classes_is_nothing():
    """Rows that are permutations of each other tie in every score, not in the predicted class."""
    z, y = flattened(100, 2)
    shifts = range(5)
    z, y = (
        np.concatenate([np.roll(z, k, axis=1) for k in shifts]),
        np.r_[*((y + k) % 5 for k in shifts)],
    )
    y[:100] = z[:100].argmax(axis=1)  # one class is always right: its intercept is not 0
    order = np.random.default_rng(0).permutation(500)
    first, second = tune(z, y), tune(z[order], y[order])
    assert first.table[-1][0].params["class_intercepts"]
    assert (first.table, first.trials) == (second.table, second.trials)


def test_rows_of_one_group_never_test_what_they_chose():
    z, y = flattened(120, 4)
    repeated = np.repeat(z, 20, axis=0), np.repeat(y, 20)
    alone = tune(z, y)
    apart = tune(*repeated, groups=np.repeat(np.arange(120), 20))
    assert apart.gain_se == pytest.approx(alone.gain_se, rel=0.5)
    assert apart.gain_se > 2 * tune(*repeated).gain_se


def test_candidates_can_be_any_scores():
    z, y = flattened(300, 5)
    tuned = tune(z, y, candidates=[Score("entropy"), Score("margin")], learned=False)
    assert [str(s) for s, _ in tuned.table] == ["msp", "entropy", "margin"]


def test_pixels_are_rows():
    z, y = flattened(4 * 6, 6)
    pixels = np.moveaxis(z.reshape(4, 2, 3, 5), -1, 1)
    tuned = tune(pixels, y.reshape(4, 2, 3))
    assert tuned.n == 24


@pytest.mark.validity
def test_where_msp_is_the_best_order_a_false_switch_is_rare_and_costs_little():
    """The rate and the mean cost of `tests.validity.false_switches`."""
    fresh = calibrated(20000, 1000)
    found = [tune(*calibrated(300, seed)) for seed in range(60)]
    assert np.mean([tuned.repaired for tuned in found]) < 0.15
    assert np.mean([cost(tuned, *fresh) for tuned in found]) < 0.005


def trial(family, gain, se=1.0, spread=0.5):
    return Trial(family, gain, se, spread)


def test_a_gain_must_exceed_its_standard_error():
    assert trial("learned", 1.01).helps
    assert not trial("learned", 1.0).helps
    assert not trial("learned", 0.0, se=0.0, spread=0.0).helps
    assert not trial("learned", 1.0, se=0.0).helps  # it has no standard error
    assert trial("learned", 1.0, se=np.nan).helps  # a coverage has that of the folds alone
    assert not trial("learned", 1.0, se=np.nan, spread=1.0).helps


@pytest.mark.parametrize("objective", ["augrc", "coverage"])
def test_another_objective_chooses_by_its_own_measure(objective):
    z, y = flattened(3000, 0)
    wrong = z.argmax(axis=1) != y
    tuned = tune(z, y, objective=objective, target_risk=0.1, learned=False)
    assert tuned.repaired
    measure = {
        "augrc": rc.augrc,
        "coverage": lambda c, l: -rc.coverage_at_risk(c, l, 0.1),
    }[objective]
    sign = 1 if objective == "augrc" else -1
    assert [sign * value for _, value in tuned.table] == pytest.approx(
        [measure(s(z), wrong) for s, _ in tuned.table], abs=1e-15
    )
    assert measure(tuned.score(z), wrong) == min(sign * v for _, v in tuned.table[1:])
    words = {"augrc": "reduces AUGRC by", "coverage": "increases coverage at 10 % risk by"}
    assert words[objective] in tuned.reason
    assert tuned.to_dict()["objective"] == tuned.objective == objective


def test_the_learned_score_is_listed_with_its_cross_fitted_coverage():
    z, y = flattened(3000, 0)
    tuned = tune(z, y, objective="coverage", target_risk=0.1)
    trial = next(t for t in tuned.trials if t.family == "learned")
    assert trial.gain != 0
    assert tuned.table[-1][1] == tuned.table[0][1] + trial.gain  # a larger coverage is better


def test_an_objective_that_is_not_there_is_named():
    z, y = flattened(100, 0)
    with pytest.raises(rc.InputError, match="`objective` among aurc, augrc, coverage, got 'auc'"):
        tune(z, y, objective="auc")
    with pytest.raises(rc.InputError, match="`target_risk` with the objective coverage"):
        tune(z, y, objective="coverage")


def test_a_refined_order_is_no_worse_on_the_tune_rows():
    z, y = flattened(3000, 0)
    wrong = z.argmax(axis=1) != y
    coarse, fine = (tune(z, y, learned=False, refine=r) for r in (False, True))
    assert coarse.repaired
    assert abs(fine.score.params["p"] - coarse.score.params["p"]) <= 1
    assert rc.aurc(fine.score(z), wrong) <= rc.aurc(coarse.score(z), wrong)
    assert fine.score.params["p"] % 1 != 0  # with 3,000 rows a whole number is never the best


def test_two_classes_can_be_repaired_by_what_the_softmax_ignores():
    rng = np.random.default_rng(0)
    gap, shift = rng.exponential(1, 2000), rng.normal(size=2000)
    right = rng.uniform(size=2000) < 1 / (1 + np.exp(-1 - 2 * shift))
    z = np.stack([gap + shift, shift], axis=1).astype(np.float32)
    tuned = tune(z, np.where(right, 0, 1))
    assert tuned.score.name == "learned"
    assert not tune(z, np.where(right, 0, 1), learned=False).repaired


@pytest.mark.parametrize(
    "params", [{"p": 0}, {"p": 0.5}, {"temperature": -1.0}, {"temperature": 0}]
)
def test_parameters_that_no_score_has_are_refused(params):
    name = "logit_norm" if "p" in params else "msp"
    z, y = flattened(100, 0)
    with pytest.raises(rc.InputError, match="expected"):
        tune(z, y, candidates=[Score(name, params)], learned=False)


def test_a_norm_with_its_own_defaults_can_be_refined():
    z, y = flattened(3000, 0)
    tuned = tune(z, y, candidates=[Score("logit_norm")], learned=False, refine=True)
    assert 3 <= tuned.score.params["p"] <= 5


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_logits_near_the_end_of_float32_are_tested_without_a_warning(dtype, loops):
    z, y = flattened(600, 0)
    z = z.astype(dtype)
    z[0], z[0, 0], z[1, 0] = -3e38, 3e38, -3e38
    assert tune(z, y).reason


def test_few_rows_that_agree_by_luck_do_not_switch():
    """Two rows a fold have no influence and no standard error: a gain of any size is luck."""
    for seed in range(30):
        z, y = random_confidence(12, seed)
        assert not tune(z, y).repaired


def test_with_few_errors_nothing_is_compared():
    z = np.random.default_rng(0).normal(size=(500, 4)).astype(np.float32)
    y = z.argmax(axis=1)
    y[:9] = (y[:9] + 1) % 4
    tuned = tune(z, y)
    assert (tuned.outcome, tuned.facts.errors) == ("few_errors", 9)
    assert "9 of 500 predictions" in tuned.reason


@pytest.mark.parametrize("classes", [5, 2])
def test_a_class_that_is_never_possible_changes_nothing(classes, loops):
    z, y = flattened(1500, 0, classes=classes)
    plain, wider = tune(z, y), tune(np.insert(z, 1, -np.inf, axis=1), y + (y >= 1))
    own = wider.score.params["class_intercepts"]
    assert (len(own), own[1]) == (classes + 1, 0.0)  # of the class that is never predicted
    kept = {**wider.score.params, "class_intercepts": (own[0], *own[2:])}
    assert plain.score == Score("learned", kept)
    assert [value for _, value in plain.table] == [value for _, value in wider.table]
    assert plain.facts == wider.facts


def test_rows_with_fewer_possible_classes_are_tuned_and_scored():
    z, y = flattened(2000, 0)
    rng = np.random.default_rng(1)
    impossible = rng.integers(0, 5, 2000)
    some = (impossible != y) & (rng.uniform(size=2000) < 0.5)
    z[some, impossible[some]] = -np.inf
    alone = rng.uniform(size=2000) < 0.05  # one possible class, right or wrong
    z[alone] = [1, *[-np.inf] * 4]
    with pytest.warns(DataWarning, match=r"impossible \(-inf\) in 76 rows"):
        tuned = tune(z, y)
    assert tuned.repaired
    learned = tuned.table[-1][0]
    assert learned.name == "learned"
    assert np.array_equal(np.isposinf(learned(z)), alone)
    assert (tuned.score(z)[alone] == np.inf).all()
    assert rc.aurc(tuned.score(z), z.argmax(1) != y) < rc.aurc(MSP(z), z.argmax(1) != y)


def test_a_score_is_learned_from_25_errors_on_and_norms_are_tried_below():
    z, y = flattened(400, 1)
    wrong = np.flatnonzero(z.argmax(axis=1) != y)
    for errors, families in ((24, ["candidates"]), (25, ["learned"])):
        kept = np.setdiff1d(np.arange(400), wrong[errors:])
        assert [trial.family for trial in tune(z[kept], y[kept]).trials] == families
    two, labels = flattened(400, 1, classes=2)
    kept = np.setdiff1d(np.arange(400), np.flatnonzero(two.argmax(axis=1) != labels)[24:])
    tuned = tune(two[kept], labels[kept])  # there is no norm to try
    assert (tuned.outcome, tuned.facts.errors, tuned.facts.needed) == ("few_errors", 24, 25)


def test_uncertain_rows_of_one_group_are_no_sample_to_learn_from():
    z, y = flattened(100, 0)
    certain = np.where(np.arange(5) == 2, 1.0, -np.inf) * np.ones((100, 1))
    groups = np.r_[np.zeros(100, int), 1:101]
    with pytest.warns(DataWarning, match=r"impossible \(-inf\) in 80 rows"):
        tuned = tune(np.r_[z, certain], np.r_[y, np.arange(100) % 5], groups=groups)
    assert (tuned.score, tuned.outcome) == (MSP, "no_candidates")


def test_a_learned_score_of_other_classes_is_no_candidate():
    learned = tune(*flattened(1500, 0)).table[-1][0]
    assert len(learned.params["class_intercepts"]) == 5
    with pytest.raises(rc.InputError, match="expected a score of 3 classes, got one of 5"):
        tune(*flattened(1500, 0, classes=3), candidates=[learned])


# Labels of few of the classes


def of_many_classes(n, named, seed=0, classes=200):
    """Logits of which a third is wrong, and labels of the first `named` classes alone."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, named, n)
    z = rng.normal(size=(n, classes))
    z[np.arange(n), labels] += rng.normal(3.6, 1.0, n)
    return z.astype(np.float32), labels


def test_a_score_that_learned_which_classes_are_labelled_says_so():
    z, y = of_many_classes(400, named=5)
    tuned = tune(z, y)
    wrong = z.argmax(axis=1) != y
    beyond = wrong & (z.argmax(axis=1) >= 5)
    assert tuned.repaired
    assert tuned.facts.beyond == beyond.sum() > wrong.sum() / 2
    assert f"{beyond.sum()} of {wrong.sum()} errors are predictions of classes that no label" in (
        tuned.reason
    )
    found = rc.diagnose(z, y)
    assert "classes that no label" in found.recommendation


def test_labels_of_most_classes_or_scores_that_know_no_class_say_nothing():
    assert tune(*of_many_classes(400, named=200)).facts.beyond is None
    z, y = of_many_classes(400, named=5)
    assert tune(z, y, learned=False).facts.beyond is None
    assert tune(*of_many_classes(400, named=5, classes=5)).facts.beyond is None


def test_a_rejector_keeps_what_its_score_learned_of_the_classes(tmp_path):
    splits = [of_many_classes(600, named=5, seed=seed) for seed in (0, 1)]
    rejector = rc.fit(*splits, target_risk=0.2)
    assert rejector.tuning.beyond
    rejector.save(tmp_path / "r.json")
    again = rc.Rejector.load(tmp_path / "r.json")
    assert again.tuning == rejector.tuning
    text = (tmp_path / "r.json").read_text()
    (tmp_path / "r.json").write_text(text.replace('"beyond": ', '"beyond": "many", "was": '))
    with pytest.raises(rc.InputError):
        rc.Rejector.load(tmp_path / "r.json")
