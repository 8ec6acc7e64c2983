import math

import ml_dtypes
import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

import reference
from recuse import InputError, scores
from recuse.errors import DataWarning
from recuse.scores import SCORES, Score, are_log_probs
from samples import learned_score, masked
from strategies import logits

FLOAT32 = 2e-7  # one rounding to float32 (6e-8 relative) and the reference's own in float64
DEFAULTS = {name: Score(name) for name in SCORES}
SHIFT_INVARIANT = ("msp", "margin", "prob_margin", "entropy", "gini", "renyi", "logit_norm")


@pytest.mark.parametrize("name", ["msp", "max_logit", "margin", "prob_margin", "entropy", "gini"])
@given(z=logits())
def test_scores_equal_their_definition(name, z):
    expected = [getattr(reference, name)(row) for row in z.tolist()]
    assert SCORES[name](z) == pytest.approx(expected, rel=FLOAT32, abs=FLOAT32)


@given(z=logits(values=st.floats(-3, 3, width=32)), alpha=st.sampled_from([0.5, 2.0, 3.5]))
def test_renyi_equals_its_definition(z, alpha):
    expected = [reference.renyi(row, alpha) for row in z.tolist()]
    assert scores.renyi(z, alpha=alpha) == pytest.approx(expected, rel=1e-6, abs=1e-6)


@pytest.mark.parametrize("name", [*SCORES, "logit_norms"])
def test_probabilities_given_to_a_score_are_said(name):
    options = {"ps": (2, 3)} if name == "logit_norms" else {}
    score = getattr(scores, name)
    p = np.random.default_rng(0).dirichlet(np.ones(4), 300)
    for of in (p, p[:3], p.round(2), np.eye(4)[p.argmax(axis=1)], 100 * p, p[:, :, None]):
        with pytest.warns(
            DataWarning, match=r"expected logits, got probabilities.*from_probs\("
        ) as w:
            score(of.astype(np.float32), **options)
        assert (len(w), w[0].filename) == (1, __file__)
    for of in (np.log(p), p[:1], np.eye(4)[:3], p - p.mean(axis=1, keepdims=True)):
        score(of, **options)


@pytest.mark.parametrize("value", [1.23456789, 0.1, 3.0, 1e-7])
def test_a_score_is_read_as_it_is_written(value):
    score = Score("msp", {"temperature": value})
    assert Score.parse(str(score)) == score


def test_a_number_of_classes_is_finite():
    with pytest.raises(InputError, match="`top` to be an integer"):
        scores.gen(np.zeros((1, 2)), top=math.inf)


def test_the_margin_of_probabilities_is_exactly_0_in_a_tie_and_never_saturates():
    z = np.random.default_rng(0).normal(size=(500, 6))
    z[:, 0] = z[:, 1] = z.max(axis=1)
    assert (scores.prob_margin(z) == 0).all()
    gaps = np.array([[100.0, 0, 0], [1000, 0, 0], [5000, 0, -np.inf], [0, -np.inf, -np.inf]])
    assert (np.diff(scores.prob_margin(gaps)) > 0).all()


@pytest.mark.parametrize("alpha", [0, 1, -2, math.inf])
def test_an_order_that_renyi_does_not_have_is_named(alpha):
    with pytest.raises(InputError, match="`alpha` > 0, finite and not 1"):
        scores.renyi(np.zeros((1, 2)), alpha=alpha)


@given(z=logits(), temperature=st.sampled_from([0.5, 1, 4.0]))
def test_a_temperature_divides_the_logits(z, temperature):
    expected = scores.msp(z.astype(np.float64) / temperature)
    assert np.array_equal(scores.msp(z, temperature=temperature), expected)


@pytest.mark.parametrize("score", [scores.msp, scores.energy])
@pytest.mark.parametrize("temperature", [0, -1, math.nan, math.inf])
def test_a_temperature_is_positive(score, temperature):
    with pytest.raises(InputError, match="`temperature` > 0"):
        score(np.zeros((1, 2)), temperature=temperature)


@given(
    z=logits(values=st.floats(-3, 3, width=32)),
    gamma=st.sampled_from([0.1, 0.5, 1.0]),
    top=st.integers(1, 7),
)
def test_gen_equals_its_definition(z, gamma, top):
    expected = [reference.gen(row, gamma, top) for row in z.tolist()]
    assert scores.gen(z, gamma=gamma, top=top) == pytest.approx(expected, rel=1e-6)


def test_gen_of_all_classes_with_gamma_one_is_gini():
    z = np.random.default_rng(0).normal(size=(20, 6)) * 3
    assert scores.gen(z, gamma=1) == pytest.approx(scores.gini(z), rel=1e-6)


@given(z=logits(), temperature=st.sampled_from([0.5, 1.0, 3.0]))
def test_energy_equals_its_definition(z, temperature):
    expected = [reference.energy(row, temperature) for row in z.tolist()]
    result = scores.energy(z, temperature=temperature)
    assert result == pytest.approx(expected, rel=FLOAT32, abs=FLOAT32)


@pytest.mark.parametrize("center", [True, False])
@pytest.mark.parametrize("p", [1, 2, 3, 4, 10, 2.5])
@given(z=logits(classes=st.integers(3, 6), rows=st.just(6)))
def test_logit_norm_ranks_as_the_textbook_ratio(p, center, z):
    z = z[z.max(axis=1) - z.min(axis=1) > 0.1]
    assume(len(z) > 1)
    textbook = np.array([reference.norm_ratio(row, p, center) for row in z.tolist()])
    ours = scores.logit_norm(z, p=p, center=center).astype(float)
    for i in range(len(z)):
        for j in range(len(z)):
            if textbook[i] > textbook[j] + 1e-6:  # clear of float32 ties
                assert ours[i] > ours[j]


def test_logit_norm_of_infinite_order_is_the_ratio_to_the_second_largest():
    z = np.array([[4.0, -2.0, 1.0], [4.0, 3.0, 1.0]])
    assert scores.logit_norm(z, p=math.inf, center=False).tolist() == [2.0, np.float32(4 / 3)]


def test_rows_of_equal_logits_get_the_infimum_of_logit_norm():
    z = np.array([[0.1] * 5, [-3.0] * 5, [0.0] * 5, [-1.0, -1.0, -1.0, -1.0, -1.001]])
    for center in (True, False):
        for p in (1, 2, 7, math.inf):
            t = scores.logit_norm(z, p=p, center=center)
            assert len(set(t[:3])) == 1
            assert t[3] > t[0]
            assert np.isfinite(t).all()


def test_norms_of_any_order_end():
    z = np.array([[3.0, 1.0, 0.5], [2.0, -2.0, 1.0]])
    assert np.isfinite(scores.logit_norm(z, p=1e12)).all()
    assert scores.logit_norm(z, p=33) == pytest.approx(scores.logit_norm(z, p=math.inf), rel=0.1)


@given(z=logits(classes=st.integers(3, 5)), p=st.integers(1, 10))
def test_norms_in_one_pass_equal_norms_one_by_one(z, p):
    together = scores.logit_norms(z, ps=(1, 2, 3, p, 10, math.inf, 2.5), center=True)
    assert np.array_equal(together[3], scores.logit_norm(z, p=p, center=True))


@pytest.mark.parametrize("name", SCORES)
@given(z=logits(dtype=np.float32, classes=st.integers(3, 6)), seed=st.integers(0, 9))
def test_rows_that_are_permutations_of_each_other_tie(name, z, seed):
    order = np.random.default_rng(seed).permutation(z.shape[1])
    assert np.array_equal(SCORES[name](z), SCORES[name](z[:, order]))


@pytest.mark.parametrize("name", SHIFT_INVARIANT)
@given(z=logits(classes=st.integers(3, 5), values=st.integers(-8, 8).map(float)))
def test_scores_of_the_softmax_ignore_a_shift(name, z):
    assert np.array_equal(SCORES[name](z), SCORES[name](z + 64))


@pytest.mark.parametrize("name", SCORES)
def test_trailing_axes_are_pixels_scored_one_by_one(name):
    z = np.random.default_rng(0).normal(size=(2, 5, 3, 4)).astype(np.float32)
    pixels = SCORES[name](z)
    assert pixels.shape == (2, 3, 4)
    assert pixels[1, 2, 3] == SCORES[name](z[1, :, 2, 3][None])[0]
    assert np.array_equal(scores.predict(z), z.argmax(axis=1))


@pytest.mark.parametrize("name", SCORES)
def test_a_row_scores_the_same_alone_and_in_a_large_batch(name):
    z = np.random.default_rng(0).normal(size=(3000, 130)).astype(np.float32) * 5
    together = SCORES[name](z)
    assert all(SCORES[name](z[i : i + 1])[0] == together[i] for i in range(0, 3000, 97))


@pytest.mark.parametrize("name", SCORES)
@pytest.mark.parametrize("dtype", [np.float16, ml_dtypes.bfloat16, np.float32])
def test_narrow_logits_score_as_their_value_in_float64(name, dtype):
    z = (np.random.default_rng(0).normal(size=(50, 7)) * 20).astype(dtype)
    assert np.array_equal(SCORES[name](z), SCORES[name](z.astype(np.float64)))


def test_torch_tensors_are_scored_like_arrays():
    import torch

    z = torch.randn(20, 5, generator=torch.Generator().manual_seed(0), requires_grad=True)
    assert np.array_equal(scores.msp(z), scores.msp(z.detach().numpy()))
    half = z.detach().bfloat16()
    assert np.array_equal(scores.msp(half), scores.msp(half.float().numpy()))


@pytest.mark.parametrize("name", SCORES)
def test_the_input_is_not_changed(name):
    z = np.random.default_rng(0).normal(size=(9, 4))
    copy = z.copy()
    SCORES[name](z)
    assert np.array_equal(z, copy)


# Traps of other implementations, each by name


@pytest.mark.parametrize("dtype", [np.float16, ml_dtypes.bfloat16, np.float32, np.float64])
def test_trap_msp_does_not_saturate(dtype):
    gaps = np.array([8, 16, 32, 64, 96, 128], dtype)
    z = np.stack([gaps, np.zeros(6, dtype)], axis=1)
    assert (np.diff(scores.msp(z)) > 0).all()


def test_trap_logit_norm_keeps_values_apart_where_the_ratio_rounds_to_one():
    z = np.random.default_rng(0).normal(size=(5000, 10)) * 3
    z[:, 0] += 25
    assert len(np.unique(scores.logit_norm(z, p=10))) > 4900


def test_trap_logits_are_normalised_over_classes_and_not_over_the_batch():
    z = np.random.default_rng(0).normal(size=(6, 4))
    assert scores.logit_norm(z)[0] == scores.logit_norm(z[:1])[0]


def test_trap_powers_of_half_precision_do_not_overflow():
    z = np.array([[400.0, 100.0, -300.0]], np.float16)
    assert np.isfinite(scores.logit_norm(z, p=10)).all()


def test_a_row_whose_others_are_impossible_is_certain():
    z = np.array([[1.0, -np.inf, -np.inf], [1.0, 0.0, -np.inf]])
    assert scores.msp(z).tolist() == [np.inf, 1.0]
    assert scores.entropy(z)[0] == 0


def test_the_prediction_is_the_lowest_index_among_the_maxima():
    assert scores.predict([[1.0, 3.0, 3.0], [2.0, 2.0, 2.0]]).tolist() == [1, 0]
    assert scores.predict(np.array([[1, 3, 3]], ml_dtypes.bfloat16)).tolist() == [1]


@pytest.mark.parametrize(
    ("z", "message"),
    [
        (np.zeros((0, 3)), "at least one row"),
        (np.zeros(3), r"shape \(n, K, ...\), got \(3,\)"),
        (np.zeros((3, 1)), "K >= 2 classes"),
        (np.zeros((3, 2), bool), "floating dtype .*, got bool"),
        (np.array([[0.0, np.nan], [0, 0]]), "without NaN or .inf, got 1 such values, row 0"),
        (np.array([[0.0, np.inf], [0, 0]]), "without NaN or .inf"),
        (np.array([[-np.inf, -np.inf], [0, 0]]), "a finite logit in every row, got none, row 0"),
        (np.array([[np.nan, 0]], ml_dtypes.bfloat16), "without NaN"),
        (np.array([[0.0, 1.0], [1e308, 0]]), "within the range of float32, got 1 .*, row 1"),
    ],
)
def test_malformed_logits_are_named(z, message):
    with pytest.raises(InputError, match=message):
        scores.msp(z)


SPELLED = [*SCORES, "max_logit(center=true)", "logit_norm(p=1, center=false)", "logit_norm(p=inf)"]
SPELLED += ["logit_norm(p=2.5)", "msp(temperature=3)", "energy(temperature=3)", "gen(top=2)"]


@pytest.mark.parametrize("score", [*map(Score.parse, SPELLED), learned_score()], ids=str)
@pytest.mark.parametrize("classes", [2, 3, 7, 40])
def test_a_row_scores_as_if_it_had_its_possible_classes_alone(score, classes):
    rng = np.random.default_rng(0)
    z = np.round(4 * rng.normal(size=(400, classes)), rng.integers(0, 3))
    z[:40] = z[:40, :1]  # ties
    z = masked(z)
    found, possible = score(z), z > -np.inf
    for i in np.flatnonzero(possible.sum(axis=1) > 1):
        assert found[i] == score(z[i : i + 1, possible[i]])[0]
    certain = possible.sum(axis=1) == 1
    top = found[certain]
    if str(score) in ("max_logit", "energy") or score.name == "energy":
        assert np.array_equal(top, z[certain].max(axis=1).astype(np.float32))
    else:
        assert (top == (0 if score.name in ("entropy", "gini", "gen", "renyi") else np.inf)).all()
    assert np.array_equal(found, score(z[:, rng.permutation(classes)]))


def test_pixels_with_impossible_classes_are_scored_one_by_one():
    z = masked(np.random.default_rng(0).normal(size=(60, 5)))
    planes = np.moveaxis(z.reshape(3, 4, 5, 5), -1, 1)
    for name in SCORES:
        assert np.array_equal(SCORES[name](planes).ravel(), SCORES[name](z)), name


def test_orders_below_one_are_refused():
    with pytest.raises(InputError, match=r"`p` of a norm >= 1, got 0\.5"):
        scores.logit_norm(np.zeros((1, 3)), p=0.5)


def test_probabilities_come_in_by_name_and_are_checked():
    q = np.array([[0.7, 0.2, 0.1], [1.0, 0.0, 0.0]])
    assert scores.as_probability(scores.msp(scores.from_probs(q))) == pytest.approx([0.7, 1.0])
    with pytest.raises(InputError, match=r"got 1 to 3 with the sum 4 at row 1; logits\? leave out"):
        scores.from_probs(np.array([[0.5, 0.5], [3.0, 1.0]]))


def test_a_binary_head_becomes_two_logits():
    z = np.array([-2.0, 3.0])
    assert scores.predict(scores.from_binary(z)).tolist() == [0, 1]
    assert scores.msp(scores.from_binary(z[:, None])).tolist() == [2.0, 3.0]
    with pytest.raises(InputError, match="binary head"):
        scores.from_binary(np.zeros((3, 2)))


@pytest.mark.parametrize(
    "score",
    [
        Score("msp"),
        Score("logit_norm", {"p": math.inf, "center": False}),
        Score("logit_norm", {"p": 2.5}),
        Score("energy", {"temperature": 2.0}),
    ],
)
def test_a_score_survives_text_and_json(score):
    import json

    assert Score.parse(str(score)) == score
    assert Score.from_dict(json.loads(json.dumps(score.to_dict(), allow_nan=False))) == score


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("nope", "a score among msp"),
        ("msp(p=3)", "takes temperature, got 'p'"),
        ("margin(p=3)", "takes no parameters, got 'p'"),
        ("learned", "needs slope, intercept, .*`tune` fits it"),
        ("logit_norm(q=3)", "takes p, center, got 'q'"),
        ("logit_norm(p=true)", "`p` .* a number, got True"),
        ("logit_norm(center=3)", "`center` .* true or false, got 3"),
        ("logit_norm(p=x)", "a number or true/false, got 'x'"),
        ("logit norm", "a score like msp"),
    ],
)
def test_a_malformed_score_is_named(text, message):
    with pytest.raises(InputError, match=message):
        Score.parse(text)


@pytest.mark.parametrize("dtype", ["float64", "float32", "float16", "bfloat16"])
def test_log_probabilities_are_told_from_logits_in_every_dtype(dtype):
    z = 3 * np.random.default_rng(0).normal(size=(300, 10))
    logs = np.log(np.exp(z) / np.exp(z).sum(axis=1, keepdims=True))
    narrow = np.dtype(getattr(ml_dtypes, dtype, dtype))
    assert are_log_probs(logs.astype(narrow))
    assert not are_log_probs(z.astype(narrow))
    assert not are_log_probs(np.r_[logs, z[:1]].astype(narrow))


@pytest.mark.parametrize("score", [*SCORES, "logit_norm(center=false)", "logit_norm(center=true)"])
def test_a_score_knows_whether_a_shift_changes_it(score):
    z, value = np.random.default_rng(0).normal(size=(50, 4)), Score.parse(score)
    same = bool(np.allclose(value(z), value(z + np.linspace(-2, 2, 50)[:, None]), atol=1e-5))
    assert same == value.shift_invariant


@pytest.mark.parametrize("x", ["2", True, None, [2.0]])
def test_parameters_of_scores_are_numbers(x):
    z = np.array([[2.0, 0.0, 1.0]])
    for name, parameter in (
        ("msp", "temperature"),
        ("energy", "temperature"),
        ("logit_norm", "p"),
        ("gen", "gamma"),
        ("gen", "top"),
        ("renyi", "alpha"),
    ):
        with pytest.raises(InputError, match=f"`{parameter}`.* got "):
            getattr(scores, name)(z, **{parameter: x})


FILLERS = (-1e9, -65504, -1e4, -1e5, -1e30, float(np.finfo(np.float32).min))


@pytest.mark.parametrize("dtype", ["float64", "float32", "float16", "bfloat16"])
@pytest.mark.parametrize("filler", FILLERS)
@pytest.mark.parametrize("how", ["column", "entries", "added"])
def test_a_constant_that_fills_in_for_masked_classes_is_found(filler, dtype, how):
    rng = np.random.default_rng(0)
    z, masked_ = 4 * rng.normal(size=(60, 6)), rng.uniform(size=(60, 6)) < 0.2
    masked_[:, 0] = False
    if how == "column":
        masked_[:] = np.arange(6) == 2
    with np.errstate(over="ignore"):
        z = (np.where(masked_, filler, z) if how != "added" else z + filler * masked_).astype(
            getattr(ml_dtypes, dtype, dtype)
        )
    found = scores.without_filler(z, scores.find_filler(z))
    assert found.dtype == z.dtype
    assert np.array_equal(np.isneginf(found.astype(float)), masked_)
    assert np.array_equal(found[~masked_], z[~masked_])


@pytest.mark.parametrize("level", [-60.0, -100.0, -1000.0])
def test_a_column_of_one_low_logit_is_a_mask_and_a_low_bias_is_none(level):
    z = 4 * np.random.default_rng(0).normal(size=(60, 6))
    z[:, 2] = level
    assert np.isneginf(scores.without_filler(z, scores.find_filler(z))[:, 2]).all()
    z[:, 2] = -30
    assert scores.find_filler(z) is None
    assert scores.find_filler(np.r_[z, [[0, 0, -1e4 / 2, 0, 0, 0]]]) is None


def test_the_lowest_number_of_float64_is_minus_infinity():
    z = np.array([[1.0, np.finfo(np.float64).min, 2.0]])
    assert scores.logit_norm(z) == scores.logit_norm(np.array([[1.0, 2.0]]))


def test_long_tails_of_log_likelihoods_are_no_mask():
    from sklearn.datasets import load_breast_cancer, load_digits, load_iris, load_wine
    from sklearn.naive_bayes import GaussianNB, MultinomialNB

    for load in (load_breast_cancer, load_digits, load_iris, load_wine):
        x, y = load(return_X_y=True)
        for model in (GaussianNB().fit(x, y), MultinomialNB().fit(x, y)):
            assert scores.find_filler(model.predict_joint_log_proba(x)) is None
            assert scores.find_filler(model.predict_log_proba(x)) is None
