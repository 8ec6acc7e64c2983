"""The numba loops of the cross entropy against torch and against float64."""

import math

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from recuse.errors import InputError
from recuse.losses import SmoothedCrossEntropy, _functions, smoothed_cross_entropy

# Of the gradient, times n: 2^-24 for each of about 8 roundings of numbers of at most 1.
GRADIENT = 5e-7
# Of the loss, relative to 1 and to itself: float32 results of sums in float64.
LOSS = 2e-6

shapes = st.sampled_from([(1, 2), (7, 33), (3, 600), (2, 5, 40), (2, 19, 33, 32), (2, 9, 1)])


@pytest.fixture(autouse=True)
def _fused_at_any_size(monkeypatch):
    torch.manual_seed(0)
    monkeypatch.setattr(_functions, "SMALLEST_FUSED", 1)


@pytest.fixture
def calls(monkeypatch):
    """How many times the loops ran."""
    seen = []
    run = _functions._run
    monkeypatch.setattr(_functions, "_run", lambda *a: (seen.append(a), run(*a))[1])
    return seen


def problem(shape, seed=0, *, scale=3.0, ignored=0.3):
    generator = torch.Generator().manual_seed(seed)
    logits = scale * torch.randn(shape, generator=generator)
    labels = torch.randint(shape[1], shape[:1] + shape[2:], generator=generator)
    labels[torch.rand(labels.shape, generator=generator) < ignored] = -100
    labels.view(-1)[0] = 0
    return logits.requires_grad_(), labels, torch.rand(shape[1], generator=generator) + 0.1


def in_float64(logits, labels, smoothing, **options):
    """The torch path, on numbers that the loops do not take."""
    wide = logits.detach().double().requires_grad_()
    options = {k: v.double() if torch.is_tensor(v) else v for k, v in options.items()}
    return smoothed_cross_entropy(wide, labels, smoothing, **options), wide


@settings(deadline=None, derandomize=True, max_examples=150)
@given(
    shape=shapes,
    smoothing=st.sampled_from([-0.5, 0.0, 0.1, 0.7, 1.0]),
    kind=st.sampled_from(["uniform", "exclude_true", "prior"]),
    weighted=st.booleans(),
    weight_mode=st.sampled_from(["per_class", "per_example"]),
    normalize=st.sampled_from(["weights", "examples"]),
    reduction=st.sampled_from(["none", "mean", "sum"]),
    channels_last=st.booleans(),
    threads=st.sampled_from([1, 3]),
    seed=st.integers(0, 99),
)
def test_the_loops_are_the_torch_path(
    shape,
    smoothing,
    kind,
    weighted,
    weight_mode,
    normalize,
    reduction,
    channels_last,
    threads,
    seed,
):
    logits, labels, weight = problem(shape, seed)
    if channels_last:
        logits = logits.detach().movedim(1, -1).contiguous().movedim(-1, 1).requires_grad_()
    options = {
        "weight": weight if weighted else None,
        "prior": torch.rand(shape[1]).softmax(0) if kind == "prior" else None,
        "convention": "exclude_true" if kind == "exclude_true" else "uniform",
        "weight_mode": weight_mode,
        "normalize": normalize,
        "reduction": reduction,
    }
    share, torch_threads = _functions.SMALLEST_SHARE, torch.get_num_threads()
    try:
        _functions.SMALLEST_SHARE = 1
        torch.set_num_threads(threads)
        actual = smoothed_cross_entropy(logits, labels, smoothing, **options)
    finally:
        _functions.SMALLEST_SHARE = share
        torch.set_num_threads(torch_threads)
    expected, wide = in_float64(logits, labels, smoothing, **options)
    torch.testing.assert_close(actual.double(), expected, rtol=LOSS, atol=LOSS)
    upstream = torch.rand_like(expected)
    (gradient,) = torch.autograd.grad(actual, logits, upstream.float())
    (exact,) = torch.autograd.grad(expected, wide, upstream)
    scale = max(1.0, float(exact.abs().max()))
    assert (gradient.double() - exact).abs().max() <= 2 * GRADIENT * scale
    if not channels_last:
        assert gradient.is_contiguous()


@pytest.mark.parametrize("scale", [0.1, 3.0, 30.0])
@pytest.mark.parametrize("shape", [(64, 1000), (16, 32000), (2, 19, 64, 64)])
def test_the_gradient_is_within_5e_7_over_n_of_float64(shape, scale, calls):
    logits, labels, _ = problem(shape, scale=scale, ignored=0)
    smoothed_cross_entropy(logits, labels, 0.1).backward()
    wide = logits.detach().double().requires_grad_()
    F.cross_entropy(wide, labels, label_smoothing=0.1).backward()
    assert len(calls) == 1
    assert (logits.grad - wide.grad).abs().max() * labels.numel() <= GRADIENT


def test_the_exponential_is_within_two_units_of_the_last_place():
    from recuse._kernels.losses import rows

    x = -torch.linspace(0, 70, 100_001)  # below, the softmax is no normal number
    z = x.clone().numpy().reshape(1, -1)
    empty = torch.empty(0).numpy()
    label = torch.zeros(1, dtype=torch.int64).numpy()
    # With total = 1 and no pull and no background the gradient is the softmax.
    coefficients = torch.tensor([[0.0], [0.0], [1.0]]).expand(3, z.size).contiguous().numpy()
    gradient = torch.empty(z.shape)
    rows(z, label, -100, coefficients, torch.zeros(1).numpy(), gradient.numpy(), empty, 0, 1)
    exact = x.double().softmax(0)
    assert ((gradient[0] - exact) / exact).abs().max() < 3e-7


def test_double_backward_goes_through_torch(calls):
    logits, labels, weight = problem((3, 4, 2))

    def of(z):
        loss = smoothed_cross_entropy(z, labels, 0.2, weight=weight.to(z.dtype))
        (first,) = torch.autograd.grad(loss, z, create_graph=True)
        return torch.autograd.grad(first.square().sum(), z)[0]

    actual = of(logits)
    assert len(calls) == 1
    expected = of(logits.detach().double().requires_grad_())
    assert len(calls) == 1
    torch.testing.assert_close(actual.double(), expected, rtol=1e-5, atol=1e-6)


def test_gradients_of_gradients_pass_gradgradcheck():
    logits, labels, weight = problem((3, 4))
    double = logits.detach().double().requires_grad_()
    assert torch.autograd.gradgradcheck(
        lambda z: smoothed_cross_entropy(z, labels, 0.2, weight=weight.double()), double
    )


def test_backward_may_run_again_and_adds_up(calls):
    logits, labels, _ = problem((4, 3))
    once = torch.autograd.grad(smoothed_cross_entropy(logits, labels), logits)[0]
    loss = smoothed_cross_entropy(logits, labels)
    for _ in range(3):
        loss.backward(retain_graph=True)
    assert len(calls) == 2
    torch.testing.assert_close(logits.grad, 3 * once)


def test_without_a_gradient_the_logits_stay_as_they_are():
    logits, labels, _ = problem((2, 5, 7))
    before = logits.detach().clone()
    with torch.no_grad():
        quiet = smoothed_cross_entropy(logits, labels, overwrite_logits=True)
    assert torch.equal(quiet, smoothed_cross_entropy(logits, labels).detach())
    assert torch.equal(logits, before)


@pytest.mark.parametrize("shape", [(5, 40), (2, 5, 37)])
def test_overwritten_logits_give_the_same_loss_and_gradient(shape):
    logits, labels, weight = problem(shape)
    expected = smoothed_cross_entropy(logits, labels, 0.2, weight=weight)
    (gradient,) = torch.autograd.grad(2 * expected, logits)
    computed = (logits * 1).flatten().view(shape)  # a view, as many heads return
    memory = computed.data_ptr()
    loss = SmoothedCrossEntropy(0.2, weight=weight, overwrite_logits=True)(computed, labels)
    assert torch.equal(loss, expected)
    (2 * loss).backward()
    torch.testing.assert_close(logits.grad, gradient)
    assert computed.data_ptr() == memory
    assert not torch.equal(computed, logits)


def test_whoever_needs_overwritten_logits_is_told():
    logits, labels, _ = problem((3, 4))
    activated = logits.tanh()  # its derivative needs its result
    loss = smoothed_cross_entropy(activated, labels, overwrite_logits=True)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        loss.backward()


def test_overwritten_logits_have_no_second_derivative_and_are_no_leaf():
    logits, labels, _ = problem((3, 4))
    with pytest.raises(InputError, match="got a leaf"):
        smoothed_cross_entropy(logits, labels, overwrite_logits=True)
    loss = smoothed_cross_entropy(logits * 1, labels, overwrite_logits=True)
    with pytest.raises(InputError, match="no second derivative"):
        torch.autograd.grad(loss, logits, create_graph=True)


@pytest.mark.parametrize("shape", [(3, 4), (2, 4, 5)])
def test_all_labels_ignored_is_a_zero_loss_with_a_zero_gradient(shape, calls):
    logits = torch.randn(shape, requires_grad=True)
    labels = torch.full(shape[:1] + shape[2:], -100)
    for reduction in ("none", "mean", "sum"):
        loss = smoothed_cross_entropy(logits, labels, 0.1, reduction=reduction)
        loss.sum().backward()
        assert (loss == 0).all()
        assert (logits.grad == 0).all()
    assert len(calls) == 3


@pytest.mark.parametrize("labels", [[0, 4], [-1, 0]])
def test_a_label_that_is_no_class_is_an_error(labels, calls):
    with pytest.raises(InputError, match=r"in 0\.\.3 or ignore_index=-100, got (4|-1)"):
        smoothed_cross_entropy(torch.zeros(2, 4), torch.tensor(labels))
    assert len(calls) == 1


def test_a_masked_class_costs_nothing_without_smoothing_and_a_nan_stays_one(calls):
    logits = torch.tensor([[0.0, 1.0, -torch.inf], [-torch.inf, 0.0, 1.0]], requires_grad=True)
    labels = torch.tensor([0, 2])
    loss = smoothed_cross_entropy(logits, labels, 0.0)
    torch.testing.assert_close(loss, F.cross_entropy(logits, labels))
    loss.backward()
    assert logits.grad[0, 2] == 0
    assert smoothed_cross_entropy(logits, labels, 0.1) == torch.inf
    for shape in ((2, 40), (2, 3, 40)):
        broken = torch.zeros(shape)
        broken.view(-1)[1] = torch.nan
        target = torch.zeros(shape[:1] + shape[2:], dtype=torch.long)
        assert math.isnan(smoothed_cross_entropy(broken, target))
    assert len(calls) == 4


@pytest.mark.parametrize("shape", [(4, 6), (4, 700), (3, 6, 50)])
def test_a_masked_class_without_mass_or_weight_is_as_if_it_were_not_there(shape, calls):
    logits, labels, weight = problem(shape)
    masked = torch.cat([logits, torch.full_like(logits[:, :1], -torch.inf)], 1)
    prior = torch.rand(shape[1]).softmax(0)
    none = torch.zeros(1)
    for options in ({"prior": prior}, {"prior": prior, "weight": weight}):
        more = {name: torch.cat([values, none]) for name, values in options.items()}
        found = smoothed_cross_entropy(masked, labels, 0.3, **more)
        expected = smoothed_cross_entropy(logits, labels, 0.3, **options)
        torch.testing.assert_close(found, expected, rtol=LOSS, atol=LOSS)
        slopes = [torch.autograd.grad(loss, logits)[0] for loss in (found, expected)]
        torch.testing.assert_close(*slopes, rtol=0, atol=GRADIENT)
    unweighted = torch.cat([weight, none])
    found = smoothed_cross_entropy(masked, labels, 0.3, weight=unweighted)
    expected, _ = in_float64(masked, labels, 0.3, weight=unweighted)
    torch.testing.assert_close(found.double(), expected, rtol=LOSS, atol=LOSS)
    impossible = torch.full_like(labels, shape[1])
    for mode in ("per_class", "per_example"):
        loss = smoothed_cross_entropy(
            masked, impossible, 0.0, weight=unweighted, weight_mode=mode, reduction="none"
        )
        assert (loss == 0).all()
    loss = smoothed_cross_entropy(
        masked, impossible, 0.1, weight=unweighted, weight_mode="per_example", reduction="sum"
    )
    assert loss == 0
    assert len(calls) == 8


def test_small_integer_labels_and_other_threads_are_taken(calls):
    logits, labels, _ = problem((6, 4), ignored=0)
    expected = smoothed_cross_entropy(logits, labels)
    for dtype in (torch.int32, torch.uint8):
        assert torch.equal(smoothed_cross_entropy(logits, labels.to(dtype)), expected)
    assert len(calls) == 3


def test_what_the_loops_do_not_take_goes_to_torch(calls):
    logits, labels, _ = problem((6, 4, 2), ignored=0)
    smoothed_cross_entropy(logits.double(), labels)
    smoothed_cross_entropy(logits.bfloat16(), labels)
    smoothed_cross_entropy(logits[:, :, ::2], labels[:, ::2])
    smoothed_cross_entropy(logits, F.one_hot(labels, 4).movedim(-1, 1).float())
    smoothed_cross_entropy(logits, labels, prior=torch.full((4, 4), 0.25))
    assert not calls
