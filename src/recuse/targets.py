"""Label distributions: what a smoothed loss asks the softmax to become.

n = examples, K = classes (axis 1), ... = any trailing axes (pixels).

A target is t (n, K, ...): one-hot for a label, zero in every class where the label is
ignored. Smoothing is linear in t, so an ignored row stays zero and a mixture of two
labels (MixUp) is smoothed to the same mixture of their smoothed targets.
"""

from __future__ import annotations

import math
from numbers import Real
from typing import TYPE_CHECKING, Literal, get_args

from recuse._check import InputError, extra

if TYPE_CHECKING:
    import torch
    from jaxtyping import Bool, Float, Int
    from torch import Tensor
else:
    torch = extra("torch", "torch", "recuse.targets")

Convention = Literal["uniform", "exclude_true"]

PRIOR_TOLERANCE = 1e-3  # on the sum of a prior: it may have been rounded to float16


def smooth(
    labels_or_probs: Int[Tensor, "n ..."] | Float[Tensor, "n K ..."],
    num_classes: int,
    smoothing: float,
    *,
    convention: Convention = "uniform",
    prior: Float[Tensor, " K"] | None = None,
    ignore_index: int = -100,
) -> Float[Tensor, "n K ..."]:
    r"""The smoothed target of each example.

    With $t$ the one-hot or soft target and $a$ the smoothing,

    - `uniform`: $q = (1 - a)\, t + a / K$ (PyTorch, TensorFlow, Composer, timm);
    - `uniform` with a prior: $q = (1 - a)\, t + a \pi$;
    - `exclude_true`: $1 - a$ at the label and $a / (K - 1)$ elsewhere (OpenNMT), which is
      `uniform` with $a K / (K - 1)$.

    Args:
        labels_or_probs: Integer labels, or soft targets of a floating dtype; a row of
            zeros is an ignored example.
        num_classes: K, at least 2.
        smoothing: At most 1, where nothing of the label is left; above, the uniform target
            would teach against the label. Negative values sharpen (Wei et al.): the label
            gets more than 1 and the others less than 0, without a lower limit.
        convention: Who shares the smoothed mass: all classes, or all but the label.
        prior: Probabilities that take the place of the uniform ones; `uniform` only.
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
    check_prior(prior, convention)
    background = per_class(prior, target, 1 / num_classes)
    smoothed = (1 - a) * target + a * background * target.sum(1, keepdim=True)
    return smoothed.to(target.dtype)


def smoothing_for_confidence(
    confidence: float, num_classes: int, convention: Convention = "uniform"
) -> float:
    r"""The smoothing whose loss is smallest where the label has this probability.

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
    r"""The probability of the label at the minimum of the loss.

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


def as_uniform(smoothing: float, num_classes: int, convention: Convention) -> float:
    """The smoothing of convention `uniform` that gives the same target."""
    check_smoothing(smoothing)
    k = num_classes
    return float(smoothing) * _label_share(k, convention) / _label_share(k, "uniform")


def per_class(
    values: Float[Tensor, " K"] | None, like: Float[Tensor, "n K ..."], default: float
) -> Float[Tensor, "1 K ..."]:
    """A number for each class, to multiply tensors of shape `like`; by default one for all."""
    dtype = torch.promote_types(like.dtype, torch.float32)
    if values is None:
        values = torch.full((1,), default, dtype=dtype, device=like.device)
    elif values.shape != like.shape[1:2]:
        raise InputError(
            f"expected `weight` and `prior` of shape {tuple(like.shape[1:2])}, "
            f"got {tuple(values.shape)}"
        )
    return values.to(dtype).reshape(1, -1, *[1] * (like.ndim - 2))


def check_smoothing(smoothing: float) -> None:
    """Any finite number up to 1."""
    if not isinstance(smoothing, Real) or not -math.inf < smoothing <= 1:
        raise InputError(
            "expected `smoothing` to be a finite number of at most 1, where nothing of the "
            f"label is left, got {smoothing}"
        )


def check_choice(value: str, name: str, choices: object) -> None:
    """One of the strings of a `Literal`."""
    if value not in get_args(choices):
        listed = " or ".join(repr(choice) for choice in get_args(choices))
        raise InputError(f"expected `{name}` to be {listed}, got {value!r}")


def check_prior(prior: Tensor | None, convention: Convention) -> None:
    """A distribution over the classes, for the convention that has a place for it."""
    if prior is None:
        return
    if convention != "uniform":
        raise InputError(f"expected no `prior` with convention {convention!r}: it has no place")
    if torch.compiler.is_compiling():  # values cannot be looked at
        return
    total, lowest = prior.float().sum(), prior.min()
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
    if torch.compiler.is_compiling() or not index.numel():  # no values to look at
        return index, kept
    low, high = (int(end) for end in index.aminmax())
    if low < 0 or high >= num_classes:
        raise InputError(
            f"expected labels in 0..{num_classes - 1} or ignore_index={ignore_index}, "
            f"got {low if low < 0 else high}"
        )
    return index, kept


def _label_share(num_classes: int, convention: Convention) -> float:
    """How much of the smoothing leaves the label."""
    check_choice(convention, "convention", Convention)
    if num_classes < 2:
        raise InputError(f"expected `num_classes` of at least 2, got {num_classes}")
    return 1 - 1 / num_classes if convention == "uniform" else 1.0


def _dense(
    labels_or_probs: Tensor, num_classes: int, ignore_index: int
) -> Float[Tensor, "n K ..."]:
    """One-hot rows of labels, zero where ignored; soft targets as they are."""
    shape = tuple(labels_or_probs.shape)
    if labels_or_probs.is_floating_point():
        if len(shape) < 2 or shape[1] != num_classes:
            raise InputError(f"expected soft targets of shape (n, {num_classes}, ...), got {shape}")
        return labels_or_probs
    if not shape:
        raise InputError("expected labels of shape (n, ...), got a single number")
    index, kept = split_ignored(labels_or_probs, num_classes, ignore_index)
    dense = torch.zeros(shape[0], num_classes, *shape[1:], device=kept.device)
    return dense.scatter_(1, index.unsqueeze(1), kept.unsqueeze(1).to(dense))
