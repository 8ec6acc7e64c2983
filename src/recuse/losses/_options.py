"""What the arguments of the losses may be, and how losses are put together."""

from __future__ import annotations

import math
from numbers import Real
from typing import TYPE_CHECKING, Literal

import torch

from recuse.errors import InputError

if TYPE_CHECKING:
    from torch import Tensor

Reduction = Literal["none", "mean", "sum"]
WeightMode = Literal["per_class", "per_example"]
Normalize = Literal["weights", "examples"]


def reduce(losses: Tensor, kept: Tensor, reduction: Reduction) -> Tensor:
    """The losses where they are kept, 0 elsewhere; the mean is over those kept, 0 of none."""
    losses = torch.where(kept, losses, 0)
    if reduction == "none":
        return losses
    if reduction == "sum":
        return losses.sum()
    return losses.sum() / kept.sum().clamp(min=1)


def check_weight(weight: Tensor | None, name: str = "weight") -> None:
    """Weights are finite and not negative."""
    if weight is None or torch.compiler.is_compiling():  # values cannot be looked at
        return
    if not ((weight >= 0) & weight.isfinite()).all():
        raise InputError(f"expected `{name}` finite and not negative, got {weight.tolist()}")


def check_strength(value: float, name: str) -> None:
    """A finite number of at least 0."""
    if not isinstance(value, Real) or not 0 <= value < math.inf:
        raise InputError(f"expected `{name}` to be a finite number of at least 0, got {value}")


def check_shapes(logits: Tensor, target: Tensor) -> None:
    """Logits (n, K, ...) and labels (n, ...) or soft targets (n, K, ...) without a gradient."""
    shape = tuple(logits.shape)
    if not logits.is_floating_point():
        raise InputError(f"expected `logits` of a floating dtype, got {logits.dtype}")
    if len(shape) < 2 or shape[1] < 2:
        raise InputError(
            f"expected `logits` of shape (n, K, ...) with K >= 2 classes on axis 1, got {shape}"
        )
    soft = target.is_floating_point()
    expected = shape if soft else shape[:1] + shape[2:]
    if tuple(target.shape) != expected:
        kind = "soft" if soft else "integer"
        raise InputError(
            f"expected {kind} `target` of shape {expected} for logits of shape {shape}, "
            f"got {tuple(target.shape)}"
        )
    check_detached(target)


def check_detached(target: Tensor) -> None:
    """No gradient flows to a target."""
    if target.requires_grad:
        raise InputError("expected `target` without a gradient, which would not flow: detach it")
