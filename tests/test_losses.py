import copy
import math
from functools import partial

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

import reference_losses as reference
from recuse import losses
from recuse.errors import InputError
from recuse.losses import SmoothedCrossEntropy, _functions, smoothed_cross_entropy
from recuse.losses.targets import confidence_for_smoothing, smooth

# Relative and absolute, for losses of a few units and sums over at most 300 terms.
TOLERANCE = {
    torch.float64: 1e-11,  # 1e-16 a term: the sums of the two sides differ in order
    torch.float32: 1e-5,  # 6e-8 a term
    torch.float16: 2e-3,  # one rounding of the result, 2^-11; torch rounds the log-softmax too
    torch.bfloat16: 2e-2,  # the same with 2^-8
}
# The gradient of LBFGS is below 1e-12 where it stops, and the curvature is of order 0.1.
STATIONARY = 1e-9

examples = settings(deadline=None, derandomize=True, max_examples=80)
shapes = st.sampled_from([(1, 2), (5, 3), (3, 4, 2), (2, 3, 2, 3), (2, 2, 1, 2, 2)])
reductions = st.sampled_from(["none", "mean", "sum"])
weight_modes = st.sampled_from(["per_class", "per_example"])
smoothings = st.sampled_from([-0.5, 0.0, 0.1, 0.7, 1.0])


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


def problem(shape, seed, *, dtype=torch.float64, ignore_index=None):
    """Logits, labels and class weights; some labels are ignored if an index is given."""
    generator = torch.Generator().manual_seed(seed)
    k, of_labels = shape[1], shape[:1] + shape[2:]
    logits = (3 * torch.randn(shape, generator=generator)).to(dtype).requires_grad_()
    labels = torch.randint(k, of_labels, generator=generator)
    if ignore_index is not None:
        labels[torch.rand(of_labels, generator=generator) < 0.3] = ignore_index
        labels.view(-1)[0] = 0  # one is left: torch has NaN for none
    weight = (torch.rand(k, generator=generator) + 0.1).to(dtype)
    return logits, labels, weight


def assert_same(actual, expected, logits):
    """Equal losses and, for random upstream gradients, equal gradients."""
    tolerance = {"rtol": TOLERANCE[logits.dtype], "atol": TOLERANCE[logits.dtype]}
    torch.testing.assert_close(actual, expected, **tolerance)
    upstream = torch.rand_like(expected)
    gradients = [torch.autograd.grad(loss, logits, upstream)[0] for loss in (actual, expected)]
    torch.testing.assert_close(*gradients, **tolerance)


def rows(x, k):
    """(n, K, ...) as rows of K numbers, pixel by pixel."""
    return x.detach().movedim(1, -1).reshape(-1, k).tolist()


@examples
@given(
    shape=shapes,
    smoothing=st.sampled_from([0.0, 0.1, 0.7, 1.0]),
    weighted=st.booleans(),
    ignore_index=st.sampled_from([None, -100, 1]),
    reduction=reductions,
    dtype=st.sampled_from([torch.float64, torch.float32]),
    seed=st.integers(0, 99),
)
def test_value_and_gradient_are_those_of_torch_for_labels(
    shape, smoothing, weighted, ignore_index, reduction, dtype, seed
):
    logits, labels, weight = problem(shape, seed, dtype=dtype, ignore_index=ignore_index)
    options = {
        "weight": weight if weighted else None,
        "ignore_index": -100 if ignore_index is None else ignore_index,
        "reduction": reduction,
    }
    actual = smoothed_cross_entropy(logits, labels, smoothing, **options)
    expected = F.cross_entropy(logits, labels, label_smoothing=smoothing, **options)
    assert actual.dtype == expected.dtype
    assert_same(actual, expected, logits)


@examples
@given(
    shape=shapes,
    smoothing=smoothings,
    kind=st.sampled_from(["uniform", "exclude_true", "prior", "matrix"]),
    soft=st.booleans(),
    weighted=st.booleans(),
    reduction=reductions,
    weight_mode=weight_modes,
    normalize=st.sampled_from(["weights", "examples"]),
    seed=st.integers(0, 99),
)
def test_the_value_is_the_definition_in_every_convention(
    shape, smoothing, kind, soft, weighted, reduction, weight_mode, normalize, seed
):
    logits, labels, weight = problem(shape, seed, ignore_index=-100)
    k = shape[1]
    target = labels
    if soft:
        target = torch.rand_like(logits).softmax(1).detach()
        target.movedim(1, -1)[labels == -100] = 0
    of_prior = {"prior": (k,), "matrix": (k, k)}.get(kind)
    prior = torch.rand(of_prior, dtype=torch.float64).softmax(-1) if of_prior else None
    options = {
        "reduction": reduction,
        "convention": "exclude_true" if kind == "exclude_true" else "uniform",
        "weight_mode": weight_mode,
        "normalize": normalize,
    }
    actual = smoothed_cross_entropy(
        logits, target, smoothing, weight=weight if weighted else None, prior=prior, **options
    )
    expected = reference.smoothed_cross_entropy(
        rows(logits, k),
        rows(target, k) if soft else target.flatten().tolist(),
        smoothing,
        weight=weight.tolist() if weighted else None,
        prior=prior.tolist() if prior is not None else None,
        **options,
    )
    torch.testing.assert_close(
        actual.flatten(),
        torch.tensor(expected, dtype=torch.float64).flatten(),
        rtol=TOLERANCE[torch.float64],
        atol=TOLERANCE[torch.float64],
    )


@settings(deadline=None, derandomize=True, max_examples=25)
@given(
    shape=st.sampled_from([(3, 2), (2, 3, 2)]),
    smoothing=smoothings,
    soft=st.booleans(),
    weighted=st.booleans(),
    with_prior=st.booleans(),
    reduction=reductions,
    weight_mode=weight_modes,
    seed=st.integers(0, 99),
)
def test_first_and_second_derivatives_are_those_of_the_value(
    shape, smoothing, soft, weighted, with_prior, reduction, weight_mode, seed
):
    logits, labels, weight = problem(shape, seed, ignore_index=-100)
    target = torch.rand_like(logits).softmax(1).detach() if soft else labels
    of_prior = (shape[1],) * (1 + seed % 2)
    prior = torch.rand(of_prior, dtype=torch.float64).softmax(-1) if with_prior else None

    def loss(z):
        return smoothed_cross_entropy(
            z,
            target,
            smoothing,
            weight=weight if weighted else None,
            prior=prior,
            reduction=reduction,
            weight_mode=weight_mode,
        )

    assert torch.autograd.gradcheck(loss, logits)
    assert torch.autograd.gradgradcheck(loss, logits)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("reduction", ["none", "mean", "sum"])
def test_half_precision_is_float32_rounded_once(dtype, reduction):
    logits, labels, weight = problem((6, 5, 3), 0, dtype=dtype, ignore_index=-100)
    loss = smoothed_cross_entropy(logits, labels, 0.1, weight=weight, reduction=reduction)
    wide = logits.detach().float().requires_grad_()
    exact = smoothed_cross_entropy(wide, labels, 0.1, weight=weight, reduction=reduction)
    assert loss.dtype == dtype
    assert torch.equal(loss, exact.to(dtype))
    gradient = torch.autograd.grad(loss.sum(), logits)[0]
    assert torch.equal(gradient, torch.autograd.grad(exact.sum(), wide)[0].to(dtype))
    peer = F.cross_entropy(logits, labels, weight, label_smoothing=0.1, reduction=reduction)
    torch.testing.assert_close(loss, peer, rtol=TOLERANCE[dtype], atol=TOLERANCE[dtype])


def test_under_autocast_the_loss_is_float32_as_in_torch():
    logits, labels, _ = problem((6, 5), 0, dtype=torch.bfloat16)
    with torch.autocast("cpu", torch.bfloat16):
        actual = smoothed_cross_entropy(logits, labels, 0.1)
        expected = F.cross_entropy(logits, labels, label_smoothing=0.1)
    assert actual.dtype == expected.dtype == torch.float32
    torch.testing.assert_close(actual, expected)


@examples
@given(
    shape=shapes,
    smoothing=smoothings,
    convention=st.sampled_from(["uniform", "exclude_true"]),
    reduction=reductions,
    weight_mode=weight_modes,
    seed=st.integers(0, 99),
)
def test_index_and_soft_targets_of_the_same_labels_give_the_same_loss(
    shape, smoothing, convention, reduction, weight_mode, seed
):
    logits, labels, weight = problem(shape, seed, ignore_index=-100)
    options = {
        "weight": weight,
        "convention": convention,
        "reduction": reduction,
        "weight_mode": weight_mode,
    }
    one_hot = smooth(labels, shape[1], 0).double()
    assert_same(
        smoothed_cross_entropy(logits, labels, smoothing, **options),
        smoothed_cross_entropy(logits, one_hot, smoothing, **options),
        logits,
    )


def test_a_class_weight_of_4_gives_3_for_soft_targets_too_where_torch_gives_12():
    # log p of the label is -3 in both rows, and its class weighs 4.
    logits = torch.tensor([[0.0, math.log(math.exp(3) - 1)]], dtype=torch.float64).repeat(2, 1)
    weight = torch.tensor([4.0, 1.0], dtype=torch.float64)
    labels = torch.tensor([0, 0])
    one_hot = F.one_hot(labels, 2).double()
    assert F.cross_entropy(logits, labels, weight).item() == pytest.approx(3.0)
    assert F.cross_entropy(logits, one_hot, weight).item() == pytest.approx(12.0)
    for target in (labels, one_hot):
        loss = smoothed_cross_entropy(logits, target, 0.0, weight=weight)
        assert loss.item() == pytest.approx(3.0)


def test_normalize_examples_is_what_torch_does_for_soft_targets():
    logits, labels, weight = problem((5, 3, 2), 0)
    soft = torch.rand_like(logits).softmax(1).detach()
    assert_same(
        smoothed_cross_entropy(logits, soft, 0.2, weight=weight, normalize="examples"),
        F.cross_entropy(logits, soft, weight, label_smoothing=0.2),
        logits,
    )
    summed = F.cross_entropy(logits, labels, weight, label_smoothing=0.2, reduction="sum")
    actual = smoothed_cross_entropy(logits, labels, 0.2, weight=weight, normalize="examples")
    torch.testing.assert_close(actual, summed / labels.numel())


def test_a_prior_for_each_label_is_the_smoothed_target_of_that_label():
    logits, labels, _ = problem((6, 3), 0)
    similar = torch.tensor([[0.5, 0.5, 0.0], [0.5, 0.5, 0.0], [0.0, 0.0, 1.0]], dtype=torch.float64)
    for target in (labels, F.one_hot(labels, 3).double()):
        actual = smoothed_cross_entropy(logits, target, 0.3, prior=similar)
        q = 0.7 * F.one_hot(labels, 3) + 0.3 * similar[labels]
        torch.testing.assert_close(actual, -(q * logits.log_softmax(1)).sum(1).mean())


def test_smoothing_a_soft_target_first_or_in_the_loss_is_the_same():
    logits, labels, _ = problem((4, 3, 2), 0)
    inside = smoothed_cross_entropy(logits, labels, -0.4)
    before = smoothed_cross_entropy(logits, smooth(labels, 3, -0.4).double(), 0.0)
    torch.testing.assert_close(inside, before, rtol=1e-6, atol=1e-6)  # the targets are float32


@pytest.mark.parametrize("soft", [False, True])
@pytest.mark.parametrize("weight_mode", ["per_class", "per_example"])
def test_ignored_pixels_are_not_trained(soft, weight_mode):
    logits, labels, weight = problem((2, 3, 4, 4), 0, ignore_index=255)
    target = smooth(labels, 3, 0, ignore_index=255).double() if soft else labels
    loss = smoothed_cross_entropy(
        logits, target, 0.2, weight=weight, ignore_index=255, weight_mode=weight_mode
    )
    gradient = torch.autograd.grad(loss, logits)[0].movedim(1, -1)
    assert (gradient[labels == 255] == 0).all()
    assert (gradient[labels != 255] != 0).all()
    kept = smoothed_cross_entropy(
        logits.movedim(1, -1)[labels != 255],
        labels[labels != 255],
        0.2,
        weight=weight,
        weight_mode=weight_mode,
    )
    torch.testing.assert_close(loss, kept)


@pytest.mark.parametrize("soft", [False, True])
@pytest.mark.parametrize("reduction", ["none", "mean", "sum"])
def test_all_labels_ignored_is_a_zero_loss_with_a_zero_gradient(soft, reduction):
    logits = torch.randn(3, 4, requires_grad=True)
    labels = torch.full((3,), -100)
    target = smooth(labels, 4, 0) if soft else labels
    loss = smoothed_cross_entropy(logits, target, 0.1, reduction=reduction)
    loss.sum().backward()
    assert (loss == 0).all()
    assert (logits.grad == 0).all()


def test_an_empty_batch_is_a_zero_loss():
    logits = torch.empty(0, 3, requires_grad=True)
    loss = smoothed_cross_entropy(logits, torch.empty(0, dtype=torch.long))
    loss.backward()
    assert loss == 0
    assert logits.grad.shape == (0, 3)


def test_negative_smoothing_is_not_silently_ignored():
    logits, labels, _ = problem((5, 3), 0)
    hard = F.cross_entropy(logits, labels)
    uniform = -logits.log_softmax(1).mean()
    actual = smoothed_cross_entropy(logits, labels, -0.5)
    torch.testing.assert_close(actual, 1.5 * hard - 0.5 * uniform)  # Wei et al.
    assert actual != hard


def test_class_weights_reach_both_terms():
    logits, labels, weight = problem((5, 3), 0)
    term = -weight * logits.log_softmax(1)
    expected = 0.8 * term.gather(1, labels[:, None]).squeeze(1) + 0.2 / 3 * term.sum(1)
    actual = smoothed_cross_entropy(logits, labels, 0.2, weight=weight, reduction="none")
    torch.testing.assert_close(actual, expected)


def test_per_example_weights_scale_the_whole_loss_of_an_example():
    logits, labels, weight = problem((5, 3), 0)
    plain = smoothed_cross_entropy(logits, labels, 0.2, reduction="none")
    actual = smoothed_cross_entropy(
        logits, labels, 0.2, weight=weight, reduction="none", weight_mode="per_example"
    )
    torch.testing.assert_close(actual, weight[labels] * plain)


@pytest.mark.parametrize("convention", ["uniform", "exclude_true"])
@pytest.mark.parametrize(("smoothing", "k"), [(0.1, 2), (0.1, 3), (0.4, 10)])
def test_the_loss_is_stationary_where_the_label_has_its_confidence(smoothing, k, convention):
    logits = torch.zeros(1, k, dtype=torch.float64, requires_grad=True)
    label = torch.tensor([0])
    optimiser = torch.optim.LBFGS([logits], max_iter=200, line_search_fn="strong_wolfe")
    optimiser.param_groups[0].update(tolerance_grad=1e-12, tolerance_change=0)

    def closure():
        optimiser.zero_grad()
        loss = smoothed_cross_entropy(logits, label, smoothing, convention=convention)
        loss.backward()
        return loss

    optimiser.step(closure)
    confidence = confidence_for_smoothing(smoothing, k, convention)
    assert logits.softmax(1)[0, 0].item() == pytest.approx(confidence, abs=STATIONARY)
    if (smoothing, k, convention) == (0.1, 2, "uniform"):
        assert confidence == 0.95


def test_the_loss_is_cross_entropy_plus_the_divergence_from_uniform_and_a_constant():
    # Equation 8 of Xia et al.: LS = (1 - a) CE + a KL(u || pi) + const.
    logits, labels, _ = problem((6, 4), 0)
    a, k = 0.3, 4
    log_pi = logits.log_softmax(1)
    log_u = torch.full_like(log_pi, 1 / k).log()
    divergence = (log_u.exp() * (log_u - log_pi)).sum(1)
    hard = F.cross_entropy(logits, labels, reduction="none")
    entropy_of_uniform = -log_u[0, 0]
    actual = smoothed_cross_entropy(logits, labels, a, reduction="none")
    torch.testing.assert_close(actual, (1 - a) * hard + a * divergence + a * entropy_of_uniform)


def test_a_single_example_needs_no_batch():
    logits, labels, weight = problem((1, 4), 0)
    soft = torch.rand(4, dtype=torch.float64).softmax(0)
    for reduction in ("none", "mean", "sum"):
        options = {"reduction": reduction, "weight": weight}
        actual = smoothed_cross_entropy(logits[0], labels[0], 0.1, **options)
        expected = F.cross_entropy(logits[0], labels[0], label_smoothing=0.1, **options)
        assert_same(actual, expected, logits)
        assert smoothed_cross_entropy(logits[0], soft, 0.1, **options).shape == ()


@pytest.mark.parametrize("offset", [0.0, 1e3, -1e4])
def test_a_constant_added_to_all_logits_costs_no_more_than_their_own_rounding(offset):
    generator = torch.Generator().manual_seed(0)
    logits = 3 * torch.randn(50, 100, generator=generator) + offset
    labels = torch.arange(50)
    loss = smoothed_cross_entropy(logits, labels, 0.1, reduction="none")
    exact = smoothed_cross_entropy(logits.double(), labels, 0.1, reduction="none")
    assert torch.allclose(loss.double(), exact, rtol=0, atol=1e-5 + 1e-7 * abs(offset))


def test_a_class_masked_by_minus_infinity_costs_nothing_without_smoothing():
    logits = torch.tensor([[0.0, 1.0, -torch.inf], [-torch.inf, 0.0, 1.0]], requires_grad=True)
    labels = torch.tensor([0, -100])
    assert_same(
        smoothed_cross_entropy(logits, labels, 0.0), F.cross_entropy(logits, labels), logits
    )


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("rest", [(), (3, 2)])
def test_a_class_masked_by_minus_infinity_that_no_target_names_is_as_if_it_were_not_there(
    dtype, rest
):
    logits, labels, _ = problem((5, 4, *rest), 0, dtype=dtype)
    soft = torch.rand(5, 4, *rest, dtype=dtype).softmax(1)
    masked = torch.cat([logits, torch.full_like(logits[:, :1], -torch.inf)], 1)
    never = torch.cat([soft, torch.zeros_like(soft[:, :1])], 1)
    prior = torch.tensor([0.1, 0.2, 0.3, 0.4, 0.0])
    rows = torch.cat([torch.rand(5, 4).softmax(1), torch.zeros(5, 1)], 1)
    weight = torch.tensor([1.0, 2.0, 3.0, 4.0, 0.0])
    cases = [
        (never, soft, 0.0, {}, {}),
        (never, soft, 0.3, {"prior": prior}, {"prior": prior[:4]}),
        (labels, labels, 0.3, {"prior": prior}, {"prior": prior[:4]}),
        (labels, labels, 0.3, {"prior": rows}, {"prior": rows[:4, :4]}),
        (never, soft, 0.3, {"prior": rows}, {"prior": rows[:4, :4]}),
        (never, soft, 0.0, {"weight": weight}, {"weight": weight[:4]}),
        (labels, labels, 1.0, {"prior": prior}, {"prior": prior[:4]}),
    ]
    for target, without, smoothing, options, fewer in cases:
        for reduction in ("mean", "none"):
            found = smoothed_cross_entropy(
                masked, target, smoothing, reduction=reduction, **options
            )
            expected = smoothed_cross_entropy(
                logits, without, smoothing, reduction=reduction, **fewer
            )
            assert_same(found, expected, logits)
    # per class: a weight of 0 takes the masked class out of the uniform part too
    loss = smoothed_cross_entropy(masked, labels, 0.3, weight=weight)
    assert loss.isfinite()
    assert smoothed_cross_entropy(masked, labels, 0.3) == torch.inf
    # a label that is impossible and has no weight, or of which smoothing leaves nothing
    last = torch.full_like(labels, 4)
    assert (smoothed_cross_entropy(masked, last, 0.0, weight=weight, reduction="none") == 0).all()
    assert smoothed_cross_entropy(masked, last, 1.0, prior=prior).isfinite()
    assert smoothed_cross_entropy(masked, last, 0.0) == torch.inf


def test_a_binary_logit_of_infinity_costs_nothing_where_the_target_is_certain_of_it():
    binary = losses.smoothed_binary_cross_entropy_with_logits
    inf = torch.inf
    logits = torch.tensor([inf, -inf, inf, -inf, inf], requires_grad=True)
    target = torch.tensor([1, 0, 0, 1, -100])
    for smoothing, expected, slope in (
        (0.0, [0, 0, inf, inf, 0], [0, 0, 1, -1, 0]),
        ((0.1, 0.0), [inf, 0, inf, inf, 0], [0.1, 0, 1, -0.9, 0]),
        (0.1, [inf, inf, inf, inf, 0], [0.05, -0.05, 0.95, -0.95, 0]),
    ):
        loss = binary(logits, target, smoothing, reduction="none")
        assert loss.tolist() == expected
        gradient = torch.autograd.grad(loss.sum(), logits)[0]
        torch.testing.assert_close(gradient, torch.tensor(slope, dtype=torch.float32))
    zero = {"weight": [0.0], "pos_weight": None}, {"weight": None, "pos_weight": [0.0]}
    no_weight, no_yes = (binary(logits, target, 0.0, reduction="none", **w) for w in zero)
    assert no_weight.tolist() == [0] * 5
    assert no_yes.tolist() == [0, 0, inf, 0, 0]
    assert binary(torch.tensor([torch.nan]), torch.tensor([1])).isnan()


def functions():
    binary = losses.smoothed_binary_cross_entropy_with_logits
    return {
        "cross entropy": smoothed_cross_entropy,
        "fused": lambda z, t: smoothed_cross_entropy(z.float(), t),
        "per example": lambda z, t: smoothed_cross_entropy(z, t, weight_mode="per_example"),
        "module": SmoothedCrossEntropy(0.1, weight=[1.0, 2.0, 0.5, 1.0, 3.0]),
        "prior": lambda z, t: smoothed_cross_entropy(z, t, prior=torch.eye(5)),
        "max suppression": losses.max_suppression,
        "margins": lambda z, t: losses.margin_smoothing(z, t, margin=0.5),
        "binary": lambda z, t: binary(
            z, (torch.arange(5) == t[..., None]).long() if t.ndim < z.ndim else t
        ),
    }


@pytest.mark.parametrize("name", functions())
@pytest.mark.parametrize("soft", [False, True])
def test_torch_func_transforms_the_losses(name, soft, monkeypatch):
    monkeypatch.setattr(_functions, "SMALLEST_FUSED", 0)
    function = functions()[name]
    logits, labels, _ = problem((6, 5), 0, ignore_index=-100)
    target = torch.rand(6, 5, dtype=torch.float64).softmax(1) if soft else labels
    z = logits.detach()
    close = TOLERANCE[torch.float32 if name == "fused" else torch.float64]
    near = partial(torch.testing.assert_close, rtol=close, atol=close)
    expected = torch.autograd.grad(function(logits, target).sum(), logits)[0]
    near(torch.func.grad(lambda z: function(z, target).sum())(z), expected)
    each = [function(*row) for row in zip(logits, target)]
    near(torch.func.vmap(function)(z, target), torch.stack(each))
    slopes = torch.stack([torch.autograd.grad(one, logits)[0][i] for i, one in enumerate(each)])
    near(torch.func.vmap(torch.func.grad(function))(z, target), slopes)
    hessian = torch.autograd.functional.hessian(lambda z: function(z, target), z)
    near(torch.func.hessian(lambda z: function(z, target))(z), hessian)
    slope = torch.func.jvp(lambda z: function(z, target), (z,), (torch.ones_like(z),))[1]
    near(slope.double(), expected.sum())
    if not soft:
        near(torch.func.vmap(lambda t: smooth(t[None], 5, 0.1)[0])(labels), smooth(labels, 5, 0.1))


def test_backward_may_run_again_and_adds_up():
    logits, labels, _ = problem((4, 3), 0)
    once = torch.autograd.grad(smoothed_cross_entropy(logits, labels), logits)[0]
    loss = smoothed_cross_entropy(logits, labels)
    for _ in range(3):
        loss.backward(retain_graph=True)
    torch.testing.assert_close(logits.grad, 3 * once)


def test_no_gradient_is_computed_unless_it_is_wanted():
    logits, labels, _ = problem((4, 3), 0)
    before = logits.detach().clone()
    with torch.no_grad():
        silent = smoothed_cross_entropy(logits, labels)
    plain = smoothed_cross_entropy(logits.detach(), labels)
    assert silent.grad_fn is None
    assert plain.grad_fn is None
    assert silent == plain == smoothed_cross_entropy(logits, labels)
    assert torch.equal(logits, before)


def test_the_only_large_tensor_kept_is_the_gradient():
    logits, labels, _ = problem((40, 30), 0)
    kept = []

    def pack(x):
        kept.append(x)
        return x

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda x: x):
        smoothed_cross_entropy(logits, labels)
    large = {x.data_ptr() for x in kept if x.numel() >= logits.numel()} - {logits.data_ptr()}
    assert len(large) == 1


# Dynamo itself instantiates an autograd function.
@pytest.mark.filterwarnings("ignore:.*should not be instantiated:DeprecationWarning")
def test_the_loss_compiles_as_one_graph():
    logits, labels, weight = problem((4, 3, 2), 0)
    compiled = torch.compile(smoothed_cross_entropy, backend="aot_eager", fullgraph=True)
    assert_same(
        compiled(logits, labels, 0.1, weight=weight),
        smoothed_cross_entropy(logits, labels, 0.1, weight=weight),
        logits,
    )


def test_the_module_is_the_function_and_its_weights_are_saved():
    logits, labels, weight = problem((4, 3), 0)
    prior = torch.tensor([0.2, 0.3, 0.5], dtype=torch.float64)
    options = {"weight": weight, "prior": prior, "reduction": "sum", "weight_mode": "per_example"}
    module = SmoothedCrossEntropy(0.2, **options)
    expected = smoothed_cross_entropy(logits, labels, 0.2, **options)
    assert torch.equal(module(logits, labels), expected)
    assert torch.equal(copy.deepcopy(module)(logits, labels), expected)
    assert set(module.state_dict()) == {"weight", "prior"}
    assert repr(module).startswith("SmoothedCrossEntropy(0.2, ignore_index=-100")


Z, Y = torch.zeros(2, 3), torch.tensor([0, 1])
WEIGHTED = {
    "smoothed_cross_entropy": lambda z, y, **kw: losses.smoothed_cross_entropy(z, y, **kw),
    "SmoothedCrossEntropy": lambda z, y, **kw: losses.SmoothedCrossEntropy(**kw)(z, y),
    "max_suppression": lambda z, y, **kw: losses.max_suppression(z, y, **kw),
    "MaxSuppression": lambda z, y, **kw: losses.MaxSuppression(**kw)(z, y),
    "margin_smoothing": lambda z, y, **kw: losses.margin_smoothing(z, y, margin=1.0, **kw),
    "MarginSmoothing": lambda z, y, **kw: losses.MarginSmoothing(margin=1.0, **kw)(z, y),
}
BINARY = {
    "smoothed_bce": lambda z, y, **kw: losses.smoothed_binary_cross_entropy_with_logits(
        z, F.one_hot(y, 3), **kw
    ),
    "SmoothedBCE": lambda z, y, **kw: losses.SmoothedBCEWithLogits(**kw)(z, F.one_hot(y, 3)),
}


@pytest.mark.parametrize("argument", ["weight", "pos_weight"])
@pytest.mark.parametrize("name", [*WEIGHTED, *BINARY])
def test_weights_are_tensors_arrays_or_lists(name, argument):
    if argument == "pos_weight" and name in WEIGHTED:
        pytest.skip("has no such argument")
    call = (WEIGHTED | BINARY)[name]
    z = torch.tensor([[2.0, 0.0, -1.0], [0.5, 0.2, 0.1]])
    expected = call(z, Y, **{argument: torch.tensor([1.0, 2.0, 3.0])})
    assert not torch.equal(expected, call(z, Y))
    for values in (
        [1, 2, 3],
        (1.0, 2.0, 3.0),
        np.array([1, 2, 3]),
        np.array([1, 2, 3], np.float32),
        np.array([1.0, 2.0, 3.0]),
        torch.tensor([1, 2, 3]),
    ):
        torch.testing.assert_close(call(z, Y, **{argument: values}), expected)
    for values, message in (
        ([1, -1, 2], "finite and not negative, got"),
        (np.array([1, np.nan, 2]), "finite and not negative, got"),
        (["a", "b", "c"], f"expected `{argument}` as numbers"),
        ([[1], [1, 2]], f"expected `{argument}` as numbers"),
    ):
        with pytest.raises(InputError, match=message):
            call(z, Y, **{argument: values})
    if name in WEIGHTED:
        with pytest.raises(InputError, match=r"of shape \(3,\), got \(2,\)"):
            call(z, Y, **{argument: [1, 2]})


def test_a_module_keeps_weights_of_a_list_as_a_buffer():
    module = losses.SmoothedCrossEntropy(weight=[1, 2, 3])
    assert module.state_dict()["weight"].tolist() == [1.0, 2.0, 3.0]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: smoothed_cross_entropy(Z, torch.tensor([0, 3])), r"0\.\.2 or .*=-100, got 3"),
        (lambda: smoothed_cross_entropy(Z, torch.tensor([-1, 0])), r"0\.\.2 or .*=-100, got -1"),
        (lambda: smoothed_cross_entropy(Z, Y[:1]), r"shape \(2,\) for .*\(2, 3\), got \(1,\)"),
        (lambda: smoothed_cross_entropy(Z, Z[:, :2]), r"soft .*shape \(2, 3\).*got \(2, 2\)"),
        (lambda: smoothed_cross_entropy(Z, Z.long()), r"integer .*shape \(2,\).*got \(2, 3\)"),
        (lambda: smoothed_cross_entropy(Z, Y > 0), "integer dtype, got torch.bool"),
        (lambda: smoothed_cross_entropy(Z[:, :1], Y), r"K >= 2 classes on axis 1, got \(2, 1\)"),
        (lambda: smoothed_cross_entropy(Z.long(), Y), "floating dtype, got torch.int64"),
        (lambda: smoothed_cross_entropy(Z, Z.clone().requires_grad_()), "detach"),
        (lambda: smoothed_cross_entropy(Z, Y, 1.1), "at most 1.*got 1.1"),
        (lambda: smoothed_cross_entropy(Z, Y, weight=torch.ones(2)), r"\(3,\), got \(2,\)"),
        (lambda: smoothed_cross_entropy(Z, Y, prior=torch.ones(3)), "sum to 1, got the sum 3"),
        (lambda: smoothed_cross_entropy(Z, Y, reduction="avg"), "'none' or 'mean' or 'sum'"),
        (lambda: smoothed_cross_entropy(Z, Y, normalize="n"), "'weights' or 'examples', got 'n'"),
        (lambda: smoothed_cross_entropy(Z, Y, prior=torch.eye(2)), r"\(3, 3\), got \(2, 2\)"),
        (lambda: SmoothedCrossEntropy(2), "at most 1.*got 2"),
        (lambda: SmoothedCrossEntropy(weight=torch.tensor([1.0, -1.0])), "not negative"),
        (lambda: SmoothedCrossEntropy(weight=torch.tensor([1.0, torch.nan])), "finite"),
        (lambda: SmoothedCrossEntropy(True), "got True"),
        (lambda: smoothed_cross_entropy(Z, Y, "0.1"), "got '0.1'"),
        (lambda: SmoothedCrossEntropy(weight_mode="w"), "'per_class' or 'per_example', got 'w'"),
        (lambda: SmoothedCrossEntropy(convention="keras"), "'uniform' or 'exclude_true'"),
    ],
)
def test_malformed_input_is_an_error_that_says_how(call, message):
    with pytest.raises(InputError, match=message):
        call()
