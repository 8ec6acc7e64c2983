import copy
import json
import math
import warnings
from dataclasses import replace

import ml_dtypes
import numpy as np
import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st
from scipy.special import logsumexp, softmax
from scipy.stats import binom, hypergeom

import recuse
import reference_rejector as reference
from learnable import learnable
from recuse import InfeasibleError, InputError, Rejector
from recuse._internal.files import checksum
from recuse.errors import DataWarning
from recuse.intervals import AUGRC, AURC, coverage_at
from recuse.io import HeldOut, overlap, split_rows
from recuse.io._overlap import repeated_rows, row_samples, share_of_sample
from recuse.io._row_hashes import ROWS, fingerprints, output_hashes
from recuse.present import decisions
from recuse.present.numbers import percent
from recuse.rejector import choose, explain, fit_several, summarize
from recuse.rejector._model import _share
from recuse.rejector._prepare import one_of_each
from recuse.rejector._rejector import pooled
from recuse.rejector._summary import CoverageChange
from recuse.scores import FEATURES, Score, features, from_binary
from recuse.selectors._methods import LONGEST_WALK, METHODS
from recuse.selectors._walk import has_chain, walk, walk_level
from recuse.tuning import tune
from rejectors import altered
from samples import equal_costs, learned_score, log_softmax, one_column, pixels, sample

TUNE, CALIBRATE, TEST = (sample(400, seed=s) for s in range(3))
FITTED = recuse.fit(TUNE, CALIBRATE, target_risk=0.2)
REPAIRED = replace(FITTED, score=Score("logit_norm", {"p": math.inf, "center": True}))
LEARNED = recuse.fit(learnable(600, 0), learnable(600, 1), target_risk=0.3)


@pytest.mark.parametrize("rejector", [FITTED, REPAIRED, LEARNED])
def test_a_rejector_reads_back_equal_and_decides_the_same(tmp_path, rejector):
    rejector.save(tmp_path / "r.json")
    again = Rejector.load(tmp_path / "r.json")
    assert again == rejector
    for one, other in zip(again.predict(TEST[0]), rejector.predict(TEST[0])):
        np.testing.assert_array_equal(one, other)
    assert [p.name for p in tmp_path.iterdir()] == ["r.json"]


def test_the_file_is_json_without_nan_and_names_the_data_it_saw(tmp_path):
    FITTED.save(tmp_path / "r.json")
    data = json.loads((tmp_path / "r.json").read_text(), parse_constant=pytest.fail)
    assert data["by"] == "all"
    (rule,) = data["rules"]
    assert float(rule["threshold"]) == float.fromhex(rule["threshold_hex"]) == FITTED.threshold
    seen = {"n": 400, "digest": HeldOut(*TUNE).digest, "log_probs": False}
    sample = data["splits"]["tune"].pop("sample")
    assert data["splits"]["tune"] == seen
    assert [(k, x["equal"], len(x["hashes"])) for k, x in sample.items()] == [
        ("float32", 0, 2732),  # 256 of 8 bytes
        ("bfloat16", 0, 2732),
    ]
    assert data["splits"]["calibrate"]["digest"] == HeldOut(*CALIBRATE).digest


def changed(path, value, rejector=FITTED):
    """The file with one field set (or dropped, by ...) and a checksum that fits."""
    data = copy.deepcopy(json.loads(json.dumps(rejector.to_dict())))
    *parents, last = path.split(".")
    place = data
    for key in parents:
        place = place[int(key) if key.isdigit() else key]
    if value is ...:
        del place[last]
    else:
        place[last] = value
    data["checksum"] = checksum({k: v for k, v in data.items() if k != "checksum"})
    return data


NESTED = [
    *(f"score.{k}" for k in ("name", "params")),
    *(f"rules.0.guarantee.{k}" for k in FITTED.guarantee.to_dict()),
    *(f"tuning.{k}" for k in FITTED.tuning._fields),
    *(f"p_correct.{k}" for k in ("confidence", "probability")),
    *(f"splits.tune.{k}" for k in ("n", "digest", "log_probs")),
    "splits.tune",
    *(f"model.{k}" for k in FITTED.model._fields if k != "name"),
]
EVERY = [*(k for k in FITTED.to_dict() if k != "checksum"), *NESTED]
OTHER_TYPES = [None, True, 2.5, 7, "x", [], [1], {}, {"x": 1}]


def refused(tmp_path, data):
    path = tmp_path / "r.json"
    path.write_text(data if isinstance(data, str) else json.dumps(data))
    with pytest.raises(InputError) as error:
        Rejector.load(path)
    assert str(error.value).startswith(f"{path}: ")
    assert "\n" not in str(error.value)
    return str(error.value)


@pytest.mark.parametrize("field", EVERY)
def test_a_field_of_another_type_is_refused(tmp_path, field):
    right = FITTED.to_dict()
    for key in field.split("."):
        right = right[int(key) if key.isdigit() else key]
    same = (int, float) if type(right) is float else type(right)
    for value in OTHER_TYPES:
        if isinstance(value, bool) or not isinstance(value, same):
            if isinstance(right, bool) and isinstance(value, bool):
                continue
            refused(tmp_path, changed(field, value))


@pytest.mark.parametrize("field", [field for field in EVERY if field != "model"])
def test_a_missing_field_is_refused(tmp_path, field):
    refused(tmp_path, changed(field, ...))


@pytest.mark.parametrize(
    "place", ["", "score.", "rules.0.guarantee.", "p_correct.", "splits.tune."]
)
def test_an_unknown_field_is_refused_by_name(tmp_path, place):
    assert "unknown field 'surprise'" in refused(tmp_path, changed(f"{place}surprise", 1))


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("format", "other", 'expected "format"'),
        ("version", 3, "expected version 1 or 2, got 3"),
        ("version", 2.0, "`version`"),
        ("version", 1, "field"),
        ("version_1", "sha256:0", "`version_1` of sha256"),
        ("tuning.outcome", "guess", "a known `outcome` of tuning, got 'guess'"),
        ("tuning", "a sentence", "`tuning`"),
        ("rules.0.threshold", repr(FITTED.threshold + 1), "the same in both forms"),
        ("rules.0.threshold_hex", (FITTED.threshold + 1).hex(), "the same in both forms"),
        ("rules.0.threshold_hex", "0x1p99999", "malformed"),
        ("rules.0.threshold", "nan", "the same in both forms"),
        ("classes", 1, "`classes` >= 2"),
        ("kind", "guess", "a known `kind`"),
        ("score.name", "guess", "expected a score among"),
        ("score.params", {"p": 3}, "score `msp` takes temperature, got 'p'"),
        ("rules.0.guarantee.target_risk", 1.5, "fractions"),
        ("rules.0.guarantee.errors", 10_000, "errors <= accepted <= n"),
        ("p_correct.confidence", [1.0], "increasing `p_correct`"),
        ("p_correct.confidence", [], "increasing `p_correct`"),
        ("p_correct.probability", [0.9] + [0.5] * 15, "increasing `p_correct`"),
        ("p_correct.probability", ["0.5"] * 16, "increasing `p_correct`"),
    ],
)
def test_a_value_that_fit_never_writes_is_refused(tmp_path, field, value, message):
    assert message in refused(tmp_path, changed(field, value))


@pytest.mark.parametrize("both", ["1e300", "inf", "-inf", "nan", "0.1"])
def test_a_threshold_that_is_no_float32_is_refused(tmp_path, both):
    data = changed("rules.0.threshold", both)
    data["rules"][0]["threshold_hex"] = float(both).hex()
    data["checksum"] = checksum({k: v for k, v in data.items() if k != "checksum"})
    assert "a finite float32" in refused(tmp_path, data)


def test_norms_of_an_impossible_order_are_refused(tmp_path):
    for p in (0.5, "nan", "1"):
        refused(tmp_path, changed("score", {"name": "logit_norm", "params": {"p": p}}))


COLUMNS = ("weights", "center", "scale", "low", "high")
HALF = [0.5] * len(FEATURES)


@pytest.mark.parametrize("name", ["slope", "intercept", *COLUMNS])
def test_a_learned_score_without_one_of_its_parameters_is_refused(tmp_path, name):
    data = changed(f"score.params.{name}", ..., LEARNED)
    assert f"score `learned` needs {name}" in refused(tmp_path, data)


@pytest.mark.parametrize("name", COLUMNS)
@pytest.mark.parametrize(
    ("value", "message"),
    [
        (HALF[1:], "11 finite numbers"),
        ([*HALF, 0.5], "11 finite numbers"),
        ([], "11 finite numbers"),
        ([*HALF[1:], math.nan], "11 finite numbers"),
        ([*HALF[1:], math.inf], "11 finite numbers"),
        ([*HALF[1:], 10**400], "malformed"),
        ([*HALF[1:], "0.5"], "numbers, got"),
        ([*HALF[1:], None], "numbers, got"),
        ([*HALF[1:], True], "numbers, got"),
        ([*HALF[1:], [0.5]], "numbers, got"),
        (0.5, "numbers, got 0.5"),
        ("inf", "numbers, got inf"),
        (None, "numbers, got None"),
    ],
)
def test_weights_that_no_fit_leaves_are_refused(tmp_path, name, value, message):
    assert message in refused(tmp_path, changed(f"score.params.{name}", value, LEARNED))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("slope", -1.0),
        ("slope", math.nan),
        ("slope", "inf"),
        ("intercept", math.inf),
        ("intercept", [0.0]),
        ("scale", [0.0, *HALF[1:]]),
        ("scale", [-0.5, *HALF[1:]]),
        ("surprise", 1.0),
    ],
)
def test_a_learned_score_of_impossible_parameters_is_refused(tmp_path, name, value):
    refused(tmp_path, changed(f"score.params.{name}", value, LEARNED))


def test_a_weight_changed_by_hand_is_refused(tmp_path):
    data = json.loads(json.dumps(LEARNED.to_dict()))
    data["score"]["params"]["weights"][3] += 1e-9
    assert "changed after it was saved" in refused(tmp_path, data)


def test_a_threshold_changed_by_hand_is_refused(tmp_path):
    data = FITTED.to_dict()
    data["rules"][0] |= {"threshold": "0.5", "threshold_hex": (0.5).hex()}
    assert "changed after it was saved" in refused(tmp_path, data)
    assert "missing field 'checksum'" in refused(
        tmp_path, {k: v for k, v in FITTED.to_dict().items() if k != "checksum"}
    )


@pytest.mark.parametrize("text", ["", "{", "[]", "[1]", "null", '"x"', "NaN", "{}", "[" * 100_000])
def test_what_is_no_rejector_is_refused(tmp_path, text):
    assert "expected" in refused(tmp_path, text)


def test_a_missing_or_unreadable_file_is_named(tmp_path):
    (tmp_path / "binary.json").write_bytes(b"\xff\xfe\x00")
    for name in ("none.json", "binary.json", "."):
        with pytest.raises(InputError, match="expected a rejector, got no"):
            Rejector.load(tmp_path / name)


SAVED = (json.dumps(FITTED.to_dict(), indent=2) + "\n").encode()
BREAK = SAVED.index(b"\n")


def check_read(path, text):
    """What says the same loads; what says something else is refused or decides the same."""
    path.write_bytes(text)
    try:
        same = json.loads(text) == json.loads(SAVED)
    except ValueError:
        same = False
    if same:
        assert Rejector.load(path) == FITTED
        return
    try:
        again = Rejector.load(path)
    except InputError:
        return
    for one, other in zip(again.predict(CALIBRATE[0]), FITTED.predict(CALIBRATE[0])):
        np.testing.assert_array_equal(one, other)


@given(place=st.integers(0, len(SAVED) - 1), byte=st.integers(0, 255))
@example(place=0, byte=SAVED[0])
@example(place=BREAK, byte=ord(" "))
def test_a_changed_byte_is_refused_or_changes_no_decision(place, byte, tmp_path_factory):
    path = tmp_path_factory.getbasetemp() / "fuzzed.json"
    check_read(path, SAVED[:place] + bytes([byte]) + SAVED[place + 1 :])


@given(place=st.integers(0, len(SAVED) - 2), length=st.integers(1, 40))
@example(place=0, length=0)
@example(place=BREAK, length=1)
@example(place=len(SAVED) - 1, length=1)
def test_a_missing_piece_is_refused_or_changes_no_decision(place, length, tmp_path_factory):
    path = tmp_path_factory.getbasetemp() / "cut.json"
    check_read(path, SAVED[:place] + SAVED[place + length :])


def test_a_field_that_stands_twice_is_refused(tmp_path):
    text = json.dumps(FITTED.to_dict())
    for old in ('"classes": 5', '"n": 400'):
        refused(tmp_path, text.replace(old, f"{old}, {old}", 1))


def guaranteeing(**changes):
    """A file whose guarantee is another, and whose splits and checksum agree with it."""
    data = copy.deepcopy(json.loads(json.dumps(FITTED.to_dict())))
    guarantee = data["rules"][0]["guarantee"]
    method = changes.get("method", guarantee["method"])
    assumptions = ["iid_rows", *METHODS[method].assumptions]
    guarantee |= {"assumptions": assumptions, "points": 50 if method == "band" else None} | changes
    data["delta"], n = guarantee["delta"], guarantee["n"]
    data["splits"]["calibrate"] |= {"n": n, "used": n}
    data["checksum"] = checksum({k: v for k, v in data.items() if k != "checksum"})
    return data


LEVEL = {  # of a single test, by n and delta
    "fixed_sequence": lambda n, risk, delta: delta,
    "bonferroni": lambda n, risk, delta: delta / 20,
    "sgr": lambda n, risk, delta: delta / max(1, math.ceil(math.log2(n))),
    "random_walk": lambda n, risk, delta: walk_level(np.arange(1, n + 1), risk, delta),
}


@given(
    method=st.sampled_from(sorted(LEVEL)),
    n=st.integers(1, 400),
    share=st.floats(0, 1),
    errors=st.integers(0, 60),
    risk=st.sampled_from([0.01, 0.05, 0.2, 0.5]),
    delta=st.sampled_from([0.01, 0.05, 0.25]),
)
def test_a_guarantee_is_read_only_if_its_counts_pass_its_test(
    method, n, share, errors, risk, delta
):
    accepted = round(share * n)
    assume(errors <= accepted)
    assume(method != "random_walk" or not accepted or not has_chain(n, risk))  # it allows more
    g = {"method": method, "n": n, "accepted": accepted, "errors": errors}
    level = LEVEL[method](n, risk, delta)
    p = float(reference.binomial_tail(errors, accepted, risk))
    assume(abs(p / level - 1) > 1e-6)  # rounding
    data = guaranteeing(**g, target_risk=risk, delta=delta)
    if p < level and accepted:
        assert Rejector.from_dict(data).guarantee.errors == errors
    else:
        with pytest.raises(InputError, match="counts do not support its guarantee"):
            Rejector.from_dict(data)


@pytest.mark.parametrize("method", ["auto", "random_walk", "bonferroni", "band", "sgr"])
@pytest.mark.parametrize("void", [False, True])
def test_the_guarantee_of_any_method_is_read_back(tmp_path, method, void):
    splits = (TUNE, TUNE) if void else (TUNE, CALIBRATE)
    fitted = recuse.fit(*splits, target_risk=0.3, method=method, allow_overlap=void)
    fitted.save(tmp_path / "r.json")
    assert Rejector.load(tmp_path / "r.json") == fitted


@pytest.mark.parametrize("n", [2_000, 20_000])
def test_a_long_walk_is_read_if_its_counts_pass_and_with_one_error_more_is_not(n):
    found, accepted = walk(n, 0.2, 0.05), n // 2
    most = (
        found.most[found.rank <= accepted][-1] if found.chain is None else found.chain[n // 2 - 1]
    )
    g = {"method": "random_walk", "n": n, "accepted": accepted, "target_risk": 0.2, "delta": 0.05}
    assert Rejector.from_dict(guaranteeing(**g, errors=int(most)))
    with pytest.raises(InputError, match="counts do not support"):
        Rejector.from_dict(guaranteeing(**g, errors=int(most) + 1))
    with pytest.raises(InputError, match="at most 100,000,000 rows for random_walk"):
        Rejector.from_dict(guaranteeing(**g | {"n": LONGEST_WALK + 1}, errors=int(most)))


@pytest.mark.parametrize(
    ("method", "change", "message"),
    [
        ("fixed_sequence", {"assumptions": []}, "the assumptions iid_rows, got none"),
        ("fixed_sequence", {"assumptions": ["iid_rows", "unknown"]}, "the assumptions"),
        ("fixed_sequence", {"assumptions": ["iid_groups"]}, "the assumptions iid_rows"),
        ("sgr", {"assumptions": ["iid_rows"]}, "the assumptions iid_rows, adaptive_search"),
        ("fixed_sequence", {"simultaneous": 0}, "`simultaneous` guarantees, got 0"),
        ("fixed_sequence", {"simultaneous": 10}, "`simultaneous` guarantees, got 10"),
        ("band", {"points": 5}, "a band of 50 points, got 5"),
        ("fixed_sequence", {"points": 50}, "`points`"),
    ],
)
def test_assumptions_that_are_not_those_of_the_method_are_refused(method, change, message):
    g = {"method": method, "n": 400, "accepted": 300, "errors": 10, "target_risk": 0.2}
    assert Rejector.from_dict(guaranteeing(**g, delta=0.05))
    with pytest.raises(InputError, match=message):
        Rejector.from_dict(guaranteeing(**g, delta=0.05, **change))


def test_the_number_of_simultaneous_guarantees_is_read_back():
    found = fit_several(TUNE, CALIBRATE, target_risks=(0.25, 0.3, 0.35), learned=False)
    for choice in found:
        data = json.loads(json.dumps(choice.rejector.to_dict()))
        assert data["rules"][0]["guarantee"]["simultaneous"] == 3
        assert Rejector.from_dict(data) == choice.rejector


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        (
            "rules.0.guarantee.errors",
            FITTED.guarantee.accepted // 4,
            "counts do not support its guarantee",
        ),
        ("rules.0.guarantee.accepted", 10, "errors <= accepted <= n"),
        ("rules.0.guarantee.target_risk", 0.01, "counts do not support its guarantee"),
        ("rules.0.guarantee.delta", 1e-9, "counts do not support its guarantee"),
        ("rules.0.guarantee.delta", 0.7, "fractions"),
        ("rules.0.guarantee.method", "guess", "a known method, got 'guess'"),
        ("rules.0.guarantee.method", "bonferroni", "counts do not support its guarantee"),
        ("rules.0.guarantee.unit", "examples", "a known unit"),
        ("rules.0.guarantee.n", 399, "the 399 rows of the guarantee, got 400 of 400 rows"),
        ("splits.calibrate.used", 399, "the 400 rows of the guarantee, got 399 of 400 rows"),
        ("splits.calibrate.n", 500, "the 400 rows of the guarantee, got 400 of 500 rows"),
        ("splits.calibrate", ..., "missing field 'calibrate'"),
        ("splits.tune.n", 0, "`n` >= 1"),
        ("splits.tune.digest", "sha256:0", "a `digest` of sha256"),
        ("splits.tune.sample.float32.hashes", "AAAA", "at most 256 hashes of 8 bytes"),
        ("splits.tune.sample.float32.equal", -1, "at most 256 hashes of 8 bytes"),
        ("splits.calibrate.sample.bfloat16", ..., "missing field 'bfloat16'"),
        ("splits.calibrate.masked", ["2"], "`masked` classes as indices"),
        ("splits.tune.digest", FITTED.splits["calibrate"]["digest"], "the same data"),
        ("kind", "binary", "a known `kind`, got 5 and 'binary'"),
    ],
)
def test_parts_that_disagree_are_refused_whatever_the_checksum(tmp_path, field, value, message):
    assert message in refused(tmp_path, changed(field, value))


def test_probabilities_with_a_score_of_logits_are_refused(tmp_path):
    data = changed("kind", "probs", REPAIRED)
    assert "a score that probabilities can give" in refused(tmp_path, data)


def test_formatting_and_the_order_of_fields_do_not_matter(tmp_path):
    data = FITTED.to_dict()
    data["p_correct"] = dict(reversed(data["p_correct"].items()))
    (tmp_path / "r.json").write_text(json.dumps(dict(reversed(data.items()))))
    assert Rejector.load(tmp_path / "r.json") == FITTED


# Decisions


@pytest.mark.parametrize("threshold", [FITTED.threshold, 1.0, 0.1, -0.25, 37.5])
def test_rows_at_and_one_float32_step_around_the_threshold_are_told_apart(threshold):
    at = np.float32(threshold)
    gaps = np.array([np.nextafter(at, np.float32(-np.inf)), at, np.nextafter(at, np.float32(9e9))])
    z = np.column_stack([gaps.astype(np.float64), np.full(3, -50.0)])  # max_logit is the gap
    rejector = altered(FITTED, score=Score("max_logit"), classes=2, threshold=at)
    predictions = rejector.predict(z)
    assert predictions.confidence.tolist() == gaps.tolist()
    assert predictions.accept.tolist() == [False, True, True]


@given(
    dtype=st.sampled_from([np.float16, ml_dtypes.bfloat16, np.float32, np.float64]),
    score=st.sampled_from(
        [
            Score("msp"),
            Score("margin"),
            Score("logit_norm", {"p": 3, "center": True}),
            learned_score(),
        ]
    ),
    seed=st.integers(0, 5),
)
def test_one_row_at_a_time_gives_the_same_bits_as_the_batch(dtype, score, seed):
    z, _ = sample(30, seed=seed, dtype=dtype)
    confidence = score(z)
    rejector = altered(FITTED, score=score, threshold=np.sort(confidence)[12])
    batch = rejector.predict(z)
    assert batch.confidence.dtype == np.float32
    assert batch.accept.tolist() == (batch.confidence >= np.float32(rejector.threshold)).tolist()
    assert 0 < batch.accept.sum() < 30
    for i in range(30):
        for whole, one in zip(batch, rejector.predict(z[i : i + 1])):
            assert whole[i] == one[0]


@pytest.mark.parametrize("dtype", [np.float16, ml_dtypes.bfloat16, np.float64])
def test_half_and_double_precision_fit_and_predict(dtype):
    rejector = recuse.fit(sample(400, 5, 0, dtype), sample(400, 5, 1, dtype), target_risk=0.2)
    z, labels = sample(400, 5, 2, dtype)
    predictions = rejector.predict(z)
    assert (predictions.prediction[predictions.accept] != labels[predictions.accept]).mean() < 0.2


def test_pixels_are_decided_like_rows():
    z, _ = pixels(4, classes=5)
    flat = FITTED.predict(np.moveaxis(z, 1, -1).reshape(-1, 5))
    for whole, row in zip(FITTED.predict(z), flat):
        np.testing.assert_array_equal(whole.reshape(-1), row)


def test_another_number_of_classes_or_malformed_logits_are_refused():
    with pytest.raises(InputError, match="expected logits of 5 classes, as fitted, got 4"):
        FITTED.predict(TEST[0][:, :4])
    for bad in (np.full((2, 5), np.nan), np.ones(5), np.ones((2, 5), bool), np.ones(0)):
        with pytest.raises(InputError):
            FITTED.predict(bad)


def test_p_correct_rises_with_confidence_and_stays_inside_0_and_1():
    predictions = FITTED.predict(np.concatenate([TEST[0], 1e4 * TEST[0], 1e-4 * TEST[0]]))
    p = predictions.p_correct[np.argsort(predictions.confidence)]
    assert (np.diff(p) >= 0).all()
    assert 0 < p.min() < 0.7 < p.max() < 1


@pytest.mark.parametrize("seed", range(50))
def test_the_isotonic_map_pools_what_falls(seed):
    """Its definition: of the means from any earlier bin on, the largest of the least to come."""
    rng = np.random.default_rng(seed)
    rate, count = rng.integers(1, 6, (2, 1 + seed % 9)).astype(float)
    total, weight = np.r_[0, np.cumsum(rate * count)], np.r_[0, np.cumsum(count)]

    def mean(a, b):
        return (total[b] - total[a]) / (weight[b] - weight[a])

    bins = range(rate.size)
    expected = [max(min(mean(a, b + 1) for b in bins[i:]) for a in bins[: i + 1]) for i in bins]
    np.testing.assert_allclose(pooled(rate, count), expected, rtol=1e-14)


def test_p_correct_is_inside_0_and_1_for_a_perfect_and_a_hopeless_tune_split():
    z, _ = sample(400)
    right = z.argmax(axis=1)
    for tune_labels in (right, z.argmin(axis=1)):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DataWarning)  # of the order of the labels
            choice = choose((z, tune_labels), (CALIBRATE[0], CALIBRATE[1]), target_risk=0.5)
        p = choice.rejector.predict(TEST[0]).p_correct
        assert ((p > 0) & (p < 1)).all()


# Fitting


def test_fit_equals_its_own_count_of_the_calibrate_split():
    predictions = FITTED.predict(CALIBRATE[0])
    g = FITTED.guarantee
    errors = (predictions.prediction != CALIBRATE[1])[predictions.accept].sum()
    assert (g.n, g.accepted, g.errors) == (400, predictions.accept.sum(), errors)


def test_a_learned_score_goes_with_a_guarantee_that_counts_what_it_accepts():
    assert LEARNED.score.name == "learned"
    z, labels = learnable(600, 1)
    predictions, g = LEARNED.predict(z), LEARNED.guarantee
    errors = (predictions.prediction != labels)[predictions.accept].sum()
    assert (g.n, g.accepted, g.errors) == (600, predictions.accept.sum(), errors)
    z, labels = learnable(4000, 2)
    predictions = LEARNED.predict(z)
    assert (predictions.prediction != labels)[predictions.accept].mean() < 0.3
    assert (predictions.prediction != labels).mean() > 0.4


def test_a_learned_score_of_two_classes_fits_and_reads_back(tmp_path):
    rejector = recuse.fit(learnable(800, 0, "two"), learnable(800, 1, "two"), target_risk=0.15)
    assert rejector.score.name == "learned"
    rejector.save(tmp_path / "r.json")
    z, labels = learnable(4000, 2, "two")
    found = Rejector.load(tmp_path / "r.json").predict(z)
    for one, other in zip(found, rejector.predict(z)):
        np.testing.assert_array_equal(one, other)
    assert (
        (found.prediction != labels)[found.accept].mean()
        < 0.15
        < (found.prediction != labels).mean()
    )


@pytest.mark.parametrize(
    ("objective", "measure"), [("aurc", AURC), ("augrc", AUGRC), ("coverage", coverage_at(0.3))]
)
def test_the_score_is_chosen_by_the_objective(objective, measure):
    rows = learnable(600, 0), learnable(600, 1)
    choice = choose(*rows, target_risk=0.3, objective=objective)
    assert choice.tuned == tune(*rows[0], objective=objective, target_risk=0.3)
    assert choice.tuned.objective == objective
    fitted = recuse.fit(*rows, target_risk=0.3, objective=objective)
    assert fitted == choice.rejector


def test_without_the_learned_score_none_is_fitted():
    rows = learnable(600, 0), learnable(600, 1)
    tuned = choose(*rows, target_risk=0.3, learned=False).tuned
    assert tuned == tune(*rows[0], learned=False)
    assert "learned" not in {score.name for score, _ in tuned.table}
    assert {trial.family for trial in tuned.trials} == {"candidates"}


def test_probabilities_never_get_a_learned_score():
    splits = [
        (np.exp(log_softmax(z)), labels)
        for z, labels in (learnable(600, seed) for seed in range(2))
    ]
    tuned = choose(*splits, target_risk=0.6, kind="probs").tuned
    assert [str(score) for score, _ in tuned.table] == ["msp"]


def test_shuffled_rows_give_the_same_rejector():
    def shuffled(data, seed):
        order = np.random.default_rng(seed).permutation(len(data[0]))
        return data[0][order], data[1][order]

    again = recuse.fit(shuffled(TUNE, 3), shuffled(CALIBRATE, 4), target_risk=0.2)
    assert again.reason == FITTED.reason
    assert replace(again, splits=FITTED.splits, tuning=FITTED.tuning) == FITTED


@pytest.mark.parametrize("names", ["groups", "groups and ids", "groups and text ids"])
def test_one_row_of_each_group_is_used_whatever_the_order_of_the_rows(names):
    z, labels = sample(600, seed=4)
    z[:50], labels[:50] = z[50:100], labels[50:100]  # rows that repeat
    groups = np.arange(600) // 5
    ids = {"groups": None, "groups and ids": np.arange(600)[::-1].copy()}.get(
        names, np.array([f"id{i}" for i in range(600)])
    )
    file = HeldOut(z, labels, groups, ids)
    order = np.random.default_rng(0).permutation(600)
    one, other = one_of_each(file, 0), one_of_each(file.rows(order), 0)
    assert one.groups.tolist() == list(range(120)) == other.groups.tolist()
    np.testing.assert_array_equal(one.logits, other.logits)
    np.testing.assert_array_equal(one.labels, other.labels)
    assert not np.array_equal(one.logits, one_of_each(file, 1).logits)

    first, again = (recuse.fit(TUNE, f, target_risk=0.25) for f in (file, file.rows(order)))
    assert first.guarantee.n == first.splits["calibrate"]["used"] == 120
    assert first.splits["calibrate"]["n"] == 600
    assert (first.threshold, first.guarantee) == (again.threshold, again.guarantee)

    reason = choose(TUNE, file, target_risk=0.01).selection.reason
    assert "on 120 calibration groups" in reason
    assert "examples" not in reason


def padded(seed, copies=2, text=True, noise=0.0):
    """300 examples, each of them several times, in a mixed order."""
    z, labels = sample(300, seed=seed)
    order = np.random.default_rng(seed).permutation(np.repeat(np.arange(300), copies))
    z = z[order] + np.float32(noise) * np.random.default_rng(9).normal(size=(order.size, 5))
    names = 1000 * seed + order
    return HeldOut(z.astype(np.float32), labels[order], ids=names.astype(str) if text else names)


@pytest.mark.parametrize("text", [True, False])
def test_repeated_ids_are_refused_or_one_row_of_each_is_used(text):
    repeated = padded(5, text=text)
    expected = (
        "ids that differ in calibrate, got 600 rows of 300 ids, such as 5000, with the same outputs"
    )
    for options in ({"target_risk": 0.3}, {"coverage": 0.5}, {"costs": equal_costs(5)}):
        with pytest.raises(InputError, match=expected):
            recuse.fit(TUNE, repeated, **options)
    with pytest.raises(InputError, match="ids that differ in tune, got 600 rows of 300 ids"):
        recuse.fit(repeated, CALIBRATE, target_risk=0.3)
    rejector = recuse.fit(TUNE, repeated, target_risk=0.3, repeated_ids="keep_one")
    once = recuse.fit(TUNE, sample(300, seed=5), target_risk=0.3)
    assert (rejector.threshold, rejector.guarantee.n) == (once.threshold, 300)
    assert rejector.guarantee.accepted == once.guarantee.accepted
    (choice,) = fit_several(TUNE, repeated, target_risks=(0.3,), repeated_ids="keep_one")
    assert choice.rejector.guarantee.n == 300


def test_outputs_that_differ_under_one_id_are_said_to_be_views_of_an_example():
    views = padded(5, noise=1.0)
    with pytest.raises(InputError, match="with different outputs, as of views of one example"):
        recuse.fit(TUNE, views, target_risk=0.3)
    with pytest.raises(InputError, match="with the same outputs"):  # but for batches and precision
        recuse.fit(TUNE, padded(5, noise=0.001), target_risk=0.3)
    rejector = recuse.fit(TUNE, views, target_risk=0.3, repeated_ids="keep_one")
    groups = recuse.fit(TUNE, replace(views, groups=views.ids), target_risk=0.3)
    assert rejector.threshold == groups.threshold


def test_an_id_in_two_groups_is_refused_and_in_one_group_is_not():
    twice = padded(5)
    one = replace(twice, groups=np.char.str_len(twice.ids) + twice.ids.astype(int) // 3)
    assert recuse.fit(TUNE, one, target_risk=0.4).guarantee.n <= 101
    with pytest.raises(InputError, match="expected each id of calibrate in one group"):
        recuse.fit(TUNE, replace(twice, groups=np.arange(600)), target_risk=0.3)


def test_an_unknown_choice_for_repeated_ids_is_named():
    with pytest.raises(InputError, match="`repeated_ids` among refuse, keep_one, got 'first'"):
        recuse.fit(TUNE, CALIBRATE, target_risk=0.3, repeated_ids="first")


@pytest.mark.parametrize("copies", [2, 3, 5])
def test_rows_repeated_more_than_any_iid_sample_are_a_warning(copies):
    repeated = padded(5, copies)
    share = f"{100 * (1 - 1 / copies):.1f} % of the rows repeat another, outputs and label"
    with pytest.warns(
        DataWarning, match=f"calibrate: {share}.*{300 * copies:,} rows, 300 distinct"
    ):
        recuse.fit(TUNE, (repeated.logits, repeated.labels), target_risk=0.3)


def honest(kind, n, rng):
    """I.i.d. confidences that repeat, as those of trees and of rounded outputs."""
    return {
        "leaves": lambda: rng.integers(0, rng.integers(1, 2 * n), n),
        "unequal leaves": lambda: rng.zipf(1.3, n),
        "rounded": lambda: np.round(rng.normal(size=n), rng.integers(0, 5)),
        "half one leaf": lambda: np.where(rng.random(n) < 0.5, rng.normal(size=n), 0),
        "some leaves": lambda: np.where(
            rng.random(n) < 0.5, rng.normal(size=n), rng.integers(0, n // 4, n)
        ),
        "a bootstrap": lambda: rng.choice(rng.normal(size=n), n),
        "one": lambda: np.zeros(n),
    }[kind]()


KINDS = (
    "leaves",
    "unequal leaves",
    "rounded",
    "half one leaf",
    "some leaves",
    "a bootstrap",
    "one",
)


@pytest.mark.parametrize("kind", KINDS)
def test_outputs_that_repeat_by_themselves_are_no_warning(kind):
    rng = np.random.default_rng(0)
    for n in (20, 60, 200, 1000, 5000):
        for _ in range(40):
            x = honest(kind, n, rng)[:, None]
            z, labels = x * np.array([1.0, -1.0]), rng.integers(0, 2, n)
            assert repeated_rows(HeldOut(z, labels)) is None


def seen_of(z, rejector=FITTED, **options):
    lines = decisions.summary_lines(summary_of(z, rejector, **options))
    return [line for line in lines if "not an unbiased test" in line]


def test_equal_short_sequences_without_ids_are_no_overlap():
    """Tokens of sequences: a few short ones, such as one word, have equal outputs everywhere."""
    rng = np.random.default_rng(0)
    z = rng.normal(size=(300, 3, 6)).astype(np.float32)
    y = np.where(np.arange(6) < rng.integers(1, 7, (300, 1)), z.argmax(axis=1), -100)
    z[::60], y[::60] = z[0], y[0]
    splits = [HeldOut(z[i::2], y[i::2], ignore_index=-100) for i in (0, 1)]
    z[1::60], y[1::60] = z[0], y[0]
    fitted = recuse.fit(*splits, target_risk=0.3, learned=False)
    assert fitted.guarantee.unit == "groups"
    same = replace(splits[1], logits=np.r_[splits[1].logits, splits[0].logits[:100]])
    same = replace(same, labels=np.r_[splits[1].labels, splits[0].labels[:100]])
    with pytest.raises(InputError, match="identical rows in both"):
        recuse.fit(splits[0], same, target_risk=0.3, learned=False)


def test_new_rows_are_not_those_of_a_fit_on_one_file():
    fitted = recuse.fit(CALIBRATE, target_risk=0.3)
    assert seen_of(TEST[0], fitted) == []
    assert len(seen_of(CALIBRATE[0], fitted)) == 1


def test_confidences_of_the_fit_are_found_in_a_larger_file():
    rng = np.random.default_rng(0)
    c = rng.uniform(size=1200)
    right = rng.uniform(size=1200) < c
    parts = [HeldOut(c[i::3][:, None], right[i::3] * 1, kind="confidences") for i in range(3)]
    rejector = recuse.fit(*parts[:2], target_risk=0.3)
    whole = HeldOut(c[:, None], right * 1, kind="confidences")
    assert summarize(whole, rejector.predict(whole), rejector).seen_share == 1
    assert summarize(parts[2], rejector.predict(parts[2]), rejector).seen_share is None


def test_the_columns_of_a_frame_are_ordered_by_the_classes_of_the_fit():
    pandas = pytest.importorskip("pandas")
    names = ["cat", "dog", "eel", "fox", "gnu"]
    files = [recuse.from_arrays(*part, classes=names) for part in (TUNE, CALIBRATE)]
    rejector = recuse.fit(*files, target_risk=0.2)
    frame = pandas.DataFrame(TEST[0], columns=names)
    found = rejector.predict(frame[names[::-1]])
    for values, expected in zip(found, rejector.predict(TEST[0])):
        np.testing.assert_array_equal(values, expected)
    with pytest.raises(InputError, match="got cat and dog"):
        rejector.predict(frame[names[:2]])


def test_subgroups_are_named_and_are_not_the_labels():
    site = np.arange(len(TUNE[0])) % 2
    files = [
        recuse.from_arrays(*part, subgroups={"site": site[: len(part[0])]})
        for part in (TUNE, CALIBRATE)
    ]
    named = recuse.fit(*files, target_risk=0.3, subgroups="site")
    given = recuse.fit(*files, target_risk=0.3, subgroups=[f.subgroups["site"] for f in files])
    assert named.rules == given.rules
    accept = named.predict(files[1], subgroups="site").accept
    np.testing.assert_array_equal(
        accept, given.predict(files[1], files[1].subgroups["site"]).accept
    )
    with pytest.raises(InputError, match="'ward', got site"):
        recuse.fit(*files, target_risk=0.3, subgroups="ward")
    with pytest.raises(InputError, match="got the true classes"):
        recuse.fit(TUNE, CALIBRATE, target_risk=0.3, subgroups=(TUNE[1], CALIBRATE[1] * 7))


def test_rows_of_the_fit_are_found_in_a_file_of_another_digest(tmp_path):
    (z, y), fresh = CALIBRATE, sample(5000, seed=9)[0]
    k = z.shape[1]
    whole = np.concatenate([TUNE[0], z, TEST[0]])
    np.savetxt(tmp_path / "z.csv", z, delimiter=",")
    table = recuse.from_frame({f"logit_{i}": z[:, i] for i in range(k)})
    forms = {
        "whole": whole,
        "shuffled": z[::-1],
        "half": np.concatenate([fresh, z[::2]]),
        "float64": z.astype(np.float64),
        "float16": z.astype(np.float16),
        "bfloat16": z.astype(ml_dtypes.bfloat16),
        "csv": np.loadtxt(tmp_path / "z.csv", delimiter=","),
        "frame": table.logits,
    }
    for form, saved in forms.items():
        (line,) = seen_of(saved)
        assert "holds rows that were used for calibration (about " in line, form
    for labels in (None, np.roll(y, 1)):
        assert len(seen_of(z, labels=labels)) == 1
    assert seen_of(z, labels=y)[0].endswith(
        "was used for calibration, so this is not an unbiased test."
    )
    assert "used for tuning (about 100 %" in seen_of(TUNE[0][::-1])[0]
    FITTED.save(tmp_path / "r.json")
    assert seen_of(whole, Rejector.load(tmp_path / "r.json")) == seen_of(whole)
    splits = {k: {a: b for a, b in s.items() if a != "sample"} for k, s in FITTED.splits.items()}
    before = replace(FITTED, splits=splits)  # as an earlier version saved it
    before.save(tmp_path / "r.json")
    assert seen_of(whole, Rejector.load(tmp_path / "r.json")) == []
    probs = [softmax(x.astype(np.float64), axis=1) for x in (TUNE[0], z)]
    of_probs = recuse.fit(*zip(probs, (TUNE[1], y)), target_risk=0.2, kind="probs")
    resaved = HeldOut(np.log(probs[1].astype(np.float32)[::-1]), kind="probs")
    assert summarize(resaved, of_probs.predict(resaved), of_probs).seen_share > 0.9


DTYPES = (np.float16, ml_dtypes.bfloat16, np.float32, np.float64)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("stored", [*DTYPES, np.dtype(">f4"), np.dtype(">f8")])
def test_hashes_of_rows_are_those_that_saved_rejectors_hold(stored, dtype, loops):
    rng = np.random.default_rng(0)
    z = (4 * rng.normal(size=(2 * ROWS + 3, 3))).round(1).astype(stored)
    z[:2] = [[-0.0, -np.inf, 1.0], [0.0, -np.inf, 1.0]]
    y = rng.integers(0, 3, len(z))
    rows = z.astype(dtype).astype(np.float64)
    for file in (HeldOut(z, y), HeldOut(np.asfortranarray(z), y)):
        found, outputs = fingerprints(file, dtype), output_hashes(file, dtype)
        for i in (0, 1, ROWS - 1, ROWS, len(z) - 1):
            assert outputs[i] == reference.row_hash(rows[i])
            assert found[i] == reference.row_hash([*rows[i], y[i]])
        assert (fingerprints(file, dtype) == found).all()  # again


@pytest.mark.parametrize("kind", KINDS)
def test_other_rows_are_no_rows_of_the_fit_though_outputs_repeat(kind):
    rng = np.random.default_rng(1)
    for n in (60, 400, 3000):
        for _ in range(5):
            one, other = (
                HeldOut(honest(kind, m, rng)[:, None] * np.array([1.0, -1.0]))
                for m in (n, rng.choice([n // 3, n, 8 * n]))
            )
            assert share_of_sample(row_samples(one), len(one), other) == 0


def test_other_rows_are_no_rows_of_the_fit():
    for z in (sample(200_000, seed=9)[0], TEST[0], TEST[0].astype(np.float16)):
        assert seen_of(z) == []
    binary = HeldOut(np.random.default_rng(0).normal(size=(400, 1)).astype(np.float32) * [0, 1])
    many = HeldOut(np.random.default_rng(1).normal(size=(10**6, 1)).astype(np.float32) * [0, 1])
    assert share_of_sample(row_samples(binary), 400, many) == 0
    assert share_of_sample(row_samples(binary), 400, binary) == 1


def test_a_few_copies_have_the_counts_of_honest_outputs():
    """No test of how often rows stand in a file can be honest and find 20 copies in 200 rows."""
    rng = np.random.default_rng(0)

    def counts(x):
        return sorted(np.unique(x, return_counts=True)[1].tolist())

    padded = rng.normal(size=180)[np.r_[0:180, 0:20]]
    draws = (rng.integers(0, 1000, 200) for _ in range(1000))
    honest = next(x for x in draws if counts(x) == counts(padded))
    for x in (padded, honest):
        assert repeated_rows(HeldOut(x[:, None] * np.array([1.0, -1.0]))) is None


def most_errors(copies, **options):
    """The largest number of wrong ones among 300 examples that fits a risk of 15 %."""

    def fits(errors):
        labels = np.repeat((np.arange(300) < errors).astype(int), copies)
        z = np.tile(np.array([[2.0, 0.0]]), (300 * copies, 1))
        file = HeldOut(z, labels, ids=np.repeat(np.arange(300), copies))
        given = file if options else replace(file, ids=None)
        fixed = {"target_risk": 0.15, "learned": False, "method": "fixed_sequence"}
        return choose(TWO_CLASSES, given, **fixed, **options).rejector is not None

    return next(errors for errors in range(60, 0, -1) if fits(errors))


TWO_CLASSES = sample(40, 2, seed=1)


def test_one_row_of_each_repeated_id_keeps_the_guarantee_that_all_rows_break():
    """The probability, at a risk of just over 15 %, that a guarantee at delta 5 % is given."""
    once, twice = (binom.cdf(most_errors(copies), 300, 0.15) for copies in (1, 2))
    kept = binom.cdf(most_errors(2, repeated_ids="keep_one"), 300, 0.15)
    assert kept == once <= 0.05 < 0.08 < twice


def summary_of(z, rejector=FITTED, subgroups=None, **options):
    file = HeldOut(z, **options)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DataWarning)  # that they look like another model's
        return summarize(file, rejector.predict(z, subgroups), rejector, subgroups)


def said_of(summary):
    return [line for line in decisions.summary_lines(summary) if line.startswith("Far ")]


def test_a_file_of_which_far_fewer_or_more_are_accepted_than_in_calibration_is_said():
    z = sample(4000, seed=7)[0]
    calibrated = FITTED.guarantee.coverage
    for scale, often in ((0.3, "fewer"), (4, "more")):
        summary = summary_of(z * np.float32(scale))
        (line,) = said_of(summary)
        assert line.startswith(f"Far {often} are accepted than in calibration (")
        assert f"against {percent(calibrated)}; by chance in less than 1 of a million" in line
        change = summary.to_dict()["change"]
        assert change["changed"]
        assert change["p_value"] < 1e-6
        assert (change["n"], change["calibrated_n"]) == (4000, 400)
        assert (change["coverage"], change["calibrated"]) == (summary.coverage, calibrated)
    for same in (z, CALIBRATE[0], TUNE[0]):
        assert said_of(summary_of(same)) == []
    assert not summary_of(z).to_dict()["change"]["changed"]
    assert said_of(summary_of(z[:3] * np.float32(0.3))) == []  # too few to tell


@given(st.integers(1, 40), st.integers(1, 40), st.data())
def test_the_p_value_of_a_change_is_twice_the_smaller_tail(n, m, data):
    k, l = data.draw(st.integers(0, n)), data.draw(st.integers(0, m))
    tail = hypergeom(n + m, k + l, m)
    expected = min(1, 2 * min(tail.cdf(l), tail.sf(l - 1)))
    change = CoverageChange(k, n, l, m)
    assert change.p_value == pytest.approx(expected, rel=1e-9)
    assert replace(change, compared=3).p_value == pytest.approx(min(1, 3 * expected), rel=1e-9)


def test_a_difference_of_millions_that_does_not_matter_is_no_change():
    assert not CoverageChange(3_350_000, 5_000_000, 34_000, 50_000).changed  # 67 % of 68 %
    assert CoverageChange(95_000, 5_000_000, 1_360, 2_000).changed  # 1.9 % of 68 %
    assert CoverageChange(970_000, 1_000_000, 9_990, 10_000).changed  # thirty times as many left
    assert not CoverageChange(0, 9, 0, 400).changed


def test_of_dependent_rows_one_of_each_group_is_compared():
    """900 rows of one film that all differ from calibration are one row that differs."""
    z = np.repeat(sample(4, seed=3)[0] * np.float32(0.1), 900, axis=0)
    assert said_of(summary_of(z)) != []
    for options in ({"groups": np.arange(3600) // 900}, {"ids": np.arange(3600) // 900}):
        summary = summary_of(z, **options)
        assert (summary.change.n, summary.independent, said_of(summary)) == (4, False, [])
    grouped = recuse.fit(TUNE, HeldOut(*CALIBRATE, groups=np.arange(400) // 4), target_risk=0.3)
    assert summary_of(z, grouped).change.n == 900  # as groups of 4, as in calibration
    images, labels = pixels(40, seed=1)
    pixel = recuse.fit(pixels(40, seed=2), HeldOut(images, labels), target_risk=0.4)
    assert summary_of(pixels(9, seed=3)[0], pixel).change.n == 9


def test_a_grouped_file_is_compared_by_one_row_of_each_group_or_it_is_said_why_not():
    """With identical rows in each group, one row of each is the file without repeats."""
    (z, y), groups = sample(300, seed=5), np.arange(900) // 3
    three = {"z": np.repeat(z, 3, axis=0), "labels": np.repeat(y, 3), "groups": groups}
    calibrate = HeldOut(*CALIBRATE, groups=np.arange(400) // 2)
    for goal in ({"target_risk": 0.3}, {"coverage": 0.5}, {"costs": equal_costs(5)}):
        of_groups = recuse.fit(TUNE, calibrate, **goal, learned=False)
        of_rows = recuse.fit(TUNE, CALIBRATE, **goal, learned=False)
        once, each = summary_of(z, of_groups, labels=y), summary_of(rejector=of_groups, **three)
        assert each.compared == once.compared is not None
        assert (each.groups, each.kept) == (300, once.kept)
        kind = of_groups.guarantee.kind
        errors = f", {once.errors} of them wrong"
        said = f"Of one random row of each of 300 groups, {once.accepted} are accepted{errors}: the"
        assert any(line.startswith(said) for line in decisions.summary_lines(each))
        plain = summary_of(rejector=of_rows, **three)
        assert plain.compared is None
        lines = [
            x for x in decisions.summary_lines(plain) if "since the guarantee counts rows" in x
        ]
        assert len(lines) == 1
        assert "there is no interval of the" in lines[0]
        assert plain.to_dict()[f"{'risk' if kind == 'risk' else 'coverage'}_interval"] is None


def test_each_subgroup_is_compared_with_its_own_calibration():
    site = np.where(np.arange(400) % 2, "north", "south")
    by_site = recuse.fit(TUNE, CALIBRATE, target_risk=0.3, subgroups=(site, site))
    z, of = sample(2000, seed=8)[0], np.where(np.arange(2000) % 8, "north", "south")
    assert said_of(summary_of(z, by_site, of)) == []  # another mix, the same sites
    z[of == "south"] *= np.float32(0.2)
    summary = summary_of(z, by_site, of)
    (line,) = said_of(summary)
    assert "Far fewer of subgroup south are accepted" in line
    assert (summary.change.compared, summary.change.n) == (2, 250)
    assert summary_of(z, by_site, np.full(2000, "east")).change is None


def test_no_split_of_the_same_kind_is_said_to_have_changed():
    rng = np.random.default_rng(0)
    for n, m, p in ((400, 400, 0.7), (2000, 300, 0.05), (50, 5000, 0.99)):
        k, l = rng.binomial(n, p, 3000), rng.binomial(m, p, 3000)
        assert not any(CoverageChange(a, n, b, m).changed for a, b in zip(k.tolist(), l.tolist()))


def overlapping():
    z, labels = CALIBRATE
    ids = np.arange(400)
    return {
        "the same data twice": (TUNE, TUNE),
        "300 ids in both, such as 100": (
            HeldOut(*TUNE, ids=ids),
            HeldOut(z, labels, ids=ids + 100),
        ),
        "1 groups in both, such as 199": (
            HeldOut(*TUNE, groups=ids // 2),
            HeldOut(z, labels, groups=ids // 2 + 199),
        ),
        "40 identical rows in both": (
            TUNE,
            (np.concatenate([TUNE[0][:40], z[40:]]), np.r_[TUNE[1][:40], labels[40:]]),
        ),
        "equal labels in all 400 rows": (TUNE, (TUNE[0] + np.float32(0.1) * z, TUNE[1])),
        "400 identical rows in both": (TUNE, (TUNE[0][::-1].astype(np.float64), TUNE[1][::-1])),
        "400 identical rows in": (
            HeldOut(*TUNE, ids=ids, groups=ids),
            HeldOut(TUNE[0][::-1], TUNE[1][::-1], ids=ids + 1000, groups=ids + 1000),
        ),
        "400 identical rows": (TUNE, (TUNE[0].astype(np.float16), TUNE[1])),
        "400 identical": (
            (TUNE[0].astype(ml_dtypes.bfloat16).astype(np.float32), TUNE[1]),
            TUNE,
        ),
    }


@pytest.mark.parametrize("shared", overlapping())
def test_fit_refuses_splits_that_overlap_and_says_how(shared):
    tune, calibrate = overlapping()[shared]
    with pytest.raises(InputError, match=f"split without shared rows, got {shared}"):
        recuse.fit(tune, calibrate, target_risk=0.3)


@pytest.mark.parametrize("shared", overlapping())
def test_an_overlap_asked_for_voids_the_guarantee_in_every_sentence(shared, tmp_path):
    tune, calibrate = overlapping()[shared]
    choice = choose(tune, calibrate, target_risk=0.4, delta=0.3, allow_overlap=True)
    rejector = choice.rejector
    rejector.save(tmp_path / "r.json")
    for said in (rejector, rejector.guarantee, choice.selection, choice.selection.reason):
        assert "No guarantee: the tuning and the calibration split share rows" in str(said)
        assert "confidence, at most" not in str(said)
    assert Rejector.load(tmp_path / "r.json").guarantee.void


@pytest.mark.parametrize(
    "labels",
    [
        np.r_[0, 1, 0, 2],
        np.zeros(400, int),
        np.repeat([0, 1, 2, 3], 100),
        np.tile([0, 1, 2, 3], 100),
        np.tile([1, 0], 200),
        np.arange(400) % 200,
        np.r_[1, np.zeros(399)],
    ],
    ids=["few", "one class", "sorted", "in turn", "two in turn", "many in turn", "one of another"],
)
def test_equal_labels_that_say_nothing_are_no_overlap(labels):
    labels = labels.astype(int)
    a, b = (HeldOut(sample(len(labels), seed=s)[0], labels) for s in (1, 2))
    assert overlap(a, b) is None
    ids = np.arange(400)
    mixed = np.random.default_rng(0).integers(0, 5, 400)
    a, b = (sample(400, seed=s)[0] for s in (1, 2))
    others = HeldOut(a, mixed, ids=ids), HeldOut(b, mixed, ids=ids + 400)
    assert overlap(*others) is None
    assert "equal labels" in overlap(HeldOut(a, mixed), HeldOut(b, mixed))


@pytest.mark.parametrize("dtype", [np.float16, ml_dtypes.bfloat16])
@pytest.mark.parametrize("n", [300, 3000])
def test_coarse_logits_that_agree_by_chance_are_no_overlap(dtype, n):
    tune, calibrate = (one_column(n, seed=s, dtype=dtype) for s in (1, 2))
    tune, calibrate = ((from_binary(z), y) for z, y in (tune, calibrate))
    assert recuse.fit(tune, calibrate, target_risk=0.3).classes == 2
    z = np.concatenate([tune[0][: n // 2], calibrate[0][n // 2 :]])
    labels = np.r_[tune[1][: n // 2], calibrate[1][n // 2 :]]
    with pytest.raises(InputError, match="identical rows in both"):
        recuse.fit(tune, (z, labels), target_risk=0.3)


@pytest.mark.parametrize("rest", [(), (2, 3)])
def test_no_rows_have_no_decisions(rest):
    none, some = (FITTED.predict(np.zeros((n, 5, *rest), np.float32)) for n in (0, 2))
    for nothing, column in zip(none, some):
        assert nothing.shape == (0, *rest)
        assert nothing.dtype == column.dtype
    with pytest.raises(InputError, match="of 5 classes, as fitted, got 4"):
        FITTED.predict(np.zeros((0, 4)))


def repeating(n, rng):
    """Two files of n distinct rows; `copy` repeats rows of the first in the second."""
    one, other = rng.normal(size=(2, n, 3))
    labels = rng.integers(0, 3, n)
    return one, other, labels


@pytest.mark.parametrize("names", ["ids", "groups"])
@pytest.mark.parametrize("n", [20, 60, 400])
def test_equal_rows_of_other_names_are_no_overlap_unless_most_rows_are_copied(n, names):
    one, other, labels = repeating(n, np.random.default_rng(0))
    own = {names: np.arange(n)}, {names: np.arange(n) + n}
    same = {names: np.arange(n)}, {names: np.arange(n)}
    for copied in (1, n // 4, n):
        z = np.concatenate([one[:copied], other[copied:]])[::-1]
        a, b = (HeldOut(*x, **named) for x, named in zip(((one, labels), (z, labels[::-1])), own))
        if copied < n or n <= 25:  # 25 may all fall apart by chance of one in 30 million
            assert overlap(a, b) is None
        else:
            assert overlap(a, b) == f"{n} identical rows in both"
    twice = [HeldOut(one, labels, **named) for named in same]
    assert overlap(*twice) == "the same data twice"


def test_a_row_that_repeats_in_a_small_file_does_not_make_its_parts_overlap():
    rng = np.random.default_rng(0)
    refused = 0
    for seed in range(200):
        z, _, labels = repeating(60, rng)
        z[:6], labels[:6] = z[6:12], labels[6:12]
        parts = split_rows(HeldOut(z, labels), {"tune": 0.5, "calibrate": 0.5}, seed=seed)
        refused += overlap(parts["tune"], parts["calibrate"]) is not None
    assert refused <= 2 + 3 * np.sqrt(2)  # at most one in a hundred, of 200
    z, other, labels = repeating(60, rng)
    shared = np.concatenate([z[:7], other[7:]])
    assert "7 identical rows" in overlap(HeldOut(z, labels), HeldOut(shared, labels))


def few_values(n, rng):
    """Logits of two classes, as of a small tree: five rows that differ."""
    z = rng.choice([-2.0, -0.5, 0.0, 1.0, 3.0], n, p=[0.3, 0.1, 0.1, 0.2, 0.3])
    return HeldOut(np.c_[np.zeros(n), z], rng.integers(0, 2, n))


def test_rows_that_many_have_are_no_overlap_of_splits_of_unequal_size():
    rng = np.random.default_rng(0)
    assert not any(overlap(few_values(5000, rng), few_values(500, rng)) for _ in range(40))


def test_a_file_in_half_precision_is_no_overlap_with_other_rows_in_full():
    rng = np.random.default_rng(0)
    full, half = (HeldOut(rng.normal(size=(4000, 2)), np.zeros(4000, int)) for _ in "ab")
    assert overlap(full, replace(half, logits=half.logits.astype(np.float16))) is None


def test_ten_rows_of_many_may_be_in_both_splits_and_no_more():
    rng = np.random.default_rng(0)
    full = HeldOut(rng.normal(size=(4000, 3)), np.zeros(4000, int))
    other = rng.normal(size=(4000, 3))
    for shared, found in ((10, None), (11, "11 identical rows in both")):
        z = np.concatenate([full.logits[:shared], other[shared:]])
        assert overlap(full, HeldOut(z, np.zeros(4000, int))) == found


def test_pixel_files_of_different_images_fit_and_of_the_same_image_do_not():
    tune, calibrate = pixels(60, seed=1), pixels(60, seed=2)
    rejector = recuse.fit(tune, calibrate, target_risk=0.4)
    assert rejector.guarantee.n == 60  # one pixel of each image
    order = np.random.default_rng(0).permutation(60)
    again = recuse.fit(tune, (calibrate[0][order], calibrate[1][order]), target_risk=0.4)
    assert (again.threshold, again.guarantee) == (rejector.threshold, rejector.guarantee)
    both = np.concatenate([calibrate[0], tune[0][:1]]), np.concatenate([calibrate[1], tune[1][:1]])
    with pytest.raises(InputError, match="36 identical rows in both"):
        recuse.fit(tune, both, target_risk=0.4)


def test_ignored_pixels_are_ignored_by_fit():
    tune, (z, labels), groups = pixels(60, seed=1), pixels(60, seed=2), np.arange(60)
    void = np.where(np.arange(6)[:, None] < 3, 255, labels)
    ignored = HeldOut(z, void, groups, ignore_index=255)
    cut = HeldOut(z[:, :, 3:], labels[:, 3:], groups)
    one, other = (recuse.fit(tune, file, target_risk=0.4) for file in (ignored, cut))
    assert (one.threshold, one.guarantee) == (other.threshold, other.guarantee)


def test_an_impossible_target_is_an_answer_that_says_what_would_do():
    with pytest.raises(InfeasibleError, match="smallest target that would have passed") as error:
        recuse.fit(TUNE, CALIBRATE, target_risk=0.001)
    assert error.value.selection.threshold == math.inf
    choice = choose(TUNE, CALIBRATE, target_risk=0.001)
    assert choice.rejector is None
    assert not choice.selection.feasible


def test_a_threshold_of_log_odds_is_said_as_a_probability_too():
    said = str(altered(FITTED, threshold=np.float32(-0.5)))
    assert said.startswith("Accept when MSP >= -0.5 (log-odds of a probability of 0.377541).")
    assert "probability" not in str(altered(FITTED, score=Score("margin"))).partition(".")[0]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"target_risk": 0}, "`target_risk`"),
        ({"target_risk": float("nan")}, "`target_risk`"),
        ({"delta": 1}, "`delta`"),
        ({"method": "guess"}, "`method`"),
        ({"objective": "guess"}, "`objective` among aurc, augrc, coverage, got 'guess'"),
        (
            {"objective": "coverage", "target_risk": 5},
            "`target_risk` in .0, 1., got 5 .5 % is the fraction 0.05",
        ),
        ({"tune": (TUNE[0], TUNE[1] * 1.0)}, "tune: expected `labels` as integers"),
        (
            {"calibrate": (CALIBRATE[0] * np.nan, CALIBRATE[1])},
            "calibrate: expected `logits` without NaN",
        ),
        ({"calibrate": sample(50, 4)}, "same number of classes, got 5 in tune and 4 in calibrate"),
        ({"tune": HeldOut(TUNE[0], name="t.npz")}, "t.npz: expected `labels`"),
    ],
)
def test_malformed_arguments_of_fit_are_named(change, message):
    given = {"tune": TUNE, "calibrate": CALIBRATE, "target_risk": 0.2, **change}
    tune = given.pop("tune")
    with pytest.raises(InputError, match=message):
        recuse.fit(tune, **given)


# Reasons


@pytest.mark.parametrize("rejector", [FITTED, REPAIRED, LEARNED])
def test_a_reason_repeats_the_decision_and_counts_by_hand(rejector):
    z = learnable(300, 2)[0] if rejector is LEARNED else TEST[0]
    expected = rejector.predict(z)
    for found in explain(rejector, HeldOut(z), [0, 7, "19"], top=4):
        i = found.row
        assert (found.id, found.accept, found.prediction) == (
            i,
            expected.accept[i],
            expected.prediction[i],
        )
        assert (found.confidence, found.p_correct) == (
            expected.confidence[i],
            expected.p_correct[i],
        )
        assert found.margin == expected.confidence[i] - rejector.threshold
        assert (found.margin >= 0) == found.accept
        assert found.less_certain == reference.less_certain(expected.confidence.tolist(), i)
        row = [float(v) for v in z[i]]
        assert found.probability == pytest.approx(max(reference.softmax(row)), rel=1e-12)
        for (label, p), (other, q) in zip(found.runners_up, reference.next_classes(row, 4)):
            assert (label, p) == (other, pytest.approx(q, rel=1e-12))
        assert len(found.runners_up) == 4


@pytest.mark.parametrize(
    "rejector",
    [LEARNED, *(replace(FITTED, score=learned_score(0, classes)) for classes in (0, 5))],
)
def test_what_the_features_add_sums_to_a_learned_confidence(rejector):
    z = learnable(300, 2)[0]
    parameters = rejector.score.params
    for found in explain(rejector, HeldOut(z), range(20)):
        shares = [share for _, share in found.contributions]
        expected = reference.contributions(parameters, features(z)[found.row].tolist())
        if own := parameters.get("class_intercepts"):
            expected = [*expected, own[found.prediction]]
        np.testing.assert_allclose(shares, expected, atol=1e-12)
        assert found.average + math.fsum(shares) == pytest.approx(
            found.confidence, rel=1e-6
        )  # float32
        assert list(found.lowering) == sorted(
            (c for c in found.contributions if c[1] < 0), key=lambda c: c[1]
        )
    assert explain(FITTED, HeldOut(TEST[0]), [0])[0].average is None


def test_ids_are_found_as_text_and_one_of_several_rows_stands_for_all():
    ids = np.array([7, 8, 8, *range(100, 497)])
    file = HeldOut(TEST[0], ids=ids)
    assert [(w.id, w.row) for w in explain(FITTED, file, ["8", 7])] == [(8, 1), (8, 2), (7, 0)]
    assert json.loads(json.dumps(explain(FITTED, file, [7])[0].to_dict()))["id"] == 7


@pytest.mark.parametrize("name", ["400", "-1", "1.0", "", "x", "²"])
def test_an_id_that_no_row_has_is_refused(name):
    with pytest.raises(InputError, match=r"expected a row in 0\.\.399"):
        explain(FITTED, HeldOut(TEST[0]), [name])
    with pytest.raises(InputError, match="expected one of its `ids`, such as 1000"):
        explain(FITTED, HeldOut(TEST[0], ids=np.arange(1000, 1400)), [name])


def test_pixels_have_no_single_reason():
    with pytest.raises(InputError, match="rows of one prediction each"):
        explain(FITTED, HeldOut(pixels(4, 5)[0]), [0])


@pytest.mark.parametrize(
    ("kind", "message"),
    [("prob", "`kind` among logits, binary, probs"), ("binary", r"a binary head of shape \(n,\)")],
)
def test_what_no_file_holds_is_refused_before_anything_is_fitted(kind, message):
    with pytest.raises(InputError, match=message):
        recuse.fit(sample(400, seed=0), sample(400, seed=1), target_risk=0.1, kind=kind)


def test_splits_of_logits_and_of_log_probabilities_are_refused_where_the_score_tells_them_apart():
    splits = [learnable(1000, seed) for seed in range(2)]
    logs = [(log_softmax(z), y) for z, y in splits]
    for pair, odd in (((splits[0], logs[1]), "logits in tune"), ((logs[0], splits[1]), "calib")):
        with pytest.raises(InputError, match=f"in both splits for the score learned, got .*{odd}"):
            recuse.fit(*pair, target_risk=0.3)
        assert recuse.fit(*pair, target_risk=0.3, learned=False).log_probs is None
    assert recuse.fit(*splits, target_risk=0.3).log_probs is False
    assert recuse.fit(*logs, target_risk=0.3).splits["tune"]["log_probs"]


@pytest.mark.parametrize("filler", [-np.inf, -1e9])
def test_a_class_that_no_calibration_row_could_have_is_said_where_it_is_possible(filler, tmp_path):
    splits = [(z.copy(), np.where(y == 2, 1, y)) for z, y in (TUNE, CALIBRATE, TEST)]
    for z, _ in splits[:2]:
        z[:, 2] = filler
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DataWarning)  # of the filler
        fitted = recuse.fit(*splits[:2], target_risk=0.3, learned=False)
    fitted.save(tmp_path / "r.json")
    loaded = Rejector.load(tmp_path / "r.json")
    assert (loaded.masked, FITTED.masked) == ((2,), ())
    new, masked = splits[2][0], np.where(np.arange(5) == 2, filler, splits[2][0])
    for rejector in (loaded, replace(loaded, class_names=("2", "1", "0", "3", "4"))):
        name = "0" if rejector.class_names else "2"
        message = (
            rf"the class {name}, impossible \(-inf\) in every calibration row, is possible here"
        )
        for outputs in (new, np.r_[masked, new[-1:]], HeldOut(new)):
            with pytest.warns(DataWarning, match=message) as said:
                rejector.predict(outputs)
            assert (len(said), said[0].filename) == (1, __file__)
    loaded.predict(masked)
    loaded.predict(np.where(np.arange(5) == 3, filler, masked))  # one more is masked
    FITTED.predict(new)


def test_a_rejector_knows_the_filler_of_masked_classes_and_decides_as_without_them(tmp_path):
    (zt, yt), (zc, yc), (ze, _) = (learnable(600, seed) for seed in range(3))

    def masked(z):
        return np.insert(z, 2, -1e9, axis=1)

    def moved(y):
        return y + (y >= 2)

    with pytest.warns(DataWarning, match="class 2 in every row"):
        rejector = recuse.fit((masked(zt), moved(yt)), (masked(zc), moved(yc)), target_risk=0.3)
    plain = LEARNED
    own = plain.score.params["class_intercepts"]
    wider = {**plain.score.params, "class_intercepts": (*own[:2], 0.0, *own[2:])}
    assert (rejector.score, rejector.threshold) == (Score("learned", wider), plain.threshold)
    rejector.save(tmp_path / "r.json")
    loaded = Rejector.load(tmp_path / "r.json")
    assert loaded.filler == -5e8
    assert "filler" not in plain.to_dict()["splits"]["tune"]
    alone = loaded.predict(masked(ze)[:1])  # one row knows no column
    assert np.array_equal(alone.confidence, plain.predict(ze[:1]).confidence)
    infinite = np.insert(ze, 2, -np.inf, axis=1)
    for a, b in zip(loaded.predict(masked(ze))[1:], plain.predict(ze)[1:]):
        assert np.array_equal(a, b)
    assert np.array_equal(loaded.predict(infinite).accept, plain.predict(ze).accept)


def said_of_model(rejector, outputs):
    """What `predict` warns of."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        rejector.predict(outputs)
    return [str(w.message) for w in caught]


NAMED = recuse.fit(
    HeldOut(*TUNE, model="net v1"), HeldOut(*CALIBRATE, model="net v1"), coverage=0.5
)


def test_a_rejector_knows_the_name_of_its_model_and_warns_of_another(tmp_path):
    NAMED.save(tmp_path / "r.json")
    rejector = Rejector.load(tmp_path / "r.json")
    assert (rejector.model.name, rejector.model) == ("net v1", NAMED.model)
    for model in (None, "net v1"):
        assert said_of_model(rejector, HeldOut(TEST[0], model=model)) == []
    (said,) = said_of_model(rejector, HeldOut(TEST[0][:3], model="net v2", name="new.npz"))
    assert said.startswith(
        "new.npz: outputs of net v2, but the rejector was fitted to those of net v1"
    )
    given = recuse.fit(TUNE, CALIBRATE, coverage=0.5, model="net v1")
    assert given.model == NAMED.model
    assert FITTED.model.name is None
    assert said_of_model(FITTED, HeldOut(TEST[0], model="net v2")) == []  # nobody said which


def test_two_models_in_one_fit_are_said_and_a_contradiction_is_refused():
    tune, calibrate = HeldOut(*TUNE, model="a"), HeldOut(*CALIBRATE, model="b")
    with pytest.warns(DataWarning, match="outputs of a, and calibrate of b: the guarantee is that"):
        assert recuse.fit(tune, calibrate, coverage=0.5).model.name == "b"
    with pytest.raises(
        InputError, match="expected model='b' \\(--model\\), as calibrate says, got 'c'"
    ):
        recuse.fit(TUNE, calibrate, coverage=0.5, model="c")
    assert recuse.fit(tune, CALIBRATE, coverage=0.5).model.name == "a"


def test_a_file_of_before_knows_no_model_and_decides_the_same():
    old = Rejector.from_dict(changed("model", ..., NAMED))
    assert old.model is None
    assert said_of_model(old, HeldOut(100 * TEST[0], model="net v2")) == []
    np.testing.assert_array_equal(old.predict(TEST[0]).accept, NAMED.predict(TEST[0]).accept)


@pytest.mark.parametrize(
    ("field", "value"),
    [("low", [0.0]), ("high", [1, 2, "x", 4]), ("classes", [0, 5]), ("runner_up", []), ("name", 3)],
)
def test_a_malformed_fingerprint_is_refused(tmp_path, field, value):
    refused(tmp_path, changed(f"model.{field}", value))


def test_outputs_of_another_form_are_said_and_shifts_of_the_inputs_are_not():
    """On digits under noise, by a linear model; `Fingerprint` gives rates of a network."""
    from sklearn.datasets import load_digits
    from sklearn.linear_model import LogisticRegression

    x, y = load_digits(return_X_y=True)
    rng = np.random.default_rng(0)
    x = x / 16

    def noisy(rows, strength):
        return x[rows] + strength * rng.uniform(size=(len(rows), 1)) * rng.normal(
            size=(len(rows), 64)
        )

    train, held, new = np.split(rng.permutation(1797), [500, 1100])
    model = LogisticRegression(C=0.3, max_iter=500).fit(noisy(train, 0.75), y[train])
    held_out = model.decision_function(noisy(np.tile(held, 5), 0.75)), np.tile(y[held], 5)
    tune, calibrate = ((held_out[0][i::2], held_out[1][i::2]) for i in range(2))
    rejector = recuse.fit(tune, calibrate, coverage=0.5, learned=False, allow_overlap=True)
    z = model.decision_function(noisy(new, 0.75))

    shifts = [
        *(model.decision_function(noisy(new, strength)) for strength in (0, 0.4, 1, 1.5)),
        model.decision_function(0.8 * x[new]),
        *(z[np.isin(y[new], few)] for few in ((0, 1, 2), (3, 4), (8, 9))),
    ]
    assert [said for other in shifts for said in said_of_model(rejector, other)] == []

    half = model.decision_function(x[new] / 2)  # to a linear model, nearly logits of half the size
    for scale, other in [(0.5, half), *((s, s * z) for s in (0.1, 0.2, 4, 10))]:
        (said,) = said_of_model(rejector, other)
        assert said.startswith("`outputs`: the standard deviation of a row of logits is ")
        assert f"{'below' if scale < 1 else 'above'} that of 99 % of the calibration rows" in said
        assert "either the inputs have changed, or these are outputs of another model" in said
    (said,) = said_of_model(rejector, z - logsumexp(z, axis=1, keepdims=True) - 9)
    assert said.startswith("`outputs`: the mean of a row of logits is -")
    assert rejector.score.shift_invariant
    assert said_of_model(rejector, log_softmax(z)) == []  # the same decisions
    twice = np.tile(z, (4, 1))
    orders = [said_of_model(rejector, twice[:, rng.permutation(10)]) for _ in range(10)]
    found = [said for order in orders for said in order]
    assert len(found) >= 5
    assert all("the usual runner-up of the predicted class comes second in" in s for s in found)
    assert said_of_model(rejector, 10 * z[:99]) == []  # too few rows
    groups = np.arange(len(z)) % 19
    assert said_of_model(rejector, HeldOut(10 * z, groups=groups)) == []  # too few groups


def test_outputs_whose_runner_up_may_be_any_class_are_not_said_to_differ():
    """The row that makes a runner-up the most frequent one used to count as agreeing with it."""
    old, new = np.random.default_rng(0).standard_normal((2, 3000, 120))
    y = old.argmax(1)
    rejector = recuse.fit((old, y), (old, y), coverage=0.5, learned=False, allow_overlap=True)
    assert said_of_model(rejector, new) == []


@given(st.lists(st.integers(0, 4), min_size=3, max_size=12))
def test_the_share_of_a_runner_up_leaves_each_row_out(seconds):
    counts = np.bincount(seconds)
    agreed = 0.0
    for row, second in enumerate(seconds):
        others = np.bincount(seconds[:row] + seconds[row + 1 :], minlength=len(counts))
        most = np.flatnonzero(others == others.max())
        agreed += (second in most) / len(most)
    assert _share(counts) == pytest.approx(agreed / len(seconds))


def test_a_change_that_coverage_says_is_not_said_twice():
    z = sample(4000, seed=7)[0]
    summary = summary_of(z * np.float32(4))
    assert [c.what for c in summary.model_changes] == ["spread"]
    assert len(said_of(summary)) == 1
    assert list(decisions.model_lines("new.npz", summary)) == []
    unchanged = replace(summary, change=None)
    (line,) = decisions.model_lines("new.npz", unchanged)
    assert line.startswith("new.npz: the standard deviation of a row of logits is ")
    assert summary.to_dict()["model_changes"][0]["what"] == "spread"


def test_a_target_is_named_only_if_a_fit_with_it_passes(monkeypatch):
    """With the objective "coverage" another target may tune another score."""
    asked = {"target_risk": 0.01, "objective": "coverage", "learned": False}
    found = choose(TUNE, CALIBRATE, **asked).selection
    assert choose(TUNE, CALIBRATE, **(asked | {"target_risk": found.smallest_target})).rejector

    def fails(*data, target_risk, **options):
        selection = recuse.select(*data, target_risk=target_risk, **options)
        if target_risk == 0.01:
            return selection
        return recuse.select(*data, target_risk=0.01, **options)

    monkeypatch.setattr("recuse.rejector._fit.select", fails)
    unsure = choose(TUNE, CALIBRATE, **asked).selection
    assert unsure.smallest_target is None
    assert "would have passed" not in unsure.reason


def test_a_file_of_probabilities_that_was_not_told_so_is_refused():
    odds = np.exp(TEST[0].astype(np.float64))
    probs = HeldOut(odds / odds.sum(axis=1, keepdims=True), name="softmax.npz")
    with pytest.raises(
        InputError, match=r"^softmax\.npz: expected logits, as in the fit, got rows"
    ):
        FITTED.predict(probs)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"delta": 0.6}, r"`delta` in \(0, 0.5\)"),
        ({"delta": "5 %"}, "`delta`"),
        ({"objective": "accuracy"}, "expected `objective` among aurc"),
        ({"seed": -1}, "`seed`"),
        ({"method": "fixed_sequence"}, "expected two files .* all 500 rows calibrate"),
    ],
)
def test_options_are_checked_also_where_one_file_has_no_use_for_them(wrong, said):
    with pytest.raises(InputError, match=said):
        recuse.fit(sample(500), **({"target_risk": 0.2} | wrong))


def test_a_group_in_several_subgroups_counts_where_its_drawn_row_lies():
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 3, 4000)
    logits = (3 * np.eye(3)[labels] + rng.normal(size=(4000, 3))).astype(np.float32)
    site, groups = np.where(np.arange(4000) % 2, "a", "b"), np.arange(4000) // 2
    rows = HeldOut(logits, labels, groups=groups, subgroups={"site": site})
    each = recuse.fit(rows, target_risk=0.1, subgroups="site").guarantee.each
    drawn = one_of_each(rows, 0).subgroups["site"]
    assert {name: g.n for name, g in each.items()} == {
        "a": sum(drawn == "a"),
        "b": sum(drawn == "b"),
    }
    assert len(drawn) == 2000
