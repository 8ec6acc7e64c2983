from unittest import mock

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import reference
from recuse import InputError, _kernels, curves
from recuse.curves import _order, _ranked
from strategies import GENERAL, ZERO_ONE, predictions

EXACT = 1e-12  # sums of at most 30 terms in float64 against exact fractions

WEIGHTED = {"aurc_of_weights"}
AREAS = ("aurc", "e_aurc", "n_aurc", "augrc")
POINTS = {"coverage_at_risk": 0.25, "risk_at_coverage": 0.4}
MEASURES = {
    **{name: getattr(curves, name) for name in AREAS},
    **{
        name: lambda c, l, name=name, level=level: getattr(curves, name)(c, l, level)
        for name, level in POINTS.items()
    },
}


def test_every_public_measure_is_in_the_registry_of_laws():
    scalar = {
        name
        for name, f in vars(curves).items()
        if name in curves.__all__ and getattr(f, "__annotations__", {}).get("return") == "float"
    }
    assert scalar - WEIGHTED == set(MEASURES)


@pytest.fixture(params=["grouped", "numpy", "numba"], autouse=True)
def form(request, monkeypatch):
    """Every law holds for both forms that predictions are ranked in, and both ways to read one."""
    if request.param != "grouped":
        monkeypatch.setattr(_ranked, "SMALLEST", 1)
        monkeypatch.setattr(_kernels, "repays", lambda seconds: request.param == "numba")


@pytest.mark.parametrize("name", AREAS)
@given(data=predictions(loss=st.one_of(ZERO_ONE, GENERAL)))
def test_areas_equal_their_definition_on_tied_and_untied_data(name, data):
    confidence, loss = data
    value = getattr(curves, name)(confidence, loss)
    if name in ("n_aurc", "e_aurc") and loss.min() == loss.max():
        assert value == 0 if name == "e_aurc" else np.isnan(value)
        return
    expected = getattr(reference, name)(confidence.tolist(), loss.tolist())
    assert value == pytest.approx(expected, abs=EXACT, rel=EXACT)


@given(data=predictions(max_size=6))
def test_a_tie_counts_as_the_mean_over_all_its_orders(data):
    confidence, loss = data
    expected = reference.aurc_over_all_orders(confidence, loss)
    assert curves.aurc(confidence, loss) == pytest.approx(expected, abs=EXACT)


@given(data=predictions(), level=st.sampled_from([0.0, 0.05, 0.25, 1 / 3, 0.5, 0.58, 1.0]))
def test_points_equal_their_definition(data, level):
    confidence, loss = data
    assert curves.coverage_at_risk(confidence, loss, level) == reference.coverage_at_risk(
        confidence, loss, level
    )
    if level > 0:
        assert curves.risk_at_coverage(confidence, loss, level) == reference.risk_at_coverage(
            confidence, loss, level
        )


@pytest.mark.parametrize("name", MEASURES)
@given(data=predictions(loss=st.one_of(ZERO_ONE, GENERAL)), seed=st.integers(0, 99))
def test_no_measure_depends_on_the_order_of_the_input(name, data, seed):
    confidence, loss = data
    order = np.random.default_rng(seed).permutation(len(loss))
    first, second = MEASURES[name](confidence, loss), MEASURES[name](confidence[order], loss[order])
    assert first == second or (np.isnan(first) and np.isnan(second))


@pytest.mark.parametrize("name", MEASURES)
@given(data=predictions())
def test_no_measure_depends_on_the_scale_of_the_confidence(name, data):
    confidence, loss = data
    ranks = np.unique(confidence, return_inverse=True)[1].astype(np.float32) * 3 - 7
    first, second = MEASURES[name](confidence, loss), MEASURES[name](ranks, loss)
    assert first == second or (np.isnan(first) and np.isnan(second))


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, "bfloat16"])
def test_half_precision_confidences_are_measured_as_they_are(dtype):
    import ml_dtypes

    dtype = ml_dtypes.bfloat16 if dtype == "bfloat16" else dtype
    confidence = np.array([0.5, 0.25, 0.125, 0.5], dtype)
    loss = np.array([0, 1, 0, 1])
    expected = reference.aurc(confidence.astype(float).tolist(), loss.tolist())
    assert curves.aurc(confidence, loss) == pytest.approx(expected, abs=EXACT)


def test_torch_tensors_and_lists_are_accepted():
    import torch

    confidence, loss = [0.9, 0.5, 0.7], [0, 1, 1]
    expected = curves.aurc(confidence, loss)
    assert (
        curves.aurc(torch.tensor(confidence, dtype=torch.float64), torch.tensor(loss)) == expected
    )
    bfloat = torch.tensor(confidence).bfloat16()
    assert curves.aurc(bfloat, torch.tensor(loss)) == pytest.approx(expected, abs=EXACT)


def test_the_curve_has_one_point_for_each_distinct_confidence():
    curve = curves.risk_coverage([3, 1, 2, 2], [0, 1, 1, 0])
    assert curve.threshold.tolist() == [3, 2, 1]
    assert curve.accepted.tolist() == [1, 3, 4]
    assert curve.coverage.tolist() == [0.25, 0.75, 1.0]
    assert curve.risk.tolist() == [0, 1 / 3, 0.5]


@pytest.mark.parametrize("name", MEASURES)
@pytest.mark.parametrize("values", [7, 300, 10**9])
@pytest.mark.parametrize("wrong", [0.0, 0.001, 0.3, 1.0])
def test_both_forms_agree_on_many_predictions(name, values, wrong, monkeypatch):
    rng = np.random.default_rng(values)
    confidence = (rng.integers(0, values, 5000) - values // 3).astype(np.float32)
    loss = rng.random(5000) < wrong
    results = []
    for smallest in (1, 10**9):
        monkeypatch.setattr(_ranked, "SMALLEST", smallest)
        results.append(MEASURES[name](confidence, loss))
    assert results[0] == pytest.approx(results[1], rel=1e-12, abs=1e-12, nan_ok=True)


@pytest.mark.parametrize("dtype", [bool, np.uint8, np.int64, np.float32, np.float64, np.float16])
def test_losses_of_any_dtype_are_the_same_losses(dtype):
    rng = np.random.default_rng(0)
    confidence, loss = rng.normal(size=100), rng.random(100) < 0.2
    assert curves.aurc(confidence, loss.astype(dtype)) == curves.aurc(confidence, loss)


def test_negative_zero_is_tied_with_zero():
    assert curves.aurc([0.0, -0.0], [0, 1]) == curves.aurc([0.0, -0.0], [1, 0]) == 0.5


def test_the_input_is_left_as_it_was():
    confidence, loss = np.array([3.0, 1.0, 2.0], np.float32), np.array([True, False, True])
    curves.summarize(confidence, loss, risks=[0.5], coverages=[0.5])
    assert confidence.tolist() == [3, 1, 2]
    assert loss.tolist() == [True, False, True]


@given(data=predictions(loss=st.one_of(ZERO_ONE, GENERAL)))
def test_a_summary_holds_what_the_functions_return(data):
    confidence, loss = data
    summary = curves.summarize(confidence, loss, risks=[0.25], coverages=[0.4])
    for name in AREAS:
        value, expected = getattr(summary, name), MEASURES[name](confidence, loss)
        assert value == expected or (np.isnan(value) and np.isnan(expected))
    assert summary.coverage_at_risk[0.25] == MEASURES["coverage_at_risk"](confidence, loss)
    assert summary.risk_at_coverage[0.4] == MEASURES["risk_at_coverage"](confidence, loss)


@given(data=predictions(loss=st.one_of(ZERO_ONE, GENERAL)), seed=st.integers(0, 99))
def test_weights_are_the_integral_of_the_risk_and_have_no_unit(data, seed):
    confidence, loss = data
    weights = np.random.default_rng(seed).choice([0.0, 0.5, 1.0, 3.0], len(loss))
    weights[0] = 1.0
    value = curves.aurc_of_weights(confidence, loss, weights)
    expected = reference.aurc_of_weights(confidence.tolist(), loss.tolist(), weights.tolist())
    assert value == pytest.approx(expected, abs=1e-4)  # a sum over 20,000 coverages
    assert curves.aurc_of_weights(confidence, loss, 1000 * weights) == pytest.approx(value)
    many = np.tile([confidence, loss], 2000)
    both = curves.aurc_of_weights(*many, np.ones(many.shape[1])), curves.aurc(*many)
    assert both[0] == pytest.approx(both[1], abs=20 / many.shape[1])


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ([1, -1], "finite and >= 0, got -1.0 at row 1"),
        ([0, 0], "not all 0"),
        ([1], r"shape \(2,\), got \(1,\)"),
    ],
)
def test_malformed_weights_are_refused(weights, message):
    with pytest.raises(InputError, match=message):
        curves.aurc_of_weights([0.1, 0.2], [0, 1], weights)


# Traps of other implementations, each by name


def test_trap_two_score_levels_give_one_aurc_whatever_the_order():
    confidence = np.r_[np.ones(50), np.zeros(50)]
    loss = np.r_[np.zeros(40), np.ones(10), np.zeros(25), np.ones(25)]
    rng = np.random.default_rng(0)
    values = set()
    for _ in range(20):
        order = rng.permutation(100)
        values.add(curves.aurc(confidence[order], loss[order]))
    assert len(values) == 1


def test_trap_coverage_at_risk_where_only_the_most_confident_is_wrong():
    assert curves.coverage_at_risk(np.arange(100), np.arange(100) == 99, 0.05) == 1.0


def test_trap_coverage_at_risk_where_the_constraint_always_holds():
    assert curves.coverage_at_risk([0.9, 0.5], [0, 0], 0.05) == 1.0


def test_trap_coverage_at_risk_where_no_threshold_reaches_it_is_zero():
    assert curves.coverage_at_risk([0.9, 0.5], [1, 1], 0.5) == 0.0


def test_trap_points_compare_one_division_and_no_product():
    loss = np.r_[np.ones(29), np.zeros(21)]
    assert curves.coverage_at_risk(np.zeros(50), loss, 0.58) == 1.0  # 0.58 * 50 < 29 in floats
    assert curves.risk_at_coverage(-np.arange(25), np.arange(25) == 7, 0.28) == 0.0  # 7 of 25


def test_trap_a_tie_is_never_split_to_reach_a_coverage():
    assert curves.risk_at_coverage([1, 0, 0, 0], [0, 1, 1, 0], 0.5) == 0.5


def test_equal_losses_have_no_excess_and_no_normalised_excess():
    assert curves.e_aurc([1, 2, 2], [1, 1, 1]) == 0
    assert np.isnan(curves.n_aurc([1, 2, 2], [0, 0, 0]))


def test_thinning_keeps_both_ends_and_only_points_of_the_curve():
    rng = np.random.default_rng(0)
    curve = curves.risk_coverage(rng.normal(size=5000), rng.uniform(size=5000) < 0.2)
    thin = curves.thin(curve, 100)
    assert len(thin.coverage) <= 100
    assert thin.coverage[0] == curve.coverage[0]
    assert thin.coverage[-1] == 1
    index = thin.accepted - 1
    assert np.array_equal(thin.risk, curve.risk[index])


@pytest.mark.parametrize(
    ("confidence", "loss", "message"),
    [
        ([0.1, 0.2], [0, 1, 1], r"same shape \(n,\), got \(2,\) and \(3,\)"),
        ([], [], "at least one example"),
        ([0.1, np.nan], [0, 1], "without NaN, got 1, row 1"),
        ([[0.1]], [0], r"shape \(n,\), got \(1, 1\)"),
        ([0.1], [-1], "finite and >= 0, got -1.0 at row 0"),
        ([0.1], [np.inf], "finite and >= 0"),
        (["a"], [0], "floating dtype"),
        ([0.1], ["a"], "numeric dtype"),
    ],
)
def test_malformed_input_says_what_was_expected_and_what_came(confidence, loss, message):
    with pytest.raises(InputError, match=message):
        curves.aurc(confidence, loss)


@pytest.mark.parametrize(("level", "function"), [(1.5, "risk"), (-0.1, "risk"), (0.0, "coverage")])
def test_levels_outside_their_range_are_refused(level, function):
    call = curves.coverage_at_risk if function == "risk" else curves.risk_at_coverage
    with pytest.raises(InputError, match=f"expected `{function}` in"):
        call([0.1], [0], level)


ORDERED = st.sampled_from([-np.inf, -1.5, -0.0, 0.0, 0.25, 0.25 + 1e-12, 1 / 3, 1e40, 2e40, np.inf])


@given(data=st.lists(st.tuples(ORDERED, GENERAL), min_size=1, max_size=30), seed=st.integers(0, 9))
def test_a_sort_of_integers_orders_as_a_sort_of_floats_does(data, seed):
    c, l = np.array(data).T
    shuffled = np.random.default_rng(seed).permutation(c.size)
    with mock.patch.object(_order, "FEWEST", 1):
        order, new = _order.descending(c, l)
        again, _ = _order.descending(c[shuffled], l[shuffled])
    expected = sorted(range(c.size), key=lambda i: (-c[i], l[i]))
    assert sorted(order) == list(range(c.size))
    assert [(c[i], l[i]) for i in order] == [(c[i], l[i]) for i in expected]
    assert new.tolist() == [True, *(c[order][1:] != c[order][:-1])]
    assert (l[order] == l[shuffled][again]).all()


@given(data=predictions())
def test_every_form_of_errors_knows_the_tie_of_each_rank(data):
    c, l = data[0].astype(np.float32), data[1]
    found = _ranked.errors(c, l)
    if found is None:
        return
    ties, values = found.ties, np.unique(c[l == 1])[::-1]
    assert ties.start.tolist() == [(c > v).sum() for v in values]
    assert ties.count.tolist() == [(c == v).sum() for v in values]
    assert ties.errors.tolist() == [l[c == v].sum() for v in values]
    for rank, value in enumerate(np.sort(c)[::-1]):
        assert found.tie_of(rank) == ((c > value).sum(), (c >= value).sum())
        k = int((c >= value).sum())
        assert found.ties.errors_until(k) == l[c >= value].sum()
