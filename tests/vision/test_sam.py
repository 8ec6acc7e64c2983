"""Sharpness-aware minimisation against its definition."""

import copy

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recuse import InputError
from reference_vision import sam_step

torch = pytest.importorskip("torch", reason="needs the extra torch")
from recuse.recipes.sam import SAM  # noqa: E402

nn, F = torch.nn, torch.nn.functional
RTOL = 1e-9  # float64, a handful of operations


def stepper(sam, loss):
    """A closure that notes the weights at which it is called."""
    seen = []

    def closure():
        seen.append([p.detach().clone() for g in sam.param_groups for p in g["params"]])
        sam.zero_grad()
        value = loss()
        value.backward()
        return value

    return closure, seen


numbers = st.lists(st.sampled_from([-2.0, -0.5, 0.0, 1.0, 3.0]), min_size=6, max_size=6)


@given(numbers, numbers, st.sampled_from([0.05, 0.2, 2.0]))
def test_on_a_quadratic_it_is_the_definition_number_by_number(start, target, rho):
    curvature = [0.1, 1.0, 4.0, 0.5, 2.0, 1.5]
    expected = sam_step(
        start, lambda w: [a * (x - t) for a, x, t in zip(curvature, w, target)], rho, 0.1
    )
    w = torch.tensor(start, dtype=torch.float64)
    parts = [nn.Parameter(w[:2].clone()), nn.Parameter(w[2:].clone().reshape(2, 2))]
    sam = SAM(parts, torch.optim.SGD, rho=rho, lr=0.1)
    flat = lambda: torch.cat([p.flatten() for p in parts])  # noqa: E731
    a, t = (torch.tensor(v, dtype=torch.float64) for v in (curvature, target))
    closure, _ = stepper(sam, lambda: (a * (flat() - t).square()).sum() / 2)
    sam.step(closure)
    np.testing.assert_allclose(flat().detach(), expected, rtol=RTOL, atol=1e-12)


def mlp(dtype=torch.float64):
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 5), nn.BatchNorm1d(5), nn.Tanh(), nn.Linear(5, 3)).to(dtype)


X = torch.randn(20, 4, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
Y = torch.arange(20) % 3


def loss_of(model):
    return lambda: F.cross_entropy(model(X.to(model[0].weight.dtype)), Y)


def test_on_a_network_the_ascent_is_along_the_gradient_of_all_groups_together():
    model, twin = mlp(), mlp()
    groups = [{"params": model[:2].parameters(), "lr": 0.05}, {"params": model[2:].parameters()}]
    sam = SAM(groups, torch.optim.SGD, rho=0.2, lr=0.5)
    closure, seen = stepper(sam, loss_of(model))
    value = sam.step(closure)

    weights = list(twin.parameters())
    assert value.item() == loss_of(twin)().item()
    g = torch.autograd.grad(loss_of(twin)(), weights)
    norm = sum(float(x.square().sum()) for x in g) ** 0.5
    start = [p.detach().clone() for p in weights]
    with torch.no_grad():
        for p, x in zip(weights, g):
            p.add_(0.2 * x / norm)
    for ours, theirs in zip(seen[1], weights):
        torch.testing.assert_close(ours, theirs.detach(), rtol=RTOL, atol=1e-14)
    moved = sum(float((a - b).square().sum()) for a, b in zip(seen[1], seen[0]))
    assert moved**0.5 == pytest.approx(0.2)
    there = torch.autograd.grad(loss_of(twin)(), weights)
    for p, w, x, lr in zip(model.parameters(), start, there, [0.05] * 4 + [0.5] * 2):
        torch.testing.assert_close(p.detach(), w - lr * x, rtol=RTOL, atol=1e-14)


def test_the_base_optimizer_steps_from_the_weights_as_they_were_to_the_bit():
    model = mlp(torch.float32)
    before = [p.detach().clone() for p in model.parameters()]
    sam = SAM(model.parameters(), torch.optim.SGD, rho=3.0, lr=0.0)
    closure, seen = stepper(sam, loss_of(model))
    sam.step(closure)
    assert not torch.equal(seen[1][0], before[0])
    for p, w in zip(model.parameters(), before):
        assert torch.equal(p, w)
        assert p.grad is not None


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
@pytest.mark.parametrize("call", [1, 2])
def test_a_closure_that_fails_leaves_the_weights_as_they_were(call, error):
    model, twin = mlp(), mlp()
    weights = copy.deepcopy(list(model.parameters()))
    loss_of(twin)()  # one run, whose running statistics stay
    sam = SAM(model.parameters(), torch.optim.SGD, rho=0.2, lr=0.1, model=model)
    calls = []

    def closure():
        calls.append(1)
        loss = loss_of(model)()
        if len(calls) == call:
            raise error("out of memory")
        loss.backward()
        return loss

    with pytest.raises(error, match="out of memory"):
        sam.step(closure)
    assert torch.is_grad_enabled()
    for p, before in zip(model.parameters(), weights):
        assert torch.equal(p, before)
    for ours, theirs in zip(model.buffers(), twin.buffers()):
        assert torch.equal(ours, theirs)


@pytest.mark.parametrize("momentum", [0.1, None])
def test_running_statistics_are_those_of_the_first_run_alone(momentum):
    model = mlp()
    model[1].momentum = momentum
    once = copy.deepcopy(model)
    for _ in range(3):
        once.load_state_dict(model.state_dict())
        once(X)  # one run in training mode
        sam = SAM(model.parameters(), torch.optim.SGD, rho=0.2, lr=0.1, model=model)
        sam.step(stepper(sam, loss_of(model))[0])
        for ours, theirs in zip(model.buffers(), once.buffers()):
            assert torch.equal(ours, theirs)


def test_without_the_model_both_runs_count():
    model = mlp()
    sam = SAM(model.parameters(), torch.optim.SGD, rho=0.2, lr=0.1)
    sam.step(stepper(sam, loss_of(model))[0])
    assert model[1].num_batches_tracked == 2


def test_a_zero_gradient_is_not_perturbed_and_frozen_weights_are_left_alone():
    model = mlp()
    model[0].weight.requires_grad_(False)
    sam = SAM(model.parameters(), torch.optim.SGD, rho=0.2, lr=0.1)
    closure, seen = stepper(sam, lambda: 0 * loss_of(model)())
    sam.step(closure)
    for a, b in zip(*seen):
        assert torch.equal(a, b)
    assert model[0].weight.grad is None


def test_half_precision_gradients_are_measured_in_float32():
    w = nn.Parameter(torch.full((1000,), 100.0, dtype=torch.float16))
    sam = SAM([w], torch.optim.SGD, rho=10.0, lr=0.0)
    closure, seen = stepper(sam, lambda: (w.float() * 2000).sum())  # |g| = 63,246: squares overflow
    sam.step(closure)
    moved = (seen[1][0] - seen[0][0]).float()
    assert moved.norm().item() == pytest.approx(10.0, rel=0.2)  # float16 near 100: steps of 1/16


def test_schedulers_and_checkpoints_reach_the_base_optimizer():
    model = mlp()
    sam = SAM(model.parameters(), torch.optim.AdamW, rho=0.2, lr=0.1)
    rates = torch.optim.lr_scheduler.LambdaLR(sam, lambda step: 0.5**step)
    closure = stepper(sam, loss_of(model))[0]
    sam.step(closure)
    rates.step()
    assert sam.base.param_groups[0]["lr"] == 0.05
    saved = copy.deepcopy((sam.state_dict(), model.state_dict()))
    sam.step(closure)
    expected = copy.deepcopy(model.state_dict())

    other = mlp()
    resumed = SAM(other.parameters(), torch.optim.AdamW, rho=0.2, lr=7.0)
    resumed.load_state_dict(saved[0])
    other.load_state_dict(saved[1])
    assert resumed.param_groups is resumed.base.param_groups
    resumed.step(stepper(resumed, loss_of(other))[0])
    for name, value in other.state_dict().items():
        if value.is_floating_point():
            torch.testing.assert_close(value, expected[name], rtol=0, atol=0)


def test_bad_input_is_one_line():
    w = [nn.Parameter(torch.ones(2))]
    for rho in (0, -1, float("nan"), float("inf")):
        with pytest.raises(InputError, match=f"expected `rho` as a length > 0, got {rho}"):
            SAM(w, torch.optim.SGD, rho=rho, lr=0.1)
    with pytest.raises(InputError, match=r"expected step\(closure\)"):
        SAM(w, torch.optim.SGD, lr=0.1).step()


@pytest.mark.parametrize("automatic", [True, False])
def test_lightning_trains_with_it_in_both_kinds_of_optimization(automatic, tmp_path):
    lightning = pytest.importorskip("lightning.pytorch", reason="needs lightning")

    class Net(lightning.LightningModule):
        def __init__(self):
            super().__init__()
            self.net, self.automatic_optimization = mlp(), automatic

        def training_step(self, batch, index):
            loss = F.cross_entropy(self.net(batch[0]), batch[1])
            if automatic:
                return loss
            optimizer = self.optimizers()

            def closure():
                optimizer.zero_grad()
                loss = F.cross_entropy(self.net(batch[0]), batch[1])
                self.manual_backward(loss)
                return loss

            optimizer.step(closure)

        def configure_optimizers(self):
            return SAM(self.parameters(), torch.optim.SGD, rho=0.2, lr=0.1, model=self)

    loader = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(X, Y), batch_size=20)
    trainer = lightning.Trainer(
        max_epochs=3, accelerator="cpu", logger=False, enable_checkpointing=False,
        enable_progress_bar=False, enable_model_summary=False, default_root_dir=tmp_path,
    )  # fmt: skip
    net = Net()
    trainer.fit(net, loader)
    assert trainer.global_step == 3

    by_hand = mlp()
    sam = SAM(by_hand.parameters(), torch.optim.SGD, rho=0.2, lr=0.1, model=by_hand)
    for _ in range(3):
        sam.step(stepper(sam, loss_of(by_hand))[0])
    for a, b in zip(net.net.parameters(), by_hand.parameters()):
        torch.testing.assert_close(a, b, rtol=RTOL, atol=1e-14)
