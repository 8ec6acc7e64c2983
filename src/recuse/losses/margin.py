"""Margin smoothing: logits may differ from the top one by a margin, and more costs.

n = examples, K = classes (axis 1), ... = any trailing axes (pixels).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from recuse.losses._options import Reduction, check_strength, check_weight
from recuse.losses._penalty import Penalized, penalized
from recuse.losses.targets import check_choice

if TYPE_CHECKING:
    from jaxtyping import Float, Int
    from torch import Tensor


def margin_smoothing(
    logits: Float[Tensor, "n K ..."],
    target: Int[Tensor, "n ..."] | Float[Tensor, "n K ..."],
    smoothing: float = 0.1,
    *,
    margin: float = 10.0,
    weight: Float[Tensor, " K"] | None = None,
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
        weight: Of each class in the cross entropy; the penalty has none.
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


class MarginSmoothing(Penalized):
    """`margin_smoothing` as a module; its arguments are described there.

    >>> import torch
    >>> MarginSmoothing(margin=1.0)(torch.tensor([[2.0, 0.0]]), torch.tensor([0]))
    tensor(0.1769)
    """

    def __init__(
        self,
        smoothing: float = 0.1,
        *,
        margin: float = 10.0,
        weight: Float[Tensor, " K"] | None = None,
        ignore_index: int = -100,
        reduction: Reduction = "mean",
    ):
        check_strength(smoothing, "smoothing")
        check_strength(margin, "margin")
        check_choice(reduction, "reduction", Reduction)
        check_weight(weight)
        super().__init__(weight, ignore_index, reduction)
        self.smoothing = smoothing
        self.margin = margin

    def forward(
        self,
        logits: Float[Tensor, "n K ..."],
        target: Int[Tensor, "n ..."] | Float[Tensor, "n K ..."],
    ) -> Float[Tensor, ...]:
        """The loss of these logits."""
        return margin_smoothing(
            logits,
            target,
            self.smoothing,
            margin=self.margin,
            weight=self.weight,
            ignore_index=self.ignore_index,
            reduction=self.reduction,
        )

    def extra_repr(self) -> str:
        """The options, for `print`."""
        return (
            f"{self.smoothing}, margin={self.margin}, ignore_index={self.ignore_index}, "
            f"reduction={self.reduction!r}"
        )
