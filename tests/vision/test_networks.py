"""The networks of the experiments: sizes, dropout, where the logits come from, one step each."""

import pytest

torch = pytest.importorskip("torch", reason="needs the extra torch")
pytest.importorskip("timm", reason="needs timm: make test-vision has it")
smp = pytest.importorskip("segmentation_models_pytorch", reason="make test-vision has it")

from recuse import InputError  # noqa: E402
from recuse.collect._models import create  # noqa: E402
from recuse.losses import SmoothedCrossEntropy  # noqa: E402
from recuse.recipes import networks  # noqa: E402
from recuse.recipes.sam import SAM  # noqa: E402

SGD, F = torch.optim.SGD, torch.nn.functional
LOSS = SmoothedCrossEntropy(0.1)


def count(model):
    return sum(p.numel() for p in model.parameters())


def images(n, size):
    return torch.randn(n, 3, size, size, generator=torch.Generator().manual_seed(0))


def loss_of(model, x, y):
    z = model(x)
    return LOSS(F.interpolate(z, y.shape[1:], mode="bilinear") if y.ndim == 3 else z, y)


def one_step(model, optimizer, x, y):
    """Loss before and after one step on a batch; no dropout, so that the second is the smaller."""
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0

    def closure():
        optimizer.zero_grad()
        loss = loss_of(model, x, y)
        loss.backward()
        return loss

    before = optimizer.step(closure)
    with torch.no_grad():
        return before.item(), loss_of(model, x, y).item()


def test_the_published_sizes():
    assert count(networks.resnet50()) == 25_557_032  # torchvision's table of ResNet-50
    assert count(networks.vit_s16()) == 22_050_664  # Touvron et al. 2021, table 1: 22 M
    assert networks.resnet50(7)(images(2, 64)).shape == (2, 7)


def test_a_resnet_learns_a_batch():
    torch.manual_seed(0)
    model = networks.resnet50(5)
    before, after = one_step(
        model, SGD(model.parameters(), lr=0.01), images(4, 64), torch.arange(4)
    )
    assert after < before


def test_a_vit_learns_a_batch_with_sharpness_aware_minimisation():
    torch.manual_seed(0)
    model = networks.vit_s16(5, dropout=0.0, size=32)
    sam = SAM(model.parameters(), torch.optim.AdamW, rho=0.2, lr=1e-3)
    before, after = one_step(model, sam, images(4, 32), torch.arange(4))
    assert after < before


def test_the_dropout_of_a_vit_is_everywhere_but_in_the_attention():
    model = networks.vit_s16(5, dropout=0.1, size=32)
    rates = {}
    for name, module in model.named_modules():
        if isinstance(module, torch.nn.Dropout):
            rates.setdefault(name.rpartition(".")[2], set()).add(module.p)
    assert rates == {
        "pos_drop": {0.1}, "proj_drop": {0.1}, "drop1": {0.1}, "drop2": {0.1},
        "attn_drop": {0.0}, "head_drop": {0.0},
    }  # fmt: skip
    x = images(2, 32)
    assert not torch.equal(model(x), model(x))
    still = networks.vit_s16(5, dropout=0.0, size=32)
    assert torch.equal(still(x), still(x))


def test_the_logits_of_deeplab_are_those_before_the_last_interpolation():
    torch.manual_seed(0)
    model = networks.deeplabv3plus_resnet101().eval()
    whole = smp.DeepLabV3Plus(
        "resnet101", encoder_weights=None, decoder_atrous_rates=(6, 12, 18), classes=19
    )
    whole.load_state_dict(model.state_dict())
    x = images(1, 64)
    with torch.no_grad():
        z, pixels = model(x), whole.eval()(x)
    assert z.shape == (1, 19, 16, 16)
    up = F.interpolate(z, (64, 64), mode="bilinear", align_corners=True)
    torch.testing.assert_close(up, pixels)


def test_deeplab_moves_its_backbone_at_a_tenth_of_the_rate():
    torch.manual_seed(0)
    model = networks.deeplabv3plus_resnet101(19)
    groups = networks.backbone_slower(model, lr=0.01)
    assert [g["lr"] for g in groups] == [0.001, 0.01]
    ids = [{id(p) for p in g["params"]} for g in groups]
    assert ids[0] == {id(p) for p in model.encoder.parameters()}
    assert not ids[0] & ids[1]
    assert ids[0] | ids[1] == {id(p) for p in model.parameters()}
    assert 42e6 < sum(p.numel() for p in groups[0]["params"]) < 43e6  # ResNet-101 less its head
    y = torch.randint(0, 19, (2, 64, 64), generator=torch.Generator().manual_seed(1))
    y[:, :4] = -100  # void
    optimizer = SGD(groups, lr=0.01, momentum=0.9, weight_decay=1e-4)
    start = [[p.detach().clone() for p in g["params"]] for g in groups]
    loss = loss_of(model, images(2, 64), y)
    loss.backward()
    optimizer.step()
    assert loss.isfinite()
    for group, before, rate in zip(groups, start, (0.001, 0.01)):
        for p, w in zip(group["params"], before):
            torch.testing.assert_close(p.detach(), w - rate * (p.grad + 1e-4 * w))
        assert any(p.grad.abs().max() > 0 for p in group["params"])


def test_an_unknown_name_is_one_line_with_the_nearest():
    with pytest.raises(
        InputError, match=r"timm:resnet5: .* no such model: did you mean resnet"
    ) as e:
        create("resnet5")
    assert "\n" not in str(e.value)
    with pytest.raises(InputError, match="no such model"):
        create("zzzzzzzzzz")
