"""Smoothed losses.

n = examples, K = classes (axis 1), ... = any trailing axes (pixels).

Sums are in float32, or float64 for float64 logits; the loss has the dtype of the
logits, and float32 under autocast, as in PyTorch.

| function | module | what it teaches |
|---|---|---|
| `smoothed_cross_entropy` | `SmoothedCrossEntropy` | a softened distribution of the classes |
| `smoothed_binary_cross_entropy_with_logits` | `SmoothedBCEWithLogits` | softened yes or no |
| `max_suppression` | `MaxSuppression` | a top logit, right or wrong, close to the mean |
| `margin_smoothing` | `MarginSmoothing` | logits within a margin of the top one |

Other losses of the field are a line beside one of these:

>>> import torch
>>> z, y = torch.tensor([[2.0, 0.0, -1.0], [0.5, 0.0, 0.2]]), torch.tensor([0, 2])
>>> ce = smoothed_cross_entropy(z, y, 0.0, reduction="none")
>>> (-torch.expm1(-ce)).pow(2).mul(ce).mean()  # focal loss, gamma = 2 (Lin et al., ICCV 2017)
tensor(0.2722)
>>> ce.mean() + 1e-3 * z.square().sum(1).mean()  # logit penalty (Kornblith et al., NeurIPS 2021)
tensor(0.6642)
"""

from recuse._internal.check import extra

extra("torch", "torch", "recuse.losses")

from recuse.losses._options import Normalize, Reduction, WeightMode  # noqa: E402
from recuse.losses.binary import (  # noqa: E402
    SmoothedBCEWithLogits,
    smoothed_binary_cross_entropy_with_logits,
)
from recuse.losses.cross_entropy import (  # noqa: E402
    SmoothedCrossEntropy,
    smoothed_cross_entropy,
)
from recuse.losses.penalties import (  # noqa: E402
    MarginSmoothing,
    MaxSuppression,
    linear_schedule,
    margin_smoothing,
    max_suppression,
)

__all__ = [
    "MarginSmoothing",
    "MaxSuppression",
    "Normalize",
    "Reduction",
    "SmoothedBCEWithLogits",
    "SmoothedCrossEntropy",
    "WeightMode",
    "linear_schedule",
    "margin_smoothing",
    "max_suppression",
    "smoothed_binary_cross_entropy_with_logits",
    "smoothed_cross_entropy",
]
