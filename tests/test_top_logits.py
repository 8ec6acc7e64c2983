"""Section 0.D.1 of Xia et al. (2024): the top k logits, and what adding to them does.

Let v be sorted, its first k logits positive, m the softmax mass of the others. Adding eta > 0 to
the first k

- raises MSP by at most m (1 - exp(-eta)): pi / ((1 - m) + m exp(-eta)) is its new value, and
  pi <= 1 - m;
- lowers max(v) / ||v||_p for every eta if sum_{j<=k} v_j^(p-1) (v_1 - v_j) > sum_{j>k} |v_j|^p:
  the sign of the derivative of its logarithm is that of the right side minus the left, and the
  left only grows with eta. As long as it is smaller, the ratio rises instead.

For k = K and positive logits the right side is 0, which is the paper's Result 1. For k = 1 the left
side is 0: the ratio rises. With few and large top logits the others must be tiny, and the claim "we
would expect v'_max to decrease" is true in this domain only (docs/sources.md, 11).
"""

import math

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from recuse import scores
from reference import norm_ratio, softmax
from reference_plots import pull, raised, tail_mass, tail_power, top_norm

EXACT = 1e-13  # a handful of roundings of ratios below 1
CLEAR = 1e-6  # differences that no rounding makes
ORDERS = st.sampled_from([1, 2, 3, 4, 5, 10])
POSITIVE = st.sampled_from([0.25, 0.5, 1.0, 1.25, 2.0, 4.0, 4.5, 7.0])
ANY = st.sampled_from([-4.0, -1.0, -0.5, -0.25, 0.0, 0.125, 0.25, 1.0, 4.0])
ETA = st.sampled_from([0.015625, 0.25, 1.0, 4.0, 16.0])


@st.composite
def sorted_logits(draw):
    """(v, k), the first k positive."""
    top = draw(st.lists(POSITIVE, min_size=1, max_size=5))
    rest = [min(x, min(top)) for x in draw(st.lists(ANY, min_size=1, max_size=12))]
    return sorted(top, reverse=True) + sorted(rest, reverse=True), len(top)


def ratio(v, p):
    return norm_ratio(v, p, center=False)


@given(logits=sorted_logits(), eta=ETA)
def test_adding_to_the_top_k_raises_msp_by_at_most_the_mass_of_the_others(logits, eta):
    v, k = logits
    m = tail_mass(v, k)
    change = softmax(raised(v, k, eta))[0] - softmax(v)[0]
    assert -EXACT <= change <= m * (1 - math.exp(-eta)) + EXACT


@given(logits=sorted_logits(), eta=ETA, p=ORDERS)
def test_the_ratio_falls_where_the_top_k_outweigh_the_others(logits, eta, p):
    v, k = logits
    assume(pull(v, k, p) > tail_power(v, k, p) + CLEAR)
    after = raised(v, k, eta)
    assert ratio(after, p) < ratio(v, p) + EXACT
    if p <= 5 and eta >= 0.25 and pull(v, k, p) > 1.01 * tail_power(v, k, p):
        assert ratio(after, p) < ratio(v, p)


@given(logits=sorted_logits(), eta=ETA, p=ORDERS)
def test_the_ratio_rises_as_long_as_the_others_outweigh_the_top_k(logits, eta, p):
    v, k = logits
    after = raised(v, k, eta)
    assume(pull(after, k, p) < tail_power(v, k, p) - CLEAR)
    assert ratio(after, p) > ratio(v, p) - EXACT


@given(logits=sorted_logits(), eta=st.sampled_from([0.25, 1.0]), p=st.sampled_from([2, 4]))
def test_the_shipped_score_falls_and_rises_with_the_ratio(logits, eta, p):
    v, k = logits
    assume(len(v) > 2)
    before, after = ratio(v, p), ratio(raised(v, k, eta), p)
    assume(abs(before - after) > CLEAR)
    score = scores.logit_norm(np.array([v, raised(v, k, eta)]), p=p, center=False)
    assert (score[1] < score[0]) == (after < before)


@given(logits=sorted_logits(), eta=ETA, p=ORDERS)
def test_with_all_logits_among_the_top_it_is_result_1(logits, eta, p):
    v, k = logits
    top = v[:k]
    assume(top[0] - top[-1] > 0.1)
    assert tail_power(top, k, p) == 0 < pull(top, k, p)
    assert ratio(raised(top, k, eta), p) < ratio(top, p) + EXACT


@given(logits=sorted_logits(), p=ORDERS)
def test_the_top_k_approximate_the_norm_up_to_the_tail(logits, p):
    v, k = logits
    tail = tail_power(v, k, p) / top_norm(v, k, p) ** p
    whole = top_norm(v, len(v), p)
    assert whole / top_norm(v, k, p) == pytest.approx((1 + tail) ** (1 / p), rel=EXACT)
    assert 0 <= whole / top_norm(v, k, p) - 1 <= tail / p + EXACT
    assert 0 <= ratio(v[:k], p) / ratio(v, p) - 1 + EXACT <= tail / p + 2 * EXACT


@given(logits=sorted_logits())
def test_the_top_k_approximate_the_softmax_up_to_its_mass_outside(logits):
    v, k = logits
    m = tail_mass(v, k)
    approximate = softmax(v[:k])[0] if k > 1 else 1.0
    assert approximate / softmax(v)[0] - 1 == pytest.approx(m / (1 - m), rel=1e-10)


@given(v1=POSITIVE, rest=st.lists(ANY, min_size=1, max_size=9), eta=ETA, p=ORDERS)
def test_adding_to_the_maximum_alone_never_lowers_the_ratio(v1, rest, eta, p):
    v = [max(v1, *rest), *sorted(rest, reverse=True)]
    assert pull(v, 1, p) == 0
    assert ratio(raised(v, 1, eta), p) >= ratio(v, p) - EXACT


def test_many_small_logits_outweigh_two_large_ones():
    v = [5.0, 4.9] + [4.0] * 98  # docs/sources.md, 11
    assert tail_mass(v, 2) > 0.9
    assert pull(v, 2, 4) < tail_power(v, 2, 4)
    assert ratio(raised(v, 2, 0.5), 4) > ratio(v, 4)
    assert ratio(raised(v, 1, 0.5), 4) > ratio(v, 4)


@pytest.mark.parametrize("v", [[-1.0, -2.0, -10.0], [-0.5, -0.75, -3.0, -3.0]])
def test_negative_top_logits_raise_the_ratio(v):
    """Towards 0 the maximum loses magnitude, and so the ratio loses its negative size."""
    assert ratio(raised(v, 2, 0.25), 4) > ratio(v, 4)


def test_a_small_tail_mass_is_no_small_tail_of_the_norm():
    """The softmax forgets what is far below; the norm remembers what is far from 0."""
    v = [6.0, 4.0] + [-6.0] * 20
    assert tail_mass(v, 2) < 1e-3
    assert tail_power(v, 2, 4) > 10 * top_norm(v, 2, 4) ** 4
    assert ratio(raised(v, 2, 0.5), 4) > ratio(v, 4)
