"""Checks of the arguments of the losses, and their reduction."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Literal

import torch

from recuse._internal.check import is_number
from recuse.errors import InputError
from recuse.losses.targets import values_are_hidden

if TYPE_CHECKING:
    from jaxtyping import Float
    from numpy.typing import ArrayLike
    from torch import Tensor

    Weight = Tensor | ArrayLike  # one for each class

Reduction = Literal["none", "mean", "sum"]
WeightMode = Literal["per_class", "per_example"]
Normalize = Literal["weights", "examples"]


class LossModule(torch.nn.Module):
    """Base of the modules: keeps the options of a function, with tensors as buffers, and calls it.

    A subclass names its function; its constructor has the arguments of the function and checks
    those that need no logits.
    """

    function: Callable[..., Tensor]

    def __init__(self, smoothing: Any, *, buffers: Mapping[str, Tensor | None], **options: Any):
        super().__init__()
        self.smoothing = smoothing
        for name, value in options.items():
            setattr(self, name, value)
        for name, value in buffers.items():
            self.register_buffer(name, value)
        self._shown = tuple(options)
        self._passed = (*options, *buffers)

    def forward(self, logits: Float[Tensor, ...], target: Tensor) -> Float[Tensor, ...]:
        """Return the loss of these logits."""
        options = {name: getattr(self, name) for name in self._passed}
        return type(self).function(logits, target, self.smoothing, **options)

    def extra_repr(self) -> str:
        """Return the options, for `print`."""
        return ", ".join([str(self.smoothing), *(f"{n}={getattr(self, n)!r}" for n in self._shown)])


def reduce(losses: Tensor, kept: Tensor, reduction: Reduction) -> Tensor:
    """Reduce the losses that are kept; the mean is over these, and 0 if there are none."""
    losses = torch.where(kept, losses, 0)
    if reduction == "none":
        return losses
    if reduction == "sum":
        return losses.sum()
    return losses.sum() / kept.sum().clamp(min=1)


def as_weight(
    weight: Weight | None, name: str = "weight", device: torch.device | None = None
) -> Tensor | None:
    """Return weights as a floating tensor, finite and not negative.

    Lists and arrays go to `device`; a tensor stays where it is.
    """
    if weight is None:
        return None
    if not isinstance(weight, torch.Tensor):
        try:
            weight = torch.as_tensor(weight, device=device)
        except (TypeError, ValueError, RuntimeError) as error:
            raise InputError(f"expected `{name}` as numbers, got {weight!r}") from error
    if not weight.is_floating_point():
        weight = weight.to(torch.get_default_dtype())
    if values_are_hidden():
        return weight
    if not ((weight >= 0) & weight.isfinite()).all():
        raise InputError(f"expected `{name}` finite and not negative, got {weight.tolist()}")
    return weight


def check_strength(value: float, name: str) -> None:
    """Refuse what is not a finite number of at least 0."""
    if not is_number(value) or not 0 <= value < math.inf:
        raise InputError(f"expected `{name}` to be a finite number of at least 0, got {value!r}")


def check_shapes(logits: Tensor, target: Tensor) -> None:
    """Check logits (n, K, ...) and labels (n, ...) or soft targets (n, K, ...)."""
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
    """Refuse a target that requires a gradient."""
    if target.requires_grad:
        raise InputError("expected `target` without a gradient, which would not flow: detach it")
