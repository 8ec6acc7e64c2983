"""Max suppression: a penalty on the top logit, whether it is right or wrong.

n = examples, K = classes (axis 1), ... = any trailing axes (pixels).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from recuse.errors import InputError
from recuse.losses._options import Reduction, check_strength, check_weight
from recuse.losses._penalty import Penalized, penalized
from recuse.losses.targets import check_choice

if TYPE_CHECKING:
    from jaxtyping import Float, Int
    from torch import Tensor


def max_suppression(
    logits: Float[Tensor, "n K ..."],
    target: Int[Tensor, "n ..."] | Float[Tensor, "n K ..."],
    smoothing: float = 0.1,
    *,
    weight: Float[Tensor, " K"] | None = None,
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
        weight: Of each class in the cross entropy; the penalty has none.
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
    """The smoothing of an epoch, which grows from `start` in the first to `end` in the last.

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


class MaxSuppression(Penalized):
    """`max_suppression` as a module; its arguments are described there.

    Between epochs, set `smoothing` to follow a schedule.

    >>> import torch
    >>> loss = MaxSuppression()
    >>> loss.smoothing = linear_schedule(epoch=9, epochs=10)
    >>> loss(torch.tensor([[2.0, 0.0]]), torch.tensor([0]))
    tensor(0.3269)
    """

    def __init__(
        self,
        smoothing: float = 0.1,
        *,
        weight: Float[Tensor, " K"] | None = None,
        ignore_index: int = -100,
        reduction: Reduction = "mean",
    ):
        check_strength(smoothing, "smoothing")
        check_choice(reduction, "reduction", Reduction)
        check_weight(weight)
        super().__init__(weight, ignore_index, reduction)
        self.smoothing = smoothing

    def forward(
        self,
        logits: Float[Tensor, "n K ..."],
        target: Int[Tensor, "n ..."] | Float[Tensor, "n K ..."],
    ) -> Float[Tensor, ...]:
        """The loss of these logits."""
        return max_suppression(
            logits,
            target,
            self.smoothing,
            weight=self.weight,
            ignore_index=self.ignore_index,
            reduction=self.reduction,
        )

    def extra_repr(self) -> str:
        """The options, for `print`."""
        return f"{self.smoothing}, ignore_index={self.ignore_index}, reduction={self.reduction!r}"
