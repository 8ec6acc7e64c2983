"""Binary smoothing, max suppression and margin smoothing against their definitions."""

import math

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

import reference_losses as reference
from recuse.errors import InputError
from recuse.losses import (
    MarginSmoothing,
    MaxSuppression,
    SmoothedBCEWithLogits,
    linear_schedule,
    margin_smoothing,
    max_suppression,
    smoothed_binary_cross_entropy_with_logits,
    smoothed_cross_entropy,
)

FLOAT64 = {"rtol": 1e-11, "atol": 1e-11}  # 1e-16 a term; the two sides differ in order
STATIONARY = 1e-6  # the minimum is found on a grid of second order around a derivative of 0

examples = settings(deadline=None, derandomize=True, max_examples=60)
shapes = st.sampled_from([(1, 2), (5, 3), (3, 4, 2), (2, 3, 2, 2)])
reductions = st.sampled_from(["none", "mean", "sum"])


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


def rows(x, k):
    return x.detach().movedim(1, -1).reshape(-1, k).tolist()


def numbers(x):
    return torch.tensor(x, dtype=torch.float64).flatten()


@examples
@given(
    shape=st.sampled_from([(4,), (3, 2), (2, 3, 2)]),
    smoothing=st.sampled_from([-0.3, 0.0, 0.1, 1.0, (0.1, 0.0), (0.2, 0.3), (0.0, 0.4)]),
    soft=st.booleans(),
    weighted=st.booleans(),
    reduction=reductions,
    seed=st.integers(0, 99),
)
def test_binary_is_the_definition(shape, smoothing, soft, weighted, reduction, seed):
    torch.manual_seed(seed)
    z = 3 * torch.randn(shape, dtype=torch.float64)
    y = torch.rand(shape, dtype=torch.float64) if soft else torch.randint(2, shape)
    y.view(-1)[torch.rand(y.numel()) < 0.2] = -100
    weight, pos_weight = torch.rand(2, *shape, dtype=torch.float64)
    options = {"weight": weight, "pos_weight": pos_weight} if weighted else {}
    actual = smoothed_binary_cross_entropy_with_logits(
        z, y, smoothing, reduction=reduction, **options
    )
    ones = torch.ones_like(z)
    losses = [
        0.0 if t == -100 else reference.binary(a, t, smoothing, w, p)
        for a, t, w, p in zip(
            *(x.flatten().tolist() for x in (z, y)),
            (weight if weighted else ones).flatten().tolist(),
            (pos_weight if weighted else ones).flatten().tolist(),
        )
    ]
    kept = max(1, int((y != -100).sum()))
    expected = {"none": losses, "sum": sum(losses), "mean": sum(losses) / kept}[reduction]
    torch.testing.assert_close(actual.flatten(), numbers(expected), **FLOAT64)


def test_binary_without_smoothing_is_that_of_torch():
    z, y = torch.randn(4, 3), torch.randint(2, (4, 3)).float()
    pos_weight = torch.tensor([1.0, 2.0, 3.0])
    for reduction in ("none", "mean", "sum"):
        actual = smoothed_binary_cross_entropy_with_logits(
            z, y, 0.0, pos_weight=pos_weight, reduction=reduction
        )
        expected = F.binary_cross_entropy_with_logits(
            z, y, pos_weight=pos_weight, reduction=reduction
        )
        torch.testing.assert_close(actual, expected)


def test_one_logit_and_the_difference_of_two_have_the_same_loss():
    two, y = torch.randn(6, 2, dtype=torch.float64), torch.randint(2, (6,))
    one = two[:, 1] - two[:, 0]
    torch.testing.assert_close(
        smoothed_binary_cross_entropy_with_logits(one, y, 0.2), smoothed_cross_entropy(two, y, 0.2)
    )


@pytest.mark.parametrize(("smoothing", "no", "yes"), [(0.1, 0.05, 0.95), ((0.1, 0.02), 0.02, 0.9)])
def test_binary_is_stationary_at_its_targets(smoothing, no, yes):
    for y, q in ((0, no), (1, yes)):
        z = torch.tensor([math.log(q / (1 - q))], dtype=torch.float64, requires_grad=True)
        smoothed_binary_cross_entropy_with_logits(z, torch.tensor([y]), smoothing).backward()
        assert z.grad.item() == pytest.approx(0, abs=STATIONARY)


def test_binary_entries_that_are_all_ignored_are_a_zero_loss_with_a_zero_gradient():
    z = torch.randn(3, requires_grad=True)
    loss = smoothed_binary_cross_entropy_with_logits(z, torch.full((3,), -100))
    loss.backward()
    assert loss == 0
    assert (z.grad == 0).all()


def test_a_column_of_logits_and_a_row_of_labels_are_an_error_and_no_matrix():
    with pytest.raises(InputError, match=r"same shape, got \(3, 1\) and \(3,\)"):
        smoothed_binary_cross_entropy_with_logits(torch.zeros(3, 1), torch.zeros(3))


@examples
@given(
    shape=shapes,
    margin=st.sampled_from([None, 0.0, 1.0, 6.0]),
    soft=st.booleans(),
    weighted=st.booleans(),
    reduction=reductions,
    seed=st.integers(0, 99),
)
def test_penalties_are_the_definition(shape, margin, soft, weighted, reduction, seed):
    torch.manual_seed(seed)
    k = shape[1]
    logits = 3 * torch.randn(shape, dtype=torch.float64)
    target = torch.randint(k, shape[:1] + shape[2:])
    ignored = torch.rand(target.shape) < 0.3
    target[ignored] = -100
    if soft:
        target = torch.rand_like(logits).softmax(1)
        target.movedim(1, -1)[ignored] = 0
    weight = torch.rand(k, dtype=torch.float64) if weighted else None
    options = {"weight": weight, "reduction": reduction}
    if margin is None:
        actual, penalty = max_suppression(logits, target, 0.3, **options), reference.top_over_mean
    else:
        actual = margin_smoothing(logits, target, 0.3, margin=margin, **options)

        def penalty(z):
            return reference.beyond_margin(z, margin)

    expected = reference.penalized(
        rows(logits, k),
        rows(target, k) if soft else target.flatten().tolist(),
        0.3,
        penalty,
        weight=weight.tolist() if weighted else None,
        reduction=reduction,
    )
    torch.testing.assert_close(actual.flatten(), numbers(expected), **FLOAT64)


@pytest.mark.parametrize("loss", [max_suppression, margin_smoothing])
def test_derivatives_of_penalised_losses_are_those_of_the_value(loss):
    logits = (9 * torch.randn(4, 3, dtype=torch.float64)).requires_grad_()
    labels = torch.tensor([0, 1, 2, -100])
    assert torch.autograd.gradcheck(lambda z: loss(z, labels, 0.3), logits)
    assert torch.autograd.gradgradcheck(lambda z: loss(z, labels, 0.3), logits)


def test_max_suppression_is_label_smoothing_where_the_prediction_is_right():
    logits = torch.randn(20, 4, dtype=torch.float64)
    right = logits.argmax(1)
    torch.testing.assert_close(
        max_suppression(logits, right, 0.2), smoothed_cross_entropy(logits, right, 0.2)
    )


def test_max_suppression_does_not_raise_a_wrong_top_logit_as_label_smoothing_does():
    logits = torch.tensor([[4.0, 0.0, 0.0]], requires_grad=True)
    label = torch.tensor([1])

    def pull_of_smoothing_on_the_top(loss):
        smoothed, hard = loss(logits, label, 0.2), loss(logits, label, 0.0)
        return torch.autograd.grad(smoothed - hard, logits)[0][0, 0].item()

    assert pull_of_smoothing_on_the_top(smoothed_cross_entropy) < 0  # descent raises it
    assert pull_of_smoothing_on_the_top(max_suppression) > 0


def test_margin_smoothing_without_a_margin_is_max_suppression_and_costs_nothing_within():
    logits, labels = torch.randn(5, 4, dtype=torch.float64), torch.randint(4, (5,))
    torch.testing.assert_close(
        margin_smoothing(logits, labels, 0.2, margin=0), max_suppression(logits, labels, 0.2)
    )
    torch.testing.assert_close(
        margin_smoothing(logits, labels, 0.2, margin=100), F.cross_entropy(logits, labels)
    )


@pytest.mark.parametrize("loss", [max_suppression, margin_smoothing])
@pytest.mark.parametrize("reduction", ["none", "mean", "sum"])
def test_all_labels_ignored_is_a_zero_loss_with_a_zero_gradient(loss, reduction):
    logits = (20 * torch.randn(3, 4)).requires_grad_()
    result = loss(logits, torch.full((3,), -100), reduction=reduction)
    result.sum().backward()
    assert (result == 0).all()
    assert (logits.grad == 0).all()


@pytest.mark.parametrize(
    "loss", [max_suppression, margin_smoothing, smoothed_binary_cross_entropy_with_logits]
)
def test_half_precision_accumulates_in_float32(loss):
    logits = 5 * torch.randn(6, 4, dtype=torch.float64)
    half = logits.bfloat16()
    labels = torch.randint(4, (6,))
    if loss is smoothed_binary_cross_entropy_with_logits:
        labels = torch.randint(2, (6, 4))
    actual = loss(half, labels)
    assert actual.dtype == torch.bfloat16
    exact = loss(half.double(), labels)
    torch.testing.assert_close(actual.double(), exact, rtol=1.5 * 2**-8, atol=0)  # 2 roundings


@pytest.mark.parametrize("loss", [max_suppression, margin_smoothing])
def test_a_single_example_needs_no_batch(loss):
    logits = 9 * torch.randn(1, 4)
    for reduction in ("none", "mean", "sum"):
        single = loss(logits[0], torch.tensor(2), reduction=reduction)
        assert single.shape == ()
        torch.testing.assert_close(single, loss(logits, torch.tensor([2]), reduction="sum"))


def test_modules_are_the_functions_and_save_their_weights():
    logits, labels, weight = 9 * torch.randn(5, 4), torch.randint(4, (5,)), torch.rand(4)
    options = {"weight": weight, "ignore_index": 1, "reduction": "sum"}
    for module, expected in (
        (MaxSuppression(0.3, **options), max_suppression(logits, labels, 0.3, **options)),
        (
            MarginSmoothing(0.3, margin=2, **options),
            margin_smoothing(logits, labels, 0.3, margin=2, **options),
        ),
    ):
        assert torch.equal(module(logits, labels), expected)
        assert set(module.state_dict()) == {"weight"}
        assert repr(module).startswith(f"{type(module).__name__}(0.3, ")
    binary = SmoothedBCEWithLogits((0.1, 0.2), pos_weight=weight)
    many = torch.randint(2, (5, 4))
    assert torch.equal(
        binary(logits, many),
        smoothed_binary_cross_entropy_with_logits(logits, many, (0.1, 0.2), pos_weight=weight),
    )
    assert set(binary.state_dict()) == {"pos_weight"}
    assert "(0.1, 0.2), ignore_index=-100" in repr(binary)


def test_the_schedule_grows_linearly_and_one_epoch_has_its_start():
    assert linear_schedule(0, 1) == 0.1
    assert [linear_schedule(e, 5, 0, 1) for e in range(5)] == [0, 0.25, 0.5, 0.75, 1]
    with pytest.raises(InputError, match=r"in 0\.\.4, got 5"):
        linear_schedule(5, 5)


Z, Y = torch.zeros(2, 3), torch.tensor([0, 1])
binary = smoothed_binary_cross_entropy_with_logits


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: binary(Z, torch.full((2, 3), 2)), r"in \[0, 1\] or ignore_index=-100, got 2"),
        (lambda: binary(Z, torch.full((2, 3), -1)), r"in \[0, 1\] or .*, got -1"),
        (lambda: binary(Z.long(), Z), "floating dtype, got torch.int64"),
        (lambda: binary(Z, Z.clone().requires_grad_()), "detach"),
        (lambda: binary(Z, Z, 1.5), "at most 1.*got 1.5"),
        (lambda: binary(Z, Z, (0.7, 0.4)), r"sum of at most 1.*got \(0.7, 0.4\)"),
        (lambda: binary(Z, Z, (0.1,)), "a number or a pair"),
        (lambda: binary(Z, Z, "0.1"), "finite number"),
        (lambda: binary(Z, Z, pos_weight=-Z - 1), "`pos_weight` finite and not negative"),
        (lambda: SmoothedBCEWithLogits(reduction="avg"), "'none' or 'mean' or 'sum'"),
        (lambda: max_suppression(Z, Y, -0.1), "`smoothing` to be a finite number of at least 0"),
        (lambda: max_suppression(Z, torch.tensor([0, 3])), r"0\.\.2 or .*, got 3"),
        (lambda: MaxSuppression(float("nan")), "got nan"),
        (lambda: margin_smoothing(Z, Y, margin=-1), "`margin` to be .*, got -1"),
        (lambda: MarginSmoothing(weight=-torch.ones(3)), "not negative"),
    ],
)
def test_malformed_input_is_an_error_that_says_how(call, message):
    with pytest.raises(InputError, match=message):
        call()
