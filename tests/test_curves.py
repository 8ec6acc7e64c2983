import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import reference
from recuse import InputError, curves
from strategies import GENERAL, ZERO_ONE, predictions

EXACT = 1e-12  # sums of at most 30 terms in float64 against exact fractions

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
        if getattr(f, "__module__", None) == curves.__name__
        and getattr(f, "__annotations__", {}).get("return") == "float"
    }
    assert {name for name in scalar if not name.startswith("_")} == set(MEASURES)


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
