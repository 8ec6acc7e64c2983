"""Segmentation by the image: one confidence and one loss of each, for abstaining on whole images.

n = images, K = classes, ... = the axes of the pixels (H, W).

| confidence | |
|---|---|
| `soft_dice` | soft Dice of the predicted masks and the softmax |
| `mean_msp` | mean over pixels of the maximum softmax probability |
| `quantile_msp` | its lower quantile over pixels, as log-odds |

| loss, in [0, 1] | |
|---|---|
| `dice_loss` | 1 - Dice |
| `iou_loss` | 1 - intersection over union |
| `pixel_error` | share of wrong pixels |

Confidences take logits alone, and count every pixel: which are void is not known before an image is
labelled. Losses leave void pixels out. `aurc`, `risk_coverage`, `select` and the others take
(confidence, loss) of images as of any other rows.
"""

from recuse.images._confidences import CONFIDENCES, mean_msp, quantile_msp, soft_dice
from recuse.images._losses import LOSSES, dice_loss, iou_loss, pixel_error

__all__ = [
    "CONFIDENCES",
    "LOSSES",
    "dice_loss",
    "iou_loss",
    "mean_msp",
    "pixel_error",
    "quantile_msp",
    "soft_dice",
]
