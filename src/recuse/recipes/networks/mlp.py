"""Multi-layer perceptron: x (n, ...) -> (n, widths[-1])."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from torch import nn

from recuse.errors import InputError


def mlp(widths: Sequence[int]) -> nn.Sequential:
    """Linear layers with ReLU between; x is flattened first.

    The tables of Xia et al. have d features and `mlp((d, 4 * d, 2 * d, 1))`, one logit.

    Args:
        widths: Of the input, the hidden layers and the output.

    Raises:
        InputError: Fewer than two widths.

    >>> import torch
    >>> mlp((62, 248, 124, 1))(torch.zeros(5, 62)).shape
    torch.Size([5, 1])
    """
    if len(widths) < 2:
        raise InputError(f"expected `widths` of input and output at least, got {tuple(widths)}")
    layers = [layer for a, b in pairwise(widths) for layer in (nn.Linear(a, b), nn.ReLU())]
    return nn.Sequential(nn.Flatten(), *layers[:-1])
