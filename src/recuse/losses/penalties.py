"""Cross entropy plus a penalty on the logits of each example: max suppression and margins.

n = examples, K = classes (axis 1), ... = any trailing axes (pixels).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from recuse.errors import InputError
from recuse.losses._options import LossModule, Reduction, as_weight, check_strength, reduce
from recuse.losses.cross_entropy import smoothed_cross_entropy
from recuse.losses.targets import check_choice

if TYPE_CHECKING:
    from collections.abc import Callable

    from jaxtyping import Float, Int
    from torch import Tensor

    from recuse.losses._options import Weight


def max_suppression(
    logits: Float[Tensor, "n K ..."],
    target: Int[Tensor, "n ..."] | Float[Tensor, "n K ..."],
    smoothing: float = 0.1,
    *,
    weight: Weight | None = None,
    ignore_index: int = -100,
    reduction: Reduction = "mean",
) -> Float[Tensor, ...]:
    r"""Cross entropy plus $a\,(\max_k z_k - \frac1K \sum_k z_k)$.

    Label smoothing is cross entropy plus $a\,(z_y - \frac1K \sum_k z_k)$: where the
    prediction is wrong, it pushes the label's logit down, and the wrong one up towards it.
    Max suppression puts the top logit in the place of the label's, so the two are equal
    where the prediction is right, at the minimum among others: 1 - a + a/K on the label.

    Args:
        logits: (n, K, ...), or (K,) of a single example. A class masked by -inf makes the
            penalty infinite.
        target: Labels (n, ...), or soft targets in the shape of the logits.
        smoothing: a above, at least 0. The authors raise it over the epochs: `linear_schedule`.
        weight: One for each class, in the cross entropy alone; a tensor, an array or a list.
        ignore_index: The label that has no loss; a soft target of zeros has none either.
        reduction: `mean` is that of the cross entropy (weighted, see
            `smoothed_cross_entropy`) plus that of the penalty over the examples not ignored.

    Raises:
        InputError: A shape, label, weight or option that is not as described.

    References:
        Zhou et al., MaxSup: Overcoming Representation Collapse in Label Smoothing,
        NeurIPS 2025; ZhouYuxuanYX/Maximum-Suppression-Regularization.

    >>> import torch
    >>> logits = torch.tensor([[2.0, 0.0, 0.0], [0.0, 1.0, 0.0]])
    >>> max_suppression(logits, torch.tensor([0, 1]), 0.1)  # as if smoothed: both are right
    tensor(0.4955)
    >>> max_suppression(logits, torch.tensor([1, 1]), 0.1)
    tensor(1.4955)
    """
    check_strength(smoothing, "smoothing")
    return penalized(
        logits,
        target,
        smoothing,
        lambda z: z.amax(1) - z.mean(1),
        weight=weight,
        ignore_index=ignore_index,
        reduction=reduction,
    )


def linear_schedule(epoch: int, epochs: int, start: float = 0.1, end: float = 0.2) -> float:
    """Return the smoothing of an epoch: it grows from `start` in the first to `end` in the last.

    Args:
        epoch: 0 to epochs - 1.
        epochs: How many there will be.
        start: Smoothing of the first epoch.
        end: Smoothing of the last epoch. The defaults are those of the authors. One of
            their programs (Conv/ffcv) divides by `epochs`, and ends one step short of it.

    Raises:
        InputError: There is no such epoch.

    >>> [round(linear_schedule(epoch, 3), 2) for epoch in range(3)]
    [0.1, 0.15, 0.2]
    """
    if not 0 <= epoch < epochs:
        raise InputError(f"expected `epoch` in 0..{epochs - 1}, got {epoch}")
    return start + (end - start) * epoch / max(1, epochs - 1)


def margin_smoothing(
    logits: Float[Tensor, "n K ..."],
    target: Int[Tensor, "n ..."] | Float[Tensor, "n K ..."],
    smoothing: float = 0.1,
    *,
    margin: float = 10.0,
    weight: Weight | None = None,
    ignore_index: int = -100,
    reduction: Reduction = "mean",
) -> Float[Tensor, ...]:
    r"""Cross entropy plus $a \frac1K \sum_k \max(0, \max_j z_j - z_k - m)$.

    Logits that differ by less than the margin m cost nothing, so the loss does not drive
    all probabilities to be equal. With m = 0 it is `max_suppression`. The mean over
    classes is that of the authors' program; their formula has the sum. For one label the
    minimum lies at the gap max(m, log(1 + K (1 - a) / a)), the second being that of label
    smoothing: with the defaults the margin decides.

    Args:
        logits: (n, K, ...), or (K,) of a single example. A class masked by -inf makes the
            penalty infinite.
        target: Labels (n, ...), or soft targets in the shape of the logits.
        smoothing: a above, at least 0 (alpha in the authors' program).
        margin: m above, at least 0; 10 in the authors' configuration.
        weight: One for each class, in the cross entropy alone; a tensor, an array or a list.
        ignore_index: The label that has no loss; a soft target of zeros has none either.
            In the authors' program, examples of the label -100 are still penalised.
        reduction: `mean` is that of the cross entropy (weighted, see
            `smoothed_cross_entropy`) plus that of the penalty over the examples not ignored.

    Raises:
        InputError: A shape, label, weight or option that is not as described.

    References:
        Liu et al., The Devil is in the Margin, CVPR 2022; by-liu/MbLS, `LogitMarginL1`.

    >>> import torch
    >>> logits = torch.tensor([[12.0, 0.0, 8.0]])
    >>> margin_smoothing(logits, torch.tensor([0]), margin=10.0)  # .0182 + .1 * 2 / 3
    tensor(0.0848)
    """
    check_strength(smoothing, "smoothing")
    check_strength(margin, "margin")
    return penalized(
        logits,
        target,
        smoothing,
        lambda z: (z.amax(1, keepdim=True) - z - margin).relu().mean(1),
        weight=weight,
        ignore_index=ignore_index,
        reduction=reduction,
    )


def penalized(
    logits: Tensor,
    target: Tensor,
    strength: float,
    penalty: Callable[[Float[Tensor, "n K ..."]], Float[Tensor, "n ..."]],
    *,
    weight: Weight | None,
    ignore_index: int,
    reduction: Reduction,
) -> Float[Tensor, ...]:
    """Return cross entropy plus a penalty, both reduced over the examples that are not ignored."""
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


class MaxSuppression(LossModule):
    """`max_suppression` as a module; its arguments are described there.

    Between epochs, set `smoothing` to follow a schedule.

    >>> import torch
    >>> loss = MaxSuppression()
    >>> loss.smoothing = linear_schedule(epoch=9, epochs=10)
    >>> loss(torch.tensor([[2.0, 0.0]]), torch.tensor([0]))
    tensor(0.3269)
    """

    function = staticmethod(max_suppression)

    def __init__(
        self,
        smoothing: float = 0.1,
        *,
        weight: Weight | None = None,
        ignore_index: int = -100,
        reduction: Reduction = "mean",
    ):
        check_strength(smoothing, "smoothing")
        check_choice(reduction, "reduction", Reduction)
        options = {"ignore_index": ignore_index, "reduction": reduction}
        super().__init__(smoothing, **options, buffers={"weight": as_weight(weight)})


class MarginSmoothing(LossModule):
    """`margin_smoothing` as a module; its arguments are described there.

    >>> import torch
    >>> MarginSmoothing(margin=1.0)(torch.tensor([[2.0, 0.0]]), torch.tensor([0]))
    tensor(0.1769)
    """

    function = staticmethod(margin_smoothing)

    def __init__(
        self,
        smoothing: float = 0.1,
        *,
        margin: float = 10.0,
        weight: Weight | None = None,
        ignore_index: int = -100,
        reduction: Reduction = "mean",
    ):
        check_strength(smoothing, "smoothing")
        check_strength(margin, "margin")
        check_choice(reduction, "reduction", Reduction)
        options = {"margin": margin, "ignore_index": ignore_index, "reduction": reduction}
        super().__init__(smoothing, **options, buffers={"weight": as_weight(weight)})
