import re
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import recuse as rc
import reference
import reference_bounds
import reference_rejector
import strategies
from recuse import InputError, selectors
from recuse._internal.files import to_json
from recuse.bounds import binomial_p_value, clopper_pearson_upper, hoeffding_bentkus_upper
from recuse.present.numbers import confidence_level
from recuse.selectors import (
    METHODS,
    _methods,
    _select,
    _walk,
    band,
    select,
    select_by_subgroup,
    select_cost,
    select_coverage,
    select_several,
    subgroup_table,
    thresholds_above_ranks,
    thresholds_between,
)
from recuse.selectors._grid import EVERYTHING, counts


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


def test_the_random_walk_is_left_where_it_would_take_minutes(monkeypatch):
    monkeypatch.setattr(_methods, "LONGEST_BY_DEFAULT", 1000)
    monkeypatch.setattr(_methods, "LONGEST_WALK", 2000)
    many = np.linspace(0, 1, 1001), np.zeros(1001)
    assert select(*many, target_risk=0.05).guarantee.method == "bonferroni"
    more = np.zeros(2001), np.zeros(2001)
    with pytest.raises(InputError, match="at most 2,000 rows for random_walk, got 2,001"):
        select(*more, target_risk=0.05, method="random_walk")


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


@pytest.mark.parametrize("seed", [29, 38, 83, 128])
def test_the_smallest_target_that_passes_is_named_above_or_below_the_asked_one(seed):
    """A fixed sequence starts elsewhere for another target: a smaller one can pass."""
    rng = np.random.default_rng(seed)
    n = int(rng.integers(60, 200))

    def draw(n):
        c = rng.uniform(size=n)
        return c, rng.uniform(size=n) > 0.55 + 0.45 * np.sqrt(c)

    tune, held = draw(int(rng.integers(60, 200))), draw(n)
    s = select(*held, target_risk=0.2, tune=tune)
    steps = (t / 1000 for t in range(10, 1000))
    first = next(t for t in steps if select(*held, target_risk=t, tune=tune).feasible)
    assert s.smallest_target == first
    assert (first < 0.2) == (seed != 38)
    assert ("since the thresholds that are tested depend on the target" in s.reason) == (
        first < 0.2
    )


@pytest.mark.parametrize(
    ("method", "n", "target", "draws"),
    [
        ("fixed_sequence", 200, 0.05, 150),
        ("bonferroni", 200, 0.05, 150),
        ("band", 200, 0.05, 150),
        ("fixed_sequence", 1000, 0.02, 60),
    ],
)
def test_the_rows_said_to_be_needed_pass_in_four_draws_of_five(method, n, target, draws):
    rng = np.random.default_rng(0)

    def draw(n):
        confidence = rng.uniform(size=n)
        return confidence, rng.uniform(size=n) < 0.2 * (1 - confidence)

    def chosen(n):
        return select(*draw(n), target_risk=target, tune=draw(n), method=method)

    asked = [chosen(n) for _ in range(draws)]
    needed = [s.rows_needed for s in asked if s.rows_needed]
    assert len(needed) > 30
    assert np.mean([chosen(n).feasible for n in needed]) > 0.8 - 0.08


@pytest.mark.parametrize(("power", "target"), [(1, 0.05), (2, 0.02), (3, 0.02)])
def test_the_rows_that_a_walk_is_said_to_need_pass_in_four_draws_of_five(power, target):
    rng = np.random.default_rng(0)

    def walked(n):
        confidence = rng.uniform(size=n).astype(np.float32)
        wrong = rng.uniform(size=n) < 0.05 * (power + 1) ** 2 * (1 - confidence) ** power
        plan = _methods.random_walk(_methods.Splits(confidence, wrong.astype(float)), target, 0.05)
        return plan, plan.choose(target) is not None

    few = [plan for plan, feasible in (walked(400) for _ in range(100)) if not feasible]
    needed = [n for n in (_select.rows_needed(plan, 400, target) for plan in few) if n]
    rows = int(np.median(needed))
    assert len(needed) > 20
    assert np.mean([rows / 2.5 < n < 2.5 * rows for n in needed]) > 0.8
    assert np.mean([walked(rows)[1] for _ in range(200)]) > 0.8 - 0.08
    assert np.mean([walked(int(rows / 2.5))[1] for _ in range(200)]) < 0.8


def test_the_rows_said_to_be_needed_name_the_tune_split_where_it_matters():
    rng = np.random.default_rng(0)
    flat = lambda n: (rng.uniform(size=n), rng.uniform(size=n) < 0.03)  # noqa: E731
    s = select(*flat(60), target_risk=0.05, tune=flat(5000))
    assert 100 < s.rows_needed < 3000
    assert s.reason.endswith("calibration rows and as many tuning rows would be enough.")
    alone = select(*flat(200), target_risk=0.05, method="bonferroni")
    assert alone.rows_needed
    assert alone.reason.endswith("calibration rows would be enough.")


@pytest.mark.parametrize("method", ["fixed_sequence", "band", "bonferroni", "sgr"])
def test_the_smallest_target_is_found_below_a_thousandth(method):
    right = np.linspace(0, 1, 50_000), np.zeros(50_000)
    s = select(*right, target_risk=1e-6, tune=right, method=method)
    assert 3e-5 < s.smallest_target < 3e-4
    again = {"tune": right, "method": method}
    assert select(*right, target_risk=s.smallest_target, **again).feasible
    assert not select(*right, target_risk=s.smallest_target * 0.95, **again).feasible


@pytest.mark.parametrize("n_tune", [1_000, 100_000, 2_000_000])
def test_a_good_model_passes_however_large_the_tune_split_is(n_tune):
    """P-values of a large tuning split underflow; the sequence must not start in their flood."""
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
    tied = np.zeros(500), np.arange(500) % 5 == 0
    for calibrate, helps in ((tied, False), ((tied[0], np.arange(500) % 19 == 0), True)):
        s = select(*calibrate, target_risk=0.05)
        assert not s.feasible
        assert ("more data will not help" in s.reason) == (not helps)


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
             3e38, -EVERYTHING, np.inf]
        ),
    )
)  # fmt: skip
def test_every_gap_has_a_threshold_that_separates_it(values):
    grid = thresholds_between(values)
    distinct = np.unique(np.clip(values, EVERYTHING, -EVERYTHING))[::-1]
    assert len(grid) == len(distinct)
    assert np.isfinite(grid).all()
    for t, high in zip(grid, distinct):
        assert set(values[values >= t]) == set(values[values >= high])


def with_minus_infinity(share=0.15, n=2000):
    """Confidences and errors; the rows of -inf are all wrong, others seldom."""
    rng = np.random.default_rng(0)
    c = np.where(np.arange(n) < share * n, -np.inf, rng.uniform(size=n))
    return c, (rng.uniform(size=n) < np.where(c > -np.inf, 0.01, 1.0)).astype(float)


@pytest.mark.parametrize("method", METHODS)
def test_confidences_of_minus_infinity_are_abstained_on(method):
    c, wrong = with_minus_infinity()
    tune = with_minus_infinity(n=1000) if method in ("fixed_sequence", "betting") else None
    s = select(c, wrong, target_risk=0.05, method=method, tune=tune)
    assert np.isfinite(s.threshold)
    assert s.guarantee.accepted == s.accept(c).sum() == 1700
    nothing = np.full(100, -np.inf)
    tune = None if tune is None else (nothing, np.zeros(100))
    s = select(nothing, np.zeros(100), target_risk=0.05, method=method, tune=tune)
    assert not s.feasible


def test_sgr_deploys_a_finite_threshold_for_infinite_confidences():
    confidence = np.r_[np.full(400, np.inf), np.zeros(100)]
    s = select(confidence, confidence == 0, target_risk=0.1, method="sgr")
    assert np.isfinite(s.threshold)
    assert s.guarantee.accepted == s.accept(confidence).sum() == 400


def test_a_coverage_that_needs_confidences_of_minus_infinity_is_refused():
    c, _ = with_minus_infinity()
    assert select_coverage(c, coverage=0.8).guarantee.accepted >= 1600
    message = "of 2000 rows for a coverage of 95 %, got 1700"
    with pytest.raises(InputError, match=message):
        select_coverage(c, coverage=0.95)
    with pytest.raises(InputError, match="above -inf in 3 of 3 rows"):
        select_coverage([1.0, 2.0, -np.inf], coverage=0.8)


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


@pytest.mark.parametrize("n", [1, 7, 40, 300])
@pytest.mark.parametrize("risk", [0.02, 0.3, 0.9])
def test_the_boundary_and_its_crossing_probability_are_exact(n, risk):
    level, rank = 0.2, np.arange(1, n + 1)
    boundary = _walk.walk_boundary(rank, risk, level)
    for k in range(1, n + 1):
        e = boundary[k - 1]
        assert e < 0 or binomial_p_value(e, k, risk) <= level
        assert e + 1 >= k or binomial_p_value(e + 1, k, risk) > level
    expected = reference.crossing_probability(boundary.tolist(), risk)
    assert _walk.crossing_probability(rank, boundary, risk) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("risk", [0.02, 0.3, 0.9])
def test_a_boundary_that_rises_at_a_few_ranks_stands_still_between_them(risk):
    rank = np.array([3, 10, 11, 40, 120])
    boundary = _walk.walk_boundary(rank, risk, 0.2)
    every = _walk.walk_boundary(np.arange(1, 151), risk, 0.2)
    assert boundary.tolist() == every[rank - 1].tolist()
    found = _walk.Walk(rank, boundary, 0.2)
    most = [max((e for e in range(k + 1) if found.passes(k, e)), default=-1) for k in range(1, 151)]
    expected = reference.crossing_probability(most, risk)
    crossed = _walk.crossing_probability(rank, boundary, risk)
    assert crossed == pytest.approx(expected, abs=1e-12)


def test_a_long_walk_rises_at_few_ranks_and_passes_with_probability_delta(monkeypatch):
    found = selectors._walk.walk(10_001, 0.3, 0.05)
    assert found.rank.size < 600
    assert found.rank[[0, -1]].tolist() == [16, 10_001]
    direct = _walk.crossing_probability(found.rank, found.most, 0.3)
    assert 0.049 < direct <= 0.05
    monkeypatch.setattr(_walk, "DIRECT", 1 << 8)  # Fourier transforms
    transformed = _walk.crossing_probability(found.rank, found.most, 0.3)
    assert transformed == pytest.approx(direct, abs=1e-12)


@pytest.mark.parametrize(("n", "risk", "level"), [(9, 0.4, 0.05), (10, 0.2, 0.12), (8, 0.7, 0.01)])
def test_the_limits_of_a_chain_are_the_largest_that_spend_no_more_than_delta(n, risk, level):
    rank, delta = np.arange(1, n + 1), 0.3
    boundary = _walk.walk_boundary(rank, risk, level)
    limits = _walk.chain_limits(boundary, risk, delta)
    for k in rank:
        spent = [reference.crossing_or_at(boundary.tolist(), k, c, risk) for c in range(-1, k + 1)]
        within = [c - 1 for c, p in enumerate(spent) if p <= delta * (1 - 1e-9)]
        assert limits[k - 1] == min(max(within), k)


@pytest.mark.parametrize("n", [999, 1000, 3000])
def test_a_chain_is_tested_from_a_fixed_rank_where_fifty_errors_are_expected(n):
    found = _walk.walk(n, 0.05, 0.05)
    assert (found.chain is None) == (n < 1000)
    if found.chain is not None:
        assert found.first == 3 * 59
        alone = _walk.walk_level(np.arange(1, n + 1), 0.05, 0.05)
        whole = _walk.walk_boundary(np.arange(1, n + 1), 0.05, alone)
        assert (found.chain >= whole).all()  # what passed without a chain passes the re-check


def test_a_chain_breaks_at_its_first_failure_and_counts_ties_in_any_order():
    n, risk = 2000, 0.05
    found = _walk.walk(n, risk, 0.05)
    errors = np.minimum(found.chain, np.arange(n))  # as many as the chain allows
    assert found.chained(errors) == n
    errors[1500:] += 1
    assert found.chained(errors) == 1500
    assert found.chained(np.arange(1, n + 1)) == found.first - 1
    assert found.chained(errors[: found.first - 1]) == 0


def test_a_chain_accepts_more_than_the_boundary_alone():
    c, wrong = sample(4000, 1, slope=0.2)
    s = select(c, wrong, target_risk=0.05)
    found = _walk.walk(4000, 0.05, 0.05)
    g = s.guarantee
    assert not found.passes(g.accepted, g.errors)
    assert g.errors <= found.chain[g.accepted - 1]
    order = np.random.default_rng(0).permutation(4000)
    assert select(c[order], wrong[order], target_risk=0.05) == s
    tied = np.floor(c * 16)
    assert select(tied[order], wrong[order], target_risk=0.05) == select(
        tied, wrong, target_risk=0.05
    )


@pytest.mark.parametrize("errors", [0, 500])
def test_the_luck_of_a_long_walk_is_confirmed_however_small_its_p_value(errors):
    found = selectors.Guarantee(0.05, 0.1, "random_walk", 60_000, 50_000, errors)
    p, level = METHODS["random_walk"].recheck(found)
    assert p <= level


def test_a_long_walk_of_version_0_1_is_confirmed_at_a_rank_where_ours_does_not_rise():
    n, accepted = 60_000, 119  # between two ranks of a few
    assert accepted not in _walk.ranks_of(n)
    rank, risk = np.arange(1, n + 1), 0.2
    level = _walk.walk_level(rank, risk, 0.1)
    errors = int(_walk.walk_boundary(rank, risk, level)[accepted - 1])
    assert not _walk.walk(n, risk, 0.1).passes(accepted, errors)
    found = selectors.Guarantee(risk, 0.1, "random_walk", n, accepted, errors)
    p, level = METHODS["random_walk"].recheck(found)
    assert p <= level
    p, level = METHODS["random_walk"].recheck(replace(found, errors=errors + 1))
    assert p > level


@pytest.mark.parametrize(("n", "step"), [(20, 1), (60, 1), (10_500, 1500)])
@pytest.mark.parametrize("risk", [0.003, 0.05, 0.3])
def test_what_cannot_pass_does_not_pass(n, step, risk):
    found = _walk.walk(n, risk, 0.05)
    for k in range(step, n + 1, step):
        most = int(found.passes(k, np.arange(k + 1)).sum())  # errors too many by one
        for errors in range(max(most - 1, 0), min(most + 2, k + 1)):
            p = float(binomial_p_value(errors, k, risk))
            assert errors >= most or not _walk.cannot_pass(n, risk, 0.05, p)


def test_the_level_of_the_walk_uses_up_delta():
    rank = np.arange(1, 301)
    level = _walk.walk_level(rank, 0.1, 0.05)
    crossed = [
        _walk.crossing_probability(rank, _walk.walk_boundary(rank, 0.1, x), 0.1)
        for x in (level, 1.1 * level)
    ]
    assert crossed[0] <= 0.05 < crossed[1]


@pytest.mark.parametrize("n", [1, 3, 50, 1000])
@pytest.mark.parametrize(("risk", "delta"), [(0.01, 0.001), (0.1, 0.05), (0.5, 0.4)])
def test_the_level_of_the_walk_is_that_of_bisection_alone(n, risk, delta):
    rank = np.arange(1, n + 1)

    def crosses(log_level):
        boundary = _walk.walk_boundary(rank, risk, np.exp(log_level))
        return _walk.crossing_probability(rank, boundary, risk) > delta

    low, high = np.log(delta) - 12, np.log(delta)
    for _ in range(11):
        middle = (low + high) / 2
        low, high = (low, middle) if crosses(middle) else (middle, high)
    assert _walk.walk_level(rank, risk, delta) == np.exp(low)


def test_rows_of_one_cluster_are_refused():
    with pytest.raises(InputError, match="one row for each group, got 4 rows of 2 groups"):
        select([1, 2, 3, 4], [0, 0, 0, 0], target_risk=0.1, groups=[5, 5, 6, 6])


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"target_risk": 0.0}, "`target_risk` in .0, 1., got 0.0"),
        ({"target_risk": 1.5}, "`target_risk`"),
        ({"target_risk": 0.1, "delta": 1}, "`delta` in"),
        ({"target_risk": 0.1, "method": "best"}, "`method` auto, fixed_sequence"),
        ({"target_risk": 0.1, "method": "fixed_sequence"}, "expected `tune` data"),
        ({"target_risk": 0.1, "method": "betting"}, "expected `tune` data"),
    ],
)
def test_malformed_options_are_named(kwargs, message):
    with pytest.raises(InputError, match=message):
        select([0.5, 0.1], [0, 1], **kwargs)


@pytest.mark.parametrize("method", ["random_walk", "sgr"])
def test_losses_between_zero_and_one_are_refused_by_methods_that_count_errors(method):
    with pytest.raises(InputError, match=r"0 and 1 \(errors\) for an exact binomial"):
        select([0.5, 0.1], [0, 0.5], target_risk=0.1, method=method)


def test_the_guarantee_reads_as_one_sentence():
    s = select(*sample(1000, 1), target_risk=0.1, tune=sample(1000, 0))
    text = str(s)
    assert text.startswith("With 95 % confidence, at most 10 % of accepted predictions are wrong")
    assert f"{s.guarantee.accepted} of 1000 calibration rows accepted" in text
    assert str(s) == s.reason == str(rc.select(*sample(1000, 1), target_risk=0.1,
                                               tune=sample(1000, 0)))  # fmt: skip


def test_a_selection_accepts_in_the_precision_that_it_was_fitted_in():
    confidence = np.r_[np.full(100, 1.0), np.full(100, 1.0 - 1e-9), np.zeros(50)]
    s = select(confidence, np.r_[np.zeros(200), np.ones(50)], target_risk=0.1)
    assert s.accept(confidence).sum() == s.guarantee.accepted == 200


def test_a_guarantee_is_never_rounded_to_certainty():
    s = select(*sample(5000, 1, slope=0.01), target_risk=0.1, delta=1e-6)
    assert "With 99.9999 % confidence" in str(s)
    assert [confidence_level(delta) for delta in (0.05 / 3, 0.1 / 7, 1e-20)] == [
        "98.333 %",
        "98.571 %",
        "99.999999999999999999 %",
    ]


def test_no_errors_and_few_rows_do_not_speak_of_hopelessness():
    s = select(np.random.default_rng(0).uniform(size=20), np.zeros(20), target_risk=0.01)
    assert "299 must be accepted" in s.reason
    assert "will not help" not in s.reason


EASY = st.sampled_from([0.3, 0.5, 0.7])  # targets that few rows can pass
SMALL = strategies.predictions(max_size=40)


@given(data=SMALL, target=EASY)
def test_bonferroni_is_its_definition(data, target):
    s = select(*data, target_risk=target, delta=0.45, method="bonferroni")
    expected = reference_bounds.above_rank(*_float32(data), 20, target, 0.45)
    assert (s.guarantee.accepted if s.feasible else None) == expected


@given(data=SMALL, target=EASY)
def test_sgr_is_the_published_search(data, target):
    s = select(*data, target_risk=target, delta=0.45, method="sgr")
    expected = reference_bounds.sgr(*_float32(data), target, 0.45)
    assert (s.threshold if s.feasible else None) == expected


@given(tune=SMALL, data=SMALL, target=EASY)
def test_the_fixed_sequence_is_its_definition_from_its_start_on(tune, data, target):
    s = select(*data, target_risk=target, delta=0.45, tune=tune)
    grid = thresholds_between(_float32(tune)[0], 100).tolist()
    runs = [
        reference_bounds.first_failure(grid[start:], *_float32(data), target, 0.45)
        for start in range(len(grid))
    ]
    assert (s.threshold if s.feasible else None) in runs


def _float32(data):
    return np.float32(data[0]).tolist(), data[1].tolist()


@given(data=strategies.predictions(loss=strategies.GENERAL))
def test_counts_are_those_of_a_loop_over_rows(data):
    c, l = np.float32(data[0]), data[1]
    held = counts(c, l, thresholds_between(c))
    for t, accepted, total in zip(thresholds_between(c), *held):
        assert accepted == sum(x >= t for x in c)
        assert total == pytest.approx(sum(b for a, b in zip(c, l) if a >= t), abs=1e-8)


@given(data=strategies.predictions())
def test_a_rank_never_accepts_its_own_boundary_point(data):
    """What lies at the rank is not an independent draw; only what lies strictly above is."""
    c = np.float32(data[0])
    ordered = np.sort(c)[::-1]
    for points in (1, 3, 20):
        boundary = {ordered[j * c.size // points] for j in range(1, points)}
        above = [set(c[c > v]) for v in boundary]
        for t in thresholds_above_ranks(c, points):
            assert set(c[c >= t]) in [*above, set(c)]


def test_nothing_is_deployed_above_infinity():
    confidence = np.r_[np.full(90, np.inf), np.zeros(10)]
    assert not np.isinf(thresholds_above_ranks(np.float32(confidence), 20)).any()
    infeasible = select(confidence, np.ones(100), target_risk=0.1)
    assert not infeasible.accept(confidence).any()


@pytest.mark.parametrize("method", [m for m in METHODS if m != "betting"])
def test_no_method_but_betting_depends_on_the_order_of_rows(method):
    tune, (c, l) = sample(800, 0), sample(500, 1)
    order = np.random.default_rng(0).permutation(500)
    kwargs = {"target_risk": 0.15, "method": method, "tune": tune}
    assert select(c[order], l[order], **kwargs) == select(c, l, **kwargs)


@pytest.mark.parametrize("method", METHODS)
def test_every_method_accepts_something_of_a_good_model_and_says_what(method):
    tune, calibrate = sample(2000, 0, slope=0.05), sample(2000, 1, slope=0.05)
    s = select(*calibrate, target_risk=0.05, method=method, tune=tune)
    assert s.feasible
    assert s.guarantee.method == method
    assert s.guarantee.accepted == s.accept(calibrate[0]).sum()
    assert s.guarantee.errors == calibrate[1][s.accept(calibrate[0])].sum()
    assert type(s.guarantee.errors) is int
    assert "at most 5 % of accepted predictions are wrong" in str(s)


@pytest.mark.parametrize("method", METHODS)
def test_every_method_knows_that_it_cannot(method):
    tune = sample(300, 0)
    s = select(*sample(100, 1), target_risk=0.01, method=method, tune=tune)
    assert (s.feasible, s.threshold) == (False, np.inf)
    assert s.smallest_target > 0.01
    again = {"target_risk": s.smallest_target, "method": method, "tune": tune}
    assert select(*sample(100, 1), **again).feasible
    assert '"threshold": null' in to_json(s.to_dict())


def test_sgr_says_that_it_has_no_proof():
    s = select(*sample(2000, 1), target_risk=0.2, method="sgr")
    assert "no proof by a union bound" in str(s)


def test_losses_between_zero_and_one_are_bet_on_and_their_mean_is_guaranteed():
    rng = np.random.default_rng(0)

    def partial(seed):
        c, wrong = sample(2000, seed, slope=0.2)
        return c, wrong * rng.uniform(size=2000)

    calibrate, tune = partial(1), partial(0)
    s = select(*calibrate, target_risk=0.08, tune=tune)
    assert (s.feasible, s.guarantee.method) == (True, "betting")
    assert "the mean loss of accepted predictions is at most 0.08" in str(s)
    total = calibrate[1][s.accept(calibrate[0])].sum()
    assert s.guarantee.errors == pytest.approx(total)
    assert select(*calibrate, target_risk=0.1).guarantee.method == "bonferroni"
    wider = select(*calibrate, target_risk=0.08, tune=tune, method="fixed_sequence")
    assert wider.guarantee.accepted <= s.guarantee.accepted


def test_a_loss_above_one_is_refused():
    with pytest.raises(InputError, match=r"`loss` in \[0, 1\], got 1.5 at row 1"):
        select([0.5, 0.1], [0, 1.5], target_risk=0.1)


def test_groups_are_bet_on_by_their_means():
    rng = np.random.default_rng(0)
    code = np.repeat(np.arange(300), 4)
    c = rng.uniform(size=300)[code]
    wrong = (rng.uniform(size=300) < 0.1 * (1 - c[::4]))[code]
    tune = sample(1000, 0, slope=0.1)
    s = select(c, wrong, target_risk=0.1, tune=tune, groups=code)
    assert (s.feasible, s.guarantee.method) == (True, "betting")
    assert "each group counts once, by the mean of its rows" in str(s)
    rows = select(c, wrong, target_risk=0.1, tune=tune, method="betting")
    assert s.guarantee.accepted <= rows.guarantee.accepted
    single = select(c[::4], wrong[::4], target_risk=0.1, tune=tune, groups=code[::4])
    assert single.guarantee.method == "fixed_sequence"


def test_a_seed_changes_the_order_of_bets_alone():
    tune, calibrate = sample(1000, 0), sample(1000, 1)
    kwargs = {"target_risk": 0.15, "tune": tune, "method": "betting"}
    first, second = (select(*calibrate, seed=s, **kwargs) for s in (1, 1))
    assert first == second


@given(data=strategies.predictions(), points=st.sampled_from([1, 4, 50]))
def test_a_band_is_clopper_pearson_at_its_share_of_delta(data, points):
    drawn = band(*data, delta=0.1, points=points)
    c, l = _float32(data)
    for t, accepted, errors, upper in zip(
        drawn.threshold, drawn.accepted, drawn.errors, drawn.upper
    ):
        inside = [b for a, b in zip(c, l) if a >= t]
        assert (accepted, errors) == (len(inside), sum(inside))
        assert upper == clopper_pearson_upper(errors, accepted, 0.1 / points)


def test_a_band_answers_any_wish_with_one_of_its_own_thresholds():
    tune, calibrate = sample(2000, 0), sample(2000, 1)
    for drawn in (band(*calibrate), band(*calibrate, tune=tune), band(*calibrate, tune=tune[0])):
        at = drawn.at(0.5)
        assert at.threshold in drawn.threshold
        assert at.threshold >= 0.5
        assert at.accepted == (calibrate[0] >= np.float32(at.threshold)).sum()
        assert drawn.at(np.inf) == (np.inf, 0, 0, 1.0)
        assert drawn.at(-np.inf).accepted == drawn.accepted[-1]
        t = drawn.threshold_for(0.12)
        chosen = drawn.selection(0.12)
        assert drawn.at(t).upper <= 0.12
        assert (chosen.threshold, chosen.guarantee.accepted) == (t, drawn.at(t).accepted)
        assert all(drawn.upper[drawn.threshold < t] > 0.12)
    assert drawn.source == "tune"


def test_a_band_that_cannot_says_its_smallest_limit_which_may_be_relied_on():
    drawn = band(*sample(300, 1))
    s = drawn.selection(0.001)
    assert (s.feasible, s.threshold, drawn.threshold_for(0.001)) == (False, np.inf, np.inf)
    assert s.smallest_target == drawn.upper.min()
    assert drawn.selection(s.smallest_target).feasible


def test_a_band_is_plain_data_and_takes_losses_between_zero_and_one():
    c, wrong = sample(300, 1)
    drawn = band(c, 0.5 * wrong, points=5)
    assert len(to_json(drawn.to_dict())) > 100
    expected = hoeffding_bentkus_upper(drawn.errors, drawn.accepted, 0.05 / 5)
    assert drawn.upper.tolist() == expected.tolist()
    assert drawn.risk[-1] == pytest.approx(0.5 * wrong.mean())
    assert np.isnan(band([1.0], [0]).risk).sum() == len(band([1.0], [0]).risk) - 1


def test_malformed_bands_are_named():
    with pytest.raises(InputError, match="`points` as an integer >= 1, got 0"):
        band([1.0], [0], points=0)
    with pytest.raises(InputError, match="`threshold` to be a number"):
        band([1.0], [0]).at(np.nan)
    with pytest.raises(InputError, match="2 rows of 1 groups"):
        band([1.0, 2.0], [0, 0], groups=[1, 1])


@pytest.mark.parametrize("n", [1, 5, 20, 57])
@pytest.mark.parametrize("coverage", [0.2, 0.8])
def test_a_coverage_takes_the_smallest_safe_rank(n, coverage):
    confidence = np.random.default_rng(0).permutation(n).astype(float)
    s = select_coverage(confidence, coverage=coverage, delta=0.1)
    assert s.guarantee.rank == reference_bounds.coverage_rank(n, coverage, 0.1)
    assert s.guarantee.accepted == (s.guarantee.rank or n)
    assert s.accept(confidence).sum() == s.guarantee.accepted
    assert f"at least {100 * coverage:g} % of predictions are accepted" in str(s)


@given(data=strategies.predictions(max_size=12), costs=st.sampled_from([(5, 1), (1, 1), (1, 9)]))
def test_the_cheapest_threshold_is_the_cheapest(data, costs):
    error, abstain = costs
    s = select_cost(*data, cost_error=error, cost_abstain=abstain)
    c, l = _float32(data)
    tried = [np.inf, *thresholds_between(np.float32(c)).tolist()]
    every = [reference_bounds.mean_cost(c, l, t, error, abstain) for t in tried]
    assert s.guarantee.cost == pytest.approx(min(every))
    assert s.guarantee.upper is None
    assert str(s).startswith("No guarantee")


def test_costs_fixed_by_tune_are_guaranteed_on_calibrate():
    tune, calibrate = sample(2000, 0), sample(1000, 1)
    s = select_cost(*calibrate, cost_error=10, cost_abstain=1, tune=tune)
    assert s.guarantee.cost < s.guarantee.upper < 1.1
    assert s.guarantee.cost == pytest.approx(
        reference_bounds.mean_cost(*_float32(calibrate), s.threshold, 10, 1)
    )
    assert s.threshold == pytest.approx(1 - 1 / 3, abs=0.15)  # risk 0.3 (1 - c) costs 1 there
    assert "Another threshold may be cheaper" in str(s)
    never = select_cost(*calibrate, cost_error=1e9, cost_abstain=1, tune=(tune[0], np.ones(2000)))
    assert (never.threshold, never.guarantee.accepted) == (np.inf, 0)
    assert '"threshold": null' in to_json(never.to_dict())


def test_chow_needs_a_probability_of_one_less_the_ratio_of_costs():
    assert selectors.chow_threshold(20, 1) == pytest.approx(0.95)
    assert selectors.chow_threshold(1, 3) == 0
    with pytest.raises(InputError, match="`cost_error` as a positive number, got 0"):
        selectors.chow_threshold(0, 1)
    with pytest.raises(InputError, match="`cost_abstain` as a positive number, got inf"):
        select_cost([1.0], [0], cost_error=1, cost_abstain=np.inf)


def test_several_targets_share_delta():
    tune, calibrate = sample(2000, 0), sample(2000, 1)
    found = select_several(*calibrate, target_risks=(0.1, 0.2), delta=0.1, tune=tune)
    for s, target in zip(found, (0.1, 0.2)):
        alone = select(*calibrate, target_risk=target, delta=0.05, tune=tune)
        assert (s.threshold, s.guarantee.delta) == (alone.threshold, 0.05)
        assert "2 such guarantees hold at once with 90 % confidence" in str(s)
    assert found[0].threshold > found[1].threshold
    only = select_several(*calibrate, target_risks=[0.1], tune=tune)[0]
    assert only == select(*calibrate, target_risk=0.1, tune=tune)
    for bad in ((), (0.1, 0.1)):
        with pytest.raises(InputError, match="distinct `target_risks`"):
            select_several(*calibrate, target_risks=bad)


def three_subgroups(seed, n=3000):
    rng = np.random.default_rng(seed)
    subgroup = rng.choice(["a", "b", "c"], size=n)
    c = rng.uniform(size=n)
    wrong = rng.uniform(size=n) < np.select([subgroup == "a", subgroup == "b"], [0.1, 0.3], 1) * (
        1 - c
    )
    return c, np.where(subgroup == "c", True, wrong), subgroup


def test_each_subgroup_gets_its_own_threshold_at_its_share_of_delta():
    c, l, g = three_subgroups(1)
    tune = three_subgroups(0)
    found = select_by_subgroup(c, l, g, target_risk=0.1, delta=0.06, tune=tune)
    for name, s in found.selections.items():
        of, seen = g == name, tune[2] == name
        alone = select(
            c[of], l[of], target_risk=0.1, delta=0.02, tune=(tune[0][seen], tune[1][seen])
        )
        assert s.threshold == alone.threshold
        assert s.guarantee.delta == 0.02
    assert found.feasible
    assert "in each subgroup that has a threshold (2 of 3; " in found.reason
    assert found.reason.endswith("Always abstained on: c.")
    total = found.guarantee
    accepted = sum(s.guarantee.accepted for s in found.selections.values())
    assert (total.n, total.accepted) == (3000, accepted)
    accepted = found.accept(c, g)
    assert accepted.sum() == sum(s.guarantee.accepted for s in found.selections.values())
    assert not accepted[g == "c"].any()
    assert not found.accept([1.0], ["unseen"]).any()
    assert "all" in str(found)
    assert len(to_json(found.to_dict())) > 100


def test_no_feasible_group_is_an_answer():
    found = select_by_subgroup([0.5] * 4, [1, 1, 0, 0], [1, 1, 2, 2], target_risk=0.1)
    assert not found.feasible
    assert found.reason.startswith(
        "Infeasible for every one of 2 subgroups, each tested at 97.5 % confidence, so that 95 %"
    )
    wrong = np.r_[np.arange(200) % 2, np.arange(200) % 5 == 0].astype(float)
    found = select_by_subgroup([0.5] * 400, wrong, np.repeat([7, 8], 200), target_risk=0.1)
    assert ". Subgroup 8 needs least: Infeasible: no threshold" in found.reason
    assert re.search(
        r" Subgroup 7 needs most: no target below 60.* would have passed\.$", found.reason
    )


def test_the_table_counts_every_subgroup_and_all():
    c, l, g = three_subgroups(1)
    accepted = c >= 0.5
    rows = subgroup_table(accepted, l, g)
    assert [r.subgroup for r in rows] == [None, "a", "b", "c"]
    for r in rows:
        of = np.ones(c.size, bool) if r.subgroup is None else g == r.subgroup
        assert (r.n, r.accepted) == (of.sum(), (of & accepted).sum())
        assert r.errors == l[of & accepted].sum()
        assert r.coverage_interval[0] < r.coverage < r.coverage_interval[1]
        assert r.error_rate == pytest.approx(l[of].mean())
    assert subgroup_table([False], [1], [0])[0].risk is None
    with pytest.raises(InputError, match="`accepted` as booleans"):
        subgroup_table([1, 0], [1, 0], [0, 0])


def test_groups_of_another_length_are_refused():
    with pytest.raises(InputError, match="`groups` of shape"):
        select_by_subgroup([0.5, 0.2], [0, 0], [1], target_risk=0.1)
    found = select_by_subgroup([0.5, 0.2], [0, 0], [1, 1], target_risk=0.1)
    with pytest.raises(InputError, match=r"`subgroups` of shape \(3,\), got \(2,\)"):
        found.accept([0.1, 0.2, 0.3], [1, 1])


# The band as a method


@given(
    data=strategies.predictions(max_size=60),
    seen=strategies.predictions(max_size=60),
    with_tune=st.booleans(),
    target=st.sampled_from([0.05, 0.3, 0.6, 0.9]),
)
def test_the_band_as_a_method_is_the_selection_of_a_band(data, seen, with_tune, target):
    tune = seen if with_tune else None
    found = select(*data, target_risk=target, delta=0.2, method="band", tune=tune)
    drawn = band(*data, delta=0.2, tune=tune).selection(target)
    assert (found.threshold, found.feasible) == (drawn.threshold, drawn.feasible)
    assert found.guarantee == drawn.guarantee


def test_a_band_deploys_the_most_coverage_whose_limit_holds():
    tune, calibrate = sample(500, 0), sample(500, 1)
    found = select(*calibrate, target_risk=0.1, method="band", tune=tune)
    passing = []
    for t in thresholds_between(np.sort(tune[0]), 50):
        accepted = calibrate[0] >= t
        errors = int(calibrate[1][accepted].sum())
        if reference_rejector.binomial_tail(errors, int(accepted.sum()), 0.1) <= 0.05 / 50:
            passing.append(float(t))
    assert found.threshold == min(passing)


def test_a_bet_on_costs_takes_its_stake_from_tune_alone():
    tune = sample(2000, 0)
    options = {"cost_error": 10, "cost_abstain": 1, "tune": tune}
    one, other = (select_cost(*sample(1000, k), **options).guarantee for k in (1, 2))
    assert one.stake == other.stake
    assert one.upper != other.upper
    shuffled = sample(1000, 1)
    again = select_cost(shuffled[0][::-1], shuffled[1][::-1], **options).guarantee
    assert again == one


@pytest.mark.parametrize("method", ["fixed_sequence", "random_walk", "bonferroni", "band", "sgr"])
def test_a_risk_below_what_any_data_could_show_is_infeasible_in_words(method):
    c = np.arange(200, dtype=np.float32)
    found = select(c, np.zeros(200), target_risk=5e-324, method=method, tune=(c, np.zeros(200)))
    assert not found.feasible
    assert "To pass, more than 100,000,000 must be accepted" in found.reason


def test_groups_passed_as_subgroups_are_refused_in_one_line():
    rng = np.random.default_rng(0)
    c, wrong, group = rng.uniform(size=1500), np.zeros(1500), np.arange(1500) // 5
    with pytest.raises(InputError, match=r"got 300 of 1,500 rows.*pass them as `groups=`$"):
        select_by_subgroup(c, wrong, group, target_risk=0.1)
    select_by_subgroup(c, wrong, group, target_risk=0.1, by="class")  # rare classes are none
    select_by_subgroup(c, wrong, group // 4, target_risk=0.1)


@given(
    n=st.integers(60, 160),
    risk=st.sampled_from([0.35, 0.5, 0.62, 0.8, 0.9]),
    delta=st.sampled_from([0.05, 0.2]),
    early=st.integers(0, 8),
    error=st.sampled_from([0.2, 0.5, 1.0]),
    seed=st.integers(0, 50),
)
def test_what_is_left_out_as_hopeless_passes_neither_the_boundary_nor_the_chain(
    n, risk, delta, early, error, seed
):
    rng = np.random.default_rng(seed)
    confidence, wrong = rng.permutation(n).astype(float), rng.uniform(size=n) < error
    first = min(_walk.first_of_chain(risk, delta), n)
    wrong[np.argsort(-confidence)[:first]] = rng.permutation(first) < early
    errors, accepted = np.cumsum(wrong[np.argsort(-confidence)]), np.arange(1, n + 1)
    found = _walk.walk(n, risk, delta)
    passed = found.passes(accepted, errors)
    if found.chain is not None:
        passed |= (accepted >= found.first) & (accepted <= found.chained(errors))
    selection = select(confidence, wrong, target_risk=risk, delta=delta, method="random_walk")
    last = np.flatnonzero(passed)
    assert selection.guarantee.accepted == (accepted[last[-1]] if last.size else 0)


def test_few_walks_are_computed_for_a_smallest_target():
    rng = np.random.default_rng(0)
    confidence, wrong = rng.uniform(size=(2, 10, 97))
    before = _walk.walk.cache_info().misses
    for c, w in zip(confidence, wrong < 0.5):
        assert not select(c, w, target_risk=0.02).feasible
    assert _walk.walk.cache_info().misses - before < 5 * 10  # of hundreds of targets
