"""Two autograd functions that write the gradient of a cross entropy while they compute it.

n = examples, K = classes (axis 1), ... = any trailing axes (pixels).

`CrossEntropy` is torch only, for every device and dtype. `FusedCrossEntropy` calls the
loops of `recuse._kernels.losses`: float32 on the CPU, labels, in one pass over the logits.
"""

from __future__ import annotations

import math
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import torch

from recuse.errors import InputError
from recuse.losses.targets import check_label_range, split_ignored

if TYPE_CHECKING:
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
        loss, probs = terms.loss_and_probs(logits, dtype)
        if needs_gradient:
            gradient = terms.subtract_from(probs.mul_(terms.total))
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
    if torch.compiler.is_compiling() or torch.jit.is_tracing():
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
