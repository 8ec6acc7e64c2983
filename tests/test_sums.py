"""The sums that scores are made of: by NumPy and by loops the same bits, whatever the layout."""

import math
import tracemalloc

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recuse import _kernels, scores
from recuse._kernels import arithmetic
from recuse.calibration import fit_temperature
from recuse.errors import InputError
from recuse.io import HeldOut
from recuse.scores import SCORES, Score, _rows, features
from recuse.scores._score import score_by_all
from recuse.tuning._candidates import foresee
from strategies import logits

EVERY = (
    *(Score(name) for name in SCORES),
    *(Score("msp", {"temperature": t}) for t in (0.3, 4.0)),
    *(Score("energy", {"temperature": t}) for t in (0.3, 4.0)),
    *(Score("renyi", {"alpha": a}) for a in (0.5, 7.0)),
    *(Score("gen", {"gamma": g, "top": t}) for g, t in ((1.0, 1), (0.01, 3))),
    Score("max_logit", {"center": True}),
    *(
        Score("logit_norm", {"p": p, "center": center})
        for p in (1, 2, 3, 4, 7, 2.5, 40, math.inf)
        for center in (True, False)
    ),
)
DTYPES = (np.float16, ml_dtypes.bfloat16, np.float32, np.float64)


def by_both(compute):
    """Return what is computed by NumPy and by loops."""
    with pytest.MonkeyPatch.context() as patch:
        found = []
        for loops in (False, True):
            patch.setattr(_kernels, "repays", lambda seconds, loops=loops: loops)
            found.append(compute())
    return found


def all_of(z):
    label, confidences = score_by_all(z, EVERY)
    return [label, *confidences, *(score(z) for score in EVERY), *features(z).T]


def same(a, b):
    return all(np.array_equal(x, y) and not np.isnan(x).any() for x, y in zip(a, b, strict=True))


@settings(max_examples=40)
@given(
    z=logits(classes=st.integers(2, 40)),
    dtype=st.sampled_from(DTYPES),
    masked=st.booleans(),
    seed=st.integers(0, 99),
)
def test_numpy_and_loops_give_the_same_bits(z, dtype, masked, seed):
    z = z.astype(dtype)
    if masked:
        rng = np.random.default_rng(seed)
        keep = rng.integers(0, z.shape[1], len(z))[:, None] == np.arange(z.shape[1])
        z = np.where(keep | (rng.random(z.shape) < 0.6), z, np.asarray(-np.inf, z.dtype))
    assert same(*by_both(lambda: all_of(z)))


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("classes", [3, 10, 40, 600])
def test_numpy_and_loops_find_the_same_temperature_to_the_last_bit(classes, masked):
    rng = np.random.default_rng(classes)
    z, y = 2 * rng.normal(size=(200, classes)).astype(np.float32), rng.integers(0, classes, 200)
    z[np.arange(200), y] += 1
    if masked:
        z = np.where((rng.random(z.shape) < 0.3) & (np.arange(classes) != y[:, None]), -np.inf, z)
    numpy, loops = by_both(lambda: fit_temperature(z, y))
    assert 0.1 < numpy.value < 50
    assert numpy == loops


@pytest.mark.parametrize("size", [63, 64, 65, 150])
@pytest.mark.parametrize("classes", [2, 3, 10])
def test_columns_that_are_no_whole_blocks_score_the_same_bits(classes, size):
    rng = np.random.default_rng(size)
    z = (8 * rng.normal(size=(size, classes))).round().astype(np.float32)
    masked = (rng.random(z.shape) < 0.3) & (rng.integers(0, classes, (size, 1)) != range(classes))
    for logits_ in (z, np.where(masked, -np.inf, z)):
        numpy, loops = by_both(lambda z=logits_: all_of(z))
        assert same(numpy, loops)
        assert same([x[-9:] for x in loops], all_of(logits_[-9:]))


@pytest.mark.parametrize("row", [0, 99])
@pytest.mark.parametrize("classes", [3, 40])
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_row_of_no_use_is_refused(value, classes, row, loops):
    z = np.zeros((100, classes), np.float32)
    z[row, slice(None) if value == -math.inf else 1] = value
    for score in (scores.msp, scores.max_logit):
        with pytest.raises(InputError, match=str(row)):
            score(z)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("classes", [2, 19, 31, 32, 130, 5000])
def test_the_layout_is_of_no_consequence(classes, dtype):
    rng = np.random.default_rng(classes)
    pixels = (5 * rng.normal(size=(2, classes, 5, 9))).round(1).astype(dtype)
    rows = np.moveaxis(pixels, 1, -1).reshape(-1, classes)
    permuted = rows[:, rng.permutation(classes)]
    found = by_both(lambda: [all_of(z) for z in (pixels, rows, permuted, rows[3:4])])
    for of_pixels, of_rows, of_permuted, one in found:
        assert same([x.ravel() for x in of_pixels], of_rows)
        assert same(of_rows[1:], of_permuted[1:])  # but for the class
        assert same([x[3:4] for x in of_rows], one)
    assert same(found[0][1], found[1][1])


@pytest.mark.slow
@pytest.mark.parametrize("shape", [(1_000_000, 5), (1_000_000, 32), (4, 7, 500, 500)])
def test_a_million_predictions_score_the_same_bits(shape):
    rng = np.random.default_rng(0)
    z = (6 * rng.normal(size=shape)).astype(np.float32)
    z[:1000] = z[:1000].round()
    z[::7, 0] *= 100
    some = [Score("msp"), Score("entropy"), Score("gini"), Score("renyi"), Score("prob_margin")]
    some += [Score("logit_norm", {"p": p}) for p in (3, 4, 5.5)]
    numpy, loops = by_both(lambda: score_by_all(z, some))
    assert np.array_equal(numpy[0], loops[0])
    assert np.array_equal(numpy[1], loops[1])


def test_the_exponential_is_exact_at_0_and_within_an_ulp(loops):
    x = -np.random.default_rng(0).exponential(30, 200_000)
    x = x[x > arithmetic.FLOOR]
    assert np.abs(arithmetic.exp(x) / np.exp(x) - 1).max() < 3e-16
    assert arithmetic.exp(np.zeros(1)) == 1


def test_logarithms_are_exact_at_1_and_within_two_ulps(loops):
    x = np.exp(np.random.default_rng(0).normal(0, 30, 200_000))
    assert np.abs(arithmetic.log(x) / np.log(x) - 1).max() < 5e-16
    assert np.abs(arithmetic.log1p(x) / np.log1p(x) - 1).max() < 7e-16
    assert arithmetic.log(np.ones(1)) == 0
    assert arithmetic.log1p(np.zeros(1)) == 0


@pytest.mark.parametrize("classes", [2, 2047, 2048, 40_000])
def test_sums_over_many_classes_do_not_overflow(classes, loops):
    z = np.zeros((2, classes), np.float32)
    z[0, 0] = 1
    expected = 1 - math.log(classes - 1), -math.log(classes - 1)
    assert scores.msp(z) == pytest.approx(expected, rel=1e-7)
    assert scores.logit_norm(z, p=1)[0] == pytest.approx(1, rel=1e-6)
    assert scores.max_logit(z, center=True)[0] == pytest.approx(1 - 1 / classes, rel=1e-7)


def test_scores_asked_for_together_are_those_asked_for_alone(loops):
    z = (3 * np.random.default_rng(0).normal(size=(50, 7))).astype(np.float32)
    label, together = score_by_all(z, EVERY)
    assert np.array_equal(label, z.argmax(axis=1))
    assert same(together, [score(z) for score in EVERY])


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(50, 7), (3, 40), (2, 5, 6, 7), (3, 5, 2, 2)])
def test_the_largest_logit_alone_is_that_of_all_sums(shape, dtype):
    z = np.random.default_rng(0).normal(size=shape).astype(dtype)
    z[0, 1] = -np.inf
    _, (expected,) = score_by_all(z, (Score("max_logit"),))
    found = scores.max_logit(z)
    assert found.dtype == np.float32
    assert np.array_equal(found, expected)
    with pytest.raises(InputError, match="range of float32"):
        scores.max_logit(-1e39 * np.ones(shape))


def test_few_numbers_are_computed_one_by_one_to_the_same_bits():
    rng = np.random.default_rng(0)
    x = np.maximum(-np.concatenate([rng.exponential(30, 3000), [0.0, 708.0]]), arithmetic.FLOOR)
    near = np.nextafter(arithmetic.LOWEST_MANTISSA, [0, 1])
    y = np.concatenate([np.exp(rng.normal(0, 50, 3000)), [0.5, 1.0, 2.0], near])
    for function, values in ((arithmetic.exp, x), (arithmetic.log, y), (arithmetic.log1p, y)):
        one_by_one, _ = by_both(
            lambda f=function, v=values: np.concatenate([f(one) for one in v[:, None]])
        )
        for found in by_both(lambda function=function, values=values: function(values)):
            assert np.array_equal(found, one_by_one)


@settings(max_examples=40)
@given(z=logits(classes=st.integers(2, 40)), masked=st.booleans(), seed=st.integers(0, 99))
def test_few_logits_are_summed_one_by_one_to_the_same_bits(z, masked, seed):
    z = z[: _rows.FEWEST - 1].astype(np.float64)
    if masked:
        rng = np.random.default_rng(seed)
        keep = rng.integers(0, z.shape[1], len(z))[:, None] == np.arange(z.shape[1])
        z[~keep & (rng.random(z.shape) < 0.4)] = -np.inf
    found = []
    for few in (0, z.size):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(_kernels, "repays", lambda seconds: False)
            patch.setattr(_rows, "FEW", few)
            found.append(all_of(z))
    assert same(*found)


def test_numba_starts_when_numpy_has_been_given_what_its_start_takes(monkeypatch):
    monkeypatch.setattr(_kernels, "_spent", 0.0)
    monkeypatch.setattr(_kernels.sys, "modules", {})
    monkeypatch.setattr(_kernels, "installed", lambda: True)
    assert [_kernels.repays(0.9) for _ in range(4)] == [False, False, True, True]
    monkeypatch.setattr(_kernels, "installed", lambda: False)
    assert not _kernels.repays(1e9)


def test_numba_starts_at_once_where_much_is_foreseen(monkeypatch):
    started = []
    monkeypatch.setattr(_kernels, "installed", lambda: started.append(True))
    foresee(HeldOut(np.broadcast_to(np.float32(0), (1000, 1000))))
    large = np.broadcast_to(np.float32(0), (60_000, 1000))
    foresee(HeldOut(large, kind="probs"))  # of these, MSP alone
    assert not started
    foresee(HeldOut(large))
    assert started


@pytest.mark.parametrize("shape", [(4000, 2000), (16, 100, 80, 80)])
def test_narrow_logits_are_widened_a_chunk_at_a_time(shape, loops):
    z = np.random.default_rng(0).normal(size=shape).astype(np.float16)
    scores.msp(z[:2])
    tracemalloc.start()
    scores.msp(z)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < z.nbytes
