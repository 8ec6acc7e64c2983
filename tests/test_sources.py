import math
import re
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import reference
import reference_sources as slow
from recuse import InputError, curves, risk_coverage
from recuse._internal.files import to_json
from recuse.curves.conventions import trapezoid_aurc
from recuse.evaluation import (
    auroc,
    by_source,
    fpr_at_tpr,
    scod_loss,
)
from recuse.evaluation._sources import Pool, fractions_of
from strategies import GENERAL, ZERO_ONE, predictions

TESTS = Path(__file__).parent
EXACT = 1e-12  # short sums in float64 against exact fractions
CLOSE = 1e-9  # logarithms and sums over many rows
NAMES = ("a", "b", "c")
LEVELS = st.sampled_from([0.05, 0.1, 0.25, 0.28, 0.3, 0.5, 0.58, 0.7, 0.9, 1.0])
SHARES = st.sampled_from([{"a": 0.9}, {"a": 0.1, "b": 0.2}, {"b": 0.5}, {"a": 0.3, "c": 0.3}])


@st.composite
def mixtures(draw, loss=ZERO_ONE):
    """(confidence, loss, source), every source present."""
    confidence, losses = draw(predictions(loss=loss, min_size=3))
    n = len(losses)
    rest = draw(st.lists(st.sampled_from(NAMES), min_size=n - 3, max_size=n - 3))
    return confidence, losses, np.array([*NAMES, *rest])


def share_of(shares, source):
    """Shares as fractions; the rest is divided among the other sources by their rows."""
    known = {k: Fraction(str(v)) for k, v in shares.items()}
    rest, others = 1 - sum(known.values()), [s for s in source if s not in known]
    return known | {s: rest * others.count(s) / len(others) for s in set(others)}


def test_every_test_that_the_page_names_exists():
    page = (TESTS.parent / "docs" / "sources.md").read_text(encoding="utf-8")
    named = re.findall(r"`([\w/]+\.py)::(\w+)`", page)
    assert len(named) > 90
    assert not [n for f, n in named if f"def {n}(" not in (TESTS / f).read_text(encoding="utf-8")]


# Which rows are accepted


@given(data=mixtures(), level=LEVELS, shares=st.one_of(st.none(), SHARES))
def test_a_coverage_is_reached_by_the_strictest_threshold_of_all_sources(data, level, shares):
    c, l, s = (x.tolist() for x in data)
    weight = slow.weights(s, shares and share_of(shares, s))
    found = by_source(*data, coverage=level, shares=shares)
    assert found.threshold == slow.threshold_at_coverage(c, l, weight, level)
    check_rows(found, c, l, s, weight)


@given(data=mixtures(), level=LEVELS, shares=st.one_of(st.none(), SHARES))
def test_a_risk_is_kept_by_the_most_lenient_threshold_of_all_sources(data, level, shares):
    c, l, s = (x.tolist() for x in data)
    weight = slow.weights(s, shares and share_of(shares, s))
    found = by_source(*data, risk=level, shares=shares)
    assert found.threshold == slow.threshold_at_risk(c, l, weight, level)
    check_rows(found, c, l, s, weight)


@given(data=mixtures(loss=GENERAL), threshold=st.sampled_from([-2.0, 0.0, 0.5, 0.6, 7.0, 8.0]))
def test_a_threshold_accepts_confidences_that_are_not_below_it(data, threshold):
    c, l, s = (x.tolist() for x in data)
    found = by_source(*data, threshold=threshold)
    assert (found.by, found.level, found.threshold) == ("threshold", threshold, threshold)
    check_rows(found, c, l, s, slow.weights(s, None))


def check_rows(found, c, l, s, weight):
    expected = slow.counts(c, l, s, found.threshold)
    coverage, risk = slow.point(c, l, weight, found.threshold)
    assert [row.source for row in found.sources] == sorted(expected)
    for row in found.sources:
        n, k, total = expected[row.source]
        assert (row.n, row.accepted) == (n, k)
        assert row.errors == pytest.approx(total, abs=EXACT)
        assert row.coverage == k / n
        own = float(sum(w for w, name in zip(weight, s) if name == row.source))
        assert row.share == pytest.approx(own, abs=EXACT)
        if k:
            assert row.risk == pytest.approx(total / k, abs=EXACT)
            part = own * k / n / coverage
            assert row.accepted_share == pytest.approx(part, abs=EXACT)
    whole = found.overall
    assert (whole.n, whole.accepted) == (len(c), sum(k for _, k, _ in expected.values()))
    assert whole.coverage == coverage
    if whole.accepted:
        assert whole.risk == pytest.approx(risk, abs=EXACT)
        assert sum(row.accepted_share for row in found.sources) == pytest.approx(1)
    else:
        assert math.isnan(whole.risk)
        assert all(math.isnan(row.accepted_share) for row in found.sources)


@given(data=mixtures(), level=LEVELS)
def test_without_shares_the_whole_agrees_with_the_curves(data, level):
    c, l, _ = data
    risk = by_source(*data, coverage=level).overall.risk
    assert risk == curves.risk_at_coverage(c, l, level)
    assert by_source(*data, risk=level).overall.coverage == curves.coverage_at_risk(c, l, level)


@given(data=mixtures(), level=LEVELS, copies=st.tuples(*[st.integers(1, 3)] * 3))
def test_shares_agree_with_copies_of_the_rows(data, level, copies):
    c, l, s = data
    times = np.array([dict(zip(NAMES, copies))[x] for x in s])
    long = [np.repeat(x, times) for x in (c, l, s)]
    size = {name: int(np.sum(long[2] == name)) for name in NAMES}
    shares = {name: Fraction(k, len(long[0])) for name, k in size.items()}
    for by in ("coverage", "risk"):
        expected = by_source(*long, **{by: level})
        found = pool_of(data, shares).point(by, level)
        assert found.threshold == expected.threshold
        assert found.overall.coverage == expected.overall.coverage
        np.testing.assert_equal(found.overall.risk, expected.overall.risk)


def pool_of(data, shares):
    """Pool with shares that decimals cannot express."""
    c, l, s = data
    names, code = np.unique(s, return_inverse=True)
    given = None if shares is None else tuple(shares[name] for name in names)
    return Pool(tuple(names), c, l, code, given, (Fraction(1),) * len(names))


@given(data=mixtures(), level=LEVELS, seed=st.integers(0, 5), shares=st.one_of(st.none(), SHARES))
def test_the_order_of_rows_does_not_matter(data, level, seed, shares):
    order = np.random.default_rng(seed).permutation(len(data[0]))
    first = by_source(*data, coverage=level, shares=shares)
    again = by_source(*(x[order] for x in data), coverage=level, shares=shares)
    assert to_json(first.to_dict()) == to_json(again.to_dict())


@pytest.mark.parametrize(("n", "level", "k"), [(25, 0.28, 7), (50, 0.58, 29), (10, 0.3, 3)])
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_a_level_that_is_reached_exactly_is_reached(n, level, k, dtype):
    """Half of each source; .28 x 25 is 7.000000000000001, and .05 six times is not .3."""
    c = np.repeat(np.arange(n)[::-1], 2).astype(dtype)
    s = np.tile([0, 1], n)
    wrong = np.repeat(np.arange(n) < k, 2)
    for shares in (None, {0: 0.3, 1: 0.7}, {0: 0.1}):
        found = by_source(c, wrong, s, coverage=level, shares=shares)
        assert [row.accepted for row in found.sources] == [k, k]
        assert found.overall.coverage == level
        risky = by_source(c, ~wrong[::-1], s, risk=1 - level, shares=shares).overall
        assert risky.accepted == 2 * n


@pytest.mark.parametrize("seed", range(5))
def test_every_point_reaches_its_own_coverage_and_risk(seed):
    """Sums of weights in floats would miss many of them by one bit."""
    rng = np.random.default_rng(seed)
    c, l, s = rng.permutation(40).astype(float), rng.integers(0, 2, 40), rng.choice(["a", "b"], 40)
    c, l, s = c.tolist(), l.tolist(), s.tolist()
    weight = slow.weights(s, share_of({"a": 0.3}, s))
    for threshold in c:
        coverage, risk = slow.point(c, l, weight, threshold)
        found = by_source(c, l, s, coverage=coverage, shares={"a": 0.3})
        assert found.threshold == threshold
        found = by_source(c, l, s, risk=risk, shares={"a": 0.3})
        assert found.threshold == slow.threshold_at_risk(c, l, weight, risk)
        assert found.threshold <= threshold


def test_a_level_that_is_narrowly_missed_is_not_reached():
    """Without the rare source, half of the rows are less than half of the inputs."""
    c, s = [4, 3, 2, 1], ["b", "b", "b", "a"]
    shares = {"a": 1e-10, "b": 1 - 1e-10}
    assert by_source(c, [0, 0, 0, 1], s, coverage=2 / 3, shares=shares).overall.accepted == 3
    found = by_source([4, 3, 2], [0, 1, 1], ["b", "b", "a"], risk=0.5, shares=shares)
    assert found.overall.accepted == 2


def test_ten_percent_of_a_table_like_that_of_the_paper():
    """Of its 100,889 predictions the paper accepts 10,088; the first above 10 % is 10,089."""
    photo, sketch = np.zeros(50_000), np.zeros(50_889)
    confidence = np.r_[np.arange(50_000) < 8_995, np.arange(50_889) < 1_094].astype(float)
    confidence += np.random.default_rng(0).uniform(0, 0.5, confidence.size)
    photo[:93], sketch[:80] = 1, 1
    source = np.repeat(["imagenet", "sketch"], [50_000, 50_889])
    found = by_source(confidence, np.r_[photo, sketch], source, coverage=0.1)
    assert (found["imagenet"].accepted, found["sketch"].accepted) == (8_995, 1_094)
    assert (found["imagenet"].errors, found["sketch"].errors) == (93, 80)
    assert round(100 * found["imagenet"].risk, 1) == 1.0
    assert round(100 * found["sketch"].risk, 1) == 7.3
    assert found["sketch"].share > 0.5 > 0.11 > found["sketch"].accepted_share


def test_integers_and_text_name_sources_in_sorted_order():
    found = by_source([3, 2, 1], [0, 0, 1], [10, 9, 9], coverage=1)
    assert [row.source for row in found.sources] == ["10", "9"][::-1]
    assert found["9"].errors == 1
    shares = by_source([3, 2, 1], [0, 0, 1], [10, 9, 9], coverage=1, shares={10: 0.5})
    assert shares.overall.risk == 0.25


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({}, "expected one of `coverage`, `risk` and `threshold`, got none"),
        ({"coverage": 0.1, "risk": 0.1}, "got coverage and risk"),
        ({"coverage": 0}, r"expected `coverage` in \(0, 1\], got 0"),
        ({"coverage": 10}, r"10 % is the fraction 0\.1"),
        ({"risk": -1}, r"expected `risk` in \[0, 1\], got -1"),
        ({"threshold": math.nan}, "expected `threshold` as a number, got NaN"),
        ({"coverage": 1, "shares": {"x": 0.5}}, "expected shares of a, b, got one of x"),
        ({"coverage": 1, "shares": {"a": 0.5, "b": 0.6}}, r"sum to 1, got 1\.1"),
        ({"coverage": 1, "shares": {"a": 1}}, "sum to less than 1, got 1"),
        ({"coverage": 1, "shares": {"a": 0, "b": 1}}, r"expected `share of a` in \(0, 1\], got 0"),
    ],
)
def test_levels_and_shares_that_make_no_sense_are_named(options, words):
    with pytest.raises(InputError, match=words):
        by_source([0.9, 0.8], [0, 1], ["a", "b"], **options)


def test_arrays_of_other_lengths_are_refused():
    with pytest.raises(InputError, match=r"expected `source` of shape \(2,\), got \(3,\)"):
        by_source([0.9, 0.8], [0, 1], [1, 2, 3], coverage=1)
    with pytest.raises(InputError, match="same shape"):
        by_source([0.9, 0.8], [0, 1, 1], [1, 2], coverage=1)


def test_losses_larger_than_one_have_larger_risks():
    found = by_source([3, 2, 1], [0, 5, 5], [0, 0, 1], risk=2.5)
    assert found.overall.accepted == 2
    with pytest.raises(InputError, match=r"expected `risk` in \[0, 5\]"):
        by_source([3, 2, 1], [0, 5, 5], [0, 0, 1], risk=6)


# Outliers


@given(data=predictions(loss=GENERAL), seed=st.integers(0, 9))
def test_the_curve_of_costs_is_its_definition(data, seed):
    confidence, loss = data
    outlier = np.random.default_rng(seed).random(len(loss)) < 0.5
    curve = risk_coverage(confidence, scod_loss(loss, outlier, cost_error=0.25, cost_ood=2))
    for coverage, risk, t in zip(curve.coverage, curve.risk, curve.threshold):
        inside = confidence >= t
        assert coverage == inside.sum() / len(loss)
        wrong = loss[inside & ~outlier].sum()
        expected = (0.25 * wrong + 2 * (inside & outlier).sum()) / inside.sum()
        assert risk == pytest.approx(expected, abs=EXACT)


def test_the_loss_of_an_outlier_is_ignored():
    odd = np.array([False, True, True])
    assert scod_loss([1, math.nan, -3], odd, cost_ood=0.5).tolist() == [1, 0.5, 0.5]
    with pytest.raises(InputError, match="finite and >= 0"):
        scod_loss([math.nan, 0, 0], odd)


def test_the_risk_and_area_of_sirc_are_those_of_its_program():
    """Weights beta and 1 - beta, coverages k / n, trapezoids from (0, 0), as in its repository."""
    rng = np.random.default_rng(0)
    confidence, wrong = rng.normal(size=300), rng.random(300) < 0.3
    outlier, beta = rng.random(300) < 0.4, 0.7
    loss = scod_loss(wrong, outlier, cost_error=beta, cost_ood=1 - beta)
    order = np.argsort(-confidence)
    cost = np.where(outlier, 1 - beta, beta * wrong)[order]
    risk = np.r_[0, np.cumsum(cost) / np.arange(1, 301)]
    area = np.sum((risk[1:] + risk[:-1]) / 2 / 300)
    assert trapezoid_aurc(confidence, loss) == pytest.approx(area, abs=EXACT)


@pytest.mark.parametrize(
    ("costs", "words"),
    [
        ({"cost_error": -1.0}, "expected `cost_error` finite and >= 0, got -1"),
        ({"cost_ood": math.inf}, "expected `cost_ood` finite and >= 0, got inf"),
        ({"cost_error": 0, "cost_ood": 0}, "above 0, got 0 and 0"),
    ],
)
def test_costs_are_checked(costs, words):
    with pytest.raises(InputError, match=words):
        scod_loss([0, 1], np.array([True, False]), **costs)
    with pytest.raises(InputError, match="as booleans"):
        scod_loss([0, 1], [0, 1])


@given(a=predictions(), b=predictions(), tpr=LEVELS)
def test_detection_equals_its_definition(a, b, tpr):
    inside, outside = a[0], b[0]
    assert auroc(inside, outside) == slow.auroc(inside.tolist(), outside.tolist())
    expected = slow.fpr_at_tpr(inside.tolist(), outside.tolist(), tpr)
    assert fpr_at_tpr(inside, outside, tpr=tpr) == expected


def test_auroc_agrees_with_scikit_learn_including_ties():
    metrics = pytest.importorskip("sklearn.metrics")
    rng = np.random.default_rng(0)
    inside, outside = rng.integers(0, 9, 200), rng.integers(-3, 6, 100)
    label = np.r_[np.ones(200), np.zeros(100)]
    expected = metrics.roc_auc_score(label, np.r_[inside, outside])
    assert auroc(inside, outside) == pytest.approx(expected, abs=EXACT)


def test_detection_of_nothing_is_refused():
    with pytest.raises(InputError, match="`outliers` with at least one"):
        auroc([1.0], [])
    with pytest.raises(InputError, match="`tpr`"):
        fpr_at_tpr([1.0], [1.0], tpr=95)


# Areas and their standard errors


@given(data=mixtures(loss=st.one_of(ZERO_ONE, GENERAL)), shares=st.one_of(st.none(), SHARES))
def test_the_area_of_the_whole_counts_sources_by_their_shares(data, shares):
    c, l, s = (x.tolist() for x in data)
    fractions = None if shares is None else share_of(shares, s)
    found = pool_of(data, fractions).aurc()
    if shares is None:
        assert found == pytest.approx(reference.aurc(c, l), abs=EXACT)
    else:
        expected = slow.aurc_of_weights(c, l, slow.weights(s, fractions))
        assert found == pytest.approx(expected, abs=CLOSE)


def draw(rng, sizes):
    """A good and a hopeless source, in pairs of rows with equal results."""
    parts = []
    for i, n in enumerate(sizes):
        c = np.repeat(rng.normal(size=n // 2), 2)
        rate = 0.2 / (1 + np.exp(c[::2])) if i == 0 else np.full(n // 2, 0.97)
        wrong = np.repeat(rng.random(n // 2) < rate, 2)
        parts.append((c + 1e-6 * rng.random(n), wrong.astype(float), np.full(n, i)))
    return [np.concatenate(x) for x in zip(*parts)]


@pytest.mark.parametrize("shares", [None, {"0": 0.9}, {"0": 0.2}])
def test_the_standard_error_is_the_spread_over_draws_with_fixed_numbers_of_rows(shares):
    rng = np.random.default_rng(0)
    sizes, groups, areas, errors = [300, 200], np.arange(500) // 2, [], []
    for _ in range(400):
        c, l, code = draw(rng, sizes)
        fractions = fractions_of(shares, ("0", "1"), sizes)
        pool = Pool(("0", "1"), c, l, code, fractions, (Fraction(1),) * 2)
        areas.append(pool.aurc())
        errors.append(pool.aurc_se(groups))
    assert np.sqrt(np.mean(np.square(errors))) == pytest.approx(np.std(areas), rel=0.12)
    assert pool.aurc_se(None) < 0.8 * errors[-1]  # pairs are not independent
