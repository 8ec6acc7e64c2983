"""Cross entropy against smoothed targets.

n = examples, K = classes (axis 1), ... = any trailing axes (pixels).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from recuse.errors import InputError
from recuse.losses._functions import CrossEntropy, FusedCrossEntropy, Rule, can_be_fused
from recuse.losses._options import (
    LossModule,
    Normalize,
    Reduction,
    WeightMode,
    as_weight,
    check_shapes,
)
from recuse.losses.targets import (
    Convention,
    as_uniform,
    check_choice,
    check_prior,
    check_smoothing,
    per_class,
    per_label,
    split_ignored,
    values_are_hidden,
    warn_if_smoothed,
)

if TYPE_CHECKING:
    from jaxtyping import Float, Int
    from torch import Tensor

    from recuse.losses._options import Weight


def smoothed_cross_entropy(
    logits: Float[Tensor, "n K ..."],
    target: Int[Tensor, "n ..."] | Float[Tensor, "n K ..."],
    smoothing: float = 0.1,
    *,
    weight: Weight | None = None,
    ignore_index: int = -100,
    reduction: Reduction = "mean",
    convention: Convention = "uniform",
    prior: Float[Tensor, "*K K"] | None = None,
    weight_mode: WeightMode = "per_class",
    normalize: Normalize = "weights",
    overwrite_logits: bool = False,
) -> Float[Tensor, ...]:
    r"""Cross entropy against the smoothed target: $-\sum_k w_k q_k \log \pi_k$.

    q is `recuse.targets.smooth` of the target and $\pi$ the softmax. For labels this is
    `torch.nn.functional.cross_entropy(label_smoothing=)`, faster: the gradient
    $\sum_j w_j q_j\, \pi_k - w_k q_k$ is written while the loss is computed, and for labels
    and float32 logits on the CPU both come from one pass over the logits, with the extra `fast`
    (numba compiles it at the first call and keeps the result on disk). Labels and the same
    labels one-hot give the same loss.

    Args:
        logits: (n, K, ...), or (K,) of a single example. A class masked by -inf costs nothing
            where the smoothed target has no mass on it, and infinitely much where it has.
        target: Labels (n, ...), or soft targets in the shape of the logits, whose rows sum
            to 1. No gradient flows to the target: one that requires it is refused.
        smoothing: At most 1; negative values sharpen (see `recuse.targets.smooth`).
        weight: One for each class, not negative: a tensor, an array or a list.
        ignore_index: The label that has no loss; a soft target of zeros has none either.
        reduction: `mean` divides by the summed weight of the unsmoothed targets,
            $\sum_i \sum_k w_k t_{ik}$, for labels as PyTorch does and for soft targets too,
            which PyTorch divides by n. Where that is 0, since all labels are ignored,
            the loss and its gradient are 0 (PyTorch: NaN). See `normalize`.
        convention: As in `recuse.targets.smooth`.
        prior: As in `recuse.targets.smooth`.
        weight_mode: `per_class` weights each class's term, as PyTorch does; `per_example`
            weights the whole loss of an example by $\sum_k w_k t_k$, which is $w_y$.
        normalize: What `mean` divides by: the `weights` described there, or the number of
            `examples` that are not ignored, as PyTorch does for soft targets.
        overwrite_logits: Write the gradient over the logits, which saves their size in memory
            and is faster still. The logits are destroyed: read predictions from them
            before. Backward runs once, and has no second derivative. Without effect where no
            gradient is wanted, or where the single pass does not apply.

    Returns:
        A scalar, or for `none` the shape of the labels.

    Raises:
        InputError: A shape, label, weight or option that is not as described.

    References:
        Szegedy et al., CVPR 2016. Wei et al., ICML 2022 (negative smoothing).

    >>> logits = torch.tensor([[2.0, 0.0, 0.0], [0.0, 1.0, 0.0]])
    >>> smoothed_cross_entropy(logits, torch.tensor([0, 1]), 0.1)
    tensor(0.4955)
    """
    _check_options(smoothing, reduction, convention, weight_mode, normalize)
    shape = logits.shape[:1] + logits.shape[2:]
    if logits.ndim == 1:
        logits, target, shape = logits[None], target[None], ()
    check_shapes(logits, target)
    weight = as_weight(weight, device=logits.device)
    check_prior(prior, convention)
    if torch.is_autocast_enabled(logits.device.type):
        logits = logits.float()
    k = logits.shape[1]
    a = as_uniform(smoothing, k, convention)
    matrix = prior is not None and prior.ndim == 2
    rule = Rule(
        a=a,
        background=a * per_class(None if matrix else prior, logits, 1 / k),
        similarity=a * per_label(prior, logits) if matrix else None,
        weight=per_class(weight, logits, 1.0),
        num_classes=k,
        per_example=weight_mode == "per_example",
        mean=reduction == "mean",
        count_examples=normalize == "examples",
    )
    needs_gradient = logits.requires_grad and torch.is_grad_enabled()
    if overwrite_logits and needs_gradient and logits.is_leaf:
        raise InputError("expected logits computed by a model to overwrite, got a leaf tensor")
    add_up = reduction != "none"
    if can_be_fused(logits, target, rule):
        loss = FusedCrossEntropy.apply(
            logits, target, ignore_index, rule, add_up, needs_gradient, overwrite_logits
        )
    else:
        if target.is_floating_point():
            warn_if_smoothed(target, smoothing)
            terms = rule.for_soft(target)
        else:
            terms = rule.for_labels(*split_ignored(target, k, ignore_index))
        if values_are_hidden() and not torch.compiler.is_compiling():  # torch.func: plain torch
            loss, _ = terms.loss(logits, torch.promote_types(logits.dtype, torch.float32))
            loss = loss.sum() if add_up else loss
        else:
            loss = CrossEntropy.apply(logits, terms, add_up, needs_gradient)
    return (loss if add_up else loss.reshape(shape)).to(logits.dtype)


class SmoothedCrossEntropy(LossModule):
    """`smoothed_cross_entropy` as a module; its arguments are described there.

    The class weights and the prior are buffers: they move with the module and are saved.

    >>> loss = SmoothedCrossEntropy(0.1)
    >>> loss(torch.zeros(2, 4), torch.tensor([3, 1]))
    tensor(1.3863)
    """

    function = staticmethod(smoothed_cross_entropy)

    def __init__(
        self,
        smoothing: float = 0.1,
        *,
        weight: Weight | None = None,
        ignore_index: int = -100,
        reduction: Reduction = "mean",
        convention: Convention = "uniform",
        prior: Float[Tensor, "*K K"] | None = None,
        weight_mode: WeightMode = "per_class",
        normalize: Normalize = "weights",
        overwrite_logits: bool = False,
    ):
        _check_options(smoothing, reduction, convention, weight_mode, normalize)
        check_prior(prior, convention)
        super().__init__(
            smoothing,
            ignore_index=ignore_index,
            reduction=reduction,
            convention=convention,
            weight_mode=weight_mode,
            normalize=normalize,
            overwrite_logits=overwrite_logits,
            buffers={"weight": as_weight(weight), "prior": prior},
        )


def _check_options(smoothing, reduction, convention, weight_mode, normalize) -> None:
    """Check the options that need no logits."""
    check_smoothing(smoothing)
    check_choice(reduction, "reduction", Reduction)
    check_choice(convention, "convention", Convention)
    check_choice(weight_mode, "weight_mode", WeightMode)
    check_choice(normalize, "normalize", Normalize)
