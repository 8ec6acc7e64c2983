import json
import math

import numpy as np
import pytest
from hypothesis import given

import recuse
import reference
from recuse import InputError
from recuse._internal.files import to_json
from recuse.evaluation import measure, measure_file
from recuse.evaluation._scored import score_chunks
from recuse.intervals import AUGRC, AURC, E_AURC, standard_error
from recuse.io import HeldOut
from recuse.scores import Score
from samples import pixels, sample
from strategies import predictions

EXACT = 1e-12  # short sums in float64 against exact fractions
SCORES = (Score("msp"), Score("logit_norm", {"p": 3, "center": True}), Score("entropy"))
SPLITS = {name: sample(400, seed=s) for s, name in enumerate(("tune", "calibrate", "test"))}


def shuffled(data, seed=5):
    order = np.random.default_rng(seed).permutation(len(data[0]))
    return data[0][order], data[1][order]


@given(data=predictions())
def test_every_measure_equals_its_definition(data):
    confidence, loss = data
    m = measure(confidence, loss, risks=(0.25,), coverages=(0.4,))
    c, l = confidence.tolist(), loss.tolist()
    assert m.aurc == pytest.approx(reference.aurc(c, l), abs=EXACT)
    assert m.augrc == pytest.approx(reference.augrc(c, l), abs=EXACT)
    assert m.coverage_at_risk == {0.25: reference.coverage_at_risk(c, l, 0.25)}
    assert m.risk_at_coverage == {0.4: reference.risk_at_coverage(c, l, 0.4)}
    if min(l) == max(l):
        assert (m.e_aurc, math.isnan(m.n_aurc)) == (0, True)
    else:
        assert m.e_aurc == pytest.approx(reference.e_aurc(c, l), abs=EXACT)
        assert m.n_aurc == pytest.approx(reference.n_aurc(c, l), abs=EXACT)


@given(data=predictions(max_size=4))
def test_the_plain_form_is_json_and_null_comes_with_a_reason(data):
    plain = json.loads(to_json(measure(*data).to_dict()), parse_constant=pytest.fail)
    undefined = {k for k, v in plain.items() if v is None}
    assert set(plain.get("reason", {})) == undefined
    assert all(plain.get("reason", {}).values())


def test_levels_keep_their_names():
    levels = (0.05, 0.5, 1.0, 0.1234567, 0.1234568)
    m = measure(np.arange(4.0), np.array([1, 0, 1, 0]), risks=levels, coverages=levels)
    for points in ("coverage_at_risk", "risk_at_coverage"):
        assert list(m.to_dict()[points]) == ["0.05", "0.5", "1", "0.1234567", "0.1234568"]


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_rows_that_are_permutations_of_each_other_are_tied(dtype):
    rng = np.random.default_rng(0)
    z = rng.permuted(np.tile(rng.normal(size=(1, 7)), (60, 1)), axis=1).astype(dtype)
    labels = rng.integers(0, 7, 60)
    for m in measure_file(HeldOut(z, labels), SCORES).scores.values():
        assert m.aurc == pytest.approx((z.argmax(axis=1) != labels).mean(), abs=EXACT)


@pytest.mark.parametrize("grouped", [False, True])
def test_shuffled_rows_change_no_number_of_a_file(grouped):
    z, labels = SPLITS["test"]
    z, labels = np.r_[z, z[:100]], np.r_[labels, labels[:100]]  # ties
    file = HeldOut(z, labels, np.arange(500) // 5 if grouped else None)
    order = np.random.default_rng(1).permutation(500)
    assert measure_file(file, SCORES) == measure_file(file.rows(order), SCORES)


def test_shuffled_images_change_no_number_of_a_pixel_file():
    z, labels = pixels(12)
    order = np.random.default_rng(1).permutation(12)
    one, other = (
        measure_file(HeldOut(*data), SCORES) for data in ((z, labels), (z[order], labels[order]))
    )
    assert one == other
    assert one.n == 12 * 36


def test_pixels_of_an_image_are_not_counted_as_independent():
    z, labels = pixels(12)
    z, labels = z.repeat(3, axis=2), labels.repeat(3, axis=1)  # each row of pixels three times
    rows = HeldOut(np.moveaxis(z, 1, -1).reshape(-1, 3), labels.reshape(-1))
    by_image = measure_file(HeldOut(z, labels)).scores["msp"].aurc_se
    assert by_image > 1.3 * measure_file(rows).scores["msp"].aurc_se


def test_ignored_labels_do_not_count():
    z, labels = pixels(12)
    void = labels.copy()
    void[:, :3] = 255
    one = measure_file(HeldOut(z, void, np.arange(12), ignore_index=255))
    other = measure_file(HeldOut(z[:, :, 3:], labels[:, 3:], np.arange(12)))
    assert one == other


def test_a_file_without_labels_is_refused():
    with pytest.raises(InputError, match=r"a\.npz: expected `labels`, got logits alone"):
        measure_file(HeldOut(SPLITS["test"][0], name="a.npz"))


# Models


def numbers(m):
    """Everything that is no array of rows and no digest."""
    names = ("accuracy", "selection", "before", "after", "repair", "accepted", "errors")
    tuned = ("score", "reason", "table", "gain", "gain_se")
    return [getattr(m, k) for k in names], [getattr(m.tuned, k) for k in tuned]


def test_every_number_is_of_the_test_split_and_that_of_its_rejector():
    m = recuse.evaluate({"a": SPLITS}, target_risk=0.2)["a"]
    z, labels = SPLITS["test"]
    decided = m.rejector.predict(z)
    wrong = decided.prediction != labels
    assert m.accuracy == 1 - wrong.mean()
    assert (m.accepted, m.errors) == (decided.accept.sum(), (wrong & decided.accept).sum())
    assert m.rejector == recuse.fit(SPLITS["tune"], SPLITS["calibrate"], target_risk=0.2)
    assert m.before == measure(recuse.scores.msp(z), wrong)
    assert m.after == measure(m.tuned.score(z), wrong)
    assert m.sizes == {"tune": 400, "calibrate": 400, "test": 400}
    assert len(set(m.digests.values())) == 3


def test_shuffled_rows_change_no_number_of_an_evaluation():
    again = {name: shuffled(data) for name, data in SPLITS.items()}
    one, other = (recuse.evaluate({"a": s}, target_risk=0.2)["a"] for s in (SPLITS, again))
    assert numbers(one) == numbers(other)
    assert one.ece == other.ece


def test_an_infeasible_target_leaves_the_measures_and_accepts_nothing():
    m = recuse.evaluate({"a": SPLITS}, target_risk=0.001)["a"]
    assert m.rejector is None
    assert not m.selection.feasible
    assert (m.accepted, m.errors) == (0, 0)
    assert m.before.aurc > 0


@pytest.mark.parametrize("other", ["tune", "calibrate"])
def test_a_test_split_that_overlaps_another_is_refused(other):
    z, labels = shuffled(SPLITS[other])
    for data in (SPLITS[other], (z[:200], labels[:200])):
        with pytest.raises(InputError, match=f"model 'a': expected disjoint {other} and test"):
            recuse.evaluate({"a": {**SPLITS, "test": data}}, target_risk=0.2)


def test_tune_and_calibrate_that_overlap_are_refused():
    with pytest.raises(InputError, match="a tuning and a calibration split without shared rows"):
        recuse.evaluate({"a": {**SPLITS, "tune": SPLITS["calibrate"]}}, target_risk=0.2)


def test_models_and_splits_that_are_missing_or_do_not_fit_are_named():
    with pytest.raises(InputError, match="at least one model"):
        recuse.evaluate({})
    with pytest.raises(InputError, match="model 'a': expected the split `calibrate`"):
        recuse.evaluate({"a": {"tune": SPLITS["tune"], "test": SPLITS["test"]}})
    with pytest.raises(InputError, match=r"model 'a': expected tune and test .* got 5 and 4"):
        recuse.evaluate({"a": {**SPLITS, "test": sample(100, 4)}})
    with pytest.raises(InputError, match="test: expected `labels`"):
        recuse.evaluate({"a": {**SPLITS, "test": (SPLITS["test"][0], SPLITS["test"][1] + 1)}})


# Beyond one file in memory


def test_beyond_a_million_rows_only_aurc_has_a_standard_error(monkeypatch):
    monkeypatch.setattr("recuse.evaluation._measures.MANY", 399)
    m = measure_file(HeldOut(*SPLITS["test"])).scores["msp"]
    assert m.aurc_se > 0
    plain = m.to_dict()
    assert plain["e_aurc_se"] is plain["augrc_se"] is None
    assert plain["reason"] == dict.fromkeys(("e_aurc_se", "augrc_se"), "more than 399 predictions")


def test_standard_errors_are_those_of_the_intervals():
    z, labels = SPLITS["test"]
    groups = np.arange(400) // 4
    m = measure_file(HeldOut(z, labels, groups)).scores["msp"]
    confidence, wrong = recuse.scores.msp(z), z.argmax(axis=1) != labels
    for name, area in (("aurc", AURC), ("e_aurc", E_AURC), ("augrc", AUGRC)):
        expected = standard_error(confidence, wrong, area, groups=groups)
        assert getattr(m, f"{name}_se") == expected


@pytest.mark.parametrize("names", [np.arange(12) // 2, np.array(list("aabbccddeeff"))])
@pytest.mark.parametrize("rows", [1, 5, 12])
def test_what_is_kept_of_chunks_does_not_depend_on_their_length(names, rows):
    z, labels = pixels(12)
    labels[2:4] = 255
    whole = HeldOut(z, labels, names, np.arange(12), ignore_index=255)
    parts = [whole.rows(slice(i, i + rows)) for i in range(0, 12, rows)]
    scored = score_chunks(whole, parts, SCORES, keep=True)
    flat = whole.predictions()
    for score in SCORES:
        confidence, loss, groups = scored.predictions(str(score))
        np.testing.assert_array_equal(confidence, score(flat.logits))
        np.testing.assert_array_equal(loss, flat.logits.argmax(axis=1) != flat.labels)
        assert (confidence.dtype, loss.dtype) == (np.float32, np.uint8)
        same = flat.groups[:, None] == flat.groups
        np.testing.assert_array_equal(groups[:, None] == groups, same)
    assert scored.labels.shape == labels.shape
    assert scored.ids.tolist() == list(range(12))
