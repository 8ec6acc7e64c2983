import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import recuse as rc
import reference
from recuse import InputError, _kernels
from recuse.bounds import binomial_p_value
from recuse.selectors import select, thresholds_between, walk_level


def sample(n, seed, slope=0.3):
    rng = np.random.default_rng(seed)
    confidence = rng.uniform(size=n).astype(np.float32)
    return confidence, rng.uniform(size=n) < slope * (1 - confidence)


def test_the_counts_of_the_guarantee_are_those_of_the_threshold():
    tune, calibrate = sample(2000, 0), sample(1000, 1)
    for kwargs in ({"tune": tune}, {}):
        s = select(*calibrate, target_risk=0.1, **kwargs)
        accepted = calibrate[0] >= np.float32(s.threshold)
        assert s.feasible
        assert s.guarantee.accepted == accepted.sum()
        assert s.guarantee.errors == calibrate[1][accepted].sum()
        assert s.guarantee.n == 1000


def test_the_fixed_sequence_stops_at_its_first_failure():
    """More coverage passes again further on; a fixed sequence must not jump there."""
    tune = sample(4000, 0)
    confidence = np.linspace(0, 1, 2000, dtype=np.float32)
    wrong = (confidence < 0.7) & (confidence > 0.6)  # a block of errors, then none
    s = select(confidence, wrong, target_risk=0.12, tune=tune)
    grid = thresholds_between(tune[0], 100)
    passes = [
        binomial_p_value(wrong[confidence >= t].sum(), (confidence >= t).sum(), 0.12) <= 0.05
        for t in grid
    ]
    later = [t for t, ok in zip(grid, passes) if ok]
    assert s.threshold > min(later)  # the uncorrected choice would accept more
    index = int(np.flatnonzero(grid == np.float32(s.threshold))[0])
    assert passes[index]
    assert not passes[index + 1]


def test_auto_uses_the_tune_split_where_there_is_one():
    calibrate = sample(500, 1)
    assert select(*calibrate, target_risk=0.2).guarantee.method == "random_walk"
    s = select(*calibrate, target_risk=0.2, tune=sample(500, 0))
    assert s.guarantee.method == "fixed_sequence"


def test_infeasible_is_an_answer_with_a_reason_and_a_way_out():
    s = select(*sample(200, 1), target_risk=0.01, tune=sample(500, 0))
    assert not s.feasible
    assert s.threshold == np.inf
    assert "299 must be accepted if none of them is wrong" in s.reason
    assert s.smallest_target is not None
    assert 0.01 < s.smallest_target < 0.3
    assert f"{100 * s.smallest_target:g} %" in s.reason
    again = select(*sample(200, 1), target_risk=s.smallest_target, tune=sample(500, 0))
    assert again.feasible


def test_the_rows_said_to_be_needed_are_about_enough():
    rng = np.random.default_rng(0)

    def flat(n):
        return rng.uniform(size=n), rng.uniform(size=n) < 0.03

    s = select(*flat(60), target_risk=0.05, tune=flat(5000))
    assert not s.feasible
    assert 100 < s.rows_needed < 3000
    feasible = sum(
        select(*flat(s.rows_needed), target_risk=0.05, tune=flat(5000)).feasible for _ in range(40)
    )
    assert feasible >= 10


@pytest.mark.parametrize("n_tune", [1_000, 100_000, 2_000_000])
def test_a_good_model_passes_however_large_the_tune_split_is(n_tune):
    """The p-values of a large tune split underflow; the sequence must not start in their flood."""
    rng = np.random.default_rng(0)

    def good(n):
        c = rng.uniform(size=n).astype(np.float32)
        return c, rng.uniform(size=n) < 0.04 * (1 - c)

    s = select(*good(500), target_risk=0.05, tune=good(n_tune))
    assert s.feasible
    assert s.guarantee.coverage > 0.9


def test_an_impossible_target_says_that_no_amount_of_data_would_do():
    tune = np.linspace(0, 1, 500), np.ones(500)
    s = select(*tune, target_risk=0.05, tune=tune)
    assert s.rows_needed is None
    assert "more data will not help" in s.reason


def test_the_threshold_is_a_float32_in_the_gap_below_the_last_accepted():
    calibrate = sample(400, 3)
    s = select(*calibrate, target_risk=0.2)
    assert float(np.float32(s.threshold)) == s.threshold
    ordered = np.sort(calibrate[0])[::-1]
    k = s.guarantee.accepted
    assert ordered[k] < s.threshold <= ordered[k - 1]


@given(
    values=hnp.arrays(
        np.float32,
        st.integers(1, 12),
        elements=st.sampled_from(
            [-np.inf, -3e38, -1.0, 0.0, 1e-45, 1.0, np.nextafter(np.float32(1), np.float32(2)),
             3e38, np.inf]
        ),
    )
)  # fmt: skip
def test_every_gap_has_a_threshold_that_separates_it(values):
    grid = thresholds_between(values)
    distinct = np.unique(values)[::-1]
    assert len(grid) == len(distinct)
    for t, high in zip(grid, distinct):
        assert set(values[values >= t]) == set(values[values >= high])


def test_ties_are_accepted_together():
    confidence = np.r_[np.ones(50), np.zeros(200)]
    s = select(confidence, np.zeros(250), target_risk=0.05)
    assert s.guarantee.accepted in (50, 250)


def test_shuffling_the_rows_changes_no_number():
    tune, (c, l) = sample(800, 0), sample(500, 1)
    order = np.random.default_rng(0).permutation(500)
    for kwargs in ({"tune": tune}, {}):
        first = select(c, l, target_risk=0.1, **kwargs)
        assert select(c[order], l[order], target_risk=0.1, **kwargs) == first


@pytest.mark.parametrize("n", [1, 7, 40])
@pytest.mark.parametrize("risk", [0.02, 0.3])
def test_the_boundary_and_its_crossing_probability_are_exact(n, risk):
    level = 0.2
    boundary = _kernels.walk_boundary(n, risk, level)
    for k in range(1, n + 1):
        e = boundary[k - 1]
        assert e < 0 or binomial_p_value(e, k, risk) <= level
        assert e + 1 >= k or binomial_p_value(e + 1, k, risk) > level
    expected = reference.crossing_probability(boundary.tolist(), risk)
    assert _kernels.crossing_probability(boundary, risk) == pytest.approx(expected, abs=1e-12)


def test_the_level_of_the_walk_uses_up_delta():
    level = walk_level(300, 0.1, 0.05)
    crossed = [
        _kernels.crossing_probability(_kernels.walk_boundary(300, 0.1, x), 0.1)
        for x in (level, 1.1 * level)
    ]
    assert crossed[0] <= 0.05 < crossed[1]


def test_rows_of_one_cluster_are_refused():
    with pytest.raises(InputError, match="one row for each cluster, got 4 rows of 2 clusters"):
        select([1, 2, 3, 4], [0, 0, 0, 0], target_risk=0.1, clusters=[5, 5, 6, 6])


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"target_risk": 0.0}, "`target_risk` in .0, 1., got 0.0"),
        ({"target_risk": 1.5}, "`target_risk`"),
        ({"target_risk": 0.1, "delta": 1}, "`delta` in"),
        ({"target_risk": 0.1, "method": "sgr"}, "`method` auto, fixed_sequence"),
        ({"target_risk": 0.1, "method": "fixed_sequence"}, "expected `tune` data"),
    ],
)
def test_malformed_options_are_named(kwargs, message):
    with pytest.raises(InputError, match=message):
        select([0.5, 0.1], [0, 1], **kwargs)


def test_losses_between_zero_and_one_are_refused_by_the_exact_methods():
    with pytest.raises(InputError, match=r"0 and 1 \(errors\) for an exact binomial"):
        select([0.5, 0.1], [0, 0.5], target_risk=0.1)


def test_the_guarantee_reads_as_one_sentence():
    s = select(*sample(1000, 1), target_risk=0.1, tune=sample(1000, 0))
    text = str(s)
    assert text.startswith("With 95 % confidence, at most 10 % of accepted predictions are wrong")
    assert f"{s.guarantee.accepted} of 1000 calibrate examples accepted" in text
    assert str(s) == s.reason == str(rc.select(*sample(1000, 1), target_risk=0.1,
                                               tune=sample(1000, 0)))  # fmt: skip


def test_a_selection_accepts_in_the_precision_that_it_was_fitted_in():
    confidence = np.r_[np.full(100, 1.0), np.full(100, 1.0 - 1e-9), np.zeros(50)]
    s = select(confidence, np.r_[np.zeros(200), np.ones(50)], target_risk=0.1)
    assert s.accept(confidence).sum() == s.guarantee.accepted == 200


def test_a_promise_is_never_rounded_to_certainty():
    s = select(*sample(5000, 1, slope=0.01), target_risk=0.1, delta=1e-6)
    assert "With 99.9999 % confidence" in str(s)


def test_no_errors_and_few_rows_do_not_speak_of_hopelessness():
    s = select(np.random.default_rng(0).uniform(size=20), np.zeros(20), target_risk=0.01)
    assert "299 must be accepted" in s.reason
    assert "will not help" not in s.reason
