"""Binary cross entropy against smoothed targets: yes or no, for one label or many.

Logits and targets have one shape, any; each entry is a question of its own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F

from recuse.errors import InputError
from recuse.losses._options import LossModule, Reduction, as_weight, check_detached, reduce
from recuse.losses.targets import check_choice, check_smoothing, values_are_hidden

if TYPE_CHECKING:
    from jaxtyping import Float, Int
    from torch import Tensor

    from recuse.losses._options import Weight

    Smoothing = float | tuple[float, float]


def smoothed_binary_cross_entropy_with_logits(
    logits: Float[Tensor, ...],
    target: Int[Tensor, ...] | Float[Tensor, ...],
    smoothing: Smoothing = 0.1,
    *,
    weight: Weight | None = None,
    pos_weight: Weight | None = None,
    ignore_index: int = -100,
    reduction: Reduction = "mean",
) -> Float[Tensor, ...]:
    r"""Binary cross entropy against the smoothed target, for any number of labels.

    $-w\,(p\, q \log \sigma(z) + (1 - q) \log(1 - \sigma(z)))$, where the target y becomes

    - $q = y (1 - s) + s / 2$ for a number s (TensorFlow: 0.1 sends 1 to 0.95, 0 to 0.05);
    - $q = y (1 - a) + (1 - y)\, b$ for a pair (a, b): 1 goes to 1 - a, and 0 to b.

    The minimum is at $\sigma(z) = q$ (without `pos_weight`). A head of two logits with
    `smoothed_cross_entropy` and the same number s has the same loss as one logit, their
    difference.

    Args:
        logits: Any shape.
        target: The shape of the logits, in [0, 1].
        smoothing: A number of at most 1, or a pair whose sum is at most 1; above, the
            targets would teach against the labels. Negative values sharpen.
        weight: One for each entry, broadcast to the shape of the logits; not negative.
        pos_weight: p above, of the answer yes, broadcast; not negative.
        ignore_index: The target of an entry without a loss.
        reduction: `mean` divides by the number of entries not ignored, as PyTorch does,
            whatever their weights; of none it is 0.

    Raises:
        InputError: A shape, target, weight or option that is not as described.

    References:
        `tf.keras.losses.BinaryCrossentropy(label_smoothing=)`.

    >>> logits = torch.tensor([2.0, -1.0])
    >>> smoothed_binary_cross_entropy_with_logits(logits, torch.tensor([1, 0]), 0.1)
    tensor(0.2951)
    >>> smoothed_binary_cross_entropy_with_logits(logits, torch.tensor([1, 0]), (0.1, 0.0))
    tensor(0.3201)
    """
    a, b = _pair(smoothing)
    check_choice(reduction, "reduction", Reduction)
    weight = as_weight(weight, device=logits.device)
    pos_weight = as_weight(pos_weight, "pos_weight", logits.device)
    _check_entries(logits, target)
    dtype = torch.promote_types(logits.dtype, torch.float32)
    kept = target != ignore_index
    y = torch.where(kept, target, 0).to(dtype)
    _check_range(y, ignore_index)
    q = y * (1 - a) + (1 - y) * b
    losses = F.binary_cross_entropy_with_logits(
        logits.to(dtype), q, weight, reduction="none", pos_weight=pos_weight
    )
    _repair_infinite(losses, logits, q, weight, pos_weight)
    loss = reduce(losses, kept, reduction)
    return loss if torch.is_autocast_enabled(logits.device.type) else loss.to(logits.dtype)


class SmoothedBCEWithLogits(LossModule):
    """`smoothed_binary_cross_entropy_with_logits` as a module, with its arguments.

    The weights are buffers: they move with the module and are saved.

    >>> SmoothedBCEWithLogits(0.1)(torch.zeros(2), torch.tensor([1, 0]))
    tensor(0.6931)
    """

    function = staticmethod(smoothed_binary_cross_entropy_with_logits)

    def __init__(
        self,
        smoothing: Smoothing = 0.1,
        *,
        weight: Weight | None = None,
        pos_weight: Weight | None = None,
        ignore_index: int = -100,
        reduction: Reduction = "mean",
    ):
        _pair(smoothing)
        check_choice(reduction, "reduction", Reduction)
        super().__init__(
            smoothing,
            ignore_index=ignore_index,
            reduction=reduction,
            buffers={
                "weight": as_weight(weight),
                "pos_weight": as_weight(pos_weight, "pos_weight"),
            },
        )


def _pair(smoothing: Smoothing) -> tuple[float, float]:
    """Return how far 1 moves down, and 0 up."""
    if not isinstance(smoothing, tuple | list):
        check_smoothing(smoothing)
        return smoothing / 2, smoothing / 2
    if len(smoothing) != 2:
        raise InputError(f"expected `smoothing` to be a number or a pair, got {smoothing!r}")
    down, up = smoothing
    check_smoothing(down)
    check_smoothing(up)
    if down + up > 1:
        raise InputError(
            "expected a pair of `smoothing` with a sum of at most 1, above which 1 would be "
            f"taught lower than 0, got {smoothing}"
        )
    return down, up


def _check_entries(logits: Tensor, target: Tensor) -> None:
    if not logits.is_floating_point():
        raise InputError(f"expected `logits` of a floating dtype, got {logits.dtype}")
    if logits.shape != target.shape:
        raise InputError(
            f"expected `logits` and `target` of the same shape, got {tuple(logits.shape)} "
            f"and {tuple(target.shape)}"
        )
    check_detached(target)


def _repair_infinite(
    losses: Tensor, logits: Tensor, q: Tensor, weight: Tensor | None, pos_weight: Tensor | None
) -> None:
    """Write over the NaN of 0 x inf where a logit is infinite; the gradient is right already."""
    if losses.is_cpu and not values_are_hidden() and not losses.detach().sum().isnan():
        return
    with torch.no_grad():
        share = torch.where(logits > 0, 1 - q, q if pos_weight is None else pos_weight * q)
        share = share if weight is None else weight * share
        exact = torch.where(share == 0, 0, share * torch.inf)
        losses.copy_(torch.where(losses.isnan() & logits.isinf(), exact, losses))


def _check_range(y: Tensor, ignore_index: int) -> None:
    if values_are_hidden() or not y.numel():
        return
    low, high = (end.item() for end in y.aminmax())
    if not (low >= 0 and high <= 1):
        raise InputError(
            f"expected `target` in [0, 1] or ignore_index={ignore_index}, "
            f"got {high if low >= 0 else low:g}"
        )
