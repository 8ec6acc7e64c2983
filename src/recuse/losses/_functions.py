r"""Two autograd functions that write the gradient of a cross entropy while they compute it.

`CrossEntropy` is torch only, for every device and dtype. `FusedCrossEntropy` calls the loops of
`recuse._kernels.losses`: float32 on the CPU, labels, in one pass over the logits, with the extra
`fast`. Training repeats its calls, which repays the start of numba. `Rule` has the
coefficients of the smoothed cross entropy, $-\sum_k c_k \log \pi_k$.

n = examples, K = classes (axis 1), ... = any trailing axes (pixels).
"""

from __future__ import annotations

import math
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, NamedTuple

import torch

from recuse import _kernels
from recuse.errors import InputError
from recuse.losses.targets import check_label_range, split_ignored, values_are_hidden

if TYPE_CHECKING:
    from jaxtyping import Bool, Float, Int
    from torch import Tensor

# Below, torch is as fast, and nobody waits for numba to compile.
SMALLEST_FUSED = 1 << 15
# What a thread has to do at least.
SMALLEST_SHARE = 1 << 18
INTEGERS = (torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8)


class CrossEntropy(torch.autograd.Function):
    r"""The sum over k of $-c_k \log \pi_k$, its gradient written in the same buffer."""

    @staticmethod
    def forward(ctx, logits, terms, add_up, needs_gradient):
        """Return the loss; `Rule` makes the terms."""
        dtype = torch.promote_types(logits.dtype, torch.float32)
        loss, probs = terms.loss(logits, dtype)
        if needs_gradient:
            gradient = terms.subtract_from(terms.as_probs_(probs).mul_(terms.total))
            ctx.save_for_backward(logits, gradient, terms.total)
        return loss.sum() if add_up else loss

    @staticmethod
    def backward(ctx, upstream):  # ty: ignore[incompatible-method-override]
        """Return the written gradient times upstream."""
        logits, gradient, total = ctx.saved_tensors
        gradient = _through(upstream, gradient, logits, lambda: total)
        return gradient.to(logits.dtype), None, None, None


class FusedCrossEntropy(torch.autograd.Function):
    """Cross entropy of labels, by the loops of `recuse._kernels.losses`."""

    @staticmethod
    def forward(ctx, logits, labels, ignore_index, rule, add_up, needs_gradient, overwrite):
        """Return the loss; with `overwrite`, its gradient lies in the memory of the logits."""
        gradient = None
        if needs_gradient:
            gradient = logits.detach() if overwrite else torch.empty_like(logits)
        loss = _run(logits.detach(), labels, ignore_index, rule, gradient, add_up)
        if needs_gradient:
            ctx.rule, ctx.ignore_index, ctx.overwrite = rule, ignore_index, overwrite
            if overwrite:  # whoever needs the logits afterwards is told
                torch.autograd.graph.increment_version(logits)
                ctx.save_for_backward(gradient)
            else:
                ctx.save_for_backward(gradient, logits, labels)
        return loss

    @staticmethod
    def backward(ctx, upstream):  # ty: ignore[incompatible-method-override]
        """Return the written gradient times upstream."""
        if ctx.overwrite:
            if torch.is_grad_enabled():
                raise InputError("expected no second derivative with `overwrite_logits=True`")
            (gradient,) = ctx.saved_tensors
            gradient = gradient if is_one(upstream) else gradient.mul_(upstream)
        else:
            gradient, logits, labels = ctx.saved_tensors

            def total():
                index, kept = split_ignored(labels, logits.shape[1], ctx.ignore_index)
                return ctx.rule.for_labels(index, kept).total

            gradient = _through(upstream, gradient, logits, total)
        return gradient, None, None, None, None, None, None


def can_be_fused(logits: Tensor, target: Tensor, rule) -> bool:
    """Return whether the loops can take these logits, labels and weights."""
    if values_are_hidden() or torch.jit.is_tracing():
        return False
    return (
        type(logits) in (torch.Tensor, torch.nn.Parameter)
        and type(target) is torch.Tensor
        and logits.dtype == torch.float32
        and target.dtype in INTEGERS
        and logits.numel() >= SMALLEST_FUSED
        and all(x.device.type == "cpu" for x in (logits, target, rule.weight, rule.background))
        and rule.similarity is None
        and (logits.is_contiguous() or logits.movedim(1, -1).is_contiguous())
        and _kernels.installed()
    )


def is_one(upstream: Tensor) -> bool:
    """Return whether the loss itself is the root, where this costs no transfer."""
    if torch.compiler.is_compiling() or upstream.ndim or not upstream.is_cpu:
        return False
    return upstream.item() == 1


def _through(upstream, gradient, logits, total):
    """Return upstream times the gradient, with a graph if one is asked for."""
    if torch.is_grad_enabled():  # create_graph: of the gradient, only the softmax varies
        probs = torch.softmax(logits, 1, dtype=gradient.dtype)
        return (gradient + total() * (probs - probs.detach())) * upstream
    return gradient if is_one(upstream) else gradient * upstream


def _run(logits, labels, ignore_index, rule, gradient, add_up) -> Tensor:
    """Return the loss, summed or (n, 1, ...), and write the gradient if it has a buffer."""
    from recuse._kernels import losses as kernels

    k = logits.shape[1]
    coefficients, background, weight = (x.numpy() for x in rule.table())
    y = labels.long().contiguous()
    summed, kept, low, high = kernels.survey(y.flatten().numpy(), ignore_index, weight)
    if kept:
        check_label_range(low, high, k, ignore_index)
    if rule.mean:
        divisor = kept if rule.count_examples else summed
        coefficients = coefficients / divisor if divisor > 0 else 0 * coefficients
    in_rows = logits.movedim(1, -1).is_contiguous()

    def view(x):
        if in_rows:
            return x.movedim(1, -1).reshape(-1, k).numpy()
        return x.reshape(x.shape[0], k, -1).numpy()

    z = view(logits)
    shape = (z.shape[0],) if in_rows else (z.shape[0], z.shape[2])
    losses = torch.empty((0,) * len(shape) if add_up else shape)
    # Without a gradient: scratch of one row, which each share has for itself.
    scratch = gradient is None
    loop = kernels.rows if in_rows else kernels.planes
    blocks = 1 if in_rows else -(-z.shape[2] // kernels.pixels_per_block(k))

    def share(first, last):
        out = torch.empty((int(in_rows), *z.shape[1:])).numpy() if scratch else view(gradient)
        return loop(
            z,
            y.reshape(shape).numpy(),
            ignore_index,
            coefficients.astype("float32"),
            background.astype("float32"),
            out,
            losses.numpy(),
            first,
            last,
        )

    total = math.fsum(_in_threads(share, z.shape[0] * blocks, logits.numel()))
    if add_up:
        return logits.new_tensor(total)
    return losses.reshape(labels.unsqueeze(1).shape)


def _in_threads(share, steps: int, size: int) -> list[float]:
    """Call share(first, last) over all steps, on as many threads as torch uses."""
    threads = min(torch.get_num_threads(), steps, max(1, size // SMALLEST_SHARE))
    if threads == 1:
        return [share(0, steps)]
    ends = [steps * i // threads for i in range(threads + 1)]
    with ThreadPoolExecutor(threads) as pool:
        return list(pool.map(share, ends[:-1], ends[1:]))


class LabelTerms(NamedTuple):
    """c_k = pull at the label + spread * background_k, without a tensor (n, K, ...) of them."""

    labels: Int[Tensor, "n 1 ..."]
    kept: Bool[Tensor, "n 1 ..."]  # pull and spread are 0 elsewhere
    pull: Float[Tensor, "n 1 ..."]
    spread: Float[Tensor, "n 1 ..."]
    background: Float[Tensor, "1 K ..."] | None  # one class wide if uniform, None if 0
    total: Float[Tensor, "n 1 ..."]  # of c_k over the classes

    def loss(self, logits, dtype):
        """Return the loss of each example, and what `as_probs_` takes: the softmax.

        The log-sum-exp is the top logit less the log of its probability, which is at least
        1/K: one exponential of each logit is enough.
        """
        probs = torch.softmax(logits, 1, dtype=dtype)
        log_sum = logits.amax(1, keepdim=True) - probs.amax(1, keepdim=True).log()
        rows = _times(self.pull, logits.gather(1, self.labels) - log_sum)
        if self.background is not None:
            sums = weighted_sum(logits, self.background, dtype)
            sums = sums - log_sum * total_over(self.background, logits.shape[1])
            rows = rows + _times(self.spread, sums)
        return -torch.where(self.kept, rows, 0), probs

    @staticmethod
    def as_probs_(probs):
        """Return the softmax in the same memory."""
        return probs

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

    def loss(self, logits, dtype):
        """Return the loss of each example, and what `as_probs_` takes: log-probabilities."""
        log_probs = torch.log_softmax(logits, 1, dtype=dtype)
        rows = _times(self.pull, weighted_sum(log_probs, self.target, dtype))
        if self.background is not None:
            sums = weighted_sum(log_probs, self.background, dtype)
            rows = rows + _times(self.spread, sums)
        return -rows, log_probs

    @staticmethod
    def as_probs_(log_probs):
        """Return the softmax in the same memory."""
        return log_probs.exp_()

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
        example_weight = self.weight.flatten().expand(self.num_classes)[labels] * kept
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
    """Return the sum of weight * x over the classes; one weight for all costs no product.

    A class without weight counts for nothing, even if its x is -inf. Where looking is free, the
    products with 0 are left out only if they have made a NaN.
    """
    if weight.shape[1] == 1:
        return weight * x.sum(1, keepdim=True, dtype=dtype)
    weight, x = weight.to(dtype), x.to(dtype)
    if x.is_cpu and not values_are_hidden():
        sums = torch.linalg.vecdot(weight, x, dim=1).unsqueeze(1)
        if not sums.detach().sum().isnan():
            return sums
    return torch.linalg.vecdot(weight, torch.where(weight == 0, 0, x), dim=1).unsqueeze(1)


def _times(factor: Float[Tensor, "n 1 ..."], x: Float[Tensor, "n 1 ..."]) -> Tensor:
    """Return the product, where 0 times -inf is 0."""
    return torch.where((factor == 0) & x.isinf(), 0, factor * x)


def total_over(weight: Float[Tensor, "n K ..."], num_classes: int) -> Float[Tensor, "n 1 ..."]:
    """Return the sum of weights over the classes; there may be one weight for all."""
    return weight.mean(1, keepdim=True) * num_classes
