"""Small networks: their published sizes, shapes, initialisation and parts."""

import sys
from itertools import pairwise
from types import SimpleNamespace

import numpy as np
import pytest
import torch

import reference_recipes as reference
from recuse.errors import InputError, MissingExtraError
from recuse.recipes import recipe_named
from recuse.recipes.networks import Block, densenet_bc, lstm, mlp, resnet20, small_deeplab

VECTORS = 300  # of a token


def size(network):
    return sum(p.numel() for p in network.parameters())


@pytest.mark.parametrize(
    ("network", "published", "unit"),
    [
        (resnet20(10), 0.27, 1e6),  # He et al. 2016, table 6
        (densenet_bc(10), 0.8, 1e6),  # Huang et al. 2017, table 2
        (densenet_bc(100), 0.8, 1e6),
        (mlp((62, 4 * 62, 2 * 62, 1)), 46.6, 1e3),  # code of Xia et al., bank marketing
    ],
)
def test_networks_have_as_many_parameters_as_published(network, published, unit):
    decimals = len(str(published).split(".")[1])
    assert round(size(network) / unit, decimals) == published


def test_parameters_are_those_that_the_layers_of_the_papers_add_up_to():
    widths = [16, 16, 16, 16, 32, 32, 32, 64, 64, 64]
    blocks = sum(9 * (a + b) * b + 4 * b for a, b in pairwise(widths))
    assert size(resnet20(10)) == 9 * 3 * 16 + 2 * 16 + blocks + 65 * 10
    channels, total = 24, 27 * 24
    for stage in range(3):
        for _ in range(16):
            total += 2 * channels + channels * 48 + 2 * 48 + 9 * 48 * 12
            channels += 12
        if stage < 2:
            total += 2 * channels + channels * (channels // 2)
            channels //= 2
    assert size(densenet_bc(100)) == total + 2 * channels + (channels + 1) * 100
    recurrent = 4 * 256 * (VECTORS + 256 + 2)
    head = 257 * 256 + 257 * 128 + 129
    assert size(lstm(1000)) == 1000 * VECTORS + recurrent + head


def test_the_small_deeplab_has_the_size_its_page_says():
    assert round(size(small_deeplab(11)) / 1e6, 1) == 0.6


@pytest.mark.parametrize(
    ("network", "x", "shape"),
    [
        (resnet20(10), torch.zeros(2, 3, 32, 32), (2, 10)),
        (densenet_bc(100, depth=16), torch.zeros(2, 3, 32, 32), (2, 100)),
        (mlp((128, 20, 100)), torch.zeros(2, 1, 8, 16), (2, 100)),
        (lstm(9), torch.tensor([[1, 2, 0], [3, 0, 0]]), (2, 1)),
        (small_deeplab(11), torch.zeros(2, 3, 45, 61), (2, 11, 45, 61)),
    ],
)
def test_logits_have_their_shape_and_every_parameter_a_gradient(network, x, shape):
    if x.is_floating_point():
        x = torch.randn(x.shape, generator=torch.Generator().manual_seed(0))
    z = network(x)
    assert z.shape == shape
    (z * torch.randn(shape, generator=torch.Generator().manual_seed(1))).sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in network.parameters())


@pytest.mark.parametrize("make", [resnet20, densenet_bc, small_deeplab])
def test_convolutions_start_as_he_normal(make):
    torch.manual_seed(0)
    for layer in make(100).modules():
        if isinstance(layer, torch.nn.Conv2d) and layer.weight.numel() > 2000:
            out = layer.out_channels * layer.kernel_size[0] * layer.kernel_size[1]
            assert float(layer.weight.detach().std()) == pytest.approx((2 / out) ** 0.5, rel=0.1)
            assert layer.weight.detach().abs().max() > 2.5 * (2 / out) ** 0.5  # a normal's tails


@pytest.mark.parametrize(("a", "b"), [(4, 4), (4, 8)])
def test_the_shortcut_of_a_block_has_no_parameters(a, b):
    block = Block(a, b).eval()
    for p in block.parameters():
        torch.nn.init.zeros_(p)
    x = torch.rand(1, a, 6, 6)
    expected = x[0].numpy() if a == b else reference.option_a(x[0].numpy(), b)
    assert np.array_equal(block(x)[0].detach().numpy(), expected)


def test_depths_that_are_no_densenet_are_refused():
    for depth in (4, 40 + 1, 101):
        with pytest.raises(InputError, match="depth"):
            densenet_bc(10, depth=depth)
    with pytest.raises(InputError, match="widths"):
        mlp((3,))


@pytest.mark.parametrize(
    "name", ["imagenet-resnet50", "imagenet-vit-s16-sam", "cityscapes-deeplabv3plus"]
)
def test_a_network_of_a_package_that_is_missing_names_the_extra(name, monkeypatch):
    for package in ("timm", "segmentation_models_pytorch"):
        monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(MissingExtraError, match=r"network of .* needs .*: .*recuse\[vision\]"):
        recipe_named(name).network(SimpleNamespace(classes=7))


def test_layers_of_a_densenet_keep_what_came_before():
    layer = densenet_bc(10, depth=10)[1].eval()
    x = torch.rand(2, 24, 4, 4)
    y = layer(x)
    assert y.shape == (2, 36, 4, 4)
    assert torch.equal(y[:, :24], x)


def test_the_state_of_the_last_word_is_that_of_the_equations():
    torch.manual_seed(0)
    network = lstm(20, embedding=5, hidden=7).eval()
    tokens = torch.tensor([[3, 4, 5, 0, 0], [6, 7, 8, 9, 10], [11, 0, 0, 0, 0]])
    seen = []
    network.head.register_forward_pre_hook(lambda module, args: seen.append(args[0]))
    network(tokens)
    r = network.recurrent
    weights = (r.weight_ih_l0, r.weight_hh_l0, r.bias_ih_l0 + r.bias_hh_l0)
    w_x, w_h, b = (w.detach().double().numpy() for w in weights)
    table = network.embedding.weight.detach().double().numpy()
    for row, state in zip(tokens.tolist(), seen[0].detach().numpy()):
        assert np.allclose(state, reference.lstm_state(row, table, w_x, w_h, b), atol=1e-6)


def test_padding_does_not_change_the_logit_of_a_text():
    network = lstm(20).eval()
    short = torch.tensor([[3, 4, 5]])
    padded = torch.nn.functional.pad(short, (0, 9))
    beside = torch.cat([padded, torch.randint(1, 20, (1, 12))])
    assert torch.allclose(network(short), network(padded))
    assert torch.allclose(network(short), network(beside)[:1], atol=1e-6)


def test_texts_of_padding_alone_have_a_finite_logit():
    assert lstm(5)(torch.zeros(2, 4, dtype=torch.int64)).isfinite().all()


def test_the_coarse_logits_of_the_small_deeplab_are_what_is_interpolated():
    network = small_deeplab(5).eval()
    x = torch.randn(1, 3, 32, 48)
    coarse = network.before_interpolation(x)
    assert coarse.shape == (1, 5, 8, 12)
    fine = torch.nn.functional.interpolate(coarse, (32, 48), mode="bilinear", align_corners=False)
    assert torch.equal(network(x), fine)


def test_the_low_level_skip_and_the_mean_of_the_image_reach_the_logits():
    network = small_deeplab(5).eval()
    x = torch.randn(1, 3, 32, 48)
    for part in (network.skip, network.pyramid.mean):
        before = network(x)
        with torch.no_grad():
            for p in part.parameters():
                p.add_(1.0)
        assert not torch.allclose(network(x), before)


def test_the_same_seed_gives_the_same_network():
    makers = (lambda: resnet20(10), lambda: densenet_bc(10, depth=10), lambda: lstm(9))
    for make in (*makers, lambda: small_deeplab(3), lambda: mlp((3, 4, 2))):
        torch.manual_seed(5)
        one = make().state_dict()
        torch.manual_seed(5)
        assert all(torch.equal(v, one[k]) for k, v in make().state_dict().items())
