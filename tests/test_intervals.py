import math
from contextlib import contextmanager
from unittest import mock

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy.stats import binom, norm, poisson

import reference
import reference_sources
from recuse import InputError, _kernels, intervals
from recuse.curves import aurc, aurc_of_weights
from recuse.intervals import (
    AUGRC,
    AURC,
    E_AURC,
    _interval,
    _runs,
    _spread,
    _total,
    coverage_at,
    risk_at,
)
from recuse.intervals._bootstrap import BLOCK, draw, units
from recuse.intervals._influence import by_confidence, variance_of_mean
from strategies import GENERAL, ZERO_ONE, predictions

BOOTSTRAP = 0.06  # relative: 3,000 resamples have a standard error of 1.3 %, ties add a bias


def _data(n, levels, seed=0):
    rng = np.random.default_rng(seed)
    confidence = rng.uniform(size=n)
    loss = (rng.uniform(size=n) < 0.4 * (1 - confidence)).astype(float)
    return (np.floor(confidence * levels) if levels else confidence), loss


@given(data=predictions(loss=st.one_of(ZERO_ONE, GENERAL)))
def test_influences_have_mean_zero(data):
    assert intervals.influence(*data).mean() == pytest.approx(0, abs=1e-12)


@given(data=predictions(loss=st.one_of(ZERO_ONE, GENERAL), min_size=2), seed=st.integers(0, 9))
def test_the_standard_error_does_not_depend_on_the_order_of_the_input(data, seed):
    confidence, loss = data
    order = np.random.default_rng(seed).permutation(len(loss))
    groups = np.arange(len(loss)) // 2
    for g in (None, groups):
        assume(g is None or g.max() > 0)
        first = intervals.standard_error(confidence, loss, groups=g)
        shuffled = None if g is None else g[order]
        assert intervals.standard_error(confidence[order], loss[order], groups=shuffled) == first


@pytest.mark.parametrize("levels", [0, 40, 2])
def test_the_standard_error_is_that_of_the_bootstrap_ties_included(levels):
    confidence, loss = _data(1500, levels)
    rng = np.random.default_rng(1)
    draws = rng.integers(0, len(loss), (3000, len(loss)))
    if not levels:  # a repeated row is no tie of the population: break it at random
        confidence = confidence + 0.0
    areas = [aurc(confidence[d], loss[d]) for d in draws]
    ours = intervals.standard_error(confidence, loss)
    assert ours == pytest.approx(np.std(areas), rel=BOOTSTRAP)


def test_the_standard_error_of_groups_is_that_of_the_bootstrap_over_groups():
    confidence, loss = _data(300, 0)
    rng = np.random.default_rng(2)
    groups = np.repeat(np.arange(300), 5)
    confidence = np.repeat(confidence, 5) + rng.normal(size=1500) * 0.05
    loss = np.repeat(loss, 5)
    rows = np.arange(1500).reshape(300, 5)
    areas = []
    for _ in range(3000):
        d = rows[rng.integers(0, 300, 300)].ravel()
        areas.append(aurc(confidence[d], loss[d]))
    grouped = intervals.standard_error(confidence, loss, groups=groups)
    assert grouped == pytest.approx(np.std(areas), rel=BOOTSTRAP)
    assert grouped > 1.8 * intervals.standard_error(confidence, loss)


def test_a_paired_comparison_is_sharper_than_two_separate_errors():
    confidence, loss = _data(2000, 0)
    other = confidence + np.random.default_rng(3).normal(size=2000) * 0.02
    paired = intervals.compare(confidence, loss, other, loss)
    assert paired.difference == aurc(confidence, loss) - aurc(other, loss)
    assert paired.standard_error < 0.3 * intervals.standard_error(confidence, loss)
    assert paired.low < paired.difference < paired.high


def test_a_score_compared_with_itself_differs_by_nothing():
    confidence, loss = _data(100, 0)
    same = intervals.compare(confidence, loss, confidence * 2, loss)
    assert (same.difference, same.standard_error, same.p_value) == (0, 0, 1)


def test_a_clear_difference_is_seen_in_its_direction():
    confidence, loss = _data(2000, 0)
    worse = intervals.compare(-confidence, loss, confidence, loss)
    assert worse.difference > 0
    assert worse.low > 0
    assert worse.p_value < 1e-6


def test_one_row_or_one_group_has_no_standard_error():
    with pytest.raises(InputError, match="at least 2 independent examples or groups, got 1"):
        intervals.standard_error([0.1, 0.2], [0, 1], groups=[7, 7])
    with pytest.raises(InputError, match="at least 2 independent examples or groups, got 1"):
        intervals.compare([0.1], [0], [0.2], [0])
    with pytest.raises(InputError, match="same examples in a and b, got 2 and 3"):
        intervals.compare([1, 2], [0, 1], [1, 2, 3], [0, 1, 1])


def test_a_difference_without_a_standard_error_claims_no_certainty():
    two = intervals.compare([0.9, 0.8], [0, 1], [0.8, 0.9], [0, 1])
    assert two.standard_error == 0
    assert np.isnan(two.p_value)


# Influences, against slow definitions and derivatives


@given(data=predictions(loss=st.one_of(ZERO_ONE, GENERAL)))
def test_influences_are_their_definition(data):
    expected = reference.influence(*data)
    np.testing.assert_allclose(intervals.influence(*data), expected, atol=1e-12)


WEIGHTS = st.sampled_from([0.25, 1.0, 1.5, 40.0])


@given(
    data=predictions(loss=st.one_of(ZERO_ONE, GENERAL), max_size=12),
    weights=st.lists(WEIGHTS, min_size=12, max_size=12),
    seed=st.integers(0, 9),
)
def test_weighted_influences_are_their_definition_in_any_order(data, weights, seed):
    (c, l), w = data, np.array(weights)[: len(data[0])]
    found = intervals.influence(c, l, w)
    expected = reference_sources.influence(c.tolist(), l.tolist(), w.tolist())
    np.testing.assert_allclose(found, expected, atol=1e-12)
    assert np.average(found, weights=w) == pytest.approx(0, abs=1e-12)
    order = np.random.default_rng(seed).permutation(len(w))
    again = intervals.influence(c[order], l[order], w[order])
    np.testing.assert_allclose(again, found[order], atol=1e-14)


@given(data=predictions(loss=st.one_of(ZERO_ONE, GENERAL)))
def test_equal_weights_are_none(data):
    found = intervals.influence(*data, np.full(len(data[0]), 3.0))
    np.testing.assert_allclose(found, intervals.influence(*data), atol=1e-12)


def test_a_weighted_influence_is_the_derivative_of_the_area():
    rng = np.random.default_rng(0)
    c, l = np.round(rng.normal(size=4000), 2), rng.random(4000)  # tied
    w = rng.uniform(0.2, 3, 4000)
    found, before = intervals.influence(c, l, w), aurc_of_weights(c, l, w)
    for i in (0, 7, 100):
        more = w.copy()
        more[i] += 1e-3 * w.sum()
        slope = (aurc_of_weights(c, l, more) - before) / 1e-3
        assert found[i] == pytest.approx(slope, rel=0.02, abs=0.02)


@pytest.mark.parametrize(
    ("weights", "word"),
    [([1.0], r"`weights` of shape \(2,\), got \(1,\)"), ([1, 0], "> 0"), ([1, np.inf], "finite")],
)
def test_influences_of_weights_that_are_none_are_refused(weights, word):
    with pytest.raises(InputError, match=word):
        intervals.influence([0.9, 0.8], [0, 1], weights)


def derivative(of_weights, confidence, loss, step=1e-5):
    """Of a weighted measure by the weight of each example, times n."""
    n = len(loss)
    slopes = []
    for i in range(n):
        up, down = np.ones(n), np.ones(n)
        up[i], down[i] = 1 + step, 1 - step
        ends = [of_weights(confidence, loss, w) for w in (up, down)]
        slopes.append(n * (ends[0] - ends[1]) / (2 * step))
    return slopes


@settings(max_examples=30)
@given(data=predictions(loss=st.one_of(ZERO_ONE, GENERAL), max_size=12))
def test_the_influence_on_aurc_is_the_derivative_of_the_weighted_integral(data):
    """Each example 400 times: the integral and the mean over ranks differ by terms of 1/n."""
    confidence, loss = data
    ours = intervals.influence(np.repeat(confidence, 400), np.repeat(loss, 400))[::400]
    np.testing.assert_allclose(ours, derivative(aurc_of_weights, *data), atol=0.01)


@settings(max_examples=30)
@given(data=predictions(loss=st.one_of(ZERO_ONE, GENERAL), max_size=12))
def test_the_influence_on_augrc_is_the_derivative_of_the_weighted_mean_over_pairs(data):
    expected = derivative(reference.augrc_of_weights, *data)
    np.testing.assert_allclose(intervals.influence_augrc(*data), expected, atol=1e-6)


def test_the_influence_on_e_aurc_is_that_of_aurc_plus_a_multiple_of_the_error():
    confidence, loss = _data(4000, 0)
    e = loss.mean()
    expected = intervals.influence(confidence, loss) + np.log(1 - e) * (loss - e)
    np.testing.assert_allclose(intervals.influence_e_aurc(confidence, loss), expected, atol=0.002)


@pytest.mark.parametrize("coverage", [0.3, 0.8, 1.0])
def test_the_influence_on_risk_at_coverage_is_its_formula(coverage):
    confidence, loss = _data(1000, 0)
    k, half = round(1000 * coverage), math.ceil(1000**0.8 / 2)
    ranked = loss[np.argsort(-confidence)]
    m, risk = ranked[max(0, k - half) : k + half].mean(), ranked[:k].mean()
    expected = ((np.arange(1000) < k) * (ranked - m) - coverage * (risk - m)) / coverage
    ours = intervals.influence_risk_at_coverage(confidence, loss, coverage)
    np.testing.assert_allclose(ours[np.argsort(-confidence)], expected, atol=1e-12)


def test_a_large_tie_at_the_threshold_does_not_move():
    confidence, loss = _data(1000, 2)
    accepted = confidence == 1
    risk = loss[accepted].mean()
    expected = accepted * (loss - risk) / accepted.mean()
    ours = intervals.influence_risk_at_coverage(confidence, loss, 0.3)
    np.testing.assert_allclose(ours, expected, atol=1e-12)


def test_no_coverage_at_risk_moves_where_the_risk_does_not_cross_the_level():
    for loss, risk in (([0, 0, 0, 0], 0.1), ([1, 1, 1, 1], 0.1), ([1, 0, 0, 0], 0.5)):
        assert np.isnan(intervals.influence_coverage_at_risk([4, 3, 2, 1], loss, risk)).all()


MEASURES = [AURC, AUGRC, E_AURC, risk_at(0.3), risk_at(0.8), coverage_at(0.1)]
STEEP = 0.12  # relative: a quantile of the curve is less normal than an area


@pytest.mark.parametrize("measure", MEASURES, ids=str)
@pytest.mark.parametrize("levels", [0, 3000])
def test_every_standard_error_is_that_of_the_bootstrap(measure, levels):
    confidence, loss = _data(6000, levels)
    ours = intervals.standard_error(confidence, loss, measure)
    drawn = intervals.bootstrap(confidence, loss, measure, replicates=2000).standard_error
    assert ours == pytest.approx(drawn, rel=STEEP if "_at_" in measure.name else BOOTSTRAP)


@pytest.mark.parametrize("measure", MEASURES, ids=str)
def test_every_standard_error_of_groups_is_that_of_the_bootstrap(measure):
    confidence, loss = _data(3000, 0)
    groups = np.repeat(np.arange(3000), 3)
    confidence = np.repeat(confidence, 3) + 0.01 * np.random.default_rng(5).normal(size=9000)
    loss = np.repeat(loss, 3)
    ours = intervals.standard_error(confidence, loss, measure, groups=groups)
    drawn = intervals.bootstrap(confidence, loss, measure, replicates=2000, groups=groups)
    rel = STEEP if "_at_" in measure.name else BOOTSTRAP
    assert ours == pytest.approx(drawn.standard_error, rel=rel)


@pytest.mark.parametrize("levels", [0, 500, 3])
def test_many_predictions_have_the_standard_error_of_their_influences(levels, loops):
    confidence, loss = _data(20_000, levels)
    confidence = confidence.astype(np.float32)
    expected = np.sqrt(variance_of_mean(intervals.influence(confidence, loss)))
    assert intervals.standard_error(confidence, loss > 0) == pytest.approx(expected, rel=1e-10)
    order = np.random.default_rng(1).permutation(20_000)
    first = intervals.standard_error(confidence, loss)
    assert intervals.standard_error(confidence[order], loss[order]) == first


@st.composite
def zero_one_ties(draw):
    """Confidences that float32 holds, with ties, both zeros and infinities, and 0-1 losses."""
    values = st.sampled_from([-math.inf, -1.5, -0.0, 0.0, 0.25, 0.5, 3.0, 2.0**40, math.inf])
    n = draw(st.integers(2, 40))
    dtype = draw(st.sampled_from([np.float16, np.float32, np.float64]))
    c = np.array(draw(st.lists(values | st.floats(0, 1, width=16), min_size=n, max_size=n)))
    with np.errstate(over="ignore"):
        return c.astype(dtype), np.array(draw(st.lists(ZERO_ONE, min_size=n, max_size=n)))


@contextmanager
def runs_of_few():
    """Let few rows be read as runs, in several parts."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_runs, "FEWEST", 1)
        for module in (_runs, _spread):
            patch.setattr(module, "PART", 7)
        yield


@settings(max_examples=100)
@given(data=zero_one_ties(), seed=st.integers(0, 9))
def test_influences_of_runs_are_those_of_rows_in_any_order(data, seed):
    c, l = data
    order = np.random.default_rng(seed).permutation(l.size)
    for measure in MEASURES:
        rows = measure.influence(c, l)
        with runs_of_few():
            assert _runs.packed(c, l) is not None
            runs = measure.influence(c, l)
            again = measure.influence(c[order], l[order])
        np.testing.assert_allclose(runs, rows, atol=1e-12)
        assert np.isnan(runs).all() or abs(runs.mean()) <= 1e-12 * max(1, np.abs(runs).max())
        np.testing.assert_array_equal(again, runs[order])
    with runs_of_few():
        found = intervals.influence(c, l)
    np.testing.assert_allclose(found, reference.influence(c, l), atol=1e-12)


@given(data=zero_one_ties())
def test_a_sort_of_integers_finds_the_ties_that_a_sort_of_floats_finds(data):
    c, l = data
    rows = by_confidence(c, l)
    with runs_of_few():
        found = by_confidence(c, l)
    assert sorted(found.order) == list(range(l.size))
    assert (c[found.order] == c[rows.order]).all()
    assert (l[found.order] == found.loss).all()
    for name in ("loss", "start", "count"):
        assert getattr(found, name).tolist() == getattr(rows, name).tolist()


@pytest.mark.parametrize("loss", ["zero-one", "general"])
@pytest.mark.parametrize("grouped", [False, True])
@pytest.mark.parametrize("measure", MEASURES, ids=str)
def test_a_comparison_is_that_of_influences_in_any_order(measure, grouped, loss):
    rng = np.random.default_rng(0)
    c, l = _data(3000, 300)
    l = l if loss == "zero-one" else l * rng.integers(1, 4, l.size) / 4
    other, worse = np.floor(c + 30 * rng.normal(size=c.size)), np.maximum(l, rng.random(3000) < 0.1)
    order, columns = rng.permutation(l.size), (c, l, other, worse)
    groups = rng.integers(0, 500, l.size) if grouped else np.arange(l.size)
    found = []
    with runs_of_few():
        for rows in (slice(None), order):
            of = groups[rows] if grouped else None
            found.append(intervals.compare(*(x[rows] for x in columns), measure, groups=of))
    apart = measure.influence(c, l) - measure.influence(other, worse)
    assert found[0].difference == pytest.approx(measure.value(c, l) - measure.value(other, worse))
    sums = [math.fsum(apart[groups == g]) for g in np.unique(groups)]
    error = math.sqrt(math.fsum(x**2 for x in sums) / (1 - 1 / len(sums))) / l.size
    assert found[0].standard_error == pytest.approx(error, rel=1e-12)
    assert found[0] == found[1]


@given(x=st.lists(st.floats(-1e3, 1e3), min_size=1, max_size=40), seed=st.integers(0, 9))
def test_a_total_is_exact_and_sees_no_order(x, seed):
    x = np.array(x)
    with mock.patch.object(_total, "ROWS", 7):
        found = _total.total(x)
        assert _total.total(np.random.default_rng(seed).permutation(x)) == found
    assert found == pytest.approx(math.fsum(x), rel=1e-15, abs=1e-24 * np.abs(x).max())


@given(x=st.lists(st.floats(-1e3, 1e3), min_size=1, max_size=40), seed=st.integers(0, 9))
def test_totals_of_groups_are_exact_and_see_no_order(x, seed):
    rng = np.random.default_rng(seed)
    x, order, code = np.array(x), rng.permutation(len(x)), rng.integers(0, 5, len(x))
    found = _total.group_totals(x, code)
    assert (_total.group_totals(x[order], code[order]) == found).all()
    expected = [math.fsum(x[code == g]) for g in range(code.max() + 1)]
    np.testing.assert_allclose(found, expected, rtol=1e-15, atol=1e-21 * np.abs(x).max())


def test_many_rows_that_are_no_runs_take_the_general_way():
    c, l = _data(20_000, 0)
    narrow = c.astype(np.float32)
    assert _runs.packed(narrow, l) is not None
    assert _runs.packed(c, l) is None  # float32 does not hold them
    assert _runs.packed(narrow, l / 2) is None
    assert _runs.packed(np.where(c > 0.99, np.nan, narrow), l) is None
    assert _runs.packed(narrow, l[1:]) is None


def test_losses_without_variation_have_no_standard_error_when_many(loops):
    confidence = np.arange(20_000, dtype=np.float32)
    assert intervals.standard_error(confidence, np.zeros(20_000)) == 0
    assert intervals.standard_error(confidence, np.ones(20_000)) < 1e-9


# Intervals


@given(data=predictions(loss=st.one_of(ZERO_ONE, GENERAL), min_size=2), i=st.integers(0, 5))
def test_an_interval_holds_its_value_and_does_not_see_the_order_of_the_input(data, i):
    confidence, loss = data
    found = intervals.interval(confidence, loss, MEASURES[i])
    assert found.value == MEASURES[i].value(confidence, loss)
    assert np.isnan(found.low) or found.low <= found.value + 1e-12 <= found.high + 2e-12
    assert found.warning or not np.isnan([found.low, found.high, found.standard_error]).any()
    order = np.random.default_rng(0).permutation(len(loss))
    again = intervals.interval(confidence[order], loss[order], MEASURES[i])
    assert str(again) == str(found)
    assert again == found or np.isnan(found.low) or np.isnan(found.standard_error)


def test_groups_of_one_row_change_no_interval():
    confidence, loss = _data(300, 20)
    for measure in MEASURES:
        alone = intervals.interval(confidence, loss, measure)
        groups = np.random.default_rng(0).permutation(300)
        grouped = intervals.interval(confidence, loss, measure, groups=groups)
        assert grouped.low == pytest.approx(alone.low, rel=1e-9)
        assert grouped.high == pytest.approx(alone.high, rel=1e-9)
        assert grouped.errors == alone.errors == loss.sum()


def test_copies_of_every_row_in_its_group_add_no_certainty():
    confidence, loss = _data(400, 0)
    groups = np.arange(400)
    for measure in MEASURES:
        once = intervals.interval(confidence, loss, measure)
        copied = (np.tile(x, 3) for x in (confidence, loss, groups))
        c, l, g = copied
        thrice = intervals.interval(c, l, measure, groups=g)
        assert thrice.high - thrice.low == pytest.approx(once.high - once.low, rel=0.15)
        assert thrice.errors == pytest.approx(once.errors)


def test_the_interval_of_a_binomial_risk_inverts_its_two_tails():
    low, high = _interval.clopper_pearson(0.1, math.sqrt(0.1 * 0.9 / 50), 0, 0.95)
    assert binom.sf(4, 50, low) == pytest.approx(0.025)
    assert binom.cdf(5, 50, high) == pytest.approx(0.025)


def test_an_interval_says_why_it_has_no_bound_or_too_few_errors():
    perfect = np.zeros(100)
    some = np.r_[np.ones(5), np.zeros(95)]
    c = np.arange(100)
    say = intervals.interval
    assert say(c, perfect).warning == "no errors: no interval"
    assert "only 5 errors: intervals from fewer than 20" in say(c, some).warning
    assert say(c, some, risk_at(0.5)).warning is None
    assert say(c, perfect, risk_at(0.5)).high == pytest.approx(0.0711, abs=1e-3)
    assert "all predictions" in say(c, perfect, coverage_at(0.1)).warning
    assert "no threshold" in say(c, 1 - perfect, coverage_at(0.1)).warning
    assert say(c, np.r_[np.ones(30), np.zeros(70)]).warning is None
    assert "aurc 0.0" in str(say(c, some))
    with pytest.raises(InputError, match="`level`"):
        say(c, some, level=95)


def test_few_predictions_without_error_do_not_bound_the_coverage():
    """5 % of 40 are 2: none is not significantly less."""
    assert intervals.interval(np.arange(40), np.zeros(40), coverage_at(0.05)).low == 0
    assert intervals.interval(np.arange(400), np.zeros(400), coverage_at(0.05)).low == 1


# The bootstrap


def _weights(size, weights, seed, count):
    """How often each unit is drawn in each replicate, in plain NumPy."""
    rng, drawn = np.random.Generator(np.random.SFC64([seed, 0])), []
    for _ in range(count):
        k = int(rng.poisson(size)) if weights == "poisson" else size
        words = rng.integers(0, 2**64, -(-k // 2), dtype=np.uint64)
        low, high = words & np.uint64(2**32 - 1), words >> np.uint64(32)
        bits = np.stack([low, high], axis=1).ravel()[:k].tolist()
        drawn.append(np.bincount([x * size // 2**32 for x in bits], minlength=size))
    return drawn


def _naive(confidence, loss, measure, weights, seed, count, groups=None):
    """Replicates as copies of rows, measured anew."""
    unit = units(measure.terms(1, confidence, loss), groups)
    for w in _weights(unit.max() + 1, weights, seed, count):
        yield measure.value(np.repeat(confidence, w[unit]), np.repeat(loss, w[unit]))


@pytest.mark.parametrize("grouped", [False, True])
@pytest.mark.parametrize("weights", ["multinomial", "poisson"])
@pytest.mark.parametrize("measure", MEASURES, ids=str)
@settings(max_examples=15)
@given(data=predictions(loss=st.one_of(ZERO_ONE, GENERAL), min_size=25, max_size=60))
def test_a_replicate_is_the_measure_of_its_copies(measure, weights, grouped, data):
    groups = np.arange(len(data[1])) // 2 * 2 % 44 if grouped else None
    options = {"weights": weights, "seed": 4, "groups": groups}
    assume(groups is None or weights == "multinomial" or len(np.unique(groups)) >= 20)
    ours = intervals.bootstrap(*data, measure, replicates=5, **options).replicates
    expected = list(_naive(*data, measure, weights, 4, 5, groups))
    np.testing.assert_allclose(ours, expected, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("weights", ["multinomial", "poisson"])
def test_replicates_are_reproducible_whatever_the_order(weights):
    confidence, loss = _data(500, 30)
    options = {"replicates": 50, "weights": weights, "seed": 3}
    first = intervals.bootstrap(confidence, loss, **options).replicates
    order = np.random.default_rng(0).permutation(500)
    shuffled = intervals.bootstrap(confidence[order], loss[order], **options).replicates
    more = intervals.bootstrap(confidence, loss, **{**options, "replicates": 3 * BLOCK})
    assert (first == shuffled).all()
    assert (first == more.replicates[:50]).all()
    assert len({*more.replicates}) == 3 * BLOCK
    other = intervals.bootstrap(confidence, loss, **{**options, "seed": 4}).replicates
    assert len({*first, *other}) == 100


def test_multinomial_weights_have_their_moments():
    draws = np.array(list(_drawn("multinomial", 500, 4000)), float)
    assert (draws.sum(axis=1) == 500).all()
    assert draws.mean(axis=0) == pytest.approx(np.ones(500), abs=0.08)
    assert draws.var(axis=0).mean() == pytest.approx(1 - 1 / 500, abs=0.01)
    assert np.mean(draws[:, 1:] * draws[:, :-1]) == pytest.approx(1 - 1 / 500, abs=0.005)


def test_poisson_weights_have_their_distribution():
    draws = np.array(list(_drawn("poisson", 500, 4000)), float)
    frequency = np.bincount(draws.astype(int).ravel(), minlength=8)[:8] / draws.size
    np.testing.assert_allclose(frequency, poisson.pmf(np.arange(8), 1), atol=1e-3)
    assert np.cov(draws[:, 1:].ravel(), draws[:, :-1].ravel())[0, 1] == pytest.approx(0, abs=0.003)
    assert draws.sum(axis=1).var() == pytest.approx(500, rel=0.1)


def _drawn(weights, size, count):
    """What is drawn, for the bits of `resampled`."""
    rng = np.random.default_rng(5)
    for _ in range(count):
        k = int(rng.poisson(size)) if weights == "poisson" else size
        w = np.empty(size, np.uint8)
        draw(rng.integers(0, 2**32, k, dtype=np.uint32), w)
        yield w


@pytest.mark.parametrize("measure", MEASURES, ids=str)
@given(data=predictions(loss=st.one_of(ZERO_ONE, GENERAL), min_size=20), groups=st.booleans())
def test_arrays_and_loops_give_the_same_replicates(measure, data, groups):
    options = {"replicates": 5, "weights": "multinomial" if groups else "poisson"}
    if groups:
        options["groups"] = np.arange(len(data[1])) % 7
    found = []
    for way in (False, True):
        with mock.patch.object(_kernels, "repays", lambda seconds, way=way: way):
            found.append(intervals.bootstrap(*data, measure, **options).replicates)
    assert found[0].tolist() == found[1].tolist()


@pytest.mark.parametrize("measure", MEASURES, ids=str)
def test_both_kinds_of_weights_agree_on_the_standard_error(measure):
    confidence, loss = _data(3000, 0)
    pair = [
        intervals.bootstrap(confidence, loss, measure, replicates=2000, weights=w).standard_error
        for w in ("multinomial", "poisson")
    ]
    assert pair[0] == pytest.approx(pair[1], rel=STEEP)


def test_percentile_and_bca_are_quantiles_of_the_replicates():
    confidence, loss = _data(400, 0)
    found = intervals.bootstrap(confidence, loss, replicates=999)
    percentile, bca = found.percentile(0.9), found.bca(0.9)
    assert (percentile.low, percentile.high) == tuple(np.quantile(found.replicates, [0.05, 0.95]))
    influence = intervals.influence(confidence, loss)
    a = np.sum(influence**3) / 6 / np.sum(influence**2) ** 1.5
    z0 = norm.ppf(np.mean(found.replicates < found.value))
    tails = [norm.cdf(z0 + (z0 + z) / (1 - a * (z0 + z))) for z in norm.ppf([0.05, 0.95])]
    expected = np.quantile(found.replicates, tails)
    assert (bca.low, bca.high) == pytest.approx(tuple(expected), rel=1e-9)
    assert bca.low > percentile.low  # skewed to the right
    assert (bca.level, bca.n, bca.errors) == (0.9, 400, loss.sum())


def test_a_bootstrap_of_nothing_that_moves_has_no_bound():
    found = intervals.bootstrap(np.arange(50), np.zeros(50), replicates=20)
    assert np.isnan(found.percentile().low)
    assert found.bca().warning == "no errors: no interval"


def test_malformed_options_are_one_line():
    data = np.arange(5), np.zeros(5)
    cases = {
        "weights": ("bayes", "expected `weights` 'multinomial' or 'poisson', got 'bayes'"),
        "replicates": (1, "expected `replicates` as an integer >= 2, got 1"),
        "seed": (-1, "expected `seed` as an integer >= 0, got -1"),
        "seed ": (True, "expected `seed` as an integer >= 0, got True"),
    }
    for name, (value, message) in cases.items():
        with pytest.raises(InputError, match=message):
            intervals.bootstrap(*data, **{name.strip(): value})
    with pytest.raises(InputError, match="at least 20 examples or groups for Poisson"):
        intervals.bootstrap(*data, weights="poisson")


# Comparisons


def test_a_comparison_of_models_agrees_with_its_bootstrap():
    confidence, loss = _data(4000, 0)
    rng = np.random.default_rng(4)
    other = np.where(rng.uniform(size=4000) < 0.9, loss, 1 - loss)
    moved = confidence + 0.05 * rng.normal(size=4000)
    for measure in MEASURES:
        paired = intervals.compare(confidence, loss, moved, other, measure)
        drawn = intervals.bootstrap_difference(confidence, loss, moved, other, measure)
        assert drawn.value == pytest.approx(paired.difference)
        assert paired.standard_error == pytest.approx(drawn.standard_error, rel=STEEP)


def test_a_comparison_of_groups_agrees_with_its_bootstrap():
    confidence, loss = (np.repeat(x, 3) for x in _data(1500, 0))
    rng, groups = np.random.default_rng(4), np.repeat(np.arange(1500), 3)
    moved = confidence + 0.3 * np.repeat(rng.normal(size=1500), 3)
    confidence, moved = (x + 1e-3 * rng.normal(size=4500) for x in (confidence, moved))
    paired = intervals.compare(confidence, loss, moved, loss, groups=groups)
    drawn = intervals.bootstrap_difference(
        confidence, loss, moved, loss, groups=groups, replicates=3000
    )
    assert paired.standard_error == pytest.approx(drawn.standard_error, rel=BOOTSTRAP)
    apart = intervals.compare(confidence, loss, moved, loss)
    assert paired.standard_error > 1.6 * apart.standard_error


def test_the_bootstrap_of_a_difference_sees_no_order():
    confidence, loss = _data(200, 10)
    other = _data(200, 10, seed=1)[0]
    order = np.random.default_rng(0).permutation(200)
    columns = confidence, loss, other, loss
    first = intervals.bootstrap_difference(*columns, replicates=30).replicates
    again = intervals.bootstrap_difference(*(x[order] for x in columns), replicates=30).replicates
    assert (first == again).all()


def test_several_are_compared_with_one_and_corrected():
    confidence, loss = _data(1000, 0)
    rng = np.random.default_rng(0)
    table = {
        "msp": (confidence, loss),
        "noisy": (confidence + 0.3 * rng.normal(size=1000), loss),
        "random": (rng.normal(size=1000), loss),
        "rescaled": (confidence * 2, loss),
    }
    found = intervals.compare_all(table, baseline="msp")
    assert [row.name for row in found.rows] == ["noisy", "random", "rescaled"]
    assert found.value == aurc(confidence, loss)
    for row in found.rows:
        assert row.comparison == intervals.compare(*table[row.name], confidence, loss)
        assert row.value == aurc(*table[row.name])
    p = [row.comparison.p_value for row in found.rows]
    assert [row.p_adjusted for row in found.rows] == list(intervals.holm(p))
    assert found.rows[2].p_adjusted == 1
    lines = str(found).splitlines()
    assert [line.split()[0] for line in lines[1:]] == list(table)
    with pytest.raises(InputError, match="expected baseline 'none' and others to compare, got"):
        intervals.compare_all(table, baseline="none")


@given(p=st.lists(st.sampled_from([0.0, 0.01, 0.02, 0.3, 1.0]) | st.floats(0, 1), max_size=8))
def test_holm_is_its_definition(p):
    np.testing.assert_allclose(intervals.holm(p), reference.holm(p))


def test_holm_keeps_what_is_undefined_and_counts_it():
    np.testing.assert_array_equal(intervals.holm([np.nan, 0.01]), [np.nan, 0.02])
    with pytest.raises(InputError, match="expected `p_values`"):
        intervals.holm([0.5, 1.5])


def test_no_interval_of_errors_goes_beyond_one():
    loss = np.ones(300)
    loss[7] = 0
    found = intervals.interval(np.arange(300.0), loss)
    assert found.low < found.value < found.high <= 1


def test_groups_that_are_missing_are_refused():
    groups = np.r_[np.full(5, np.nan), np.arange(5)]
    with pytest.raises(InputError, match=r"expected `groups` without NaN, got 5, rows 0, 1, 2"):
        intervals.standard_error(np.arange(10.0), np.arange(10) % 2, groups=groups)


def test_groups_in_the_place_of_the_measure_are_refused():
    confidence, loss = _data(8, 0)
    with pytest.raises(
        InputError, match=r"a measure such as AURC in the third place, got .*groups="
    ):
        intervals.standard_error(confidence, loss, np.arange(8) // 2)
