"""Coefficients of the smoothed cross entropy, $-\\sum_k c_k \\log \\pi_k$.

n = examples, K = classes (axis 1), ... = any trailing axes (pixels).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import torch

if TYPE_CHECKING:
    from jaxtyping import Bool, Float, Int
    from torch import Tensor


class LabelTerms(NamedTuple):
    """c_k = pull at the label + spread * background_k, without a tensor (n, K, ...) of them."""

    labels: Int[Tensor, "n 1 ..."]
    kept: Bool[Tensor, "n 1 ..."]  # pull and spread are 0 elsewhere
    pull: Float[Tensor, "n 1 ..."]
    spread: Float[Tensor, "n 1 ..."]
    background: Float[Tensor, "1 K ..."] | None  # one class wide if uniform, None if 0
    total: Float[Tensor, "n 1 ..."]  # of c_k over the classes

    def loss_and_probs(self, logits, dtype):
        """Return the loss of each example, and the softmax.

        The log-sum-exp is the top logit less the log of its probability, which is at least
        1/K: one exponential of each logit is enough.
        """
        probs = torch.softmax(logits, 1, dtype=dtype)
        log_sum = logits.amax(1, keepdim=True) - probs.amax(1, keepdim=True).log()
        rows = self.pull * (logits.gather(1, self.labels) - log_sum)
        if self.background is not None:
            sums = weighted_sum(logits, self.background, dtype)
            rows += self.spread * (sums - log_sum * total_over(self.background, logits.shape[1]))
        return -torch.where(self.kept, rows, 0), probs

    def subtract_from(self, gradient):
        """Gradient - c, in place."""
        if self.background is not None:
            gradient -= self.spread * self.background
        return gradient.scatter_add_(1, self.labels, -self.pull)


class SoftTerms(NamedTuple):
    """c_k = pull * target_k + spread * background_k."""

    target: Float[Tensor, "n K ..."]
    pull: Float[Tensor, "n 1 ..."]
    spread: Float[Tensor, "n 1 ..."]
    background: Float[Tensor, "1 K ..."] | None
    total: Float[Tensor, "n 1 ..."]

    def loss_and_probs(self, logits, dtype):
        """Return the loss of each example, and the softmax."""
        log_probs = torch.log_softmax(logits, 1, dtype=dtype)
        rows = self.pull * weighted_sum(log_probs, self.target, dtype)
        if self.background is not None:
            rows += self.spread * weighted_sum(log_probs, self.background, dtype)
        return -rows, log_probs.exp_()

    def subtract_from(self, gradient):
        """Gradient - c, in place."""
        if self.background is not None:
            gradient -= self.spread * self.background
        return gradient.addcmul_(self.target, self.pull, value=-1)


class LabelTable(NamedTuple):
    """Terms of each label in float64, before the division for the mean."""

    coefficients: Float[Tensor, "3 K"]  # pull, spread and total
    background: Float[Tensor, " K"]  # or (1,) if uniform
    weight: Float[Tensor, " K"]


class Rule(NamedTuple):
    """Map from targets to the coefficients c_k: smoothed, weighted, and divided for the mean."""

    a: float
    background: Float[Tensor, "1 K ..."]  # a * prior; one class wide if uniform
    similarity: Float[Tensor, "K K"] | None  # a * prior if that is a row for each label
    weight: Float[Tensor, "1 K ..."]  # one class wide if none is given
    num_classes: int
    per_example: bool
    mean: bool
    count_examples: bool  # the mean divides by examples, not by their weights

    def for_labels(self, labels, kept) -> LabelTerms:
        """Return the terms of labels (n, ...), 0 where they are not kept."""
        background = self.background
        if self.similarity is not None:
            background = self.similarity[labels].movedim(-1, 1)
        labels, kept = labels.unsqueeze(1), kept.unsqueeze(1)
        example_weight = self.weight.flatten().expand(self.num_classes).take(labels) * kept
        counted = kept.to(example_weight.dtype)
        scale = self._scale(example_weight, counted)
        pull = (1 - self.a) * scale * example_weight
        spread = scale * (example_weight if self.per_example else counted)
        background = background * (1 if self.per_example else self.weight)
        total = pull + spread * total_over(background, self.num_classes)
        return LabelTerms(labels, kept, pull, spread, background if self.a else None, total)

    def for_soft(self, target) -> SoftTerms:
        """Return the terms of soft targets (n, K, ...)."""
        target = target.to(self.weight.dtype)
        mass = target.sum(1, keepdim=True)
        example_weight = weighted_sum(target, self.weight, target.dtype)
        scale = self._scale(example_weight, (mass != 0).to(mass.dtype))
        background, spread = self.background, scale * mass
        if self.similarity is not None:  # the mass is in it
            background = torch.tensordot(target, self.similarity, dims=([1], [0])).movedim(-1, 1)
            spread = scale.expand_as(mass)
        if self.per_example:
            scale, target_sum = scale * example_weight, mass
            spread = spread * example_weight
        else:
            target = target * self.weight if self.weight.shape[1] > 1 else target
            background, target_sum = background * self.weight, example_weight
        pull = (1 - self.a) * scale
        total = pull * target_sum + spread * total_over(background, self.num_classes)
        return SoftTerms(target, pull, spread, background if self.a else None, total)

    def table(self) -> LabelTable:
        """Return the terms of `for_labels`, once for each label instead of each example."""
        weight = self.weight.flatten().double().expand(self.num_classes)
        background = self.background.flatten().double()
        pull, spread = (1 - self.a) * weight, weight
        if not self.per_example:
            spread = torch.ones_like(weight)
            background = background * self.weight.flatten()
        total = pull + spread * (background.mean() * self.num_classes)
        return LabelTable(torch.stack([pull, spread, total]), background, weight)

    def _scale(self, example_weight, counted) -> Float[Tensor, ""]:
        """Return 1 over the divisor of the mean; 0 where nothing is left to learn from."""
        if not self.mean:
            return example_weight.new_ones(())
        total = (counted if self.count_examples else example_weight).sum()
        return torch.where(total > 0, 1 / total, 0)


def weighted_sum(
    x: Float[Tensor, "n K ..."], weight: Float[Tensor, "n K ..."], dtype: torch.dtype
) -> Float[Tensor, "n 1 ..."]:
    """Return the sum of weight * x over the classes; one weight for all costs no product."""
    if weight.shape[1] == 1:
        return weight * x.sum(1, keepdim=True, dtype=dtype)
    return torch.linalg.vecdot(weight.to(dtype), x.to(dtype), dim=1).unsqueeze(1)


def total_over(weight: Float[Tensor, "n K ..."], num_classes: int) -> Float[Tensor, "n 1 ..."]:
    """Return the sum of weights over the classes; there may be one weight for all."""
    return weight.mean(1, keepdim=True) * num_classes
