"""Decisions by costs: the cheapest answer, the limit of the mean cost, and what is refused."""

import contextlib
import json
import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import recuse as rc
import reference_costs as reference
from recuse import InputError, Rejector
from recuse._internal.files import checksum
from recuse.errors import DataWarning
from recuse.io import HeldOut
from recuse.present.decisions import explanation_lines, summary_lines
from recuse.rejector import Cut, explain, ranked, summarize
from recuse.rejector._costs import costs_of, read_costs
from recuse.scores import Score
from recuse.scores._costs import classes_of, expected_costs
from recuse.scores._score import decided
from recuse.selectors._costs import certify_costs
from samples import equal_costs, masked, one_column, pixels, sample
from strategies import logits as logits_of
from test_sums import by_both

GRID = 2.0**-40  # steps of the largest cost, to which expected costs are rounded
FLOAT32 = 1e-6  # relative, of a confidence
PRICES = st.sampled_from([0.0, 0.25, 0.3, 1.0, 10.0])
MEDICAL = {
    "healthy": {"healthy": 0, "sick": 1, "abstain": 0.3},
    "sick": {"healthy": 10, "sick": 0, "abstain": 0.3},
}


def by_costs(costs, temperature=1.0):
    return Score(
        "expected_cost", {"temperature": temperature, "costs": tuple(np.ravel(costs).tolist())}
    )


def patients(n=3000, seed=0, prevalence=0.3):
    """Two columns of logits, three times too large, with names."""
    rng = np.random.default_rng(seed)
    labels = (rng.uniform(size=n) < prevalence).astype(np.int64)
    log_odds = 2 * (rng.normal(size=n) + 2 * labels) - 2 + math.log(prevalence / (1 - prevalence))
    z = np.c_[np.zeros(n), 3 * log_odds]
    return HeldOut(z, labels, class_names=("healthy", "sick"))


FITTED = rc.fit(patients(), costs=MEDICAL)
NEW = patients(seed=1)


# The decision


@given(
    z=logits_of(rows=st.integers(1, 4)),
    temperature=st.sampled_from([0.5, 1.0, 3.0]),
    prices=st.lists(PRICES, min_size=42, max_size=42),
)
def test_the_answer_is_the_cheapest_by_the_slow_definition(z, temperature, prices):
    classes = z.shape[1]
    prices[0] = 10.0  # not all are 0
    costs = np.reshape(prices[: classes * (classes + 1)], (classes, -1))
    score = by_costs(costs, temperature)
    prediction, confidence, probability = decided(z, score)
    largest = costs.max()
    for row, j, saved, p in zip(z.tolist(), prediction, confidence, probability):
        _, best, _ = reference.cheapest(row, temperature, costs.tolist())
        *answers, _ = reference.expected(row, temperature, costs.tolist())
        assert saved == pytest.approx(best, rel=FLOAT32, abs=4 * GRID * largest)
        assert answers[j] - min(answers) <= 4 * GRID * largest
        assert all(x - answers[j] > -4 * GRID * largest for x in answers[:j])  # ties: the lowest
        assert p == pytest.approx(reference.probabilities(row, temperature)[j], abs=1e-12)
    assert np.array_equal(score(z), confidence)
    expected = expected_costs(z, **score.params)
    assert np.array_equal(expected[:, :-1].argmin(axis=1), prediction)


def test_rows_alone_or_together_of_any_layout_have_the_same_bits():
    z = sample(3000, seed=4)[0]
    score = by_costs(np.random.default_rng(0).uniform(size=(5, 6)), 1.3)
    together = decided(z, score)
    for i in range(0, 3000, 97):
        for one, all_of_them in zip(decided(z[i : i + 1], score), together):
            assert one[0] == all_of_them[i]
    planes = np.ascontiguousarray(np.moveaxis(z.reshape(30, 10, 10, 5), -1, 1))
    for ours, theirs in zip(decided(planes, score), together):
        assert np.array_equal(ours.ravel(), theirs)


def test_numpy_and_loops_decide_by_the_same_bits():
    z = sample(3000, seed=5)[0]
    score = by_costs(np.random.default_rng(2).uniform(size=(5, 6)), 0.7)
    for rows in (z, z[:3], masked(z)):
        for ours, theirs in zip(*by_both(lambda rows=rows: decided(rows, score)), strict=True):
            assert np.array_equal(ours, theirs)


def test_what_ties_but_for_rounding_ties():
    """With equal probabilities every answer costs the same, here as much as abstaining."""
    for classes in range(2, 9):
        for shift in (0.0, 0.1, 1e3):
            costs = equal_costs(classes, 1.0, 1 - 1 / classes)
            prediction, confidence, _ = decided(np.full((1, classes), shift), by_costs(costs))
            assert (prediction[0], confidence[0]) == (0, 0.0)


def test_a_class_that_is_impossible_is_no_answer_however_cheap():
    z = masked(sample(500, seed=5)[0])
    costs = np.c_[np.zeros((5, 1)), 1 - np.eye(5)[:, 1:], np.full((5, 1), 0.3)]
    prediction, *_ = decided(z, by_costs(costs))
    assert np.isfinite(z[np.arange(500), prediction]).all()
    assert (prediction[np.isfinite(z[:, 0])] == 0).all()


def test_equal_costs_are_chows_rule():
    z = sample(2000, seed=3)[0].astype(np.float64)
    prediction, confidence, probability = decided(z, by_costs(equal_costs(5, 5.0, 1.0)))
    assert np.array_equal(prediction, z.argmax(axis=1))
    sure = rc.selectors.chow_threshold(5, 1)
    assert np.array_equal(confidence >= 0, probability >= sure)


@pytest.mark.parametrize(
    ("score", "message"),
    [
        (by_costs([[0, 1], [1, 0]]), "K (K + 1) `costs` of K >= 2 classes, got 4"),
        (by_costs([[0, 1, -1], [1, 0, 1]]), "`costs` >= 0"),
        (by_costs([[0, math.inf, 1], [1, 0, 1]]), "`costs` >= 0"),
        (by_costs(np.zeros((2, 3))), "`costs` >= 0"),
        (by_costs(equal_costs(2), 0.0), "a `temperature` above 0, got 0.0"),
        (by_costs(equal_costs(3)), "logits of 3 classes, as the costs, got 2"),
    ],
)
def test_parameters_that_are_no_costs_are_refused(score, message):
    with pytest.raises(InputError) as error:
        score(np.zeros((1, 2)))
    assert message in str(error.value)
    with pytest.raises(InputError, match=r"needs temperature, costs; `fit\(costs=\)` fits it"):
        Score.parse("expected_cost")
    assert [classes_of(k) for k in (0, 2, 6, 7, 12)] == [0, 1, 2, 0, 3]


# The guarantee


@given(
    n=st.integers(1, 30),
    costs=st.lists(PRICES, min_size=6, max_size=6),
    delta=st.sampled_from([0.05, 0.2]),
    seed=st.integers(0, 99),
)
def test_the_limit_is_that_of_the_slow_definition(n, costs, delta, seed):
    costs[1] = 10.0
    rng, table = np.random.default_rng(seed), np.reshape(costs, (2, 3))
    labels, prediction, accept = (rng.integers(0, 2, n) for _ in range(3))
    g = certify_costs(table, labels, prediction, accept == 1, delta).guarantee
    each = [reference.spent(table, labels, prediction, a) for a in (accept, [1] * n, [0] * n)]
    assert (g.spent, g.answering, g.abstaining) == pytest.approx(tuple(map(sum, each)))
    assert (g.n, g.accepted, g.largest) == (n, accept.sum(), 10.0)
    assert g.upper == pytest.approx(reference.upper(each[0], 10.0, delta), abs=1e-6)


def test_the_sentence_is_in_the_unit_of_the_costs_beside_the_two_alternatives():
    g = FITTED.guarantee
    assert str(g) == (
        f"With 95 % confidence, a prediction costs at most {g.upper:.4g} on average, abstentions "
        f"included (mean cost {g.cost:.4g} on 2400 calibration rows, {g.accepted} accepted; always "
        f"answering costs {g.answering / 2400:.4g} there, always abstaining 0.3; calibration rows "
        "are i.i.d. samples from the deployment distribution)."
    )
    assert g.cost < g.upper < 0.3 < g.answering / g.n
    cheap = rc.fit(patients(), costs={k: {j: c / 10 for j, c in row.items()} for k, row in
                                      MEDICAL.items()})  # fmt: skip
    assert cheap.guarantee.upper == pytest.approx(g.upper / 10)


def changed(path, value, data=FITTED):
    """The saved rejector with one value changed, and a checksum that fits."""
    data = json.loads(json.dumps(data.to_dict()))
    *place, last = path.split(".")
    at = data
    for step in place:
        at = at[int(step) if step.isdecimal() else step]
    last = int(last) if last.isdecimal() else last
    at[last] = value(at[last]) if callable(value) else value
    data["checksum"] = checksum({k: v for k, v in data.items() if k != "checksum"})
    return data


OTHER = rc.fit(sample(400, seed=0), sample(400, seed=1), target_risk=0.2)


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("rules.0.guarantee.upper", lambda x: x * (1 - 1e-6), "they limit the mean cost by"),
        ("rules.0.guarantee.spent", lambda x: x - 30, "they limit the mean cost by"),
        ("rules.0.guarantee.delta", 0.06, "they limit the mean cost by"),
        ("rules.0.guarantee.largest", 9.0, "they limit the mean cost by"),
        ("rules.0.guarantee.spent", -1.0, "at most the largest of each"),
        ("rules.0.guarantee.answering", 1e9, "at most the largest of each"),
        ("rules.0.guarantee.accepted", 0, "0 of 2400 accepted cost 720"),
        ("rules.0.threshold", None, "another kind|expected"),
        ("score.params.costs.1", 2.0, None),
        ("score.params.costs.2", 11.0, "the threshold 0 and costs up to 11"),
        ("score.params.costs", [1.0] * 12, "logits of 3 classes, as the costs, got 2"),
        ("score.params.temperature", -1.0, "a `temperature` above 0"),
        ("score", {"name": "msp", "params": {}}, "a guarantee of decisions by msp"),
    ],
)
def test_parts_that_disagree_are_refused_on_loading(tmp_path, path, value, message):
    file = tmp_path / "r.json"
    file.write_text(json.dumps(changed(path, value)))
    if message is None:
        assert Rejector.load(file) != FITTED
        return
    with pytest.raises(InputError, match=message) as error:
        Rejector.load(file)
    assert "\n" not in str(error.value)


def test_another_threshold_than_0_or_another_guarantee_is_refused():
    data = changed("rules.0.threshold", "0.5")
    data["rules"][0]["threshold_hex"] = (0.5).hex()
    data["checksum"] = checksum({k: v for k, v in data.items() if k != "checksum"})
    with pytest.raises(InputError, match="the threshold 0 and costs up to 10"):
        Rejector.from_dict(data)
    data = changed("score", by_costs(equal_costs(5)).to_dict(), OTHER)
    with pytest.raises(InputError, match="expected a guarantee of decisions by expected_cost"):
        Rejector.from_dict(data)


# The costs as users write them


def test_costs_are_put_in_the_order_of_the_classes():
    expected = [[0, 10, 0.3], [1, 0, 0.3]]
    assert costs_of(MEDICAL, 2, ("sick", "healthy")).tolist() == expected
    numbered = {1: {"abstain": 0.3, 0: 1, 1: 0}, 0: {1: 10, 0: 0, "abstain": 0.3}}
    assert costs_of(numbered, 2, None).tolist() == expected
    assert costs_of(numbered, 2, ("sick", "healthy")).tolist() == expected
    assert costs_of(numbered, 2, ("1", "0")).tolist() == [[0, 1, 0.3], [10, 0, 0.3]]
    assert costs_of(np.array(expected), 2, ("any", "names")).tolist() == expected
    assert costs_of(expected, 2, None).tolist() == expected


def without(label, answer):
    return {k: {j: c for j, c in row.items() if (k, j) != (label, answer)} for k, row in
            MEDICAL.items()}  # fmt: skip


NAMES = ("healthy", "sick")


@pytest.mark.parametrize(
    ("costs", "names", "message"),
    [
        ({"healthy": MEDICAL["healthy"]}, NAMES, "a row for each label (healthy and sick), got h"),
        ({**MEDICAL, "ill": MEDICAL["sick"]}, NAMES, "got healthy, sick and ill"),
        (
            MEDICAL,
            None,
            "(0 and 1), since the file does not name its classes, got healthy and sick",
        ),
        (without("sick", "abstain"), NAMES, "of label 'sick' each answer (healthy, sick and abst"),
        ({**MEDICAL, "sick": 3}, NAMES, "`costs` of label 'sick' by answer, got 3"),
        ({**MEDICAL, "sick": {**MEDICAL["sick"], "sick": "free"}}, NAMES, "of numbers (2, 3)"),
        (np.zeros((3, 4)), NAMES, "of numbers (2, 3), a row for each label and abstaining in the"),
        (10, NAMES, "of numbers (2, 3)"),
        ([[0, 1, 0.3], [-1, 0, 0.3]], NAMES, "finite, >= 0 and not all 0, got -1"),
        ([[0, math.nan, 0.3], [1, 0, 0.3]], NAMES, "finite, >= 0 and not all 0, got nan"),
        ([[0, math.inf, 0.3], [1, 0, 0.3]], NAMES, "finite, >= 0 and not all 0, got inf"),
        (np.zeros((2, 3)), NAMES, "finite, >= 0 and not all 0, got 0 as the largest"),
        ([[0.5, 1, 0.3], [1, 0.5, 0.3]], NAMES, "abstaining would always be cheaper"),
        ([[0, 1, 0.5], [1, 0, 0.5]], NAMES, "it would never be chosen"),
        ([[0, 1, 0.95], [10, 0, 0.95]], NAMES, "it would never be chosen"),
    ],
)
def test_malformed_costs_are_refused_in_one_line(costs, names, message):
    with pytest.raises(InputError) as error:
        costs_of(costs, 2, names)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_abstaining_may_be_cheaper_for_some_probabilities_alone():
    """At even odds of two classes each answer costs 10 / 11 where the errors cost 1 and 10."""
    costs_of([[0, 1, 0.9], [10, 0, 0.9]], 2, None)
    costs_of([[0, 1, 1, 0.66], [1, 0, 1, 0.66], [1, 1, 0, 0.66]], 3, None)
    with pytest.raises(InputError, match="never be chosen"):
        costs_of([[0, 1, 1, 0.67], [1, 0, 1, 0.67], [1, 1, 0, 0.67]], 3, None)


CSV = "label,healthy,sick,abstain\nhealthy,0,1,0.3\nsick,10,0,0.3\n"


def test_a_table_of_costs_is_read_in_any_order(tmp_path):
    file = tmp_path / "costs.csv"
    for text in (CSV, CSV.replace(",", ";"), CSV.replace(",", " , ")):
        file.write_text(text)
        assert read_costs(file) == MEDICAL
    file.write_text("x,abstain,sick,healthy\nsick,.3,0,10\n\nhealthy,.3,1,0\n")
    assert costs_of(read_costs(file), 2, NAMES).tolist() == [[0, 1, 0.3], [10, 0, 0.3]]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "expected the columns `label`, each class once and `abstain`, got none"),
        (CSV.replace("abstain", "refer"), "and `abstain`, got label, healthy, sick, refer"),
        (CSV.replace("healthy,sick,", "sick,sick,"), "each class once"),
        (CSV + "sick,10,0,0.3\n", "expected one row of each label, got 'sick' twice"),
        (
            CSV.replace("10", "ten"),
            "label 'sick', 'healthy': expected a cost as a number, got 'ten'",
        ),
        (CSV.replace("10,", ""), "line 3: expected 4 cells, got 3"),
    ],
)
def test_a_malformed_table_is_refused_in_one_line(tmp_path, text, message):
    file = tmp_path / "costs.csv"
    file.write_text(text)
    with pytest.raises(InputError) as error:
        read_costs(file)
    assert str(error.value).startswith(f"{file}: ")
    assert message in str(error.value)


# Fit


def test_a_fifth_of_one_file_fits_the_temperature_and_the_rest_the_limit():
    choice = rc.rejector.choose(patients(), costs=MEDICAL)
    assert choice.cut == Cut(3000, "rows", 0.2, costs=True)
    assert str(choice.cut) == (
        "Of 3,000 rows, 20 % fit the temperature and 80 % the limit of the mean cost; none is set "
        "aside to test."
    )
    rejector = choice.rejector
    assert rejector == FITTED
    assert (rejector.splits["tune"]["n"], rejector.guarantee.n) == (600, 2400)
    assert rejector.score.params["temperature"] == pytest.approx(3, rel=0.2)
    assert rejector.reason == (
        "The cheapest answer, under the softmax at the temperature that fits 600 tuning rows best"
    )
    assert str(rejector).startswith("Predict the class of the smallest expected cost, under prob")


def test_the_temperature_is_that_of_the_tuning_rows_alone():
    tune, calibrate = patients(seed=2), patients(seed=3)
    one = rc.fit(tune, calibrate, costs=MEDICAL)
    mixed = np.random.default_rng(0).permutation(calibrate.labels)
    other = rc.fit(tune, replace(calibrate, labels=mixed), costs=MEDICAL)
    assert one.score == other.score
    fitted = rc.calibration.fit_temperature(tune.logits, tune.labels)
    assert one.score.params["temperature"] == fitted.value


def test_where_no_tuning_row_is_wrong_the_logits_count_as_they_are():
    file = patients()
    tune = replace(file, labels=file.predicted)
    rejector = rc.fit(tune, NEW, costs=MEDICAL)
    assert rejector.score.params["temperature"] == 1
    assert "no temperature fits 3,000 tuning rows of which none is wrong" in rejector.reason
    assert Rejector.from_dict(json.loads(json.dumps(rejector.to_dict()))) == rejector


def test_one_row_of_each_group_counts():
    file = patients(2000)
    grouped = replace(file, groups=np.arange(2000) // 2)
    g = rc.fit(NEW, grouped, costs=MEDICAL).guarantee
    assert (g.n, g.unit) == (1000, "groups")
    assert "one random row of each was used" in str(g)
    assert rc.fit(grouped, costs=MEDICAL).guarantee.n == 800


@pytest.mark.parametrize("kind", ["binary", "probs", "pixels", "masked"])
def test_every_kind_of_outputs_of_classes_is_decided_on(kind):
    z, y, given = *sample(800, 3, seed=1), {"kind": "logits"}
    if kind == "binary":
        (z, y), given = one_column(800), {"kind": "binary"}
    if kind == "probs":
        z, given = np.exp(z) / np.exp(z).sum(axis=1, keepdims=True), {"kind": "probs"}
    if kind == "masked":
        z[:, 2][y != 2] = -np.inf
    if kind == "pixels":
        z, y = pixels(60)
    costs = equal_costs(2 if kind == "binary" else 3, 1.0, 0.2)
    rejector = rc.fit((z, y), costs=costs, **given)
    assert Rejector.from_dict(json.loads(json.dumps(rejector.to_dict()))) == rejector
    p = rejector.predict(z)
    assert p.accept.shape == y.shape
    assert 0 < p.accept.mean() < 1
    assert np.array_equal(p.accept, p.confidence >= 0)


@pytest.mark.parametrize("filler", [None, -1e9])
def test_the_limit_counts_what_is_decided_later_masked_classes_too(filler):
    """Class 2 is masked where it is not the label, and is the cheapest answer in doubt."""
    (z, y), (new, truth) = (sample(2000, 3, seed=k) for k in (1, 2))
    if filler is not None:
        z[:, 2][y != 2], new[:, 2][truth != 2] = filler, filler
    costs = equal_costs(3, 1.0, 0.2)
    costs[:2, 2:] = [[0.15, 0.2], [0.15, 0.1]]
    with pytest.warns(DataWarning) if filler else contextlib.nullcontext():
        rejector = rc.fit((z, y), (new, truth), costs=costs)
    p, g = rejector.predict(new), rejector.guarantee
    spent = reference.spent(costs, truth, p.prediction, p.accept)
    assert (g.n, g.accepted, g.spent) == (2000, p.accept.sum(), pytest.approx(sum(spent)))
    if filler is not None:
        assert (p.prediction[truth != 2] != 2).all()


def test_what_has_no_classes_has_no_costs():
    c = HeldOut(np.random.default_rng(0).uniform(size=(400, 1)), np.arange(400) % 2,
                kind="confidences")  # fmt: skip
    with pytest.raises(InputError, match="outputs of classes, got confidences: costs are of"):
        rc.fit(c, costs=MEDICAL)


# What follows the decision


def test_predictions_are_the_cheapest_class_with_its_own_probability():
    p = FITTED.predict(NEW)
    temperature = FITTED.score.params["temperature"]
    sick = 1 / (1 + np.exp(-NEW.logits[:, 1] / temperature))
    assert np.array_equal(p.prediction, (10 * sick > 1 - sick).astype(int))
    assert (p.prediction != NEW.predicted).mean() > 0.1
    of_class = np.where(p.prediction == 1, sick, 1 - sick)
    np.testing.assert_allclose(p.p_correct, of_class, atol=2e-6)
    cheaper = np.minimum(10 * sick, 1 - sick) < 0.3
    assert np.array_equal(p.accept, cheaper)
    right = p.prediction == NEW.labels
    assert p.p_correct.mean() == pytest.approx(right.mean(), abs=0.02)


def test_a_summary_compares_the_mean_cost_with_its_limit():
    p = FITTED.predict(NEW)
    summary = summarize(NEW, p, FITTED)
    costs = np.array([[0, 1, 0.3], [10, 0, 0.3]])
    spent = reference.spent(costs, NEW.labels, p.prediction, p.accept)
    assert summary.cost == pytest.approx(np.mean(spent))
    low, high = summary.cost_interval
    assert low < summary.cost < high
    assert high == pytest.approx(reference.upper(spent, 10, 0.025), abs=1e-6)
    assert summary.kept
    said = "\n".join(summary_lines(summary))
    assert f"of this mean cost ({summary.cost:.4g}), {low:.4g} to {high:.4g}, is in line" in said
    plain = summary.to_dict()
    assert (plain["cost"], plain["guarantee"]["kind"]) == (summary.cost, "mean_cost")
    ignored = replace(
        NEW, labels=np.where(np.arange(3000) < 9, -100, NEW.labels), ignore_index=-100
    )
    assert summarize(ignored, p, FITTED).cost == pytest.approx(np.mean(spent[9:]))


def test_an_explanation_compares_the_expected_costs():
    found = explain(FITTED, NEW, range(50))
    costs = [[0, 1, 0.3], [10, 0, 0.3]]
    for e, row in zip(found, NEW.logits.tolist()):
        *answers, abstaining = reference.expected(row, FITTED.score.params["temperature"], costs)
        assert e.costs == pytest.approx((min(answers), abstaining), abs=1e-9)
        assert e.accept == (min(answers) <= abstaining)
        assert e.confidence == pytest.approx(abstaining - min(answers), rel=FLOAT32)
        assert e.probability == pytest.approx(e.p_correct, abs=2e-6)
        ((other, probability),) = e.runners_up
        assert (other, probability) == (1 - e.prediction, pytest.approx(1 - e.probability))
        first, second, *_ = explanation_lines(e, FITTED.score, NAMES, 0.5)
        assert f"Class {NAMES[e.prediction]}, probability" in first
        saves = "answering saves" if e.accept else "abstaining saves"
        assert "Expected cost of this answer" in second
        assert saves in second
        assert e.to_dict()["costs"] == e.costs


def test_the_next_class_is_the_next_cheapest():
    z = sample(50, seed=6)[0]
    score = by_costs(np.random.default_rng(1).uniform(size=(5, 6)), 2.0)
    order, probability = ranked(z, score)
    assert np.array_equal(order[:, 0], decided(z, score)[0])
    expected = expected_costs(z, **score.params)[:, :-1]
    assert (np.diff(np.take_along_axis(expected, order, axis=1)) >= 0).all()
    for row, places, probs in zip(z.tolist(), order, probability):
        slow = reference.probabilities(row, 2.0)
        assert probs == pytest.approx([slow[k] for k in places])


def test_a_sketch_counts_errors_of_the_cheapest_class(tmp_path):
    from recuse.evaluation._shards import Plan

    FITTED.save(tmp_path / "r.json")
    rc.write_logits(tmp_path / "x.npz", NEW.logits, NEW.labels, class_names=NAMES)
    p = FITTED.predict(NEW)
    by_hand = rc.CurveSketch("float").update(p.confidence, p.prediction != NEW.labels)
    assert Plan.of_rejector(tmp_path / "r.json").sketch(tmp_path / "x.npz").aurc() == by_hand.aurc()


def test_overlapping_splits_void_the_limit_and_another_model_is_told():
    with pytest.raises(InputError, match="without shared rows"):
        rc.fit(patients(), patients(), costs=MEDICAL)
    void = rc.fit(patients(), patients(), costs=MEDICAL, allow_overlap=True)
    assert str(void.guarantee).startswith("No guarantee: the tuning and the calibration split")
    named = rc.fit(replace(patients(), model="one"), costs=MEDICAL)
    with pytest.warns(DataWarning, match="outputs of other, but the rejector was fitted"):
        named.predict(replace(NEW, model="other"))


def test_a_label_that_is_impossible_says_nothing_of_the_temperature():
    rng = np.random.default_rng(0)
    y = rng.integers(0, 3, 2000)
    z = (2 * np.eye(3)[y] + rng.normal(size=(2000, 3))).astype(np.float32)
    costs = {i: {j: float(i != j) for j in range(3)} | {"abstain": 0.2} for i in range(3)}
    temperature = rc.fit((z[:1000], y[:1000]), (z[1000:], y[1000:]), costs=costs).score.params
    z[7, y[7]] = -np.inf
    with pytest.warns(DataWarning, match=r"impossible \(-inf\) in 1 row"):
        found = rc.fit((z[:1000], y[:1000]), (z[1000:], y[1000:]), costs=costs).score.params
    assert found["temperature"] == pytest.approx(temperature["temperature"], rel=0.01)
