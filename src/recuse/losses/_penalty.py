"""Cross entropy plus a penalty on the logits of each example."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from recuse.losses._options import Reduction, reduce
from recuse.losses.cross_entropy import smoothed_cross_entropy

if TYPE_CHECKING:
    from collections.abc import Callable

    from jaxtyping import Float
    from torch import Tensor


def penalized(
    logits: Tensor,
    target: Tensor,
    strength: float,
    penalty: Callable[[Float[Tensor, "n K ..."]], Float[Tensor, "n ..."]],
    *,
    weight: Tensor | None,
    ignore_index: int,
    reduction: Reduction,
) -> Float[Tensor, ...]:
    """Both terms are reduced alike, over the examples that are not ignored."""
    hard = smoothed_cross_entropy(
        logits, target, 0.0, weight=weight, ignore_index=ignore_index, reduction=reduction
    )
    if logits.ndim == 1:
        logits, target = logits[None], target[None]
    soft = target.is_floating_point()
    kept = target.sum(1) != 0 if soft else target != ignore_index
    wide = logits.to(torch.promote_types(logits.dtype, torch.float32))
    penalties = reduce(penalty(wide), kept, reduction)
    return hard + (strength * penalties).to(hard.dtype).reshape(hard.shape)


class Penalized(torch.nn.Module):
    """What modules of penalised losses share; the class weights are a buffer."""

    def __init__(self, weight: Tensor | None, ignore_index: int, reduction: Reduction):
        super().__init__()
        self.ignore_index = ignore_index
        self.reduction = reduction
        self.weight: Tensor | None
        self.register_buffer("weight", weight)
