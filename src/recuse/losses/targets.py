"""Label distributions: what a smoothed loss asks the softmax to become.

n = examples, K = classes (axis 1), ... = any trailing axes (pixels).

A target is t (n, K, ...): one-hot for a label, zero in every class where the label is
ignored. Smoothing is linear in t, so an ignored row stays zero and a mixture of two
labels (MixUp) is smoothed to the same mixture of their smoothed targets.
"""

from __future__ import annotations

import math
import warnings
from typing import TYPE_CHECKING, Literal, get_args

from recuse._internal.check import extra, is_number
from recuse.errors import InputError

if TYPE_CHECKING:
    import torch
    from jaxtyping import Bool, Float, Int
    from torch import Tensor
else:
    torch = extra("torch", "torch", "recuse.targets")

Convention = Literal["uniform", "exclude_true"]

PRIOR_TOLERANCE = 1e-3  # on the sum of a prior: it may have been rounded to float16

_watching = True  # for targets that are smoothed twice, until some are found


def smooth(
    labels_or_probs: Int[Tensor, "n ..."] | Float[Tensor, "n K ..."],
    num_classes: int,
    smoothing: float,
    *,
    convention: Convention = "uniform",
    prior: Float[Tensor, "*K K"] | None = None,
    ignore_index: int = -100,
) -> Float[Tensor, "n K ..."]:
    r"""Return the smoothed target of each example.

    With $t$ the one-hot or soft target and $a$ the smoothing,

    - `uniform`: $q = (1 - a)\, t + a / K$ (PyTorch, TensorFlow, Composer, timm);
    - `uniform` with a prior: $q = (1 - a)\, t + a \pi$, or with a prior for each label
      (rows of P): $q = (1 - a)\, t + a\, t P$;
    - `exclude_true`: $1 - a$ at the label and $a / (K - 1)$ elsewhere (fairseq), which is
      `uniform` with $a K / (K - 1)$.

    Args:
        labels_or_probs: Integer labels, or soft targets of a floating dtype; a row of
            zeros is an ignored example.
        num_classes: K, at least 2.
        smoothing: At most 1, where nothing of the label is left; above, the uniform target
            would teach against the label. Negative values sharpen (Wei et al.): the label
            gets more than 1 and the others less than 0, without a lower limit.
        convention: Who shares the smoothed mass: all classes, or all but the label.
        prior: Probabilities that take the place of the uniform ones; `uniform` only. As
            (K, K), row j is what label j is smoothed with, such as its similar classes.
        ignore_index: The label whose row is zero in every class.

    Returns:
        The dtype of soft targets; the default dtype for labels.

    Raises:
        InputError: A shape, label, prior or smoothing that is not as described.

    References:
        Szegedy et al., CVPR 2016. Wei et al., ICML 2022 (negative smoothing).

    >>> smooth(torch.tensor([2, -100]), 4, 0.2)
    tensor([[0.0500, 0.0500, 0.8500, 0.0500],
            [0.0000, 0.0000, 0.0000, 0.0000]])
    """
    a = as_uniform(smoothing, num_classes, convention)
    target = _dense(labels_or_probs, num_classes, ignore_index)
    if target is labels_or_probs:
        warn_if_smoothed(target, smoothing)
    check_prior(prior, convention)
    if prior is not None and prior.ndim == 2:
        matrix = per_label(prior, target)
        background = torch.tensordot(target.to(matrix.dtype), matrix, dims=([1], [0]))
        background = background.movedim(-1, 1)
    else:
        mass = target.sum(1, keepdim=True)
        background = per_class(prior, target, 1 / num_classes) * mass
    smoothed = (1 - a) * target + a * background
    return smoothed.to(target.dtype)


def smooth_labels(
    logits: Float[Tensor, "n K ..."],
    target: Int[Tensor, "n ..."] | Float[Tensor, "n K ..."],
    smoothing: float = 0.1,
    *,
    ignore_index: int = -100,
) -> Float[Tensor, "n K ..."]:
    """`smooth` with the arguments of Composer's `smooth_labels`, and its result.

    One difference: an ignored label stays ignored. Composer makes it a uniform target,
    which is trained.

    Args:
        logits: Only their shape is used.
        target: Labels, or targets in the shape of the logits.
        smoothing: As in `smooth`.
        ignore_index: As in `smooth`.

    Returns:
        float32, as Composer does.

    Raises:
        InputError: A shape, label or smoothing that is not as described.

    >>> smooth_labels(torch.zeros(1, 4), torch.tensor([2]), 0.2)
    tensor([[0.0500, 0.0500, 0.8500, 0.0500]])
    """
    if logits.ndim < 2:
        raise InputError(f"expected `logits` of shape (n, K, ...), got {tuple(logits.shape)}")
    of_labels = logits.shape[:1] + logits.shape[2:]
    if target.shape not in (logits.shape, of_labels):
        raise InputError(
            f"expected `target` of shape {tuple(of_labels)} or {tuple(logits.shape)}, "
            f"got {tuple(target.shape)}"
        )
    dense = target.float() if target.shape == logits.shape else target
    return smooth(dense, logits.shape[1], smoothing, ignore_index=ignore_index).float()


def smoothing_of(target: Float[Tensor, "n K ..."]) -> float:
    r"""Return the uniform smoothing that soft targets already carry; 0 if there is none.

    Uniform smoothing leaves a trace: the smallest entry of every row is the same, $a / K$,
    and taken by all classes but the labels, of which there may be two (MixUp, CutMix). Rows
    of zeros are ignored examples. With up to four classes chance may leave the same trace,
    so at least 16 rows are asked for.

    Args:
        target: Soft targets, (n, K, ...).

    Returns:
        a of the convention `uniform`, to four decimals.

    >>> smoothing_of(smooth(torch.tensor([2, 0]), 5, 0.2))
    0.2
    >>> smoothing_of(torch.tensor([[0.7, 0.1, 0.1, 0.05, 0.05]]))  # a teacher's
    0.0
    """
    k = target.shape[1]
    rows = target.detach().float().movedim(1, -1).reshape(-1, k)
    rows = rows[(rows != 0).any(1)]
    if len(rows) < (16 if k <= 4 else 1):
        return 0.0
    least = float(rows.min())
    tolerance = 4 * torch.finfo(target.dtype).eps * least
    at_low = (rows - least <= tolerance).sum(1)
    if least <= 0 or not ((at_low >= k - 2) & (at_low >= 1) & (at_low < k)).all():
        return 0.0
    return round(least * k, 4)


def warn_if_smoothed(target: Tensor, smoothing: float) -> None:
    """Warn, once in a process, that soft targets would be smoothed a second time.

    A few rows are looked at; on an accelerator, where looking means waiting, those of the
    first call alone.
    """
    global _watching
    if not (_watching and smoothing) or values_are_hidden():
        return
    _watching = target.is_cpu
    amount = smoothing_of(target[(slice(16), slice(None), *[slice(8)] * (target.ndim - 2))])
    if amount:
        _watching = False
        warnings.warn(
            f"the soft targets are already smoothed, by {amount:g}, and smoothing={smoothing:g} "
            "smooths them a second time: turn one of the two off",
            stacklevel=3,
        )


class OnlineSmoothing(torch.nn.Module):
    r"""Soft labels for each class, learned from the model's own correct predictions.

    $q = (1 - a)\, t + a\, S_y$, where $S_y$ is the mean softmax of the examples of class y
    that were predicted correctly in the epoch before. In the first epoch $S$ is label
    smoothing. A class without a right prediction keeps its row.

    The authors' program differs in both: its first epoch has half the cross entropy and no
    soft labels (`first=0` has the whole), and a class without a correct prediction gets a
    uniform row. The rest is the same.

    Call it for targets (or give `prior` to a loss), `update` after each batch, and `step`
    after each epoch. The rows and the sums are buffers: they are saved, and a training
    that stops within an epoch goes on. Across processes, add up `total` and `count` before
    `step`.

    Args:
        num_classes: K, at least 2.
        smoothing: a above, in [0, 1]; the authors use 0.5 (their alpha is 1 - a).
        first: Smoothing of $S$ in the first epoch.
        ignore_index: As in `smooth`.

    Raises:
        InputError: A smoothing out of range, or logits and labels that do not fit.

    References:
        Zhang et al., Delving Deep into Label Smoothing, IEEE TIP 2021;
        zhangchbin/OnlineLabelSmoothing.

    >>> online = OnlineSmoothing(2)
    >>> online(torch.tensor([0]))
    tensor([[0.9750, 0.0250]])
    >>> online.update(torch.tensor([[1.0, 0.0], [9.0, 0.0]]), torch.tensor([0, 1]))
    >>> online.step()
    >>> online.prior
    tensor([[0.7311, 0.2689],
            [0.0500, 0.9500]])
    """

    def __init__(
        self,
        num_classes: int,
        smoothing: float = 0.5,
        *,
        first: float = 0.1,
        ignore_index: int = -100,
    ):
        super().__init__()
        for name, value in (("smoothing", smoothing), ("first", first)):
            if not is_number(value) or not 0 <= value <= 1:
                raise InputError(f"expected `{name}` in [0, 1], got {value!r}")
        self.smoothing = smoothing
        self.ignore_index = ignore_index
        self.prior: Tensor
        self.total: Tensor
        self.count: Tensor
        rows = smooth(torch.arange(num_classes), num_classes, first)
        self.register_buffer("prior", rows)  # (K, K)
        self.register_buffer("total", torch.zeros_like(rows, dtype=torch.float64))  # (K, K)
        self.register_buffer("count", torch.zeros(num_classes, dtype=torch.int64))

    def forward(
        self, labels_or_probs: Int[Tensor, "n ..."] | Float[Tensor, "n K ..."]
    ) -> Float[Tensor, "n K ..."]:
        """Return the targets of these labels."""
        return smooth(
            labels_or_probs,
            self.count.numel(),
            self.smoothing,
            prior=self.prior,
            ignore_index=self.ignore_index,
        )

    @torch.no_grad()
    def update(self, logits: Float[Tensor, "n K ..."], labels: Int[Tensor, "n ..."]) -> None:
        """Count the softmax of the examples that are predicted correctly."""
        k = self.count.numel()
        if logits.ndim < 2 or logits.shape[1] != k or labels.shape != logits[:, 0].shape:
            raise InputError(
                f"expected `logits` of shape (n, {k}, ...) and `labels` of shape (n, ...), "
                f"got {tuple(logits.shape)} and {tuple(labels.shape)}"
            )
        index, kept = split_ignored(labels, k, self.ignore_index)
        correct = kept & (logits.argmax(1) == index)
        probs = logits.movedim(1, -1)[correct].double().softmax(-1)
        self.total.index_add_(0, index[correct], probs)
        self.count += index[correct].bincount(minlength=k)

    @torch.no_grad()
    def step(self) -> None:
        """End the epoch: what was counted becomes the soft labels of the next."""
        seen = self.count > 0
        self.prior[seen] = (self.total[seen] / self.count[seen, None]).to(self.prior.dtype)
        self.total.zero_()
        self.count.zero_()

    def extra_repr(self) -> str:
        """Return the options, for `print`."""
        return f"{self.count.numel()}, {self.smoothing}, ignore_index={self.ignore_index}"


def smoothing_for_confidence(
    confidence: float, num_classes: int, convention: Convention = "uniform"
) -> float:
    r"""Return the smoothing whose loss is smallest where the label has this probability.

    $a = (1 - c) K / (K - 1)$ for `uniform`, $1 - c$ for `exclude_true`.

    Args:
        confidence: Probability wanted on the label, in [1/K, 1] (`exclude_true`: [0, 1]).
        num_classes: K, at least 2.
        convention: As in `smooth`.

    Raises:
        InputError: No smoothing in [0, 1] has this minimiser.

    >>> round(smoothing_for_confidence(0.9, 2), 6)
    0.2
    """
    share = _label_share(num_classes, convention)
    lowest = 1 / num_classes if convention == "uniform" else 0.0
    if not lowest <= confidence <= 1:
        raise InputError(
            f"expected `confidence` in [{lowest:.4g}, 1] for {num_classes} classes and "
            f"convention {convention!r}, got {confidence}"
        )
    return (1 - confidence) / share


def confidence_for_smoothing(
    smoothing: float, num_classes: int, convention: Convention = "uniform"
) -> float:
    r"""Return the probability of the label at the minimum of the loss.

    $1 - a (K - 1) / K$ for `uniform`, $1 - a$ for `exclude_true`. The inverse of
    `smoothing_for_confidence`.

    Args:
        smoothing: In [0, 1]. The loss with a negative one has no minimum.
        num_classes: K, at least 2.
        convention: As in `smooth`.

    Raises:
        InputError: The smoothing is outside [0, 1].

    >>> confidence_for_smoothing(0.1, 2)
    0.95
    """
    if not 0 <= smoothing <= 1:
        raise InputError(
            f"expected `smoothing` in [0, 1], where the loss has a minimum, got {smoothing}"
        )
    return 1 - smoothing * _label_share(num_classes, convention)


def optimal_logit_gap(smoothing: float, num_classes: int) -> float:
    """Return the gap from the label's logit to the others at the minimum of the smoothed loss.

    log(1 + K (1 - a) / a) for the uniform convention: finite, unlike that of cross entropy.

    Args:
        smoothing: a, in (0, 1].
        num_classes: K >= 2.

    >>> round(optimal_logit_gap(0.1, 3), 4)
    3.3322
    """
    if not 0 < smoothing <= 1 or num_classes < 2:
        raise InputError(
            f"expected `smoothing` in (0, 1] and `num_classes` >= 2, got {smoothing}, {num_classes}"
        )
    return math.log1p(num_classes * (1 - smoothing) / smoothing)


def as_uniform(smoothing: float, num_classes: int, convention: Convention) -> float:
    """Return the smoothing of convention `uniform` that gives the same target."""
    check_smoothing(smoothing)
    k = num_classes
    return float(smoothing) * _label_share(k, convention) / _label_share(k, "uniform")


def per_class(
    values: Float[Tensor, " K"] | None, like: Float[Tensor, "n K ..."], default: float
) -> Float[Tensor, "1 K ..."]:
    """Return one number for each class, to multiply tensors of shape `like`."""
    dtype = torch.promote_types(like.dtype, torch.float32)
    if values is None:
        values = torch.full((1,), default, dtype=dtype, device=like.device)
    elif values.shape != like.shape[1:2]:
        raise InputError(
            f"expected `weight` and `prior` of shape {tuple(like.shape[1:2])}, "
            f"got {tuple(values.shape)}"
        )
    return values.to(dtype).reshape(1, -1, *[1] * (like.ndim - 2))


def per_label(values: Float[Tensor, "K K"], like: Float[Tensor, "n K ..."]) -> Float[Tensor, "K K"]:
    """Return a row for each label, to sum over with tensors of shape `like`."""
    k = like.shape[1]
    if values.shape != (k, k):
        raise InputError(
            f"expected `prior` of shape ({k},) or ({k}, {k}), got {tuple(values.shape)}"
        )
    return values.to(torch.promote_types(like.dtype, torch.float32))


def check_smoothing(smoothing: float) -> None:
    """Refuse what is not a finite number of at most 1."""
    if not is_number(smoothing) or not -math.inf < smoothing <= 1:
        raise InputError(
            "expected `smoothing` to be a finite number of at most 1, where nothing of the "
            f"label is left, got {smoothing!r}"
        )


def check_choice(value: str, name: str, choices: object) -> None:
    """Refuse what is not one of the strings of a `Literal`."""
    if value not in get_args(choices):
        listed = " or ".join(repr(choice) for choice in get_args(choices))
        raise InputError(f"expected `{name}` to be {listed}, got {value!r}")


def check_prior(prior: Tensor | None, convention: Convention) -> None:
    """Refuse a prior that is no distribution, or that the convention does not use."""
    if prior is None:
        return
    if convention != "uniform":
        raise InputError(f"expected no `prior` with convention {convention!r}: it has no place")
    if values_are_hidden():
        return
    if prior.ndim not in (1, 2) or not prior.numel():
        raise InputError(f"expected `prior` of shape (K,) or (K, K), got {tuple(prior.shape)}")
    totals, lowest = prior.float().sum(-1).flatten(), prior.min()
    total = totals[(totals - 1).abs().argmax()]  # the worst row, or a NaN
    if not (lowest >= 0 and abs(total - 1) <= PRIOR_TOLERANCE):
        raise InputError(
            f"expected `prior` of probabilities that sum to 1, got the sum {total:.4g} "
            f"and the minimum {lowest:.4g}"
        )


def split_ignored(
    labels: Int[Tensor, "n ..."], num_classes: int, ignore_index: int
) -> tuple[Int[Tensor, "n ..."], Bool[Tensor, "n ..."]]:
    """Labels that can be used as an index, 0 where ignored, and which are kept.

    Raises:
        InputError: A label is neither in 0..K-1 nor `ignore_index`.
    """
    if labels.is_floating_point() or labels.is_complex() or labels.dtype == torch.bool:
        raise InputError(f"expected labels of an integer dtype, got {labels.dtype}")
    kept = labels != ignore_index
    index = labels.long() * kept
    if values_are_hidden() or not index.numel():
        return index, kept
    low, high = (int(end) for end in index.aminmax())
    check_label_range(low, high, num_classes, ignore_index)
    return index, kept


def values_are_hidden() -> bool:
    """Return whether no value may be looked at: under torch.compile and torch.func."""
    return torch.compiler.is_compiling() or torch._C._are_functorch_transforms_active()


def check_label_range(low: int, high: int, num_classes: int, ignore_index: int) -> None:
    """Refuse labels below 0 or above the last class."""
    if low < 0 or high >= num_classes:
        raise InputError(
            f"expected labels in 0..{num_classes - 1} or ignore_index={ignore_index}, "
            f"got {low if low < 0 else high}"
        )


def _label_share(num_classes: int, convention: Convention) -> float:
    """Return the share of the smoothing that leaves the label."""
    check_choice(convention, "convention", Convention)
    if num_classes < 2:
        raise InputError(f"expected `num_classes` of at least 2, got {num_classes}")
    return 1 - 1 / num_classes if convention == "uniform" else 1.0


def _dense(
    labels_or_probs: Tensor, num_classes: int, ignore_index: int
) -> Float[Tensor, "n K ..."]:
    """Return one-hot rows of labels, zero where ignored; soft targets unchanged."""
    shape = tuple(labels_or_probs.shape)
    if labels_or_probs.is_floating_point():
        if len(shape) < 2 or shape[1] != num_classes:
            raise InputError(f"expected soft targets of shape (n, {num_classes}, ...), got {shape}")
        return labels_or_probs
    if not shape:
        raise InputError("expected labels of shape (n, ...), got a single number")
    index, kept = split_ignored(labels_or_probs, num_classes, ignore_index)
    dense = torch.zeros(shape[0], num_classes, *shape[1:], device=kept.device)
    scatter = dense.scatter if values_are_hidden() else dense.scatter_  # vmap knows no in-place
    return scatter(1, index.unsqueeze(1), kept.unsqueeze(1).to(dense))
