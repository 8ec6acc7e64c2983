"""Calibration: measures, their errors, and the temperature."""

import inspect
import math

import ml_dtypes
import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

import recuse
import reference
import reference_calibration as slow
from recuse import InputError, calibration, plots
from recuse.calibration import (
    _measures,
    brier,
    classwise_ece,
    ece,
    equal_mass_ece,
    equal_mass_reliability,
    fit_temperature,
    nll,
    reliability,
    smooth_ece,
    standard_error,
    terms,
    top_label_brier,
)
from recuse.calibration._errors import TERMS
from recuse.scores import as_probability, from_probs, msp, predict
from samples import pixels, sample
from strategies import logits as logits_of

CLOSE = 1e-12  # float64 sums in another order
TOP_LABEL = (top_label_brier, ece, equal_mass_ece, smooth_ece)
OF_LOGITS = (nll, brier, classwise_ece)
BINS = st.sampled_from([1, 2, 3, 10, 15])


@st.composite
def stated(draw, min_size=1):
    """(probability, loss), often tied and at the edges of bins."""
    n = draw(st.integers(min_size, 25))
    values = st.one_of(st.sampled_from([0.0, 0.1, 0.5, 2 / 3, 0.9, 1.0]), st.floats(0, 1))
    q = draw(st.lists(values, min_size=n, max_size=n))
    return np.array(q), np.array(
        draw(st.lists(st.sampled_from([0.0, 1.0]), min_size=n, max_size=n))
    )


@st.composite
def labelled(draw):
    z = draw(logits_of())
    labels = st.integers(0, z.shape[1] - 1)
    return z, np.array(draw(st.lists(labels, min_size=len(z), max_size=len(z))))


def top_label(logits, labels):
    return as_probability(msp(logits)), (predict(logits) != labels).astype(float)


def inputs(measure, logits, labels):
    return (logits, labels) if measure in OF_LOGITS else top_label(logits, labels)


@given(labelled())
def test_proper_scores_equal_their_definition(data):
    z, y = data
    assert nll(z, y) == pytest.approx(slow.nll(z.tolist(), y), rel=CLOSE, abs=CLOSE)
    assert brier(z, y) == pytest.approx(slow.brier(z.tolist(), y), rel=CLOSE, abs=CLOSE)


@given(stated(), BINS)
def test_top_label_measures_equal_their_definition(data, bins):
    q, l = data
    assert top_label_brier(q, l) == pytest.approx(slow.top_label_brier(q, l), abs=CLOSE)
    assert ece(q, l, bins=bins) == pytest.approx(slow.ece(q, l, bins), abs=CLOSE)
    assert equal_mass_ece(q, l, bins=bins) == pytest.approx(
        slow.equal_mass_ece(q.tolist(), l, bins), abs=CLOSE
    )


@given(labelled(), BINS)
def test_classwise_ece_equals_its_definition(data, bins):
    z, y = data
    pi = [p for row in z.tolist() for p in reference.softmax(row)]
    assume(all(abs(p * bins - round(p * bins)) > 1e-9 for p in pi))  # no rounding across an edge
    assert classwise_ece(z, y, bins=bins) == pytest.approx(
        slow.classwise_ece(z.tolist(), y, bins), abs=CLOSE
    )


def test_the_two_brier_scores_of_two_classes_differ_by_a_factor():
    z, y = sample(classes=2)
    assert brier(z, y) == pytest.approx(2 * top_label_brier(*top_label(z, y)), rel=1e-6)
    assert brier(np.array([[500.0, -500.0]]), [1]) == 2


def test_a_tiny_nll_keeps_its_digits():
    assert nll(np.array([[40.0, 0.0, -900.0]]), [0]) == pytest.approx(
        math.exp(-40), rel=1e-14, abs=0
    )
    assert nll(np.array([[1e30, 0.0]]), [0]) == 0
    assert nll(np.array([[0.0, -np.inf]]), [1]) == math.inf


def test_trap_a_probability_of_one_has_no_bin_of_its_own():
    """torchmetrics says .075."""
    q, l = [1.0] * 50 + [0.95] * 50, [1] * 5 + [0] * 95
    assert ece(q, l) == pytest.approx(0.025, abs=CLOSE)
    assert reliability(q, l).count.tolist() == [100]


@pytest.mark.parametrize("bins", [5, 10, 15, 20, 100])
@pytest.mark.parametrize("dtype", [np.float16, ml_dtypes.bfloat16, np.float32, np.float64])
def test_an_edge_is_in_the_same_bin_in_every_format(bins, dtype):
    edges = np.arange(bins) / bins
    if dtype == ml_dtypes.bfloat16:
        edges = edges[:: max(1, bins // 20)]  # it resolves no more
    loss = np.arange(edges.size) % 2
    exact, found = (reliability(edges.astype(d), loss, bins=bins) for d in (np.float64, dtype))
    assert found.count.tolist() == exact.count.tolist() == [1] * edges.size
    assert found.accuracy.tolist() == exact.accuracy.tolist()
    drawn = plots.reliability.prepare(edges.astype(dtype), loss, bins=bins)
    assert drawn.start == pytest.approx(edges, abs=1e-12)
    both = np.tile(edges, 2), np.repeat([0, 1], edges.size)
    coarse = [ece(both[0].astype(d), both[1], bins=bins) for d in (np.float64, dtype)]
    assert coarse[1] == pytest.approx(coarse[0], abs=2 * float(ml_dtypes.finfo(dtype).eps))


def test_the_confidence_of_a_decimal_probability_is_in_the_bin_of_the_decimal():
    q = np.array([0.6, 0.7, 0.8, 0.9])
    for dtype in (np.float32, np.float64):
        rows = from_probs(np.stack([q, 1 - q], axis=1).astype(dtype))
        found = reliability(as_probability(msp(rows)), [0, 1, 0, 1], bins=10)
        assert found.count.tolist() == [1] * 4
        below = np.nextafter(q.astype(dtype), 0) - dtype(1e-6)
        assert reliability(np.r_[q.astype(dtype), below], [0] * 8, bins=10).count.tolist() == [
            1, 2, 2, 2, 1,
        ]  # fmt: skip


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_classwise_ece_has_the_same_bins_in_float32(dtype):
    q = np.array([0.6, 0.7, 0.8, 0.9, 0.5])
    z = np.log(np.stack([q, 1 - q], axis=1))
    labels = [0, 1, 0, 1, 1]
    expected = classwise_ece(np.log(np.stack([q, 1 - q], axis=1) + 1e-9), labels, bins=10)
    assert classwise_ece(z.astype(dtype), labels, bins=10) == pytest.approx(expected, abs=1e-6)


def test_equal_masses_are_equal_without_ties_and_ties_stay_together():
    q = np.linspace(0.5, 1, 30)
    assert equal_mass_reliability(q, q * 0, bins=10).count.tolist() == [3] * 10
    tied = equal_mass_reliability([0.7] * 9 + [0.9], [0] * 10, bins=5)
    assert tied.count.tolist() == [9, 1]


@settings(max_examples=30)
@given(stated(min_size=2), st.randoms(use_true_random=False))
def test_no_measure_depends_on_the_order_of_the_input(data, random):
    q, l = data
    order = random.sample(range(q.size), q.size)
    for measure in TOP_LABEL:
        assert measure(q, l) == measure(q[order], l[order])
        assert standard_error(q, l, measure) == standard_error(q[order], l[order], measure)


@settings(max_examples=40)
@given(stated(min_size=7), BINS, st.randoms(use_true_random=False))
def test_many_rows_are_summed_in_parts_and_equal_the_definition_in_any_order(data, bins, random):
    q, l = data
    order = random.sample(range(q.size), q.size)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_measures, "ROWS", 3)
        assert ece(q, l, bins=bins) == pytest.approx(slow.ece(q, l, bins), abs=CLOSE)
        for measure in (ece, equal_mass_ece, smooth_ece):
            assert measure(q, l) == measure(q[order], l[order])
        found, again = (reliability(q[i], l[i], bins=bins) for i in (slice(None), order))
    for a, b, whole in zip(found, again, reliability(q, l, bins=bins)):
        assert a.tolist() == b.tolist() == whole.tolist()


def test_sums_of_tiny_and_large_numbers_keep_both():
    q = np.r_[np.full(40_000, 2.0**-50), np.full(40_000, 0.9), 1.0]
    expected = (40_000 * (2.0**-50 + 0.9) + 1) / q.size
    assert reliability(q, np.zeros(q.size), bins=1).probability == [expected]


def test_malformed_rows_of_all_parts_are_counted():
    q = np.full(100_000, 0.5)
    q[[10, 40_000, 90_000]] = np.nan
    with pytest.raises(InputError, match="without NaN, got 3, rows 10, 40000, 90000"):
        ece(q, np.zeros(q.size))


def test_measures_of_logits_do_not_depend_on_the_order_of_the_input():
    z, y = sample(100)
    for measure in (*OF_LOGITS, lambda z, y: fit_temperature(z, y).value):
        assert measure(z, y) == measure(z[::-1], y[::-1])


def test_pixels_are_rows():
    z, y = pixels()
    rows, labels = np.moveaxis(z, 1, -1).reshape(-1, z.shape[1]), y.reshape(-1)
    groups = np.broadcast_to(np.arange(len(z))[:, None, None], y.shape)
    for measure in OF_LOGITS:
        assert measure(z, y) == measure(rows, labels)
        flat = standard_error(rows, labels, measure, groups=groups.reshape(-1))
        assert standard_error(z, y, measure, groups=groups) == flat
    assert fit_temperature(z, y).value == fit_temperature(rows, labels).value


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32"])
def test_half_precision_is_read_exactly(dtype):
    import ml_dtypes

    z, y = sample(100)
    z = z.astype(getattr(ml_dtypes, dtype) if dtype == "bfloat16" else dtype)
    for measure in (*OF_LOGITS, lambda z, y: fit_temperature(z, y).value):
        assert measure(z, y) == measure(z.astype(np.float64), y)


# Smooth ECE


@settings(max_examples=30)
@given(stated(min_size=2))
def test_smooth_ece_is_the_width_that_equals_its_error(data):
    q, l = data
    found = smooth_ece(q, l)
    assume(found > 0.01)  # the slow integral has a grid, too
    assert slow.smooth_ece_at(q.tolist(), l, found, 800) == pytest.approx(found, rel=0.005)


def golden(n, power, shift):
    """Deterministic data: stated q, right with frequency q^power."""
    i = np.arange(1, n + 1)
    q = 0.3 + 0.65 * ((i * 0.6180339887498949) % 1)
    return q, ((i * 0.7548776662466927 + shift) % 1 >= q**power).astype(float)


@pytest.mark.parametrize(
    ("case", "relplot"),
    [
        ((400, 1.0, 0.0), 0.0266),
        ((400, 1.5, 0.1), 0.1205),
        ((1000, 2.0, 0.2), 0.1990),
        ((1000, 0.7, 0.3), 0.0840),
    ],
)
def test_smooth_ece_is_that_of_relplot(case, relplot):
    """relplot 1.0.3 with `smECE_mesh_pts = 20000`; its bisection stops at 1/1024."""
    assert smooth_ece(*golden(*case)) == pytest.approx(relplot, abs=1 / 1024)


def test_smooth_ece_of_predictions_that_all_say_the_same_is_their_gap():
    assert smooth_ece([0.0] * 4, [1, 1, 1, 0]) == pytest.approx(0.25)
    assert smooth_ece([1.0] * 4, [1] * 4) == pytest.approx(1)
    assert smooth_ece([1.0] * 4, [0] * 4) == 0


def test_smooth_ece_is_continuous_where_binned_ece_jumps():
    edge = 0.6 / (1 + 2**-23)  # less what float32 may have moved
    together, apart = [edge + 1e-9] * 200, [edge - 1e-9] * 100 + [edge + 1e-9] * 100
    l = [0] * 40 + [1] * 60 + [0] * 80 + [1] * 20
    assert abs(ece(together, l, bins=10) - ece(apart, l, bins=10)) > 0.19
    assert abs(smooth_ece(together, l) - smooth_ece(apart, l)) < 1e-4


# Standard errors


def test_every_measure_has_terms_whose_mean_it_is():
    z, y = sample()
    measures = {
        f
        for name in calibration.__all__
        if inspect.isfunction(f := getattr(calibration, name))
        and inspect.signature(f).return_annotation == "float"
    } - {standard_error}
    assert measures == set(TERMS) == {*TOP_LABEL, *OF_LOGITS}
    for measure in measures:
        given = inputs(measure, z, y)
        assert terms(*given, measure).mean() == pytest.approx(measure(*given), abs=CLOSE)


def population(rng, n, over=1.8, classes=4):
    """Over-confident logits: the labels follow them divided by `over`."""
    z = rng.normal(size=(n, classes)) * 2
    pi = np.exp(z / over)
    pi /= pi.sum(axis=1, keepdims=True)
    return z, (rng.uniform(size=(n, 1)) > pi.cumsum(axis=1)).sum(axis=1).clip(0, classes - 1)


def test_standard_errors_are_the_spread_over_samples():
    rng, found, said, samples = np.random.default_rng(0), {}, {}, 150
    for _ in range(samples):
        z, y = population(rng, 400)
        for measure in TERMS:
            given = inputs(measure, z, y)
            found.setdefault(measure, []).append(measure(*given))
            said.setdefault(measure, []).append(standard_error(*given, measure))
        t = fit_temperature(z, y)
        found.setdefault("temperature", []).append(t.value)
        said.setdefault("temperature", []).append(t.standard_error)
    # A standard deviation of 150 samples is known to 6 %; the small gaps of single classes
    # are partly noise, whose spread is smaller than said.
    for name in found:
        ratio = np.mean(said[name]) / np.std(found[name])
        assert 0.85 < ratio < (1.35 if name is classwise_ece else 1.15), (name, ratio)


def test_the_terms_of_smooth_ece_are_what_one_more_example_changes():
    q, l = (np.repeat(x, 50) for x in golden(60, 1.0, 0.1))  # gaps of both signs
    before, found = smooth_ece(q, l), terms(q, l, smooth_ece)
    for i in (0, 700, 1500, 2900):
        change = smooth_ece(np.r_[q, q[i]], np.r_[l, l[i]]) - before
        assert change * (q.size + 1) == pytest.approx(found[i] - before, rel=0.05)


def test_repeated_rows_in_groups_have_the_standard_error_of_single_ones():
    z, y = population(np.random.default_rng(1), 300)
    groups = np.repeat(np.arange(300), 3)
    for measure in TERMS:
        once, thrice = (inputs(measure, np.repeat(z, k, 0), np.repeat(y, k)) for k in (1, 3))
        expected = standard_error(*once, measure)
        assert standard_error(*thrice, measure, groups=groups) == pytest.approx(expected, rel=1e-9)
        assert standard_error(*thrice, measure) < 0.6 * expected
    one = fit_temperature(z, y)
    three = fit_temperature(np.repeat(z, 3, 0), np.repeat(y, 3), groups=groups)
    assert three.standard_error == pytest.approx(one.standard_error, rel=1e-9)


def test_the_ece_of_a_calibrated_model_is_not_zero_and_stays_below_what_is_said():
    rng, n, bins = np.random.default_rng(0), 500, 15
    q = rng.uniform(0, 1, (200, n))
    mean = np.mean([ece(row, rng.uniform(size=n) > row, bins=bins) for row in q])
    assert 0.2 * math.sqrt(bins / n) < mean < 0.4 * math.sqrt(bins / n)


# Temperature


@given(labelled())
def test_no_temperature_has_a_smaller_nll(data):
    z, y = data
    found = fit_temperature(z, y, bounds=(0.1, 10))
    for t in (0.1, 0.3, 1, 3, 10, found.value * 0.999, min(10, found.value * 1.001)):
        if 0.1 <= t <= 10:
            assert found.nll <= slow.nll(z.tolist(), y, t) + 1e-12
    assert found.nll == pytest.approx(slow.nll(z.tolist(), y, found.value), abs=1e-12)


def test_the_temperature_is_that_of_the_population_and_scales_with_the_logits():
    z, y = population(np.random.default_rng(3), 20_000, over=2.5)
    found = fit_temperature(z, y)
    assert abs(found.value - 2.5) < 3 * found.standard_error < 0.2
    assert fit_temperature(4 * z, y).value == pytest.approx(4 * found.value, rel=1e-9)
    assert found.nll < found.nll_before == nll(z, y)
    assert nll(found(z), y) == pytest.approx(found.nll, rel=1e-12)


def test_a_temperature_changes_no_label_and_repairs_the_probabilities():
    z, y = population(np.random.default_rng(3), 5_000, over=2.5)
    found = fit_temperature(z[:2500], y[:2500])
    repaired = found(z[2500:])
    assert repaired.dtype == np.float64
    assert (predict(repaired) == predict(z[2500:])).all()
    assert ece(*top_label(repaired, y[2500:])) < 0.04 < 0.1 < ece(*top_label(z[2500:], y[2500:]))


@pytest.mark.parametrize("scale", [1e-5, 1e-2, 30.0, 1e5])
def test_the_temperature_of_saturated_or_tiny_logits_is_found(scale):
    z, y = population(np.random.default_rng(3), 300, over=2.5)
    found = fit_temperature(scale * z, y, bounds=(1e-8, 1e8))
    assert found.value == pytest.approx(scale * fit_temperature(z, y).value, rel=1e-9)
    assert found.standard_error == pytest.approx(scale * fit_temperature(z, y).standard_error)
    separable = fit_temperature(scale * np.eye(3), [0, 1, 2], bounds=(scale / 50, scale * 50))
    assert separable.bound == "lower"


def test_separable_logits_get_the_lower_bound_and_say_so():
    found = fit_temperature(np.eye(3) * 2, [0, 1, 2])
    assert (found.value, found.n) == (0.01, 3)
    assert math.isnan(found.standard_error)
    assert "lower bound" in str(found)
    assert fit_temperature(np.eye(3), [0, 1, 2], bounds=(0.5, 2)).value == 0.5


def test_logits_that_mislead_or_say_nothing_get_the_upper_bound():
    for z in (np.eye(3) * 2, np.zeros((3, 3))):
        found = fit_temperature(z, [1, 2, 0])
        assert found.value == 100
        assert found.bound == "upper"
        assert "upper bound" in str(found)


def test_impossible_classes_are_no_obstacle_and_impossible_labels_an_error():
    z = np.array([[1.0, 0.0, -np.inf]] * 4)
    both = fit_temperature(z, [0, 0, 0, 1])
    assert both.value == pytest.approx(fit_temperature(z[:, :2], [0, 0, 0, 1]).value)
    with pytest.raises(InputError, match="at the labels, got -inf, row 3"):
        fit_temperature(z, [0, 0, 0, 2])


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: ece([1.2], [0]), r"in \[0, 1\], got 1.2"),
        (lambda: ece([0.5], [0.3]), "0 and 1"),
        (lambda: ece([0.5], [0], bins=0), "`bins` as an integer >= 1, got 0"),
        (lambda: nll(np.zeros((2, 3)), [0, 3]), r"0\.\.2, got 3 at row 1"),
        (lambda: nll(np.full((1, 2), -np.inf), [0]), "finite logit in every row"),
        (lambda: terms([0.5], [0], recuse.aurc), "`measure` among nll"),
        (lambda: standard_error([0.5], [0], ece), "at least 2"),
        (lambda: standard_error(np.array([[0, -np.inf]] * 2), [0, 1], nll), "got inf, row 1"),
        (lambda: fit_temperature(np.eye(2), [0, 1], bounds=(2, 1)), "0 < lowest < highest"),
    ],
)
def test_malformed_input_is_one_line(call, message):
    with pytest.raises(InputError, match=message) as error:
        call()
    assert "\n" not in str(error.value)


def test_what_is_no_error_count_is_refused_without_talk_of_a_guarantee():
    with pytest.raises(InputError, match=r"of 0 and 1 \(errors\) for calibration, got 2"):
        calibration.ece([0.5, 0.6], [0, 2])
