"""The initialisation of convolutional networks."""

from __future__ import annotations

from torch import nn


def he_normal(network: nn.Module) -> nn.Module:
    """Weights of convolutions ~ N(0, 2 / fan out), for ReLU; biases of linear layers 0.

    References:
        He, Zhang, Ren & Sun, ICCV 2015.
    """
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
        if isinstance(layer, nn.Linear):
            nn.init.zeros_(layer.bias)
    return network
