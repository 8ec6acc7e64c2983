import json
import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import recuse as rc
import reference
import reference_diagnose as slow
from learnable import with_information
from recuse import InputError
from recuse._internal.files import to_json
from recuse.diagnosis import (
    CANNOT_TELL,
    NO_SMOOTHING,
    SMOOTHING,
    Shape,
    Smoothing,
    ceiling,
    ceiling_log_odds,
    verdict,
    windows,
)
from recuse.diagnosis._max_logit import STRATA, adjusted, max_logit_given_msp, places, slope
from recuse.diagnosis._rows import low_spread, rows
from recuse.diagnosis._smoothing import fit_smoothing, normal_spread, shape
from recuse.errors import DataWarning
from recuse.recipes import digits
from recuse.scores import Score, as_probability
from recuse.tuning import MSP
from samples import sample
from strategies import logits

SETTINGS = settings(deadline=None, derandomize=True, max_examples=60)
EXACT = {"rel": 1e-9, "abs": 1e-9}
FLOAT32 = {"rel": 1e-5, "abs": 1e-5}  # scores are rounded once to float32


def optimum(a, classes=6, n=3000, seed=0, noise=0.0, freq=None):
    """Logits that minimise the smoothed loss for known conditionals, and labels drawn from these.

    Inputs are easy or hard; `noise` moves every logit.
    """
    rng = np.random.default_rng(seed)
    first = rng.choice(classes, n, p=freq)
    second = (first + rng.integers(1, classes, n)) % classes
    share = rng.choice([1.0, 0.95, 0.8, 0.6], n)
    pi = np.zeros((n, classes))
    np.add.at(pi, (np.arange(n), first), share)
    np.add.at(pi, (np.arange(n), second), 1 - share)
    y = np.array([rng.choice(classes, p=row) for row in pi])
    target = (1 - a) * pi + a / classes
    return np.log(target) + noise * rng.normal(size=target.shape), y


def sharp(classes=6, n=3000, seed=0):
    """Logits of a calibrated model whose wrong logits are spread; labels drawn from its softmax."""
    rng = np.random.default_rng(seed)
    z = 3 * rng.normal(size=(n, classes))
    p = np.exp(z) / np.exp(z).sum(axis=1, keepdims=True)
    y = np.array([rng.choice(classes, p=row) for row in p])
    return z, y


def fitted(z, y, groups=None):
    return fit_smoothing(rows(z, y), z.shape[1], groups)


# The level


@pytest.mark.parametrize("classes", [2, 3, 10])
@pytest.mark.parametrize("a", [0.05, 0.1, 0.3])
def test_the_ceiling_is_the_probability_and_the_log_odds_of_a_pure_target(a, classes):
    target = [(1 - a) * (k == 0) + a / classes for k in range(classes)]
    assert ceiling(a, classes) == pytest.approx(target[0])
    assert ceiling_log_odds(a, classes) == pytest.approx(
        reference.msp([math.log(t) for t in target])
    )


@SETTINGS
@given(data=st.data())
def test_the_smoothing_by_scale_makes_the_smoothed_loss_stationary(data):
    z = data.draw(logits(classes=st.integers(2, 5), rows=st.integers(3, 8)))
    y = np.array(
        data.draw(st.lists(st.integers(0, z.shape[1] - 1), min_size=len(z), max_size=len(z)))
    )
    found = fitted(z, y)
    distance = np.mean([row[k] - row.mean() for row, k in zip(z, y)])
    if distance <= 1e-6:
        assert math.isnan(found.by_scale) or distance > 0
        return
    h = 1e-5
    slope = (
        slow.smoothed_loss(z, y, found.by_scale, 1 + h)
        - slow.smoothed_loss(z, y, found.by_scale, 1 - h)
    ) / (2 * h)
    assert slope == pytest.approx(0, abs=1e-4 * (1 + np.abs(z).max()))


@pytest.mark.parametrize("a", [0.0001, 0.1, 0.3])
@pytest.mark.parametrize("classes", [2, 6])
def test_both_estimates_find_the_smoothing_of_a_model_at_its_optimum(a, classes):
    freq = np.r_[0.95, np.full(classes - 1, 0.05 / (classes - 1))]
    found = fitted(*optimum(a, classes, n=6000, freq=freq))
    assert found.by_scale == pytest.approx(a, abs=4 * found.by_scale_error)
    assert found.by_class == pytest.approx(a, abs=4 * found.by_class_error)
    assert found.ceiling == pytest.approx(min(1, 1 - found.value * (1 - 1 / classes)))


def test_the_smoothing_by_class_solves_for_the_mean_probabilities():
    z, y = optimum(0.2, 2, freq=[0.95, 0.05])
    mean = np.array([slow.mean_probability(z, k) for k in range(2)])
    frequency = np.bincount(y) / len(y)
    expected = 1 - (mean - 0.5) @ (frequency - 0.5) / ((frequency - 0.5) @ (frequency - 0.5))
    assert fitted(z, y).by_class == pytest.approx(expected)
    assert fitted(*optimum(0.2, 2, freq=[0.5, 0.5])).by_class is None


@SETTINGS
@given(seed=st.integers(0, 50), count=st.integers(2, 9))
def test_the_standard_error_is_that_of_a_ratio_with_sums_in_groups(seed, count):
    z, y = optimum(0.1, 4, n=40, seed=seed, noise=0.3)
    groups = np.random.default_rng(seed).permutation(np.arange(40) % count)
    r = rows(z, y)
    expected = slow.ratio_error(r.residual.tolist(), r.distance.tolist(), groups.tolist())
    assert fitted(z, y, groups).by_scale_error == pytest.approx(expected, **EXACT)


def test_the_interval_of_the_smoothing_holds_the_truth():
    held = 0
    for seed in range(200):
        found = fitted(*optimum(0.2, 3, n=300, seed=seed))
        held += found.low <= 0.2 <= found.high
    assert held >= 180  # 190 expected, minus three binomial standard deviations


def test_dependent_rows_widen_the_interval():
    z, y = optimum(0.2, 5, n=200)
    z, y, groups = np.repeat(z, 5, axis=0), np.repeat(y, 5), np.repeat(np.arange(200), 5)
    alone, together = fitted(z, y), fitted(z, y, groups)
    assert together.standard_error == pytest.approx(5**0.5 * alone.standard_error, rel=0.01)


def test_overfitting_lowers_the_smoothing_by_scale_below_zero():
    z, y = sharp()
    assert fitted(2 * z, y).by_scale < 0
    assert fitted(2 * z, y).ceiling == 1
    assert fitted(2 * z, y).above == 0


# The shape


@SETTINGS
@given(z=logits(classes=st.integers(3, 12)))
def test_the_spread_of_the_low_logits_is_its_definition(z):
    z = z + 0.1 * np.arange(z.shape[1])  # not all equal
    assert low_spread(z) == pytest.approx([slow.low_spread(row) for row in z], **EXACT)


def test_the_shape_does_not_depend_on_scale_shift_or_order():
    z, y = optimum(0.2, noise=0.2)
    value = shape(rows(z, y), 6).value
    order = np.random.default_rng(0).permutation(len(z))
    assert shape(rows(3 * z + 5, y), 6).value == pytest.approx(value)
    assert shape(rows(z[order], y[order]), 6).value == pytest.approx(value)
    z, y = optimum(0.2, 2, noise=0.2)
    assert shape(rows(z, y), 2).value == pytest.approx(shape(rows(0.1 * z, y), 2).value)


def test_normal_wrong_logits_far_below_the_maximum_have_their_spread_over_the_distance():
    rng = np.random.default_rng(0)
    z = rng.normal(size=(4000, 20))
    z[:, 0] += 40
    assert shape(rows(z, np.zeros(4000, int)), 20).value == pytest.approx(1 / 40, rel=0.1)
    assert normal_spread(20) == pytest.approx(
        np.mean([slow.low_spread(r) for r in z]) * 40, rel=0.1
    )


# The maximum logit


@SETTINGS
@given(seed=st.integers(0, 100), distinct=st.integers(1, 30))
def test_adjusting_removes_a_line_in_each_stratum(seed, distinct):
    rng = np.random.default_rng(seed)
    x = rng.integers(0, distinct, 60).astype(float)
    v = rng.normal(size=60) + x
    expected = slow.adjusted(v.tolist(), x.tolist(), min(STRATA, 6))
    assert adjusted(v, x) == pytest.approx(expected, **EXACT)


def test_the_difference_given_msp_is_found_and_its_interval_holds_it():
    """v = x^2 / 10 + 0.3 wrong + noise: wrong is rarer where x is large."""
    held = 0
    for seed in range(150):
        rng = np.random.default_rng(seed)
        x = rng.uniform(-2, 6, 800)
        w = (rng.random(800) < 1 / (1 + np.exp(x))).astype(float)
        v = x**2 / 10 + 0.3 * w + rng.normal(size=800)
        value, error = slope(adjusted(w, x), adjusted(v, x), None)
        held += abs(value - 0.3) <= 1.96 * error
    assert held >= 134  # 142.5 expected, minus three binomial standard deviations


def test_equal_maxima_are_called_different_in_about_one_of_twenty_runs():
    found = []
    for seed in range(200):
        z, y = sharp(5, n=400, seed=seed)
        found.append(max_logit_given_msp(rows(z, y), 5, None).p_value < 0.05)
    assert np.mean(found) <= 0.05 + 3 * (0.05 * 0.95 / 200) ** 0.5


def test_the_slope_of_p_error_is_found_where_the_maximum_carries_it():
    """Given x, P_error rises by 0.1 for each unit of v."""
    rng = np.random.default_rng(0)
    x, v = rng.uniform(size=(2, 20_000))
    w = (rng.random(20_000) < 0.2 + 0.3 * x + 0.1 * v).astype(float)
    value, error = slope(adjusted(v, x), adjusted(w, x), None)
    assert value == pytest.approx(0.1, abs=3 * error)


def test_the_windows_of_the_maximum_logit_hold_it_over_msp_and_over_its_log_odds():
    z, y = sharp(4, n=500)
    r, found = rows(z, y), rc.diagnose(z, y).max_logit
    for got, x, width, step in (
        (found.msp, as_probability(r.log_odds), 0.05, 0.01),
        (found.log_odds, r.log_odds, 0.5, 0.1),
    ):
        expected = windows(x, r.top, r.wrong, width=width, at=places(x, step))
        for one, other in zip((*got.right, *got.wrong), (*expected.right, *expected.wrong)):
            np.testing.assert_array_equal(one, other)
        assert got.right.at == pytest.approx(np.round(got.right.at / step) * step)
        low, high = np.quantile(x, [0.005, 0.995])
        assert low <= got.right.at.min() < got.right.at.max() <= high


def test_windows_of_enormous_logits_are_few():
    z, y = sharp(4, n=500)
    found = rc.diagnose(1e30 * z, y)
    assert len(found.max_logit.log_odds.right.at) <= 502


def test_the_prediction_is_equation_16():
    z, y = optimum(0.2, noise=0.1)
    found = rc.diagnose(z, y)
    g, a = found.gradient, found.smoothing.value
    for p_error, pressed in zip(g.p_error, g.pressed):
        assert pressed == pytest.approx(a * (1 - p_error) - a / 6)
    assert np.mean(g.p_error) == pytest.approx(found.errors / found.n, abs=0.05)


# The verdict


def test_a_model_at_the_smoothed_optimum_and_a_sharp_one_are_told_apart():
    assert rc.diagnose(*optimum(0.1, noise=0.2)).verdict == SMOOTHING
    assert rc.diagnose(*sharp()).verdict == NO_SMOOTHING


def test_two_classes_are_told_by_the_level_and_by_the_gaps():
    found = rc.diagnose(*optimum(0.2, 2, noise=0.1))
    assert found.verdict == SMOOTHING
    rng = np.random.default_rng(0)
    z = np.c_[np.zeros(3000), 4 * rng.normal(size=3000)]
    y = (rng.random(3000) < 1 / (1 + np.exp(-z[:, 1]))).astype(int)
    assert rc.diagnose(z, y).verdict == NO_SMOOTHING


@pytest.mark.parametrize("scale", [0.5, 2.0])
def test_rescaled_logits_are_no_confident_nonsense(scale):
    z, y = optimum(0.2, noise=0.2)
    assert rc.diagnose(scale * z, y).verdict == CANNOT_TELL
    z, y = sharp()
    assert rc.diagnose(scale * z, y).verdict in (CANNOT_TELL, NO_SMOOTHING)


def test_the_verdict_follows_level_and_shape():
    def of(a, error, value, classes=10, units=1000, by_class=(None, None)):
        s = Smoothing(
            by_class[0] or a, error, a - error, a + error, a, error, *by_class, 0.9, 2.0, 0.1
        )
        return verdict(s, Shape("", value, 0.3, 0.24), classes, units)

    assert of(0.1, 0.01, 0.2) == (SMOOTHING, "level_and_shape")
    assert of(0.1, 0.01, 0.35) == (CANNOT_TELL, "level_only")
    assert of(0.5, 0.01, 0.2) == (CANNOT_TELL, "too_much")
    assert of(-0.01, 0.01, 0.28) == (NO_SMOOTHING, "neither")
    assert of(-0.01, 0.01, 0.2) == (CANNOT_TELL, "shape_only")
    assert of(-0.4, 0.01, 0.4) == (CANNOT_TELL, "overfitted")
    assert of(0.0, 0.04, 0.4) == (CANNOT_TELL, "imprecise")
    assert of(0.1, 0.01, 0.2, units=49) == (CANNOT_TELL, "few_rows")
    assert of(float("nan"), math.inf, math.inf) == (CANNOT_TELL, "no_signal")
    assert of(0.0, 0.01, 0.2, classes=2, by_class=(0.1, 0.01)) == (SMOOTHING, "level_and_shape")
    assert of(0.0, 0.01, 0.35, classes=2, by_class=(0.1, 0.01)) == (NO_SMOOTHING, "neither")


def test_a_shape_that_is_nearly_that_of_smoothing_is_not_denied():
    found = rc.diagnose(*sharp())
    assert found.finding == "neither"
    assert "do not lie close together" in found.sentence
    limit = found.shape.limit
    between = replace(found.shape, value=(limit + found.shape.doubt) / 2)
    found = replace(found, shape=between)
    assert found.sentence.endswith(", and the shape of the logits alone does not tell.")


def test_the_demo_s_models_are_told_apart_and_the_smoothed_one_gains_more_from_a_repair():
    pytest.importorskip("torch")
    runs = digits.train(0, (0.0, 0.2))
    found = {}
    for a, run in runs.items():
        s = run["tune"]
        found[a] = rc.diagnose(s.logits, s.labels, groups=s.groups)
    assert [found[a].verdict for a in (0.0, 0.2)] == [NO_SMOOTHING, SMOOTHING]
    assert found[0.2].smoothing.value == pytest.approx(0.2, abs=0.03)
    assert found[0.2].max_logit.low > 0
    assert found[0.2].gradient.agrees
    assert found[0.0].gain < found[0.2].gain / 4
    assert found[0.2].recommendation.startswith("Rank by the learned score")
    assert found[0.2].gain > 2 * found[0.2].gain_se
    fewer = 1000 * found[0.2].repair.gain
    assert f"{fewer:.1f} fewer of 1,000 accepted predictions are wrong" in found[0.2].recommendation


def test_many_saved_errors_are_written_out():
    found = rc.diagnose(*optimum(0.1, noise=0.2))
    facts = found.repair.facts._replace(outcome="adopted", gain=0.1234, gain_se=0.01)
    repair = replace(found.repair, score=Score("entropy"), facts=facts)
    said = replace(found, repair=repair).recommendation
    assert "123.4 fewer of 1,000 accepted predictions are wrong" in said


# What is returned


def test_the_repair_is_that_of_tune():
    z, y = optimum(0.1, noise=0.2)
    found, tuned = rc.diagnose(z, y, seed=3), rc.tune(z, y, seed=3)
    assert found.repair == tuned
    assert found.digest == tuned.digest
    assert found.gain == pytest.approx(tuned.gain / tuned.table[0][1])


def shifted_pairs(n=3000, seed=0):
    """Two classes; what both logits have in common, which MSP ignores, tells right from wrong."""
    rng = np.random.default_rng(seed)
    gap, shift = 3 * rng.normal(size=n), rng.normal(size=n)
    right = rng.random(n) < 1 / (1 + np.exp(-1 - 2 * shift))
    return np.c_[shift, shift + gap], np.where(right, gap > 0, gap <= 0).astype(int)


@pytest.mark.parametrize("data", [with_information(3000, 0), shifted_pairs()])
def test_a_learned_repair_is_recommended_by_name_with_the_way_to_get_it(data):
    found = rc.diagnose(*data)
    assert found.repair.score.name == "learned"
    told = found.recommendation
    assert told.startswith("Rank by the learned score, not by MSP: it reduces AURC by ")
    assert "give these rows to `recuse fit --tune`, and others to `--calibrate`:" in told
    assert found.gain > 2 * found.gain_se > 0
    assert found.to_dict()["repair"]["trials"][-1]["family"] == "learned"


def test_a_diagnosis_prints_itself_and_is_plain_data():
    found = rc.diagnose(*optimum(0.1, noise=0.2))
    assert str(found).startswith("Label smoothing: ")
    data = json.loads(to_json(found.to_dict()), parse_constant=pytest.fail)
    assert data["verdict"] == SMOOTHING
    assert data["smoothing"]["value"] == found.smoothing.value
    assert len(data["max_logit"]["msp"]["wrong"]["at"]) == len(found.max_logit.msp.wrong.at)
    assert data["geometry"] is None
    assert "features" in data["undefined"]["geometry"]


def test_the_order_of_the_rows_and_a_shift_do_not_matter():
    z, y = optimum(0.2, 4, noise=0.3)
    groups = np.arange(len(y)) // 3
    order = np.random.default_rng(0).permutation(len(y))
    a = rc.diagnose(z, y, groups=groups)
    b = rc.diagnose((z + 7)[order], y[order], groups=groups[order])
    assert (a.verdict, a.reason) == (b.verdict, b.reason)
    assert a.smoothing.value == pytest.approx(b.smoothing.value)
    assert a.max_logit.difference == pytest.approx(b.max_logit.difference, **FLOAT32)
    assert a.max_logit.standard_error == pytest.approx(b.max_logit.standard_error, rel=1e-4)


FINDINGS = ("few_rows", "no_signal", "level_and_shape", "too_much", "level_only", "shape_only")


@pytest.mark.parametrize("classes", [2, 6])
def test_every_finding_has_words_of_its_own(classes):
    found = replace(rc.diagnose(*sharp(n=200)), classes=classes)
    said = {f: replace(found, finding=f).reason for f in (*FINDINGS, "overfitted", "imprecise")}
    said["neither"] = replace(found, finding="neither").reason
    assert len(set(said.values())) == 9
    assert all(text[0].islower() and not text.endswith(".") for text in said.values())


@pytest.mark.parametrize("kind", ["logits", "probs"])
@pytest.mark.parametrize("answer", [SMOOTHING, NO_SMOOTHING, CANNOT_TELL])
def test_a_kept_msp_is_recommended_with_advice_for_each_verdict(answer, kind):
    found = rc.diagnose(*sharp(n=200))
    facts = found.repair.facts._replace(outcome="no_candidates")
    kept = replace(found.repair, score=MSP, facts=facts)
    said = replace(found, verdict=answer, kind=kind, repair=kept).recommendation
    advice = {NO_SMOOTHING: "No repair gains", CANNOT_TELL: "Look up how the model was trained"}
    smoothed = {"logits": "Ask again with more rows.", "probs": "Save the logits"}[kind]
    assert said.startswith("Rank by MSP: there is no candidate to compare with. ")
    assert advice.get(answer, smoothed) in said


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_dtypes_pixels_and_tensors_give_the_same_diagnosis(dtype):
    z, y = optimum(0.2, 4, n=2400, noise=0.2)
    z = z.astype(np.float16).astype(dtype)
    flat = rc.diagnose(z, y)
    shaped = np.moveaxis(z.reshape(400, 2, 3, 4), -1, 1)
    found = rc.diagnose(shaped, y.reshape(400, 2, 3))
    assert found.smoothing == flat.smoothing
    grouped = rc.diagnose(shaped, y.reshape(400, 2, 3), groups=np.arange(400))
    assert grouped.smoothing.value == flat.smoothing.value
    assert grouped.smoothing.standard_error != flat.smoothing.standard_error


def test_too_few_errors_leave_a_verdict_without_the_evidence_of_the_maximum():
    z, _ = optimum(0.2, noise=0.1)
    found = rc.diagnose(z, z.argmax(axis=1))
    assert (found.errors, found.max_logit, found.gradient) == (0, None, None)
    assert "0 of 3000" in found.to_dict()["undefined"]["max_logit"]
    assert math.isnan(found.gain)


def test_equal_logits_and_few_rows_cannot_be_told():
    y = np.arange(200) % 4
    assert rc.diagnose(np.zeros((200, 4)), y).verdict == CANNOT_TELL
    z, y = optimum(0.2, n=49)
    assert "(49, at least 50 needed)" in rc.diagnose(z, y).reason
    z, y = optimum(0.2, n=400)
    assert "(40, at least 50" in rc.diagnose(z, y, groups=np.arange(400) // 10).reason


def test_for_two_classes_the_maximum_is_not_centred_and_none_is_left_if_logits_are_opposite():
    z, y = optimum(0.2, 2, noise=0.5)
    assert not rc.diagnose(z, y).max_logit.centered
    half = (z[:, 1:] - z[:, :1]) / 2
    assert rc.diagnose(np.c_[-half, half], y).max_logit is None


@pytest.mark.parametrize(
    ("z", "y", "words"),
    [
        (np.full((4, 3), -np.inf), np.zeros(4, int), "a finite logit in every row, got none"),
        (np.full((4, 3), np.nan), np.zeros(4, int), "without NaN"),
        (np.zeros((4, 3)), np.full(4, 3), "in 0..2, got 3"),
        (np.zeros((4, 1)), np.zeros(4, int), "K >= 2"),
        (np.zeros((1, 3)), np.zeros(1, int), "at least 2 independent"),
    ],
)
def test_malformed_input_is_an_error(z, y, words):
    with pytest.raises(InputError, match=words):
        rc.diagnose(z, y)


def test_a_model_whose_msp_tells_right_from_wrong_is_diagnosed_without_a_comparison():
    z = np.random.default_rng(0).normal(size=(200, 3)) * 3
    order = np.argsort(rc.scores.msp(z))
    labels = z.argmax(axis=1)
    labels[order[:100]] = (labels[order[:100]] + 1) % 3
    found = rc.diagnose(z, labels)
    assert found.max_logit is None
    assert found.verdict


# Impossible classes


@pytest.mark.parametrize("classes", [2, 3, 10])
@pytest.mark.parametrize("data", [optimum, sharp], ids=["smoothed", "sharp"])
def test_classes_that_are_never_possible_change_no_evidence(data, classes):
    z, y = data(0.2, classes) if data is optimum else data(classes)
    wider = np.insert(z, [1, 1, classes], -np.inf, axis=1)
    plain, found = rc.diagnose(z, y), rc.diagnose(wider, y + 2 * (y >= 1))
    assert (found.verdict, found.classes) == (plain.verdict, classes)
    assert found.reason == plain.reason
    assert found.smoothing.value == pytest.approx(plain.smoothing.value)
    assert found.shape.value == pytest.approx(plain.shape.value)
    assert found.repair.score == plain.repair.score


def test_smoothing_is_found_where_each_row_has_its_own_possible_classes():
    """Multiple choice: six options, or five, or four; smoothed over those that there are."""
    parts, labels = [], []
    for options in (6, 5, 4):
        z, y = optimum(0.2, options, n=2000, seed=options, noise=0.05)
        parts.append(np.pad(z, ((0, 0), (0, 6 - options)), constant_values=-np.inf))
        labels.append(y)
    found = rc.diagnose(np.concatenate(parts), np.concatenate(labels))
    assert (found.verdict, found.classes) == (SMOOTHING, 5)
    assert found.smoothing.value == pytest.approx(0.2, abs=0.02)
    alone = [rc.diagnose(z[:, z[0] > -np.inf], y).shape.value for z, y in zip(parts, labels)]
    assert min(alone) < found.shape.value < max(alone)


def test_rows_without_a_choice_and_labels_that_are_ruled_out_do_not_count():
    z, y = optimum(0.2, 6, noise=0.05)
    forced = np.full((500, 6), -np.inf)
    forced[:, 2] = 3.0
    groups = np.arange(3500) // 2
    found = rc.diagnose(np.r_[z, forced], np.r_[y, np.full(500, 2)], groups=groups)
    plain = rc.diagnose(z, y, groups=groups[:3000])
    assert (found.n, found.units, found.smoothing) == (3000, plain.units, plain.smoothing)
    z[:30, :] = np.where(np.arange(6) == y[:30, None], -np.inf, z[:30])
    with pytest.warns(DataWarning, match=r"impossible \(-inf\) in 30 rows"):
        found = rc.diagnose(z, y)
    assert found.smoothing.value == pytest.approx(0.2, abs=0.02)


def test_a_probability_of_0_is_a_mask_only_where_its_class_is_never_possible():
    z, y = optimum(0.2, 6)
    q = np.exp(z) / np.exp(z).sum(axis=1, keepdims=True)
    wider = np.insert(q, 6, 0.0, axis=1)
    assert rc.diagnose(wider, y, kind="probs").smoothing.value == pytest.approx(0.2, abs=0.02)
    wider[7, :2] = 0, wider[7, :2].sum()
    with pytest.raises(InputError, match=r"expected probabilities > 0, got 0, row 7"):
        rc.diagnose(wider, y, kind="probs")


@pytest.mark.parametrize("filler", [-1e9, -65504.0, -1e4, -100.0])
def test_a_filler_in_a_column_does_not_hide_smoothing(filler):
    z, y = optimum(0.2, 6, noise=0.05)
    wider = np.insert(z, 3, filler, axis=1)
    with pytest.warns(DataWarning, match="stand for masked classes and count as -inf: class 3 in"):
        found = rc.diagnose(wider, y + (y >= 3))
    plain = rc.diagnose(z, y)
    assert (found.verdict, found.classes) == (SMOOTHING, 6)
    assert found.smoothing.value == pytest.approx(plain.smoothing.value)
    assert found.repair.score == plain.repair.score


def test_of_many_rows_a_sample_is_looked_at_that_their_order_does_not_choose(monkeypatch):
    monkeypatch.setattr("recuse.diagnosis._diagnose.ROWS", 300)
    monkeypatch.setattr("recuse.diagnosis._diagnose.LOGITS", 4000)
    z, y = sample(2000)
    groups = np.arange(2000) // 2
    found = rc.diagnose(z, y, groups=groups)
    assert found.n == 4000 // z.shape[1]
    order = np.random.default_rng(0).permutation(2000)
    again = rc.diagnose(z[order], y[order], groups=groups[order])
    assert (again.errors, again.units) == (found.errors, found.units)
    assert again.msp_aurc == pytest.approx(found.msp_aurc, rel=1e-12)
    assert again.smoothing.value == pytest.approx(found.smoothing.value, rel=1e-9)
    assert rc.diagnose(z[:300], y[:300]).n == 300
    geometry = rc.diagnose(z, y, features=z, weights=np.eye(z.shape[1])).geometry
    assert geometry is not None
