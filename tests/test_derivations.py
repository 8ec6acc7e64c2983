"""Derivations of the papers and posts about label smoothing, tested as properties of the losses.

docs/label-smoothing.md states them in words.
"""

import math
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from recuse import InputError
from recuse.losses import (
    margin_smoothing,
    max_suppression,
    smoothed_binary_cross_entropy_with_logits,
    smoothed_cross_entropy,
)
from recuse.losses.targets import confidence_for_smoothing, optimal_logit_gap, smooth

PAGE = Path(__file__).parent.parent / "docs" / "label-smoothing.md"
FLOAT64 = 1e-12  # sums of at most 8 terms of size at most 20

SMOOTHINGS = st.floats(0, 0.9)


@st.composite
def logits_and_label(draw):
    k = draw(st.integers(2, 8))
    z = draw(hnp.arrays(np.float64, k, elements=st.floats(-20, 20)))
    return torch.tensor(z), draw(st.integers(0, k - 1))


def test_every_test_that_the_page_names_exists():
    names = re.findall(r"`(test_\w+)`", PAGE.read_text())
    assert len(names) > 10
    assert not [name for name in names if name not in globals()]


@given(case=logits_and_label(), a=SMOOTHINGS)
def test_the_loss_is_cross_entropy_a_divergence_from_uniform_and_a_constant(case, a):
    """Equation 8: LS = (1 - a) CE + a KL(u || pi) + a log K."""
    z, y = case
    k, log_pi = len(z), torch.log_softmax(z, 0)
    divergence = float(torch.sum((math.log(1 / k) - log_pi) / k))
    expected = (1 - a) * -float(log_pi[y]) + a * divergence + a * math.log(k)
    smoothed = smoothed_cross_entropy(z[None], torch.tensor([y]), a)
    assert float(smoothed) == pytest.approx(expected, abs=1e-11)


@given(case=logits_and_label(), a=SMOOTHINGS)
def test_smoothing_adds_the_mean_distance_of_the_label_from_the_other_logits(case, a):
    """L_smooth - L_hard = (a / K) * sum over the wrong classes of (z_y - z_k)."""
    z, y = case
    labels = torch.tensor([y])
    difference = smoothed_cross_entropy(z[None], labels, a) - smoothed_cross_entropy(
        z[None], labels, 0.0
    )
    expected = a / len(z) * float((z[y] - z).sum())
    assert float(difference) == pytest.approx(expected, abs=1e-11)


@given(case=logits_and_label(), a=SMOOTHINGS)
def test_smoothing_adds_a_times_the_probability_less_its_uniform_share_to_the_gradient(case, a):
    """Equation 15: dL_smooth/dz_k - (1 - a) dL_hard/dz_k = a (pi_k - 1/K)."""
    z, y = case
    gradients = []
    for smoothing in (a, 0.0):
        leaf = z[None].clone().requires_grad_()
        smoothed_cross_entropy(leaf, torch.tensor([y]), smoothing).backward()
        gradients.append(leaf.grad[0])
    regularisation = gradients[0] - (1 - a) * gradients[1]
    expected = a * (torch.softmax(z, 0) - 1 / len(z))
    assert torch.allclose(regularisation, expected, atol=FLOAT64)


@given(case=logits_and_label(), a=SMOOTHINGS)
def test_in_expectation_the_maximum_logit_is_pressed_by_its_probability_of_being_right(case, a):
    """Equation 16: the extra gradient is a (1 - P_error) - a / K for labels from pi_bar.

    The mean over labels y ~ pi_bar of dL_smooth/dz_k minus dL_hard/dz_k.
    """
    z, _ = case
    truth = torch.softmax(z.flip(0) / 3, 0)  # any distribution of the label
    extra = torch.zeros_like(z)
    for y, weight in enumerate(truth):
        for sign, smoothing in ((1, a), (-1, 0.0)):
            leaf = z[None].clone().requires_grad_()
            smoothed_cross_entropy(leaf, torch.tensor([y]), smoothing).backward()
            extra += sign * weight * leaf.grad[0]
    top = int(z.argmax())
    error = 1 - float(truth[top])
    assert float(extra[top]) == pytest.approx(a * (1 - error) - a / len(z), abs=FLOAT64)


@pytest.mark.parametrize(("a", "k"), [(0.1, 2), (0.1, 3), (0.2, 10), (0.5, 5)])
def test_at_the_optimum_every_wrong_logit_is_the_log_of_its_share(a, k):
    """z_k = log(S a / K), S the sum of exponentials; for K = 2, a = 0.1 the label has 0.95."""
    z = torch.zeros(1, k, dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.LBFGS([z], max_iter=500, tolerance_grad=1e-12, tolerance_change=0)

    def closure():
        optimizer.zero_grad()
        loss = smoothed_cross_entropy(z, torch.tensor([0]), a)
        loss.backward()
        return loss

    optimizer.step(closure)
    total = z.detach().exp().sum()
    wrong = z.detach()[0, 1:]
    assert torch.allclose(wrong, torch.log(total * a / k).expand(k - 1), atol=1e-5)
    assert float(z.detach().softmax(1)[0, 0]) == pytest.approx(1 - a + a / k, abs=1e-6)


def test_the_optimum_of_three_classes_is_the_one_the_post_gives():
    """a = 0.1, K = 3: logits (3.3322, 0, 0), probabilities (.9333, .0333, .0333)."""
    gap = optimal_logit_gap(0.1, 3)
    assert gap == pytest.approx(3.3322, abs=5e-5)
    probs = torch.softmax(torch.tensor([gap, 0.0, 0.0]), 0).tolist()
    assert probs == pytest.approx([0.9333, 0.0333, 0.0333], abs=5e-5)


@pytest.mark.filterwarnings("ignore:.*already smoothed:UserWarning")  # some inputs look smoothed
@given(
    probs=hnp.arrays(np.float64, 5, elements=st.floats(0.01, 1)).map(lambda p: p / p.sum()),
    a=st.floats(0, 0.99),
)
def test_the_smoothed_target_keeps_the_rank_of_the_maximum_probability(probs, a):
    """Both within an input and between inputs."""
    target = torch.tensor(np.stack([probs, probs[::-1] ** 2 / (probs**2).sum()]))
    smoothed = smooth(target, 5, a)
    assert float(smoothed[0, int(np.argmax(probs))]) == float(smoothed[0].max())
    before, after = target.amax(1).diff(), smoothed.amax(1).diff()
    assert abs(before) < FLOAT64 or (before > 0) == (after > 0)


def test_the_posts_second_prediction_has_the_larger_loss():
    """The English post says 0.29 for p2; it is 0.675, above the 0.610 of p1.

    Its example shows the opposite of its claim: the less confident prediction has the larger loss.
    """
    y = torch.tensor([[0.05, 0.85, 0.05, 0.05]], dtype=torch.float64)
    losses = [
        float(smoothed_cross_entropy(torch.tensor([p], dtype=torch.float64).log(), y, 0.0))
        for p in ([0.05, 0.9, 0.03, 0.02], [0.01, 0.79, 0.15, 0.05])
    ]
    assert losses == pytest.approx([0.610, 0.675], abs=5e-4)


def test_the_card_of_composer_describes_0_9_the_wrong_way_round():
    """It says that 0.9 multiplies the targets by 0.9; its formula multiplies them by 0.1."""
    label, k = torch.eye(10, dtype=torch.float64)[:1], 10

    def formula(smoothing):
        return label * (1 - smoothing) + smoothing / k

    described = 0.9 * label + 0.1 / k
    assert float(formula(0.9)[0, 0]) == pytest.approx(0.19)
    assert float(described[0, 0]) == pytest.approx(0.91)
    for smoothing, target in ((0.9, formula(0.9)), (0.1, described)):
        assert torch.allclose(smooth(label, k, smoothing), target)


# --- Where each loss is smallest ------------------------------------------------------------------

PRIOR = torch.tensor([0.1, 0.2, 0.3, 0.4], dtype=torch.float64)


def gap_of(confidence, k):
    """Gap between the label's logit and the others, which are equal."""
    return math.log((k - 1) * confidence / (1 - confidence))


def margin_gap(a, k, margin):
    return max(margin, optimal_logit_gap(a, k))


# The loss, the number of classes, and the gap of the logits at its minimum for label 0.
MINIMA = [
    (lambda z, y: smoothed_cross_entropy(z, y, 0.1), 2, gap_of(0.95, 2)),
    (lambda z, y: smoothed_cross_entropy(z, y, 0.1), 10, gap_of(0.91, 10)),
    (lambda z, y: smoothed_cross_entropy(z, y, 0.9), 10, gap_of(0.19, 10)),
    (lambda z, y: smoothed_cross_entropy(z, y, 1.0), 4, 0.0),
    (
        lambda z, y: smoothed_cross_entropy(z, y, 0.1, convention="exclude_true"),
        2,
        gap_of(0.9, 2),
    ),
    (
        lambda z, y: smoothed_cross_entropy(z, y, 0.1, convention="exclude_true"),
        10,
        gap_of(0.9, 10),
    ),
    (lambda z, y: max_suppression(z, y, 0.1), 2, gap_of(0.95, 2)),
    (lambda z, y: max_suppression(z, y, 0.1), 10, gap_of(0.91, 10)),
    (lambda z, y: max_suppression(z, y, 3.0), 4, 0.0),
    (lambda z, y: margin_smoothing(z, y, 0.1, margin=10.0), 10, 10.0),
    (lambda z, y: margin_smoothing(z, y, 0.5, margin=10.0), 10, 10.0),
    (lambda z, y: margin_smoothing(z, y, 0.1, margin=1.0), 10, gap_of(0.91, 10)),
    (lambda z, y: margin_smoothing(z, y, 3.0, margin=1.0), 4, 1.0),
]


def at_gap(loss, k, gap):
    z = torch.zeros(1, k, dtype=torch.float64)
    z[0, 0] = gap
    return float(loss(z, torch.tensor([0])))


@pytest.mark.parametrize(("loss", "k", "gap"), MINIMA)
def test_the_gap_found_by_search_is_the_one_of_the_formula(loss, k, gap):
    """Ternary search: the losses are convex in the logits."""
    low, high = -5.0, 40.0
    for _ in range(200):
        left, right = low + (high - low) / 3, high - (high - low) / 3
        if at_gap(loss, k, left) < at_gap(loss, k, right):
            high = right
        else:
            low = left
    assert low == pytest.approx(gap, abs=1e-6)


@pytest.mark.parametrize(("loss", "k", "gap"), MINIMA)
def test_no_other_logits_have_a_smaller_loss(loss, k, gap):
    generator = torch.Generator().manual_seed(0)
    steps = torch.randn(500, k, generator=generator, dtype=torch.float64)
    steps *= torch.logspace(-4, 1, 500, dtype=torch.float64)[:, None]
    best = torch.zeros(k, dtype=torch.float64)
    best[0] = gap
    smallest = at_gap(loss, k, gap)
    for z in best + steps:
        assert float(loss(z[None], torch.tensor([0]))) > smallest - 1e-14


def test_the_table_of_minima_is_the_functions_of_the_library():
    for a, k in ((0.1, 2), (0.1, 10), (0.9, 10)):
        assert gap_of(confidence_for_smoothing(a, k), k) == pytest.approx(optimal_logit_gap(a, k))
    assert confidence_for_smoothing(0.1, 10, "exclude_true") == 0.9
    assert margin_gap(0.1, 10, 10.0) == margin_gap(0.5, 10, 10.0) == 10.0
    assert margin_gap(0.1, 10, 1.0) == pytest.approx(gap_of(0.91, 10))


@pytest.mark.parametrize(("smoothing", "no", "yes"), [(0.1, 0.05, 0.95), ((0.1, 0.02), 0.02, 0.9)])
def test_the_binary_loss_is_smallest_at_its_targets(smoothing, no, yes):
    z = torch.linspace(-9, 9, 180_001, dtype=torch.float64)
    for y, expected in ((0, no), (1, yes)):
        target = torch.full_like(z, y)
        losses = smoothed_binary_cross_entropy_with_logits(z, target, smoothing, reduction="none")
        assert float(z[losses.argmin()].sigmoid()) == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize("y", range(4))
def test_with_a_prior_the_minimum_is_the_mixture_with_it(y):
    q = 0.9 * torch.eye(4, dtype=torch.float64)[y] + 0.1 * PRIOR
    z = q.log()[None].requires_grad_()
    smoothed_cross_entropy(z, torch.tensor([y]), 0.1, prior=PRIOR).backward()
    assert z.grad.abs().max() < 1e-15


@pytest.mark.filterwarnings("ignore:.*already smoothed:UserWarning")  # the inputs look smoothed
@given(p=st.floats(0, 1), a=st.floats(0.01, 0.9), k=st.integers(2, 8))
def test_labels_that_are_right_with_probability_p_are_taught_as_the_softened_p(p, a, k):
    """Equation 9: the mean gradient vanishes at (1 - a) p + a / K."""
    truth = torch.full((k,), (1 - p) / (k - 1), dtype=torch.float64)
    truth[0] = p
    z = ((1 - a) * truth + a / k).log()[None].requires_grad_()
    smoothed_cross_entropy(z, truth[None], a).backward()
    assert z.grad.abs().max() < FLOAT64


@pytest.mark.parametrize(("a", "k"), [(-0.1, 2), (-0.4, 10)])
def test_negative_smoothing_has_no_minimum(a, k):
    """With the label's logit t above the others, the loss tends to t a (K - 1) / K."""

    def loss(z, y):
        return smoothed_cross_entropy(z, y, a)

    for gap in (50.0, 100.0, 1000.0):
        assert at_gap(loss, k, gap) == pytest.approx(gap * a * (k - 1) / k)


def test_cross_entropy_has_no_minimum_but_a_bound():
    losses = [
        at_gap(lambda z, y: smoothed_cross_entropy(z, y, 0), 3, gap) for gap in (1, 10, 20, 30)
    ]
    assert losses == sorted(losses, reverse=True)
    assert 0 < losses[-1] < 1e-12


def test_the_added_gradient_never_raises_the_top_logit():
    """Equation 15: a (pi_max - 1/K) is at least 0, and exactly 0 if all logits are equal."""
    for z in ([5.0, 0.0, 0.0], [0.1, 0.0, 0.0], [0.0, 0.0, 0.0]):
        logits = torch.tensor([z], dtype=torch.float64)
        extra = 0.1 * (logits.softmax(1) - 1 / 3)
        leaf = logits.clone().requires_grad_()
        smoothed_cross_entropy(leaf, torch.tensor([0]), 1.0).backward()
        assert torch.allclose(0.1 * leaf.grad, extra, atol=FLOAT64)
        assert extra[0, 0] >= 0


@pytest.mark.parametrize(("a", "k"), [(0.0, 3), (1.5, 3), (0.1, 1)])
def test_a_gap_that_does_not_exist_is_an_error(a, k):
    with pytest.raises(InputError, match=r"`smoothing` in \(0, 1\] and `num_classes` >= 2"):
        optimal_logit_gap(a, k)
