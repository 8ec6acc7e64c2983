"""Smoothed losses.

n = examples, K = classes (axis 1), ... = any trailing axes (pixels).

Sums are in float32, or float64 for float64 logits; the loss has the dtype of the
logits, and float32 under autocast, as in PyTorch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple

from recuse._check import InputError, extra
from recuse.targets import (
    Convention,
    as_uniform,
    check_choice,
    check_prior,
    check_smoothing,
    per_class,
    split_ignored,
)

if TYPE_CHECKING:
    import torch
    from jaxtyping import Bool, Float, Int
    from torch import Tensor
else:
    torch = extra("torch", "torch", "recuse.losses")

Reduction = Literal["none", "mean", "sum"]
WeightMode = Literal["per_class", "per_example"]


def smoothed_cross_entropy(
    logits: Float[Tensor, "n K ..."],
    target: Int[Tensor, "n ..."] | Float[Tensor, "n K ..."],
    smoothing: float = 0.1,
    *,
    weight: Float[Tensor, " K"] | None = None,
    ignore_index: int = -100,
    reduction: Reduction = "mean",
    convention: Convention = "uniform",
    prior: Float[Tensor, " K"] | None = None,
    weight_mode: WeightMode = "per_class",
) -> Float[Tensor, ...]:
    r"""Cross entropy against the smoothed target: $-\sum_k w_k q_k \log \pi_k$.

    q is `recuse.targets.smooth` of the target and $\pi$ the softmax. For labels this is
    `torch.nn.functional.cross_entropy(label_smoothing=)`, faster: the gradient
    $\sum_j w_j q_j\, \pi_k - w_k q_k$ is written over the log-probabilities while the loss
    is read from them. Labels and the same labels one-hot give the same loss.

    Args:
        logits: (n, K, ...), or (K,) of a single example.
        target: Labels (n, ...), or soft targets in the shape of the logits, whose rows sum
            to 1. No gradient flows to the target: one that requires it is refused.
        smoothing: At most 1; negative values sharpen (see `recuse.targets.smooth`).
        weight: Of each class, not negative.
        ignore_index: The label that has no loss; a soft target of zeros has none either.
        reduction: `mean` divides by the summed weight of the unsmoothed targets,
            $\sum_i \sum_k w_k t_{ik}$, for labels as PyTorch does and for soft targets too,
            which PyTorch divides by n. Where that is 0, since all labels are ignored,
            the loss and its gradient are 0 (PyTorch: NaN).
        convention: As in `recuse.targets.smooth`.
        prior: As in `recuse.targets.smooth`.
        weight_mode: `per_class` weights each class's term, as PyTorch does; `per_example`
            weights the whole loss of an example by $\sum_k w_k t_k$, which is $w_y$.

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
    _check_options(smoothing, reduction, convention, weight_mode)
    shape = logits.shape[:1] + logits.shape[2:]
    if logits.ndim == 1:
        logits, target, shape = logits[None], target[None], ()
    _check_shapes(logits, target)
    _check_weight(weight)
    check_prior(prior, convention)
    if torch.is_autocast_enabled(logits.device.type):
        logits = logits.float()
    k = logits.shape[1]
    a = as_uniform(smoothing, k, convention)
    rule = _Rule(
        a=a,
        background=a * per_class(prior, logits, 1 / k),
        weight=per_class(weight, logits, 1.0),
        num_classes=k,
        per_example=weight_mode == "per_example",
        mean=reduction == "mean",
    )
    if target.is_floating_point():
        terms = rule.for_soft(target)
    else:
        terms = rule.for_labels(*split_ignored(target, k, ignore_index))
    needs_gradient = logits.requires_grad and torch.is_grad_enabled()
    loss = _CrossEntropy.apply(logits, terms, reduction != "none", needs_gradient)
    return (loss.reshape(shape) if reduction == "none" else loss).to(logits.dtype)


class SmoothedCrossEntropy(torch.nn.Module):
    """`smoothed_cross_entropy` as a module; its arguments are described there.

    The class weights and the prior are buffers: they move with the module and are saved.

    >>> loss = SmoothedCrossEntropy(0.1)
    >>> loss(torch.zeros(2, 4), torch.tensor([3, 1]))
    tensor(1.3863)
    """

    def __init__(
        self,
        smoothing: float = 0.1,
        *,
        weight: Float[Tensor, " K"] | None = None,
        ignore_index: int = -100,
        reduction: Reduction = "mean",
        convention: Convention = "uniform",
        prior: Float[Tensor, " K"] | None = None,
        weight_mode: WeightMode = "per_class",
    ):
        super().__init__()
        _check_options(smoothing, reduction, convention, weight_mode)
        _check_weight(weight)
        check_prior(prior, convention)
        self.smoothing = smoothing
        self.ignore_index = ignore_index
        self.reduction = reduction
        self.convention = convention
        self.weight_mode = weight_mode
        self.weight: Tensor | None
        self.prior: Tensor | None
        self.register_buffer("weight", weight)
        self.register_buffer("prior", prior)

    def forward(
        self,
        logits: Float[Tensor, "n K ..."],
        target: Int[Tensor, "n ..."] | Float[Tensor, "n K ..."],
    ) -> Float[Tensor, ...]:
        """The loss of these logits."""
        return smoothed_cross_entropy(
            logits,
            target,
            self.smoothing,
            weight=self.weight,
            ignore_index=self.ignore_index,
            reduction=self.reduction,
            convention=self.convention,
            prior=self.prior,
            weight_mode=self.weight_mode,
        )

    def extra_repr(self) -> str:
        """The options, for `print`."""
        return (
            f"{self.smoothing}, ignore_index={self.ignore_index}, reduction={self.reduction!r}, "
            f"convention={self.convention!r}, weight_mode={self.weight_mode!r}"
        )


class _CrossEntropy(torch.autograd.Function):
    r"""The sum over k of $-c_k \log \pi_k$, its gradient written in the same buffer."""

    @staticmethod
    def forward(ctx, logits, terms, add_up, needs_gradient):
        dtype = torch.promote_types(logits.dtype, torch.float32)
        log_probs = torch.log_softmax(logits, 1, dtype=dtype)
        loss = terms.cross_entropy(log_probs)
        if needs_gradient:
            gradient = terms.subtract_from(log_probs.exp_().mul_(terms.total))
            ctx.save_for_backward(logits, gradient, terms.total)
        return loss.sum() if add_up else loss

    @staticmethod
    def backward(ctx, upstream):  # ty: ignore[incompatible-method-override]
        logits, gradient, total = ctx.saved_tensors
        if torch.is_grad_enabled():  # create_graph: of the gradient, only the softmax varies
            probs = torch.softmax(logits, 1, dtype=gradient.dtype)
            gradient = (gradient + total * (probs - probs.detach())) * upstream
        elif not _is_one(upstream):
            gradient = gradient * upstream
        return gradient.to(logits.dtype), None, None, None


class _LabelTerms(NamedTuple):
    """c_k = pull at the label + spread * background_k, without a tensor (n, K, ...) of them."""

    labels: Int[Tensor, "n 1 ..."]
    kept: Bool[Tensor, "n 1 ..."]  # pull and spread are 0 elsewhere
    pull: Float[Tensor, "n 1 ..."]
    spread: Float[Tensor, "n 1 ..."]
    background: Float[Tensor, "1 K ..."] | None  # one class wide if uniform, None if 0
    total: Float[Tensor, "n 1 ..."]  # of c_k over the classes

    def cross_entropy(self, log_probs):
        rows = self.pull * log_probs.gather(1, self.labels)
        if self.background is not None:
            rows += self.spread * _weighted_sum(log_probs, self.background)
        return -torch.where(self.kept, rows, 0)

    def subtract_from(self, gradient):
        if self.background is not None:
            gradient -= self.spread * self.background
        return gradient.scatter_add_(1, self.labels, -self.pull)


class _SoftTerms(NamedTuple):
    """c_k = pull * target_k + spread * background_k."""

    target: Float[Tensor, "n K ..."]
    pull: Float[Tensor, "n 1 ..."]
    spread: Float[Tensor, "n 1 ..."]
    background: Float[Tensor, "1 K ..."] | None
    total: Float[Tensor, "n 1 ..."]

    def cross_entropy(self, log_probs):
        rows = self.pull * _weighted_sum(log_probs, self.target)
        if self.background is not None:
            rows += self.spread * _weighted_sum(log_probs, self.background)
        return -rows

    def subtract_from(self, gradient):
        if self.background is not None:
            gradient -= self.spread * self.background
        return gradient.addcmul_(self.target, self.pull, value=-1)


class _Rule(NamedTuple):
    """How targets become the coefficients c_k: smoothed, weighted, and divided for the mean."""

    a: float
    background: Float[Tensor, "1 K ..."]  # one class wide if uniform
    weight: Float[Tensor, "1 K ..."]  # one class wide if none is given
    num_classes: int
    per_example: bool
    mean: bool

    def for_labels(self, labels, kept) -> _LabelTerms:
        labels, kept = labels.unsqueeze(1), kept.unsqueeze(1)
        example_weight = self.weight.flatten().expand(self.num_classes).take(labels) * kept
        scale = self._scale(example_weight)
        pull = (1 - self.a) * scale * example_weight
        spread = scale * (example_weight if self.per_example else kept.to(example_weight.dtype))
        background = self.background * (1 if self.per_example else self.weight)
        total = pull + spread * (background.mean() * self.num_classes)
        return _LabelTerms(labels, kept, pull, spread, background if self.a else None, total)

    def for_soft(self, target) -> _SoftTerms:
        target = target.to(self.weight.dtype)
        mass = target.sum(1, keepdim=True)
        example_weight = _weighted_sum(target, self.weight)
        scale = self._scale(example_weight)
        if self.per_example:
            scale, background, target_sum = scale * example_weight, self.background, mass
        else:
            target = target * self.weight if self.weight.shape[1] > 1 else target
            background, target_sum = self.background * self.weight, example_weight
        pull, spread = (1 - self.a) * scale, scale * mass
        total = pull * target_sum + spread * (background.mean() * self.num_classes)
        return _SoftTerms(target, pull, spread, background if self.a else None, total)

    def _scale(self, example_weight) -> Float[Tensor, ""]:
        """1 over what the mean divides by; 0 where nothing is left to learn from."""
        if not self.mean:
            return example_weight.new_ones(())
        total = example_weight.sum()
        return torch.where(total > 0, 1 / total, 0)


def _weighted_sum(
    x: Float[Tensor, "n K ..."], weight: Float[Tensor, "n K ..."]
) -> Float[Tensor, "n 1 ..."]:
    """The sum of weight * x over the classes; one weight for all of them costs no product."""
    if weight.shape[1] == 1:
        return weight * x.sum(1, keepdim=True)
    return torch.linalg.vecdot(weight, x, dim=1).unsqueeze(1)


def _is_one(upstream: Tensor) -> bool:
    """Whether the loss itself is the root; asked only where the answer is free."""
    if torch.compiler.is_compiling() or upstream.ndim or not upstream.is_cpu:
        return False
    return upstream.item() == 1


def _check_options(smoothing, reduction, convention, weight_mode) -> None:
    """What can be checked before there are logits."""
    check_smoothing(smoothing)
    check_choice(reduction, "reduction", Reduction)
    check_choice(convention, "convention", Convention)
    check_choice(weight_mode, "weight_mode", WeightMode)


def _check_weight(weight: Tensor | None) -> None:
    """Class weights are finite and not negative."""
    if weight is None or torch.compiler.is_compiling():  # values cannot be looked at
        return
    if not ((weight >= 0) & weight.isfinite()).all():
        raise InputError(f"expected `weight` finite and not negative, got {weight.tolist()}")


def _check_shapes(logits: Tensor, target: Tensor) -> None:
    """Logits (n, K, ...) and labels (n, ...) or soft targets (n, K, ...) without a gradient."""
    shape = tuple(logits.shape)
    if not logits.is_floating_point():
        raise InputError(f"expected `logits` of a floating dtype, got {logits.dtype}")
    if len(shape) < 2 or shape[1] < 2:
        raise InputError(
            f"expected `logits` of shape (n, K, ...) with K >= 2 classes on axis 1, got {shape}"
        )
    soft = target.is_floating_point()
    expected = shape if soft else shape[:1] + shape[2:]
    if tuple(target.shape) != expected:
        kind = "soft" if soft else "integer"
        raise InputError(
            f"expected {kind} `target` of shape {expected} for logits of shape {shape}, "
            f"got {tuple(target.shape)}"
        )
    if target.requires_grad:
        raise InputError("expected `target` without a gradient, which would not flow: detach it")
