"""The float32 search against the float64 path that decides."""

import math

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recuse import InputError, scores
from recuse.tuning import _candidates as _sweep
from strategies import logits

# float32 with its own exp and log (1e-7 each): relative, or beside the largest terms of a sum.
NEAR = 4e-6


def decided(name, z):
    return scores.SCORES[name](z)


def close(found, exact, z):
    scale = np.maximum(1, np.abs(z).max())
    return np.allclose(found, exact, rtol=NEAR, atol=NEAR * scale)


@given(z=logits(dtype=np.float32))
def test_the_softmax_scores_are_those_of_the_decision_path(z):
    found = _sweep.sweep(z, centered=False, uncentered=False)
    assert np.array_equal(found.label, scores.predict(z))
    for name, value in found.softmax.items():
        assert close(value, decided(name, z), z), name


@given(z=logits(dtype=np.float32, classes=st.integers(3, 6)), center=st.booleans())
def test_the_norms_are_those_of_the_decision_path(z, center):
    found = _sweep.sweep(z, softmax=())
    norms = found.centered if center else found.uncentered
    assert tuple(norms) == _sweep.ORDERS
    exact = scores.logit_norms(z, ps=_sweep.ORDERS, center=center)
    for value, expected in zip(norms.values(), exact):
        # Where all but one lie at the mean, their magnitudes are roundings of it.
        clear = np.isfinite(expected) & (np.abs(expected) < 1e3)
        assert np.allclose(value[clear], expected[clear], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("classes", [2, 3, 19, 130, 1100])
def test_pixels_are_swept_like_rows(classes):
    rng = np.random.default_rng(0)
    z = (4 * rng.normal(size=(2, classes, 9, 33))).astype(np.float32)
    pixels = _sweep.sweep(z)
    rows = _sweep.sweep(np.moveaxis(z, 1, -1).reshape(-1, classes))
    assert np.array_equal(pixels.label.ravel(), rows.label)
    for a, b in zip(pixels[1:], rows[1:]):
        for name in a:
            assert a[name].shape == (2, 9, 33)
            assert np.allclose(a[name].ravel(), b[name], rtol=1e-4, atol=1e-5), name


@pytest.mark.parametrize("shape", [(4000, 700), (3, 40, 200, 100)])
def test_threads_change_nothing(shape):
    z = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    one, two = _sweep.sweep(z), _sweep.sweep(z, threads=2)
    assert np.array_equal(one.label, two.label)
    for a, b in zip(one[1:], two[1:]):
        assert all(np.array_equal(a[name], b[name]) for name in a)


@pytest.mark.parametrize("dtype", [np.float16, ml_dtypes.bfloat16, np.float64])
def test_other_dtypes_are_taken_as_float32(dtype):
    z = (np.random.default_rng(0).normal(size=(50, 7)) * 20).astype(dtype)
    wide = _sweep.sweep(z.astype(np.float32))
    found = _sweep.sweep(z)
    assert all(np.array_equal(found.softmax[name], wide.softmax[name]) for name in wide.softmax)


def test_the_lowest_of_equal_maxima_is_predicted_and_nothing_saturates():
    z = np.float32([[0, 3, 3, 1], [200, 0, 0, 0], [-5, -5, -5, -5]])
    found = _sweep.sweep(z)
    assert found.label.tolist() == [1, 0, 0]
    assert found.softmax["msp"][1] == pytest.approx(200 - math.log(3))
    assert found.centered[2][2] == pytest.approx(-(3**-0.5))


def test_a_row_is_swept_the_same_alone_and_among_others():
    z = (5 * np.random.default_rng(0).normal(size=(300, 130))).astype(np.float32)
    together = _sweep.sweep(z)
    for i in range(0, 300, 37):
        alone = _sweep.sweep(z[i : i + 1])
        assert alone.centered[3][0] == together.centered[3][i]
        assert alone.softmax["entropy"][0] == together.softmax["entropy"][i]


def test_a_class_that_is_impossible_takes_no_part_in_the_softmax():
    z = np.float32([[2.0, 1.0, -np.inf], [2.0, -np.inf, -np.inf]])
    found = _sweep.sweep(z, centered=False, uncentered=False)
    for name in ("msp", "entropy", "gini", "energy"):
        assert np.allclose(found.softmax[name][:1], decided(name, z)[:1], rtol=NEAR), name
    assert found.softmax["msp"][1] > 1e29  # in place of infinity
    assert found.softmax["energy"][1] == 2


@pytest.mark.parametrize("shape", [(5, 7), (2, 7, 3, 3)])
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_malformed_row_is_named(shape, bad):
    z = np.zeros(shape, np.float32)
    z[1, 3] = bad
    for wanted in ({}, {"softmax": ("msp",)}, {"softmax": ()}):
        with pytest.raises(InputError, match=r"without NaN or \+inf.* row 1"):
            _sweep.sweep(z, **wanted)


@given(z=logits(dtype=np.float32))
def test_msp_alone_is_the_msp_among_the_others(z):
    alone = _sweep.sweep(z, softmax=("msp",), centered=False, uncentered=False)
    assert np.allclose(alone.softmax["msp"], _sweep.sweep(z).softmax["msp"], rtol=1e-6, atol=1e-6)
    assert list(alone.softmax) == ["msp"]
