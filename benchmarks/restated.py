"""AURC as peers compute it, restated from their sources, or the package itself if installed."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch


def torch_uncertainty_aurc(confidence: torch.Tensor, loss: torch.Tensor) -> float:
    """torch-uncertainty 0.13: argsort, cumulated errors, trapezoids over [1/n, 1], rescaled."""
    n = loss.numel()
    steps = torch.arange(1, n + 1)
    risk = loss[confidence.argsort(descending=True)].cumsum(0) / steps
    return float(torch.trapezoid(risk, steps / n) / (1 - 1 / n))


def torch_uncertainty() -> tuple[str, Callable[[torch.Tensor, torch.Tensor], float]]:
    """Return a name and a function: the package's own class, or the formula above."""
    try:
        from benchmarks.peers import torch_uncertainty as imported
    except ImportError:
        return "torch-uncertainty (restated)", torch_uncertainty_aurc
    return "torch-uncertainty", lambda confidence, loss: imported("AURC", confidence, loss)


def fix_aurc(confidence: torch.Tensor, loss: torch.Tensor) -> float:
    """FixSelectiveClassification: sort with indices, cumulated risk, sklearn's auc from (0, 0)."""
    _, order = confidence.sort(descending=True)
    n = loss.numel()
    coverage = (1 + torch.arange(n)) / n
    risks = loss[order].cumsum(0) / n / coverage
    return float(np.trapezoid(np.r_[0.0, risks.numpy()], np.r_[0.0, coverage.numpy()]))


def fd_shifts_aurc(confidence: np.ndarray, loss: np.ndarray) -> float:
    """fd-shifts: a loop in Python over the sorted examples, a point at each new confidence."""
    order = np.argsort(confidence)
    c, residuals = confidence[order], loss[order].astype(float)
    covered, total = len(c), sum(residuals)
    coverages, risks = [1.0], [total / covered]
    for i in range(len(c) - 1):
        covered -= 1
        total -= residuals[i]
        if c[i] != c[i + 1]:
            coverages.append(covered / len(c))
            risks.append(total / covered)
    return -1000 * np.trapezoid([*risks, risks[-1]], [*coverages, 0.0])
