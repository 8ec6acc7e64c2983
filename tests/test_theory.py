"""Results of Xia et al. (2024) on scores and shifts, tested within and outside their domain.

The identities of the gradient (their equations 14 to 16) are in `test_derivations.py`.
"""

import math

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from recuse import scores

# Ratios of norms in float64: a handful of roundings of numbers below 20.
EXACT = 1e-13
POSITIVE = hnp.arrays(np.float64, st.integers(2, 8), elements=st.floats(0.015625, 20, width=32))
ORDERS = st.sampled_from([1, 2, 3, 4.5, 10])


def ratio(v, p):
    """The maximum norm over the p-norm."""
    top = np.abs(v).max()
    return 1 / np.sum((np.abs(v) / top) ** p) ** (1 / p)


@given(v=POSITIVE, eta=st.floats(0.01, 20), p=ORDERS)
def test_result_1_a_positive_shift_of_positive_logits_lowers_the_ratio_of_norms(v, eta, p):
    assume(v.max() - v.min() > 0.01)
    before, after = ratio(v, p), ratio(v + eta, p)
    assert after < before + EXACT
    if p <= 4.5:  # for p = 10 the decrease may be below the rounding error
        assert after < before


@pytest.mark.parametrize(
    ("v", "eta"),
    [
        ([1.0, -1.0], 0.5),  # the shift reduces the magnitude of a negative logit
        ([2.0, -1.0, -1.0], 0.5),
        ([0.5, -3.0], 0.5),  # the maximum norm is not the maximum logit
    ],
)
def test_result_1_does_not_hold_where_a_logit_is_negative(v, eta):
    v = np.array(v)
    assert (v + eta).max() / np.linalg.norm(v + eta) > v.max() / np.linalg.norm(v)


def test_result_1_needs_two_different_values():
    assert ratio(np.full(4, 3.0), 2) == pytest.approx(ratio(np.full(4, 5.0), 2), abs=EXACT)


@given(v=POSITIVE, eta=st.floats(0.01, 20), p=st.sampled_from([1, 2, 3, 4.5]))
def test_for_equal_softmax_the_score_falls_as_the_maximum_logit_rises(v, eta, p):
    second = np.sort(v)[-2]
    assume(v.size > 2 and v.max() - second > 0.1 and v.max() - v.min() > 0.1)
    low, high = scores.logit_norm(np.stack([v, v + eta]), p=p, center=False)
    assert high <= low
    msp = scores.msp(np.stack([v, v + eta]))
    assert msp[0] == pytest.approx(msp[1], rel=1e-6, abs=1e-6)


@given(v=POSITIVE, eta=st.integers(-64, 64), p=ORDERS)
def test_a_centred_norm_ignores_shifts_so_result_1_cannot_explain_it(v, eta, p):
    assume(v.size > 2)
    v = np.round(v * 64) / 64  # so that the shift is exact
    same = scores.logit_norm(np.stack([v, v + eta]), p=p, center=True)
    assert same[0] == pytest.approx(same[1], rel=1e-6)


@given(v=POSITIVE, p=ORDERS, scale=st.floats(0.1, 10))
def test_a_norm_ignores_the_scale_of_the_logits(v, p, scale):
    assume(v.size > 2 and v.max() - v.min() > 0.1)
    for center in (True, False):
        one, other = scores.logit_norm(np.stack([v, scale * v]), p=p, center=center)
        assert one == pytest.approx(other, rel=1e-5)


@given(v=hnp.arrays(np.float64, st.integers(2, 8), elements=st.floats(-20, 20, width=32)))
def test_adding_a_constant_does_not_change_the_softmax(v):
    assert np.allclose(softmax(v), softmax(v + 7), atol=1e-14)


def softmax(v):
    e = np.exp(v - v.max())
    return e / math.fsum(e)
