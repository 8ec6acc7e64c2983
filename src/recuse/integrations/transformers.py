"""Hugging Face Transformers: losses for the Trainer, and what it predicts as held-out data.

n = examples, B = sequences, T = tokens, K = classes or vocabulary, ... = pixels.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from recuse._internal.check import extra, first_of, to_numpy
from recuse.errors import InputError
from recuse.io import HeldOut
from recuse.io._arrays import names_of_classes
from recuse.io._checked import check_file, naming
from recuse.io._rows import TRAINER_IGNORES, classes_second
from recuse.losses import SmoothedBCEWithLogits

torch = extra("torch", "torch", "recuse.integrations.transformers")

if TYPE_CHECKING:
    from numpy.typing import ArrayLike
    from torch import Tensor


def held_out(
    output: Any,
    *,
    ids: ArrayLike | None = None,
    groups: ArrayLike | None = None,
    ignore_index: int | None = TRAINER_IGNORES,
    classes: Sequence[str] | Mapping[int, str] | None = None,
    name: str = "predictions",
) -> HeldOut:
    """Return what `trainer.predict(dataset)` gave as held-out data, for `fit` and `evaluate`.

    Of a tuple, such as logits and hidden states, the first entry counts; of a mapping, `logits`.
    In token classification each token is a prediction, and each sequence a group.

    Args:
        output: Its `PredictionOutput`, or (predictions, label_ids), of shapes (n, K) and (n,);
            (B, T, K) and (B, T) for tokens; or (n, K, H, W) and (n, H, W) for images.
        ids: Shape (n,) or (B,): of the examples.
        groups: Likewise: rows, or sequences, that depend on each other.
        ignore_index: The label of tokens that do not count; None if all do.
        classes: Names of the classes, such as `model.config.id2label`.
        name: For messages.

    Raises:
        InputError: Several outputs without a first one of logits, several sets of labels, or
            arrays that do not fit each other.

    >>> import numpy as np
    >>> z, labels = np.zeros((2, 4, 3), np.float32), np.array([[0, 1, 2, -100], [0, 0, -100, -100]])
    >>> found = held_out(((z, "hidden states"), labels))
    >>> found.logits.shape, len(found.predictions())
    ((2, 3, 4), 5)
    """
    predictions, labels = (getattr(output, key, None) for key in ("predictions", "label_ids"))
    if predictions is None:
        if not isinstance(output, (tuple, list)) or len(output) not in (2, 3):
            raise InputError(
                "expected what trainer.predict() gave, or (predictions, label_ids), "
                f"got {type(output).__name__}"
            )
        predictions, labels = output[:2]
    if isinstance(labels, (tuple, list, Mapping)):
        raise InputError(
            f"{name}: expected `label_ids` of one array, got {len(labels)}: give "
            "(predictions, labels) of one task"
        )
    z = to_numpy(first_of(predictions, f"{name}: "))
    z = np.ascontiguousarray(z.transpose(classes_second(z.shape)))
    rest: Any = (labels, groups, ids)
    with naming(name):
        names = None if classes is None else names_of_classes(classes, z.shape[1])
    file = HeldOut(z, *rest, name=name, ignore_index=ignore_index, class_names=names)
    return check_file(file)


def compute_loss_func(
    loss: torch.nn.Module,
    *,
    shift: bool = False,
    axis: int = -1,
    evaluation: torch.nn.Module | None = None,
) -> Callable[..., Tensor]:
    """Return a function for `Trainer(compute_loss_func=...)`.

    The Trainer passes the number of labels in the accumulated batch, over all its parts and
    processes. The sum of the losses is divided by that number, so that accumulation changes
    nothing. Class weights then scale the loss and do not enter the denominator.

    The Trainer calls the function in evaluation too, and then ignores its own
    `label_smoothing_factor`. By default the loss in evaluation has no smoothing: `eval_loss` can
    be compared between runs with different smoothing, and selects the best checkpoint by its
    predictions.

    Args:
        loss: One of `recuse.losses`, for labels (n,), (n, T) or (n, ...), or soft targets in
            the shape of the logits (not with `shift`). Use `SmoothedBCEWithLogits` for models
            with several labels per example. Its `reduction` is not used.
        shift: True for causal language models: token t is predicted from the tokens before it.
        axis: Axis of the classes in the logits: the last, or 1 for segmentation, whose logits are
            resized to the labels, as in the models of Transformers.
        evaluation: Loss without gradients; by default `loss` with smoothing 0.

    Returns:
        f(outputs, labels, num_items_in_batch=None), where outputs are a mapping with `logits`, a
        tuple that starts with the logits, or the logits.

    Raises:
        InputError: There are no labels, soft targets come with `shift`, or the loss lacks the
            attributes `reduction` or `smoothing`. The function also raises what the loss raises.

    The Trainer counts every label but -100, also those that the loss ignores: with an
    `ignore_index` of 255, the void pixels are in the denominator.

    >>> from recuse.losses import SmoothedCrossEntropy
    >>> f = compute_loss_func(SmoothedCrossEntropy(0.1))
    >>> logits = torch.tensor([[2.0, 0.0, 0.0], [0.0, 1.0, 0.0]], requires_grad=True)
    >>> f({"logits": logits}, torch.tensor([0, 1])).item()  # doctest: +ELLIPSIS
    0.495...
    >>> f({"logits": logits}, torch.tensor([0, 1]), num_items_in_batch=4).item()
    0.247...
    """
    _check_loss(loss, "reduction")
    _check_loss(*((loss, "smoothing") if evaluation is None else (evaluation, "reduction")))

    def compute(outputs: Any, labels: Any, num_items_in_batch: Any = None) -> Tensor:
        chosen = loss
        if not torch.is_grad_enabled():
            chosen = _like(loss, smoothing=0.0) if evaluation is None else evaluation
        logits, labels = _aligned(first_of(outputs), labels, chosen, shift, axis)
        chosen = chosen.to(logits.device)
        if num_items_in_batch is None:
            return _like(chosen, reduction="mean")(logits, labels)
        items = _examples(num_items_in_batch, labels, chosen)
        return _like(chosen, reduction="sum")(logits, labels) / items

    return compute


def _check_loss(loss: Any, attribute: str) -> None:
    if not hasattr(loss, attribute):
        raise InputError(
            f"expected a loss of recuse.losses, got {type(loss).__name__} without `{attribute}`"
        )


def _aligned(logits, labels, loss, shift, axis) -> tuple[Tensor, Tensor]:
    """Return logits with classes on axis 1, and their labels."""
    if labels is None:
        raise InputError("expected a batch with `labels`, got none")
    labels = labels.to(logits.device)
    if _of_entries(loss):
        return logits, labels
    soft = labels.is_floating_point()
    if shift:
        if soft:
            raise InputError("expected labels as integers with `shift`, got soft targets")
        ignored = getattr(loss, "ignore_index", TRAINER_IGNORES)
        labels = torch.nn.functional.pad(labels, (0, 1), value=ignored)[..., 1:]
    logits = logits.movedim(axis, 1)
    labels = labels.movedim(axis, 1) if soft else labels
    size = labels.shape[2 if soft else 1 :]
    if axis == 1 and len(size) == 2 and logits.ndim == 4 and logits.shape[2:] != size:
        logits = torch.nn.functional.interpolate(logits, size, mode="bilinear")
    return logits, labels


def _examples(num_items: Any, labels: Tensor, loss: Any) -> Any:
    """Return the number of examples; the Trainer counts every class of a soft target."""
    if isinstance(num_items, torch.Tensor):
        num_items = num_items.to(labels.device)
    if labels.is_floating_point() and not _of_entries(loss):
        return num_items / labels.shape[1]
    return num_items


def _of_entries(loss: Any) -> bool:
    """Return True if each entry is a label of its own, and no axis holds classes."""
    return isinstance(loss, SmoothedBCEWithLogits)


def _like(loss: Any, **options: Any) -> Any:
    """Return the loss with other options; the buffers are shared."""
    other = copy.copy(loss)
    for name, value in options.items():
        setattr(other, name, value)
    return other
