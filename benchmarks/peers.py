"""Peers as installed packages; importing this module fails if they are missing.

`make bench` builds an environment that has them. torch-uncertainty imports torchvision, whose
operators do not load on a machine without CUDA, so they are declared first.
"""

from __future__ import annotations

from importlib.util import find_spec

import torch

if find_spec("torch_uncertainty") is None:
    raise ModuleNotFoundError("torch-uncertainty is not installed")

try:
    torch.ops.torchvision.nms  # noqa: B018
except (AttributeError, RuntimeError):
    LIBRARY = torch.library.Library("torchvision", "DEF")  # valid as long as it is referenced
    SIGNATURE = "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"
    LIBRARY.define(f"nms{SIGNATURE}")
    LIBRARY.define(f"qnms{SIGNATURE}")

from torch_uncertainty.metrics import classification


def torch_uncertainty(name, confidence, loss, **options) -> float:
    """Compute the metric of this name from confidences and 0-1 losses set as its states."""
    metric = getattr(classification, name)(**options)
    metric.scores = [torch.as_tensor(confidence)]
    metric.errors = [torch.as_tensor(loss).float()]
    metric._update_count = 1
    return float(metric.compute())
